"""Fixed-point arithmetic of a round: updates onto the grid, sums back into models, directions for scores.

Decides the grid (EncryptionTerms), how numbers are rounded, and the byte form of models, sums and directions.
Leaves encryption to `he`, addition of updates to the aggregator, and everything about rewards to the contract.

Why the results have the same bits on every machine: constants are exact rationals rounded once to float64; every
float operation is one elementwise IEEE 754 operation (multiply, add, round to nearest even) on float64 arrays,
which numpy never fuses or reorders; everything that is summed is an integer; the only reduction is a maximum.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.errors import ConfigurationError, MalformedInput

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Float32Vector, Int8Vector, Int64Vector

DIRECTION_LIMIT = 127
DIVERGED_FACTOR = 1_000_000
EXACT_LIMIT = 2**53
"""Integers up to here are exact in float64."""

_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,12})?")


@dataclass(frozen=True, slots=True)
class Grid:
    """The checked fixed-point grid of a task: multiples of clip/levels from −clip to +clip."""

    clip: Fraction
    levels: int
    max_total_weight: int

    @classmethod
    def of(cls, terms: EncryptionTerms) -> Grid:
        """Check the terms. Raises ConfigurationError."""
        if not _DECIMAL.fullmatch(terms.clip) or not (clip := Fraction(terms.clip)):
            raise ConfigurationError(f"clip {terms.clip!r} is not a positive plain decimal such as '0.25'")
        if not 2 <= terms.value_bits <= 32:
            raise ConfigurationError(f"value_bits is {terms.value_bits}; it must be from 2 to 32")
        levels = 2 ** (terms.value_bits - 1) - 1
        if not 1 <= terms.max_total_weight <= EXACT_LIMIT // levels:
            raise ConfigurationError(
                f"max_total_weight is {terms.max_total_weight}; with value_bits {terms.value_bits} it must be "
                f"from 1 to {EXACT_LIMIT // levels}"
            )
        return cls(clip, levels, terms.max_total_weight)

    def require_weight(self, weight: int) -> None:
        if not 1 <= weight <= self.max_total_weight:
            raise ConfigurationError(
                f"weight {weight} is not from 1 to {self.max_total_weight}, the task's limit"
            )


class ExactArithmetic:
    """The port `Arithmetic`: stateless, every function bit-deterministic."""

    def quantize(self, terms: EncryptionTerms, delta: Float32Vector, weight: int) -> Int64Vector:
        """Return weight·rint(clip(delta, ±clip)·levels/clip), int64, ties to even.

        Args:
            terms: the task's grid, levels = 2^(value_bits−1) − 1.
            delta: the update, float32[parameter_count].
            weight: the silo's sample count.

        Raises:
            MalformedInput: a coordinate is NaN, infinite, or larger than a million times the clip, which is the
                trace of a training that diverged and not an outlier to be clipped.
            ConfigurationError: the terms or the weight are not usable.
        """
        grid = Grid.of(terms)
        grid.require_weight(weight)
        _require_vector(delta, np.float32, "update")
        _require_finite(
            delta, "update", "training diverged: lower the learning rate or look for broken samples"
        )
        wide = delta.astype(np.float64)
        _require_not_diverged(wide, float(grid.clip * DIVERGED_FACTOR), terms.clip)
        clip, scale = float(grid.clip), float(grid.levels / grid.clip)
        return np.rint(np.clip(wide, -clip, clip) * scale).astype(np.int64) * np.int64(weight)

    def apply_sum(
        self, terms: EncryptionTerms, base: Float32Vector, total: Int64Vector, total_weight: int
    ) -> Float32Vector:
        """Return float32(base + total·clip/(levels·total_weight)), computed in float64 (finite: clip < 10^9).

        Raises:
            MalformedInput: the vectors differ in length, the base model is not finite, or the sum cannot come
                from updates of this total weight on this grid.
        """
        grid = Grid.of(terms)
        grid.require_weight(total_weight)
        _require_vector(base, np.float32, "base model")
        _require_vector(total, np.int64, "sum")
        if base.shape != total.shape:
            raise MalformedInput(f"the base model has {base.size} parameters and the sum {total.size}")
        _require_finite(base, "base model", "it is not a model of this task")
        _require_bounded(total, grid.levels * total_weight)
        step = float(grid.clip / (grid.levels * total_weight))
        return (base.astype(np.float64) + total.astype(np.float64) * step).astype(np.float32)

    def direction(self, total: Int64Vector) -> Int8Vector:
        """Return sign(S)·floor((127·|S| + max//2)/max) with max the largest |S|; all zero stays all zero."""
        _require_vector(total, np.int64, "sum")
        _require_bounded(total, EXACT_LIMIT)
        magnitude = np.abs(total)
        largest = int(magnitude.max(initial=0))
        if largest == 0:
            return np.zeros(total.shape, dtype=np.int8)
        scaled = (magnitude * DIRECTION_LIMIT + largest // 2) // largest
        return np.where(total < 0, -scaled, scaled).astype(np.int8)

    def pack_model(self, model: Float32Vector) -> bytes:
        """Return the model's raw little-endian float32 bytes. Raises MalformedInput on NaN and infinity."""
        _require_vector(model, np.float32, "model")
        _require_finite(model, "model", "it is not published")
        return model.astype("<f4", copy=False).tobytes()

    def unpack_model(self, data: bytes, parameter_count: int) -> Float32Vector:
        """Read what `pack_model` wrote. Raises MalformedInput unless the length is exact and all is finite."""
        model = _unpacked(data, parameter_count, "<f4", "model").astype(np.float32)
        _require_finite(model, "model", "it is not a model that this system published")
        return model

    def pack_sum(self, total: Int64Vector) -> bytes:
        """Return the sum's raw little-endian int64 bytes."""
        _require_vector(total, np.int64, "sum")
        return total.astype("<i8", copy=False).tobytes()

    def unpack_sum(self, data: bytes, parameter_count: int) -> Int64Vector:
        """Read what `pack_sum` wrote; `apply_sum` and `direction` check the range."""
        return _unpacked(data, parameter_count, "<i8", "sum").astype(np.int64)

    def pack_direction(self, direction: Int8Vector) -> bytes:
        """Return one byte for each coordinate. Raises MalformedInput on −128, which no direction holds."""
        _require_vector(direction, np.int8, "direction")
        _require_direction(direction)
        return direction.tobytes()

    def unpack_direction(self, data: bytes, parameter_count: int) -> Int8Vector:
        """Read what `pack_direction` wrote."""
        direction = _unpacked(data, parameter_count, "i1", "direction").astype(np.int8)
        _require_direction(direction)
        return direction


def _unpacked(data: bytes, parameter_count: int, dtype: str, what: str) -> NDArray[np.generic]:
    expected = parameter_count * np.dtype(dtype).itemsize
    if len(data) != expected:
        raise MalformedInput(
            f"the {what} has {len(data)} bytes; {parameter_count} parameters take exactly {expected}"
        )
    return np.frombuffer(data, dtype=dtype)


def _require_vector(vector: NDArray[np.generic], dtype: type[np.generic], what: str) -> None:
    if vector.dtype != np.dtype(dtype) or vector.ndim != 1:
        raise MalformedInput(
            f"the {what} is {vector.dtype} of shape {vector.shape}; it must be {np.dtype(dtype)} of one dimension"
        )


def _require_finite(vector: Float32Vector, what: str, advice: str) -> None:
    broken = np.flatnonzero(~np.isfinite(vector))
    if broken.size:
        first = int(broken[0])
        raise MalformedInput(
            f"the {what} has {broken.size} of {vector.size} coordinates that are not finite, the first at index "
            f"{first} ({vector[first]}); {advice}"
        )


def _require_not_diverged(delta: NDArray[np.float64], limit: float, clip: str) -> None:
    beyond = np.flatnonzero(np.abs(delta) > limit)
    if beyond.size:
        first = int(beyond[0])
        raise MalformedInput(
            f"the update diverged: {beyond.size} of {delta.size} coordinates are beyond {limit:g}, a million times "
            f"the clip {clip}, the first at index {first} ({delta[first]:g}); lower the learning rate or look for "
            "broken samples"
        )


def _require_bounded(total: Int64Vector, limit: int) -> None:
    beyond = np.flatnonzero((total > limit) | (total < -limit))
    if beyond.size:
        first = int(beyond[0])
        raise MalformedInput(
            f"the sum has {int(total[first])} at index {first}, beyond ±{limit}: it is not a sum of updates on "
            "this task's grid"
        )


def _require_direction(direction: Int8Vector) -> None:
    outside = np.flatnonzero(direction < -DIRECTION_LIMIT)
    if outside.size:
        raise MalformedInput(f"the direction has −128 at index {int(outside[0])}; its range is −127 to 127")
