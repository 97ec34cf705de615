"""The encryption beside TenSEAL as NVFLARE sets it up, measured in one run, interleaved.

Returns numbers; showing them is left to the caller. TenSEAL is loaded in this process only here, on data of our own.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import UpdateName
from bfl_fabric.he.provider import EncryptionSchemes, parameters_digest

UPLOADS = 10
WEIGHT = 50
VALUE_BITS = 16
NVFLARE_DEGREE, NVFLARE_BITS, NVFLARE_SCALE = 8192, [60, 40, 40], 2.0**40


@dataclass(frozen=True, slots=True)
class EncryptionFigures:
    """Medians of one scheme at one size; milliseconds. `server_ms` is bytes to checked sum of ten uploads."""

    scheme: str
    parameters: int
    bytes_per_parameter: float
    client_ms: float
    server_ms: float
    open_ms: float


def measure(parameters: int, repeats: int) -> list[EncryptionFigures]:
    """Measure ours and TenSEAL's with NVFLARE's parameters, symmetric and public-key, turn by turn."""
    with tempfile.TemporaryDirectory() as place:
        schemes = EncryptionSchemes()
        try:
            candidates: list[Any] = [
                _Ours(schemes, Path(place), parameters),
                _TenSeal(parameters, symmetric=True),
                _TenSeal(parameters, symmetric=False),
            ]
            times: dict[str, list[list[float]]] = {item.name: [[], [], []] for item in candidates}
            for _ in range(repeats):
                for item in candidates:
                    for column, step in zip(
                        times[item.name], (item.client, item.server, item.open), strict=True
                    ):
                        column.append(_milliseconds(step))
            return [
                EncryptionFigures(
                    item.name,
                    parameters,
                    item.size / parameters,
                    *(statistics.median(column) for column in times[item.name]),
                )
                for item in candidates
            ]
        finally:
            schemes.close()


def _milliseconds(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    step()
    return (time.perf_counter() - started) * 1000


class _Ours:
    """The `ckks` scheme through its ports, worker process and gate included."""

    def __init__(self, schemes: EncryptionSchemes, place: Path, parameters: int) -> None:
        terms = EncryptionTerms("ckks", parameters_digest(), VALUE_BITS, "0.25", WEIGHT * UPLOADS)
        secret = place / "secret.key"
        key = schemes.create_key(terms, 1, secret)
        self.name = "bfl-fabric ckks"
        self._place = place
        self._scheme = schemes.public(terms, key)
        self._opener = schemes.secret(terms, key, secret)
        largest = 2 ** (VALUE_BITS - 1) - 1
        generator = np.random.default_rng(1)
        self._values = generator.integers(-largest, largest + 1, parameters, dtype=np.int64) * WEIGHT
        self._uploads = [place / f"upload-{number}" for number in range(UPLOADS)]
        for number, path in enumerate(self._uploads):
            path.write_bytes(
                self._scheme.encrypt(UpdateName("bench", 1, f"silo-{number}"), 1, WEIGHT, self._values)
            )
        self.size = self._uploads[0].stat().st_size

    def client(self) -> None:
        self._scheme.encrypt(UpdateName("bench", 1, "silo-0"), 1, WEIGHT, self._values)

    def server(self) -> None:
        (self._place / "sum").write_bytes(self._scheme.aggregate(self._uploads))

    def open(self) -> None:
        opened = self._opener.open_sum(self._place / "sum", UPLOADS)
        if not np.array_equal(opened, self._values * UPLOADS):
            raise AssertionError("the opened sum is not the exact sum")


class _TenSeal:
    """TenSEAL's CKKSVector with NVFLARE's parameters, one flat vector, its own serialization."""

    def __init__(self, parameters: int, symmetric: bool) -> None:
        import tenseal

        self._tenseal = tenseal
        kind = tenseal.ENCRYPTION_TYPE.SYMMETRIC if symmetric else tenseal.ENCRYPTION_TYPE.ASYMMETRIC
        self._context = tenseal.context(
            tenseal.SCHEME_TYPE.CKKS, NVFLARE_DEGREE, coeff_mod_bit_sizes=NVFLARE_BITS, encryption_type=kind
        )
        self._context.global_scale = NVFLARE_SCALE
        self.name = f"TenSEAL, NVFLARE set, {'symmetric' if symmetric else 'public key'}"
        self._values = np.random.default_rng(1).uniform(-0.25, 0.25, parameters).tolist()
        self._uploads = [self._encrypted() for _ in range(UPLOADS)]
        self._sum: Any = None
        self.size = len(self._uploads[0])

    def _encrypted(self) -> bytes:
        with _quiet_library():
            serialized: bytes = self._tenseal.ckks_vector(self._context, self._values).serialize()
        return serialized

    def client(self) -> None:
        self._encrypted()

    def server(self) -> None:
        vectors = [self._tenseal.ckks_vector_from(self._context, data) for data in self._uploads]
        total = vectors[0]
        for vector in vectors[1:]:
            total = total + vector
        self._sum = total

    def open(self) -> None:
        self._sum.decrypt()


@contextmanager
def _quiet_library() -> Iterator[None]:
    """TenSEAL prints a warning for each long vector, from C and past Python's streams; send it nowhere."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
