"""Requests about keys and the ceremonies that make shared ones."""

from __future__ import annotations

from dataclasses import dataclass

from bfl_chaincode.limits import Digest, Epoch, Expiry, Id, MspId, Reason, SizeBytes


@dataclass(frozen=True, slots=True)
class OpenEpoch:
    task_id: Id
    epoch: Epoch
    parameters_digest: Digest
    public_key_digest: Digest
    public_key_bytes: SizeBytes


@dataclass(frozen=True, slots=True)
class EpochName:
    task_id: Id
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class OpenCeremony:
    """`expires_at` is when rounds are no longer opened under the key, 0 for never."""

    task_id: Id
    epoch: Epoch
    expires_at: Expiry


@dataclass(frozen=True, slots=True)
class CommitKeyShare:
    task_id: Id
    epoch: Epoch
    share_digest: Digest
    share_bytes: SizeBytes


@dataclass(frozen=True, slots=True)
class RevealKeyShare:
    task_id: Id
    epoch: Epoch
    share_digest: Digest
    dealing_digest: Digest
    dealing_bytes: SizeBytes


@dataclass(frozen=True, slots=True)
class ConfirmKey:
    task_id: Id
    epoch: Epoch
    joint_key_digest: Digest
    joint_key_bytes: SizeBytes


@dataclass(frozen=True, slots=True)
class Complain:
    task_id: Id
    epoch: Epoch
    against: MspId
    reason: Reason
    evidence_digest: Digest


@dataclass(frozen=True, slots=True)
class CloseCeremony:
    task_id: Id
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class RetireEpoch:
    task_id: Id
    epoch: Epoch
    reason: Reason


@dataclass(frozen=True, slots=True)
class GrantKey:
    task_id: Id
    epoch: Epoch
    participant_id: Id
    digest: Digest
    size_bytes: SizeBytes
