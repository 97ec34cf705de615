"""Where the opening of a round under a shared key stands: pure readings of a RoundView.

The contract decides who answers and when an attempt has failed; these readings say in advance what it will find, so
that key members do not ask in vain.
"""

from __future__ import annotations

from collections import Counter

from bfl_chaincode.api.records import DecryptionShare, Opening, RoundView, ShareOffer, ShareSubject
from bfl_fabric.domain.ports import OpeningTerms
from bfl_fabric.roles.evidence import round_of


def is_shared(view: RoundView) -> bool:
    """Say whether several organizations hold the task's key."""
    return bool(view.task.spec.roles.key_members)


def key_members(view: RoundView) -> tuple[str, ...]:
    """Return the organizations that hold a share of the round's key, none before it is made."""
    return () if view.key_epoch is None else view.key_epoch.members


def order_of(view: RoundView) -> list[str]:
    """Return the key members in the order in which they go first, another one in each round."""
    members = key_members(view)
    first = round_of(view).number % len(members)
    return [*members[first:], *members[:first]]


def combining_order(view: RoundView, opening: Opening) -> list[str]:
    """Return whose turn it is to combine the answers of an attempt: the active members', then the others'."""
    order = order_of(view)
    return sorted(order, key=lambda name: (name not in opening.members, order.index(name)))


def openers(view: RoundView) -> list[str]:
    """Return the organizations that may have opened the round's sum, the likeliest first."""
    if not is_shared(view):
        return [view.task.spec.roles.key_holder]
    return combining_order(view, view.openings[-1]) if view.openings else []


def excluded(view: RoundView) -> tuple[str, ...]:
    """Return the members, sorted, that more than half of the others blame in one attempt."""
    accused = [(blame.attempt, blame.against) for blame in view.blames]
    others = len(key_members(view)) - 1
    return tuple(sorted({name for attempt, name in accused if 2 * accused.count((attempt, name)) > others}))


def due(view: RoundView) -> tuple[ShareSubject, ...]:
    """Return what the active set answers for and somebody combines, the next result first."""
    unscored = round_of(view).direction_digest and view.scores is None
    return (ShareSubject.SCORES, ShareSubject.SUM) if unscored else (ShareSubject.SUM,)


def due_at(view: RoundView, opening: Opening) -> int:
    """Return when answers to a verified round are late."""
    step = view.task.spec.schedule.share_seconds * 1000
    return max(opening.deadline_at, round_of(view).changed_at + step)


def shares_of(view: RoundView, opening: Opening, subject: ShareSubject) -> dict[str, DecryptionShare]:
    """Return the answers of an attempt by MSP id, ascending."""
    found = [share for share in view.shares if (share.attempt, share.subject) == (opening.attempt, subject)]
    return {share.msp_id: share for share in sorted(found, key=lambda share: share.msp_id)}


def missing(view: RoundView, opening: Opening, subject: ShareSubject) -> tuple[str, ...]:
    """Return the active members that have not answered for this."""
    posted = shares_of(view, opening, subject)
    return tuple(name for name in opening.members if name not in posted)


def unanswered(view: RoundView, opening: Opening, msp_id: str) -> list[ShareSubject]:
    """Return what this organization has still to answer for in an attempt, the next result first."""
    return [subject for subject in due(view) if msp_id in missing(view, opening, subject)]


def lapsed(view: RoundView) -> frozenset[str]:
    """Return who let an attempt of this round down: by answering less than another active member, or by blame.

    Of the newest attempt that is known only once another has begun.
    """
    found = set(excluded(view))
    for opening in view.openings[:-1]:
        answers = Counter(share.msp_id for share in view.shares if share.attempt == opening.attempt)
        most = max(answers[name] for name in opening.members)
        found.update(name for name in opening.members if answers[name] < most)
    return frozenset(found)


def has_failed(view: RoundView, opening: Opening, now_ms: int) -> bool:
    """An attempt has failed once an active member is excluded, or a share that is due is late."""
    if frozenset(excluded(view)) & frozenset(opening.members):
        return True
    late = now_ms >= due_at(view, opening)
    return late and any(missing(view, opening, subject) for subject in due(view))


def attempt_due(view: RoundView, now_ms: int) -> int:
    """Return the attempt that stands, or that is to be begun."""
    if not view.openings:
        return 1
    newest = view.openings[-1]
    return newest.attempt + 1 if has_failed(view, newest, now_ms) else newest.attempt


def find_opening(view: RoundView, attempt: int) -> Opening | None:
    """Return this attempt, None while it has not begun."""
    return next((opening for opening in view.openings if opening.attempt == attempt), None)


def offer_of(view: RoundView, attempt: int, msp_id: str) -> ShareOffer | None:
    """Return a member's offer for this attempt, None when it made none."""
    return next((offer for offer in view.offers if (offer.attempt, offer.msp_id) == (attempt, msp_id)), None)


def agreeing(view: RoundView, attempt: int) -> list[ShareOffer]:
    """Return the offers of the sum of masks that most members name, the earliest first; ties to the lower digest."""
    banned = excluded(view)
    groups: dict[str, list[ShareOffer]] = {}
    for offer in sorted(view.offers, key=lambda offer: offer.mask_digest):
        if offer.attempt == attempt and offer.msp_id not in banned:
            groups.setdefault(offer.mask_digest, []).append(offer)
    largest = max(groups.values(), key=len, default=[])
    return sorted(largest, key=lambda offer: (offer.offered_at, offer.msp_id))


def zeros_of(view: RoundView, opening: Opening) -> tuple[ShareOffer, ...]:
    """Return the active members' offers with the zeros that this attempt adds, by MSP id; none in the first."""
    offers = [offer_of(view, opening.attempt, name) for name in opening.members]
    return tuple(offer for offer in offers if offer is not None and offer.zero_digest)


def terms_of(view: RoundView, attempt: int, opening: Opening | None = None) -> OpeningTerms:
    """Return the terms of an attempt; active set and seed are empty until it has begun."""
    round_, epoch = round_of(view), view.key_epoch
    assert epoch is not None
    return OpeningTerms(
        task_id=round_.task_id,
        round=round_.number,
        attempt=attempt,
        epoch=round_.epoch,
        holders=epoch.members,
        threshold=epoch.threshold,
        active=() if opening is None else opening.members,
        seed="" if opening is None else opening.seed,
    )
