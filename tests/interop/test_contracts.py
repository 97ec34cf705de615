"""The trivial contract of the throughput comparison behaves alike in Python, Node and Java on real peers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bfl_fabric.clock import SystemClock
from bfl_fabric.network import directory as directories
from bfl_fabric.network.bringup import Site, bring_up
from bfl_fabric.network.native import NativeNetwork
from bfl_fabric.network.programs import find_programs
from bfl_fabric.network.topology import sample
from bfl_fabric.sdk.gateway import Contract, EndorseFailed, SigningIdentity, connect
from tests.benchmarks.ledger import contracts, deployment
from tests.benchmarks.ledger.contracts import Kind
from tests.interop import runtimes

pytestmark = [pytest.mark.needs_fabric("3.1"), pytest.mark.slow]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running native network of three organizations."""
    place = tmp_path_factory.mktemp("contracts") / "network"
    directories.create(place, sample().on("fabric", "raft"))
    with NativeNetwork(place, find_programs("3.1")) as network:
        network.start_all()
        running = Site(place, network.topology, network.plan, SystemClock())
        asyncio.run(bring_up(running, lambda _: None))
        yield running


@pytest.fixture(scope="module", params=Kind)
def contract(request: pytest.FixtureRequest, site: Site) -> Iterator[Contract]:
    """The contract of one language, deployed with a process per organization and mutual TLS."""
    kind: Kind = request.param
    try:
        contracts.prepare(kind)
    except runtimes.RuntimeMissing as missing:
        pytest.skip(str(missing))
    first = site.topology.organizations[0]
    server, signer = site.peer_server(site.plan.peer_of(first.msp_id)), site.administrator(first).signer
    assert isinstance(signer, SigningIdentity)
    with ExitStack() as stack:
        name = asyncio.run(deployment.deploy(site, kind, stack))
        roots = server.tls.root_certificates
        gateway = stack.enter_context(connect(server.address, signer, tls_roots=roots))
        yield gateway.network(site.topology.channel).contract(name)


def test_what_is_put_can_be_got(contract: Contract) -> None:
    assert contract.submit("Put", "key", "vålue") == b""
    assert contract.evaluate("Get", "key") == "vålue".encode()
    assert contract.evaluate("Get", "missing") == b""


def test_another_transaction_is_refused_in_the_same_words(contract: Contract) -> None:
    with pytest.raises(EndorseFailed) as refused:
        contract.submit("Put", "key")
    assert refused.value.reason == "chaincode response 500, no transaction Put with 1 arguments"
