"""Every condition under which something of a round may be opened, found in the ledger's records alone.

Whoever holds a key or a share of one asks here before it answers, and does not rely on the round's phase: it counts
receipts and attestations itself. What is opened then, and by whom, is the key holders' business.
"""

from __future__ import annotations

from dataclasses import dataclass

from bfl_chaincode.api.records import KeyEpoch, Opening, Phase, RoundView, ShareSubject
from bfl_fabric.domain.ports import AggregateHeader
from bfl_fabric.errors import KeyHolderRefused
from bfl_fabric.roles.actions import Action, in_phase
from bfl_fabric.roles.attempts import is_shared
from bfl_fabric.roles.evidence import agreed, delivered, members_updates, round_of
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.schemes import epoch_of
from bfl_fabric.roles.workbench import Workbench, round_key

OPENED, SCORED, ANSWERED = "opened", "scored", "answered"
"""Journal: the aggregate and the scores that this holder opened in a round, its answer in an attempt."""

UNOPENED, PROVEN, JUDGED = "unopened", "proven", "judged"
"""Journal: of an attempt whose answers do not open, when that was found, that its own was proven, the others judged."""


@dataclass(frozen=True, slots=True)
class KeyHolderState:
    """What a key holder knows beside the view: what it opened in this round, "" for nothing so far.

    `newest_epoch` is the task's newest key where that is not the round's.
    """

    msp_id: str
    opened_aggregate: str
    opened_scores: str
    now_ms: int = 0
    newest_epoch: KeyEpoch | None = None


class OpenableRounds:
    """Reads the rounds of which something may be opened, and remembers which aggregate was."""

    def __init__(self, bench: Workbench, reader: LedgerReader) -> None:
        self._bench = bench
        self._reader = reader

    async def read(self, action: Action) -> RoundView:
        """Return the round, as the survey that found the action read it, if anything of it may be opened.

        Raises KeyHolderRefused.
        """
        view = await self._reader.seen(action.task_id, action.round)
        opened = self._bench.ports.journal.find(OPENED, round_key(action.task_id, action.round))
        verify_openable(view, KeyHolderState(self._bench.identity.msp_id, opened or "", ""))
        return view

    def remember(self, action: Action, view: RoundView) -> None:
        """Write down, before anything of it is answered, that this aggregate of the round is opened and no other."""
        key = round_key(action.task_id, action.round)
        self._bench.ports.journal.record(OPENED, key, round_of(view).aggregate_digest)


def standing(view: RoundView, attempt: int) -> Opening:
    """Return this attempt if it is the newest, for the round's aggregate. Raises KeyHolderRefused."""
    name = f"{round_of(view).task_id}/{round_of(view).number}"
    if not view.openings or view.openings[-1].attempt != attempt:
        raise KeyHolderRefused(f"attempt {attempt} is not the newest of {name}")
    opening = view.openings[-1]
    if opening.aggregate_digest != round_of(view).aggregate_digest:
        raise KeyHolderRefused(f"attempt {attempt} of {name} is for another aggregate")
    return opening


def answer_key(opening: Opening, subject: ShareSubject) -> str:
    """Return the journal's key of the member's answer in an attempt."""
    return f"{attempt_key(opening)}/{subject}"


def attempt_key(opening: Opening) -> str:
    """Return the journal's key of a fact about an attempt."""
    return f"{round_key(opening.task_id, opening.round)}/{opening.attempt}"


def verify_openable(view: RoundView, me: KeyHolderState) -> None:
    """Check every condition under which something of this round may be opened. Raises KeyHolderRefused."""
    round_ = round_of(view)
    _require(
        view,
        (in_phase(view, Phase.VERIFIED), f"the phase is {round_.phase}, not VERIFIED"),
        (agreed(view), "too few organizations attested this aggregate"),
        (me.opened_aggregate in ("", round_.aggregate_digest), "another aggregate of this round was opened"),
        (me.opened_scores in ("", round_.scores_digest), "other scores of this round were opened"),
    )
    verify_sealed(view, me.msp_id)


def verify_sealed(view: RoundView, msp_id: str) -> None:
    """Check that this organization may open a sum of exactly these members, once it is verified. Raises
    KeyHolderRefused."""
    round_, spec = round_of(view), view.task.spec
    updates = members_updates(view)
    _require(
        view,
        (msp_id in _holders(view), f"{msp_id} is not the task's key holder"),
        (epoch_of(view).epoch == round_.epoch, f"the round is of epoch {round_.epoch}, another is open"),
        (
            epoch_of(view).threshold == spec.encryption.threshold,
            "the key has another threshold than the task",
        ),
        (
            len(frozenset(round_.members)) >= max(2, spec.cohort.minimum),
            "fewer members than the minimum cohort",
        ),
        (frozenset(round_.members) <= delivered(view), "a member's update has not enough receipts"),
        (tuple(update.participant_id for update in updates) == round_.members, "a member has no commitment"),
        (sum(update.weight for update in updates) == round_.total_weight, "the weights do not add up"),
        (_masks_differ(view), "two members committed the same mask, or one committed none"),
    )


def _require(view: RoundView, *conditions: tuple[bool, str]) -> None:
    round_ = round_of(view)
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


def _holders(view: RoundView) -> tuple[str, ...]:
    return epoch_of(view).members if is_shared(view) else (view.task.spec.roles.key_holder,)


def _masks_differ(view: RoundView) -> bool:
    masks = [update.mask_digest for update in members_updates(view)]
    return not is_shared(view) or (all(masks) and len(frozenset(masks)) == len(masks))
