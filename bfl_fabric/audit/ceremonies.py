"""Key ceremonies, counted again: who committed, revealed, confirmed or complained, and what had to come of it.

Decides from the ledger alone who belongs to a ceremony, that nobody revealed before all had committed, why it closed or
failed, and that its key epoch is what the members confirmed. The keys themselves are left to `joint_keys`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, TypeAlias

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import (
    Ceremony,
    CeremonyStatus,
    KeyCommitment,
    KeyComplaint,
    KeyConfirmation,
    KeyEpoch,
    KeyReveal,
    Organization,
    Task,
    TaskStatus,
)
from bfl_fabric.audit.authority import field_of
from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.audit.history import History, Recorded

STEPS = 3

Step: TypeAlias = KeyCommitment | KeyReveal | KeyConfirmation | KeyComplaint


@dataclass(frozen=True, slots=True)
class Said:
    """What the members had said at one moment. `keys` are the joint keys that they state, digest and length;
    `complaints` are (accuser, accused)."""

    committed: Mapping[str, str]
    revealed: frozenset[str]
    keys: Mapping[str, tuple[str, int]]
    complaints: frozenset[tuple[str, str]]


def check_ceremonies(history: History, findings: Findings) -> None:
    """Check every ceremony, each of its steps, and its end."""
    for versions in history.versions(Ceremony):
        _check_opening(history, versions[0], findings)
        for closed in versions[1:]:
            _check_end(history, versions[0], closed, findings)
        if len(versions) > 2:
            findings.fail(Check.CEREMONIES, f"{_name(versions[0].value)} ended twice", versions[2].place)
    steps: tuple[Iterable[Recorded[Any]], ...] = (
        history.current(KeyCommitment),
        history.current(KeyReveal),
        history.current(KeyConfirmation),
        history.current(KeyComplaint),
    )
    for step in chain.from_iterable(steps):
        _check_step(history, step, findings)


def excluded(ceremonies: Sequence[Ceremony]) -> frozenset[str]:
    """Return whom the ceremonies that failed since the last key name as their cause."""
    found: set[str] = set()
    for ceremony in ceremonies:
        if ceremony.status is CeremonyStatus.CLOSED:
            found.clear()
        found.update(ceremony.excluded)
    return frozenset(found)


def epoch_of(ceremony: Ceremony, stated: tuple[str, int], sender: str, at: int) -> KeyEpoch:
    """Return the key epoch that a ceremony makes when it closes with this joint key, digest and length."""
    return KeyEpoch(
        task_id=ceremony.task_id,
        epoch=ceremony.epoch,
        msp_id=sender,
        parameters_digest=ceremony.parameters_digest,
        public_key_digest=stated[0],
        public_key_bytes=stated[1],
        opened_at=at,
        members=ceremony.members,
        threshold=ceremony.threshold,
        expires_at=ceremony.expires_at,
    )


def said_before(history: History, order: int, ceremony: Ceremony) -> Said:
    """Return what the members had said just before transaction number `order`."""
    name = (order, ceremony.task_id, ceremony.epoch)
    commitments = [one.value for one in history.as_of(KeyCommitment, *name)]
    confirmations = [one.value for one in history.as_of(KeyConfirmation, *name)]
    complaints = [one.value for one in history.as_of(KeyComplaint, *name)]
    return Said(
        committed={one.msp_id: one.share_digest for one in commitments},
        revealed=frozenset(one.value.msp_id for one in history.as_of(KeyReveal, *name)),
        keys={one.msp_id: (one.joint_key_digest, one.joint_key_bytes) for one in confirmations},
        complaints=frozenset((one.msp_id, one.against) for one in complaints),
    )


# --- the opening ----------------------------------------------------------------------------------


def _check_opening(history: History, opened: Recorded[Ceremony], findings: Findings) -> None:
    findings.count(Check.CEREMONIES)
    record, place, moment = opened.value, opened.place, opened.transaction.at
    name = _name(record)
    task = history.find_as_of(Task, opened.order, record.task_id)
    if opened.transaction.name != "key:OpenCeremony":
        findings.fail(Check.CEREMONIES, f"{name} was opened by {opened.transaction.name}", place)
    if task is None or task.value.status not in (TaskStatus.PUBLISHED, TaskStatus.RUNNING):
        findings.fail(Check.CEREMONIES, f"{name} was opened while its task needed no key", place)
        return
    before = [one.value for one in history.as_of(Ceremony, opened.order, record.task_id)]
    if record.epoch != len(before) + 1 or any(one.status is CeremonyStatus.OPEN for one in before):
        findings.fail(Check.CEREMONIES, f"{name} was opened out of turn", place)
    terms = task.value.spec
    expected = Ceremony(
        task_id=record.task_id,
        epoch=record.epoch,
        members=_members(history, opened, task.value, before),
        threshold=terms.encryption.threshold,
        parameters_digest=terms.encryption.parameters_digest,
        status=CeremonyStatus.OPEN,
        opened_by=opened.transaction.msp_id,
        opened_at=moment,
        deadline_at=moment + STEPS * terms.schedule.share_seconds * 1000,
        expires_at=record.expires_at,
    )
    if record != expected:
        text = f"{name} was not opened as its task and the ceremonies before it ask"
        findings.fail(Check.CEREMONIES, text, place)
    if len(record.members) < max(2, record.threshold):
        findings.fail(Check.CEREMONIES, f"{name} has fewer members than open anything", place)
    if record.expires_at and record.expires_at <= moment:
        findings.fail(Check.CEREMONIES, f"{name} is for a key that had expired before", place)


def _members(
    history: History, opened: Recorded[Ceremony], task: Task, before: Sequence[Ceremony]
) -> tuple[str, ...]:
    active = {one.value.msp_id for one in history.as_of(Organization, opened.order) if one.value.active}
    out = excluded(before)
    return tuple(name for name in task.spec.roles.key_members if name in active and name not in out)


# --- the steps --------------------------------------------------------------------------------------


def _check_step(history: History, step: Recorded[Step], findings: Findings) -> None:
    findings.count(Check.CEREMONIES)
    record = step.value
    ceremony = history.find_as_of(Ceremony, step.order, record.task_id, record.epoch)
    words = {
        KeyCommitment: "the commitment",
        KeyReveal: "the reveal",
        KeyConfirmation: "the confirmation",
        KeyComplaint: "the complaint",
    }[type(record)]
    name = f"{words} of {record.msp_id} in ceremony {record.epoch} of task {record.task_id}"
    if ceremony is None or ceremony.value.status is not CeremonyStatus.OPEN:
        findings.fail(Check.CEREMONIES, f"{name} came while the ceremony was not open", step.place)
        return
    said = said_before(history, step.order, ceremony.value)
    for problem in _step_problems(step, history.request(step.transaction), ceremony.value, said):
        findings.fail(Check.CEREMONIES, f"{name} {problem}", step.place)


def _step_problems(step: Recorded[Step], request: Json, ceremony: Ceremony, said: Said) -> list[str]:
    record, members = step.value, frozenset(ceremony.members)
    found = []
    if record.msp_id != step.transaction.msp_id:
        found.append(f"was signed by {step.transaction.msp_id}")
    if record.msp_id not in members:
        found.append("is from who takes no part in it")
    match record:
        case KeyReveal():
            if not members <= said.committed.keys():
                found.append("came before all had committed")
            if field_of(request, "share_digest") != said.committed.get(record.msp_id):
                found.append("shows another share than was committed")
        case KeyConfirmation():
            if not members <= said.revealed:
                found.append("came before all had revealed")
        case KeyComplaint():
            if not members <= said.revealed:
                found.append("came before all had revealed")
            if record.against == record.msp_id or record.against not in members:
                found.append(f"is against {record.against}, which is no other member")
    return found


# --- the end ----------------------------------------------------------------------------------------


def expected_end(opened: Ceremony, said: Said, at: int) -> Ceremony | None:
    """Return what had to become of a ceremony at this moment, None while it was not decided."""
    stated = list(said.keys.values())
    complete = len(stated) == len(opened.members)
    if complete and len(set(stated)) == 1:
        closed = CeremonyStatus.CLOSED
        return replace(opened, status=closed, joint_key_digest=stated[0][0], changed_at=at)
    cause, reason = _cause(opened, said, complete=complete)
    decided = reason.startswith("complaints") or complete
    if not decided and at < opened.deadline_at:
        return None
    reason = reason if decided else f"{reason} before the deadline"
    return replace(opened, status=CeremonyStatus.FAILED, excluded=cause, reason=reason, changed_at=at)


def _cause(opened: Ceremony, said: Said, *, complete: bool) -> tuple[tuple[str, ...], str]:
    """Return whom a failure names, and its reason in the contract's words."""
    members = opened.members
    needed = min(opened.threshold, len(members) - 1)
    accused = tuple(
        name for name in members if sum(against == name for _, against in said.complaints) >= needed
    )
    if accused:
        return accused, f"complaints about {', '.join(accused)}"
    if complete:
        return _minority(members, said), "the members computed different joint keys"
    spoken = said.keys.keys() | {accuser for accuser, _ in said.complaints}
    for done, step in ((said.committed.keys(), "commit"), (said.revealed, "reveal"), (spoken, "confirm")):
        late = tuple(name for name in members if name not in done)
        if late:
            return late, f"{', '.join(late)} did not {step}"
    return (), "too few complain and not all confirm"


def _minority(members: Sequence[str], said: Said) -> tuple[str, ...]:
    """Return who stated another key than more than half of the members did; nobody without such a majority."""
    stated = list(said.keys.values())
    usual = next((key for key in stated if 2 * stated.count(key) > len(stated)), None)
    return () if usual is None else tuple(name for name in members if said.keys[name] != usual)


def _check_end(
    history: History, opened: Recorded[Ceremony], closed: Recorded[Ceremony], findings: Findings
) -> None:
    findings.count(Check.CEREMONIES)
    record, transaction, name = closed.value, closed.transaction, _name(closed.value)
    said = said_before(history, closed.order, opened.value)
    expected = expected_end(opened.value, said, transaction.at)
    if transaction.name != "key:CloseCeremony":
        findings.fail(Check.CEREMONIES, f"{name} was ended by {transaction.name}", closed.place)
    if expected is None:
        findings.fail(Check.CEREMONIES, f"{name} was ended before anything was decided", closed.place)
    elif record != expected:
        text = f"{name} became {record.status}; what its members said makes it {_outcome(expected)}"
        findings.fail(Check.CEREMONIES, text, closed.place)
    made = history.find_as_of(KeyEpoch, closed.order + 1, record.task_id, record.epoch)
    if expected is not None and expected.status is CeremonyStatus.CLOSED and made is None:
        findings.fail(Check.CEREMONIES, f"{name} closed without a key epoch", closed.place)


def _outcome(ceremony: Ceremony) -> str:
    if ceremony.status is CeremonyStatus.CLOSED:
        return f"CLOSED with the joint key {ceremony.joint_key_digest}"
    return f"FAILED, {ceremony.reason}"


def _name(ceremony: Ceremony) -> str:
    return f"ceremony {ceremony.epoch} of task {ceremony.task_id}"
