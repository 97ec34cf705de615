"""Joint keys, made again: what the members of a ceremony committed to adds up to the key that they confirmed.

Decides with public material only. That private shares were dealt rightly is their recipients' statement on the ledger;
here the dealings are held against their digests, so that they can be looked into if a member is ever asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from bfl_chaincode.api.records import (
    Ceremony,
    CeremonyStatus,
    EncryptionTerms,
    KeyCommitment,
    KeyEpoch,
    KeyReveal,
)
from bfl_fabric.audit.ciphertexts import Workshop, made_of
from bfl_fabric.audit.findings import Check, Place
from bfl_fabric.audit.history import Recorded
from bfl_fabric.domain.ports import CeremonyPlan, ThresholdScheme
from bfl_fabric.errors import BflError


@runtime_checkable
class JointKeyDoor(Protocol):
    """What an audit asks of the scheme provider about keys that several hold."""

    def joint(self, terms: EncryptionTerms, joint_key: bytes) -> ThresholdScheme:
        """Raises MalformedInput when the blob is not a joint key of these terms."""


@runtime_checkable
class KeyShareSum(Protocol):
    """The sum of public key shares, which everybody can make."""

    def joint_key(self, terms: EncryptionTerms, plan: CeremonyPlan, shares: Mapping[str, bytes]) -> bytes:
        """Return the blob that every member's `finish` returns for these public shares, by MSP id.

        It takes no secret, and `plan.me` makes no difference. Raises MalformedInput, naming the member, when a share
        is not one of this ceremony.
        """


def joint_schemes(shop: Workshop) -> Mapping[int, ThresholdScheme | None]:
    """Return the scheme of every key epoch of the task; None where its blob is not to be had."""
    epochs = list(shop.history.current(KeyEpoch, shop.spec.task_id))
    if not isinstance(shop.schemes, JointKeyDoor):
        for epoch in epochs:
            text = f"this audit knows no joint keys, and task {shop.spec.task_id} has one"
            shop.findings.fail(Check.CIPHERTEXTS, text, epoch.place, epoch.value.public_key_digest)
        return {}
    return {epoch.value.epoch: made_of(shop, epoch, shop.schemes.joint) for epoch in epochs}


def check_joint_keys(shop: Workshop) -> None:
    """Check the blobs of every ceremony of the task. Of one that failed they may be missing, but not be wrong."""
    for versions in shop.history.versions(Ceremony, shop.spec.task_id):
        _CeremonyBlobs(shop, versions[-1]).check()


class _CeremonyBlobs:
    def __init__(self, shop: Workshop, ceremony: Recorded[Ceremony]) -> None:
        self._shop = shop
        self._ceremony = ceremony
        self._record = ceremony.value
        self._closed = ceremony.value.status is CeremonyStatus.CLOSED
        self._name = f"ceremony {ceremony.value.epoch} of task {ceremony.value.task_id}"

    def check(self) -> None:
        name = (self._record.task_id, self._record.epoch)
        shares = {}
        for one in self._shop.history.current(KeyCommitment, *name):
            share = self._blob("key share", one, one.value.share_digest, one.value.share_bytes)
            if share is not None:
                shares[one.value.msp_id] = share
        for dealt in self._shop.history.current(KeyReveal, *name):
            self._blob("dealing", dealt, dealt.value.dealing_digest, dealt.value.dealing_bytes)
        if self._closed and shares.keys() == frozenset(self._record.members):
            self._check_sum(shares)

    def _blob(
        self, kind: str, step: Recorded[KeyCommitment] | Recorded[KeyReveal], digest: str, size: int
    ) -> bytes | None:
        shop, subject = self._shop, f"the {kind} of {step.value.msp_id} in {self._name}"
        if not self._closed and not shop.blobs.has(digest):
            return None
        data = shop.blobs.read(digest, subject, Check.JOINT_KEYS, step.place)
        if data is None:
            return None
        shop.findings.count(Check.JOINT_KEYS)
        if len(data) == size:
            return data
        self._fail(f"{subject} has another length than the ledger says", step.place, digest)
        return None

    def _check_sum(self, shares: Mapping[str, bytes]) -> None:
        shop, record = self._shop, self._record
        subject = f"the joint key of {self._name}"
        if not isinstance(shop.schemes, KeyShareSum):
            self._fail(f"{subject} cannot be made again: this audit cannot add key shares up")
            return
        shop.findings.count(Check.JOINT_KEYS)
        plan = CeremonyPlan(record.task_id, record.epoch, record.members, record.threshold, record.members[0])
        try:
            made = shop.schemes.joint_key(shop.spec.encryption, plan, shares)
        except BflError as error:
            self._fail(f"{subject} cannot be made of its members' shares: {error}")
            return
        found = hashlib.sha256(made).hexdigest()
        if found != record.joint_key_digest:
            self._fail(f"the members' shares in {self._name} add up to {found}, not to the confirmed key")

    def _fail(self, message: str, place: Place | None = None, blob: str = "") -> None:
        where = self._ceremony.place if place is None else place
        self._shop.findings.fail(Check.JOINT_KEYS, message, where, blob or self._record.joint_key_digest)
