"""Whose turn it is in opening a round under a shared key: the steps, and which of them is due for a member.

Pure readings of the ledger and of little else. Any member may begin an attempt or combine its answers; turns only keep
them from doing it all at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import Opening, Phase, RoundView, ShareSubject
from bfl_fabric.roles import attempts
from bfl_fabric.roles.actions import Action, in_phase, of_round
from bfl_fabric.roles.ceremony import GRACE_MS
from bfl_fabric.roles.evidence import round_of
from bfl_fabric.roles.schemes import epoch_of

FIRST_ATTEMPT = 1

PROOF_GRACE_MS = 30_000
"""How long a member waits for the others' proofs; they find one after the other that the sum does not open."""

GATHER_GRACE_MS = 1_000
"""How long the second in the order leaves the answers for the scores to the first, who mostly has combined them by
then. If both are lost an attempt fails; without the answers for the sum a released sum would be lost, so those it takes
at once."""


@dataclass(frozen=True, slots=True)
class OfOpening(Action):
    """A step of an attempt to open a round."""

    attempt: int

    @property
    def named(self) -> dict[str, Json]:
        """How transactions name the attempt."""
        return {"task_id": self.task_id, "round": self.round, "attempt": self.attempt}


@dataclass(frozen=True, slots=True)
class GetReady(OfOpening):
    """Check the sealed set, add the masks up, load what answers take, while others add and check the sum."""

    leads_on: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Begin(OfOpening):
    """Find as many members as must answer and begin the first attempt with them; opens nothing yet."""


@dataclass(frozen=True, slots=True)
class Offer(OfOpening):
    """Offer to answer in an attempt after the first; opens nothing yet."""

    leads_on: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Answer(OfOpening):
    """Answer as one of the active set, with a share of the scores and one of the sum, as far as they are due.

    The ledger takes both at once; the bytes for the sum are shown to nobody before the scores are posted (`directory`).
    """

    leads_on: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Combine(OfOpening):
    """Combine the answers of the active set and put the result on the ledger."""

    subject: ShareSubject


@dataclass(frozen=True, slots=True)
class Prove(OfOpening):
    """Bring a proof of one's own answer to the others: the sum does not open."""


@dataclass(frozen=True, slots=True)
class Judge(OfOpening):
    """Hold the others' answers against their proofs and blame those without a valid one."""


@dataclass(frozen=True, slots=True)
class GatherShares(OfOpening):
    """Bring the answers here, so that the sum can be made again without whoever released it."""

    leads_on: ClassVar[bool] = False
    subject: ShareSubject


@dataclass(frozen=True, slots=True)
class KeepSum(OfOpening):
    """Combine the released sum again, so that it is there although whoever released it is gone."""


@dataclass(frozen=True, slots=True)
class OpeningState:
    """What a key member knows beside the ledger: what of the round's sum and shares is in its store (`held`).

    `unopened_at` is when it found that the newest attempt's answers do not open, 0 when it did not; then `proofs` are
    the active members whose proofs are here, and the member has brought its own and has judged, or not.
    """

    msp_id: str
    now_ms: int
    held: frozenset[str]
    unopened_at: int = 0
    proofs: frozenset[str] = frozenset()
    has_proven: bool = False
    has_judged: bool = False


def due(view: RoundView, me: OpeningState) -> list[Action]:
    """Return the member's next steps in opening the round."""
    if not attempts.is_shared(view) or me.msp_id not in attempts.key_members(view):
        return []
    if in_phase(view, Phase.RELEASED):
        return _keeping(view, me)
    if in_phase(view, Phase.SEALED):
        round_ = round_of(view)
        return [GetReady(round_.task_id, round_.number, FIRST_ATTEMPT)] if _is_early(view, me) else []
    if not view.openings:
        return _beginning(view, me) if in_phase(view, Phase.AGGREGATED, Phase.VERIFIED) else []
    if not in_phase(view, Phase.VERIFIED):
        return []
    attempt = attempts.attempt_due(view, me.now_ms)
    opening = attempts.find_opening(view, attempt)
    return _offering(view, me, attempt) if opening is None else _answering(view, me, opening)


def concerns(view: RoundView, msp_id: str, transaction: str) -> bool:
    """Say whether this step of the first attempt can make anything due for the member at once.

    Whoever goes first begins the attempt, the first two of the active set combine; who comes later is woken by the
    timer, long before its turn. In later attempts everybody looks at everything.
    """
    if len(view.openings) > 1 or view.offers or view.blames or not attempts.key_members(view):
        return True
    order = attempts.order_of(view)
    combining = attempts.combining_order(view, view.openings[0]) if view.openings else order
    active = view.openings[0].members if view.openings else order[: epoch_of(view).threshold]
    match transaction:
        case "round:ProposeAggregate":
            return msp_id == order[0]
        case "round:Seal" | "round:ConfirmAggregate":
            return msp_id in active
        case "opening:PostShares" | "round:PostScores":
            return msp_id in combining[:2]
        case "round:ReleaseShare":
            return False
        case _:
            return True


def _beginning(view: RoundView, me: OpeningState) -> list[Action]:
    round_ = round_of(view)
    if not _is_my_turn(attempts.order_of(view), me, round_.changed_at):
        return []
    return [Begin(round_.task_id, round_.number, FIRST_ATTEMPT)]


def _offering(view: RoundView, me: OpeningState, attempt: int) -> list[Action]:
    round_, epoch = round_of(view), epoch_of(view)
    mine = attempts.offer_of(view, attempt, me.msp_id)
    if mine is None:
        is_out = me.msp_id in attempts.excluded(view)
        return [] if is_out else [Offer(round_.task_id, round_.number, attempt)]
    offers = attempts.agreeing(view, attempt)
    if mine not in offers or len(offers) < epoch.threshold:
        return []
    since, agreeing = offers[epoch.threshold - 1].offered_at, [offer.msp_id for offer in offers]
    if not _is_my_turn([name for name in attempts.order_of(view) if name in agreeing], me, since):
        return []
    return [of_round("opening:Begin", view, attempt=attempt)]


def _is_early(view: RoundView, me: OpeningState) -> bool:
    return me.msp_id in attempts.order_of(view)[: epoch_of(view).threshold]


def _answering(view: RoundView, me: OpeningState, opening: Opening) -> list[Action]:
    return [*_answers(view, me, opening), *_combining(view, me, opening)]


def _answers(view: RoundView, me: OpeningState, opening: Opening) -> list[Action]:
    if not attempts.unanswered(view, opening, me.msp_id):
        return []
    return [Answer(opening.task_id, opening.round, opening.attempt)]


def _combining(view: RoundView, me: OpeningState, opening: Opening) -> list[Action]:
    subject, *_ = attempts.due(view)
    if attempts.missing(view, opening, subject) or _has_blamed(view, me, opening):
        return []
    if me.unopened_at:
        return _accounting(me, opening)
    shares = attempts.shares_of(view, opening, subject).values()
    if _is_my_turn(attempts.combining_order(view, opening), me, max(share.posted_at for share in shares)):
        return [Combine(opening.task_id, opening.round, opening.attempt, subject)]
    return _gathering(view, me, opening, subject)


def _accounting(me: OpeningState, opening: Opening) -> list[Action]:
    """The answers do not open: prove one's own, then judge the others', with all proofs or when they are late."""
    found: list[Action] = []
    if me.msp_id in opening.members and not me.has_proven:
        found.append(Prove(opening.task_id, opening.round, opening.attempt))
    complete = me.proofs >= frozenset(opening.members) - {me.msp_id}
    if not me.has_judged and (complete or me.now_ms >= me.unopened_at + PROOF_GRACE_MS):
        found.append(Judge(opening.task_id, opening.round, opening.attempt))
    return found


def _gathering(view: RoundView, me: OpeningState, opening: Opening, subject: ShareSubject) -> list[Action]:
    """The second in the order takes the shares, while the first combines them."""
    shares = attempts.shares_of(view, opening, subject).values()
    lacks = frozenset(share.digest for share in shares) - me.held
    if attempts.combining_order(view, opening)[1] != me.msp_id or not lacks:
        return []
    since = max(share.posted_at for share in shares)
    if subject is ShareSubject.SCORES and me.now_ms < since + GATHER_GRACE_MS:
        return []
    return [GatherShares(opening.task_id, opening.round, opening.attempt, subject)]


def _keeping(view: RoundView, me: OpeningState) -> list[Action]:
    round_ = round_of(view)
    if round_.sum_digest in me.held or not view.openings:
        return []
    if me.now_ms < round_.changed_at + GRACE_MS:
        return _gathering(view, me, view.openings[-1], ShareSubject.SUM)
    return [KeepSum(round_.task_id, round_.number, view.openings[-1].attempt)]


def _has_blamed(view: RoundView, me: OpeningState, opening: Opening) -> bool:
    return any((blame.attempt, blame.msp_id) == (opening.attempt, me.msp_id) for blame in view.blames)


def _is_my_turn(order: Sequence[str], me: OpeningState, since_ms: int) -> bool:
    return me.now_ms >= since_ms + list(order).index(me.msp_id) * GRACE_MS
