"""The worker process: the only place where TenSEAL meets keys and ciphertexts, and the only one with a secret.

Runs as `main` in an interpreter of its own, which `isolation` starts. It takes one request at a time from standard
input and answers on standard output until its input ends. What leaves it is what the replies below name: never a
secret, never noise, never a float. Decides by itself what may be opened as far as bytes can tell: the key holder's
parent process has no way to ask for more.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.errors import BflError, ConfigurationError, KeyHolderRefused, MalformedInput, StorageFull
from bfl_fabric.he import frames, scores, secretfile
from bfl_fabric.he.frames import Head
from bfl_fabric.he.gate import Message, open_message, read_message
from bfl_fabric.he.packed.operations import PackedOperations
from bfl_fabric.he.packing import Residues, pack
from bfl_fabric.he.parameters import parameters_named
from bfl_fabric.he.secretfile import KeyPair
from bfl_fabric.he.threshold.operations import ThresholdOperations
from bfl_fabric.he.wire import Kind

if TYPE_CHECKING:
    from bfl_fabric.he.seal import Decryptor, Encryptor, SealContext

Reply: TypeAlias = tuple[Head, bytes]

GRID_TOLERANCE = 0.25
"""Of a step: honest noise stays within it, and a sum outside is refused."""

_PR_SET_DUMPABLE = 4


class Worker:
    """What one worker process keeps between requests: contexts, and keys by the file or digest they came from."""

    def __init__(self) -> None:
        self._contexts: dict[str, SealContext] = {}
        self._encryptors: dict[bytes, Encryptor] = {}
        self._pairs: dict[str, KeyPair] = {}
        self._operations: dict[str, Callable[[Head, bytes], Reply]] = {
            "encrypt": self._encrypt,
            "create_key": self._create_key,
            "load_key": self._load_key,
            "open_sum": self._open_sum,
            "open_score": self._open_score,
            **PackedOperations().by_name(),
            **ThresholdOperations().by_name(),
        }

    def answer(self, head: Head, payload: bytes) -> Reply:
        """Do one request. Refusals are answers; everything else is raised and ends the process."""
        try:
            return self._operations[_text(head, "operation")](head, payload)
        except BflError as error:
            return _refusal(error)
        except OSError as error:
            return _refusal(_translated(error))

    def _encrypt(self, head: Head, payload: bytes) -> Reply:
        """Payload: public key, then int64 values of whole chunks but for the last. Reply: packed ciphertexts."""
        seal = self._seal(head)
        key_bytes = _number(head, "key_bytes")
        encryptor = self._encryptor(seal, payload[:key_bytes])
        values = np.frombuffer(payload, dtype="<i8", offset=key_bytes)
        parameters = seal.parameters
        if max(int(values.max()), -int(values.min())) >= 1 << parameters.sum_bits:
            raise MalformedInput(f"a value is beyond {parameters.sum_bits} bits")
        size = parameters.values_per_chunk
        chunks = (values[start : start + size] for start in range(0, values.size, size))
        return {}, b"".join(pack(encryptor.encrypt(chunk), parameters.residue_bits) for chunk in chunks)

    def _create_key(self, head: Head, payload: bytes) -> Reply:
        """Make the key file unless it is there. Reply: the public key."""
        seal, path = self._seal(head), Path(_text(head, "secret_path"))
        if not path.exists():
            secret, public = seal.generate()
            epoch = _number(head, "epoch")
            public_key = secretfile.public_key_bytes(seal.parameters, epoch, public)
            try:
                secretfile.write(path, seal.parameters, KeyPair(epoch, public_key, secret))
            except FileExistsError:
                return self._create_key(head, payload)
        pair = secretfile.read(path, seal.parameters)
        if pair.epoch != head["epoch"]:
            raise KeyHolderRefused(
                f"the key file {path.name} is of epoch {pair.epoch}, not of {head['epoch']}"
            )
        return {}, pair.public_key

    def _load_key(self, head: Head, payload: bytes) -> Reply:
        """Payload: the public key that the ledger names. Refuses when the file's is another."""
        if self._pair(head).public_key != payload:
            raise KeyHolderRefused(
                "the secret key file belongs to another public key than the one on the ledger"
            )
        return {}, b""

    def _open_sum(self, head: Head, payload: bytes) -> Reply:
        """Reply: the exact sum, int64; all of it or nothing."""
        pair, seal, members = self._pair(head), self._seal(head), _number(head, "members")
        with open_message(Path(_text(head, "path")), seal.parameters, Kind.SUM) as message:
            _check_sum_header(message, pair, members, _number(head, "max_total_weight"))
            bound = message.header.weight * _number(head, "levels")
            decryptor = seal.decryptor(pair.secret)
            opened = [_integers(decryptor, words, bound) for words in message.chunks()]
            count = message.header.parameter_count
        reserved = seal.parameters.reserved_coefficients
        values = np.concatenate([chunk[reserved:] for chunk, _ in opened])
        unused = [values[count:], *(chunk[:reserved] for chunk, _ in opened)]
        # one refusal, after everything was looked at: which coefficient was wrong is a hint about the secret
        if not all(fits for _, fits in opened) or any(part.any() for part in unused):
            raise KeyHolderRefused(
                "the ciphertext does not open to a sum of well-formed updates of this weight"
            )
        return {}, values[:count].astype("<i8").tobytes()

    def _open_score(self, head: Head, payload: bytes) -> Reply:
        """Payload: a score's wire bytes. Reply: one integer on the score grid."""
        pair, seal = self._pair(head), self._seal(head)
        message = read_message(payload, seal.parameters, Kind.SCORE)
        _require_epoch(message, pair)
        constant, mask = message.score()
        if message.header.direction.energy == 0:
            return {"score": 0}, b""
        opened = seal.decryptor(pair.secret).constant(constant, mask)
        return {
            "score": scores.score_of(seal.parameters, message.header, _number(head, "levels"), opened)
        }, b""

    def _seal(self, head: Head) -> SealContext:
        # a worker that needs no SEAL does not load it
        from bfl_fabric.he.seal import SealContext

        digest = _text(head, "parameters_digest")
        if digest not in self._contexts:
            self._contexts[digest] = SealContext(parameters_named(digest))
        return self._contexts[digest]

    def _encryptor(self, seal: SealContext, public_key: bytes) -> Encryptor:
        if public_key not in self._encryptors:
            key = read_message(public_key, seal.parameters, Kind.PUBLIC_KEY).public_key()
            self._encryptors = {public_key: seal.encryptor(key)}
        return self._encryptors[public_key]

    def _pair(self, head: Head) -> KeyPair:
        path = _text(head, "secret_path")
        if path not in self._pairs:
            self._pairs[path] = secretfile.read(Path(path), self._seal(head).parameters)
        return self._pairs[path]


def main(memory_bytes: int) -> None:
    """Serve requests until standard input ends."""
    _confine(memory_bytes)
    requests, replies = sys.stdin.buffer, _claimed_output()
    worker = Worker()
    frames.send(replies, {"ready": True})
    while True:
        try:
            head, payload = frames.receive(requests)
        except frames.BrokenFrame:
            return
        frames.send(replies, *worker.answer(head, payload))


def _confine(memory_bytes: int) -> None:
    """Bound the memory, and leave no core file and no debugger's view of the secret."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _claimed_output() -> BinaryIO:
    """Take standard output for replies; what C++ code prints goes nowhere."""
    replies = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return replies


def _check_sum_header(message: Message, pair: KeyPair, members: int, max_total_weight: int) -> None:
    _require_epoch(message, pair)
    header = message.header
    if header.members != members:
        raise KeyHolderRefused(f"the sum is of {header.members} members, the ledger says {members}")
    if members < 2:
        raise KeyHolderRefused("a sum of one update is that update: it is never opened")
    if header.weight > max_total_weight:
        raise KeyHolderRefused(f"the sum has weight {header.weight}, the task allows {max_total_weight}")


def _require_epoch(message: Message, pair: KeyPair) -> None:
    if message.header.epoch != pair.epoch:
        raise KeyHolderRefused(
            f"it is for key epoch {message.header.epoch}, this key is of epoch {pair.epoch}"
        )


def _integers(decryptor: Decryptor, words: Residues, bound: int) -> tuple[NDArray[np.int64], bool]:
    """Round to the grid and drop the floats; say whether they were near the grid and within the bound."""
    opened = decryptor.coefficients(words)
    nearest = np.rint(opened)
    fits = np.abs(opened - nearest).max() < GRID_TOLERANCE and np.abs(nearest).max() <= bound
    return nearest.astype(np.int64), bool(fits)


def _refusal(error: BflError) -> Reply:
    return {"error": type(error).__name__, "message": str(error)}, b""


def _translated(error: OSError) -> BflError:
    kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else ConfigurationError
    return kind(f"{error.filename or 'a file'}: {error.strerror}")


def _text(head: Head, name: str) -> str:
    value = head.get(name)
    if not isinstance(value, str):
        raise MalformedInput(f"a request without {name}")
    return value


def _number(head: Head, name: str) -> int:
    value = head.get(name)
    if not isinstance(value, int):
        raise MalformedInput(f"a request without {name}")
    return value
