"""Who is calling, and how many calls each may have at once.

Decides the caller's identity from the certificate of its connection, and its share of the server's places, per
identity and per organization. Leaves to Admission what an identified caller may do.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from bfl_fabric.domain.ports import Clock, TransferCaller
from bfl_fabric.errors import NotTrusted
from bfl_fabric.transport.credentials import TrustedAuthorities
from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2 as pb
from bfl_fabric.transport.limits import ServerLimits
from bfl_fabric.transport.refusals import Refused, answering


class Callers:
    """The door of a server; every method of every service passes through `admitted`."""

    def __init__(self, authorities: TrustedAuthorities, limits: ServerLimits, clock: Clock) -> None:
        self._authorities = authorities
        self._limits = limits
        self._clock = clock
        self._calls: Counter[TransferCaller | str] = Counter()
        self._running: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def admitted(self, context: Any) -> AsyncIterator[TransferCaller]:
        """Give the block the caller's identity and a place; refusals and faults inside end the call properly."""
        with self._noted():
            async with answering(context):
                caller = self._identify(context)
                with self._place(caller):
                    yield caller

    async def ended(self, seconds: float) -> None:
        """Return when no call runs any more, or after `seconds`. gRPC itself does not wait for their clean-up."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)

    @contextmanager
    def _noted(self) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            yield
        finally:
            self._running.discard(task)

    def _identify(self, context: Any) -> TransferCaller:
        certificates = context.auth_context().get("x509_pem_cert", [])
        if len(certificates) != 1:
            raise NotTrusted("the connection has no client certificate")
        return self._authorities.identify(bytes(certificates[0]), self._clock.now_ms())

    @contextmanager
    def _place(self, caller: TransferCaller) -> Iterator[None]:
        places: list[tuple[TransferCaller | str, int, str]] = [
            (caller, self._limits.calls_per_identity, f"{caller.common_name} of {caller.msp_id}"),
            (caller.msp_id, self._limits.calls_per_organization, caller.msp_id),
        ]
        for holder, limit, name in places:
            if self._calls[holder] >= limit:
                raise Refused(
                    pb.REFUSAL_REASON_BUSY, f"{name} has {limit} calls under way already; try again later"
                )
        holders = [holder for holder, _, _ in places]
        self._calls.update(holders)
        try:
            yield
        finally:
            self._calls.subtract(holders)
            self._calls = +self._calls
