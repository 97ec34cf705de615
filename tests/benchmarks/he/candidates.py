"""Our side of the benchmark: each scheme behind one interface, through the ports that the product uses.

Decides the grid and the weight that our schemes are measured with. Which steps are timed, and how, is left to
`measure`; the competitors are in `competitors`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import AggregationScheme, SecretOpener, UpdateName
from bfl_fabric.he.provider import EncryptionSchemes, parameters_digest
from bfl_fabric.learning.arithmetic import ExactArithmetic

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Float32Vector, Int64Vector

Float64Vector = NDArray[np.float64]

CLIENTS = 10
CLIP = "0.25"
WEIGHT = 50
CKKS_VALUE_BITS = 16


class Candidate(Protocol):
    """A scheme of ours. `name` is its row, `parameters` its parameter set, `note` what its figures leave in or out.

    `prepare` is called once and not counted: it makes keys and one upload for each client. `client`, `server` and
    `open` are called in this order, over and over.
    """

    name: str
    parameters: str
    note: str

    def prepare(self, values: list[Float32Vector]) -> None:
        """Make keys and one upload of each client's float32[parameters]."""

    def client(self) -> bytes:
        """Quantize and encrypt the first client's array; return its upload."""

    def server(self) -> None:
        """Check and add all uploads, from bytes to the sum that `open` opens."""

    def open(self) -> Float64Vector:
        """Open the last sum: decrypt, or make one key holder's share and combine it with those of the others.

        Returns the sum of the arrays, float64[parameters], in the unit of the inputs.
        """

    def exact_sum(self) -> Float64Vector | None:
        """Return what an exact scheme must have opened, bit for bit; None for a scheme that rounds."""

    def close(self) -> None:
        """End processes and drop keys."""


class SchemeCandidate:
    """A scheme with one key holder, through its ports: worker processes, gate and files included."""

    def __init__(self, name: str, parameters: str, terms: EncryptionTerms, place: Path) -> None:
        self.name, self.parameters = name, parameters
        self.note = "worker process, gate and files included"
        self._terms = terms
        self._place = place
        self._schemes = EncryptionSchemes()
        self._scheme: AggregationScheme
        self._opener: SecretOpener
        self._values: list[Float32Vector] = []
        self._uploads: list[Path] = []
        self._arithmetic = ExactArithmetic()

    def prepare(self, values: list[Float32Vector]) -> None:
        self._place.mkdir(parents=True)
        secret = self._place / "secret.key"
        key = self._schemes.create_key(self._terms, 1, secret)
        self._scheme = self._schemes.public(self._terms, key)
        self._opener = self._schemes.secret(self._terms, key, secret)
        self._values = values
        self._uploads = [self._place / f"upload-{number}" for number in range(len(values))]
        for number, path in enumerate(self._uploads):
            path.write_bytes(self._upload(number))

    def client(self) -> bytes:
        return self._upload(0)

    def server(self) -> None:
        (self._place / "sum").write_bytes(self._scheme.aggregate(self._uploads))

    def open(self) -> Float64Vector:
        return self._in_unit(self._opener.open_sum(self._place / "sum", len(self._uploads)))

    def exact_sum(self) -> Float64Vector:
        quantized = [self._quantized(number) for number in range(len(self._values))]
        return self._in_unit(np.sum(quantized, axis=0))

    def close(self) -> None:
        self._schemes.close()

    def _upload(self, number: int) -> bytes:
        name = UpdateName("bench", 1, f"silo-{number}")
        return self._scheme.encrypt(name, 1, WEIGHT, self._quantized(number))

    def _quantized(self, number: int) -> Int64Vector:
        return self._arithmetic.quantize(self._terms, self._values[number], WEIGHT)

    def _in_unit(self, total: Int64Vector) -> Float64Vector:
        levels = 2 ** (self._terms.value_bits - 1) - 1
        opened: Float64Vector = total.astype(np.float64) * (float(self._terms.clip) / (levels * WEIGHT))
        return opened


def _ckks(place: Path) -> Candidate:
    terms = EncryptionTerms("ckks", parameters_digest(), CKKS_VALUE_BITS, CLIP, WEIGHT * CLIENTS)
    return SchemeCandidate("bfl-fabric ckks", f"N = 4096, {CKKS_VALUE_BITS} bit", terms, place)


OURS: Mapping[str, Callable[[Path], Candidate]] = {
    "ckks": _ckks,
    # `packed` (s16, s24, s20k; back ends seal and ring) and `threshold` (t16, t20; three key holders) go here.
}
"""Every scheme of ours by its word for `--only`; the function gets a directory of its own, not yet made."""
