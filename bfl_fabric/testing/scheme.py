"""An aggregation scheme that encrypts nothing: exact integers in the clear, strictly parsed. For simulations only.

It has the form of a real scheme: own keys per epoch, a header bound into every message, one encoding for one
content, an encryption that differs each time, a gate with the same refusals. It has none of the secrecy.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import PACKED_SCHEME, EncryptionTerms, from_json, to_json
from bfl_fabric.domain.ports import AggregateHeader, UpdateHeader, UpdateName
from bfl_fabric.errors import ConfigurationError, KeyHolderRefused, MalformedInput, NotFound

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import CeremonyPlan, Int8Vector, Int64Vector, KeyCeremony, ShareHolder
    from bfl_fabric.testing.threshold import PlainJointScheme

SCHEME_NAME = "plain-without-secrecy"
HEADER_BYTES = 768
VALUE_BYTES = 8
NONCE_BITS = 64
WITH_VALUES = ("update", "aggregate")

B = TypeVar("B", bound="Body")


@dataclass(frozen=True, slots=True)
class Body:
    """What every message of the scheme says about itself."""

    kind: str
    task_id: str
    round: int
    epoch: int
    parameters_digest: str
    key_digest: str
    parameter_count: int


@dataclass(frozen=True, slots=True)
class UpdateBody(Body):
    participant_id: str
    weight: int
    nonce: str


@dataclass(frozen=True, slots=True)
class AggregateBody(Body):
    members: int
    total_weight: int


@dataclass(frozen=True, slots=True)
class ScoreBody(Body):
    participant_id: str
    value: int


@dataclass(frozen=True, slots=True)
class PlainKey:
    """The public key blob: which secret belongs to it, and nothing that could be encrypted with."""

    scheme: str
    parameters_digest: str
    key_digest: str


def plain_parameters_digest(value_bits: int, clip: str, max_total_weight: int) -> str:
    """Return the parameters digest that terms of this scheme must state."""
    parameters: dict[str, canonical.Json] = {
        "scheme": SCHEME_NAME,
        "value_bits": value_bits,
        "clip": clip,
        "max_total_weight": max_total_weight,
    }
    return canonical.digest(parameters)


class PlainProvider:
    """Makes plain schemes; keys and nonces come from the seed, so that a simulation can be repeated."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._nonces = random.Random(seed)  # noqa: S311 - nonces of a scheme without secrecy

    def create_key(self, terms: EncryptionTerms, epoch: int, secret_path: Path) -> bytes:
        if not secret_path.exists():
            secret_path.touch(mode=0o600)
            secret_path.write_text(sha256(f"{self._seed} {secret_path.name} {epoch}".encode()))
        return canonical.dump(to_json(_key(terms, secret_path)))

    def public(self, terms: EncryptionTerms, public_key: bytes) -> PlainScheme:
        may_encrypt = terms.scheme != PACKED_SCHEME
        return PlainScheme(terms, read_key(terms, public_key), self._nonces, may_encrypt=may_encrypt)

    def secret(self, terms: EncryptionTerms, public_key: bytes, secret_path: Path) -> PlainOpener:
        if not secret_path.exists():
            raise NotFound(f"no secret key at {secret_path}")
        key = read_key(terms, public_key)
        if _key(terms, secret_path) != key:
            raise MalformedInput(f"the secret key at {secret_path} is not of this public key")
        return PlainOpener(PlainScheme(terms, key, self._nonces))

    # --- keys that several hold -------------------------------------------------------------------

    def ceremony(self, terms: EncryptionTerms, plan: CeremonyPlan, secret_path: Path) -> KeyCeremony:
        from bfl_fabric.testing.threshold import PlainCeremony

        return PlainCeremony(terms, plan, secret_path, self._seed)

    def joint_key(self, terms: EncryptionTerms, plan: CeremonyPlan, shares: Mapping[str, bytes]) -> bytes:
        from bfl_fabric.testing.threshold import joint_key_of

        return joint_key_of(terms, plan, shares)

    def joint(self, terms: EncryptionTerms, joint_key: bytes) -> PlainJointScheme:
        from bfl_fabric.testing.threshold import PlainJointScheme

        return PlainJointScheme(terms, joint_key, self._nonces)

    def holder(self, terms: EncryptionTerms, joint_key: bytes, secret_path: Path) -> ShareHolder:
        from bfl_fabric.testing.threshold import PlainShareHolder

        return PlainShareHolder(self.joint(terms, joint_key), secret_path)

    # --- keys that silos share --------------------------------------------------------------------

    def transport_key(self, secret_path: Path) -> str:
        if not secret_path.exists():
            secret_path.touch(mode=0o600)
            secret_path.write_text(sha256(f"{self._seed} {secret_path}".encode()))
        return sha256(secret_path.read_bytes())

    def grant(
        self, terms: EncryptionTerms, public_key: bytes, secret_path: Path, transport_key: str
    ) -> bytes:
        self.secret(terms, public_key, secret_path)
        secret, nonce = secret_path.read_text(), self._nonces.getrandbits(NONCE_BITS)
        return canonical.dump({"for": transport_key, "secret": secret, "nonce": f"{nonce:016x}"})

    def accept(
        self, terms: EncryptionTerms, public_key: bytes, grant: bytes, transport_path: Path, secret_path: Path
    ) -> None:
        match canonical.parse(grant):
            case {"for": str(whom), "secret": str(secret)} if whom == self.transport_key(transport_path):
                secret_path.touch(mode=0o600)
                secret_path.write_text(secret)
            case _:
                raise MalformedInput("the grant is not for this silo's transport key")
        if _key(terms, secret_path) != read_key(terms, public_key):
            secret_path.unlink()
            raise MalformedInput("the granted key is not the one on the ledger")

    def member(self, terms: EncryptionTerms, public_key: bytes, secret_path: Path) -> PlainScheme:
        self.secret(terms, public_key, secret_path)
        return PlainScheme(terms, read_key(terms, public_key), self._nonces)


class PlainScheme:
    """The port AggregationScheme on numbers in the clear."""

    def __init__(
        self, terms: EncryptionTerms, key: PlainKey, nonces: random.Random, *, may_encrypt: bool = True
    ) -> None:
        self._may_encrypt = may_encrypt
        self._largest = (2 ** (terms.value_bits - 1) - 1) * terms.max_total_weight
        self._per_weight = 2 ** (terms.value_bits - 1) - 1
        self._key = key
        self._nonces = nonces

    @property
    def parameters_digest(self) -> str:
        return self._key.parameters_digest

    def size_bytes(self, parameter_count: int) -> int:
        return HEADER_BYTES + parameter_count * VALUE_BYTES

    def score_size_bytes(self, parameter_count: int) -> int:
        return HEADER_BYTES

    def encrypt(self, name: UpdateName, epoch: int, weight: int, values: Int64Vector) -> bytes:
        if not self._may_encrypt:
            raise ConfigurationError("only who was granted the group's key can encrypt")
        if weight < 1 or (values.size and int(np.abs(values).max()) > weight * self._per_weight):
            raise MalformedInput("the values do not fit the grid at this weight")
        body = UpdateBody(
            "update",
            name.task_id,
            name.round,
            epoch,
            self._key.parameters_digest,
            self._key.key_digest,
            values.size,
            name.participant_id,
            weight,
            f"{self._nonces.getrandbits(NONCE_BITS):016x}",
        )
        return write(body, values)

    def inspect(self, path: Path) -> UpdateHeader:
        data = path.read_bytes()
        body, values = self.read(UpdateBody, "update", data)
        if values.size and int(np.abs(values).max()) > body.weight * self._per_weight:
            raise MalformedInput("a value is beyond the grid at this weight")
        name = UpdateName(body.task_id, body.round, body.participant_id)
        return UpdateHeader(
            name,
            body.epoch,
            body.parameters_digest,
            body.parameter_count,
            body.weight,
            sha256(data),
            len(data),
        )

    def aggregate(self, uploads: Iterable[Path]) -> bytes:
        seen: dict[str, Body] = {}
        total: Int64Vector | None = None
        weight = 0
        for path in uploads:
            body, values = self.read(UpdateBody, "update", path.read_bytes())
            if body.participant_id in seen:
                raise MalformedInput(f"{body.participant_id} is in the sum already")
            seen[body.participant_id] = _same_round(body, seen)
            weight += body.weight
            total = values.copy() if total is None else total + values
        if total is None:
            raise MalformedInput("nothing to add up")
        first = next(iter(seen.values()))
        return write(self._aggregate_body(first, len(seen), weight), total)

    def inspect_aggregate(self, path: Path) -> AggregateHeader:
        data = path.read_bytes()
        body, _ = self.read(AggregateBody, "aggregate", data)
        return AggregateHeader(
            body.task_id,
            body.round,
            body.epoch,
            body.parameters_digest,
            body.parameter_count,
            body.members,
            body.total_weight,
            sha256(data),
            len(data),
        )

    def score(self, upload: Path, direction: Int8Vector) -> bytes:
        body, values = self.read(UpdateBody, "update", upload.read_bytes())
        if direction.shape != values.shape:
            raise MalformedInput(f"the direction has {direction.size} coordinates, the update {values.size}")
        value = int(values @ direction.astype(np.int64))
        score = ScoreBody("score", *common(body), body.participant_id, value)
        return write(score, np.zeros(0, dtype=np.int64))

    def score_bounds(self, total: Int64Vector, direction: Int8Vector, members: int) -> tuple[int, int]:
        exact = int(total @ direction.astype(np.int64))
        return exact, exact

    def read_sum(self, path: Path, members: int) -> Int64Vector:
        """Return the numbers of an aggregate; for the opener."""
        body, total = self.read(AggregateBody, "aggregate", path.read_bytes())
        if body.members != members:
            raise KeyHolderRefused(f"the aggregate is of {body.members} members, asked for {members}")
        return total

    def read_score(self, score: bytes) -> int:
        """Return the number of a score; for the opener."""
        return self.read(ScoreBody, "score", score)[0].value

    def _aggregate_body(self, first: Body, members: int, weight: int) -> AggregateBody:
        return AggregateBody("aggregate", *common(first), members, weight)

    def read(self, kind: type[B], name: str, data: bytes) -> tuple[B, Int64Vector]:
        """Return a message of this kind under this key. Raises MalformedInput."""
        body, values = _parse(kind, data)
        if body.kind != name:
            raise MalformedInput(f"a message of kind {body.kind!r} where {name!r} is expected")
        if (body.parameters_digest, body.key_digest) != (self._key.parameters_digest, self._key.key_digest):
            raise MalformedInput("the message is under another key or other parameters")
        expected = body.parameter_count if name in WITH_VALUES else 0
        if values.size != expected or (values.size and int(np.abs(values).max()) > self._largest):
            raise MalformedInput(f"{values.size} values where {expected} belong, or one beyond the grid")
        return body, values


class PlainOpener:
    """The port SecretOpener: opens what was never closed."""

    def __init__(self, scheme: PlainScheme) -> None:
        self._scheme = scheme

    def open_sum(self, aggregate: Path, members: int) -> Int64Vector:
        return self._scheme.read_sum(aggregate, members)

    def open_score(self, score: bytes) -> int:
        return self._scheme.read_score(score)


def common(body: Body) -> tuple[str, int, int, str, str, int]:
    """Return the fields that all messages about one sum share."""
    return (
        body.task_id,
        body.round,
        body.epoch,
        body.parameters_digest,
        body.key_digest,
        body.parameter_count,
    )


def _same_round(body: UpdateBody, seen: dict[str, Body]) -> UpdateBody:
    if seen and common(next(iter(seen.values()))) != common(body):
        raise MalformedInput(f"the update of {body.participant_id} is of another round, key or model")
    return body


def write(body: Body, values: Int64Vector) -> bytes:
    """Return the bytes of a message."""
    header = canonical.dump(to_json(body))
    assert len(header) <= HEADER_BYTES
    return header.ljust(HEADER_BYTES) + values.astype("<i8").tobytes()


def _parse(kind: type[B], data: bytes) -> tuple[B, Int64Vector]:
    if len(data) < HEADER_BYTES or (len(data) - HEADER_BYTES) % VALUE_BYTES:
        raise MalformedInput(f"{len(data)} bytes are no message of {SCHEME_NAME}")
    header = data[:HEADER_BYTES]
    try:
        body = from_json(kind, canonical.parse(header.rstrip(b" ")))
    except canonical.NotCanonical as error:
        raise MalformedInput(f"the header is broken: {error}") from error
    if canonical.dump(to_json(body)).ljust(HEADER_BYTES) != header:
        raise MalformedInput("the header is not in its one encoding")
    return body, np.frombuffer(data[HEADER_BYTES:], dtype="<i8").astype(np.int64)


def read_key(terms: EncryptionTerms, public_key: bytes) -> PlainKey:
    """Return the public key in a blob. Raises MalformedInput unless it is of these terms."""
    try:
        key = from_json(PlainKey, canonical.parse(public_key))
    except canonical.NotCanonical as error:
        raise MalformedInput(f"no public key of {SCHEME_NAME}: {error}") from error
    expected = plain_parameters_digest(terms.value_bits, terms.clip, terms.max_total_weight)
    if key.scheme != SCHEME_NAME or key.parameters_digest != expected:
        raise MalformedInput("the public key is of another scheme or of other parameters")
    return key


def _key(terms: EncryptionTerms, secret_path: Path) -> PlainKey:
    digest = plain_parameters_digest(terms.value_bits, terms.clip, terms.max_total_weight)
    return PlainKey(SCHEME_NAME, digest, sha256(secret_path.read_bytes()))


def sha256(data: bytes) -> str:
    """Return a digest in lower-case hex."""
    return hashlib.sha256(data).hexdigest()
