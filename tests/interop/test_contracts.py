"""The trivial contract of the throughput comparison behaves alike in Python, Node and Java on real peers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bfl_fabric.sdk.gateway import Contract, EndorseFailed, SigningIdentity, connect
from tests.benchmarks.ledger import contracts, deployment
from tests.benchmarks.ledger.contracts import Kind
from tests.interop import runtimes
from tests.interop.doors import RealDoors
from tests.unit.fabric.real_network import CHANNEL, RealNetwork

pytestmark = [pytest.mark.needs_fabric, pytest.mark.slow]


@pytest.fixture(scope="module", params=Kind)
def contract(request: pytest.FixtureRequest, real_network: RealNetwork) -> Iterator[Contract]:
    """The contract of one language, deployed with a process per organization and mutual TLS."""
    kind: Kind = request.param
    try:
        contracts.prepare(kind)
    except runtimes.RuntimeMissing as missing:
        pytest.skip(str(missing))
    door = RealDoors(real_network).door(0)
    identity = SigningIdentity.from_pem(door.msp_id, door.certificate, door.key)
    with ExitStack() as stack:
        name = deployment.deploy(real_network, kind, stack)
        gateway = stack.enter_context(connect(door.address, identity, tls_roots=door.tls_roots))
        yield gateway.network(CHANNEL).contract(name)


def test_what_is_put_can_be_got(contract: Contract) -> None:
    assert contract.submit("Put", "key", "vålue") == b""
    assert contract.evaluate("Get", "key") == "vålue".encode()
    assert contract.evaluate("Get", "missing") == b""


def test_another_transaction_is_refused_in_the_same_words(contract: Contract) -> None:
    with pytest.raises(EndorseFailed) as refused:
        contract.submit("Put", "key")
    assert refused.value.reason == "chaincode response 500, no transaction Put with 1 arguments"
