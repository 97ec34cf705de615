"""Terms, names, values and messages that several tests of this folder use."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import UpdateName
from bfl_fabric.he import wire
from bfl_fabric.he.gate import KeyName
from bfl_fabric.he.packing import Residues, pack
from bfl_fabric.he.parameters import CKKS_N4096
from bfl_fabric.he.terms import CheckedTerms
from bfl_fabric.he.wire import DirectionTerms, Header, Kind

PARAMETERS = CKKS_N4096
TERMS = EncryptionTerms("ckks", PARAMETERS.digest, 16, "0.5", 32_768)
CHECKED = CheckedTerms.of(TERMS)
LEVELS = 2**15 - 1
TASK = "retinopathy-1"


def name(participant_id: str = "silo-a", round_number: int = 1) -> UpdateName:
    return UpdateName(TASK, round_number, participant_id)


def some_values(count: int, weight: int = 1, seed: int = 0) -> NDArray[np.int64]:
    """Return weight·q with q spread as an update's are: bell-shaped, a few at the clip."""
    spread = np.random.default_rng(seed).normal(0, LEVELS / 4, count)
    return np.clip(np.rint(spread), -LEVELS, LEVELS).astype(np.int64) * weight


def some_direction(count: int, seed: int = 1) -> NDArray[np.int8]:
    """Return a direction as an opened sum gives it: the largest entry is 127."""
    spread = np.abs(np.random.default_rng(seed).normal(0, 1, count)) + 1e-9
    signs = np.random.default_rng(seed + 1).choice((-1, 1), count)
    return np.rint(signs * spread * 127 / spread.max()).astype(np.int8)


def residues(start: int, stride: int, count: int, prime: int = PARAMETERS.data_prime) -> Residues:
    """Return (start + i·stride) mod prime for i = 0, 1, …: the bodies of the vectors."""
    return np.array([(start + index * stride) % prime for index in range(count)], dtype=np.uint64)


def header(kind: Kind = Kind.UPDATE, **changes: object) -> Header:
    """Return a header of this kind, with these fields changed."""
    fields: dict[str, object] = {"kind": kind, "parameters_digest": PARAMETERS.digest, "epoch": 1}
    if kind is not Kind.PUBLIC_KEY:
        fields |= {"round": 1, "parameter_count": 10, "weight": 7, "members": 1, "task_id": TASK}
    if kind in (Kind.UPDATE, Kind.SCORE):
        fields["participant_id"] = "silo-a"
    if kind is Kind.UPDATE:
        fields["subject"] = bytes.fromhex(KEY.digest)
    if kind in (Kind.SUM, Kind.SCORE):
        fields["subject"] = hashlib.sha256(b"subject").digest()
    if kind is Kind.SUM:
        fields["members"] = 3
    if kind is Kind.SCORE:
        fields["direction"] = DirectionTerms(2, 1000, 500, hashlib.sha256(b"direction").digest())
    return Header(**(fields | changes))  # type: ignore[arg-type]


def body(kind: Kind, start: int, stride: int, parameter_count: int = 10) -> bytes:
    """Return a body of this kind from the formula of `residues`."""
    degree, width = PARAMETERS.degree, PARAMETERS.residue_bits
    if kind is Kind.PUBLIC_KEY:
        special = residues(start, stride, 2 * degree, PARAMETERS.special_prime)
        return pack(residues(start, stride, 2 * degree), width) + pack(
            special, PARAMETERS.special_residue_bits
        )
    if kind is Kind.SCORE:
        words = residues(start, stride, degree + 1)
        return int(words[0]).to_bytes(8, "little") + pack(words[1:], width)
    return pack(residues(start, stride, 2 * degree * PARAMETERS.chunk_count(parameter_count)), width)


def message(
    kind: Kind = Kind.UPDATE, start: int = 3, stride: int = 0x9E3779B97F4A7C15, **changes: object
) -> bytes:
    """Return a well-formed message whose body comes from the formula."""
    fields = header(kind, **changes)
    return fields.encode() + body(kind, start, stride, fields.parameter_count)


PUBLIC_KEY = message(Kind.PUBLIC_KEY, 9)
"""The pinned public key: what `message` makes without a subject of its own is an update for this key."""

KEY = KeyName(1, hashlib.sha256(PUBLIC_KEY).hexdigest())


@dataclass(frozen=True)
class Written:
    """Messages in files, as the ports take them."""

    folder: Path

    def file(self, data: bytes, stem: str = "message") -> Path:
        path = self.folder / f"{stem}-{hashlib.sha256(data).hexdigest()[:16]}"
        path.write_bytes(data)
        return path


assert wire.HEADER_BYTES == 408
