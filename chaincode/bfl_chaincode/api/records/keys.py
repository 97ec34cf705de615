"""Keys that updates are encrypted under, the ceremonies that make shared ones, and who was given a packed one.

A ceremony has three steps that every member takes once: it commits to its share of the public key, reveals the share
and its dealing (private shares, each encrypted to its recipient), and confirms the joint key after it has checked
what the others dealt to it. Shares and dealings are blobs on the members' nodes; the ledger has their digests.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bfl_chaincode.api.records.forms import added


@dataclass(frozen=True, slots=True)
class KeyEpoch:
    """The public key material of a task: a blob of `public_key_bytes` bytes with this digest.

    A shared key has the `members` that hold its shares, of which `threshold` open a sum; a single key is `msp_id`'s and
    has none. No round is opened under a key after `expires_at` (0: never) or once `retired_at` is set, for `reason`.
    """

    task_id: str
    epoch: int
    msp_id: str
    parameters_digest: str
    public_key_digest: str
    public_key_bytes: int
    opened_at: int
    members: tuple[str, ...] = added(())
    threshold: int = added(0)
    expires_at: int = added(0)
    retired_at: int = added(0)
    reason: str = added("")


class CeremonyStatus(StrEnum):
    """Where a key ceremony stands; CLOSED made a key epoch, FAILED did not."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Ceremony:
    """The making of a shared key by its sorted `members`.

    Its number `epoch` is used up even when it fails, and then `excluded` are the members named as the cause: the next
    ceremony does without them. At `deadline_at` it fails for want of whoever has not done its part.
    """

    task_id: str
    epoch: int
    members: tuple[str, ...]
    threshold: int
    parameters_digest: str
    status: CeremonyStatus
    opened_by: str
    opened_at: int
    deadline_at: int
    expires_at: int
    joint_key_digest: str = ""
    excluded: tuple[str, ...] = ()
    changed_at: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class KeyCommitment:
    """Step one: the digest of a member's public key share, which nobody else sees yet. So nobody can choose its own
    share after those of the others (a rogue key)."""

    task_id: str
    epoch: int
    msp_id: str
    share_digest: str
    share_bytes: int
    committed_at: int


@dataclass(frozen=True, slots=True)
class KeyReveal:
    """Step two: the member's node now serves the share that it committed to, and its dealing."""

    task_id: str
    epoch: int
    msp_id: str
    dealing_digest: str
    dealing_bytes: int
    revealed_at: int


@dataclass(frozen=True, slots=True)
class KeyConfirmation:
    """Step three: the member has decrypted and checked what every member dealt to it, and computed this joint key."""

    task_id: str
    epoch: int
    msp_id: str
    joint_key_digest: str
    joint_key_bytes: int
    confirmed_at: int


@dataclass(frozen=True, slots=True)
class KeyComplaint:
    """A member's statement that another one's share or dealing is wrong; `evidence_digest` names what shows it."""

    task_id: str
    epoch: int
    msp_id: str
    against: str
    reason: str
    evidence_digest: str
    filed_at: int


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """Which silo was given the key of an epoch: a blob of `size_bytes` bytes, encrypted to its transport key."""

    task_id: str
    epoch: int
    participant_id: str
    digest: str
    size_bytes: int
    granted_at: int
