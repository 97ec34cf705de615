"""The header of every message of this room, byte by byte; docs/wire-format.md is its specification.

Decides which fields there are, which values each kind of message may have, and that one content has one
encoding. Leaves lengths, residues and digests of whole messages to `gate`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from bfl_fabric.errors import MalformedInput
from bfl_fabric.he.parameters import ParameterSet

MAGIC = b"BFLH"
VERSION = 1
NAME_BYTES = 127
MAXIMUM_PARAMETER_COUNT = 1 << 32
MAXIMUM_WEIGHT = 1 << 62
MAXIMUM_DIVISOR = 254
DIRECTION_LIMIT = 127
ABSENT = bytes(32)

_LAYOUT = struct.Struct("<4sBBH32sIIQQIIQQ32s32s128s128s")
HEADER_BYTES = _LAYOUT.size


class Kind(IntEnum):
    """What a message is; the number on the wire, never reused."""

    PUBLIC_KEY = 1
    UPDATE = 2
    SUM = 3
    SCORE = 4


@dataclass(frozen=True, slots=True)
class DirectionTerms:
    """How the direction g of a score was coarsened to g′: |g′| = (2|g| + divisor) div (2·divisor), g's signs.

    `energy` is ⟨g,g⟩ and `overlap` ⟨g,g′⟩; their quotient brings ⟨T,g′⟩ back to the size of ⟨T,g⟩. `digest` is the
    SHA-256 of g's int8 bytes. All fields are zero when the message is not a score.
    """

    divisor: int = 0
    energy: int = 0
    overlap: int = 0
    digest: bytes = ABSENT


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of a message; what does not apply to its kind is zero or empty.

    `subject` is, for an update, the digest of the public key message under which it was encrypted; for a sum, the
    SHA-256 over the digests of its uploads in the order of their participant ids; for a score, the digest of the
    upload that it was made of.
    """

    kind: Kind
    parameters_digest: str
    epoch: int
    round: int = 0
    parameter_count: int = 0
    weight: int = 0
    members: int = 0
    task_id: str = ""
    participant_id: str = ""
    subject: bytes = ABSENT
    direction: DirectionTerms = DirectionTerms()

    def encode(self) -> bytes:
        """Return the header's bytes. Raises MalformedInput when a field has no place in this kind."""
        _check(self)
        return _LAYOUT.pack(
            MAGIC,
            VERSION,
            self.kind,
            HEADER_BYTES,
            bytes.fromhex(self.parameters_digest),
            self.epoch,
            self.round,
            self.parameter_count,
            self.weight,
            self.members,
            self.direction.divisor,
            self.direction.energy,
            self.direction.overlap,
            self.subject,
            self.direction.digest,
            _name_field(self.task_id),
            _name_field(self.participant_id),
        )


def decode(data: bytes) -> Header:
    """Read a header strictly. Raises MalformedInput with the first field that is wrong."""
    if len(data) != HEADER_BYTES:
        raise MalformedInput(f"the message has {len(data)} bytes of header; there are always {HEADER_BYTES}")
    magic, version, kind, header_bytes, parameters, *numbers, subject, direction, task, participant = (
        _LAYOUT.unpack(data)
    )
    _require(magic == MAGIC, "the message does not begin with BFLH")
    _require(version == VERSION, f"the message has format version {version}; this version reads {VERSION}")
    _require(kind in Kind.__members__.values(), f"the message is of the unknown kind {kind}")
    _require(header_bytes == HEADER_BYTES, f"the header claims {header_bytes} bytes; it has {HEADER_BYTES}")
    epoch, round_number, parameter_count, weight, members, divisor, energy, overlap = numbers
    header = Header(
        Kind(kind),
        parameters.hex(),
        epoch,
        round_number,
        parameter_count,
        weight,
        members,
        _name(task, "task id"),
        _name(participant, "participant id"),
        subject,
        DirectionTerms(divisor, energy, overlap, direction),
    )
    _check(header)
    return header


def message_bytes(parameters: ParameterSet, kind: Kind, parameter_count: int) -> int:
    """Return the exact length of a message of this kind."""
    return HEADER_BYTES + body_bytes(parameters, kind, parameter_count)


def body_bytes(parameters: ParameterSet, kind: Kind, parameter_count: int) -> int:
    """Return the exact length of what follows the header."""
    if kind is Kind.PUBLIC_KEY:
        return 2 * parameters.degree * (parameters.residue_bits + parameters.special_residue_bits) // 8
    if kind is Kind.SCORE:
        return 8 + parameters.polynomial_bytes
    return parameters.chunk_count(parameter_count) * parameters.chunk_bytes


def _check(header: Header) -> None:
    _require(len(header.parameters_digest) == 64, "the parameters digest is not 32 bytes")
    _require(0 <= header.epoch < 1 << 32, f"the key epoch {header.epoch} does not fit 32 bits")
    if header.kind is Kind.PUBLIC_KEY:
        _require(
            header == Header(Kind.PUBLIC_KEY, header.parameters_digest, header.epoch),
            "a public key has fields that only updates, sums and scores have",
        )
        return
    _require(1 <= header.round < 1 << 32, f"the round {header.round} is not from 1 to 2^32 − 1")
    _require(
        1 <= header.parameter_count <= MAXIMUM_PARAMETER_COUNT,
        f"the parameter count {header.parameter_count} is not from 1 to {MAXIMUM_PARAMETER_COUNT}",
    )
    _require(
        1 <= header.weight <= MAXIMUM_WEIGHT, f"the weight {header.weight} is not from 1 to {MAXIMUM_WEIGHT}"
    )
    _require(1 <= header.members < 1 << 32, f"{header.members} members are not from 1 to 2^32 − 1")
    _require(header.task_id != "", "the task id is empty")
    _check_by_kind(header)


def _check_by_kind(header: Header) -> None:
    if header.kind is Kind.SUM:
        _require(header.participant_id == "", "a sum names a participant")
    else:
        _require(header.participant_id != "", "the participant id is empty")
        _require(header.members == 1, f"an upload or a score of {header.members} members")
    _require(header.subject != ABSENT, "the subject digest is missing")
    if header.kind is Kind.SCORE:
        _check_direction(header.direction, header.parameter_count)
    else:
        _require(header.direction == DirectionTerms(), "only a score has direction terms")


def _check_direction(terms: DirectionTerms, parameter_count: int) -> None:
    """Hold the terms against what every direction obeys, whatever its entries are."""
    _require(terms.digest != ABSENT, "a score without the digest of its direction")
    _require(1 <= terms.divisor <= MAXIMUM_DIVISOR, f"the divisor {terms.divisor} is not from 1 to 254")
    _require(
        0 <= terms.energy <= DIRECTION_LIMIT**2 * parameter_count,
        f"the energy {terms.energy} is beyond that of {parameter_count} entries",
    )
    _require((terms.overlap == 0) == (terms.energy == 0), "energy and overlap vanish together or not at all")
    # each entry that survives has |g′|·divisor ≤ |g| + divisor/2 ≤ 2|g|, and |g′| ≤ |g|
    _require(
        0 <= terms.overlap <= terms.energy and terms.overlap * terms.divisor <= 2 * terms.energy,
        f"the overlap {terms.overlap} is too large for the energy {terms.energy}",
    )
    _require(terms.divisor > 1 or terms.overlap == terms.energy, "divisor 1 leaves the direction as it is")


def _name_field(name: str) -> bytes:
    _require(name.isprintable(), f"the name {name!r} has characters that do not print")
    encoded = name.encode("utf-8")
    _require(len(encoded) <= NAME_BYTES, f"the name {name!r} has more than {NAME_BYTES} bytes")
    return (bytes([len(encoded)]) + encoded).ljust(NAME_BYTES + 1, b"\0")


def _name(field: bytes, what: str) -> str:
    length, padding = field[0], field[1 + field[0] :]
    _require(length <= NAME_BYTES, f"the {what} claims {length} bytes; there is room for {NAME_BYTES}")
    _require(not padding.strip(b"\0"), f"the {what} has bytes after its end")
    try:
        name = field[1 : 1 + length].decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedInput(f"the {what} is not UTF-8") from error
    _require(name.isprintable(), f"the {what} has characters that do not print")
    return name


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise MalformedInput(problem)
