"""A round of Caliper 0.6 on real peers. It takes a minute and 140 MB of packages, so it runs only when asked for.

`BFL_CALIPER=1 pytest tests/interop/test_caliper.py`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.interop import runtimes
from tests.interop.doors import Door, RealDoors
from tests.unit.fabric.real_network import CHAINCODE, CHANNEL, RealNetwork

pytestmark = [
    pytest.mark.needs_fabric,
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("BFL_CALIPER"), reason="Caliper runs only with BFL_CALIPER=1"),
]
TRANSACTIONS = 200
SECONDS = 240
ROW = re.compile(r"\| (\w+) +\| (\d+) +\| (\d+) +\|")


def round_of(label: str, workload: Path, steps: list[list[str]], *, read_only: bool) -> dict[str, Any]:
    arguments = [json.dumps({"steps": steps})]
    call = {"chaincode": CHAINCODE, "name": "test:Run", "arguments": arguments, "read_only": read_only}
    return {
        "label": label,
        "txNumber": TRANSACTIONS,
        "rateControl": {"type": "fixed-load", "opts": {"transactionLoad": 10}},
        "workload": {"module": str(workload), "arguments": call},
    }


def network_file(door: Door, place: Path) -> dict[str, Any]:
    """Return the network in Caliper's words, with the key material beside it. JSON is YAML too."""
    (place / "certificate.pem").write_bytes(door.certificate)
    (place / "key.pem").write_bytes(door.key)
    (place / "key.pem").chmod(0o600)
    profile = {
        "name": "interop",
        "version": "1.0.0",
        "client": {"organization": "one"},
        "organizations": {"one": {"mspid": door.msp_id, "peers": ["peer"]}},
        "peers": {
            "peer": {
                "url": f"grpcs://{door.address}",
                "tlsCACerts": {"pem": door.tls_roots.decode()},
                "grpcOptions": {"ssl-target-name-override": "localhost"},
            }
        },
    }
    (place / "profile.json").write_text(json.dumps(profile))
    user = {
        "name": "User1",
        "clientPrivateKey": {"path": str(place / "key.pem")},
        "clientSignedCert": {"path": str(place / "certificate.pem")},
    }
    organization = {
        "mspid": door.msp_id,
        "identities": {"certificates": [user]},
        "connectionProfile": {"path": str(place / "profile.json"), "discover": True},
    }
    return {
        "name": "interop",
        "version": "2.0.0",
        "caliper": {"blockchain": "fabric"},
        "channels": [{"channelName": CHANNEL, "contracts": [{"id": CHAINCODE}]}],
        "organizations": [organization],
    }


def test_a_round_of_caliper_writes_and_reads_without_a_failure(
    real_network: RealNetwork, tmp_path: Path
) -> None:
    try:
        program = runtimes.node_program(runtimes.HERE / "caliper")
    except runtimes.RuntimeMissing as missing:
        pytest.skip(str(missing))
    workload = program / "workload.js"
    rounds = [
        round_of("put", workload, [["put", "caliper NUMBER", "x"]], read_only=False),
        round_of("get", workload, [["get", "caliper 0-1"]], read_only=True),
    ]
    files = {
        "network.json": network_file(RealDoors(real_network).door(0), tmp_path),
        "benchmark.json": {"test": {"name": "interop", "workers": {"number": 1}, "rounds": rounds}},
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    command = ["node", str(program / "node_modules" / "@hyperledger" / "caliper-cli" / "caliper.js")]
    command += ["launch", "manager", "--caliper-flow-only-test", "--caliper-workspace", str(tmp_path)]
    command += ["--caliper-networkconfig", "network.json", "--caliper-benchconfig", "benchmark.json"]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, env=runtimes.environment(), cwd=tmp_path
    )
    assert result.returncode == 0, (result.stdout + result.stderr)[-4000:]
    told = {name: (int(good), int(bad)) for name, good, bad in ROW.findall(result.stdout)}
    print(*(line for line in result.stdout.splitlines() if ROW.search(line)), sep="\n")
    assert told == {"put": (TRANSACTIONS, 0), "get": (TRANSACTIONS, 0)}, result.stdout[-4000:]
