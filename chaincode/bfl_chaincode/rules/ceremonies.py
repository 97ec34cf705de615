"""Key ceremonies: who makes a shared key together, in which steps, and how a ceremony ends.

Decides from the members' statements alone. Whether a share, a dealing or a joint key is good, the members find out;
a ceremony that fails names whoever caused it, and the next does without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bfl_chaincode import commands
from bfl_chaincode.api import refusals
from bfl_chaincode.api.records import (
    THRESHOLD_SCHEME,
    Ceremony,
    CeremonyStatus,
    CeremonyView,
    KeyCommitment,
    KeyComplaint,
    KeyConfirmation,
    KeyEpoch,
    KeyReveal,
    NodeRole,
    Organization,
    Task,
    TaskStatus,
)
from bfl_chaincode.rules import callers
from bfl_chaincode.rules.callers import Call
from bfl_chaincode.rules.tasks import require_status

STEPS = 3


def open_ceremony(
    command: commands.OpenCeremony,
    task: Task,
    ceremonies: Sequence[Ceremony],
    organizations: Sequence[Organization],
    call: Call,
) -> Ceremony:
    """Begin a ceremony of the active key members that no ceremony since the last key has excluded."""
    callers.require_key_holder(call, task)
    if task.spec.encryption.scheme != THRESHOLD_SCHEME:
        raise refusals.WrongScheme(f"task {command.task_id} has a single key")
    require_status(task, TaskStatus.PUBLISHED, TaskStatus.RUNNING)
    _require_next(command.epoch, ceremonies)
    if command.expires_at and command.expires_at <= call.at:
        raise refusals.ExpiryPassed(f"it is {call.at}, the key would expire at {command.expires_at}")
    terms, threshold = task.spec, task.spec.encryption.threshold
    active = [item.msp_id for item in organizations if item.active]
    candidates = tuple(name for name in terms.roles.key_members if name in active)
    if len(candidates) < threshold:
        raise refusals.TooFewKeyMembers(f"{len(candidates)} are active, {threshold} are needed")
    without = excluded(ceremonies)
    remaining = tuple(name for name in candidates if name not in without)
    # exclusions that leave too few would end the task: then everybody gets another chance
    members = remaining if len(remaining) >= threshold else candidates
    return Ceremony(
        task_id=command.task_id,
        epoch=command.epoch,
        members=members,
        threshold=threshold,
        parameters_digest=terms.encryption.parameters_digest,
        status=CeremonyStatus.OPEN,
        opened_by=call.caller.msp_id,
        opened_at=call.at,
        deadline_at=call.at + STEPS * terms.schedule.share_seconds * 1000,
        expires_at=command.expires_at,
    )


def _require_next(number: int, ceremonies: Sequence[Ceremony]) -> None:
    if number <= len(ceremonies):
        raise refusals.CeremonyExists(f"ceremony {number} is {ceremonies[number - 1].status}")
    if ceremonies and ceremonies[-1].status is CeremonyStatus.OPEN:
        raise refusals.CeremonyRunning(f"ceremony {ceremonies[-1].epoch} is open")
    if number != len(ceremonies) + 1:
        raise refusals.EpochOutOfOrder(f"ceremony {number} was sent, {len(ceremonies) + 1} is next")


def excluded(ceremonies: Sequence[Ceremony]) -> tuple[str, ...]:
    """Return whom the failed ceremonies since the last key name as their cause, sorted."""
    found: dict[str, None] = {}
    for ceremony in ceremonies:
        if ceremony.status is CeremonyStatus.CLOSED:
            found = {}
        found.update(dict.fromkeys(ceremony.excluded))
    return tuple(sorted(found))


# --- the steps ----------------------------------------------------------------------------------


def commit(command: commands.CommitKeyShare, ceremony: Ceremony, call: Call) -> KeyCommitment:
    """Step one: bind a member to its share of the public key before it sees another's."""
    _require_step(ceremony, call)
    return KeyCommitment(
        task_id=command.task_id,
        epoch=command.epoch,
        msp_id=call.caller.msp_id,
        share_digest=command.share_digest,
        share_bytes=command.share_bytes,
        committed_at=call.at,
    )


def reveal(
    command: commands.RevealKeyShare, ceremony: Ceremony, commitments: Sequence[KeyCommitment], call: Call
) -> KeyReveal:
    """Step two, once all have committed: show the share that was committed to, and the dealing."""
    _require_step(ceremony, call)
    committed = {item.msp_id: item.share_digest for item in commitments}
    _require_all(ceremony, list(committed), "commit")
    mine = committed[call.caller.msp_id]
    if command.share_digest != mine:
        raise refusals.KeyShareDiffers(f"{command.share_digest} was revealed, {mine} was committed")
    return KeyReveal(
        task_id=command.task_id,
        epoch=command.epoch,
        msp_id=call.caller.msp_id,
        dealing_digest=command.dealing_digest,
        dealing_bytes=command.dealing_bytes,
        revealed_at=call.at,
    )


def confirm(
    command: commands.ConfirmKey, ceremony: Ceremony, reveals: Sequence[KeyReveal], call: Call
) -> KeyConfirmation:
    """Step three, once all have revealed: state the joint key, everything that was dealt being good."""
    _require_step(ceremony, call)
    _require_all(ceremony, [item.msp_id for item in reveals], "reveal")
    return KeyConfirmation(
        task_id=command.task_id,
        epoch=command.epoch,
        msp_id=call.caller.msp_id,
        joint_key_digest=command.joint_key_digest,
        joint_key_bytes=command.joint_key_bytes,
        confirmed_at=call.at,
    )


def complain(
    command: commands.Complain, ceremony: Ceremony, reveals: Sequence[KeyReveal], call: Call
) -> KeyComplaint:
    """Instead of step three: state that another member's share or dealing is wrong."""
    _require_step(ceremony, call)
    _require_all(ceremony, [item.msp_id for item in reveals], "reveal")
    if command.against == call.caller.msp_id or command.against not in ceremony.members:
        raise refusals.NotAnotherMember(f"{call} complains about {command.against}")
    return KeyComplaint(
        task_id=command.task_id,
        epoch=command.epoch,
        msp_id=call.caller.msp_id,
        against=command.against,
        reason=command.reason,
        evidence_digest=command.evidence_digest,
        filed_at=call.at,
    )


def _require_step(ceremony: Ceremony, call: Call) -> None:
    callers.require_role(call, NodeRole.KEY_HOLDER)
    callers.require_key_member(call, ceremony.members)
    require_open(ceremony)


def require_open(ceremony: Ceremony) -> None:
    if ceremony.status is not CeremonyStatus.OPEN:
        raise refusals.CeremonyOver(f"ceremony {ceremony.epoch} is {ceremony.status}")


def _require_all(ceremony: Ceremony, done: Sequence[str], step: str) -> None:
    missing = _without(ceremony, done)
    if missing:
        raise refusals.StepNotReached(f"{', '.join(missing)} did not {step} yet")


# --- the end ------------------------------------------------------------------------------------


def close(evidence: CeremonyView, call: Call) -> tuple[Ceremony, KeyEpoch | None]:
    """End a ceremony with the key that all members confirmed, or by naming who caused that there is none.

    Raises CeremonyUnfinished while neither is decided.
    """
    ceremony = evidence.ceremony
    require_open(ceremony)
    stated = [(item.joint_key_digest, item.joint_key_bytes) for item in evidence.confirmations]
    complete = len(stated) == len(ceremony.members)
    if complete and stated.count(stated[0]) == len(stated):
        return _closed(ceremony, stated[0][0], call), _epoch(ceremony, *stated[0], call)
    accused = _accused(evidence)
    if accused:
        return _failed(ceremony, accused, f"complaints about {', '.join(accused)}", call), None
    if complete:
        return _failed(ceremony, _minority(evidence), "the members computed different joint keys", call), None
    missing, step = _missing(evidence)
    waiting = f"{', '.join(missing)} did not {step}" if missing else "too few complain and not all confirm"
    if call.at < ceremony.deadline_at:
        raise refusals.CeremonyUnfinished(f"{waiting}; it is {call.at}, the deadline {ceremony.deadline_at}")
    return _failed(ceremony, missing, f"{waiting} before the deadline", call), None


def _accused(evidence: CeremonyView) -> tuple[str, ...]:
    """Return the members that `threshold` members complain about, or all others where these are fewer."""
    ceremony = evidence.ceremony
    needed = min(ceremony.threshold, len(ceremony.members) - 1)
    against = [item.against for item in evidence.complaints]
    return tuple(name for name in ceremony.members if against.count(name) >= needed)


def _minority(evidence: CeremonyView) -> tuple[str, ...]:
    """Return who computed another joint key than more than half of the members; nobody without such a majority."""
    stated = {item.msp_id: (item.joint_key_digest, item.joint_key_bytes) for item in evidence.confirmations}
    keys = list(stated.values())
    usual = [key for key in keys if 2 * keys.count(key) > len(keys)]
    return tuple(name for name in evidence.ceremony.members if usual and stated[name] != usual[0])


def _missing(evidence: CeremonyView) -> tuple[tuple[str, ...], str]:
    """Return who has not done the step that the ceremony stands at, and that step."""
    ceremony = evidence.ceremony
    committed = _without(ceremony, [item.msp_id for item in evidence.commitments])
    revealed = _without(ceremony, [item.msp_id for item in evidence.reveals])
    spoken = [item.msp_id for item in evidence.confirmations] + [item.msp_id for item in evidence.complaints]
    if committed:
        return committed, "commit"
    return (revealed, "reveal") if revealed else (_without(ceremony, spoken), "confirm")


def _without(ceremony: Ceremony, done: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in ceremony.members if name not in done)


def _closed(ceremony: Ceremony, joint_key_digest: str, call: Call) -> Ceremony:
    status = CeremonyStatus.CLOSED
    return replace(ceremony, status=status, joint_key_digest=joint_key_digest, changed_at=call.at)


def _failed(ceremony: Ceremony, cause: tuple[str, ...], reason: str, call: Call) -> Ceremony:
    status = CeremonyStatus.FAILED
    return replace(ceremony, status=status, excluded=cause, reason=reason, changed_at=call.at)


def _epoch(ceremony: Ceremony, joint_key_digest: str, joint_key_bytes: int, call: Call) -> KeyEpoch:
    return KeyEpoch(
        task_id=ceremony.task_id,
        epoch=ceremony.epoch,
        msp_id=call.caller.msp_id,
        parameters_digest=ceremony.parameters_digest,
        public_key_digest=joint_key_digest,
        public_key_bytes=joint_key_bytes,
        opened_at=call.at,
        members=ceremony.members,
        threshold=ceremony.threshold,
        expires_at=ceremony.expires_at,
    )
