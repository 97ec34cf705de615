"""How a call of the gateway fails: one error per phase, with what every peer said.

Each is a kind of the package's own error for that phase, so that both names catch it.
"""

from __future__ import annotations

from bfl_fabric.errors import (
    CommitFailed,
    CommitStatusError,
    EndorseError,
    EvaluateError,
    LedgerError,
    SubmitError,
)
from bfl_fabric.fabric.gateway_transport import GatewayDetail, GatewayFailure, GatewayStatus

__all__ = [
    "CallFailed",
    "CommitFailed",
    "CommitStatusFailed",
    "EndorseFailed",
    "EvaluateFailed",
    "SubmitFailed",
]


class CallFailed(LedgerError):
    """A call did not give a result. `details` are the words of single peers or orderers, `status` is gRPC's."""

    def __init__(self, failure: GatewayFailure, transaction_id: str = "") -> None:
        super().__init__(str(failure), transaction_id)
        self.status: GatewayStatus = failure.status
        self.details: tuple[GatewayDetail, ...] = failure.details

    @property
    def reason(self) -> str:
        """What the first peer that answered said, e.g. the contract's own text; else the whole message."""
        return self.details[0].message if self.details else str(self)


class EvaluateFailed(CallFailed, EvaluateError):
    """The contract or the gateway refused an evaluation."""


class EndorseFailed(CallFailed, EndorseError):
    """The contract refused, peers disagreed or too few of them were there; nothing was ordered."""


class SubmitFailed(CallFailed, SubmitError):
    """The gateway did not say that the orderers took the transaction; ask its commit status before another try."""


class CommitStatusFailed(CallFailed, CommitStatusError):
    """It is not known what became of the transaction; ask again."""
