"""A channel or chaincode that is not there is refused alike by the embedded ledger and by Fabric's gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from bfl_fabric.errors import LedgerError
from bfl_fabric.fabric.gateway_transport import GatewayStatus
from bfl_fabric.sdk.gateway import CallFailed, Contract, Gateway, SigningIdentity, connect
from tests.interop.doors import Door, InteropChannel

NO_CHANNEL = "failed to get config for channel [nowhere]: could not get last config for channel nowhere"
NO_LAYOUT = (
    "no combination of peers can be derived which satisfy the endorsement policy: No metadata was found for"
)
PROTECT = "no endorsers found in the gateway's organization; retry specifying"
UNAVAILABLE, PRECONDITION = GatewayStatus.UNAVAILABLE, GatewayStatus.FAILED_PRECONDITION
TRANSIENT = {"secret": "x"}


@pytest.fixture(
    scope="module",
    params=["embedded_doors", pytest.param("real_doors", marks=[pytest.mark.needs_fabric, pytest.mark.slow])],
    ids=["embedded", "fabric"],
)
def door(request: pytest.FixtureRequest) -> Door:
    channel: InteropChannel = request.getfixturevalue(request.param)
    return channel.door(0)


@pytest.fixture
def gateway(door: Door) -> Iterator[Gateway]:
    identity = SigningIdentity.from_pem(door.msp_id, door.certificate, door.key)
    with connect(door.address, identity, tls_roots=door.tls_roots) as opened:
        yield opened


def refused(call: Callable[[], object]) -> tuple[GatewayStatus, str]:
    with pytest.raises(CallFailed) as failed:
        call()
    assert failed.value.details == ()
    return failed.value.status, str(failed.value)


def elsewhere(gateway: Gateway, door: Door) -> Contract:
    return gateway.network("nowhere").contract(door.chaincode)


def nobody(gateway: Gateway, door: Door) -> Contract:
    return gateway.network(door.channel_id).contract("nobody")


@pytest.mark.parametrize("transient", [None, TRANSIENT], ids=["plain", "transient"])
def test_evaluating_on_a_missing_channel(
    gateway: Gateway, door: Door, transient: dict[str, str] | None
) -> None:
    contract = elsewhere(gateway, door)
    status, message = refused(lambda: contract.evaluate("x", transient=transient))
    assert (status, message) == (UNAVAILABLE, f"UNAVAILABLE: {NO_CHANNEL}")
    named = [door.msp_id]
    assert refused(lambda: contract.evaluate("x", organizations=named)) == (status, message)


def test_evaluating_a_missing_chaincode(gateway: Gateway, door: Door) -> None:
    contract = nobody(gateway, door)
    missing = f"no peers available to evaluate chaincode nobody in channel {door.channel_id}"
    assert refused(lambda: contract.evaluate("x")) == (PRECONDITION, f"{PRECONDITION}: {missing}")
    told = f"{PRECONDITION}: {PROTECT} target organization(s) to protect transient data: {missing}"
    assert refused(lambda: contract.evaluate("x", transient=TRANSIENT)) == (PRECONDITION, told)


@pytest.mark.parametrize("missing", [elsewhere, nobody])
def test_endorsing_what_no_peer_has(
    gateway: Gateway, door: Door, missing: Callable[[Gateway, Door], Contract]
) -> None:
    contract = missing(gateway, door)
    status, message = refused(lambda: contract.submit("x"))
    assert status is PRECONDITION
    assert message.startswith(f"{PRECONDITION}: {NO_LAYOUT} chaincode {contract.chaincode} in channel ")
    told = f"{PRECONDITION}: {PROTECT} endorsing organization(s) to protect transient data"
    assert refused(lambda: contract.submit("x", transient=TRANSIENT)) == (PRECONDITION, told)
    named = refused(lambda: contract.submit("x", endorsing_organizations=[door.msp_id]))
    told = f"{UNAVAILABLE}: failed to find any endorsing peers for org(s): {door.msp_id}"
    assert named == (UNAVAILABLE, told)


def test_events_of_a_missing_channel(gateway: Gateway) -> None:
    with pytest.raises(LedgerError, match=r"Failed to get policy manager for channel \[nowhere\]"):
        next(gateway.network("nowhere").events("x", start_block=0))
