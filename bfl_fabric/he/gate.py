"""The gate: the one reader of ciphertexts, keys and scores that come from outside.

Decides that bytes are a well-formed message of known parameters: the total length is known from the header before
the body is read, every residue is below its modulus, no mask polynomial is all zero. It reads one ciphertext at a
time, and an upload only as one for the key that is in use. It says nothing about content: the digest, which the
ledger holds, does.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bfl_fabric.errors import MalformedInput, NotFound
from bfl_fabric.he import wire
from bfl_fabric.he.packing import Residues, packed_bytes, unpack
from bfl_fabric.he.parameters import ParameterSet
from bfl_fabric.he.wire import HEADER_BYTES, Header, Kind


@dataclass(frozen=True, slots=True)
class KeyName:
    """Which public key is in use: its epoch, and the SHA-256 of its message, which is on the ledger."""

    epoch: int
    digest: str

    def require(self, upload: Header) -> None:
        """Refuse an upload that says it is for another key. Raises MalformedInput."""
        whose, found = f"the upload of {upload.participant_id}", upload.subject.hex()
        if upload.epoch != self.epoch:
            raise MalformedInput(
                f"{whose} is for key epoch {upload.epoch}, the public key is of epoch {self.epoch}"
            )
        if found != self.digest:
            raise MalformedInput(
                f"{whose} was encrypted under another key ({found}), the task's key is {self.digest}"
            )


class Message:
    """A message whose header and length have been checked; its body is read once, from front to back."""

    def __init__(self, stream: BinaryIO, size_bytes: int, parameters: ParameterSet, kind: Kind) -> None:
        """Read the header. Raises MalformedInput unless it is one of `kind` and of exactly this length."""
        if size_bytes < HEADER_BYTES:
            raise MalformedInput(f"the message has {size_bytes} bytes; a header alone has {HEADER_BYTES}")
        self._stream = stream
        self._parameters = parameters
        self._hash = hashlib.sha256()
        self.size_bytes = size_bytes
        self.header: Header = wire.decode(self._read(HEADER_BYTES))
        self._require_expected(kind)

    def chunks(self) -> Iterator[Residues]:
        """Yield each ciphertext of an update or a sum as uint64[2, degree], checked."""
        for index in range(self._parameters.chunk_count(self.header.parameter_count)):
            words = self._polynomials(2, self._parameters.residue_bits, self._parameters.data_prime)
            if not words[1].any():
                raise MalformedInput(f"ciphertext {index} has a mask of zeros: it hides nothing")
            yield words
        self._require_end()

    def public_key(self) -> Residues:
        """Return a public key as uint64[2, 2, degree]: polynomial, prime (data, special), residue."""
        parameters = self._parameters
        data = self._polynomials(2, parameters.residue_bits, parameters.data_prime)
        special = self._polynomials(2, parameters.special_residue_bits, parameters.special_prime)
        self._require_end()
        key = np.stack((data, special), axis=1)
        if not key.any(axis=2).all():
            raise MalformedInput("a polynomial of the public key is all zero")
        return key

    def score(self) -> tuple[int, Residues]:
        """Return a score's constant and its mask uint64[degree]."""
        constant = int.from_bytes(self._read(8), "little")
        if constant >= self._parameters.data_prime:
            raise MalformedInput("the score's constant is not below the prime")
        mask = self._polynomials(1, self._parameters.residue_bits, self._parameters.data_prime)[0]
        self._require_end()
        return constant, mask

    @property
    def digest(self) -> str:
        """The SHA-256 of what has been read so far: of the whole message once the body has been read."""
        return self._hash.hexdigest()

    def _polynomials(self, count: int, width: int, prime: int) -> Residues:
        degree = self._parameters.degree
        words = unpack(self._read(packed_bytes(count * degree, width)), width)
        if words.max() >= np.uint64(prime):
            raise MalformedInput(f"a residue is not below its prime {prime}")
        return words.reshape(count, degree)

    def _read(self, count: int) -> bytes:
        data = self._stream.read(count)
        if len(data) != count:
            raise MalformedInput(f"the message ended {count - len(data)} bytes early")
        self._hash.update(data)
        return data

    def _require_end(self) -> None:
        if self._stream.read(1):
            raise MalformedInput(f"the message goes on after its {self.size_bytes} bytes")

    def _require_expected(self, kind: Kind) -> None:
        header = self.header
        if header.kind is not kind:
            raise MalformedInput(f"expected a message of kind {kind.name}, found {header.kind.name}")
        if header.parameters_digest != self._parameters.digest:
            raise MalformedInput(
                f"the message is for parameters {header.parameters_digest}, here {self._parameters.digest} are in use"
            )
        if header.members > self._parameters.max_members:
            raise MalformedInput(f"{header.members} members are more than {self._parameters.max_members}")
        expected = wire.message_bytes(self._parameters, kind, header.parameter_count)
        if self.size_bytes != expected:
            raise MalformedInput(
                f"the message has {self.size_bytes} bytes; for {header.parameter_count} parameters it is {expected}"
            )


@contextmanager
def open_message(path: Path, parameters: ParameterSet, kind: Kind) -> Iterator[Message]:
    """Open a message in a file. Raises NotFound, and MalformedInput for anything but a regular file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path.name} to read a message from") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise MalformedInput(f"{path.name} is not a regular file")
    with open(descriptor, "rb") as stream:
        yield Message(stream, status.st_size, parameters, kind)


@contextmanager
def open_upload(path: Path, parameters: ParameterSet, key: KeyName) -> Iterator[Message]:
    """Open an update for this key, as `open_message` does. Raises MalformedInput when it is for another."""
    with open_message(path, parameters, Kind.UPDATE) as message:
        key.require(message.header)
        yield message


def read_message(data: bytes, parameters: ParameterSet, kind: Kind) -> Message:
    """Begin to read a message in memory."""
    return Message(io.BytesIO(data), len(data), parameters, kind)
