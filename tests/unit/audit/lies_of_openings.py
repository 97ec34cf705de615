"""Lies about the opening of rounds under a joint key: how each is told, which check finds it, in which words.

The run that they are told about is `shared_run.SharedRun`: round 1 is opened under the second key in one attempt,
round 3 under the third in two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from bfl_chaincode.api.records import (
    Blame,
    DecryptionShare,
    Opening,
    ScoreSheet,
    ShareOffer,
    ShareSubject,
    UpdateCommitment,
)
from bfl_fabric.audit.findings import Check
from tests.chaincode.scenario import TASK
from tests.chaincode.shared_scenario import MEMBERS, SHARE_SECONDS
from tests.unit.audit.honest_run import HonestRun, node
from tests.unit.audit.lying import (
    Lie,
    all_of,
    alter,
    at_moment,
    delayed,
    dropped,
    forged,
    moved,
    reasked,
    sender,
    written,
)
from tests.unit.audit.shared_run import holder

FOREIGN = hashlib.sha256(b"foreign").hexdigest()
LATE = 10 * SHARE_SECONDS * 1000


def attempt(number: int, tried: int) -> Callable[[HonestRun], Opening]:
    """Return a maker of the record of an attempt."""

    def make(run: HonestRun) -> Opening:
        found = run.history().find(Opening, TASK, number, tried)
        assert found is not None
        return found.value

    return make


def blame(accuser: str, against: str, tried: int = 2) -> Lie:
    """Have one more member blame, in the transaction of the one that did."""
    make = lambda _: Blame(TASK, 3, tried, accuser, against, FOREIGN, 0)  # noqa: E731
    return written("opening:Blame", make)


def written_share(subject: ShareSubject, msp_id: str) -> Lie:
    """Have one more member answer in the first attempt of round 3."""
    make = lambda _: DecryptionShare(TASK, 3, 1, subject, msp_id, FOREIGN, 9, 0)  # noqa: E731
    return written("opening:PostShares", make, 4)


def each(lie: Callable[[int], Lie], *which: int) -> Lie:
    """Tell a lie about several transactions of a name, the last first."""
    return all_of(*(lie(number) for number in sorted(which, reverse=True)))


LIES: dict[str, tuple[Lie, Check, str]] = {
    # commitments
    "an update without a mask": (
        alter("round:CommitUpdate", UpdateCommitment, mask_digest="", mask_bytes=0),
        Check.COMMITMENTS,
        "has a mask where none belongs, or none",
    ),
    "a mask without a length": (
        alter("round:CommitUpdate", UpdateCommitment, mask_bytes=0),
        Check.COMMITMENTS,
        "has a mask where none belongs, or none",
    ),
    "a mask that was not noted as seen": (
        alter("round:CommitUpdate", UpdateCommitment, mask_digest=FOREIGN),
        Check.COMMITMENTS,
        "had seen before, or was not noted",
    ),
    "a mask that nobody sent": (
        reasked("round:CommitUpdate", mask_digest=FOREIGN),
        Check.REQUESTS,
        "mask_digest is not the one",
    ),
    # agreement
    "score ciphertexts under a joint key": (
        moved("round:ProposeAggregate", scores_digest=FOREIGN),
        Check.ATTESTATIONS,
        "scores where none belong",
    ),
    # offers
    "an offer before the set was sealed": (
        delayed("opening:Offer", "round:CommitUpdate", 0),
        Check.OPENINGS,
        "came while it was COLLECTING",
    ),
    "an offer for a second attempt before the aggregate was verified": (
        delayed("opening:Offer", "round:ProposeAggregate"),
        Check.OPENINGS,
        "came while it was AGGREGATED",
    ),
    "an offer for another member": (
        sender("opening:Offer", holder("BetaMSP"), 0),
        Check.OPENINGS,
        "the offer of AlphaMSP in attempt 2 of round 3 of task cancer was signed by BetaMSP",
    ),
    "an offer of who holds no share of the round's key": (
        forged("opening:Offer", ShareOffer, holder("OmegaMSP"), 0, msp_id="OmegaMSP"),
        Check.OPENINGS,
        "holds no share of the round's key",
    ),
    "an offer for a second attempt while the first stands": (
        at_moment("opening:Offer", -80_000, 0),
        Check.OPENINGS,
        "came while the attempt before had not failed",
    ),
    "an offer for a third attempt without a second": (
        forged("opening:Offer", ShareOffer, holder("AlphaMSP"), 4, msp_id="AlphaMSP", attempt=4),
        Check.OPENINGS,
        "came while the attempt before had not failed",
    ),
    "a second attempt without zeros": (
        alter("opening:Offer", ShareOffer, zero_digest="", zero_bytes=0),
        Check.OPENINGS,
        "brings no zero",
    ),
    "an offer for a first attempt": (
        forged("opening:Offer", ShareOffer, holder("AlphaMSP"), 0, attempt=1),
        Check.OPENINGS,
        "came while the attempt before had not failed",
    ),
    "a zero without a length": (
        alter("opening:Offer", ShareOffer, zero_bytes=0),
        Check.OPENINGS,
        "brings no zero",
    ),
    "an offer of whom most others blame": (
        all_of(
            forged("opening:Blame", Blame, holder("GammaMSP"), against="AlphaMSP", attempt=1),
            blame("BetaMSP", "AlphaMSP", 1),
            blame("DeltaMSP", "AlphaMSP", 1),
            delayed("opening:Blame", "opening:PostShares", -1, 4),
        ),
        Check.OPENINGS,
        "the offer of AlphaMSP in attempt 2 of round 3 of task cancer came although most others blame it",
    ),
    # attempts
    "a first active set with a stranger": (
        alter("opening:Begin", Opening, 1, members=("AlphaMSP", "DeltaMSP", "OmegaMSP")),
        Check.OPENINGS,
        "was begun with AlphaMSP, DeltaMSP, OmegaMSP; 3 of the key's members must answer",
    ),
    "a first active set below the threshold": (
        alter("opening:Begin", Opening, 1, members=("AlphaMSP", "DeltaMSP")),
        Check.OPENINGS,
        "3 of the key's members must answer",
    ),
    "a first active set above the threshold": (
        alter("opening:Begin", Opening, 1, members=MEMBERS[:4]),
        Check.OPENINGS,
        "3 of the key's members must answer",
    ),
    "a first active set with one twice": (
        alter("opening:Begin", Opening, 1, members=("AlphaMSP", "BetaMSP", "BetaMSP")),
        Check.OPENINGS,
        "3 of the key's members must answer",
    ),
    "a share that nobody sent": (
        alter("opening:PostShares", DecryptionShare, size_bytes=1),
        Check.REQUESTS,
        "size_bytes is not the one that was asked for",
    ),
    "a share for another subject than was sent": (
        reasked("opening:PostShares", -1, first_of="shares", subject="scores"),
        Check.REQUESTS,
        "subject is not the one that was asked for",
    ),
    "a first active set that nobody named": (
        alter("opening:Begin", Opening, 1, members=("AlphaMSP", "DeltaMSP", "GammaMSP")),
        Check.REQUESTS,
        "members is not the one that was asked for",
    ),
    "an active set that passes over a lapse": (
        alter("opening:Begin", Opening, 2, members=("AlphaMSP", "BetaMSP", "DeltaMSP")),
        Check.OPENINGS,
        "its offers make AlphaMSP, DeltaMSP, EpsilonMSP active",
    ),
    "an active set below the threshold": (
        alter("opening:Begin", Opening, members=("AlphaMSP", "DeltaMSP")),
        Check.OPENINGS,
        "its offers make",
    ),
    "an active set above the threshold": (
        alter("opening:Begin", Opening, members=MEMBERS[:4]),
        Check.OPENINGS,
        "its offers make",
    ),
    "an active set with one that did not offer": (
        dropped("opening:Offer", 2),
        Check.OPENINGS,
        "its offers make AlphaMSP, EpsilonMSP, GammaMSP active",
    ),
    "an active set that does not agree": (
        alter("opening:Offer", ShareOffer, 0, mask_digest=FOREIGN),
        Check.OPENINGS,
        "its offers make DeltaMSP, EpsilonMSP, GammaMSP active",
    ),
    "an attempt without enough offers": (
        each(lambda which: dropped("opening:Offer", which), 0, 1, 2),
        Check.OPENINGS,
        "without enough offers that agree",
    ),
    "an attempt whose offers do not agree": (
        all_of(
            each(lambda which: alter("opening:Offer", ShareOffer, which, mask_digest=FOREIGN), 0, 1),
            dropped("opening:Offer", 2),
        ),
        Check.OPENINGS,
        "without enough offers that agree",
    ),
    "an offer that came earlier than it says": (
        alter("opening:Offer", ShareOffer, 4, offered_at=1),
        Check.OPENINGS,
        "its offers make AlphaMSP, DeltaMSP, GammaMSP active",
    ),
    "a second attempt without a reason": (
        alter("opening:Begin", Opening, 1, deadline_at=10**15),
        Check.OPENINGS,
        "without a reason",
    ),
    "a second attempt after everybody had answered": (
        all_of(
            written_share(ShareSubject.SCORES, "BetaMSP"),
            *(written_share(ShareSubject.SUM, name) for name in MEMBERS[:3]),
        ),
        Check.OPENINGS,
        "without a reason",
    ),
    "a second attempt without a first": (
        dropped("opening:Begin", 1),
        Check.OPENINGS,
        "attempt 2 of round 3 of task cancer was begun without a reason",
    ),
    "a chosen seed": (alter("opening:Begin", Opening, seed=FOREIGN), Check.OPENINGS, "another seed"),
    "an attempt at another aggregate": (
        alter("opening:Begin", Opening, aggregate_digest=FOREIGN),
        Check.OPENINGS,
        "another aggregate",
    ),
    "an attempt with another deadline": (
        alter("opening:Begin", Opening, deadline_at=10**15),
        Check.OPENINGS,
        "another deadline",
    ),
    "an attempt that excludes whom nobody blames": (
        alter("opening:Begin", Opening, excluded=("BetaMSP",)),
        Check.OPENINGS,
        "excludes others",
    ),
    "an attempt before the aggregate was proposed": (
        delayed("opening:Begin", "round:Seal", 1),
        Check.OPENINGS,
        "was begun while there was no aggregate to open",
    ),
    "a second opening of the same attempt": (
        written("opening:Begin", attempt(3, 1)),
        Check.RECORDS,
        "a Opening is written once",
    ),
    # shares
    "a share of a member that is not active": (
        forged("opening:PostShares", DecryptionShare, holder("GammaMSP"), msp_id="GammaMSP"),
        Check.OPENINGS,
        "is from outside the active set",
    ),
    "a share of an organization that has none": (
        forged("opening:PostShares", DecryptionShare, holder("EpsilonMSP"), 0, msp_id="EpsilonMSP"),
        Check.OPENINGS,
        "holds no share of the round's key",
    ),
    "a share for another member": (
        sender("opening:PostShares", holder("GammaMSP")),
        Check.OPENINGS,
        "was signed by GammaMSP",
    ),
    "a second answer of the same member": (
        written(
            "opening:PostShares",
            lambda _: DecryptionShare(TASK, 1, 1, ShareSubject.SUM, "AlphaMSP", FOREIGN, 9, 0),
            1,
        ),
        Check.RECORDS,
        "a DecryptionShare is written once",
    ),
    "a share in an attempt that was never begun": (
        forged("opening:PostShares", DecryptionShare, holder("EpsilonMSP"), attempt=3),
        Check.OPENINGS,
        "answers an attempt that was never begun",
    ),
    "a share for scores that are posted": (
        delayed("opening:PostShares", "round:PostScores", 7),
        Check.OPENINGS,
        "is for the scores, which were not due",
    ),
    "a share for scores where there is no direction": (
        forged("opening:PostShares", DecryptionShare, holder("DeltaMSP"), 2, subject=ShareSubject.SCORES),
        Check.OPENINGS,
        "is for the scores, which were not due",
    ),
    "a share after its time": (
        at_moment("opening:PostShares", LATE, 4),
        Check.OPENINGS,
        "came when the attempt had failed: BetaMSP, DeltaMSP",
    ),
    "a share of an attempt that another had followed": (
        delayed("opening:PostShares", "opening:Begin", 4),
        Check.OPENINGS,
        "came after another attempt had begun",
    ),
    "a share before the aggregate was verified": (
        delayed("opening:PostShares", "round:ProposeAggregate", 3),
        Check.OPENINGS,
        "came while it was AGGREGATED",
    ),
    # blame
    "a blame of oneself": (
        forged("opening:Blame", Blame, holder("AlphaMSP"), msp_id="AlphaMSP"),
        Check.OPENINGS,
        "which answered nothing there that it could judge",
    ),
    "a blame of who answered nothing": (
        forged("opening:Blame", Blame, holder("GammaMSP"), against="BetaMSP"),
        Check.OPENINGS,
        "which answered nothing there that it could judge",
    ),
    "a blame for another member": (
        sender("opening:Blame", holder("DeltaMSP")),
        Check.OPENINGS,
        "was signed by",
    ),
    # results
    "scores without a share of each active member": (
        dropped("opening:PostShares", 7),
        Check.OPENINGS,
        "the scores of round 3 of task cancer was posted without the share of EpsilonMSP",
    ),
    "a sum without a share of each active member": (
        dropped("opening:PostShares"),
        Check.OPENINGS,
        "the sum of round 3 of task cancer was posted without the share of EpsilonMSP",
    ),
    "a sum without an attempt": (
        dropped("opening:Begin", 0),
        Check.OPENINGS,
        "was posted without any attempt",
    ),
    "a sum released by who holds no share": (
        sender("round:ReleaseShare", holder("EpsilonMSP"), 0),
        Check.OPENINGS,
        "which holds no share of the key",
    ),
    "scores posted by who may not": (
        sender("round:PostScores", node("GammaMSP", "verifier")),
        Check.AUTHORITY,
        "may not send",
    ),
    "a sum of shares that most others blame": (
        all_of(blame("BetaMSP", "AlphaMSP"), blame("DeltaMSP", "AlphaMSP")),
        Check.OPENINGS,
        "from shares of AlphaMSP, which most others blame",
    ),
    "scores of others than the members under a joint key": (
        alter("round:PostScores", ScoreSheet, scores=()),
        Check.ALIGNMENTS,
        "exactly the members",
    ),
}
