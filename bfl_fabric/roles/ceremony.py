"""A key member's part in making a joint key: commit, reveal, check, confirm, step by step as the ledger shows them.

Decides when a new key is needed, whose turn it is to open or close a ceremony, and that nobody's share is looked at
before all are committed. What makes a share or a dealing wrong is the port's to say; who is named as the cause of a
failed ceremony is the contract's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import (
    Ceremony,
    CeremonyStatus,
    CeremonyView,
    KeyEpoch,
    RoundView,
    Task,
    TaskStatus,
)
from bfl_fabric.domain.ports import CeremonyPlan, KeyCeremony
from bfl_fabric.errors import DealingRefused, NotFound
from bfl_fabric.roles.actions import Action
from bfl_fabric.roles.fetching import KEY_SOURCES, Fetcher
from bfl_fabric.roles.progress import ProgressKind
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.workbench import Workbench

GRACE_MS = 3_000
"""How long a member leaves to the one before it what any of them may do."""

RENEWAL_MS = 300_000
"""How long before a key expires the next one is made, or a quarter of its life if that is shorter."""

LOOK_MS = 5_000
"""How often a member whose key is in use looks whether somebody opened a ceremony nevertheless."""

REASON_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class OfCeremony(Action):
    """A step in the making of this key epoch; what it needs is read again when it is done."""

    epoch: int


@dataclass(frozen=True, slots=True)
class OpenCeremony(OfCeremony):
    """Begin a ceremony of all key members."""


@dataclass(frozen=True, slots=True)
class CommitKeyShare(OfCeremony):
    """Make the member's secret and put the digest of its public share on the ledger."""


@dataclass(frozen=True, slots=True)
class RevealKeyShare(OfCeremony):
    """Show the share, take everybody's, and deal the private shares."""


@dataclass(frozen=True, slots=True)
class ConfirmKey(OfCeremony):
    """Check what everybody dealt, and state the joint key or complain."""


@dataclass(frozen=True, slots=True)
class CloseCeremony(OfCeremony):
    """Ask the contract for the ceremony's end."""


@dataclass(frozen=True, slots=True)
class CeremonyState:
    """What a key member reads beside the task: its key epochs and ceremonies, the newest with its evidence."""

    msp_id: str
    now_ms: int
    epochs: tuple[KeyEpoch, ...]
    ceremonies: tuple[Ceremony, ...]
    newest: CeremonyView | None


def due(task: Task, me: CeremonyState) -> list[Action]:
    """Return the member's next step, at most one."""
    if me.msp_id not in task.spec.roles.key_members or not is_live(task):
        return []
    if me.newest is not None and me.newest.ceremony.status is CeremonyStatus.OPEN:
        return _step(me.newest, me)
    needed_at = key_needed_at(task, me.epochs, me.ceremonies)
    order = [name for name in task.spec.roles.key_members if name not in excluded(me.ceremonies)]
    if needed_at is None or me.msp_id not in order or not is_my_turn(order, me, needed_at):
        return []
    return [OpenCeremony(task.spec.task_id, 0, len(me.ceremonies) + 1)]


def is_live(task: Task) -> bool:
    """Say whether the task's key may still be made."""
    return task.status in (TaskStatus.PUBLISHED, TaskStatus.RUNNING)


def key_needed_at(
    task: Task, epochs: Sequence[KeyEpoch], ceremonies: Sequence[Ceremony], early: bool = True
) -> int | None:
    """Return since when a new key is needed, None while the newest is good; `early` some time before it expires."""
    if epochs and (ends := ends_at(epochs[-1], early=early)) is None:
        return None
    since = ends if epochs and ends is not None else task.changed_at
    return max(since, ceremonies[-1].changed_at) if ceremonies else since


def ends_at(epoch: KeyEpoch, *, early: bool) -> int | None:
    """Return when a key ends, None if it never does; a retired one has ended."""
    if epoch.retired_at:
        return epoch.retired_at
    if not epoch.expires_at:
        return None
    margin = min(RENEWAL_MS, (epoch.expires_at - epoch.opened_at) // 4) if early else 0
    return epoch.expires_at - margin


def is_usable(epoch: KeyEpoch, now_ms: int, *, early: bool) -> bool:
    """Say whether rounds may be opened under this key; with `early` also for some time to come."""
    ends = ends_at(epoch, early=early)
    return ends is None or now_ms < ends


def excluded(ceremonies: Sequence[Ceremony]) -> frozenset[str]:
    """Return whom the failed ceremonies since the last key name as their cause."""
    found: frozenset[str] = frozenset()
    for ceremony in ceremonies:
        if ceremony.status is CeremonyStatus.CLOSED:
            found = frozenset()
        found |= frozenset(ceremony.excluded)
    return found


def is_my_turn(order: Sequence[str], me: CeremonyState, since_ms: int) -> bool:
    """Say whether those before me in the order have had their time."""
    return me.now_ms >= since_ms + list(order).index(me.msp_id) * GRACE_MS


def _step(view: CeremonyView, me: CeremonyState) -> list[Action]:
    ceremony = view.ceremony
    if me.msp_id not in ceremony.members:
        return []
    kind = _next_step(view, me)
    return [] if kind is None else [kind(ceremony.task_id, 0, ceremony.epoch)]


def _next_step(view: CeremonyView, me: CeremonyState) -> type[OfCeremony] | None:
    members = frozenset(view.ceremony.members)
    committed = frozenset(item.msp_id for item in view.commitments)
    revealed = frozenset(item.msp_id for item in view.reveals)
    spoken = frozenset(item.msp_id for item in view.confirmations)
    spoken |= frozenset(item.msp_id for item in view.complaints)
    if me.msp_id not in committed:
        return CommitKeyShare
    if members <= committed and me.msp_id not in revealed:
        return RevealKeyShare
    if members <= revealed and me.msp_id not in spoken:
        return ConfirmKey
    return CloseCeremony if _may_close(view, me, spoken) else None


def _may_close(view: CeremonyView, me: CeremonyState, spoken: frozenset[str]) -> bool:
    ceremony = view.ceremony
    moments = [item.confirmed_at for item in view.confirmations] + [item.filed_at for item in view.complaints]
    ready = spoken >= frozenset(ceremony.members) or me.now_ms >= ceremony.deadline_at
    since = max(moments, default=ceremony.deadline_at)
    return ready and is_my_turn(ceremony.members, me, min(since, ceremony.deadline_at))


class Ceremonies:
    """The ceremonies of a key-holder node. `keys` is its folder for secret files, `key_seconds` the life of a key
    that this member begins, 0 for no end."""

    def __init__(
        self, bench: Workbench, reader: LedgerReader, fetcher: Fetcher, keys: Path, key_seconds: int = 0
    ) -> None:
        self._bench = bench
        self._reader = reader
        self._fetcher = fetcher
        self._keys = keys
        self._key_seconds = key_seconds
        self._held: dict[tuple[str, int], KeyCeremony] = {}
        self._look_at_ms: dict[str, int] = {}

    async def survey(self, view: RoundView) -> list[Action]:
        """Return what is due for the key of this task."""
        task_id, now_ms = view.task.spec.task_id, self._bench.ports.clock.now_ms()
        in_use = view.key_epoch is not None and is_usable(view.key_epoch, now_ms, early=True)
        if in_use and now_ms < self._look_at_ms.get(task_id, 0):
            return []
        state = await self._state(task_id, now_ms)
        if state.newest is None or state.newest.ceremony.status is not CeremonyStatus.OPEN:
            self._look_at_ms[task_id] = now_ms + LOOK_MS
            self._end_others(task_id)
        else:
            self._look_at_ms.pop(task_id, None)
        return due(view.task, state)

    async def _state(self, task_id: str, now_ms: int) -> CeremonyState:
        ceremonies = await self._reader.ceremonies(task_id)
        epochs = await self._reader.epochs(task_id)
        newest = None
        if ceremonies and ceremonies[-1].status is CeremonyStatus.OPEN:
            newest = await self._reader.ceremony(task_id, ceremonies[-1].epoch)
        return CeremonyState(self._bench.identity.msp_id, now_ms, epochs, ceremonies, newest)

    async def perform(self, action: OfCeremony) -> None:
        """Do one step. Raises the ports' errors; every step may be repeated."""
        match action:
            case OpenCeremony():
                await self._open(action)
            case CommitKeyShare():
                await self._commit(action)
            case RevealKeyShare():
                await self._reveal(action)
            case ConfirmKey():
                await self._confirm(action)
            case CloseCeremony():
                await self._send(action, "key:CloseCeremony")
            case _:
                raise TypeError(f"no action of a key ceremony: {action.label}")

    async def _open(self, action: OfCeremony) -> None:
        now_ms = self._bench.ports.clock.now_ms()
        expires_at = now_ms + self._key_seconds * 1000 if self._key_seconds else 0
        await self._send(action, "key:OpenCeremony", expires_at=expires_at)

    async def _commit(self, action: OfCeremony) -> None:
        ceremony = await self._ceremony(await self._reader.ceremony(action.task_id, action.epoch))
        share = await self._bench.work(ceremony.key_share)
        digest = await self._bench.keep(share)
        await self._send(action, "key:CommitKeyShare", share_digest=digest, share_bytes=len(share))

    async def _reveal(self, action: OfCeremony) -> None:
        view = await self._reader.ceremony(action.task_id, action.epoch)
        ceremony = await self._ceremony(view)
        mine = await self._bench.work(ceremony.key_share)
        dealing = await self._bench.work(ceremony.deal, await self._shares(action, view))
        await self._send(
            action,
            "key:RevealKeyShare",
            share_digest=await self._bench.keep(mine),
            dealing_digest=await self._bench.keep(dealing),
            dealing_bytes=len(dealing),
        )

    async def _confirm(self, action: OfCeremony) -> None:
        view = await self._reader.ceremony(action.task_id, action.epoch)
        ceremony, shares = await self._ceremony(view), await self._shares(action, view)
        dealings = {
            item.msp_id: await self._bring(action, item.msp_id, item.dealing_digest, item.dealing_bytes)
            for item in view.reveals
        }
        try:
            joint = await self._bench.work(ceremony.finish, shares, dealings)
        except DealingRefused as refusal:
            await self._complain(action, refusal)
            return
        digest = await self._bench.keep(joint)
        await self._send(action, "key:ConfirmKey", joint_key_digest=digest, joint_key_bytes=len(joint))
        self._bench.report(ProgressKind.KEY_MADE, action, members=len(view.ceremony.members))

    async def _complain(self, action: OfCeremony, refusal: DealingRefused) -> None:
        evidence = await self._bench.keep(refusal.evidence or str(refusal).encode())
        await self._send(
            action,
            "key:Complain",
            against=refusal.dealer,
            reason=str(refusal)[:REASON_CHARACTERS],
            evidence_digest=evidence,
        )

    async def _shares(self, action: OfCeremony, view: CeremonyView) -> dict[str, bytes]:
        """Return all members' public shares, each the bytes that were committed to. Raises NotFound before all are."""
        committed = {item.msp_id: item for item in view.commitments}
        if committed.keys() != frozenset(view.ceremony.members):
            raise NotFound(f"not everybody has committed in ceremony {action.epoch} of {action.task_id}")
        return {
            name: await self._bring(action, name, item.share_digest, item.share_bytes)
            for name, item in committed.items()
        }

    async def _bring(self, action: Action, member: str, digest: str, size_bytes: int) -> bytes:
        await self._fetcher.fetch(action, digest, size_bytes, KEY_SOURCES, (member,))
        return await self._bench.read(digest)

    async def _ceremony(self, view: CeremonyView) -> KeyCeremony:
        """Return this member's part in a ceremony; it lasts until the ceremony is over."""
        found, me = view.ceremony, self._bench.identity.msp_id
        key = (found.task_id, found.epoch)
        if key not in self._held:
            task = (await self._reader.current(found.task_id)).task
            plan = CeremonyPlan(found.task_id, found.epoch, found.members, found.threshold, me)
            make, path = self._bench.ports.schemes.ceremony, secret_path(self._keys, *key)
            self._held[key] = await self._bench.work(make, task.spec.encryption, plan, path)
        return self._held[key]

    def _end_others(self, task_id: str) -> None:
        """End the parts in ceremonies of this task that are over."""
        for key in [key for key in self._held if key[0] == task_id]:
            self._held.pop(key).close()

    async def _send(self, action: OfCeremony, transaction: str, **arguments: Json) -> None:
        request = {"task_id": action.task_id, "epoch": action.epoch, **arguments}
        await self._bench.transact(action, transaction, request)


def secret_path(keys: Path, task_id: str, epoch: int) -> Path:
    """Return the secret file of a key epoch."""
    return keys / f"{task_id}-{epoch}.key"
