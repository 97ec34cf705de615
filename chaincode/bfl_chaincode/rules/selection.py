"""Who takes part in a round: the cohort, drawn so that everybody can draw it again, and the holders."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from bfl_chaincode.api import canonical, refusals
from bfl_chaincode.api.records import Organization, Participant, Registration, Task
from bfl_chaincode.rules.tasks import require_enough, require_weight


def eligible(
    registrations: Sequence[Registration],
    participants: Sequence[Participant],
    organizations: Sequence[Organization],
) -> tuple[Registration, ...]:
    """Return the registrations of active participants of active organizations."""
    members = {item.msp_id: item.active for item in organizations}
    active = {item.participant_id: item.active and members.get(item.msp_id, False) for item in participants}
    return tuple(item for item in registrations if active.get(item.participant_id, False))


def seed(task: Task, number: int, previous_sum: str) -> str:
    """Return the seed of a round's draw: a digest of the spec, the round and the sum opened before it.

    Nobody knows that sum while the previous round's set can still change. It is "" in the first round and after
    an aborted one.
    """
    return canonical.digest({"previous_sum": previous_sum, "round": number, "spec": task.spec_digest})


def cohort(task: Task, candidates: Sequence[Registration], drawn_with: str) -> tuple[str, ...]:
    """Return the cohort's ids in sorted order: all candidates, or the `target` with the lowest tickets.

    Raises TooFewParticipants, WeightExceeded.
    """
    require_enough(task, candidates)
    target = task.spec.cohort.target or len(candidates)
    chosen = sorted(candidates, key=lambda item: ticket(drawn_with, item.participant_id))[:target]
    require_weight(task, chosen)
    return tuple(sorted(item.participant_id for item in chosen))


def ticket(drawn_with: str, participant_id: str) -> str:
    """Return a participant's lot in a draw."""
    return hashlib.sha256(f"{drawn_with}:{participant_id}".encode()).hexdigest()


def holders(task: Task, organizations: Sequence[Organization]) -> tuple[str, ...]:
    """Return who takes uploads: the aggregator's organization first, then those that hold no key.

    Where that leaves fewer than `receipts`, the key holder's organization helps out. Who holds but a share of a key
    opens nothing and is left out nowhere. Raises TooFewHolders.
    """
    roles, needed = task.spec.roles, task.spec.verification.receipts
    active = sorted(item.msp_id for item in organizations if item.active)
    others = [msp_id for msp_id in active if msp_id != roles.aggregator]
    keyless = [msp_id for msp_id in others if msp_id != roles.key_holder]
    chosen = [roles.aggregator, *(keyless if len(keyless) + 1 >= needed else others)]
    if roles.aggregator not in active or len(chosen) < needed:
        raise refusals.TooFewHolders(f"active are {', '.join(active)}, {needed} receipts are asked for")
    return tuple(chosen)
