"""Ports to additively homomorphic encryption: what anybody can do, and what only the key holder can."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports.blobs import UpdateName

if TYPE_CHECKING:
    from bfl_fabric.domain.ports.vectors import Int8Vector, Int64Vector


@dataclass(frozen=True, slots=True)
class UpdateHeader:
    """What a checked ciphertext says about itself. `digest` is the SHA-256 of the wire bytes."""

    name: UpdateName
    epoch: int
    parameters_digest: str
    parameter_count: int
    weight: int
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class AggregateHeader:
    """What a checked aggregate says about itself. `members` uploads of one round, their weights added up."""

    task_id: str
    round: int
    epoch: int
    parameters_digest: str
    parameter_count: int
    members: int
    total_weight: int
    digest: str
    size_bytes: int


class AggregationScheme(Protocol):
    """Additively homomorphic encryption of integer vectors: what can be done with public material only.

    All functions are synchronous and CPU-bound; call them off the event loop. Bytes that do not pass the gate
    raise MalformedInput. Results are bit-exact: same uploads, any order, same bytes.
    """

    @property
    def parameters_digest(self) -> str: ...

    def size_bytes(self, parameter_count: int) -> int:
        """Return the exact wire length of one upload."""

    def encrypt(self, name: UpdateName, epoch: int, weight: int, values: Int64Vector) -> bytes:
        """Return the wire bytes of an encryption of `values` (weight·q, int64[parameter_count])."""

    def inspect(self, path: Path) -> UpdateHeader:
        """Check an upload completely (the gate) and return its header. Memory is O(one chunk)."""

    def aggregate(self, uploads: Iterable[Path]) -> bytes:
        """Return the wire bytes of the sum of distinct uploads of one round. Memory is O(model)."""

    def inspect_aggregate(self, path: Path) -> AggregateHeader:
        """Check an aggregate completely (the gate) and return its header."""

    def score(self, upload: Path, direction: Int8Vector) -> bytes:
        """Return a score ciphertext whose opening is ⟨values, direction⟩ and nothing else."""

    def score_bounds(self, total: Int64Vector, direction: Int8Vector, members: int) -> tuple[int, int]:
        """Return the least and the greatest that the opened scores of `members` uploads with this sum add up to.

        So everybody can hold a key holder's scores, which only it can open, against the sum that all can read.
        """

    def score_size_bytes(self, parameter_count: int) -> int:
        """Return the exact wire length of one score ciphertext."""


class SecretOpener(Protocol):
    """What only the key holder can do. Nothing but the documented results leaves it; never noise, never floats."""

    def open_sum(self, aggregate: Path, members: int) -> Int64Vector:
        """Return the exact integer sum int64[parameter_count]. Raises MalformedInput, KeyHolderRefused."""

    def open_score(self, score: bytes) -> int:
        """Return the inner product, rounded to the scheme's score grid."""


class SchemeProvider(Protocol):
    """Makes a task's scheme from its terms; the one door to the `he` room."""

    def create_key(self, terms: EncryptionTerms, epoch: int, secret_path: Path) -> bytes:
        """Make a key pair, keep the secret in a file of mode 0600, return the public key blob.

        When `secret_path` exists already, nothing is made and its public blob is returned.
        """

    def public(self, terms: EncryptionTerms, public_key: bytes) -> AggregationScheme:
        """Raises MalformedInput when the blob is not a well-formed public key of these terms."""

    def secret(self, terms: EncryptionTerms, public_key: bytes, secret_path: Path) -> SecretOpener: ...
