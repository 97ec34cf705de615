"""The calls that a peer's gateway offers, as a protocol on messages; and what went wrong with one.

Decides the seam between the client (`bfl_fabric.fabric.gateway`) and what carries its calls: gRPC, a peer in the
same process, or a test that loses requests and answers. Statuses bear gRPC's names so that all of them can be told
apart in the same way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from bfl_fabric.errors import BflError


class GatewayStatus(StrEnum):
    """How a call failed; the names are gRPC's status codes."""

    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    DATA_LOSS = "DATA_LOSS"
    UNAUTHENTICATED = "UNAUTHENTICATED"


@dataclass(frozen=True, slots=True)
class GatewayDetail:
    """What one peer or orderer said (`gateway.ErrorDetail`)."""

    address: str
    msp_id: str
    message: str


class GatewayFailure(BflError):
    """A call did not give a result. `details` are what single peers answered, when the gateway passes it on."""

    exit_code = 5

    def __init__(self, status: GatewayStatus, message: str, details: tuple[GatewayDetail, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.details = details

    def __str__(self) -> str:
        told = "".join(f"; {item.msp_id} at {item.address}: {item.message}" for item in self.details)
        return f"{self.status}: {super().__str__()}{told}"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each phase may take, in seconds. Streams have none: they wait for blocks.

    `doubt` is how long the commit status of a transaction is waited for when handing it over failed: long enough for a
    block, since it may have arrived all the same, and short, since most likely it has not.
    """

    evaluate: float = 30.0
    endorse: float = 30.0
    submit: float = 15.0
    commit: float = 60.0
    doubt: float = 5.0


class GatewayTransport(Protocol):
    """The service `gateway.Gateway` of a peer, and its `protos.Deliver`.

    Every call raises GatewayFailure; after DEADLINE_EXCEEDED, UNAVAILABLE or CANCELLED it is not known whether the
    request arrived. Streams end when the other side ends them and raise GatewayFailure when it breaks off.
    """

    async def evaluate(self, request: Any, deadline_seconds: float) -> Any:
        """Take a `gateway.EvaluateRequest`, return a `gateway.EvaluateResponse`."""

    async def endorse(self, request: Any, deadline_seconds: float) -> Any:
        """Take a `gateway.EndorseRequest`, return a `gateway.EndorseResponse`."""

    async def submit(self, request: Any, deadline_seconds: float) -> Any:
        """Take a `gateway.SubmitRequest`, return a `gateway.SubmitResponse`: the orderers have it."""

    async def commit_status(self, request: Any, deadline_seconds: float) -> Any:
        """Take a `gateway.SignedCommitStatusRequest`, return a `gateway.CommitStatusResponse` once committed."""

    def chaincode_events(self, request: Any) -> AsyncIterator[Any]:
        """Take a `gateway.SignedChaincodeEventsRequest`, yield a `gateway.ChaincodeEventsResponse` per block."""

    def deliver(self, envelope: Any) -> AsyncIterator[Any]:
        """Take a signed seek envelope (`bfl_fabric.fabric.deliver`), yield `protos.DeliverResponse`."""

    async def close(self) -> None:
        """Release the connection; calls that are under way fail."""
