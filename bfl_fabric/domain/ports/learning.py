"""Ports to training, evaluation and the exact arithmetic between training and encryption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bfl_chaincode.api.records import EncryptionTerms, Metrics, TaskSpec

if TYPE_CHECKING:
    from bfl_fabric.domain.ports.vectors import Float32Vector, Int8Vector, Int64Vector


@dataclass(frozen=True, slots=True)
class LocalUpdate:
    """What a silo learned: `delta` float32[parameter_count] against the base model, and its mean loss."""

    delta: Float32Vector
    samples: int
    loss_ppb: int


class Trainer(Protocol):
    """Local training: a function of (spec, round, base model, the silo's data), bit for bit."""

    @property
    def samples(self) -> int: ...

    def train(self, spec: TaskSpec, round_number: int, base: Float32Vector) -> LocalUpdate: ...


class Evaluator(Protocol):
    """Evaluation of a model on the held-out set."""

    def evaluate(self, spec: TaskSpec, model: Float32Vector) -> Metrics: ...


class Arithmetic(Protocol):
    """The exact arithmetic between training and encryption (`learning`); every function is deterministic."""

    def quantize(self, terms: EncryptionTerms, delta: Float32Vector, weight: int) -> Int64Vector:
        """Clip to ±clip, put on the grid, multiply by the weight. Raises MalformedInput on NaN, infinity."""

    def apply_sum(
        self, terms: EncryptionTerms, base: Float32Vector, total: Int64Vector, total_weight: int
    ) -> Float32Vector:
        """Return base + mean update, the same float32 bits on every machine."""

    def direction(self, total: Int64Vector) -> Int8Vector:
        """Return the public reference direction made of an opened sum, each entry in −127..127."""

    def pack_model(self, model: Float32Vector) -> bytes: ...

    def unpack_model(self, data: bytes, parameter_count: int) -> Float32Vector: ...

    def pack_sum(self, total: Int64Vector) -> bytes: ...

    def unpack_sum(self, data: bytes, parameter_count: int) -> Int64Vector: ...

    def pack_direction(self, direction: Int8Vector) -> bytes: ...

    def unpack_direction(self, data: bytes, parameter_count: int) -> Int8Vector: ...
