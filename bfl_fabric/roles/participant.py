"""The participant: trains on its own data when it is in the cohort, commits, uploads, and checks what comes back.

Decides when its update is due and whom it goes to. Whether it is in the cohort is the contract's draw, what
training does is the trainer's, and whether an upload may be kept is the receiving node's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import (
    PACKED_SCHEME,
    KeyGrant,
    NodeRole,
    Phase,
    Registration,
    RoundView,
    TaskSpec,
    TaskStatus,
)
from bfl_fabric.domain.ports import AggregationScheme, LedgerEvent, LocalUpdate, Trainer, UpdateName
from bfl_fabric.errors import ConfigurationError, NotFound, TransferFailed
from bfl_fabric.roles.actions import Action, Submit, in_phase, never, of_round, of_task
from bfl_fabric.roles.attempts import is_shared
from bfl_fabric.roles.ceremony import secret_path
from bfl_fabric.roles.evidence import commitment_of, holder_role, holders_of, round_of
from bfl_fabric.roles.fetching import KEY_SOURCES, Fetcher
from bfl_fabric.roles.hearing import DEAF_TO
from bfl_fabric.roles.models import CheckBase, CheckModel, ModelChecks, is_sound
from bfl_fabric.roles.progress import ProgressKind
from bfl_fabric.roles.reader import LedgerReader, UnfinishedTasks
from bfl_fabric.roles.schemes import TaskSchemes, epoch_of
from bfl_fabric.roles.workbench import Workbench, round_key

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Float32Vector

logger = logging.getLogger(__name__)

UPDATE, MASK = "update", "mask"
TRANSPORT_KEY = "transport.key"


@dataclass(frozen=True, slots=True)
class Join(Action):
    """Make the transport key that the task's key will be encrypted to, and register."""


@dataclass(frozen=True, slots=True)
class PrepareUpdate(Action):
    """Train, encrypt, store the ciphertext, write its digest down."""


@dataclass(frozen=True, slots=True)
class Upload(Action):
    """Bring the committed update to the node of this holder organization."""

    leads_on: ClassVar[bool] = False
    msp_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class PreparedUpdate:
    """The ciphertext of this round that lies in the participant's store; under a shared key its mask part too."""

    digest: str
    size_bytes: int
    mask_digest: str = ""
    mask_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ParticipantState:
    """What the participant knows beside the ledger.

    `joins` registers it for a published task; `has_lost_update` means that it wrote an update of this round down and
    has the bytes no more, so that it sits the round out: a second encryption of the round is never made.
    """

    participant_id: str
    samples: int
    joins: bool
    now_ms: int
    prepared: PreparedUpdate | None
    sound_models: frozenset[str]
    has_lost_update: bool = False


def due(view: RoundView, me: ParticipantState) -> list[Action]:
    """Return what a participant has to do."""
    if view.task.status is TaskStatus.PUBLISHED:
        return _joining(view, me)
    if view.round is None:
        return []
    if view.round.phase in (Phase.PUBLISHED, Phase.SETTLED):
        round_ = view.round
        checked = _is_checked(view, me, round_.model_digest)
        return [] if checked else [CheckModel(round_.task_id, round_.number, round_.model_digest)]
    if in_phase(view, Phase.COLLECTING):
        return _collecting(view, me)
    return []


def _joining(view: RoundView, me: ParticipantState) -> list[Action]:
    if not me.joins or _registration(view, me.participant_id) is not None:
        return []
    task_id = view.task.spec.task_id
    if _is_packed(view):
        return [Join(task_id, 0)]
    return [of_task("task:Register", task_id, samples=me.samples)]


def _is_checked(view: RoundView, me: ParticipantState, digest: str) -> bool:
    """Say whether a model is found sound, or is nothing to this participant."""
    return digest in me.sound_models or _registration(view, me.participant_id) is None


def _collecting(view: RoundView, me: ParticipantState) -> list[Action]:
    round_ = round_of(view)
    if me.participant_id not in round_.cohort or me.now_ms >= round_.deadline_at or me.has_lost_update:
        return []
    if not _is_checked(view, me, round_.base_model_digest):
        return [CheckBase(round_.task_id, round_.number, round_.base_model_digest)]
    if commitment_of(view, me.participant_id) is not None:
        return _uploads(view, me)
    if me.prepared is None:
        needs_key = _is_packed(view) and _grant_of(view, me.participant_id) is None
        return [] if needs_key else [PrepareUpdate(round_.task_id, round_.number)]
    return [_commit(view, me, me.prepared)]


def _commit(view: RoundView, me: ParticipantState, prepared: PreparedUpdate) -> Submit:
    registration = _registration(view, me.participant_id)
    weight = me.samples if registration is None else registration.samples
    mask: dict[str, int | str] = {}
    if prepared.mask_digest:
        mask = {"mask_digest": prepared.mask_digest, "mask_bytes": prepared.mask_bytes}
    return of_round(
        "round:CommitUpdate",
        view,
        digest=prepared.digest,
        size_bytes=prepared.size_bytes,
        weight=weight,
        **mask,
    )


def _uploads(view: RoundView, me: ParticipantState) -> list[Action]:
    round_, commitment = round_of(view), commitment_of(view, me.participant_id)
    if commitment is None or me.prepared is None or commitment.digest != me.prepared.digest:
        return []
    have = holders_of(view, me.participant_id)
    return [
        Upload(round_.task_id, round_.number, msp_id, commitment.digest)
        for msp_id in round_.holders
        if msp_id not in have
    ]


def _registration(view: RoundView, participant_id: str) -> Registration | None:
    return next((one for one in view.registrations if one.participant_id == participant_id), None)


def _grant_of(view: RoundView, participant_id: str) -> KeyGrant | None:
    return next((one for one in view.grants if one.participant_id == participant_id), None)


def _is_packed(view: RoundView) -> bool:
    return view.task.spec.encryption.scheme == PACKED_SCHEME


class ParticipantRole:
    """The reconciler of one data silo, for the tasks that `takes` accepts; with `joins` it registers for them.

    `keys` is a folder of mode 0700 for keys that the silo is granted.
    """

    def __init__(
        self,
        bench: Workbench,
        trainer: Trainer,
        takes: Callable[[TaskSpec], bool],
        keys: Path,
        *,
        joins: bool = False,
    ) -> None:
        self._bench = bench
        self._keys = keys
        self._members: dict[str, AggregationScheme] = {}
        self._trainer = trainer
        self._joins = joins
        self._reader = LedgerReader(bench.ports.ledger)
        self._tasks = UnfinishedTasks(self._reader, lambda task: takes(task.spec))
        self._fetcher = Fetcher(bench, self._reader)
        self._schemes = TaskSchemes(bench, self._fetcher)
        self._models = ModelChecks(bench, self._reader, self._fetcher)

    @property
    def name(self) -> str:
        return self._bench.identity.name

    async def survey(self) -> list[Action]:
        found: list[Action] = []
        for view in await self._tasks.views():
            actions = due(view, self._state(view))
            self._tasks.note(view, actions)
            found += actions
        return found

    def _state(self, view: RoundView) -> ParticipantState:
        named = () if view.round is None else (view.round.base_model_digest, view.round.model_digest)
        digest, mask = self._recorded(view, UPDATE), self._recorded(view, MASK)
        lost = [one for one in (digest, mask) if one is not None and not self._bench.ports.blobs.has(one)]
        is_lost = digest is not None and bool(lost)
        if is_lost:
            logger.warning("%s: %s of its update is not in the store any more", self.name, lost[0])
        return ParticipantState(
            self._bench.identity.name,
            self._trainer.samples,
            self._joins,
            self._bench.ports.clock.now_ms(),
            None if digest is None or is_lost else self._prepared(digest, mask),
            frozenset(digest for digest in named if is_sound(self._bench, view, digest)),
            is_lost,
        )

    def _recorded(self, view: RoundView, kind: str) -> str | None:
        """Return the digest of this round's update or of its mask, if one was ever made."""
        if view.round is None:
            return None
        return self._bench.ports.journal.find(kind, round_key(view.round.task_id, view.round.number))

    def _prepared(self, digest: str, mask: str | None) -> PreparedUpdate:
        size = {one: self._bench.ports.blobs.path(one).stat().st_size for one in (digest, mask) if one}
        return PreparedUpdate(digest, size[digest], mask or "", size.get(mask or "", 0))

    def is_deaf_to(self, event: LedgerEvent) -> bool:
        if event.name == "round:CommitUpdate" and self.name in event.event.refs:
            return False  # its own: now it uploads
        return event.name in DEAF_TO[NodeRole.PARTICIPANT]

    async def stirred(self) -> None:
        await never()

    async def perform(self, action: Action) -> None:
        match action:
            case Submit():
                await self._bench.submit(action)
            case Join():
                await self._join(action)
            case PrepareUpdate():
                await self._prepare(action)
            case Upload():
                await self._upload(action)
            case CheckModel():
                await self._models.check(action, await self._reader.seen(action.task_id, action.round))
            case _:
                raise TypeError(f"no action of a participant: {action.label}")

    async def _join(self, action: Join) -> None:
        transport = await self._bench.work(self._bench.ports.schemes.transport_key, self._transport_path)
        request: dict[str, Json] = {
            "task_id": action.task_id,
            "samples": self._trainer.samples,
            "transport_key": transport,
        }
        await self._bench.transact(action, "task:Register", request)

    @property
    def _transport_path(self) -> Path:
        return self._keys / TRANSPORT_KEY

    async def _prepare(self, action: PrepareUpdate) -> None:
        view = await self._reader.seen(action.task_id, action.round)
        if self._recorded(view, UPDATE) is not None:
            return
        data = await self._models.base(action, view, round_of(view).base_model_digest)
        base = self._bench.ports.arithmetic.unpack_model(data, view.task.spec.model.parameter_count)
        update = await self._train(action, view, base)
        ciphertext = await self._encrypt(action, view, update)
        digest = await self._bench.keep(ciphertext)
        if is_shared(view):
            await self._keep_mask(action, view, digest)
        self._bench.ports.journal.record(UPDATE, round_key(action.task_id, action.round), digest)

    async def _keep_mask(self, action: Action, view: RoundView, digest: str) -> None:
        scheme, path = await self._schemes.joint(view), self._bench.ports.blobs.path(digest)
        mask = await self._bench.keep(await self._bench.work(scheme.mask, path))
        self._bench.ports.journal.record(MASK, round_key(action.task_id, action.round), mask)

    async def _train(self, action: Action, view: RoundView, base: Float32Vector) -> LocalUpdate:
        started = self._bench.ports.clock.now_ms()
        update = await self._bench.work(self._trainer.train, view.task.spec, action.round, base)
        registration = _registration(view, self._bench.identity.name)
        if registration is None or registration.samples != update.samples:
            raise ConfigurationError(
                f"trained on {update.samples} samples, registered for {action.task_id} with "
                f"{registration.samples if registration else 'none'}; the data may not change during a task"
            )
        self._bench.report(
            ProgressKind.TRAINED,
            action,
            samples=update.samples,
            loss_ppb=update.loss_ppb,
            milliseconds=self._bench.ports.clock.now_ms() - started,
        )
        return update

    async def _encrypt(self, action: Action, view: RoundView, update: LocalUpdate) -> bytes:
        started, epoch = self._bench.ports.clock.now_ms(), epoch_of(view)
        scheme = await self._scheme(action, view)
        terms, quantize = view.task.spec.encryption, self._bench.ports.arithmetic.quantize
        values = await self._bench.work(quantize, terms, update.delta, update.samples)
        name = UpdateName(action.task_id, action.round, self._bench.identity.name)
        ciphertext = await self._bench.work(scheme.encrypt, name, epoch.epoch, update.samples, values)
        self._bench.report(
            ProgressKind.ENCRYPTED,
            action,
            bytes=len(ciphertext),
            milliseconds=self._bench.ports.clock.now_ms() - started,
        )
        return ciphertext

    async def _scheme(self, action: Action, view: RoundView) -> AggregationScheme:
        """Return the scheme that encrypts; where silos share a key, the one that was granted to this silo."""
        if not _is_packed(view):
            return await self._schemes.of(view)
        epoch = epoch_of(view)
        if epoch.public_key_digest not in self._members:
            self._members[epoch.public_key_digest] = await self._member(action, view)
        return self._members[epoch.public_key_digest]

    async def _member(self, action: Action, view: RoundView) -> AggregationScheme:
        await self._schemes.of(view)
        epoch, grant = epoch_of(view), _grant_of(view, self._bench.identity.name)
        if grant is None:
            raise NotFound(f"{self.name} has not been granted the key of {epoch.task_id} epoch {epoch.epoch}")
        await self._fetcher.fetch(action, grant.digest, grant.size_bytes, KEY_SOURCES)
        schemes, terms = self._bench.ports.schemes, view.task.spec.encryption
        public_key, sealed = await self._schemes.public_key(view), await self._bench.read(grant.digest)
        path = secret_path(self._keys, epoch.task_id, epoch.epoch)
        await self._bench.work(schemes.accept, terms, public_key, sealed, self._transport_path, path)
        return await self._bench.work(schemes.member, terms, public_key, path)

    async def _upload(self, action: Upload) -> None:
        view = await self._reader.seen(action.task_id, action.round)
        role = holder_role(view, action.msp_id)
        nodes = [
            node for node in await self._reader.nodes() if (node.msp_id, node.role) == (action.msp_id, role)
        ]
        if not nodes:
            raise NotFound(f"{action.msp_id} announced no {role} node that takes uploads")
        name = UpdateName(action.task_id, action.round, self._bench.identity.name)
        path = self._bench.ports.blobs.path(action.digest)
        refusals = []
        for node in nodes:
            self._bench.ports.channel.expect(node.address, node.msp_id)
            try:
                await self._bench.ports.channel.upload(node.address, name, action.digest, path)
            except TransferFailed as error:
                refusals.append(f"{node.node_id}: {error}")
            else:
                self._bench.report(ProgressKind.UPLOADED, action, node.node_id, bytes=path.stat().st_size)
                return
        raise TransferFailed("; ".join(refusals))
