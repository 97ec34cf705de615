"""An aggregation scheme that encrypts nothing: exact integers in the clear, strictly parsed. For simulations only.

It has the form of a real scheme: own keys per epoch, a header bound into every message, one encoding for one
content, an encryption that differs each time, a gate with the same refusals. It has none of the secrecy.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import EncryptionTerms, from_json, to_json
from bfl_fabric.domain.ports import AggregateHeader, UpdateHeader, UpdateName
from bfl_fabric.errors import KeyHolderRefused, MalformedInput, NotFound

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Int8Vector, Int64Vector

SCHEME_NAME = "plain-without-secrecy"
HEADER_BYTES = 768
VALUE_BYTES = 8
NONCE_BITS = 64

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
            secret_path.write_text(_sha256(f"{self._seed} {secret_path.name} {epoch}".encode()))
        return canonical.dump(to_json(_key(terms, secret_path)))

    def public(self, terms: EncryptionTerms, public_key: bytes) -> PlainScheme:
        return PlainScheme(terms, _read_key(terms, public_key), self._nonces)

    def secret(self, terms: EncryptionTerms, public_key: bytes, secret_path: Path) -> PlainOpener:
        if not secret_path.exists():
            raise NotFound(f"no secret key at {secret_path}")
        key = _read_key(terms, public_key)
        if _key(terms, secret_path) != key:
            raise MalformedInput(f"the secret key at {secret_path} is not of this public key")
        return PlainOpener(PlainScheme(terms, key, self._nonces))


class PlainScheme:
    """The port AggregationScheme on numbers in the clear."""

    def __init__(self, terms: EncryptionTerms, key: PlainKey, nonces: random.Random) -> None:
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
        return _write(body, values)

    def inspect(self, path: Path) -> UpdateHeader:
        data = path.read_bytes()
        body, values = self._read(UpdateBody, "update", data)
        if values.size and int(np.abs(values).max()) > body.weight * self._per_weight:
            raise MalformedInput("a value is beyond the grid at this weight")
        name = UpdateName(body.task_id, body.round, body.participant_id)
        return UpdateHeader(
            name,
            body.epoch,
            body.parameters_digest,
            body.parameter_count,
            body.weight,
            _sha256(data),
            len(data),
        )

    def aggregate(self, uploads: Iterable[Path]) -> bytes:
        seen: dict[str, Body] = {}
        total: Int64Vector | None = None
        weight = 0
        for path in uploads:
            body, values = self._read(UpdateBody, "update", path.read_bytes())
            if body.participant_id in seen:
                raise MalformedInput(f"{body.participant_id} is in the sum already")
            seen[body.participant_id] = _same_round(body, seen)
            weight += body.weight
            total = values.copy() if total is None else total + values
        if total is None:
            raise MalformedInput("nothing to add up")
        first = next(iter(seen.values()))
        return _write(self._aggregate_body(first, len(seen), weight), total)

    def inspect_aggregate(self, path: Path) -> AggregateHeader:
        data = path.read_bytes()
        body, _ = self._read(AggregateBody, "aggregate", data)
        return AggregateHeader(
            body.task_id,
            body.round,
            body.epoch,
            body.parameters_digest,
            body.parameter_count,
            body.members,
            body.total_weight,
            _sha256(data),
            len(data),
        )

    def score(self, upload: Path, direction: Int8Vector) -> bytes:
        body, values = self._read(UpdateBody, "update", upload.read_bytes())
        if direction.shape != values.shape:
            raise MalformedInput(f"the direction has {direction.size} coordinates, the update {values.size}")
        value = int(values @ direction.astype(np.int64))
        score = ScoreBody("score", *_common(body), body.participant_id, value)
        return _write(score, np.zeros(0, dtype=np.int64))

    def score_bounds(self, total: Int64Vector, direction: Int8Vector, members: int) -> tuple[int, int]:
        exact = int(total @ direction.astype(np.int64))
        return exact, exact

    def read_sum(self, path: Path, members: int) -> Int64Vector:
        """Return the numbers of an aggregate; for the opener."""
        body, total = self._read(AggregateBody, "aggregate", path.read_bytes())
        if body.members != members:
            raise KeyHolderRefused(f"the aggregate is of {body.members} members, asked for {members}")
        return total

    def read_score(self, score: bytes) -> int:
        """Return the number of a score; for the opener."""
        return self._read(ScoreBody, "score", score)[0].value

    def _aggregate_body(self, first: Body, members: int, weight: int) -> AggregateBody:
        return AggregateBody("aggregate", *_common(first), members, weight)

    def _read(self, kind: type[B], name: str, data: bytes) -> tuple[B, Int64Vector]:
        body, values = _parse(kind, data)
        if body.kind != name:
            raise MalformedInput(f"a message of kind {body.kind!r} where {name!r} is expected")
        if (body.parameters_digest, body.key_digest) != (self._key.parameters_digest, self._key.key_digest):
            raise MalformedInput("the message is under another key or other parameters")
        expected = 0 if name == "score" else body.parameter_count
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


def _common(body: Body) -> tuple[str, int, int, str, str, int]:
    return (
        body.task_id,
        body.round,
        body.epoch,
        body.parameters_digest,
        body.key_digest,
        body.parameter_count,
    )


def _same_round(body: UpdateBody, seen: dict[str, Body]) -> UpdateBody:
    if seen and _common(next(iter(seen.values()))) != _common(body):
        raise MalformedInput(f"the update of {body.participant_id} is of another round, key or model")
    return body


def _write(body: Body, values: Int64Vector) -> bytes:
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


def _read_key(terms: EncryptionTerms, public_key: bytes) -> PlainKey:
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
    return PlainKey(SCHEME_NAME, digest, _sha256(secret_path.read_bytes()))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
