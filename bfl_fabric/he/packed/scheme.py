"""The scheme `packed`: the ports, put together from the other modules of this room.

What touches the group's secret is asked of a worker process. Adding and checking are done here with numpy, so a node
that only aggregates or verifies needs no key and never loads TenSEAL.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import AggregateHeader, AggregationScheme, SecretOpener, UpdateHeader, UpdateName
from bfl_fabric.errors import ConfigurationError, MalformedInput
from bfl_fabric.he.isolation import StartWorker, WorkerLimits, WorkerProcess
from bfl_fabric.he.lattice import sums
from bfl_fabric.he.lattice.bodies import begin_upload, polynomials, upload_bytes
from bfl_fabric.he.lattice.messages import HEADER_BYTES, Expansion, Header, Kind, open_message
from bfl_fabric.he.lattice.randomness import SEED_BYTES
from bfl_fabric.he.lattice.terms import LatticeTerms
from bfl_fabric.he.packed.backend import BackEndName
from bfl_fabric.he.packed.groupkey import read_public_key
from bfl_fabric.he.packed.operations import values_type
from bfl_fabric.he.scoring.directions import direction_digest, draw_plan, fixed_seed
from bfl_fabric.he.scoring.messages import encode_score, score_size_bytes
from bfl_fabric.he.scoring.plan import DirectionPlan
from bfl_fabric.he.scoring.scalars import base_scalars

EXPANSIONS = {BackEndName.RING: Expansion.AES_CTR, BackEndName.SEAL: Expansion.SEAL_BLAKE2XB}


class PackedProvider:
    """Makes schemes, openers and members of a task, and moves the group's key to its silos."""

    def __init__(
        self,
        limits: WorkerLimits,
        back_end: BackEndName = BackEndName.SEAL,
        start: StartWorker = WorkerProcess,
    ) -> None:
        """`back_end` says what computes with secrets; `start` makes the worker processes."""
        self._limits = limits
        self._back_end = back_end
        self._start = start

    def create_key(self, terms: EncryptionTerms, epoch: int, secret_path: Path) -> bytes:
        """Make the group's key unless the file is there; the secret never enters this process."""
        return self._ask_once("packed_create_key", self._head(terms, secret_path) | {"epoch": epoch})

    def public(self, terms: EncryptionTerms, public_key: bytes) -> AggregationScheme:
        """Raises MalformedInput when the blob is not a group key of these terms."""
        return PackedScheme(LatticeTerms.of(terms), public_key, self._back_end)

    def secret(self, terms: EncryptionTerms, public_key: bytes, secret_path: Path) -> SecretOpener:
        """Start a worker that holds the secret. Raises what is wrong with the file or with the blob."""
        LatticeTerms.of(terms)
        return PackedOpener(self._holding(terms, public_key, secret_path))

    def member(self, terms: EncryptionTerms, public_key: bytes, secret_path: Path) -> AggregationScheme:
        """As `secret`, for a silo that encrypts."""
        checked = LatticeTerms.of(terms)
        return PackedMember(
            checked, public_key, self._back_end, self._holding(terms, public_key, secret_path)
        )

    def transport_key(self, secret_path: Path) -> str:
        """Return the public key (hex) to which others encrypt for this silo; make the pair when there is none."""
        return self._ask_once("packed_transport_key", {"transport_path": str(secret_path.absolute())}).hex()

    def grant(
        self, terms: EncryptionTerms, public_key: bytes, secret_path: Path, transport_key: str
    ) -> bytes:
        """Return the group's secret encrypted to a silo's transport key.

        Raises:
            MalformedInput: `transport_key` is no transport key.
            KeyHolderRefused: the file holds the secret of another public key.
        """
        try:
            recipient = bytes.fromhex(transport_key)
        except ValueError as error:
            raise MalformedInput("the transport key is not hexadecimal") from error
        return self._ask_once("packed_grant", self._head(terms, secret_path), public_key + recipient)

    def accept(
        self, terms: EncryptionTerms, public_key: bytes, grant: bytes, transport_path: Path, secret_path: Path
    ) -> None:
        """Decrypt a grant into a secret file of mode 0600; doing it again changes nothing.

        Raises:
            MalformedInput: it is not for this transport key, or not the secret that the public key commits to.
            KeyHolderRefused: the file is there and holds the secret of another public key.
        """
        head = self._head(terms, secret_path) | {"transport_path": str(transport_path.absolute())}
        self._ask_once("packed_accept", head, public_key + grant)

    def close(self) -> None:
        """Nothing runs on: every worker ends with the call or the object that it was started for."""

    def _head(self, terms: EncryptionTerms, secret_path: Path) -> dict[str, Json]:
        checked = LatticeTerms.of(terms)
        return {
            "parameters_digest": checked.parameters.digest,
            "levels": checked.levels,
            "max_total_weight": checked.max_total_weight,
            "secret_path": str(secret_path.absolute()),
            "back_end": self._back_end.value,
        }

    def _ask_once(self, operation: str, head: dict[str, Json], payload: bytes = b"") -> bytes:
        worker = self._start(self._limits)
        try:
            return worker.ask({**head, "operation": operation}, payload)[1]
        finally:
            worker.close()

    def _holding(self, terms: EncryptionTerms, public_key: bytes, secret_path: Path) -> HoldingWorker:
        return HoldingWorker(self._start(self._limits), self._head(terms, secret_path), public_key)


class HoldingWorker:
    """A worker process that holds a group's secret, and what every request to it says."""

    def __init__(self, process: WorkerProcess, head: dict[str, Json], public_key: bytes) -> None:
        self._process = process
        self._head = head
        try:
            self.ask("packed_load_key", {}, public_key)
        except BaseException:
            process.close()
            raise

    def ask(
        self, operation: str, fields: dict[str, Json], payload: bytes = b""
    ) -> tuple[dict[str, Json], bytes]:
        """Return the reply. Raises what the worker refused with, and WorkerFailed when it was lost."""
        return self._process.ask({**self._head, **fields, "operation": operation}, payload)

    def close(self) -> None:
        """End the process, and with it the only copy of the secret in memory."""
        self._process.close()


class PackedScheme:
    """The port `AggregationScheme`: what can be done without the group's secret, so everything but encrypting."""

    def __init__(self, terms: LatticeTerms, public_key: bytes, back_end: BackEndName) -> None:
        self._key = read_public_key(public_key, terms.parameters)
        self._terms = terms
        self._parameters = terms.parameters
        self._expansion = EXPANSIONS[back_end]
        self._plan: DirectionPlan | None = None

    @property
    def parameters_digest(self) -> str:
        return self._parameters.digest

    def size_bytes(self, parameter_count: int) -> int:
        """Return the wire length of an upload of this back end; one of the other differs by the length of seeds."""
        return HEADER_BYTES + upload_bytes(self._parameters, parameter_count, self._expansion)

    def encrypt(self, name: UpdateName, epoch: int, weight: int, values: NDArray[np.int64]) -> bytes:
        """Raises ConfigurationError: only a member of the group can encrypt."""
        raise ConfigurationError("only who holds the group's key can encrypt: ask for a member's scheme")

    def inspect(self, path: Path) -> UpdateHeader:
        """Check an upload completely, that it is for this key included, and return its header."""
        return sums.inspected_upload(self._terms, self._key, path)

    def inspect_aggregate(self, path: Path) -> AggregateHeader:
        """Check an aggregate completely and return its header."""
        return sums.inspected_sum(self._terms, self._key, path)

    def aggregate(self, uploads: Iterable[Path]) -> bytes:
        """Return the wire bytes of the sum; each upload passes the gate while it is added."""
        return sums.sum_of(self._terms, self._key, uploads)

    def add_sums(self, aggregates: Iterable[Path]) -> bytes:
        """Return the wire bytes of the sum of aggregates: those of `aggregate` over all uploads in them."""
        return sums.sum_of_sums(self._terms, self._key, aggregates)

    def score(self, upload: Path, direction: NDArray[np.int8]) -> bytes:
        """Return the wire bytes of the score of an upload; whoever computes it gets the same bytes."""
        plan = self._plan_of(direction)
        with open_message(upload, self._parameters, Kind.UPDATE) as reader:
            header = reader.header
            self._key.require(header)
            self._terms.require_weight(header.weight)
            if header.parameter_count != plan.parameter_count:
                raise MalformedInput(
                    f"the upload has {header.parameter_count} parameters, the direction {plan.parameter_count}"
                )
            seeds = begin_upload(reader, self._parameters)
            base = base_scalars(plan, polynomials(reader, self._parameters))
            return encode_score(plan, header, reader.digest, seeds, base)

    def score_bounds(
        self, total: NDArray[np.int64], direction: NDArray[np.int8], members: int
    ) -> tuple[int, int]:
        """Return the least and the greatest that the opened scores of uploads with this sum add up to."""
        return self._plan_of(direction).bounds(total, members)

    def score_size_bytes(self, parameter_count: int) -> int:
        return score_size_bytes(self._parameters, self._terms.largest_sum, parameter_count)

    def _plan_of(self, direction: NDArray[np.int8]) -> DirectionPlan:
        """Return the questions of a direction; a round has one for all its uploads, so the last one is kept."""
        if self._plan is None or self._plan.direction_digest != direction_digest(direction):
            self._plan = draw_plan(
                self._parameters,
                self._terms.levels,
                self._terms.max_total_weight,
                direction,
                fixed_seed(direction),
            )
        return self._plan


class PackedMember(PackedScheme):
    """The scheme of a silo that holds the group's key, in a worker process."""

    def __init__(
        self, terms: LatticeTerms, public_key: bytes, back_end: BackEndName, worker: HoldingWorker
    ) -> None:
        super().__init__(terms, public_key, back_end)
        self._worker = worker

    def encrypt(self, name: UpdateName, epoch: int, weight: int, values: NDArray[np.int64]) -> bytes:
        """Return the wire bytes of a fresh encryption; twice the same values give different bytes.

        Raises:
            MalformedInput: another epoch than the key's, a weight or a value beyond the task's terms.
            WorkerFailed: the worker process was lost; asking again is safe.
        """
        if epoch != self._key.epoch:
            raise MalformedInput(f"it is for key epoch {epoch}, the public key is of epoch {self._key.epoch}")
        self._terms.require_values(weight, values)
        payload = values.astype(values_type(self._parameters)).tobytes()
        reply, data = self._worker.ask("packed_encrypt", {}, payload)
        expansion = reply["expansion"]
        assert isinstance(expansion, int)
        header = Header(
            Kind.UPDATE, self.parameters_digest, epoch, name.round, values.size, weight, 1,
            expansion=Expansion(expansion), seed=data[:SEED_BYTES], subject=bytes.fromhex(self._key.digest),
            task_id=name.task_id, author=name.participant_id,
        )  # fmt: skip
        return b"".join([header.encode(), memoryview(data)[SEED_BYTES:]])

    def close(self) -> None:
        """End the worker process."""
        self._worker.close()


class PackedOpener:
    """The port `SecretOpener`: asks the worker process that holds the secret."""

    def __init__(self, worker: HoldingWorker) -> None:
        self._worker = worker

    def open_sum(self, aggregate: Path, members: int) -> NDArray[np.int64]:
        """Return the exact sum int64[parameter_count], or nothing of it.

        Raises:
            MalformedInput: the file does not pass the gate.
            KeyHolderRefused: other or too few members, another epoch, or it does not open to a well-formed sum.
            WorkerFailed: the worker process was lost.
        """
        fields: dict[str, Json] = {"path": str(aggregate.absolute()), "members": members}
        reply = self._worker.ask("packed_open_sum", fields)[1]
        return np.frombuffer(reply, dtype="<i8").astype(np.int64)

    def open_score(self, score: bytes) -> int:
        """Return the score, in the units of ⟨values, direction⟩. Raises as `open_sum` does."""
        value = self._worker.ask("packed_open_score", {}, score)[0]["score"]
        assert isinstance(value, int)
        return value

    def close(self) -> None:
        """End the worker process."""
        self._worker.close()
