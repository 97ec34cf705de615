"""How a refusal crosses the wire: a status, a reason from the protocol, and a text for people.

Decides which status and reason stand for which error, and back. Nothing is ever recognized by its text. Leaves to
services and client when to refuse and when to try again.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from bfl_fabric.errors import (
    BflError,
    LedgerError,
    MalformedInput,
    NotFound,
    NotTrusted,
    StorageFull,
    TransferFailed,
)
from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2 as pb

_log = logging.getLogger(__name__)

REASON_KEY = "bfl-refusal"
_TEXT_LENGTH = 500
_REASONS: dict[str, int] = dict(pb.RefusalReason.items())

_STATUS: dict[int, Any] = {
    pb.REFUSAL_REASON_MALFORMED: grpc.StatusCode.INVALID_ARGUMENT,
    pb.REFUSAL_REASON_WRONG_OFFSET: grpc.StatusCode.INVALID_ARGUMENT,
    pb.REFUSAL_REASON_WRONG_DIGEST: grpc.StatusCode.INVALID_ARGUMENT,
    pb.REFUSAL_REASON_NOT_PERMITTED: grpc.StatusCode.PERMISSION_DENIED,
    pb.REFUSAL_REASON_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    pb.REFUSAL_REASON_BUSY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    pb.REFUSAL_REASON_TOO_SLOW: grpc.StatusCode.DEADLINE_EXCEEDED,
    pb.REFUSAL_REASON_STORAGE_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    pb.REFUSAL_REASON_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}

_REASON_OF_ERROR: list[tuple[type[BflError], int]] = [
    (MalformedInput, pb.REFUSAL_REASON_MALFORMED),
    (NotFound, pb.REFUSAL_REASON_NOT_FOUND),
    (NotTrusted, pb.REFUSAL_REASON_NOT_PERMITTED),
    (StorageFull, pb.REFUSAL_REASON_STORAGE_FULL),
    (TransferFailed, pb.REFUSAL_REASON_BUSY),
    (LedgerError, pb.REFUSAL_REASON_UNAVAILABLE),
]

_FINAL_STATUS: dict[Any, type[BflError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: MalformedInput,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.PERMISSION_DENIED: TransferFailed,
    grpc.StatusCode.UNAUTHENTICATED: TransferFailed,
    grpc.StatusCode.UNIMPLEMENTED: TransferFailed,
}


class Refused(Exception):
    """A service says no; `reason` is a `RefusalReason` of the protocol."""

    def __init__(self, reason: int, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class BrokenOff(Exception):
    """A call did not get through, and trying again may help. `reason` is 0 when the server did not say."""

    def __init__(self, text: str, reason: int = pb.REFUSAL_REASON_UNSPECIFIED) -> None:
        super().__init__(text)
        self.reason = reason


@asynccontextmanager
async def answering(context: Any) -> AsyncIterator[None]:
    """End the call with a status when the block refuses or fails; what a fault says stays in our own log."""
    try:
        yield
    except Refused as refused:
        await _abort(context, refused.reason, str(refused))
    except BflError as error:
        for kind, reason in _REASON_OF_ERROR:
            if isinstance(error, kind):
                await _abort(context, reason, str(error))
        _log.error("a call failed here: %s", error)
        await context.abort(grpc.StatusCode.INTERNAL, "the node could not finish; its log says why")
    except (OSError, ArithmeticError, LookupError, TypeError, ValueError, AssertionError):
        _log.exception("a call failed here")
        await context.abort(grpc.StatusCode.INTERNAL, "the node could not finish; its log says why")


def error_of(failure: grpc.aio.AioRpcError, address: str) -> Exception:
    """Return what a failed call means to the caller: an error to raise, or BrokenOff to try again."""
    reason = reason_of(failure)
    said = "".join(letter for letter in (failure.details() or "")[:_TEXT_LENGTH] if letter.isprintable())
    text = f"{address}: {said} ({failure.code().name})"
    if reason == pb.REFUSAL_REASON_WRONG_OFFSET:
        return BrokenOff(text, reason)
    if reason == pb.REFUSAL_REASON_STORAGE_FULL:
        return StorageFull(text)
    kind = _FINAL_STATUS.get(failure.code())
    return BrokenOff(text, reason) if kind is None else kind(text)


def reason_of(failure: grpc.aio.AioRpcError) -> int:
    """Return the `RefusalReason` that the server gave, 0 for none and for those of a newer protocol."""
    for key, value in failure.trailing_metadata() or ():
        if key == REASON_KEY:
            return _REASONS.get(str(value), 0)
    return 0


async def _abort(context: Any, reason: int, text: str) -> None:
    name = pb.RefusalReason.Name(reason)
    _log.info("refused a call: %s: %s", name, text[:_TEXT_LENGTH])
    await context.abort(_STATUS[reason], text[:_TEXT_LENGTH], ((REASON_KEY, name),))
