"""What follows the header of an upload or of a sum, in which order, and that the length is exact.

    upload: [SEAL's seeds, 64 bytes for each polynomial] [masks] polynomials
    sum:    table of members [SEAL's seeds of each member that has some, in the table's order] [masks] polynomials

A mask is whole and in transformed form; of the last polynomial only the coefficients in use travel. Header fields that
mean nothing in an upload or a sum are zero. Which uploads belong together is the question of `sums`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from bfl_fabric.errors import MalformedInput
from bfl_fabric.he.lattice.messages import (
    HEADER_BYTES,
    MEMBER_BYTES,
    Expansion,
    Header,
    Member,
    Reader,
    polynomial_bytes,
    require,
)
from bfl_fabric.he.lattice.parameters import LatticeParameters
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.lattice.threads import each

SEAL_SEED_BYTES = 64


@dataclass(frozen=True, slots=True)
class KeyName:
    """Which public key is in use: its epoch, and the SHA-256 of its message, which is on the ledger."""

    epoch: int
    digest: str

    def require(self, upload: Header) -> None:
        """Refuse an upload or mask that says it is for another key. Raises MalformedInput."""
        whose, found = f"the upload of {upload.author}", upload.subject.hex()
        if upload.epoch != self.epoch:
            raise MalformedInput(
                f"{whose} is for key epoch {upload.epoch}, the public key is of epoch {self.epoch}"
            )
        if found != self.digest:
            raise MalformedInput(
                f"{whose} was encrypted under another key ({found}), the task's key is {self.digest}"
            )


def mask_count(parameters: LatticeParameters, parameter_count: int) -> int:
    """Return how many masks travel: none where a seed stands for them."""
    if parameters.noise_step:
        return 0
    return -(-parameters.polynomial_count(parameter_count) // parameters.polynomials_per_mask)


def coefficients(parameters: LatticeParameters, parameter_count: int) -> list[int]:
    """Return for each polynomial how many of its coefficients travel."""
    count = parameters.polynomial_count(parameter_count)
    return [parameters.coefficients_in(index, parameter_count) for index in range(count)]


def sizes(parameters: LatticeParameters, parameter_count: int) -> list[int]:
    """Return how many coefficients of each mask and then of each polynomial travel."""
    masks = mask_count(parameters, parameter_count)
    return [parameters.degree] * masks + coefficients(parameters, parameter_count)


def polynomials_bytes(parameters: LatticeParameters, parameter_count: int) -> int:
    """Return the length of masks and polynomials together."""
    count = parameters.polynomial_count(parameter_count)
    last = parameters.coefficients_in(count - 1, parameter_count)
    whole = mask_count(parameters, parameter_count) + count - 1
    return whole * polynomial_bytes(parameters, parameters.degree) + polynomial_bytes(parameters, last)


def seeds_bytes(parameters: LatticeParameters, parameter_count: int, expansion: Expansion) -> int:
    """Return the length of the seeds that stand in a body for one upload."""
    if expansion is not Expansion.SEAL_BLAKE2XB:
        return 0
    return SEAL_SEED_BYTES * parameters.polynomial_count(parameter_count)


def upload_bytes(parameters: LatticeParameters, parameter_count: int, expansion: Expansion) -> int:
    """Return the length of an upload's body."""
    seeds = seeds_bytes(parameters, parameter_count, expansion)
    return seeds + polynomials_bytes(parameters, parameter_count)


def begin_upload(reader: Reader, parameters: LatticeParameters) -> bytes:
    """Check an upload's header and length; return SEAL's seeds, empty where there are none. Raises MalformedInput."""
    header = reader.header
    _require_expansion(parameters, header.expansion)
    require(header.attempt == 0, "an update with an attempt")
    reader.require_body(upload_bytes(parameters, header.parameter_count, header.expansion))
    return _seeds(reader, parameters, header.expansion, header.seed)


def begin_sum(reader: Reader, parameters: LatticeParameters) -> list[tuple[Member, bytes]]:
    """Check a sum's header, table and length; return its members, each with SEAL's seeds. Raises MalformedInput."""
    header = reader.header
    require(header.attempt == 0 and header.expansion is Expansion.NONE, "a sum with an attempt or a seed")
    count, rest = header.parameter_count, polynomials_bytes(parameters, header.parameter_count)
    require(
        reader.size_bytes >= HEADER_BYTES + header.members * MEMBER_BYTES + rest,
        f"the message has {reader.size_bytes} bytes, too few for its {header.members} members",
    )
    members = reader.members()
    for member in members:
        _require_expansion(parameters, member.expansion)
    seeds = sum(seeds_bytes(parameters, count, member.expansion) for member in members)
    reader.require_body(len(members) * MEMBER_BYTES + seeds + rest)
    return [(member, _seeds(reader, parameters, member.expansion, member.seed)) for member in members]


@dataclass(frozen=True, slots=True)
class RawPolynomial:
    """A mask or a polynomial as it was read: `number` counts both, masks first; `coefficients` of it travel."""

    number: int
    is_mask: bool
    coefficients: int
    data: bytes


def raw_polynomials(reader: Reader, parameters: LatticeParameters) -> Iterator[RawPolynomial]:
    """Yield every mask and then every polynomial, hashed and not checked. Raises MalformedInput."""
    count = reader.header.parameter_count
    masks = mask_count(parameters, count)
    for number, size in enumerate(sizes(parameters, count)):
        yield RawPolynomial(number, number < masks, size, reader.raw_polynomial(size))
    reader.require_end()


def checked(reader: Reader, raw: RawPolynomial) -> Residues:
    """Return the residues, uint64[L, coefficients]; may be called in another thread. Raises MalformedInput."""
    rows = reader.checked(raw.data, raw.coefficients)
    require(
        not raw.is_mask or bool(rows.any(axis=1).all()),
        f"mask {raw.number} is all zero modulo a prime: it hides nothing",
    )
    return rows


def polynomials(reader: Reader, parameters: LatticeParameters) -> Iterator[Residues]:
    """Yield every mask and then every polynomial, checked, uint64[L, coefficients]. Raises MalformedInput."""
    return each(lambda raw: checked(reader, raw), raw_polynomials(reader, parameters))


def seeds_digest(seeds: bytes) -> bytes:
    """Return what the header says of SEAL's seeds."""
    return hashlib.sha256(seeds).digest()


def key_digest(data: bytes) -> str:
    """Return the name of a public key message, which is on the ledger."""
    return hashlib.sha256(data).hexdigest()


def _require_expansion(parameters: LatticeParameters, expansion: Expansion) -> None:
    require(
        (expansion is not Expansion.NONE) == bool(parameters.noise_step),
        f"an upload of the scheme {parameters.scheme} whose seed expansion is {expansion.name}",
    )


def _seeds(reader: Reader, parameters: LatticeParameters, expansion: Expansion, digest: bytes) -> bytes:
    seeds = reader.bytes(seeds_bytes(parameters, reader.header.parameter_count, expansion))
    require(not seeds or seeds_digest(seeds) == digest, "the seeds are not those that their digest names")
    return seeds
