"""The status that the server gave, even when a write was under way at that moment.

grpc.aio lets a write that fails because the server has ended the call replace the server's status by INTERNAL,
without its reason. Decides which of the two is the truth: the server's. Leaves its meaning to `refusals`.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import grpc


class FirstStatus:
    """Watches one call from its start; ask `of` when the call has failed."""

    def __init__(self, call: Any) -> None:
        self._noted: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._note)

    def of(self, failure: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """Return what the server said, or `failure` when it said nothing else."""
        if failure.code() is grpc.StatusCode.INTERNAL and self._noted is not None:
            return self._noted
        return failure

    def _note(self, call: Any) -> None:
        """Called when the status is there, so that nothing here waits; a moment later it may be replaced."""
        self._noted = grpc.aio.AioRpcError(
            _result_of(call.code()),
            grpc.aio.Metadata(),
            _result_of(call.trailing_metadata()),
            details=_result_of(call.details()),
        )


def _result_of(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine that need not wait returns."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    coroutine.close()
    raise AssertionError("the status of a call that is done was not there")
