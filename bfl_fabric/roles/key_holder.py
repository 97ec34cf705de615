"""The key holder: makes the task's key, and opens scores and sum of what the ledger shows as verified.

Decides when a single key is due, to whom it is granted, and that a crafted direction opens nothing: it recomputes
it. Whether a round may be opened at all is found by `openable`; keys that several hold are made and used by
`ceremony` and `opening`, which run in the same node. What a score is worth is the contract's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import PACKED_SCHEME, NodeRole, Phase, RoundView
from bfl_fabric.domain.ports import LedgerEvent, SecretOpener
from bfl_fabric.errors import KeyHolderRefused, NotFound
from bfl_fabric.roles.actions import Action, Submit, in_phase, never
from bfl_fabric.roles.attempts import is_shared
from bfl_fabric.roles.ceremony import Ceremonies, OfCeremony, is_live, is_usable, secret_path
from bfl_fabric.roles.evidence import round_of, scores_sheet_bytes
from bfl_fabric.roles.fetching import SUM_SOURCES, Fetcher
from bfl_fabric.roles.hearing import DEAF_TO
from bfl_fabric.roles.models import ModelChecks
from bfl_fabric.roles.openable import OPENED, SCORED, KeyHolderState, verify_aggregate, verify_openable
from bfl_fabric.roles.opening import Openings
from bfl_fabric.roles.progress import ProgressKind
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.schemes import TaskSchemes, epoch_of
from bfl_fabric.roles.share_holders import LoadShare
from bfl_fabric.roles.turns import OfOpening
from bfl_fabric.roles.workbench import Workbench, round_key

SCORE_SOURCES = (NodeRole.AGGREGATOR, NodeRole.VERIFIER)


@dataclass(frozen=True, slots=True)
class OpenEpoch(Action):
    """Make the key pair of this epoch and put the digest of its public part on the ledger."""

    epoch: int


@dataclass(frozen=True, slots=True)
class GrantKey(Action):
    """Encrypt the key of this epoch to a registered silo, which needs it to take part."""

    epoch: int
    participant_id: str


@dataclass(frozen=True, slots=True)
class OpenScores(Action):
    """Open one scalar per member and post them."""


@dataclass(frozen=True, slots=True)
class OpenSum(Action):
    """Open the verified aggregate, store the exact sum, put its digest on the ledger."""


def due(view: RoundView, me: KeyHolderState) -> list[Action]:
    """Return what the holder of a single key is asked to do; `verify_openable` says whether it opens anything."""
    task, newest = view.task, me.newest_epoch or view.key_epoch
    if task.spec.roles.key_holder != me.msp_id:
        return []
    found: list[Action] = []
    if is_live(task) and (newest is None or not is_usable(newest, me.now_ms, early=False)):
        found.append(OpenEpoch(task.spec.task_id, 0, 1 if newest is None else newest.epoch + 1))
    return [*found, *_grants(view), *_openings(view)]


def _grants(view: RoundView) -> list[Action]:
    task, epoch = view.task, view.key_epoch
    if task.spec.encryption.scheme != PACKED_SCHEME or epoch is None or not is_live(task):
        return []
    granted = frozenset(grant.participant_id for grant in view.grants if grant.epoch == epoch.epoch)
    return [
        GrantKey(task.spec.task_id, 0, epoch.epoch, registration.participant_id)
        for registration in view.registrations
        if registration.participant_id not in granted
    ]


def _openings(view: RoundView) -> list[Action]:
    if not in_phase(view, Phase.VERIFIED):
        return []
    round_ = round_of(view)
    if round_.direction_digest and view.scores is None:
        return [OpenScores(round_.task_id, round_.number)]
    return [OpenSum(round_.task_id, round_.number)]


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
    """The reconciler of a key-holder node, for every task whose key or a share of it its organization holds.

    `keys` is a folder of mode 0700 for the secret key files; nothing else of this process writes there. `key_seconds`
    is the life of a joint key that this node begins to make, 0 for no end.
    """

    def __init__(self, bench: Workbench, schemes: TaskSchemes, keys: Path, key_seconds: int = 0) -> None:
        self._bench = bench
        self._schemes = schemes
        self._keys = keys
        self._reader = LedgerReader(bench.ports.ledger)
        self._fetcher = Fetcher(bench, self._reader)
        self._models = ModelChecks(bench, self._reader, self._fetcher)
        self._openers: dict[str, SecretOpener] = {}
        self._ceremonies = Ceremonies(bench, self._reader, self._fetcher, keys, key_seconds)
        self._opening = Openings(bench, schemes, self._reader, self._fetcher, keys)

    @property
    def name(self) -> str:
        return self._bench.identity.name

    async def survey(self) -> list[Action]:
        me, found = self._bench.identity.msp_id, list[Action]()
        mine = [
            task.spec.task_id
            for task in await self._reader.tasks()
            if is_live(task) and me in task.spec.roles.key_holders
        ]
        await self._opening.keep(mine)
        for task_id in mine:
            found += await self._due(await self._reader.current(task_id))
        return found

    async def _due(self, view: RoundView) -> list[Action]:
        if is_shared(view):
            return [*await self._ceremonies.survey(view), *self._opening.survey(view)]
        state = self._state(view)
        if view.key_epoch is not None and not is_usable(view.key_epoch, state.now_ms, early=False):
            newest = (await self._reader.epochs(view.task.spec.task_id))[-1]
            state = replace(state, newest_epoch=newest)
        return due(view, state)

    def _state(self, view: RoundView) -> KeyHolderState:
        me, now_ms = self._bench.identity.msp_id, self._bench.ports.clock.now_ms()
        if view.round is None:
            return KeyHolderState(me, "", "", now_ms)
        key, journal = round_key(view.round.task_id, view.round.number), self._bench.ports.journal
        return KeyHolderState(me, journal.find(OPENED, key) or "", journal.find(SCORED, key) or "", now_ms)

    def is_deaf_to(self, event: LedgerEvent) -> bool:
        return event.name in DEAF_TO[NodeRole.KEY_HOLDER] or self._opening.is_deaf_to(event)

    async def stirred(self) -> None:
        await never()

    async def perform(self, action: Action) -> None:
        match action:
            case OpenEpoch():
                await self._open_epoch(action)
            case GrantKey():
                await self._grant(action)
            case OpenScores():
                await self._open_scores(action)
            case OpenSum():
                await self._open_sum(action)
            case OfCeremony():
                await self._ceremonies.perform(action)
            case OfOpening() | LoadShare():
                await self._opening.perform(action)
            case Submit():
                await self._bench.submit(action)
            case _:
                raise TypeError(f"no action of a key holder: {action.label}")

    async def _open_epoch(self, action: OpenEpoch) -> None:
        terms = (await self._reader.current(action.task_id)).task.spec.encryption
        path = secret_path(self._keys, action.task_id, action.epoch)
        create = self._bench.ports.schemes.create_key
        public_key = await self._bench.work(create, terms, action.epoch, path)
        request: dict[str, canonical.Json] = {
            "task_id": action.task_id,
            "epoch": action.epoch,
            "parameters_digest": terms.parameters_digest,
            "public_key_digest": await self._bench.keep(public_key),
            "public_key_bytes": len(public_key),
        }
        await self._bench.transact(action, "key:OpenEpoch", request)

    async def _grant(self, action: GrantKey) -> None:
        view = await self._reader.current(action.task_id)
        epoch = epoch_of(view)
        keys = [one for one in view.registrations if one.participant_id == action.participant_id]
        if epoch.epoch != action.epoch or not keys:
            raise NotFound(f"{action.label}: no such epoch or no such registration any more")
        await self._schemes.of(view)
        public_key = await self._bench.read(epoch.public_key_digest)
        grant, path = self._bench.ports.schemes.grant, secret_path(self._keys, epoch.task_id, epoch.epoch)
        terms = view.task.spec.encryption
        blob = await self._bench.work(grant, terms, public_key, path, keys[0].transport_key)
        request: dict[str, canonical.Json] = {
            "task_id": action.task_id,
            "epoch": action.epoch,
            "participant_id": action.participant_id,
            "digest": await self._bench.keep(blob),
            "size_bytes": len(blob),
        }
        await self._bench.transact(action, "key:GrantKey", request)
        self._bench.report(ProgressKind.KEY_GRANTED, action, action.participant_id)

    async def _open_scores(self, action: OpenScores) -> None:
        view = await self._openable(action)
        round_ = round_of(view)
        await self._models.verified_direction(action, view)
        sheet = await self._bring(action, round_.scores_digest, scores_sheet_bytes(round_.members))
        size_bytes = (await self._schemes.of(view)).score_size_bytes(view.task.spec.model.parameter_count)
        rows = read_scores_sheet(sheet, round_.members)
        await self._fetcher.fetch_all(action, {digest: size_bytes for _, digest in rows}, SCORE_SOURCES)
        ciphertexts = [(member, await self._bench.read(digest)) for member, digest in rows]
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

    async def _bring(self, action: Action, digest: str, size_bytes: int) -> bytes:
        await self._fetcher.fetch(action, digest, size_bytes, (*SCORE_SOURCES, *SUM_SOURCES))
        return await self._bench.read(digest)

    async def _opener(self, view: RoundView) -> SecretOpener:
        epoch = epoch_of(view)
        if epoch.public_key_digest not in self._openers:
            await self._schemes.of(view)
            public_key = await self._bench.read(epoch.public_key_digest)
            path = secret_path(self._keys, epoch.task_id, epoch.epoch)
            secret = self._bench.ports.schemes.secret
            opener = await self._bench.work(secret, view.task.spec.encryption, public_key, path)
            self._openers[epoch.public_key_digest] = opener
        return self._openers[epoch.public_key_digest]

    def _remember(self, kind: str, action: Action, digest: str) -> None:
        self._bench.ports.journal.record(kind, round_key(action.task_id, action.round), digest)
