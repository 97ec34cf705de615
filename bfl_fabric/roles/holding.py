"""What holder nodes share: taking uploads into custody, fetching those they miss, adding them up.

Decides when a receipt is due and what the aggregate of a sealed round is. Whether an upload is well-formed is
decided by `schemes.UploadChecks`, before each receipt and before each sum.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bfl_chaincode.api.records import Phase, RoundView, UpdateCommitment
from bfl_fabric.errors import NotFound
from bfl_fabric.roles.actions import Action, in_phase
from bfl_fabric.roles.attempts import is_shared
from bfl_fabric.roles.evidence import (
    Statement,
    commitment_of,
    holders_of,
    members_updates,
    round_of,
    scores_sheet,
)
from bfl_fabric.roles.fetching import UPDATE_SOURCES, Fetcher
from bfl_fabric.roles.models import ModelChecks
from bfl_fabric.roles.progress import ProgressKind
from bfl_fabric.roles.receipts import Acknowledge, ReceiptDesk
from bfl_fabric.roles.schemes import TaskSchemes, UploadChecks
from bfl_fabric.roles.workbench import Workbench

STORING_SECONDS, STORING_TURNS = 2.0, 100
"""How long a receipt waits for the server to store what it accepted, and how often it looks."""

LAST_MS = 10_000
"""So long before the deadline of the uploads receipts wait for no others."""


@dataclass(frozen=True, slots=True)
class FetchUpdate(Action):
    """Bring a member's upload here from another holder."""

    participant_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class Recomputed:
    """The aggregate and the scores of a sealed round, as this node computed them; both are in its store."""

    aggregate_digest: str
    aggregate_bytes: int
    scores_digest: str

    @property
    def statement(self) -> Statement:
        return self.aggregate_digest, self.scores_digest


def receipts_due(view: RoundView, msp_id: str, held: Collection[str]) -> list[Action]:
    """Return a receipt for each upload that is here and that this holder organization has not acknowledged."""
    if not in_phase(view, Phase.COLLECTING) or msp_id not in round_of(view).holders:
        return []
    round_ = round_of(view)
    return [
        Acknowledge(round_.task_id, round_.number, update.participant_id, update.digest)
        for update in _unacknowledged(view, msp_id)
        if update.digest in held
    ]


def fetches_due(view: RoundView, held: Collection[str]) -> list[Action]:
    """Return a fetch for each member's upload that is not here."""
    round_ = round_of(view)
    return [
        FetchUpdate(round_.task_id, round_.number, update.participant_id, update.digest)
        for update in members_updates(view)
        if update.digest not in held
    ]


class Custody:
    """The uploads of a holder node and what can be computed of them."""

    def __init__(
        self,
        bench: Workbench,
        fetcher: Fetcher,
        checks: UploadChecks,
        models: ModelChecks,
        receipts: ReceiptDesk,
    ) -> None:
        self._bench = bench
        self._fetcher = fetcher
        self._checks = checks
        self._models = models
        self._receipts = receipts

    def held(self, view: RoundView) -> frozenset[str]:
        """Return the digests of the round's committed updates that are in the store; while the round collects,
        also of those that the server has accepted and is about to store."""
        blobs, collecting = self._bench.ports.blobs, in_phase(view, Phase.COLLECTING)
        digests = [update.digest for update in view.updates]
        return frozenset(
            digest
            for digest in digests
            if blobs.has(digest) or (collecting and self._checks.is_arriving(digest))
        )

    async def acknowledge(self, action: Acknowledge, view: RoundView) -> None:
        """Check the upload and submit the receipt. Raises MalformedInput instead of signing."""
        with self._receipts.expecting(action):
            await self._stored(action.digest)
            committed = _committed(view, action)
            path = self._bench.ports.blobs.path(committed.digest)
            if not self._checks.has_passed(committed):  # else the server checked it before it was stored
                await self._checks.check(view, committed, path)
        self._bench.report(ProgressKind.CHECKED, action, action.participant_id)
        await self._receipts.send(action, self._expected(view))

    async def fetch(self, action: FetchUpdate, view: RoundView) -> None:
        """Download a member's upload from any holder organization."""
        size_bytes = _committed(view, action).size_bytes
        holders = round_of(view).holders
        await self._fetcher.fetch(action, action.digest, size_bytes, UPDATE_SOURCES, holders)

    async def recompute(self, action: Action, view: RoundView, schemes: TaskSchemes) -> Recomputed:
        """Add the members' uploads up and score each against the direction; store all of it.

        Raises MalformedInput when an upload is not what its commitment says.
        """
        started, updates = self._bench.ports.clock.now_ms(), members_updates(view)
        for update in updates:
            await self._check(view, update)
        scheme = await schemes.of(view)
        paths = [self._bench.ports.blobs.path(update.digest) for update in updates]
        aggregate = await self._bench.work(scheme.aggregate, paths)
        result = Recomputed(
            await self._bench.keep(aggregate),
            len(aggregate),
            await self._score(action, view, schemes, updates),
        )
        self._bench.report(
            ProgressKind.AGGREGATED,
            action,
            members=len(updates),
            bytes=len(aggregate),
            milliseconds=self._bench.ports.clock.now_ms() - started,
        )
        return result

    def _expected(self, view: RoundView) -> list[str]:
        """Return whose uploads may still come: nobody's when the round may soon be sealed without them."""
        round_, me = round_of(view), self._bench.identity.msp_id
        if self._bench.ports.clock.now_ms() + LAST_MS > round_.deadline_at:
            return []
        return [name for name in round_.cohort if me not in holders_of(view, name)]

    async def _stored(self, digest: str) -> None:
        """Wait until the server has stored what it accepted; a receipt speaks of durable bytes only."""
        for _ in range(STORING_TURNS):
            if self._bench.ports.blobs.has(digest):
                break
            await self._bench.ports.clock.sleep(STORING_SECONDS / STORING_TURNS)
        self._checks.settle(digest)

    async def _check(self, view: RoundView, commitment: UpdateCommitment) -> None:
        await self._checks.check(view, commitment, self._bench.ports.blobs.path(commitment.digest))

    async def _score(
        self, action: Action, view: RoundView, schemes: TaskSchemes, updates: tuple[UpdateCommitment, ...]
    ) -> str:
        digest = round_of(view).direction_digest
        if not digest or is_shared(view):
            return ""  # under a shared key the members take scores of the uploads themselves
        packed = await self._models.direction(action, view, digest)
        direction = self._bench.ports.arithmetic.unpack_direction(
            packed, view.task.spec.model.parameter_count
        )
        scheme, rows = await schemes.of(view), []
        for update in updates:
            path = self._bench.ports.blobs.path(update.digest)
            score = await self._bench.work(scheme.score, path, direction)
            rows.append((update.participant_id, await self._bench.keep(score)))
        return await self._bench.keep(scores_sheet(rows))


def _unacknowledged(view: RoundView, msp_id: str) -> list[UpdateCommitment]:
    """Return the committed updates for which this organization has signed no receipt."""
    return [update for update in view.updates if msp_id not in holders_of(view, update.participant_id)]


def _committed(view: RoundView, action: Acknowledge | FetchUpdate) -> UpdateCommitment:
    commitment = commitment_of(view, action.participant_id)
    if commitment is None or commitment.digest != action.digest:
        raise NotFound(
            f"{action.participant_id} committed no {action.digest} in {action.task_id}/{action.round}"
        )
    return commitment
