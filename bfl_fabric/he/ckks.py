"""The scheme `ckks`: CKKS of TenSEAL, one key holder. The ports, put together from the other modules of this room.

What touches a secret or randomness is asked of a worker process; adding, scoring and checking are done here with
numpy, so a node that only aggregates or verifies never loads TenSEAL.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import AggregateHeader, AggregationScheme, SecretOpener, UpdateHeader, UpdateName
from bfl_fabric.errors import MalformedInput
from bfl_fabric.he import scores, wire
from bfl_fabric.he.gate import KeyName, open_message, open_upload, read_message
from bfl_fabric.he.isolation import StartWorker, WorkerLimits, WorkerProcess
from bfl_fabric.he.packing import pack
from bfl_fabric.he.scores import PreparedDirection
from bfl_fabric.he.sums import sum_of
from bfl_fabric.he.terms import CheckedTerms
from bfl_fabric.he.wire import Header, Kind

CHUNKS_PER_REQUEST = 64
"""How many ciphertexts one request to the worker makes, so that its memory does not grow with the model."""


class CkksProvider:
    """Makes the scheme and the opener of a task. One worker process serves all that needs no secret."""

    def __init__(self, limits: WorkerLimits, start: StartWorker = WorkerProcess) -> None:
        self._limits = limits
        self._start = start
        self._worker = start(limits)

    def create_key(self, terms: EncryptionTerms, epoch: int, secret_path: Path) -> bytes:
        """Make a key pair unless the file is there; the secret never enters this process."""
        checked = CheckedTerms.of(terms)
        head: dict[str, Json] = {
            "operation": "create_key",
            "parameters_digest": checked.parameters.digest,
            "epoch": epoch,
            "secret_path": str(secret_path.absolute()),
        }
        worker = self._start(self._limits)
        try:
            return worker.ask(head)[1]
        finally:
            worker.close()

    def public(self, terms: EncryptionTerms, public_key: bytes) -> AggregationScheme:
        """Raises MalformedInput when the blob is not a public key of these terms."""
        return CkksScheme(CheckedTerms.of(terms), public_key, self._worker)

    def secret(self, terms: EncryptionTerms, public_key: bytes, secret_path: Path) -> SecretOpener:
        """Start a worker that holds the secret. Raises what is wrong with the file or with the blob."""
        return CkksOpener(CheckedTerms.of(terms), public_key, secret_path, self._start(self._limits))

    def close(self) -> None:
        """End the shared worker process."""
        self._worker.close()


class CkksScheme:
    """The port `AggregationScheme`: what can be done with the public key of one epoch."""

    def __init__(self, terms: CheckedTerms, public_key: bytes, worker: WorkerProcess) -> None:
        message = read_message(public_key, terms.parameters, Kind.PUBLIC_KEY)
        message.public_key()
        self._terms = terms
        self._parameters = terms.parameters
        self._public_key = public_key
        self._key = KeyName(message.header.epoch, message.digest)
        self._worker = worker
        self._prepared: PreparedDirection | None = None

    @property
    def parameters_digest(self) -> str:
        return self._parameters.digest

    def size_bytes(self, parameter_count: int) -> int:
        return wire.message_bytes(self._parameters, Kind.UPDATE, parameter_count)

    def score_size_bytes(self, parameter_count: int) -> int:
        return wire.message_bytes(self._parameters, Kind.SCORE, parameter_count)

    def encrypt(self, name: UpdateName, epoch: int, weight: int, values: NDArray[np.int64]) -> bytes:
        """Return the wire bytes of a fresh encryption; twice the same values give different bytes.

        Raises:
            MalformedInput: another epoch than the key's, a weight or a value beyond the task's terms.
            WorkerFailed: the worker process was lost; asking again is safe.
        """
        self._require_epoch(epoch)
        self._check_values(weight, values)
        header = Header(
            Kind.UPDATE, self.parameters_digest, epoch, name.round, values.size, weight, 1, name.task_id,
            name.participant_id, bytes.fromhex(self._key.digest),
        )  # fmt: skip
        return b"".join([header.encode(), *self._ciphertexts(values)])

    def inspect(self, path: Path) -> UpdateHeader:
        """Check an upload completely, that it is for this key included, and return its header."""
        with open_upload(path, self._parameters, self._key) as message:
            self._require_weight(message.header.weight)
            for _ in message.chunks():
                pass
            header = message.header
            return UpdateHeader(
                UpdateName(header.task_id, header.round, header.participant_id),
                header.epoch,
                header.parameters_digest,
                header.parameter_count,
                header.weight,
                message.digest,
                message.size_bytes,
            )

    def inspect_aggregate(self, path: Path) -> AggregateHeader:
        """Check an aggregate completely and return its header."""
        with open_message(path, self._parameters, Kind.SUM) as message:
            self._require_epoch(message.header.epoch)
            self._require_weight(message.header.weight)
            for _ in message.chunks():
                pass
            header = message.header
            return AggregateHeader(
                header.task_id,
                header.round,
                header.epoch,
                header.parameters_digest,
                header.parameter_count,
                header.members,
                header.weight,
                message.digest,
                message.size_bytes,
            )

    def aggregate(self, uploads: Iterable[Path]) -> bytes:
        """Return the wire bytes of the sum; each upload passes the gate while it is added."""
        return sum_of(self._terms, self._key, uploads)

    def score(self, upload: Path, direction: NDArray[np.int8]) -> bytes:
        """Return the wire bytes of the score of an upload; whoever computes it gets the same bytes."""
        prepared = self._prepare(direction)
        with open_upload(upload, self._parameters, self._key) as message:
            header = message.header
            self._require_weight(header.weight)
            if header.parameter_count != prepared.parameter_count:
                raise MalformedInput(
                    f"the upload has {header.parameter_count} parameters, the direction {prepared.parameter_count}"
                )
            constant, mask = scores.score_words(self._parameters, message.chunks(), prepared)
            score = Header(
                Kind.SCORE, self.parameters_digest, header.epoch, header.round, header.parameter_count, header.weight,
                1, header.task_id, header.participant_id, bytes.fromhex(message.digest), prepared.terms,
            )  # fmt: skip
        return score.encode() + constant.to_bytes(8, "little") + pack(mask, self._parameters.residue_bits)

    def _ciphertexts(self, values: NDArray[np.int64]) -> Iterable[bytes]:
        head: dict[str, Json] = {
            "operation": "encrypt",
            "parameters_digest": self.parameters_digest,
            "key_bytes": len(self._public_key),
        }
        slab = CHUNKS_PER_REQUEST * self._parameters.values_per_chunk
        for start in range(0, values.size, slab):
            part = values[start : start + slab].astype("<i8").tobytes()
            yield self._worker.ask(head, self._public_key + part)[1]

    def score_bounds(
        self, total: NDArray[np.int64], direction: NDArray[np.int8], members: int
    ) -> tuple[int, int]:
        """Return the least and the greatest that the opened scores of uploads with this sum add up to."""
        prepared = self._prepare(direction)
        inner_product = scores.coarse_inner_product(total, direction, prepared)
        return scores.score_bounds(self._parameters, prepared, inner_product, members)

    def _prepare(self, direction: NDArray[np.int8]) -> PreparedDirection:
        """Return the prepared direction; a round uses one for all its uploads, so the last one is kept."""
        prepared = self._prepared
        if prepared is None or prepared.terms.digest != scores.direction_digest(direction):
            prepared = scores.prepare_direction(self._terms, direction)
            self._prepared = prepared
        return prepared

    def _check_values(self, weight: int, values: NDArray[np.int64]) -> None:
        if values.dtype != np.int64 or values.ndim != 1 or values.size == 0:
            raise MalformedInput(
                f"the values are {values.dtype} of shape {values.shape}, not an int64 vector"
            )
        self._require_weight(weight)
        bound = weight * self._terms.levels
        if values.max() > bound or values.min() < -bound:
            raise MalformedInput(
                f"a value is beyond ±{bound}, the largest for weight {weight} on this task's grid"
            )

    def _require_epoch(self, epoch: int) -> None:
        if epoch != self._key.epoch:
            raise MalformedInput(f"it is for key epoch {epoch}, the public key is of epoch {self._key.epoch}")

    def _require_weight(self, weight: int) -> None:
        if not 1 <= weight <= self._terms.max_total_weight:
            raise MalformedInput(f"the weight {weight} is not from 1 to {self._terms.max_total_weight}")


class CkksOpener:
    """The port `SecretOpener`: asks the worker process that alone holds the secret."""

    def __init__(
        self, terms: CheckedTerms, public_key: bytes, secret_path: Path, worker: WorkerProcess
    ) -> None:
        self._worker = worker
        self._head: dict[str, Json] = {
            "parameters_digest": terms.parameters.digest,
            "secret_path": str(secret_path.absolute()),
            "levels": terms.levels,
            "max_total_weight": terms.max_total_weight,
        }
        try:
            self._worker.ask({**self._head, "operation": "load_key"}, public_key)
        except BaseException:
            self._worker.close()
            raise

    def open_sum(self, aggregate: Path, members: int) -> NDArray[np.int64]:
        """Return the exact sum, or nothing of it.

        Raises:
            MalformedInput: the file does not pass the gate.
            KeyHolderRefused: other or too few members, another epoch, or it does not open to a well-formed sum.
            WorkerFailed: the worker process was lost.
        """
        request: dict[str, Json] = {
            **self._head,
            "operation": "open_sum",
            "path": str(aggregate.absolute()),
            "members": members,
        }
        return np.frombuffer(self._worker.ask(request)[1], dtype="<i8").astype(np.int64)

    def open_score(self, score: bytes) -> int:
        """Return the inner product on the score grid. Raises as `open_sum` does."""
        value = self._worker.ask({**self._head, "operation": "open_score"}, score)[0]["score"]
        assert isinstance(value, int)
        return value

    def close(self) -> None:
        """End the worker process, and with it the only copy of the secret in memory."""
        self._worker.close()
