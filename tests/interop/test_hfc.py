"""An unmodified hfc (fabric-sdk-py 1.0.0), in an environment of its own, on real peers and orderers.

It speaks to endorsers, orderers and deliver services directly, so there is nothing for it on the embedded ledger.
Sequential use only: several calls at once on one of its clients fail by themselves (docs/migrating-from-hfc.md).
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.interop import runtimes
from tests.interop.words import REFUSAL, TINY
from tests.unit.fabric.real_network import CHAINCODE, CHANNEL, Party, RealNetwork

pytestmark = [pytest.mark.needs_fabric, pytest.mark.slow]
SECONDS = 120


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of hfc's own environment."""
    try:
        return runtimes.python_environment(runtimes.HERE / "hfc-client") / "bin" / "python"
    except runtimes.RuntimeMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def told(python: Path, real_network: RealNetwork, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the client program once; the tests below read what it printed."""
    place = tmp_path_factory.mktemp("hfc")
    profile, settings = place / "network.json", place / "settings.json"
    profile.write_text(json.dumps(connection_profile(real_network, place)))
    content = {
        "profile": str(profile),
        "channel": CHANNEL,
        "chaincode": CHAINCODE,
        "peers": [party.msp_id for party in real_network.parties],
        "calls": TINY.calls,
    }
    settings.write_text(json.dumps(content))
    result = subprocess.run(
        [str(python), str(runtimes.HERE / "hfc-client" / "client.py"), str(settings)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=runtimes.environment(),
    )
    assert result.returncode == 0, result.stderr[-3000:]
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def connection_profile(network: RealNetwork, place: Path) -> dict[str, Any]:
    """Return the network in hfc's own words."""

    def endpoint(port: int, roots: str) -> dict[str, Any]:
        return {
            "url": f"127.0.0.1:{port}",
            "grpcOptions": {"grpc.ssl_target_name_override": "localhost"},
            "tlsCACerts": {"path": roots},
        }

    def organization(party: Party) -> dict[str, Any]:
        msp = party.home / "admin" / "msp"
        user = {"cert": str(msp / "signcerts" / "cert.pem"), "private_key": str(msp / "keystore" / "key_sk")}
        return {"mspid": party.msp_id, "peers": [party.msp_id], "users": {"User1": user}}

    return {
        "name": "interop",
        "client": {"organization": "one", "credentialStore": {"path": str(place / "store")}},
        "organizations": {"one": organization(network.parties[0])},
        "certificateAuthorities": {},
        "orderers": {"orderer": endpoint(*network.orderer)},
        "peers": {
            party.msp_id: endpoint(port, party.tls("peer")["ca"])
            for party, port in zip(network.parties, network.peers, strict=True)
        },
    }


def test_an_invocation_commits_and_a_query_reads_it(told: dict[str, Any]) -> None:
    assert told["invoke"] == TINY.submitted
    assert told["query"] == TINY.evaluated


def test_one_invocation_after_the_other_goes_through(told: dict[str, Any]) -> None:
    assert told["again"] == [TINY.submitted] * 5


def test_a_contracts_refusal_comes_back_as_text_as_hfc_does_it(told: dict[str, Any]) -> None:
    assert told["refused"] == REFUSAL


def test_an_invocation_can_wait_for_the_contracts_event(told: dict[str, Any]) -> None:
    assert told["event_awaited"] == TINY.submitted


def test_blocks_and_their_events_are_read(told: dict[str, Any]) -> None:
    assert told["height"] > 7
    assert told["block"] == 1
    assert told["events"]
    assert {tuple(item) for item in told["events"]} == {TINY.events[0]}
