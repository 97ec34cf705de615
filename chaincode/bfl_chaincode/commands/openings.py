"""Requests about the opening of a round by decryption shares."""

from __future__ import annotations

from dataclasses import dataclass

from bfl_chaincode.api.records import ShareSubject
from bfl_chaincode.limits import Attempt, Digest, DigestOrNone, Id, MspId, RoundNumber, SizeBytes, SizeOrNone


@dataclass(frozen=True, slots=True)
class Offer:
    task_id: Id
    round: RoundNumber
    attempt: Attempt
    mask_digest: Digest
    zero_digest: DigestOrNone
    zero_bytes: SizeOrNone


@dataclass(frozen=True, slots=True)
class Begin:
    task_id: Id
    round: RoundNumber
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class PostShare:
    task_id: Id
    round: RoundNumber
    attempt: Attempt
    subject: ShareSubject
    digest: Digest
    size_bytes: SizeBytes


@dataclass(frozen=True, slots=True)
class Blame:
    task_id: Id
    round: RoundNumber
    attempt: Attempt
    against: MspId
    evidence_digest: Digest
