"""What an opening takes: masks, uploads, aggregate, zeros and shares, each fetched and held against the ledger.

Decides that bytes are the ones that the ledger names for a participant or a member. What is made of them, and whether
anything may be opened, is decided in `opening`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bfl_chaincode.api.records import NodeRole, Opening, RoundView, ShareSubject, UpdateCommitment
from bfl_fabric.errors import KeyHolderRefused, MalformedInput, NotFound
from bfl_fabric.roles import attempts
from bfl_fabric.roles.actions import Action
from bfl_fabric.roles.evidence import members_updates, round_of
from bfl_fabric.roles.fetching import KEY_SOURCES, SUM_SOURCES, UPDATE_SOURCES, Fetcher
from bfl_fabric.roles.openable import verify_aggregate
from bfl_fabric.roles.schemes import TaskSchemes, expected_header
from bfl_fabric.roles.turns import FIRST_ATTEMPT
from bfl_fabric.roles.workbench import Workbench


class Materials:
    """The blobs of a key holder's openings; masks that passed are not checked again by this process."""

    def __init__(self, bench: Workbench, schemes: TaskSchemes, fetcher: Fetcher) -> None:
        self._bench = bench
        self._schemes = schemes
        self._fetcher = fetcher
        self._checked: set[UpdateCommitment] = set()
        self._verified = ""

    async def masks(self, action: Action, view: RoundView) -> dict[str, Path]:
        """Return each member's mask by participant id, each the committed one. Raises MalformedInput."""
        updates = members_updates(view)
        paths = await self._parts(action, [(one.mask_digest, one.mask_bytes) for one in updates])
        scheme = await self._schemes.joint(view)
        for update, path in zip(updates, paths, strict=True):
            if update not in self._checked:
                header = await self._bench.work(scheme.inspect_mask, path)
                committed = expected_header(view, update)
                if header != replace(committed, digest=update.mask_digest, size_bytes=update.mask_bytes):
                    raise MalformedInput(f"the mask of {update.participant_id} says {header}")
                self._checked.add(update)
        return {update.participant_id: path for update, path in zip(updates, paths, strict=True)}

    async def masks_digest(self, action: Action, view: RoundView) -> str:
        """Return the digest of the sum of the members' masks."""
        masks, scheme = await self.masks(action, view), await self._schemes.joint(view)
        return await self._bench.work(scheme.masks_digest, list(masks.values()), ())

    async def uploads(self, action: Action, view: RoundView) -> dict[str, Path]:
        """Return each member's whole upload by participant id; they are public among key members."""
        updates = members_updates(view)
        paths = await self._parts(action, [(one.digest, one.size_bytes) for one in updates])
        return {update.participant_id: path for update, path in zip(updates, paths, strict=True)}

    async def aggregate(self, action: Action, view: RoundView) -> Path:
        """Return the round's aggregate, which is the sum of exactly the sealed set. Raises KeyHolderRefused."""
        round_, sources = round_of(view), (*UPDATE_SOURCES, *SUM_SOURCES)
        path = await self.bring(action, round_.aggregate_digest, round_.aggregate_bytes, sources)
        if self._verified != round_.aggregate_digest:
            scheme = await self._schemes.joint(view)
            verify_aggregate(view, await self._bench.work(scheme.inspect_aggregate, path))
            self._verified = round_.aggregate_digest
        return path

    async def zeros(self, action: Action, view: RoundView, opening: Opening) -> list[Path]:
        """Return the zeros that the active members contribute to this attempt; none in the first."""
        offers = attempts.zeros_of(view, opening)
        if opening.attempt > FIRST_ATTEMPT and len(offers) != len(opening.members):
            raise KeyHolderRefused(f"an active member of attempt {opening.attempt} contributes no zero")
        return [
            await self.bring(action, offer.zero_digest, offer.zero_bytes, KEY_SOURCES, offer.msp_id)
            for offer in offers
        ]

    async def shares(
        self, action: Action, view: RoundView, opening: Opening, subject: ShareSubject
    ) -> Mapping[str, Path]:
        posted = attempts.shares_of(view, opening, subject)
        if tuple(posted) != opening.members:
            raise NotFound(f"not every active member has answered for the {subject}")
        paths = await asyncio.gather(
            *(
                self.bring(action, share.digest, share.size_bytes, KEY_SOURCES, name)
                for name, share in posted.items()
            )
        )
        return dict(zip(posted, paths, strict=True))

    async def _parts(self, action: Action, named: Sequence[tuple[str, int]]) -> list[Path]:
        """Bring uploads or their masks, by digest and size, from the own organization's holder if it is one."""
        await self._fetcher.fetch_all(action, dict(named), UPDATE_SOURCES, at_home=True)
        return [self._bench.ports.blobs.path(digest) for digest, _ in named]

    async def bring(
        self, action: Action, digest: str, size_bytes: int, roles: Sequence[NodeRole], of: str = ""
    ) -> Path:
        await self._fetcher.fetch(action, digest, size_bytes, roles, (of,) if of else ())
        return self._bench.ports.blobs.path(digest)
