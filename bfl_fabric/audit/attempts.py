"""How the opening of a shared round stood at one moment: pure readings of the records before it.

The auditor's own count of what the contract had to find: who is blamed out, what is due and until when, whether an
attempt has failed, and whom its offers make active. Whether records agree with that is left to `openings`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bfl_chaincode.api.records import (
    Blame,
    DecryptionShare,
    KeyEpoch,
    Opening,
    Round,
    ScoreSheet,
    ShareOffer,
    ShareSubject,
    Task,
)
from bfl_fabric.audit.history import History


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything that the ledger showed of a round's opening; `epoch` is None where there is no such key."""

    task: Task
    round: Round
    epoch: KeyEpoch | None
    scores: ScoreSheet | None
    openings: tuple[Opening, ...]
    offers: tuple[ShareOffer, ...]
    shares: tuple[DecryptionShare, ...]
    blames: tuple[Blame, ...]

    @property
    def members(self) -> tuple[str, ...]:
        """All organizations that hold a share of the round's key."""
        return () if self.epoch is None else self.epoch.members

    @property
    def threshold(self) -> int:
        """How many of them answer."""
        return 0 if self.epoch is None else self.epoch.threshold


def standing(history: History, order: int, task_id: str, number: int) -> Standing | None:
    """Return how a round stood just before transaction number `order`, None when there was no such round."""
    task = history.find(Task, task_id)
    round_ = history.find_as_of(Round, order, task_id, number)
    if task is None or round_ is None:
        return None
    epoch = history.find_as_of(KeyEpoch, order, task_id, round_.value.epoch)
    scores = history.find_as_of(ScoreSheet, order, task_id, number)
    key = (order, task_id, number)
    return Standing(
        task=task.value,
        round=round_.value,
        epoch=None if epoch is None else epoch.value,
        scores=None if scores is None else scores.value,
        openings=tuple(one.value for one in history.as_of(Opening, *key)),
        offers=tuple(one.value for one in history.as_of(ShareOffer, *key)),
        shares=tuple(one.value for one in history.as_of(DecryptionShare, *key)),
        blames=tuple(one.value for one in history.as_of(Blame, *key)),
    )


def excluded(at: Standing) -> tuple[str, ...]:
    """Return the members, sorted, that more than half of the others blame in one and the same attempt."""
    accused = Counter((blame.attempt, blame.against) for blame in at.blames)
    others = len(at.members) - 1
    return tuple(sorted({name for (_, name), count in accused.items() if 2 * count > others}))


def due(at: Standing) -> list[ShareSubject]:
    """Return what the active set had to answer for: the sum, and the scores while a direction had none."""
    scores_due = at.round.direction_digest and at.scores is None
    return [subject for subject in ShareSubject if subject is ShareSubject.SUM or scores_due]


def due_at(at: Standing, opening: Opening) -> int:
    """Return from when a missing answer is late: never before the verified round had its own time."""
    return max(opening.deadline_at, at.round.changed_at + at.task.spec.schedule.share_seconds * 1000)


def find_opening(at: Standing, attempt: int) -> Opening | None:
    """Return this attempt, None while it had not begun."""
    return next((opening for opening in at.openings if opening.attempt == attempt), None)


def answered(at: Standing, attempt: int, subject: ShareSubject) -> frozenset[str]:
    """Return who had answered in an attempt."""
    return frozenset(
        share.msp_id for share in at.shares if (share.attempt, share.subject) == (attempt, subject)
    )


def missing(at: Standing, opening: Opening, subject: ShareSubject) -> tuple[str, ...]:
    """Return the active members, sorted, that had not answered."""
    there = answered(at, opening.attempt, subject)
    return tuple(name for name in opening.members if name not in there)


def failure_of(at: Standing, opening: Opening, moment: int) -> str:
    """Return why an attempt had failed at this moment, "" while it stood."""
    out = [name for name in opening.members if name in excluded(at)]
    if out:
        return f"most others blame {', '.join(out)}"
    if moment < due_at(at, opening):
        return ""
    late = {subject: missing(at, opening, subject) for subject in due(at)}
    return "; ".join(
        f"{', '.join(names)} did not answer for the {subject} in time"
        for subject, names in late.items()
        if names
    )


def may_be_active(at: Standing, members: Sequence[str]) -> bool:
    """Say whether these may be the active set of a first attempt: members in order, as many as must answer."""
    return (
        list(members) == sorted(set(members))
        and set(members) <= set(at.members)
        and len(members) == at.threshold
    )


def active_set(at: Standing, attempt: int) -> tuple[str, ...]:
    """Return whom the offers of an attempt after the first make active, sorted; nobody while too few agree.

    Of the offers that name the same sum of masks the largest group counts, ties to the lower digest; of these the
    first `threshold` that lapsed least often before, then by moment, then by name.
    """
    out = excluded(at)
    groups: dict[str, list[ShareOffer]] = {}
    for offer in at.offers:
        if offer.attempt == attempt and offer.msp_id not in out:
            groups.setdefault(offer.mask_digest, []).append(offer)
    largest: Sequence[ShareOffer] = ()
    for _, group in sorted(groups.items()):
        largest = group if len(group) > len(largest) else largest
    if not at.threshold or len(largest) < at.threshold:
        return ()
    ranked = sorted(largest, key=lambda one: (_lapses(at, one.msp_id), one.offered_at, one.msp_id))
    return tuple(sorted(offer.msp_id for offer in ranked[: at.threshold]))


def _lapses(at: Standing, member: str) -> int:
    """Return in how many attempts this member was active and answered less than another active one."""
    counts = Counter((share.attempt, share.msp_id) for share in at.shares)
    return sum(
        counts[opening.attempt, member] < max(counts[opening.attempt, name] for name in opening.members)
        for opening in at.openings
        if member in opening.members
    )
