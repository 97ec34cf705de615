"""The ports: what a role may ask of the ledger, of the network, of storage, of cryptography and of training.

Adapters live in `fabric` (Ledger), `transport` (UpdateChannel), `storage` (BlobStore), `he`
(AggregationScheme, SecretOpener) and `training` (Trainer, Evaluator); `testing` has fakes that refuse what the
real ones refuse. Vectors are numpy arrays of one dimension; their dtype and length stand in each docstring.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.events import ContractEvent
from bfl_chaincode.api.records import EncryptionTerms, Metrics, TaskSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Int64Vector: TypeAlias = NDArray[np.int64]
    Int8Vector: TypeAlias = NDArray[np.int8]
    Float32Vector: TypeAlias = NDArray[np.float32]


class Clock(Protocol):
    """Time as an argument: the real clock, or a manual one in tests and simulations."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970-01-01 UTC."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock."""


# --- ledger -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Commit:
    """A transaction that is committed and VALID. `result` is what the contract returned."""

    transaction_id: str
    block_number: int
    result: Json


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything up to and including this transaction of this block has been seen."""

    block_number: int
    transaction_id: str


@dataclass(frozen=True, slots=True)
class LedgerEvent:
    """A contract event and where it stands; `checkpoint` resumes after it."""

    name: str
    transaction_id: str
    block_number: int
    event: ContractEvent

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.block_number, self.transaction_id)


class Ledger(Protocol):
    """One organization's view of the channel. A transaction is named `contract:Name` and takes one JSON object.

    Raises the LedgerError family of `bfl_fabric.errors`; a rule's no is LedgerRefused.
    """

    async def evaluate(self, transaction: str, request: Mapping[str, Json]) -> Json:
        """Return the answer of one peer; nothing is recorded."""

    async def submit(self, transaction: str, request: Mapping[str, Json]) -> Commit:
        """Return once the transaction is committed and valid: it is then durable.

        Safe to call again after any error: a transaction of uncertain outcome is asked for by its id first,
        and MVCC conflicts are tried again with fresh reads.
        """

    def events(
        self, after: Checkpoint | None = None, *, start_block: int | None = None
    ) -> AsyncIterator[LedgerEvent]:
        """Yield each event once, in block order, from `after`, from `start_block`, or from now on."""

    def blocks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Yield serialized `common.Block` messages, `start` to `stop` inclusive, or on and on."""


# --- local facts ----------------------------------------------------------------------------------


class Journal(Protocol):
    """The few facts that an actor must remember about itself, beside its blobs: what it encrypted, what it opened.

    A fact is written once. What `record` returned for is durable (synced); recording the same value again is
    nothing new, so a step may be repeated after a crash.
    """

    def record(self, kind: str, key: str, value: str) -> None:
        """Write the fact down. Raises JournalConflict when another value stands under (kind, key)."""

    def find(self, kind: str, key: str) -> str | None:
        """Return the value under (kind, key), None when nothing was ever recorded there."""


# --- blobs and their transport ------------------------------------------------------------------


class BlobStore(Protocol):
    """Content-addressed blobs, each named by the SHA-256 of its bytes.

    What `put` returned for is durable: written aside, synced, renamed, directory synced. Putting the same bytes
    twice is one blob. Raises StorageFull, and NotFound from `path` and `read`.
    """

    def put(self, data: bytes) -> str:
        """Store `data` and return its digest."""

    def adopt(self, path: Path) -> str:
        """Move a finished file on the same file system into the store and return its digest."""

    def has(self, digest: str) -> bool: ...

    def path(self, digest: str) -> Path:
        """Return the file that holds the blob; it is read-only."""

    def read(self, digest: str) -> bytes:
        """Return the bytes, checked against the digest. Raises MalformedInput if they rotted."""


class PartialBlob(Protocol):
    """One blob on its way in, held by one receiver at a time and resumed where it broke off.

    Synchronous file work: call it off the event loop. A refused `append` changes nothing of what is here.
    """

    @property
    def received_bytes(self) -> int:
        """Bytes that are here, without a gap from the start."""

    def append(self, data: bytes) -> None:
        """Write the next bytes. Raises StorageFull, and MalformedInput for bytes beyond the size."""

    def complete(self) -> Path:
        """Return the synced file for `BlobStore.adopt`.

        Raises TransferFailed when bytes are missing, MalformedInput when the digest is another one: then
        nothing is kept.
        """

    def discard(self) -> None:
        """Drop what is here."""

    def close(self) -> None:
        """Let go; what is here is durable and the next `open` goes on after it."""


class IncomingBlobs(Protocol):
    """Where partly received blobs wait. `label` says whose transfer it is, so that two never share bytes."""

    def received_bytes(self, label: str, digest: str) -> int:
        """Return how many bytes are durably here, 0 for an unknown transfer."""

    def open(self, label: str, digest: str, size_bytes: int) -> PartialBlob:
        """Begin or resume. Raises TransferFailed while another receiver holds it, StorageFull."""

    def collect(self, before_ms: int) -> int:
        """Drop what nobody has touched since `before_ms`; return how many transfers that were."""


class ReceivingStore(BlobStore, Protocol):
    """A blob store with a place on the same file system where blobs arrive."""

    @property
    def incoming(self) -> IncomingBlobs: ...


@dataclass(frozen=True, slots=True)
class UpdateName:
    """Which upload is meant; bound into the ciphertext header and into every request."""

    task_id: str
    round: int
    participant_id: str


class UpdateChannel(Protocol):
    """Moves blobs between nodes: mutual TLS, chunks of at most 1 MiB, resumed where they broke off.

    Raises TransferFailed when the other side cannot be reached or breaks off, MalformedInput when it refuses the
    bytes, NotFound when it has no such blob.
    """

    def expect(self, address: str, msp_id: str) -> None:
        """From now on talk at `address` only to a node that this organization vouches for."""

    async def upload(self, address: str, name: UpdateName, digest: str, path: Path) -> None:
        """Return once the node at `address` has the update durably and has found it well-formed.

        `digest` is what the participant committed, the SHA-256 of the wire bytes at `path`.
        """

    async def download(self, address: str, digest: str, size_bytes: int, into: BlobStore) -> None:
        """Return once the blob with this SHA-256 is in `into`."""


@dataclass(frozen=True, slots=True)
class TransferCaller:
    """Who is at the other end of a connection, as its TLS certificate proves."""

    msp_id: str
    common_name: str


class Admission(Protocol):
    """What a node's server asks before it takes or gives bytes. Raises MalformedInput or NotFound to refuse."""

    async def expect(self, caller: TransferCaller, name: UpdateName, digest: str) -> int:
        """Return the exact size of the update that this caller has committed and may upload now."""

    async def accept(self, name: UpdateName, digest: str, path: Path) -> None:
        """Check the complete upload (digest first, then the gate); return when it may be kept."""

    async def may_read(self, caller: TransferCaller, digest: str) -> bool:
        """Say whether this caller may download this blob."""


# --- cryptography -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UpdateHeader:
    """What a checked ciphertext says about itself. `digest` is the SHA-256 of the wire bytes."""

    name: UpdateName
    epoch: int
    parameters_digest: str
    parameter_count: int
    weight: int
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class AggregateHeader:
    """What a checked aggregate says about itself. `members` uploads of one round, their weights added up."""

    task_id: str
    round: int
    epoch: int
    parameters_digest: str
    parameter_count: int
    members: int
    total_weight: int
    digest: str
    size_bytes: int


class AggregationScheme(Protocol):
    """Additively homomorphic encryption of integer vectors: what can be done with public material only.

    All functions are synchronous and CPU-bound; call them off the event loop. Bytes that do not pass the gate
    raise MalformedInput. Results are bit-exact: same uploads, any order, same bytes.
    """

    @property
    def parameters_digest(self) -> str: ...

    def size_bytes(self, parameter_count: int) -> int:
        """Return the exact wire length of one upload."""

    def encrypt(self, name: UpdateName, epoch: int, weight: int, values: Int64Vector) -> bytes:
        """Return the wire bytes of an encryption of `values` (weight·q, int64[parameter_count])."""

    def inspect(self, path: Path) -> UpdateHeader:
        """Check an upload completely (the gate) and return its header. Memory is O(one chunk)."""

    def aggregate(self, uploads: Iterable[Path]) -> bytes:
        """Return the wire bytes of the sum of distinct uploads of one round. Memory is O(model)."""

    def inspect_aggregate(self, path: Path) -> AggregateHeader:
        """Check an aggregate completely (the gate) and return its header."""

    def score(self, upload: Path, direction: Int8Vector) -> bytes:
        """Return a score ciphertext whose opening is ⟨values, direction⟩ and nothing else."""

    def score_bounds(self, total: Int64Vector, direction: Int8Vector, members: int) -> tuple[int, int]:
        """Return the least and the greatest that the opened scores of `members` uploads with this sum add up to.

        So everybody can hold a key holder's scores, which only it can open, against the sum that all can read.
        """

    def score_size_bytes(self, parameter_count: int) -> int:
        """Return the exact wire length of one score ciphertext."""


class SecretOpener(Protocol):
    """What only the key holder can do. Nothing but the documented results leaves it; never noise, never floats."""

    def open_sum(self, aggregate: Path, members: int) -> Int64Vector:
        """Return the exact integer sum int64[parameter_count]. Raises MalformedInput, KeyHolderRefused."""

    def open_score(self, score: bytes) -> int:
        """Return the inner product, rounded to the scheme's score grid."""


class SchemeProvider(Protocol):
    """Makes a task's scheme from its terms; the one door to the `he` room."""

    def create_key(self, terms: EncryptionTerms, epoch: int, secret_path: Path) -> bytes:
        """Make a key pair, keep the secret in a file of mode 0600, return the public key blob.

        When `secret_path` exists already, nothing is made and its public blob is returned.
        """

    def public(self, terms: EncryptionTerms, public_key: bytes) -> AggregationScheme:
        """Raises MalformedInput when the blob is not a well-formed public key of these terms."""

    def secret(self, terms: EncryptionTerms, public_key: bytes, secret_path: Path) -> SecretOpener: ...


# --- keys that several hold -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CeremonyPlan:
    """Who makes a joint key: `members` are MSP ids in ascending order, `threshold` of them open; `me` is one."""

    task_id: str
    epoch: int
    members: tuple[str, ...]
    threshold: int
    me: str


@dataclass(frozen=True, slots=True)
class OpeningTerms:
    """One attempt to open a round: the active set answers, in ascending order, each once for this attempt.

    `holders` are the members of the key epoch; `seed` is drawn by the contract (hex) and fixes score directions.
    """

    task_id: str
    round: int
    attempt: int
    epoch: int
    holders: tuple[str, ...]
    threshold: int
    active: tuple[str, ...]
    seed: str


class KeyCeremony(Protocol):
    """One member's part in making a joint key whose secret never exists anywhere.

    All of it follows from one seed in a file of mode 0600, so every call may be repeated: same bytes. Secrets stay
    in the worker process. Raises DealingRefused, MalformedInput, WorkerFailed.
    """

    def key_share(self) -> bytes:
        """Return the member's public share, its transport key in it; make the seed when there is none yet."""

    def deal(self, shares: Mapping[str, bytes]) -> bytes:
        """Return the member's dealing: for each member a private share, encrypted to its transport key.

        `shares` are all members' public shares by MSP id, each checked against its commitment by the caller.
        """

    def finish(self, shares: Mapping[str, bytes], dealings: Mapping[str, bytes]) -> bytes:
        """Check every dealing, keep the combined private share, return the joint key's blob.

        Raises DealingRefused, which names the dealer and carries evidence that others can check.
        """

    def close(self) -> None: ...


class ShareHolder(Protocol):
    """What a member does with its share of a joint key. Nothing but the documented answers leaves it.

    It answers once for each (C1, active set) and refuses a second, different question of the same attempt; the
    caller has read the ledger and hands over masks that it checked against the commitments.
    Raises KeyHolderRefused, MalformedInput, WorkerFailed.
    """

    def sum_share(self, opening: OpeningTerms, masks: Sequence[Path], zeros: Sequence[Path]) -> bytes:
        """Return the partial decryption of the sum whose masks are these, each zero's mask added."""

    def score_share(self, opening: OpeningTerms, direction: Int8Vector, masks: Mapping[str, Path]) -> bytes:
        """Return for each participant's mask one scalar for each drawn direction and prime."""

    def prove(
        self, opening: OpeningTerms, masks: Sequence[Path], zeros: Sequence[Path], share: bytes
    ) -> bytes:
        """Return a proof that `share` was computed with the member's share of this epoch."""

    def close(self) -> None: ...


class ThresholdScheme(AggregationScheme, Protocol):
    """What anybody can do under a joint key, besides encrypting and adding. An update has a mask part (c1)."""

    def mask(self, upload: Path) -> bytes:
        """Return the mask part of a checked upload, a message of its own whose digest is committed beside it."""

    def inspect_mask(self, path: Path) -> UpdateHeader:
        """Check a mask message completely and return its header."""

    def masks_digest(self, masks: Sequence[Path], zeros: Sequence[Path]) -> str:
        """Return the digest of the sum of these masks: what key holders agree on before they answer."""

    def zero(self, opening: OpeningTerms, author: str, parameter_count: int) -> bytes:
        """Return a fresh encryption of zero, which changes the mask of a sum before another set answers."""

    def combine(
        self, opening: OpeningTerms, aggregate: Path, zeros: Sequence[Path], shares: Mapping[str, Path]
    ) -> Int64Vector:
        """Return the exact sum int64[parameter_count] from the active set's shares.

        Raises MalformedInput naming the holder of a malformed share, KeyHolderRefused when they do not open.
        """

    def combine_scores(
        self,
        opening: OpeningTerms,
        direction: Int8Vector,
        uploads: Mapping[str, Path],
        shares: Mapping[str, Path],
    ) -> dict[str, int]:
        """Return each participant's score, in the units of ⟨values, direction⟩, from the active set's shares."""

    def wrong_shares(
        self,
        opening: OpeningTerms,
        masks: Sequence[Path],
        zeros: Sequence[Path],
        shares: Mapping[str, Path],
        proofs: Mapping[str, Path],
    ) -> tuple[str, ...]:
        """Return the holders whose share does not have a valid proof."""


class ThresholdKeys(Protocol):
    """The door to joint keys, part of the scheme provider."""

    def ceremony(self, terms: EncryptionTerms, plan: CeremonyPlan, secret_path: Path) -> KeyCeremony: ...

    def joint(self, terms: EncryptionTerms, joint_key: bytes) -> ThresholdScheme:
        """Raises MalformedInput when the blob is not a joint key of these terms."""

    def holder(self, terms: EncryptionTerms, joint_key: bytes, secret_path: Path) -> ShareHolder:
        """Raises KeyHolderRefused, MalformedInput or NotFound when the file is no share of that joint key."""


class GroupKeys(Protocol):
    """The door to keys that every silo shares (scheme `packed`), part of the scheme provider."""

    def transport_key(self, secret_path: Path) -> str:
        """Return the public key (hex) to which others encrypt for this silo; make the pair when there is none."""

    def grant(
        self, terms: EncryptionTerms, public_key: bytes, secret_path: Path, transport_key: str
    ) -> bytes:
        """Return the group's secret key encrypted to a silo's transport key."""

    def accept(
        self, terms: EncryptionTerms, public_key: bytes, grant: bytes, transport_path: Path, secret_path: Path
    ) -> None:
        """Decrypt a grant into a secret file of mode 0600. Raises MalformedInput when it is not the public key's."""

    def member(self, terms: EncryptionTerms, public_key: bytes, secret_path: Path) -> AggregationScheme:
        """Return a scheme that can encrypt, in a worker process that holds the group's secret."""


# --- learning -----------------------------------------------------------------------------------


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
