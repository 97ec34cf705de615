"""The three messages of a key ceremony: KEY_SHARE, DEALING and JOINT_KEY. Encoders and strict readers.

Body of a KEY_SHARE: transport key, K polynomials b, commitments W in the order of `commitments`. Of a DEALING: for
each other member in order its name and the ciphertext of its private share. Of a JOINT_KEY: threshold, for each member
its name and the SHA-256 of its key share, the sums of the b, the sums of the W. Polynomials are whole and transformed.
The header's seed is the plan's.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bfl_chaincode.api import canonical
from bfl_fabric.errors import ConfigurationError, MalformedInput
from bfl_fabric.he import transportkey
from bfl_fabric.he.lattice.messages import (
    Expansion,
    Header,
    Kind,
    Reader,
    encode_polynomial,
    name_field,
    polynomial_bytes,
    read_message,
    read_name,
    require,
)
from bfl_fabric.he.lattice.parameters import LatticeParameters
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.lattice.threads import each
from bfl_fabric.he.threshold.commitments import check_count, commitment
from bfl_fabric.he.threshold.plan import KeyPlan

_NAME_BYTES = 128
_THRESHOLD = struct.Struct("<I")
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class KeyShare:
    """What a member publishes: its transport key, its b^(k), its commitments. `digest` is the message's SHA-256."""

    author: str
    transport: bytes
    polynomials: list[Residues]
    checks: list[Residues]
    digest: str


@dataclass(frozen=True, slots=True)
class JointKey:
    """A checked joint key: the plan, the digests of the members' key shares, the sums of their b^(k) and their W."""

    plan: KeyPlan
    share_digests: Mapping[str, str]
    polynomials: list[Residues]
    checks: list[Residues]
    digest: str

    def commitment(self, member: str) -> list[Residues]:
        """Return the commitment to a member's combined share, K + 1 polynomials."""
        return commitment(self.plan, self.polynomials, self.checks, self.plan.point(member))


def encode_key_share(
    plan: KeyPlan,
    author: str,
    transport_key: bytes,
    polynomials: Sequence[Residues],
    checks: Sequence[Residues],
) -> bytes:
    """Return the message with which a member takes part."""
    header = _header(plan, Kind.KEY_SHARE, author)
    return b"".join([header.encode(), transport_key, *_encoded(plan, [*polynomials, *checks])])


def read_key_share(plan: KeyPlan, author: str, data: bytes) -> KeyShare:
    """Read a key share strictly. Raises MalformedInput naming the author."""
    try:
        reader = _opened(plan, Kind.KEY_SHARE, author, data)
        reader.require_body(transportkey.PUBLIC_BYTES + _public_bytes(plan))
        key = reader.bytes(transportkey.PUBLIC_BYTES)
        transportkey.public_key(key)
        polynomials, checks = _public(plan, reader)
    except MalformedInput as error:
        raise MalformedInput(f"the key share of {author}: {error}") from error
    return KeyShare(author, key, polynomials, checks, reader.digest)


def encode_dealing(plan: KeyPlan, dealer: str, share_digest: str, ciphertexts: Mapping[str, bytes]) -> bytes:
    """Return the dealing of a member: a ciphertext for every other one."""
    header = _header(plan, Kind.DEALING, dealer, bytes.fromhex(share_digest))
    rows = [name_field(member) + ciphertexts[member] for member in plan.members if member != dealer]
    return b"".join([header.encode(), *rows])


def read_dealing(plan: KeyPlan, dealer: str, share_digest: str, data: bytes) -> dict[str, bytes]:
    """Return each recipient's ciphertext. Raises MalformedInput naming the dealer."""
    try:
        reader = _opened(plan, Kind.DEALING, dealer, data)
        require(reader.header.subject.hex() == share_digest, "it is for another key share of the dealer")
        recipients = [member for member in plan.members if member != dealer]
        reader.require_body(len(recipients) * (_NAME_BYTES + ciphertext_bytes(plan)))
        ciphertexts = {}
        for recipient in recipients:
            name = read_name(reader.bytes(_NAME_BYTES), "recipient")
            require(name == recipient, f"it has a row for {name} where {recipient} stands")
            ciphertexts[recipient] = reader.bytes(ciphertext_bytes(plan))
    except MalformedInput as error:
        raise MalformedInput(f"the dealing of {dealer}: {error}") from error
    return ciphertexts


def ciphertext_bytes(plan: KeyPlan) -> int:
    """Return the length of one private share's ciphertext."""
    return _polynomials_bytes(plan) + transportkey.OVERHEAD_BYTES


def encode_private_share(plan: KeyPlan, share: Iterable[Residues]) -> bytes:
    """Return the bytes of a private share, or of its commitment."""
    return b"".join(_encoded(plan, share))


def read_private_share(plan: KeyPlan, data: bytes) -> list[Residues]:
    """Read a private share, K polynomials, strictly. Raises MalformedInput."""
    return _read_packed(plan, data, plan.parameters.polynomials_per_mask)


def read_commitment(plan: KeyPlan, data: bytes) -> list[Residues]:
    """Read a commitment to a private share, K + 1 polynomials. Raises MalformedInput."""
    return _read_packed(plan, data, plan.parameters.polynomials_per_mask + 1)


def share_binding(
    plan: KeyPlan, dealer: str, recipient: str, dealer_digest: str, recipient_digest: str
) -> bytes:
    """Return what the ciphertext of a private share is bound to."""
    return canonical.dump(
        {
            "purpose": "bfl-fabric dealing v1",
            "plan": plan.public_seed.hex(),
            "dealer": dealer,
            "recipient": recipient,
            "dealer_share": dealer_digest,
            "recipient_share": recipient_digest,
        }
    )


def encode_joint_key(plan: KeyPlan, shares: Mapping[str, KeyShare]) -> bytes:
    """Return the joint key of all members' key shares; every member makes the same bytes.

    Raises:
        MalformedInput: the shares add up to no key.
    """
    ring = plan.parameters.ring
    header = _header(plan, Kind.JOINT_KEY, "")
    table = [name_field(member) + bytes.fromhex(shares[member].digest) for member in plan.members]
    columns = zip(
        *([*shares[member].polynomials, *shares[member].checks] for member in plan.members), strict=True
    )
    sums = [ring.reduce(np.sum(column, axis=0, dtype=np.uint64)) for column in columns]
    require(all(part.any(axis=1).all() for part in sums), "the key shares add up to no key")
    return b"".join([header.encode(), _THRESHOLD.pack(plan.threshold), *table, *_encoded(plan, sums)])


def read_joint_key(parameters: LatticeParameters, data: bytes) -> JointKey:
    """Read a joint key strictly. Raises MalformedInput."""
    reader = read_message(data, parameters, Kind.JOINT_KEY)
    header, row_bytes = reader.header, _NAME_BYTES + _DIGEST_BYTES
    (threshold,) = _THRESHOLD.unpack(reader.bytes(_THRESHOLD.size))
    require(header.members <= parameters.max_holders, f"a joint key of {header.members} members")
    rows = [reader.bytes(row_bytes) for _ in range(header.members)]
    digests = {read_name(row[:_NAME_BYTES], "member"): row[_NAME_BYTES:].hex() for row in rows}
    require(len(digests) == header.members, "a member of the joint key stands twice")
    try:
        plan = KeyPlan(parameters, header.task_id, header.epoch, tuple(digests), threshold)
    except ConfigurationError as error:
        raise MalformedInput(f"the joint key's plan cannot be: {error}") from error
    require(header == _header(plan, Kind.JOINT_KEY, ""), "the joint key's header is not that of its plan")
    reader.require_body(_THRESHOLD.size + len(rows) * row_bytes + _public_bytes(plan))
    polynomials, checks = _public(plan, reader)
    return JointKey(plan, digests, polynomials, checks, reader.digest)


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of a message, lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def _header(plan: KeyPlan, kind: Kind, author: str, subject: bytes = bytes(32)) -> Header:
    return Header(
        kind, plan.parameters.digest, plan.epoch, members=len(plan.members), expansion=Expansion.AES_CTR,
        seed=plan.public_seed, subject=subject, task_id=plan.task_id, author=author,
    )  # fmt: skip


def _opened(plan: KeyPlan, kind: Kind, author: str, data: bytes) -> Reader:
    reader = read_message(data, plan.parameters, kind)
    expected = _header(plan, kind, author, reader.header.subject if kind is Kind.DEALING else bytes(32))
    require(reader.header == expected, f"its header is not {author}'s in this ceremony")
    return reader


def _public(plan: KeyPlan, reader: Reader) -> tuple[list[Residues], list[Residues]]:
    """Return the b and the W of a message, the end."""
    count = plan.parameters.polynomials_per_mask
    raw = (reader.raw_polynomial(plan.parameters.degree) for _ in range(count + check_count(plan)))
    parts = list(each(lambda data: reader.checked(data, plan.parameters.degree), raw))
    reader.require_end()
    require(all(part.any(axis=1).all() for part in parts), "a polynomial of the key is all zero")
    return parts[:count], parts[count:]


def _encoded(plan: KeyPlan, polynomials: Iterable[Residues]) -> Iterator[bytes]:
    return each(lambda part: encode_polynomial(plan.parameters, part), polynomials)


def _public_bytes(plan: KeyPlan) -> int:
    return _polynomials_bytes(plan) + check_count(plan) * polynomial_bytes(
        plan.parameters, plan.parameters.degree
    )


def _read_packed(plan: KeyPlan, data: bytes, count: int) -> list[Residues]:
    expected = count * polynomial_bytes(plan.parameters, plan.parameters.degree)
    require(len(data) == expected, f"a private share of {len(data)} bytes, not {expected}")
    # a header of the plan's own makes the reader, which checks every residue
    header = _header(plan, Kind.DEALING, plan.members[0])
    reader = read_message(header.encode() + data, plan.parameters, Kind.DEALING)
    return [reader.polynomial(plan.parameters.degree) for _ in range(count)]


def _polynomials_bytes(plan: KeyPlan) -> int:
    return plan.parameters.polynomials_per_mask * polynomial_bytes(plan.parameters, plan.parameters.degree)
