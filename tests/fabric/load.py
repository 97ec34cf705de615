"""Writers that never stop, what was acknowledged to them, and how long they got nothing.

A transaction counts as acknowledged when the gateway's commit status says VALID, and only then. Whatever a call
fails with, its writer goes on with a new key, as an application would that does not care for the old one.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

from bfl_fabric.fabric.envelopes import ValidationCode
from bfl_fabric.fabric.gateway_transport import GatewayFailure
from tests.conformance.probe import Call, Probe, unique

CALL_SECONDS = 45.0
PAUSE_AFTER_FAILURE_SECONDS = 0.1


@dataclass
class Load:
    """What writers have seen. `moments` are those of the acknowledgements, by the gateway that gave them."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    moments: dict[int, list[float]] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)

    def pause_seconds(self, began: float, ended: float, organization: int | None = None) -> float:
        """Return the longest time without an acknowledgement, of one gateway or of all together."""
        chosen = self.moments.values() if organization is None else [self.moments.get(organization, [])]
        seen = sorted(at for moments in chosen for at in moments if began <= at <= ended)
        edges = [began, *seen, ended]
        return max(later - earlier for earlier, later in pairwise(edges))


@asynccontextmanager
async def writing(probe: Probe, load: Load, gateways: tuple[int, ...], each: int) -> AsyncIterator[None]:
    """Keep `each` writers per gateway at it until the end of the block; then let them finish."""
    stop = asyncio.Event()
    writers = [
        asyncio.create_task(_write(probe, load, gateway, stop)) for gateway in gateways for _ in range(each)
    ]
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*writers), 2 * CALL_SECONDS)


async def _write(probe: Probe, load: Load, gateway: int, stop: asyncio.Event) -> None:
    while not stop.is_set():
        key, value = unique("load"), unique("value")
        try:
            code = await committed(probe, Call("put", (key, value), organization=gateway))
        except GatewayFailure as failure:
            load.failures[f"{failure.status.name}: {str(failure)[:120]}"] += 1
            await asyncio.sleep(PAUSE_AFTER_FAILURE_SECONDS)
            continue
        assert code is ValidationCode.VALID, code
        load.acknowledged[key] = value
        load.moments.setdefault(gateway, []).append(time.monotonic())


async def committed(probe: Probe, call: Call) -> ValidationCode:
    """Endorse, hand over and wait, all through the gateway of the call's organization."""
    endorsed = await probe.endorsing(call)
    await probe.ordering(endorsed, call.organization)
    status = await probe.asking(
        endorsed.transaction_id, endorsed.signer, CALL_SECONDS, organization=call.organization
    )
    return status.code


async def resumed(load: Load, gateways: tuple[int, ...], seconds: float) -> None:
    """Return when each of these gateways has acknowledged something from now on."""
    began = time.monotonic()
    while not all(any(at > began for at in load.moments.get(gateway, [])[-5:]) for gateway in gateways):
        assert time.monotonic() < began + seconds, f"no commits for {seconds} s; {load.failures}"
        await asyncio.sleep(0.1)
