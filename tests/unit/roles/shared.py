"""Views of a task whose key three organizations share, two of which open; changed field by field."""

from __future__ import annotations

from dataclasses import replace

from bfl_chaincode.api.records import (
    THRESHOLD_SCHEME,
    Blame,
    Ceremony,
    CeremonyStatus,
    CeremonyView,
    DecryptionShare,
    EncryptionTerms,
    KeyCommitment,
    KeyComplaint,
    KeyConfirmation,
    KeyEpoch,
    KeyReveal,
    Opening,
    RoleTerms,
    RoundView,
    ShareOffer,
    ShareSubject,
    Task,
    TaskStatus,
)
from tests.unit.roles.rounds import (
    AGGREGATE,
    AGGREGATOR,
    COORDINATOR,
    OPENED_AT,
    ORGANIZATIONS,
    PARAMETERS,
    TASK,
    digest,
    task,
    verified,
)

MEMBERS = tuple(sorted(ORGANIZATIONS))
THRESHOLD = 2
DEADLINE = OPENED_AT + 180_000
MASKS = digest("sum of masks")
SEED = digest("seed")


def shared_task(status: TaskStatus = TaskStatus.RUNNING) -> Task:
    made = task(status)
    spec = replace(
        made.spec,
        roles=RoleTerms(COORDINATOR, AGGREGATOR, "", MEMBERS),
        encryption=EncryptionTerms(THRESHOLD_SCHEME, PARAMETERS, 20, "1", 1000, THRESHOLD),
    )
    return replace(made, spec=spec)


def joint_epoch(number: int = 1, **changes: int) -> KeyEpoch:
    made = KeyEpoch(
        TASK,
        number,
        MEMBERS[0],
        PARAMETERS,
        digest("joint key"),
        100,
        OPENED_AT,
        members=MEMBERS,
        threshold=THRESHOLD,
    )
    return replace(made, **changes)


def shared(seen: RoundView, **changes: object) -> RoundView:
    """The same round under a shared key: every commitment has a mask."""
    updates = tuple(
        replace(update, mask_digest=digest(f"mask of {update.participant_id}"), mask_bytes=500)
        for update in seen.updates
    )
    made = replace(seen, task=shared_task(seen.task.status), key_epoch=joint_epoch(), updates=updates)
    return replace(made, **changes)  # type: ignore[arg-type]


def openable(**changes: object) -> RoundView:
    """A verified round without direction that its key members may open."""
    return shared(verified(), **changes)


def directed(**changes: object) -> RoundView:
    """A verified round with a direction; there is no sheet of score ciphertexts."""
    return shared(verified(direction_digest=digest("direction")), **changes)


def offer(msp_id: str, attempt: int = 2, at: int = OPENED_AT, masks: str = MASKS) -> ShareOffer:
    return ShareOffer(TASK, 1, attempt, msp_id, masks, digest(f"zero of {msp_id} {attempt}"), 300, at)


def opening(*members: str, attempt: int = 1, at: int = OPENED_AT) -> Opening:
    return Opening(TASK, 1, attempt, tuple(sorted(members)), AGGREGATE, SEED, at, at + 60_000)


def answer(
    msp_id: str, subject: ShareSubject = ShareSubject.SUM, attempt: int = 1, at: int = OPENED_AT
) -> DecryptionShare:
    return DecryptionShare(
        TASK, 1, attempt, subject, msp_id, digest(f"{subject} {msp_id} {attempt}"), 400, at
    )


def blame(msp_id: str, against: str, attempt: int = 1) -> Blame:
    return Blame(TASK, 1, attempt, msp_id, against, digest("evidence"), OPENED_AT)


# --- ceremonies ---------------------------------------------------------------------------------


def ceremony(number: int = 1, status: CeremonyStatus = CeremonyStatus.OPEN, **changes: object) -> Ceremony:
    made = Ceremony(TASK, number, MEMBERS, THRESHOLD, PARAMETERS, status, MEMBERS[0], OPENED_AT, DEADLINE, 0)
    return replace(made, **changes)  # type: ignore[arg-type]


def ceremony_view(
    committed: tuple[str, ...] = (),
    revealed: tuple[str, ...] = (),
    confirmed: tuple[str, ...] = (),
    complaints: tuple[tuple[str, str], ...] = (),
) -> CeremonyView:
    """A ceremony in which these members have taken these steps; `complaints` are (member, against)."""
    return CeremonyView(
        ceremony(),
        tuple(KeyCommitment(TASK, 1, who, digest(f"share of {who}"), 10, OPENED_AT) for who in committed),
        tuple(KeyReveal(TASK, 1, who, digest(f"dealing of {who}"), 10, OPENED_AT) for who in revealed),
        tuple(KeyConfirmation(TASK, 1, who, digest("joint key"), 10, OPENED_AT) for who in confirmed),
        tuple(
            KeyComplaint(TASK, 1, who, against, "wrong", digest("evidence"), OPENED_AT)
            for who, against in complaints
        ),
    )
