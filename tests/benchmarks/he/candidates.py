"""Our side of the benchmark: each scheme behind one interface, through the ports that the product uses.

Decides the grid and the weight that our schemes are measured with. Which steps are timed, and how, is left to
`measure`; the competitors are in `competitors`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import (
    AggregationScheme,
    CeremonyPlan,
    OpeningTerms,
    SecretOpener,
    ShareHolder,
    ThresholdScheme,
    UpdateName,
)
from bfl_fabric.he.lattice.parameters import (
    PACKED_S16,
    PACKED_S20K,
    PACKED_S24,
    THRESHOLD_T16,
    THRESHOLD_T20,
    LatticeParameters,
)
from bfl_fabric.he.packed.backend import BackEndName
from bfl_fabric.he.provider import EncryptionSchemes, parameters_digest
from bfl_fabric.learning.arithmetic import ExactArithmetic

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Float32Vector, Int64Vector

Float64Vector = NDArray[np.float64]

CLIENTS = 10
CLIP = "0.25"
WEIGHT = 50
CKKS_VALUE_BITS = 16
TASK = "bench"
HOLDERS = ("AlphaMSP", "BetaMSP", "GammaMSP")
OPENING = OpeningTerms(TASK, 1, 1, 1, HOLDERS, len(HOLDERS), HOLDERS, "0" * 64)


class Candidate(Protocol):
    """A scheme of ours. `name` is its row, `parameters` its parameter set, `note` what its figures leave in or out.

    `prepare` is called once and not counted: it makes keys and one upload for each client. `client`, `server` and
    `open` are called in this order, over and over.
    """

    name: str
    parameters: str

    @property
    def note(self) -> str:
        """Asked for at the end."""

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
        self._terms = terms
        self._weight = terms.max_total_weight // CLIENTS
        self._place = place
        self._schemes = EncryptionSchemes()
        self._scheme: AggregationScheme
        self._opener: SecretOpener
        self._values: list[Float32Vector] = []
        self._uploads: list[Path] = []
        self._arithmetic = ExactArithmetic()

    @property
    def note(self) -> str:
        return "worker process, gate and files included"

    def prepare(self, values: list[Float32Vector]) -> None:
        self._place.mkdir(parents=True)
        self._make_keys()
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

    def _make_keys(self) -> None:
        secret = self._place / "secret.key"
        key = self._schemes.create_key(self._terms, 1, secret)
        self._scheme = self._schemes.public(self._terms, key)
        self._opener = self._schemes.secret(self._terms, key, secret)

    def _upload(self, number: int) -> bytes:
        name = UpdateName(TASK, 1, f"silo-{number}")
        return self._scheme.encrypt(name, 1, self._weight, self._quantized(number))

    def _quantized(self, number: int) -> Int64Vector:
        return self._arithmetic.quantize(self._terms, self._values[number], self._weight)

    def _in_unit(self, total: Int64Vector) -> Float64Vector:
        levels = 2 ** (self._terms.value_bits - 1) - 1
        opened: Float64Vector = total.astype(np.float64) * (float(self._terms.clip) / (levels * self._weight))
        return opened


class PackedCandidate(SchemeCandidate):
    """The scheme `packed`: the silo encrypts in a worker process that holds the group's key."""

    def __init__(
        self, name: str, parameters: LatticeParameters, bits: int, back_end: BackEndName, place: Path
    ) -> None:
        terms = EncryptionTerms("packed", parameters.digest, bits, CLIP, CLIENTS)
        super().__init__(name, f"{parameters.name}, {bits} bit", terms, place)
        self._schemes = EncryptionSchemes(back_end=back_end)

    def _make_keys(self) -> None:
        secret = self._place / "secret.key"
        key = self._schemes.create_key(self._terms, 1, secret)
        self._scheme = self._schemes.member(self._terms, key, secret)
        self._opener = self._schemes.secret(self._terms, key, secret)


class ThresholdCandidate(SchemeCandidate):
    """The scheme `threshold` with three key holders, all of whom answer. `open` is one share and the combination."""

    def __init__(self, name: str, parameters: LatticeParameters, bits: int, place: Path) -> None:
        terms = EncryptionTerms("threshold", parameters.digest, bits, CLIP, CLIENTS, threshold=len(HOLDERS))
        super().__init__(name, f"{parameters.name}, {bits} bit", terms, place)
        self._joint: ThresholdScheme
        self._holder: ShareHolder
        self._masks: list[Path] = []
        self._shares: dict[str, Path] = {}
        self._times: list[tuple[float, float]] = []

    @property
    def note(self) -> str:
        share, combination = (statistics.median(column) for column in zip(*self._times, strict=True))
        return f"open is one share ({share:.0f} ms, worker process included) and the combination ({combination:.0f} ms)"

    def prepare(self, values: list[Float32Vector]) -> None:
        super().prepare(values)
        for number, upload in enumerate(self._uploads):
            self._masks.append(self._place / f"mask-{number}")
            self._masks[-1].write_bytes(self._joint.mask(upload))
        self.server()
        for name in HOLDERS[1:]:
            holder = self._schemes.holder(self._terms, self._key, self._place / name)
            self._keep_share(name, holder)
            holder.close()
        self._holder = self._schemes.holder(self._terms, self._key, self._place / HOLDERS[0])
        self.open()

    def open(self) -> Float64Vector:
        started = time.perf_counter()
        self._keep_share(HOLDERS[0], self._holder)
        answered = time.perf_counter()
        total = self._joint.combine(OPENING, self._place / "sum", (), self._shares)
        self._times.append(((answered - started) * 1000, (time.perf_counter() - answered) * 1000))
        return self._in_unit(total)

    def close(self) -> None:
        self._holder.close()
        super().close()

    def _keep_share(self, name: str, holder: ShareHolder) -> None:
        self._shares[name] = self._place / f"share-{name}"
        self._shares[name].write_bytes(holder.sum_share(OPENING, self._masks, ()))

    def _make_keys(self) -> None:
        parts = {}
        for name in HOLDERS:
            plan = CeremonyPlan(TASK, 1, HOLDERS, len(HOLDERS), name)
            parts[name] = self._schemes.ceremony(self._terms, plan, self._place / name)
        public = {name: part.key_share() for name, part in parts.items()}
        dealings = {name: part.deal(public) for name, part in parts.items()}
        keys = [part.finish(public, dealings) for part in parts.values()]
        for part in parts.values():
            part.close()
        self._key = keys[0]
        self._scheme = self._joint = self._schemes.joint(self._terms, self._key)


def _ckks(place: Path) -> Candidate:
    terms = EncryptionTerms("ckks", parameters_digest(), CKKS_VALUE_BITS, CLIP, WEIGHT * CLIENTS)
    return SchemeCandidate("bfl-fabric ckks", f"N = 4096, {CKKS_VALUE_BITS} bit", terms, place)


def _packed(parameters: LatticeParameters, bits: int, back_end: BackEndName) -> Callable[[Path], Candidate]:
    name = f"bfl-fabric {parameters.name}, {back_end.value}"
    return lambda place: PackedCandidate(name, parameters, bits, back_end, place)


def _threshold(parameters: LatticeParameters, bits: int) -> Callable[[Path], Candidate]:
    return lambda place: ThresholdCandidate(
        f"bfl-fabric {parameters.name}, {bits} bit", parameters, bits, place
    )


OURS: Mapping[str, Callable[[Path], Candidate]] = {
    "ckks": _ckks,
    "packed-s16": _packed(PACKED_S16, 16, BackEndName.RING),
    "packed-s24": _packed(PACKED_S24, 24, BackEndName.RING),
    "packed-s24-seal": _packed(PACKED_S24, 24, BackEndName.SEAL),
    "packed-s20k": _packed(PACKED_S20K, 20, BackEndName.RING),
    "threshold-t16": _threshold(THRESHOLD_T16, 16),
    "threshold-t20": _threshold(THRESHOLD_T20, 20),
    "threshold-t24": _threshold(THRESHOLD_T20, 24),
}
"""Every scheme of ours by its word for `--only`; the function gets a directory of its own, not yet made."""
