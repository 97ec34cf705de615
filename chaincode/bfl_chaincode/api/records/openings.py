"""How a verified sum is opened under a shared key: offers, the members that answer, their shares, and blame.

The active set of the first attempt is named by the member that begins it; that of a later one follows from offers. Each
of its `threshold` members answers with a decryption share. An attempt that fails is followed by the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ShareSubject(StrEnum):
    """What a decryption share opens."""

    SCORES = "scores"
    SUM = "sum"


@dataclass(frozen=True, slots=True)
class ShareOffer:
    """A key member's offer to answer in an attempt after the first: it has checked the sealed set and added up the
    masks itself, to `mask_digest`. `zero_digest` names a fresh encryption of zero that it contributes to the sum, so
    that no two answers are to the same ciphertext."""

    task_id: str
    round: int
    attempt: int
    msp_id: str
    mask_digest: str
    zero_digest: str
    zero_bytes: int
    offered_at: int


@dataclass(frozen=True, slots=True)
class Opening:
    """An attempt to open a round: exactly `threshold` sorted `members` answer in it.

    `seed` is the SHA-256 of the canonical JSON of aggregate_digest, attempt, members, round, task_id and
    transaction_id of the transaction that began it. `excluded` may not answer any more: others blamed them.
    """

    task_id: str
    round: int
    attempt: int
    members: tuple[str, ...]
    aggregate_digest: str
    seed: str
    opened_at: int
    deadline_at: int
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DecryptionShare:
    """An active member's answer: a blob of `size_bytes` bytes."""

    task_id: str
    round: int
    attempt: int
    subject: ShareSubject
    msp_id: str
    digest: str
    size_bytes: int
    posted_at: int


@dataclass(frozen=True, slots=True)
class Blame:
    """A member's statement that the share of `against` in this attempt is wrong; `evidence_digest` names what shows
    it."""

    task_id: str
    round: int
    attempt: int
    msp_id: str
    against: str
    evidence_digest: str
    filed_at: int
