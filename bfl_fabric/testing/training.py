"""Training whose results betray any double count, omission or wrong base model (after the janus simulation).

Slot i of the vector belongs to participant i alone and holds the round's number, so a sum shows exactly how often
each was counted. The rest is a number that no other participant, round or base model makes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bfl_chaincode.api.records import PPB, Metrics, TaskSpec
from bfl_fabric.domain.ports import LocalUpdate

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Float32Vector, Int64Vector

FINGERPRINT_SLOTS = 3
FINGERPRINT_LIMIT = 2**16


def unique_parameter_count(participants: Sequence[str]) -> int:
    """Return the length of the vector for these participants."""
    return len(participants) + FINGERPRINT_SLOTS


def unique_values(
    participants: Sequence[str], participant_id: str, round_number: int, base: Float32Vector
) -> Int64Vector:
    """Return the grid values q that this participant learns in this round from this base model."""
    values = np.zeros(unique_parameter_count(participants), dtype=np.int64)
    values[sorted(participants).index(participant_id)] = round_number
    seed = f"{participant_id} {round_number} ".encode() + base.tobytes()
    words = np.frombuffer(hashlib.sha256(seed).digest()[: 4 * FINGERPRINT_SLOTS], dtype="<u4")
    values[len(participants) :] = words % FINGERPRINT_LIMIT + 1
    return values


class UniqueTrainer:
    """The port Trainer for one participant of such a vector."""

    def __init__(self, participants: Sequence[str], participant_id: str, samples: int) -> None:
        self._participants = tuple(participants)
        self._participant_id = participant_id
        self._samples = samples

    @property
    def samples(self) -> int:
        return self._samples

    def train(self, spec: TaskSpec, round_number: int, base: Float32Vector) -> LocalUpdate:
        values = unique_values(self._participants, self._participant_id, round_number, base)
        step = float(Fraction(spec.encryption.clip) / (2 ** (spec.encryption.value_bits - 1) - 1))
        return LocalUpdate((values * step).astype(np.float32), self._samples, PPB // round_number)


class DigestEvaluator:
    """The port Evaluator: metrics that are a function of the model's bits and of nothing else."""

    def evaluate(self, spec: TaskSpec, model: Float32Vector) -> Metrics:
        word = int.from_bytes(hashlib.sha256(model.tobytes()).digest()[:8], "big")
        return Metrics(accuracy_ppb=word % PPB, loss_ppb=word // PPB % PPB, samples=1)
