"""Requests about the opening of a round by decryption shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from bfl_chaincode.api.records import ShareSubject
from bfl_chaincode.limits import (
    MOST_MEMBERS,
    SHARES_LIMIT,
    Attempt,
    Count,
    Digest,
    Id,
    MspId,
    RoundNumber,
    SizeBytes,
)


@dataclass(frozen=True, slots=True)
class Offer:
    task_id: Id
    round: RoundNumber
    attempt: Attempt
    mask_digest: Digest
    zero_digest: Digest
    zero_bytes: SizeBytes


@dataclass(frozen=True, slots=True)
class Begin:
    """`members` are named for the first attempt; those of a later one follow from its offers."""

    task_id: Id
    round: RoundNumber
    attempt: Attempt
    members: Annotated[tuple[MspId, ...], Count(0, MOST_MEMBERS)] = ()


@dataclass(frozen=True, slots=True)
class PostedShare:
    subject: ShareSubject
    digest: Digest
    size_bytes: SizeBytes


@dataclass(frozen=True, slots=True)
class PostShares:
    task_id: Id
    round: RoundNumber
    attempt: Attempt
    shares: Annotated[tuple[PostedShare, ...], Count(1, SHARES_LIMIT)]


@dataclass(frozen=True, slots=True)
class Blame:
    task_id: Id
    round: RoundNumber
    attempt: Attempt
    against: MspId
    evidence_digest: Digest
