"""A key member's part in opening a verified round: its own reading of the ledger, its offer, its answers.

Decides by itself whether anything may be opened, as a single key holder does: it counts receipts and attestations,
adds the committed masks up itself, recomputes the direction, and remembers what it answered. Whose turn it is to do
what, is found by `turns`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import (
    NodeRole,
    Opening,
    RoundView,
    ShareSubject,
    UpdateCommitment,
)
from bfl_fabric.domain.ports import ShareHolder
from bfl_fabric.errors import AuditFailed, KeyHolderRefused, MalformedInput, NotFound
from bfl_fabric.roles import attempts
from bfl_fabric.roles.actions import Action
from bfl_fabric.roles.ceremony import secret_path
from bfl_fabric.roles.evidence import members_updates, round_of
from bfl_fabric.roles.fetching import KEY_SOURCES, SUM_SOURCES, UPDATE_SOURCES, Fetcher
from bfl_fabric.roles.models import ModelChecks
from bfl_fabric.roles.openable import ANSWERED, OPENED, KeyHolderState, verify_aggregate, verify_openable
from bfl_fabric.roles.progress import ProgressKind
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.schemes import TaskSchemes, epoch_of, expected_header
from bfl_fabric.roles.turns import (
    FIRST_ATTEMPT,
    Answer,
    Combine,
    GatherShares,
    KeepSum,
    Offer,
    OfOpening,
    OpeningState,
    Prepare,
    due,
)
from bfl_fabric.roles.workbench import Workbench, round_key

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Int64Vector


class Openings:
    """The openings of a key-holder node. `keys` is its folder for secret files."""

    def __init__(
        self, bench: Workbench, schemes: TaskSchemes, reader: LedgerReader, fetcher: Fetcher, keys: Path
    ) -> None:
        self._bench = bench
        self._schemes = schemes
        self._reader = reader
        self._fetcher = fetcher
        self._models = ModelChecks(bench, reader, fetcher)
        self._keys = keys
        self._holders: dict[str, tuple[int, ShareHolder]] = {}
        self._checked: set[UpdateCommitment] = set()

    def survey(self, view: RoundView) -> list[Action]:
        """Return what is due for the newest round of this task."""
        named = [share.digest for share in view.shares]
        if view.round is not None and view.round.sum_digest:
            named.append(view.round.sum_digest)
        held = frozenset(digest for digest in named if self._bench.ports.blobs.has(digest))
        me, now_ms = self._bench.identity.msp_id, self._bench.ports.clock.now_ms()
        prepared = frozenset(members_updates(view)) <= self._checked if view.round else False
        return due(view, OpeningState(me, now_ms, held, prepared))

    async def perform(self, action: Prepare | OfOpening) -> None:
        """Do one step. Raises the ports' errors; every step may be repeated."""
        match action:
            case Prepare():
                await self._prepare(action)
            case Offer():
                await self._offer(action)
            case Answer():
                await self._answer(action)
            case Combine(subject=ShareSubject.SCORES):
                await self._post_scores(action)
            case Combine():
                await self._release(action)
            case GatherShares():
                view = await self._reader.round(action.task_id, action.round)
                await self._shares(action, view, _opening(view, action), action.subject)
            case KeepSum():
                await self._keep_sum(action)
            case _:
                raise TypeError(f"no action of an opening: {action.label}")

    # --- offer and answer -----------------------------------------------------------------------

    async def _prepare(self, action: Prepare) -> None:
        view = await self._reader.round(action.task_id, action.round)
        await self._masks(action, view)
        await self._holder(view)
        if attempts.order_of(view)[0] == self._bench.identity.msp_id and round_of(view).direction_digest:
            await self._uploads(action, view)

    async def _offer(self, action: Offer) -> None:
        view = await self._openable(action)
        scheme = await self._schemes.joint(view)
        masks = await self._masks(action, view)
        request: dict[str, Json] = {
            **_of(action),
            "mask_digest": await self._bench.work(scheme.masks_digest, list(masks.values()), ()),
            "zero_digest": "",
            "zero_bytes": 0,
        }
        if action.attempt > FIRST_ATTEMPT:
            terms, count = attempts.terms_of(view, action.attempt), view.task.spec.model.parameter_count
            zero = await self._bench.work(scheme.zero, terms, self._bench.identity.msp_id, count)
            request |= {"zero_digest": await self._bench.keep(zero), "zero_bytes": len(zero)}
        self._remember_opened(action, view)
        await self._bench.transact(action, "opening:Offer", request)

    async def _answer(self, action: Answer) -> None:
        view = await self._openable(action)
        self._remember_opened(action, view)
        started, key = self._bench.ports.clock.now_ms(), _answer_key(action)
        digest = self._bench.ports.journal.find(ANSWERED, key)
        if digest is None or not self._bench.ports.blobs.has(digest):
            digest = await self._bench.keep(await self._share(action, view))
            self._bench.ports.journal.record(ANSWERED, key, digest)
        size_bytes = self._bench.ports.blobs.path(digest).stat().st_size
        request: dict[str, Json] = {
            **_of(action), "subject": action.subject.value, "digest": digest, "size_bytes": size_bytes
        }  # fmt: skip
        await self._bench.transact(action, "opening:PostShare", request)
        self._bench.report(
            ProgressKind.ANSWERED,
            action,
            action.subject.value,
            attempt=action.attempt,
            bytes=size_bytes,
            milliseconds=self._bench.ports.clock.now_ms() - started,
        )

    async def _share(self, action: Answer, view: RoundView) -> bytes:
        """Ask the share holder; it answers a question once, and the same question with the same bytes."""
        opening, masks = _opening(view, action), await self._masks(action, view)
        terms, holder = attempts.terms_of(view, action.attempt, opening), await self._holder(view)
        if action.subject is ShareSubject.SCORES:
            direction = await self._models.verified_direction(action, view)
            return await self._bench.work(holder.score_share, terms, direction, masks)
        zeros = await self._zeros(action, view, opening)
        return await self._bench.work(holder.sum_share, terms, list(masks.values()), zeros)

    # --- combine --------------------------------------------------------------------------------

    async def _post_scores(self, action: Combine) -> None:
        view = await self._openable(action)
        opening, scheme = _opening(view, action), await self._schemes.joint(view)
        direction = await self._models.verified_direction(action, view)
        uploads = await self._uploads(action, view)
        shares = await self._shares(action, view, opening, ShareSubject.SCORES)
        terms = attempts.terms_of(view, action.attempt, opening)
        try:
            found = await self._bench.work(scheme.combine_scores, terms, direction, uploads, shares)
        except MalformedInput as error:
            await self._blame(action, view, error)
            raise
        scores: list[Json] = [
            {"participant_id": member, "alignment": found[member]} for member in round_of(view).members
        ]
        request: dict[str, Json] = {"task_id": action.task_id, "round": action.round, "scores": scores}
        await self._bench.transact(action, "round:PostScores", request)
        self._bench.report(ProgressKind.SCORED, action, members=len(scores))

    async def _release(self, action: Combine) -> None:
        view = await self._openable(action)
        try:
            round_, packed = round_of(view), await self._sum(action, view)
        except MalformedInput as error:
            await self._blame(action, view, error)
            raise
        request: dict[str, Json] = {
            "task_id": action.task_id,
            "round": action.round,
            "aggregate_digest": round_.aggregate_digest,
            "sum_digest": await self._bench.keep(packed),
            "sum_bytes": len(packed),
        }
        await self._bench.transact(action, "round:ReleaseShare", request)
        self._bench.report(ProgressKind.OPENED, action, members=len(round_.members), bytes=len(packed))

    async def _keep_sum(self, action: KeepSum) -> None:
        """Raises AuditFailed when the shares make another sum than was released."""
        view = await self._reader.round(action.task_id, action.round)
        found = await self._bench.keep(await self._sum(action, view))
        if found != round_of(view).sum_digest:
            raise AuditFailed(
                f"the sum of {action.task_id} round {action.round} is {round_of(view).sum_digest} on the ledger, "
                f"but the shares make {found}; do not use it"
            )

    async def _sum(self, action: OfOpening, view: RoundView) -> bytes:
        """Return the packed exact sum that the answers of this attempt make."""
        round_, opening, scheme = round_of(view), _opening(view, action), await self._schemes.joint(view)
        sources = (*UPDATE_SOURCES, *SUM_SOURCES)
        aggregate = await self._bring(action, round_.aggregate_digest, round_.aggregate_bytes, sources)
        verify_aggregate(view, await self._bench.work(scheme.inspect_aggregate, aggregate))
        zeros, shares = (
            await self._zeros(action, view, opening),
            await self._shares(action, view, opening, ShareSubject.SUM),
        )
        terms = attempts.terms_of(view, action.attempt, opening)
        total: Int64Vector = await self._bench.work(scheme.combine, terms, aggregate, zeros, shares)
        return self._bench.ports.arithmetic.pack_sum(total)

    async def _blame(self, action: Combine, view: RoundView, error: MalformedInput) -> None:
        """Name the holder of a malformed share, if it is one; the evidence is the share itself, for all to read.

        A well-formed share that is wrong is not found here: for that holders would have to prove theirs.
        """
        posted = attempts.shares_of(view, _opening(view, action), action.subject)
        for name, share in posted.items():
            if f"the share of {name}:" in str(error) and name != self._bench.identity.msp_id:
                request: dict[str, Json] = {**_of(action), "against": name, "evidence_digest": share.digest}
                await self._bench.transact(action, "opening:Blame", request)
                self._bench.report(ProgressKind.BLAMED, action, name, attempt=action.attempt)

    # --- what it takes --------------------------------------------------------------------------

    async def _openable(self, action: Action) -> RoundView:
        """Return the round if anything of it may be opened. Raises KeyHolderRefused."""
        view = await self._reader.round(action.task_id, action.round)
        opened = self._bench.ports.journal.find(OPENED, round_key(action.task_id, action.round))
        verify_openable(view, KeyHolderState(self._bench.identity.msp_id, opened or "", ""))
        return view

    def _remember_opened(self, action: Action, view: RoundView) -> None:
        key = round_key(action.task_id, action.round)
        self._bench.ports.journal.record(OPENED, key, round_of(view).aggregate_digest)

    async def _masks(self, action: Action, view: RoundView) -> dict[str, Path]:
        """Return each member's mask by participant id, each the committed one. Raises MalformedInput."""
        updates = members_updates(view)
        paths = await asyncio.gather(
            *(self._bring(action, one.mask_digest, one.mask_bytes, UPDATE_SOURCES) for one in updates)
        )
        scheme = await self._schemes.joint(view)
        for update, path in zip(updates, paths, strict=True):
            if update not in self._checked:
                header = await self._bench.work(scheme.inspect_mask, path)
                committed = expected_header(view, update)
                if header != replace(committed, digest=update.mask_digest, size_bytes=update.mask_bytes):
                    raise MalformedInput(f"the mask of {update.participant_id} says {header}")
                self._checked.add(update)
        return {update.participant_id: path for update, path in zip(updates, paths, strict=True)}

    async def _uploads(self, action: Action, view: RoundView) -> dict[str, Path]:
        """Return each member's whole upload by participant id; they are public among key members."""
        updates = members_updates(view)
        paths = await asyncio.gather(
            *(self._bring(action, one.digest, one.size_bytes, UPDATE_SOURCES) for one in updates)
        )
        return {update.participant_id: path for update, path in zip(updates, paths, strict=True)}

    async def _zeros(self, action: Action, view: RoundView, opening: Opening) -> list[Path]:
        """Return the zeros that the active members contribute to this attempt; none in the first."""
        offers = attempts.zeros_of(view, opening)
        if opening.attempt > FIRST_ATTEMPT and len(offers) != len(opening.members):
            raise KeyHolderRefused(f"an active member of attempt {opening.attempt} contributes no zero")
        return [
            await self._bring(action, offer.zero_digest, offer.zero_bytes, KEY_SOURCES, offer.msp_id)
            for offer in offers
        ]

    async def _shares(
        self, action: Action, view: RoundView, opening: Opening, subject: ShareSubject
    ) -> Mapping[str, Path]:
        posted = attempts.shares_of(view, opening, subject)
        if tuple(posted) != opening.members:
            raise NotFound(f"not every active member has answered for the {subject}")
        paths = await asyncio.gather(
            *(
                self._bring(action, share.digest, share.size_bytes, KEY_SOURCES, name)
                for name, share in posted.items()
            )
        )
        return dict(zip(posted, paths, strict=True))

    async def _bring(
        self, action: Action, digest: str, size_bytes: int, roles: Sequence[NodeRole], of: str = ""
    ) -> Path:
        await self._fetcher.fetch(action, digest, size_bytes, roles, (of,) if of else ())
        return self._bench.ports.blobs.path(digest)

    async def _holder(self, view: RoundView) -> ShareHolder:
        """Return the holder of this member's share of the round's key; an older one of the task ends."""
        epoch = epoch_of(view)
        number, holder = self._holders.get(epoch.task_id, (0, None))
        if holder is None or number != epoch.epoch:
            await self._schemes.joint(view)
            joint_key = await self._bench.read(epoch.public_key_digest)
            path = secret_path(self._keys, epoch.task_id, epoch.epoch)
            make = self._bench.ports.schemes.holder
            made = await self._bench.work(make, view.task.spec.encryption, joint_key, path)
            if holder is not None:
                holder.close()
            self._holders[epoch.task_id] = (epoch.epoch, made)
            return made
        return holder


def _opening(view: RoundView, action: OfOpening) -> Opening:
    """Return the action's attempt if it is the newest. Raises KeyHolderRefused."""
    if not view.openings or view.openings[-1].attempt != action.attempt:
        raise KeyHolderRefused(f"attempt {action.attempt} is not the newest of {action.label}")
    opening = view.openings[-1]
    if opening.aggregate_digest != round_of(view).aggregate_digest:
        raise KeyHolderRefused(f"attempt {action.attempt} is for another aggregate")
    return opening


def _of(action: OfOpening) -> dict[str, Json]:
    return {"task_id": action.task_id, "round": action.round, "attempt": action.attempt}


def _answer_key(action: Answer) -> str:
    return f"{round_key(action.task_id, action.round)}/{action.attempt}/{action.subject}"
