"""The door to this room: from a task's terms to its scheme.

`EncryptionSchemes` is the port `SchemeProvider`; it asks the provider that is registered under the scheme's word.
Importing it loads numpy and nothing of TenSEAL.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import (
    AggregationScheme,
    CeremonyPlan,
    KeyCeremony,
    SchemeProvider,
    SecretOpener,
    ShareHolder,
    ThresholdKeys,
    ThresholdScheme,
)
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.he.ckks import CkksProvider
from bfl_fabric.he.isolation import StartWorker, WorkerLimits, WorkerProcess
from bfl_fabric.he.lattice.parameters import (
    PACKED_WIDE,
    THRESHOLD_WIDE,
    half_as_large,
    smallest_set,
    upload_bits,
)
from bfl_fabric.he.lattice.terms import levels_of
from bfl_fabric.he.packed.backend import BackEndName
from bfl_fabric.he.packed.scheme import PackedProvider
from bfl_fabric.he.parameters import CKKS_N4096_R64
from bfl_fabric.he.scoring.directions import MINIMUM_TERMS
from bfl_fabric.he.threshold.provider import ThresholdProvider

logger = logging.getLogger(__name__)


class ClosingProvider(SchemeProvider, Protocol):
    """What a scheme registers: a provider that ends its worker processes when told."""

    def close(self) -> None: ...


_DEFAULT_PARAMETERS = {
    "ckks": CKKS_N4096_R64.digest,
    "packed": PACKED_WIDE.digest,
    "threshold": THRESHOLD_WIDE.digest,
}


def parameters_digest(scheme: str = "ckks") -> str:
    """Return the digest of the parameter set that new tasks of this scheme use. Raises ConfigurationError."""
    _require_known(scheme)
    return _DEFAULT_PARAMETERS[scheme]


def choose_parameters(
    scheme: str, value_bits: int, max_total_weight: int, members: int, parameter_count: int
) -> str:
    """Return the digest of the parameter set that makes the smallest uploads for a task.

    A warning is logged when they could be half as large with a smaller `max_total_weight`.

    Args:
        scheme: its word in the task.
        value_bits: of one coordinate, sign included.
        max_total_weight: of a round.
        members: the most that a round may have.
        parameter_count: of the model.

    Raises:
        ConfigurationError: no set of the scheme carries such sums.
    """
    _require_known(scheme)
    if scheme == "ckks":
        return _DEFAULT_PARAMETERS[scheme]
    # a score question of a joint key needs room for a few values of the heaviest member, which may be nearly all weight
    room = MINIMUM_TERMS if scheme == "threshold" else 1
    each = levels_of(value_bits) * room
    chosen = smallest_set(scheme, each * max_total_weight, members, parameter_count)
    smaller = half_as_large(chosen, members, parameter_count)
    if smaller is not None and smaller.largest_sum >= each:
        logger.warning(
            "max_total_weight %d takes %.1f bytes a parameter (%s); with %d or less it would be %.1f (%s): set it to "
            "what the samples of all silos may add up to",
            max_total_weight,
            upload_bits(chosen, parameter_count) / 8 / parameter_count,
            chosen.name,
            smaller.largest_sum // each,
            upload_bits(smaller, parameter_count) / 8 / parameter_count,
            smaller.name,
        )
    return chosen.digest


class EncryptionSchemes:
    """The port `SchemeProvider` over every scheme of this version. Worker processes end with this object."""

    def __init__(
        self,
        limits: WorkerLimits | None = None,
        back_end: BackEndName = BackEndName.SEAL,
        start: StartWorker = WorkerProcess,
    ) -> None:
        """`back_end` says what computes with the secrets of the scheme `packed`; `start` makes the workers."""
        limits = limits or WorkerLimits()
        self._packed = PackedProvider(limits, back_end, start)
        self._threshold = ThresholdProvider(limits, start)
        self._providers: dict[str, ClosingProvider] = {
            "ckks": CkksProvider(limits, start),
            "packed": self._packed,
            "threshold": self._threshold,
        }

    def create_key(self, terms: EncryptionTerms, epoch: int, secret_path: Path) -> bytes:
        """Make a key pair, keep the secret in a file of mode 0600, return the public key blob.

        When this returns the file is durable. When it existed already, nothing is made.

        Raises:
            ConfigurationError: the terms are not usable, or the file's directory is not.
            KeyHolderRefused: an existing file is readable by others, or of another epoch.
        """
        return self._provider(terms).create_key(terms, epoch, secret_path)

    def public(self, terms: EncryptionTerms, public_key: bytes) -> AggregationScheme:
        """Raises MalformedInput when the blob is not a well-formed public key of these terms."""
        return self._provider(terms).public(terms, public_key)

    def secret(self, terms: EncryptionTerms, public_key: bytes, secret_path: Path) -> SecretOpener:
        """Raises KeyHolderRefused, MalformedInput or NotFound when the file is not that public key's secret."""
        return self._provider(terms).secret(terms, public_key, secret_path)

    def transport_key(self, secret_path: Path) -> str:
        """Return the public key (hex) to which group keys are granted to this silo; make the pair if there is none."""
        return self._packed.transport_key(secret_path)

    def grant(
        self, terms: EncryptionTerms, public_key: bytes, secret_path: Path, transport_key: str
    ) -> bytes:
        """Return a group's secret key encrypted to a silo's transport key. Raises MalformedInput, KeyHolderRefused."""
        return self._packed.grant(terms, public_key, secret_path, transport_key)

    def accept(
        self, terms: EncryptionTerms, public_key: bytes, grant: bytes, transport_path: Path, secret_path: Path
    ) -> None:
        """Decrypt a grant into a file of mode 0600. Raises MalformedInput when it is not the public key's."""
        self._packed.accept(terms, public_key, grant, transport_path, secret_path)

    def member(self, terms: EncryptionTerms, public_key: bytes, secret_path: Path) -> AggregationScheme:
        """Return a scheme that can encrypt, in a worker process that holds the group's secret."""
        return self._packed.member(terms, public_key, secret_path)

    def ceremony(self, terms: EncryptionTerms, plan: CeremonyPlan, secret_path: Path) -> KeyCeremony:
        """Raises ConfigurationError for a plan that cannot be, or a scheme without joint keys."""
        return self._joint_keys(terms).ceremony(terms, plan, secret_path)

    def joint_key(self, terms: EncryptionTerms, plan: CeremonyPlan, shares: Mapping[str, bytes]) -> bytes:
        """Return the joint key of these public shares. Raises MalformedInput."""
        return self._joint_keys(terms).joint_key(terms, plan, shares)

    def joint(self, terms: EncryptionTerms, joint_key: bytes) -> ThresholdScheme:
        """Raises MalformedInput when the blob is not a joint key of these terms."""
        return self._joint_keys(terms).joint(terms, joint_key)

    def holder(self, terms: EncryptionTerms, joint_key: bytes, secret_path: Path) -> ShareHolder:
        """Raises KeyHolderRefused, MalformedInput or NotFound when the file is no share of that joint key."""
        return self._joint_keys(terms).holder(terms, joint_key, secret_path)

    def close(self) -> None:
        """End the worker processes that hold no secret; an opener's ends with the opener."""
        for provider in self._providers.values():
            provider.close()

    def _joint_keys(self, terms: EncryptionTerms) -> ThresholdKeys:
        if self._provider(terms) is not self._threshold:
            raise ConfigurationError(f"the scheme {terms.scheme!r} has no keys that several hold")
        return self._threshold

    def _provider(self, terms: EncryptionTerms) -> SchemeProvider:
        _require_known(terms.scheme)
        return self._providers[terms.scheme]


def _require_known(scheme: str) -> None:
    if scheme not in _DEFAULT_PARAMETERS:
        raise ConfigurationError(
            f"no scheme is called {scheme!r}; this version has {', '.join(sorted(_DEFAULT_PARAMETERS))}"
        )
