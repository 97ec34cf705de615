"""The key holder: makes the task's key, and opens scores and sum of what the ledger shows as verified.

Decides by itself whether anything may be opened: it counts receipts and attestations in the ledger's records and
does not rely on the phase alone, it remembers what it opened, and it recomputes the direction, because a crafted
direction would open a single coordinate. What a score is worth is the contract's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import NodeRole, Phase, RoundView, TaskStatus
from bfl_fabric.domain.ports import AggregateHeader, SecretOpener
from bfl_fabric.errors import KeyHolderRefused
from bfl_fabric.roles.actions import Action, in_phase, never
from bfl_fabric.roles.evidence import agreed, delivered, members_updates, round_of, scores_sheet_bytes
from bfl_fabric.roles.fetching import SUM_SOURCES, Fetcher
from bfl_fabric.roles.progress import ProgressKind
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.schemes import TaskSchemes, epoch_of
from bfl_fabric.roles.workbench import Workbench, round_key

FIRST_EPOCH = 1
SCORE_SOURCES = (NodeRole.AGGREGATOR, NodeRole.VERIFIER)
OPENED, SCORED = "opened", "scored"


@dataclass(frozen=True, slots=True)
class OpenEpoch(Action):
    """Make the task's key pair and put the digest of its public part on the ledger."""


@dataclass(frozen=True, slots=True)
class OpenScores(Action):
    """Open one scalar per member and post them."""


@dataclass(frozen=True, slots=True)
class OpenSum(Action):
    """Open the verified aggregate, store the exact sum, put its digest on the ledger."""


@dataclass(frozen=True, slots=True)
class KeyHolderState:
    """What the key holder knows beside the ledger: what it opened in this round, "" for nothing so far."""

    msp_id: str
    opened_aggregate: str
    opened_scores: str


def due(view: RoundView, me: KeyHolderState) -> list[Action]:
    """Return what a key holder is asked to do; `verify_openable` says whether it does."""
    task = view.task
    if task.spec.roles.key_holder != me.msp_id:
        return []
    if view.key_epoch is None and task.status in (TaskStatus.PUBLISHED, TaskStatus.RUNNING):
        return [OpenEpoch(task.spec.task_id, 0)]
    if not in_phase(view, Phase.VERIFIED):
        return []
    round_ = round_of(view)
    if round_.direction_digest and view.scores is None:
        return [OpenScores(round_.task_id, round_.number)]
    return [OpenSum(round_.task_id, round_.number)]


def verify_openable(view: RoundView, me: KeyHolderState) -> None:
    """Check every condition under which something of this round may be opened. Raises KeyHolderRefused."""
    round_, spec = round_of(view), view.task.spec
    updates = members_updates(view)
    conditions = (
        (spec.roles.key_holder == me.msp_id, f"{me.msp_id} is not the task's key holder"),
        (in_phase(view, Phase.VERIFIED), f"the phase is {round_.phase}, not VERIFIED"),
        (epoch_of(view).epoch == round_.epoch, f"the round is of epoch {round_.epoch}, another is open"),
        (
            len(frozenset(round_.members)) >= max(2, spec.cohort.minimum),
            "fewer members than the minimum cohort",
        ),
        (frozenset(round_.members) <= delivered(view), "a member's update has not enough receipts"),
        (tuple(update.participant_id for update in updates) == round_.members, "a member has no commitment"),
        (sum(update.weight for update in updates) == round_.total_weight, "the weights do not add up"),
        (agreed(view), "too few organizations attested this aggregate"),
        (me.opened_aggregate in ("", round_.aggregate_digest), "another aggregate of this round was opened"),
        (me.opened_scores in ("", round_.scores_digest), "other scores of this round were opened"),
    )
    for holds, objection in conditions:
        if not holds:
            raise KeyHolderRefused(f"{round_.task_id} round {round_.number} stays closed: {objection}")


def verify_aggregate(view: RoundView, header: AggregateHeader) -> None:
    """Check that an aggregate blob is the sum of exactly the sealed set. Raises KeyHolderRefused."""
    round_, spec = round_of(view), view.task.spec
    expected = AggregateHeader(
        round_.task_id,
        round_.number,
        round_.epoch,
        spec.encryption.parameters_digest,
        spec.model.parameter_count,
        len(round_.members),
        round_.total_weight,
        round_.aggregate_digest,
        round_.aggregate_bytes,
    )
    if header != expected:
        raise KeyHolderRefused(f"the aggregate says {header}, the ledger {expected}; it stays closed")


def read_scores_sheet(data: bytes, members: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return (participant_id, digest) of each member's score ciphertext. Raises KeyHolderRefused."""
    try:
        rows = canonical.parse(data)
    except canonical.NotCanonical as error:
        raise KeyHolderRefused(f"the sheet of score ciphertexts cannot be read: {error}") from error
    pairs = [_pair(row) for row in rows] if isinstance(rows, list) else []
    if tuple(participant_id for participant_id, _ in pairs) != members:
        raise KeyHolderRefused("the sheet of score ciphertexts does not list exactly the members")
    return pairs


def _pair(row: canonical.Json) -> tuple[str, str]:
    match row:
        case [str(participant_id), str(digest)]:
            return participant_id, digest
        case _:
            raise KeyHolderRefused("a row of the sheet of score ciphertexts is not [participant_id, digest]")


class KeyHolderRole:
    """The reconciler of a key-holder node, for every task that names its organization.

    `keys` is a folder of mode 0700 for the secret key files; nothing else of this process writes there.
    """

    def __init__(self, bench: Workbench, schemes: TaskSchemes, keys: Path) -> None:
        self._bench = bench
        self._schemes = schemes
        self._keys = keys
        self._reader = LedgerReader(bench.ports.ledger)
        self._fetcher = Fetcher(bench, self._reader)
        self._openers: dict[str, SecretOpener] = {}

    @property
    def name(self) -> str:
        return self._bench.identity.name

    async def survey(self) -> list[Action]:
        found: list[Action] = []
        for task in await self._reader.tasks():
            mine = task.spec.roles.key_holder == self._bench.identity.msp_id
            if mine and task.status in (TaskStatus.PUBLISHED, TaskStatus.RUNNING):
                view = await self._reader.current(task.spec.task_id)
                found += due(view, self._state(view))
        return found

    def _state(self, view: RoundView) -> KeyHolderState:
        if view.round is None:
            return KeyHolderState(self._bench.identity.msp_id, "", "")
        key, journal = round_key(view.round.task_id, view.round.number), self._bench.ports.journal
        return KeyHolderState(
            self._bench.identity.msp_id, journal.find(OPENED, key) or "", journal.find(SCORED, key) or ""
        )

    async def stirred(self) -> None:
        await never()

    async def perform(self, action: Action) -> None:
        match action:
            case OpenEpoch():
                await self._open_epoch(action)
            case OpenScores():
                await self._open_scores(action)
            case OpenSum():
                await self._open_sum(action)
            case _:
                raise TypeError(f"no action of a key holder: {action.label}")

    async def _open_epoch(self, action: OpenEpoch) -> None:
        terms = (await self._reader.current(action.task_id)).task.spec.encryption
        create, path = self._bench.ports.schemes.create_key, self._secret_path(action.task_id, FIRST_EPOCH)
        public_key = await self._bench.work(create, terms, FIRST_EPOCH, path)
        request: dict[str, canonical.Json] = {
            "task_id": action.task_id,
            "epoch": FIRST_EPOCH,
            "parameters_digest": terms.parameters_digest,
            "public_key_digest": await self._bench.keep(public_key),
            "public_key_bytes": len(public_key),
        }
        await self._bench.transact(action, "key:OpenEpoch", request)

    async def _open_scores(self, action: OpenScores) -> None:
        view = await self._openable(action)
        round_ = round_of(view)
        await self._verify_direction(action, view)
        sheet = await self._bring(action, round_.scores_digest, scores_sheet_bytes(round_.members))
        size_bytes = (await self._schemes.of(view)).score_size_bytes(view.task.spec.model.parameter_count)
        ciphertexts = [
            (member, await self._bring(action, digest, size_bytes))
            for member, digest in read_scores_sheet(sheet, round_.members)
        ]
        opener = await self._opener(view)
        await self._verify_in_bounds(action, view, opener)
        self._remember(OPENED, action, round_.aggregate_digest)
        self._remember(SCORED, action, round_.scores_digest)
        scores: list[canonical.Json] = [
            {"participant_id": member, "alignment": await self._bench.work(opener.open_score, ciphertext)}
            for member, ciphertext in ciphertexts
        ]
        request: dict[str, canonical.Json] = {
            "task_id": action.task_id,
            "round": action.round,
            "scores": scores,
        }
        await self._bench.transact(action, "round:PostScores", request)
        self._bench.report(ProgressKind.SCORED, action, members=len(scores))

    async def _aggregate(self, action: Action, view: RoundView) -> Path:
        """Return the file of the aggregate, fetched and held against the ledger."""
        round_ = round_of(view)
        await self._bring(action, round_.aggregate_digest, round_.aggregate_bytes)
        path = self._bench.ports.blobs.path(round_.aggregate_digest)
        scheme = await self._schemes.of(view)
        verify_aggregate(view, await self._bench.work(scheme.inspect_aggregate, path))
        return path

    async def _verify_in_bounds(self, action: Action, view: RoundView, opener: SecretOpener) -> None:
        """Check that the sum would open before any scalar is released; the sum itself is dropped here.

        A ciphertext that was crafted to leak through scores mostly does not add up to a sum within bounds.
        """
        await self._bench.work(
            opener.open_sum, await self._aggregate(action, view), len(round_of(view).members)
        )

    async def _open_sum(self, action: OpenSum) -> None:
        view = await self._openable(action)
        round_ = round_of(view)
        path, opener = await self._aggregate(action, view), await self._opener(view)
        self._remember(OPENED, action, round_.aggregate_digest)
        total = await self._bench.work(opener.open_sum, path, len(round_.members))
        packed = self._bench.ports.arithmetic.pack_sum(total)
        request: dict[str, canonical.Json] = {
            "task_id": action.task_id,
            "round": action.round,
            "aggregate_digest": round_.aggregate_digest,
            "sum_digest": await self._bench.keep(packed),
            "sum_bytes": len(packed),
        }
        await self._bench.transact(action, "round:ReleaseShare", request)
        self._bench.report(ProgressKind.OPENED, action, members=len(round_.members), bytes=len(packed))

    async def _openable(self, action: Action) -> RoundView:
        view = await self._reader.round(action.task_id, action.round)
        verify_openable(view, self._state(view))
        return view

    async def _verify_direction(self, action: Action, view: RoundView) -> None:
        stated, arithmetic = round_of(view).direction_digest, self._bench.ports.arithmetic
        lineage = await self._reader.lineage(action.task_id)
        sums = [record.sum_digest for record in lineage if record.direction_digest == stated]
        if not sums:
            raise KeyHolderRefused(f"no published model has the direction {stated}")
        spec = view.task.spec
        released = await self._bring(action, sums[-1], spec.model.parameter_count * 8)
        total = arithmetic.unpack_sum(released, spec.model.parameter_count)
        own = arithmetic.pack_direction(await self._bench.work(arithmetic.direction, total))
        if hashlib.sha256(own).hexdigest() != stated:
            raise KeyHolderRefused(f"the direction {stated} is not the direction of the released sum")

    async def _bring(self, action: Action, digest: str, size_bytes: int) -> bytes:
        await self._fetcher.fetch(action, digest, size_bytes, (*SCORE_SOURCES, *SUM_SOURCES))
        return await self._bench.read(digest)

    async def _opener(self, view: RoundView) -> SecretOpener:
        epoch = epoch_of(view)
        if epoch.public_key_digest not in self._openers:
            await self._schemes.of(view)
            public_key = await self._bench.read(epoch.public_key_digest)
            path = self._secret_path(epoch.task_id, epoch.epoch)
            secret = self._bench.ports.schemes.secret
            opener = await self._bench.work(secret, view.task.spec.encryption, public_key, path)
            self._openers[epoch.public_key_digest] = opener
        return self._openers[epoch.public_key_digest]

    def _secret_path(self, task_id: str, epoch: int) -> Path:
        return self._keys / f"{task_id}-{epoch}.key"

    def _remember(self, kind: str, action: Action, digest: str) -> None:
        self._bench.ports.journal.record(kind, round_key(action.task_id, action.round), digest)
