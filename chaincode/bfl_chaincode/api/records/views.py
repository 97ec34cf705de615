"""What queries return that is more than one record."""

from __future__ import annotations

from dataclasses import dataclass

from bfl_chaincode.api.records.keys import (
    Ceremony,
    KeyCommitment,
    KeyComplaint,
    KeyConfirmation,
    KeyEpoch,
    KeyGrant,
    KeyReveal,
)
from bfl_chaincode.api.records.openings import Blame, DecryptionShare, Opening, ShareOffer
from bfl_chaincode.api.records.rewards import Settlement
from bfl_chaincode.api.records.rounds import Attestation, Receipt, Round, ScoreSheet, UpdateCommitment
from bfl_chaincode.api.records.tasks import Registration, Task


@dataclass(frozen=True, slots=True)
class RoundView:
    """A round with all its evidence, as `round:Get` returns it; lists sorted by participant, organization, openings
    and what belongs to them by attempt first.

    `key_epoch` is the round's own, before the first round the newest, and `grants` are of that epoch. `settled_rounds`
    counts the task's settled rounds: aborted rounds have numbers too, so it may be less than the round's number.
    """

    task: Task
    key_epoch: KeyEpoch | None
    round: Round | None
    registrations: tuple[Registration, ...] = ()
    updates: tuple[UpdateCommitment, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    attestations: tuple[Attestation, ...] = ()
    scores: ScoreSheet | None = None
    settlement: Settlement | None = None
    settled_rounds: int = 0
    openings: tuple[Opening, ...] = ()
    offers: tuple[ShareOffer, ...] = ()
    shares: tuple[DecryptionShare, ...] = ()
    blames: tuple[Blame, ...] = ()
    grants: tuple[KeyGrant, ...] = ()


@dataclass(frozen=True, slots=True)
class CeremonyView:
    """A key ceremony with all its evidence, lists sorted by organization."""

    ceremony: Ceremony
    commitments: tuple[KeyCommitment, ...] = ()
    reveals: tuple[KeyReveal, ...] = ()
    confirmations: tuple[KeyConfirmation, ...] = ()
    complaints: tuple[KeyComplaint, ...] = ()
