"""Waiting for a peer that is behind: one that joined, came back, or was restored."""

from __future__ import annotations

import asyncio
import time

from bfl_fabric.errors import LedgerError, LedgerUnavailable
from bfl_fabric.fabric.peer_client import PeerClient
from bfl_fabric.network.bringup import Site
from bfl_fabric.network.topology import OrganizationPlan

CATCH_UP_SECONDS = 120.0
_PAUSE_SECONDS = 0.1


async def caught_up(
    peer: PeerClient, channel_id: str, number: int, seconds: float = CATCH_UP_SECONDS
) -> None:
    """Return once a peer has a block. Raises LedgerUnavailable when it does not come to it in time.

    A peer that is behind may refuse every question: at block 0 it does not know its own organization yet, if that
    was added later.
    """
    deadline = time.monotonic() + seconds
    problem = ""
    while True:
        try:
            newest = await peer.newest(channel_id)
            problem = f"it is at block {newest}"
        except LedgerError as error:
            newest, problem = -1, str(error)
        if newest >= number:
            return
        if time.monotonic() > deadline:
            raise LedgerUnavailable(
                f"{peer.name} did not come to block {number} of {channel_id} within {seconds:.0f} s: {problem}"
            )
        await peer.administrator.clock.sleep(_PAUSE_SECONDS)


async def level(site: Site) -> None:
    """Wait until all peers that answer have the newest block of any: what one has committed, all endorse on."""
    members = site.topology.organizations
    newest = await asyncio.gather(*(_newest(site, item) for item in members))
    target = max(newest)
    behind = [item for item, number in zip(members, newest, strict=True) if 0 <= number < target]
    await asyncio.gather(*(_reach(site, item, target) for item in behind))


async def _newest(site: Site, organization: OrganizationPlan) -> int:
    async with site.peer_client(organization) as peer:
        try:
            return await peer.newest(site.topology.channel)
        except LedgerError:
            return -1


async def _reach(site: Site, organization: OrganizationPlan, number: int) -> None:
    async with site.peer_client(organization) as peer:
        await caught_up(peer, site.topology.channel, number)
