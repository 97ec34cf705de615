"""The port `ThresholdKeys`, and what the scheme registers under its word."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import AggregationScheme, CeremonyPlan, SecretOpener
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.he.isolation import StartWorker, WorkerLimits, WorkerProcess
from bfl_fabric.he.lattice.terms import LatticeTerms
from bfl_fabric.he.threshold import keymessages
from bfl_fabric.he.threshold.ceremony import MemberCeremony
from bfl_fabric.he.threshold.holder import MemberHolder
from bfl_fabric.he.threshold.plan import KeyPlan
from bfl_fabric.he.threshold.scheme import JointScheme


class ThresholdProvider:
    """Makes ceremonies, schemes and holders. Each ceremony and each holder has a worker process of its own."""

    def __init__(self, limits: WorkerLimits, start: StartWorker = WorkerProcess) -> None:
        self._limits, self._start = limits, start

    def ceremony(self, terms: EncryptionTerms, plan: CeremonyPlan, secret_path: Path) -> MemberCeremony:
        """Raises ConfigurationError for a plan that cannot be."""
        checked = KeyPlan.of(LatticeTerms.of(terms).parameters, plan)
        return MemberCeremony(checked, plan.me, secret_path, self._start(self._limits))

    def joint_key(self, terms: EncryptionTerms, plan: CeremonyPlan, shares: Mapping[str, bytes]) -> bytes:
        """Return the joint key of these public shares. Raises MalformedInput."""
        checked = KeyPlan.of(LatticeTerms.of(terms).parameters, plan)
        read = {name: keymessages.read_key_share(checked, name, share) for name, share in shares.items()}
        return keymessages.encode_joint_key(checked, read)

    def joint(self, terms: EncryptionTerms, joint_key: bytes) -> JointScheme:
        """Raises MalformedInput when the blob is not a joint key of these terms."""
        return JointScheme(LatticeTerms.of(terms), joint_key)

    def holder(self, terms: EncryptionTerms, joint_key: bytes, secret_path: Path) -> MemberHolder:
        """Raises KeyHolderRefused, MalformedInput or NotFound when the file is no share of that joint key."""
        return MemberHolder(LatticeTerms.of(terms), joint_key, secret_path, self._start(self._limits))

    def create_key(self, terms: EncryptionTerms, epoch: int, secret_path: Path) -> bytes:
        """No single party makes a key here. Raises ConfigurationError."""
        raise ConfigurationError("a key of the scheme threshold is made in a ceremony of all its members")

    def public(self, terms: EncryptionTerms, public_key: bytes) -> AggregationScheme:
        """As `joint`."""
        return self.joint(terms, public_key)

    def secret(self, terms: EncryptionTerms, public_key: bytes, secret_path: Path) -> SecretOpener:
        """No single party opens anything here. Raises ConfigurationError."""
        raise ConfigurationError("a sum of the scheme threshold is opened by its holders together")

    def close(self) -> None:
        """Nothing runs here beside what ceremonies and holders end themselves."""
