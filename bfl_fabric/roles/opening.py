"""A key member's part in opening a verified round: its own reading of the ledger, its offer, its answers.

Decides by itself whether anything may be opened, as a single key holder does: it counts receipts and attestations,
adds the committed masks up itself, recomputes the direction, and remembers what it answered. Whose turn it is to do
what, is found by `turns`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import Opening, RoundView, ShareSubject
from bfl_fabric.domain.ports import LedgerEvent
from bfl_fabric.errors import (
    AuditFailed,
    KeyHolderRefused,
    MalformedInput,
)
from bfl_fabric.roles import attempts
from bfl_fabric.roles.actions import Action
from bfl_fabric.roles.colleagues import Colleagues
from bfl_fabric.roles.evidence import round_of
from bfl_fabric.roles.fetching import Fetcher
from bfl_fabric.roles.materials import Materials
from bfl_fabric.roles.models import ModelChecks
from bfl_fabric.roles.openable import (
    ANSWERED,
    OpenableRounds,
    answer_key,
    standing,
    verify_sealed,
)
from bfl_fabric.roles.progress import ProgressKind
from bfl_fabric.roles.proofs import Proofs
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.schemes import TaskSchemes
from bfl_fabric.roles.share_holders import LoadShare, ShareHolders
from bfl_fabric.roles.turns import (
    Answer,
    Begin,
    Combine,
    GatherShares,
    GetReady,
    Judge,
    KeepSum,
    Offer,
    OfOpening,
    OpeningState,
    Prove,
    concerns,
    due,
)
from bfl_fabric.roles.unopened import UnopenedAttempts
from bfl_fabric.roles.workbench import Workbench

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Int64Vector

TOGETHER_SECONDS = 0.1
"""How long the answer for the scores waits for that for the sum, to go in one transaction with it. That is enough with
small models; with large ones the scores are combined while the members still work on the sum."""


class Openings:
    """The openings of a key-holder node. `keys` is its folder for secret files."""

    def __init__(
        self, bench: Workbench, schemes: TaskSchemes, reader: LedgerReader, fetcher: Fetcher, keys: Path
    ) -> None:
        self._bench = bench
        self._schemes = schemes
        self._reader = reader
        self._materials = Materials(bench, schemes, fetcher)
        self._models = ModelChecks(bench, reader, fetcher)
        self._rounds = OpenableRounds(bench, reader)
        self._holders = ShareHolders(bench, schemes, keys)
        self._colleagues = Colleagues(bench, reader)
        self._unopened = UnopenedAttempts(
            bench, schemes, self._rounds, self._materials, self._holders, Proofs(bench, reader)
        )
        self._answering: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def is_deaf_to(self, event: LedgerEvent) -> bool:
        """Say whether this step of a round is for other members, as the round stood when it was last surveyed."""
        if event.name == "opening:Begin":
            return self._bench.identity.msp_id not in event.event.refs
        view = self._reader.last(event.event.task)
        if view is None or view.round is None or view.round.number != event.event.round:
            return False
        return not concerns(view, self._bench.identity.msp_id, event.name)

    def survey(self, view: RoundView) -> list[Action]:
        """Return what is due for the newest round of this task, and for its key."""
        self._colleagues.note(view)
        named = [share.digest for share in view.shares]
        if view.round is not None and view.round.sum_digest:
            named.append(view.round.sum_digest)
        held = frozenset(digest for digest in named if self._bench.ports.blobs.has(digest))
        me, now_ms = self._bench.identity.msp_id, self._bench.ports.clock.now_ms()
        return [
            *self._holders.due(view),
            *due(view, self._unopened.completed(view, OpeningState(me, now_ms, held))),
        ]

    async def keep(self, task_ids: Collection[str]) -> None:
        """Let the shares for all other tasks leave memory."""
        self._colleagues.keep(task_ids)
        await self._holders.keep(task_ids)

    async def perform(self, action: OfOpening | LoadShare) -> None:
        """Do one step. Raises the ports' errors; every step may be repeated."""
        match action:
            case LoadShare():
                await self._holders.of(await self._reader.current(action.task_id))
            case GetReady():
                await self._get_ready(action, await self._reader.seen(action.task_id, action.round))
            case Begin():
                await self._begin(action, await self._reader.seen(action.task_id, action.round))
            case Offer():
                await self._offer(action, await self._reader.seen(action.task_id, action.round))
            case Answer():
                await self._answer(action)
            case Combine(subject=ShareSubject.SCORES):
                await self._post_scores(action)
            case Combine():
                await self._release(action)
            case Prove():
                await self._unopened.prove(action)
            case Judge():
                await self._unopened.judge(action)
            case GatherShares():
                view = await self._reader.round(action.task_id, action.round)
                await self._materials.shares(action, view, standing(view, action.attempt), action.subject)
            case KeepSum():
                await self._keep_sum(action)
            case _:
                raise TypeError(f"no action of an opening: {action.label}")

    # --- begin, offer, answer -------------------------------------------------------------------

    async def _get_ready(self, action: GetReady, view: RoundView) -> None:
        """Load all that answers take, so that they come at once."""
        verify_sealed(view, self._bench.identity.msp_id)
        loading: list[Awaitable[object]] = [
            self._holders.of(view),
            self._materials.masks(action, view),
        ]
        if round_of(view).direction_digest:
            loading.append(self._models.verified_direction(action, view))
            if attempts.order_of(view)[0] == self._bench.identity.msp_id:
                loading.append(self._materials.uploads(action, view))
        await asyncio.gather(*loading)

    async def _begin(self, action: Begin, view: RoundView) -> None:
        """Begin with the first members that can be reached; who has lost its own share fails here, and others begin."""
        verify_sealed(view, self._bench.identity.msp_id)
        await self._holders.of(view)
        members: list[Json] = list(await self._colleagues.able(view))
        await self._bench.transact(action, "opening:Begin", {**action.named, "members": members})

    async def _offer(self, action: Offer, view: RoundView) -> None:
        """Offer with the share at hand, and with a fresh encryption of zero."""
        verify_sealed(view, self._bench.identity.msp_id)
        _, masks_digest = await asyncio.gather(
            self._holders.of(view), self._materials.masks_digest(action, view)
        )
        scheme, terms = await self._schemes.joint(view), attempts.terms_of(view, action.attempt)
        count = view.task.spec.model.parameter_count
        zero = await self._bench.work(scheme.zero, terms, self._bench.identity.msp_id, count)
        request: dict[str, Json] = {
            **action.named,
            "mask_digest": masks_digest,
            "zero_digest": await self._bench.keep(zero),
            "zero_bytes": len(zero),
        }
        await self._bench.transact(action, "opening:Offer", request)

    async def _answer(self, action: Answer) -> None:
        """Answer for the scores and for the sum, in one transaction unless the second answer takes long to make."""
        view = await self._rounds.read(action)
        self._rounds.remember(action, view)
        opening, me = standing(view, action.attempt), self._bench.identity.msp_id
        started, subjects = self._bench.ports.clock.now_ms(), attempts.unanswered(view, opening, me)
        making = {
            subject: asyncio.create_task(self._kept_share(action, view, opening, subject))
            for subject in subjects
        }
        try:
            while making:
                await next(iter(making.values()))
                await asyncio.wait(making.values(), timeout=TOGETHER_SECONDS)
                made = {subject: task.result() for subject, task in making.items() if _is_made(task)}
                await self._post(action, made, started)
                making = {subject: task for subject, task in making.items() if subject not in made}
        finally:
            for task in making.values():
                task.cancel()
            await asyncio.gather(*making.values(), return_exceptions=True)

    async def _post(self, action: Answer, made: Mapping[ShareSubject, str], started: int) -> None:
        sizes = {digest: self._bench.ports.blobs.path(digest).stat().st_size for digest in made.values()}
        shares: list[Json] = [
            {"subject": subject.value, "digest": digest, "size_bytes": sizes[digest]}
            for subject, digest in made.items()
        ]
        await self._bench.transact(action, "opening:PostShares", {**action.named, "shares": shares})
        for subject, digest in made.items():
            self._bench.report(
                ProgressKind.ANSWERED,
                action,
                subject.value,
                attempt=action.attempt,
                bytes=sizes[digest],
                milliseconds=self._bench.ports.clock.now_ms() - started,
            )

    async def _kept_share(
        self, action: Answer, view: RoundView, opening: Opening, subject: ShareSubject
    ) -> str:
        """Return the digest of the member's answer, which is made once and in the store.

        A task's answers are made one after the other: the scores', which comes first, may be on its way while the
        sum's is made.
        """
        key, journal = answer_key(opening, subject), self._bench.ports.journal
        async with self._answering[action.task_id]:
            digest = journal.find(ANSWERED, key)
            if digest is None or not self._bench.ports.blobs.has(digest):
                digest = await self._bench.keep(await self._share(action, view, opening, subject))
                journal.record(ANSWERED, key, digest)
        return digest

    async def _share(self, action: Answer, view: RoundView, opening: Opening, subject: ShareSubject) -> bytes:
        """Ask the share holder; it answers a question once, and the same question with the same bytes."""
        masks = await self._materials.masks(action, view)
        terms, holder = attempts.terms_of(view, action.attempt, opening), await self._holders.of(view)
        if subject is ShareSubject.SCORES:
            direction = await self._models.verified_direction(action, view)
            return await self._bench.work(holder.score_share, terms, direction, masks)
        zeros = await self._materials.zeros(action, view, opening)
        return await self._bench.work(holder.sum_share, terms, list(masks.values()), zeros)

    # --- combine --------------------------------------------------------------------------------

    async def _post_scores(self, action: Combine) -> None:
        view = await self._rounds.read(action)
        opening, scheme = standing(view, action.attempt), await self._schemes.joint(view)
        direction = await self._models.verified_direction(action, view)
        uploads = await self._materials.uploads(action, view)
        shares = await self._materials.shares(action, view, opening, ShareSubject.SCORES)
        terms = attempts.terms_of(view, action.attempt, opening)
        try:
            found = await self._bench.work(scheme.combine_scores, terms, direction, uploads, shares)
        except MalformedInput as error:
            await self._unopened.blame(action, view, error)
            raise
        scores: list[Json] = [
            {"participant_id": member, "alignment": found[member]} for member in round_of(view).members
        ]
        request: dict[str, Json] = {"task_id": action.task_id, "round": action.round, "scores": scores}
        posting = self._bench.transact(action, "round:PostScores", request)
        await asyncio.gather(posting, self._materials.aggregate(action, view))
        self._bench.report(ProgressKind.SCORED, action, members=len(scores))

    async def _release(self, action: Combine) -> None:
        view = await self._rounds.read(action)
        try:
            round_, (digest, size_bytes) = round_of(view), await self._sum(action, view)
        except MalformedInput as error:
            await self._unopened.blame(action, view, error)
            raise
        request: dict[str, Json] = {
            "task_id": action.task_id,
            "round": action.round,
            "aggregate_digest": round_.aggregate_digest,
            "sum_digest": digest,
            "sum_bytes": size_bytes,
        }
        await self._bench.transact(action, "round:ReleaseShare", request)
        self._bench.report(ProgressKind.OPENED, action, members=len(round_.members), bytes=size_bytes)

    async def _keep_sum(self, action: KeepSum) -> None:
        """Raises AuditFailed when the shares make another sum than was released."""
        view = await self._reader.round(action.task_id, action.round)
        found, _ = await self._sum(action, view)
        if found != round_of(view).sum_digest:
            raise AuditFailed(
                f"the sum of {action.task_id} round {action.round} is {round_of(view).sum_digest} on the ledger, "
                f"but the shares make {found}; do not use it"
            )

    async def _sum(self, action: OfOpening, view: RoundView) -> tuple[str, int]:
        """Return digest and size of the packed exact sum that the answers of this attempt make; it is in the store."""
        opening, scheme = standing(view, action.attempt), await self._schemes.joint(view)
        aggregate = await self._materials.aggregate(action, view)
        zeros, shares = (
            await self._materials.zeros(action, view, opening),
            await self._materials.shares(action, view, opening, ShareSubject.SUM),
        )
        terms = attempts.terms_of(view, action.attempt, opening)
        try:
            total: Int64Vector = await self._bench.work(scheme.combine, terms, aggregate, zeros, shares)
        except KeyHolderRefused:
            self._unopened.note_unopened(opening)
            raise
        packed = self._bench.ports.arithmetic.pack_sum(total)
        return await self._bench.keep(packed), len(packed)


def _is_made(task: asyncio.Task[str]) -> bool:
    return task.done() and task.exception() is None
