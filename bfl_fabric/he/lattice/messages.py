"""The messages of the lattice schemes, version 2 of the wire format: header, strict reader, encoder.

Decides which fields there are, which values each kind may have, that one content has one encoding, and that every
residue is below its prime. Reader and encoder hold one polynomial at a time. docs/wire-format.md is the
specification.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bfl_fabric.errors import MalformedInput, NotFound
from bfl_fabric.he.lattice.bits import pack, packed_bytes, unpack
from bfl_fabric.he.lattice.parameters import LatticeParameters
from bfl_fabric.he.lattice.ring import Residues

MAGIC = b"BFLH"
VERSION = 2
NAME_BYTES = 127
MAXIMUM_PARAMETER_COUNT = 1 << 32
MAXIMUM_WEIGHT = 1 << 62
ABSENT = bytes(32)

_LAYOUT = struct.Struct("<4sBBBBI32sIIQQII32s32s128s128s")
HEADER_BYTES = _LAYOUT.size
_MEMBER = struct.Struct("<128s32sQB32s")
MEMBER_BYTES = _MEMBER.size
MEMBER_DIGEST = slice(NAME_BYTES + 1, NAME_BYTES + 33)
"""Where a row of a sum's table has the digest of the member's upload."""


class Kind(IntEnum):
    """What a message is; the number on the wire, never reused (1 to 4 are of version 1)."""

    GROUP_KEY = 5
    UPDATE = 6
    SUM = 7
    MASK = 8
    KEY_SHARE = 9
    DEALING = 10
    JOINT_KEY = 11
    ZERO = 12
    SUM_SHARE = 13
    SCORE = 14
    SCORE_SHARE = 15
    SHARE_PROOF = 16


class Expansion(IntEnum):
    """How masks are made of seeds: there are none, ours from the header's seed, SEAL's from one for each polynomial.

    SEAL's seeds stand in the body; the header and the table of members then have the SHA-256 of them all.
    """

    NONE = 0
    AES_CTR = 1
    SEAL_BLAKE2XB = 3


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of a message; what does not apply to its kind is zero or empty.

    `subject` names what the message is about: of an update or a mask, the public key message; of a sum, the SHA-256
    over the members' upload digests in the order of their ids; of a share or a score, what it answers to.
    `author` is a participant's id, or a key holder's MSP id.
    """

    kind: Kind
    parameters_digest: str
    epoch: int
    round: int = 0
    parameter_count: int = 0
    weight: int = 0
    members: int = 0
    attempt: int = 0
    expansion: Expansion = Expansion.NONE
    seed: bytes = ABSENT
    subject: bytes = ABSENT
    task_id: str = ""
    author: str = ""

    def encode(self) -> bytes:
        """Return the header's bytes. Raises MalformedInput when a field is out of range."""
        _check(self)
        return _LAYOUT.pack(
            MAGIC,
            VERSION,
            self.kind,
            self.expansion,
            0,
            HEADER_BYTES,
            bytes.fromhex(self.parameters_digest),
            self.epoch,
            self.round,
            self.parameter_count,
            self.weight,
            self.members,
            self.attempt,
            self.seed,
            self.subject,
            name_field(self.task_id),
            name_field(self.author),
        )


@dataclass(frozen=True, slots=True)
class Member:
    """A row of a sum's table: whose upload is in it, by which digest, with which weight, and the seed of its mask."""

    participant_id: str
    digest: bytes
    weight: int
    expansion: Expansion = Expansion.NONE
    seed: bytes = ABSENT

    def encode(self) -> bytes:
        return _MEMBER.pack(
            name_field(self.participant_id), self.digest, self.weight, self.expansion, self.seed
        )


def decode_header(data: bytes) -> Header:
    """Read a header strictly. Raises MalformedInput with the first field that is wrong."""
    require(len(data) == HEADER_BYTES, f"the message has {len(data)} bytes of header, not {HEADER_BYTES}")
    (magic, version, kind, expansion, reserved, header_bytes, parameters, epoch, round_number, count, weight,
     members, attempt, seed, subject, task, author) = _LAYOUT.unpack(data)  # fmt: skip
    require(magic == MAGIC, "the message does not begin with BFLH")
    require(version == VERSION, f"the message has format version {version}; here it must be {VERSION}")
    require(kind in Kind.__members__.values(), f"the message is of the unknown kind {kind}")
    require(expansion in Expansion.__members__.values(), f"the seed expansion {expansion} is unknown")
    require(reserved == 0, "the reserved byte is not zero")
    require(header_bytes == HEADER_BYTES, f"the header claims {header_bytes} bytes; it has {HEADER_BYTES}")
    header = Header(
        Kind(kind), parameters.hex(), epoch, round_number, count, weight, members, attempt, Expansion(expansion),
        seed, subject, read_name(task, "task id"), read_name(author, "author"),
    )  # fmt: skip
    _check(header)
    return header


def _check(header: Header) -> None:
    require(len(header.parameters_digest) == 64, "the parameters digest is not 32 bytes")
    require(0 <= header.epoch < 1 << 32, f"the key epoch {header.epoch} does not fit 32 bits")
    require(0 <= header.round < 1 << 32, f"the round {header.round} does not fit 32 bits")
    require(0 <= header.parameter_count <= MAXIMUM_PARAMETER_COUNT, "the parameter count is out of range")
    require(0 <= header.weight <= MAXIMUM_WEIGHT, f"the weight {header.weight} is out of range")
    require(
        0 <= header.members < 1 << 32 and 0 <= header.attempt < 1 << 32, "members or attempt out of range"
    )
    require(len(header.seed) == 32 and len(header.subject) == 32, "seed or subject is not 32 bytes")
    require(
        (header.expansion is Expansion.NONE) == (header.seed == ABSENT),
        "seed and expansion do not go together",
    )
    if header.kind in (Kind.UPDATE, Kind.MASK, Kind.SUM):
        require(
            header.round >= 1 and header.parameter_count >= 1,
            "an update or a sum without round or parameters",
        )
        require(header.weight >= 1 and header.members >= 1, "an update or a sum without weight or members")
        require(
            header.task_id != "" and header.subject != ABSENT, "an update or a sum without task or subject"
        )
        require((header.author == "") == (header.kind is Kind.SUM), "an update has an author, a sum has none")
        require(header.kind is Kind.SUM or header.members == 1, f"an upload of {header.members} members")


class Reader:
    """A message whose header and length have been checked; its body is read once, from front to back."""

    def __init__(
        self,
        stream: BinaryIO,
        size_bytes: int,
        parameters: LatticeParameters,
        kind: Kind,
        *,
        digested: bool = True,
    ) -> None:
        """Read the header. Raises MalformedInput unless it is one of `kind` for these parameters."""
        require(
            size_bytes >= HEADER_BYTES, f"the message has {size_bytes} bytes; a header has {HEADER_BYTES}"
        )
        self._stream = stream
        self._parameters = parameters
        self._hash = hashlib.sha256() if digested else None
        self.size_bytes = size_bytes
        self.header = decode_header(self.bytes(HEADER_BYTES))
        require(self.header.kind is kind, f"expected a message {kind.name}, found {self.header.kind.name}")
        require(
            self.header.parameters_digest == parameters.digest,
            f"the message is for parameters {self.header.parameters_digest}, here {parameters.digest} are in use",
        )
        require(
            self.header.members <= parameters.max_members,
            f"{self.header.members} members are more than {parameters.max_members}",
        )

    def require_body(self, body_bytes: int) -> None:
        """Refuse a message whose length is another than its header implies. Raises MalformedInput."""
        expected = HEADER_BYTES + body_bytes
        require(
            self.size_bytes == expected,
            f"the message has {self.size_bytes} bytes, its header implies {expected}",
        )

    def polynomial(self, coefficients: int) -> Residues:
        """Return the next polynomial, uint64[L, coefficients], each residue below its prime."""
        return self.checked(self.raw_polynomial(coefficients), coefficients)

    def raw_polynomial(self, coefficients: int) -> bytes:
        """Return the bytes of the next polynomial, hashed but not checked: `checked` may run in another thread."""
        return self.bytes(polynomial_bytes(self._parameters, coefficients))

    def checked(self, data: bytes, coefficients: int) -> Residues:
        """Return the residues of a polynomial's bytes, uint64[L, coefficients]. Raises MalformedInput."""
        rows = np.empty((len(self._parameters.primes), coefficients), dtype=np.uint64)
        view, start = memoryview(data), 0
        for row, width, prime in zip(rows, self._parameters.widths, self._parameters.primes, strict=True):
            end = start + packed_bytes(coefficients, width)
            row[:] = unpack(view[start:end], width)
            require(not coefficients or int(row.max()) < prime, f"a residue is not below its prime {prime}")
            start = end
        return rows

    def members(self) -> list[Member]:
        """Return a sum's table: ids in ascending order, none twice, weights that add up to the header's."""
        rows = [_member(self.bytes(MEMBER_BYTES)) for _ in range(self.header.members)]
        names = [row.participant_id for row in rows]
        require(names == sorted(set(names)), "the members are not in ascending order, or one stands twice")
        require(sum(row.weight for row in rows) == self.header.weight, "the members' weights do not add up")
        require(
            sum_subject(row.digest for row in rows) == self.header.subject,
            "the subject is not the digest of the members' uploads",
        )
        return rows

    def bytes(self, count: int) -> bytes:
        """Return the next bytes. Raises MalformedInput when the message ends before."""
        data = self._stream.read(count)
        require(len(data) == count, f"the message ended {count - len(data)} bytes early")
        if self._hash is not None:
            self._hash.update(data)
        return data

    def require_end(self) -> None:
        """Raises MalformedInput when bytes follow."""
        require(not self._stream.read(1), f"the message goes on after its {self.size_bytes} bytes")

    @property
    def digest(self) -> str:
        """The SHA-256 of what has been read so far: of the whole message once the body has been read."""
        assert self._hash is not None, "opened without a digest"
        return self._hash.hexdigest()


def encode_polynomial(parameters: LatticeParameters, rows: Residues) -> bytes:
    """Return the bytes of a polynomial uint64[L, coefficients], rows in order, each packed at its prime's width."""
    parts, first = [], 0
    for width, equal in groupby(parameters.widths):
        last = first + len(list(equal))
        # a row is whole bytes, so rows of one width are packed in one go
        parts.append(pack(rows[first:last].reshape(-1), width))
        first = last
    return b"".join(parts)


def polynomial_bytes(parameters: LatticeParameters, coefficients: int) -> int:
    """Return the length of a polynomial's bytes."""
    return sum(packed_bytes(coefficients, width) for width in parameters.widths)


def sum_subject(digests: Iterable[bytes]) -> bytes:
    """Return the subject of the sum of uploads with these digests, in the order of their participants' ids."""
    return hashlib.sha256(b"".join(digests)).digest()


@contextmanager
def open_message(
    path: Path, parameters: LatticeParameters, kind: Kind, *, digested: bool = True
) -> Iterator[Reader]:
    """Open a message in a file; `digested` says whether its digest will be asked for.

    Raises:
        NotFound, MalformedInput: there is no such file, or it is anything but a regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path.name} to read a message from") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise MalformedInput(f"{path.name} is not a regular file")
    with open(descriptor, "rb") as stream:
        yield Reader(stream, status.st_size, parameters, kind, digested=digested)


def read_message(data: bytes, parameters: LatticeParameters, kind: Kind) -> Reader:
    """Begin to read a message in memory."""
    return Reader(io.BytesIO(data), len(data), parameters, kind)


def name_field(name: str) -> bytes:
    """Return a name in its field of 128 bytes: length, UTF-8, zeros."""
    require(name.isprintable(), f"the name {name!r} has characters that do not print")
    encoded = name.encode("utf-8")
    require(len(encoded) <= NAME_BYTES, f"the name {name!r} has more than {NAME_BYTES} bytes")
    return (bytes([len(encoded)]) + encoded).ljust(NAME_BYTES + 1, b"\0")


def read_name(field: bytes, what: str) -> str:
    """Read a name's field strictly. Raises MalformedInput."""
    length, padding = field[0], field[1 + field[0] :]
    require(length <= NAME_BYTES, f"the {what} claims {length} bytes; there is room for {NAME_BYTES}")
    require(not padding.strip(b"\0"), f"the {what} has bytes after its end")
    try:
        name = field[1 : 1 + length].decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedInput(f"the {what} is not UTF-8") from error
    require(name.isprintable(), f"the {what} has characters that do not print")
    return name


def require(holds: bool, problem: str) -> None:
    """Raise MalformedInput with `problem` unless it holds."""
    if not holds:
        raise MalformedInput(problem)


def _member(data: bytes) -> Member:
    name, digest, weight, expansion, seed = _MEMBER.unpack(data)
    require(expansion in Expansion.__members__.values(), f"the seed expansion {expansion} is unknown")
    require((expansion == Expansion.NONE) == (seed == ABSENT), "seed and expansion do not go together")
    require(1 <= weight <= MAXIMUM_WEIGHT, f"the weight {weight} of a member is out of range")
    member = Member(read_name(name, "participant id"), digest, weight, Expansion(expansion), seed)
    require(member.participant_id != "", "a member without a name")
    return member
