"""What a gateway says of a channel or chaincode that none of its peers has.

Decides the refusals, which differ by call and come before any peer is asked: status and words are those that Fabric
3.1 gave to the same calls (`tests/interop/test_unserved.py` asks both).
"""

from __future__ import annotations

from collections.abc import Sequence

from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.fabric.proposal import Proposal

_PROTECT = (
    "no endorsers found in the gateway's organization; "
    "retry specifying {} organization(s) to protect transient data"
)


class NotServed(Exception):
    """A proposal is for a channel or chaincode that is not here."""

    def __init__(self, proposal: Proposal, *, is_channel_known: bool) -> None:
        super().__init__(proposal.invocation.channel_id, proposal.invocation.chaincode)
        self._invocation = proposal.invocation
        self._is_channel_known = is_channel_known

    def evaluating(self, organizations: Sequence[str]) -> GatewayFailure:
        """Return what an evaluation is refused with."""
        channel, chaincode = self._invocation.channel_id, self._invocation.chaincode
        if not self._is_channel_known:
            return GatewayFailure(GatewayStatus.UNAVAILABLE, no_channel(channel))
        message = f"no peers available to evaluate chaincode {chaincode} in channel {channel}"
        if self._invocation.transient and not organizations:
            message = f"{_PROTECT.format('target')}: {message}"
        return GatewayFailure(GatewayStatus.FAILED_PRECONDITION, message)

    def endorsing(self, organizations: Sequence[str]) -> GatewayFailure:
        """Return what an endorsement is refused with."""
        if organizations:
            named = ", ".join(organizations)
            message = f"failed to find any endorsing peers for org(s): {named}"
            return GatewayFailure(GatewayStatus.UNAVAILABLE, message)
        if self._invocation.transient:
            return GatewayFailure(GatewayStatus.FAILED_PRECONDITION, _PROTECT.format("endorsing"))
        return GatewayFailure(
            GatewayStatus.FAILED_PRECONDITION,
            "no combination of peers can be derived which satisfy the endorsement policy: No metadata was found for "
            f"chaincode {self._invocation.chaincode} in channel {self._invocation.channel_id}",
        )


def no_channel(channel: str) -> str:
    """Return the words for a channel that the gateway does not know."""
    return f"failed to get config for channel [{channel}]: could not get last config for channel {channel}"
