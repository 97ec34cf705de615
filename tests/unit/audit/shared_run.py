"""Two more small runs through the real contract: a joint key of five organizations, and a packed key for all silos.

The run with the joint key has everything that can be on a ledger of one: a ceremony that fails by complaints and the
next without whom it names, a retired key and a third ceremony, an attempt that fails for want of an answer, zeros in
the one after it, blame that does not suffice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bfl_chaincode.api.records import PACKED_SCHEME, ShareSubject
from bfl_fabric.domain.ports import CeremonyPlan, OpeningTerms
from tests.chaincode.scenario import COORDINATOR, KEY_HOLDER, TASK
from tests.chaincode.shared_scenario import MEMBERS, SHARE_SECONDS, SHARED_TERMS, THRESHOLD
from tests.unit.audit.honest_run import HonestRun, node, sha256

CULPRIT = "EpsilonMSP"
SILENT = "BetaMSP"


def holder(msp_id: str) -> Any:
    return node(msp_id, "key-holder")


class SharedRun(HonestRun):
    """The small run under a joint key: 3 of 5 organizations open."""

    organizations = MEMBERS
    releaser = "AlphaMSP"

    def __init__(self, store: Path, **changes: Any) -> None:
        super().__init__(store, **changes)
        self.joint_keys: dict[int, bytes] = {}
        self.members: dict[int, tuple[str, ...]] = {}
        self.holders: dict[tuple[str, int], Any] = {}

    def _changes(self) -> dict[str, Any]:
        return {**super()._changes(), **SHARED_TERMS}

    def secret_path(self, msp_id: str, epoch: int) -> Path:
        return self.store / f"{msp_id}-{epoch}.key"

    # --- ceremonies -----------------------------------------------------------------------------

    def _open_key(self) -> None:
        self.fail_ceremony(1)
        self.hold_ceremony(2, tuple(name for name in MEMBERS if name != CULPRIT))

    def of_key(self, msp_id: str, transaction: str, epoch: int, **request: Any) -> Any:
        return self.submit(holder(msp_id), transaction, task_id=TASK, epoch=epoch, **request)

    def until_revealed(self, epoch: int, members: tuple[str, ...]) -> tuple[Any, ...]:
        """Open a ceremony, commit and reveal; return the parts, the shares and the dealings by MSP id."""
        self.of_key(members[0], "key:OpenCeremony", epoch, expires_at=self.now + 10**9)
        parts = {
            name: self.provider.ceremony(
                self.spec.encryption,
                CeremonyPlan(TASK, epoch, members, THRESHOLD, name),
                self.secret_path(name, epoch),
            )
            for name in members
        }
        shares = {name: parts[name].key_share() for name in members}
        for name, share in shares.items():
            digest = self.put(share)
            self.of_key(name, "key:CommitKeyShare", epoch, share_digest=digest, share_bytes=len(share))
        dealings = {name: parts[name].deal(shares) for name in members}
        for name, dealing in dealings.items():
            shown = {"dealing_digest": self.put(dealing), "dealing_bytes": len(dealing)}
            self.of_key(name, "key:RevealKeyShare", epoch, share_digest=sha256(shares[name]), **shown)
        return parts, shares, dealings

    def hold_ceremony(self, epoch: int, members: tuple[str, ...]) -> None:
        parts, shares, dealings = self.until_revealed(epoch, members)
        for name in members:
            joint = parts[name].finish(shares, dealings)
            digest = self.put(joint)
            self.of_key(name, "key:ConfirmKey", epoch, joint_key_digest=digest, joint_key_bytes=len(joint))
            parts[name].close()
        self.of_key(members[-1], "key:CloseCeremony", epoch)
        self.epoch, self.joint_keys[epoch], self.members[epoch] = epoch, joint, members
        self.scheme = self.provider.joint(self.spec.encryption, joint)

    def fail_ceremony(self, epoch: int) -> None:
        """Three members complain about the fifth, one confirms."""
        parts, shares, dealings = self.until_revealed(epoch, MEMBERS)
        joint = parts["GammaMSP"].finish(shares, dealings)
        stated = {"joint_key_digest": self.put(joint), "joint_key_bytes": len(joint)}
        self.of_key("GammaMSP", "key:ConfirmKey", epoch, **stated)
        for name in ("AlphaMSP", "BetaMSP", "DeltaMSP"):
            claim = {"reason": "it cannot be decrypted", "evidence_digest": self.put(name.encode())}
            self.of_key(name, "key:Complain", epoch, against=CULPRIT, **claim)
        self.of_key("AlphaMSP", "key:CloseCeremony", epoch)
        for part in parts.values():
            part.close()

    def retire(self) -> None:
        who = node(COORDINATOR, "coordinator")
        self.submit(who, "key:RetireEpoch", task_id=TASK, epoch=self.epoch, reason="Epsilon is back")

    # --- a round --------------------------------------------------------------------------------

    def _beside(self, name: str, wire: bytes) -> dict[str, Any]:
        path = self.path(sha256(wire))
        if not path.exists():
            path = self.store / "undelivered"
            path.write_bytes(wire)
        mask = self.scheme.mask(path)
        return {"mask_digest": self.put(mask), "mask_bytes": len(mask)}

    def _score(self, paths: dict[str, Path]) -> str:
        return ""

    def masks(self, members: tuple[str, ...]) -> dict[str, Path]:
        return {
            name: self.path(self.put(self.scheme.mask(path))) for name, path in self.paths(members).items()
        }

    def opened(self, members: tuple[str, ...], aggregate: bytes) -> Any:
        masks = self.masks(members)
        self.begin_opening()
        if self.direction is not None:
            self._stall(masks)
            self.now += SHARE_SECONDS * 1000
            self.offer(masks)
        return self.answered(aggregate, members, masks)

    def begin_opening(self) -> None:
        """Begin the first attempt."""
        members = list(self.members[self.epoch][:THRESHOLD])
        self.attempt = self.in_round(holder("GammaMSP"), "opening:Begin", attempt=1, members=members)

    def offer(self, masks: dict[str, Path]) -> None:
        """Have everybody offer, and begin the second attempt."""
        digest = self.scheme.masks_digest(list(masks.values()), ())
        for name in self.members[self.epoch]:
            zero = self.zero(2, name)
            request = {"zero_digest": self.put(zero), "zero_bytes": len(zero)}
            self.in_round(holder(name), "opening:Offer", attempt=2, mask_digest=digest, **request)
        self.attempt = self.in_round(holder("GammaMSP"), "opening:Begin", attempt=2)

    def zero(self, attempt: int, name: str) -> bytes:
        zero: bytes = self.scheme.zero(self._terms(attempt, (), ""), name, self.spec.model.parameter_count)
        path = self.store / f"zero-{self.number}-{attempt}-{name}"
        path.write_bytes(zero)
        return zero

    def terms(self) -> OpeningTerms:
        """The terms of the attempt that has begun."""
        found = self.attempt
        return self._terms(found["attempt"], tuple(found["members"]), found["seed"])

    def _terms(self, attempt: int, active: tuple[str, ...], seed: str) -> OpeningTerms:
        members = self.members[self.epoch]
        return OpeningTerms(TASK, self.number, attempt, self.epoch, members, THRESHOLD, active, seed)

    def holder_of(self, name: str) -> Any:
        key = (name, self.epoch)
        if key not in self.holders:
            path = self.secret_path(name, self.epoch)
            joint = self.joint_keys[self.epoch]
            self.holders[key] = self.provider.holder(self.spec.encryption, joint, path)
        return self.holders[key]

    def post(self, name: str, subject: ShareSubject, share: bytes) -> Path:
        """Post one answer and return its blob."""
        answer = {"subject": subject.value, "digest": self.put(share), "size_bytes": len(share)}
        self.in_round(holder(name), "opening:PostShares", attempt=self.attempt["attempt"], shares=[answer])
        return self.path(sha256(share))

    def _stall(self, masks: dict[str, Path]) -> None:
        """Two of the active set answer, one does not."""
        for name in self.attempt["members"]:
            if name != SILENT:
                share = self.holder_of(name).score_share(self.terms(), self.direction, masks)
                self.post(name, ShareSubject.SCORES, share)

    def answered(self, aggregate: bytes, members: tuple[str, ...], masks: dict[str, Path]) -> Any:
        """Have the whole active set answer, post the scores, and return the sum."""
        terms = self.terms()
        if self.direction is not None:
            scores = {
                name: self.post(
                    name, ShareSubject.SCORES, self.holder_of(name).score_share(terms, self.direction, masks)
                )
                for name in terms.active
            }
            blamed = {"attempt": terms.attempt, "against": terms.active[0]}
            self.in_round(
                holder("GammaMSP"), "opening:Blame", evidence_digest=self.put(b"evidence"), **blamed
            )
            paths = self.paths(members)
            self.post_scores(self.scheme.combine_scores(terms, self.direction, paths, scores))
        zeros = [self.store / f"zero-{self.number}-{terms.attempt}-{name}" for name in terms.active]
        zeros = zeros if terms.attempt > 1 else []
        shares = {
            name: self.post(
                name, ShareSubject.SUM, self.holder_of(name).sum_share(terms, list(masks.values()), zeros)
            )
            for name in terms.active
        }
        return self.scheme.combine(terms, self.path(sha256(aggregate)), zeros, shares)

    def whole(self) -> SharedRun:
        """The small run, with a new key after its first round."""
        self.begin()
        self.round()
        self.retire()
        self.hold_ceremony(3, MEMBERS)
        self.collect("alpha-1", "alpha-2", "beta-1")
        self.round("gamma-1")
        self.end()
        self.close()
        return self

    def end(self) -> None:
        """End the share holders; a copy of this run has none."""
        for one in self.holders.values():
            one.close()
        self.holders = {}


class PackedRun(HonestRun):
    """The small run under one key that its holder gives to every silo."""

    def _changes(self) -> dict[str, Any]:
        return {**super()._changes(), "encryption__scheme": PACKED_SCHEME}

    def _transport_path(self, name: str) -> Path:
        return self.store / f"{name}.transport"

    def _register(self, name: str, **more: Any) -> None:
        super()._register(name, transport_key=self.provider.transport_key(self._transport_path(name)))

    def _open_key(self) -> None:
        super()._open_key()
        terms, blob = self.spec.encryption, self.provider.create_key(self.spec.encryption, 1, self.secret)
        for name in ("alpha-1", "alpha-2", "beta-1", "gamma-1"):
            transport_key = self.provider.transport_key(self._transport_path(name))
            grant = self.provider.grant(terms, blob, self.secret, transport_key)
            request = {"participant_id": name, "digest": self.put(grant), "size_bytes": len(grant)}
            self.submit(holder(KEY_HOLDER), "key:GrantKey", task_id=TASK, epoch=1, **request)
        self.scheme = self.provider.member(terms, blob, self.secret)
