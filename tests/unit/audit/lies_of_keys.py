"""Lies about keys that several hold: how each is told, which check finds it, in which words.

The run that they are told about is `shared_run.SharedRun`: its ceremonies are numbers 1 (failed), 2 (of four) and 3
(of five).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bfl_chaincode.api.records import (
    Ceremony,
    CeremonyStatus,
    DecryptionShare,
    KeyCommitment,
    KeyComplaint,
    KeyConfirmation,
    KeyEpoch,
    KeyReveal,
    Round,
    ShareSubject,
)
from bfl_fabric.audit.findings import Check
from tests.chaincode.scenario import TASK
from tests.chaincode.shared_scenario import MEMBERS, SHARE_SECONDS
from tests.unit.audit.honest_run import HonestRun, node
from tests.unit.audit.lying import (
    Lie,
    all_of,
    alter,
    delayed,
    dropped,
    forged,
    reasked,
    sender,
    terms,
    without,
    written,
)
from tests.unit.audit.shared_run import holder

FOREIGN = hashlib.sha256(b"foreign").hexdigest()
LATE = 10 * SHARE_SECONDS * 1000


def epoch(number: int, **changes: Any) -> Callable[[HonestRun], KeyEpoch]:
    """Return a maker of the newest record of a key epoch, changed."""

    def make(run: HonestRun) -> KeyEpoch:
        found = run.history().find(KeyEpoch, TASK, number)
        assert found is not None
        return replace(found.value, **changes)

    return make


def ceremony(number: int) -> Callable[[HonestRun], Ceremony]:
    """Return a maker of the newest record of a ceremony."""

    def make(run: HonestRun) -> Ceremony:
        found = run.history().find(Ceremony, TASK, number)
        assert found is not None
        return found.value

    return make


LIES: dict[str, tuple[Lie, Check, str]] = {
    # authority
    "a verifier who commits to a key share": (
        sender("key:CommitKeyShare", node("AlphaMSP", "verifier")),
        Check.AUTHORITY,
        "may not send",
    ),
    "a verifier who answers": (
        sender("opening:PostShares", node("AlphaMSP", "verifier")),
        Check.AUTHORITY,
        "may not send",
    ),
    "an aggregator who retires a key": (
        sender("key:RetireEpoch", node("BetaMSP", "aggregator")),
        Check.AUTHORITY,
        "may not send",
    ),
    "another organization's coordinator who retires a key": (
        sender("key:RetireEpoch", node("BetaMSP", "coordinator")),
        Check.AUTHORITY,
        "may not send",
    ),
    "a stranger who offers": (
        sender("opening:Offer", holder("OmegaMSP")),
        Check.AUTHORITY,
        "no active member",
    ),
    "a share that a closing writes": (
        written(
            "key:CloseCeremony", lambda _: DecryptionShare(TASK, 3, 1, ShareSubject.SUM, "X", FOREIGN, 1, 0)
        ),
        Check.AUTHORITY,
        "wrote share",
    ),
    # terms
    "a threshold above the members": (terms(threshold=6), Check.SPECS, "6 of 5 members would open"),
    "a threshold of one": (terms(threshold=1), Check.SPECS, "1 of 5 members would open"),
    "another scheme with shared keys": (terms(scheme="ckks"), Check.SPECS, "takes one key holder"),
    # ceremonies: opened
    "an excluded member in the next ceremony": (
        alter("key:OpenCeremony", Ceremony, 1, members=MEMBERS),
        Check.CEREMONIES,
        "not opened as its task",
    ),
    "a member left out of a ceremony": (
        alter("key:OpenCeremony", Ceremony, 2, members=MEMBERS[:4]),
        Check.CEREMONIES,
        "not opened as its task",
    ),
    "a ceremony with a lower threshold": (
        alter("key:OpenCeremony", Ceremony, threshold=2),
        Check.CEREMONIES,
        "not opened as its task",
    ),
    "a ceremony with a longer deadline": (
        alter("key:OpenCeremony", Ceremony, deadline_at=10**15),
        Check.CEREMONIES,
        "not opened as its task",
    ),
    "a ceremony that begins with a result": (
        alter("key:OpenCeremony", Ceremony, status=CeremonyStatus.CLOSED, joint_key_digest=FOREIGN),
        Check.CEREMONIES,
        "not opened as its task",
    ),
    "a ceremony of too few": (
        alter("key:OpenCeremony", Ceremony, members=("AlphaMSP", "BetaMSP")),
        Check.CEREMONIES,
        "fewer members than open anything",
    ),
    "a ceremony while another is open": (dropped("key:CloseCeremony", 0), Check.CEREMONIES, "out of turn"),
    "a ceremony whose number was skipped": (
        all_of(*[dropped("key:CloseCeremony", 0), dropped("key:OpenCeremony", 0)]),
        Check.CEREMONIES,
        "out of turn",
    ),
    "a key that had expired before it was made": (
        all_of(alter("key:OpenCeremony", Ceremony, expires_at=5), reasked("key:OpenCeremony", expires_at=5)),
        Check.CEREMONIES,
        "had expired before",
    ),
    "a ceremony of a draft": (
        delayed("key:OpenCeremony", "task:Create", 0),
        Check.CEREMONIES,
        "while its task needed no key",
    ),
    # ceremonies: steps
    "a commitment of a member who is excluded": (
        forged("key:CommitKeyShare", KeyCommitment, holder("EpsilonMSP"), 5, msp_id="EpsilonMSP"),
        Check.CEREMONIES,
        "takes no part in it",
    ),
    "a commitment for another member": (
        sender("key:CommitKeyShare", holder("AlphaMSP"), 13),
        Check.CEREMONIES,
        "was signed by AlphaMSP",
    ),
    "a commitment after the ceremony": (
        delayed("key:CommitKeyShare", "key:CloseCeremony", 9),
        Check.CEREMONIES,
        "while the ceremony was not open",
    ),
    "a last mover, who commits when it has seen the others": (
        delayed("key:CommitKeyShare", "key:RevealKeyShare", 13, 12),
        Check.CEREMONIES,
        "came before all had committed",
    ),
    "a reveal of another share than was committed": (
        reasked("key:RevealKeyShare", share_digest=FOREIGN),
        Check.CEREMONIES,
        "shows another share",
    ),
    "a commitment changed afterwards": (
        alter("key:CommitKeyShare", KeyCommitment, share_digest=FOREIGN),
        Check.CEREMONIES,
        "shows another share",
    ),
    "another dealing than was sent": (
        alter("key:RevealKeyShare", KeyReveal, dealing_digest=FOREIGN),
        Check.REQUESTS,
        "dealing_digest is not the one",
    ),
    "a confirmation before all had revealed": (
        dropped("key:RevealKeyShare"),
        Check.CEREMONIES,
        "the confirmation of AlphaMSP in ceremony 3 of task cancer came before all had revealed",
    ),
    "a complaint before all had revealed": (
        dropped("key:RevealKeyShare", 4),
        Check.CEREMONIES,
        "the complaint of AlphaMSP in ceremony 1 of task cancer came before all had revealed",
    ),
    "a complaint about oneself": (
        forged("key:Complain", KeyComplaint, holder("DeltaMSP"), against="DeltaMSP"),
        Check.CEREMONIES,
        "is no other member",
    ),
    "a complaint about a stranger": (
        forged("key:Complain", KeyComplaint, holder("DeltaMSP"), against="OmegaMSP"),
        Check.CEREMONIES,
        "is no other member",
    ),
    "a complaint for somebody else": (
        sender("key:Complain", holder("AlphaMSP")),
        Check.CEREMONIES,
        "was signed by AlphaMSP",
    ),
    # ceremonies: ends
    "a key without a member's confirmation": (
        dropped("key:ConfirmKey"),
        Check.CEREMONIES,
        "ended before anything was decided",
    ),
    "a key that a member did not confirm": (
        alter("key:ConfirmKey", KeyConfirmation, joint_key_digest=FOREIGN),
        Check.CEREMONIES,
        "the members computed different joint keys",
    ),
    "a key of another length than a member confirmed": (
        alter("key:ConfirmKey", KeyConfirmation, joint_key_bytes=5),
        Check.CEREMONIES,
        "the members computed different joint keys",
    ),
    "a failure with too few complaints": (
        dropped("key:Complain", 0),
        Check.CEREMONIES,
        "ended before anything was decided",
    ),
    "a failure that names another": (
        alter("key:CloseCeremony", Ceremony, 0, excluded=("AlphaMSP",)),
        Check.CEREMONIES,
        "complaints about EpsilonMSP",
    ),
    "a failure that names nobody": (
        alter("key:CloseCeremony", Ceremony, 0, excluded=()),
        Check.CEREMONIES,
        "complaints about EpsilonMSP",
    ),
    "a failure for another reason": (
        alter("key:CloseCeremony", Ceremony, 0, reason="no reason"),
        Check.CEREMONIES,
        "complaints about EpsilonMSP",
    ),
    "a failure sold as success": (
        alter("key:CloseCeremony", Ceremony, 0, status=CeremonyStatus.CLOSED, joint_key_digest=FOREIGN),
        Check.CEREMONIES,
        "makes it FAILED",
    ),
    "a success sold as failure": (
        alter("key:CloseCeremony", Ceremony, status=CeremonyStatus.FAILED, excluded=("AlphaMSP",)),
        Check.CEREMONIES,
        "makes it CLOSED",
    ),
    "another joint key than was confirmed": (
        alter("key:CloseCeremony", Ceremony, joint_key_digest=FOREIGN),
        Check.CEREMONIES,
        "makes it CLOSED with the joint key",
    ),
    "a ceremony that ends twice": (
        written("opening:Offer", ceremony(3)),
        Check.CEREMONIES,
        "ended twice",
    ),
    "a ceremony ended by another transaction": (
        written("key:RevealKeyShare", ceremony(3)),
        Check.CEREMONIES,
        "was ended by key:RevealKeyShare",
    ),
    "a ceremony that closes without a key": (
        without("key:CloseCeremony", KeyEpoch),
        Check.CEREMONIES,
        "closed without a key epoch",
    ),
    # epochs
    "a key epoch with another digest than was confirmed": (
        alter("key:CloseCeremony", KeyEpoch, public_key_digest=FOREIGN),
        Check.CEREMONIES,
        "not what the members of its ceremony confirmed",
    ),
    "a key epoch with another length": (
        alter("key:CloseCeremony", KeyEpoch, public_key_bytes=7),
        Check.CEREMONIES,
        "not what the members",
    ),
    "a key epoch with a member more": (
        alter("key:CloseCeremony", KeyEpoch, 1, members=MEMBERS),
        Check.CEREMONIES,
        "not what the members",
    ),
    "a key epoch with a lower threshold": (
        alter("key:CloseCeremony", KeyEpoch, threshold=2),
        Check.CEREMONIES,
        "not what the members",
    ),
    "a key epoch that lives longer": (
        alter("key:CloseCeremony", KeyEpoch, expires_at=0),
        Check.CEREMONIES,
        "not what the members",
    ),
    "a key of a ceremony that failed": (
        written("key:CloseCeremony", epoch(2, epoch=1), 0),
        Check.CEREMONIES,
        "although its ceremony closed with no key",
    ),
    "a key of no ceremony": (
        written("key:RetireEpoch", epoch(2, epoch=9)),
        Check.CEREMONIES,
        "was made by no ceremony",
    ),
    "a key of other parameters under shares": (
        alter("key:CloseCeremony", KeyEpoch, parameters_digest=FOREIGN),
        Check.SPECS,
        "other parameters",
    ),
    "a retired key that comes back": (
        written("key:CloseCeremony", epoch(2, retired_at=0, reason="")),
        Check.SPECS,
        "was changed by key:CloseCeremony",
    ),
    "a key retired at another moment": (
        alter("key:RetireEpoch", KeyEpoch, retired_at=5),
        Check.REQUESTS,
        "retired_at is neither",
    ),
    "a retirement that changes the key": (
        alter("key:RetireEpoch", KeyEpoch, public_key_digest=FOREIGN),
        Check.REQUESTS,
        "public_key_digest was changed",
    ),
    "a round under a key that had expired": (
        alter("key:CloseCeremony", KeyEpoch, expires_at=5),
        Check.PHASES,
        "retired or had expired",
    ),
    "a round under a retired key": (
        alter("key:CloseCeremony", KeyEpoch, retired_at=5),
        Check.PHASES,
        "retired or had expired",
    ),
    "a round under the key before": (
        alter("round:Open", Round, epoch=2),
        Check.PHASES,
        "newest key epoch",
    ),
    # a single key's transactions under a joint key
    "a joint key that one member opens by itself": (
        written("key:RetireEpoch", epoch(3, epoch=4, members=(), threshold=0)),
        Check.CEREMONIES,
        "was made by no ceremony",
    ),
}
