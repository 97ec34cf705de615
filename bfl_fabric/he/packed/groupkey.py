"""The key of a group of silos: its secret, what the ledger holds of it, its file, and how it is granted to a silo.

    public blob: header of kind GROUP_KEY, commitment (32 bytes)
    commitment:  SHA-256("bfl group key v1", 0, header, secret)
    secret:      the ternary coefficients plus one, 2 bits each
    file:        public blob, secret, in the frame of a private file, "BFLG"
    grant:       the secret in HPKE to the silo's transport key, bound to the SHA-256 of the public blob

So whoever is granted a secret can tell that it is the one on the ledger. Runs in the worker process.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bfl_fabric.errors import MalformedInput
from bfl_fabric.he import privatefile, transportkey
from bfl_fabric.he.lattice.bits import pack, packed_bytes, unpack
from bfl_fabric.he.lattice.bodies import KeyName, key_digest
from bfl_fabric.he.lattice.messages import HEADER_BYTES, Header, Kind, read_message, require
from bfl_fabric.he.lattice.modular import Integers
from bfl_fabric.he.lattice.parameters import LatticeParameters
from bfl_fabric.he.privatefile import Frame
from bfl_fabric.he.transportkey import TransportKey

FRAME = Frame(b"BFLG", 1, "group key file", "restore it or have it granted again")
COMMITMENT_BYTES = 32
PUBLIC_BYTES = HEADER_BYTES + COMMITMENT_BYTES
_COEFFICIENT_BITS = 2
_COMMITMENT_DOMAIN = b"bfl group key v1\0"
_GRANT_DOMAIN = b"bfl group key grant v1\0"


@dataclass(frozen=True, slots=True)
class GroupKey:
    """A group's key: what the ledger holds, and the secret int64[degree] of −1, 0, 1, which never prints."""

    epoch: int
    public_key: bytes
    secret: Integers = field(repr=False)

    @classmethod
    def of(cls, parameters: LatticeParameters, epoch: int, secret: Integers) -> GroupKey:
        """Return the key of a fresh secret."""
        header = Header(Kind.GROUP_KEY, parameters.digest, epoch).encode()
        return cls(epoch, header + _commitment(header, _secret_bytes(secret)), secret)

    @property
    def name(self) -> KeyName:
        """What uploads for this key name it by."""
        return KeyName(self.epoch, key_digest(self.public_key))


def read_public_key(public_key: bytes, parameters: LatticeParameters) -> KeyName:
    """Return the name of a public blob of these parameters. Raises MalformedInput."""
    reader = read_message(public_key, parameters, Kind.GROUP_KEY)
    header = reader.header
    require(
        header == Header(Kind.GROUP_KEY, parameters.digest, header.epoch),
        "a group key with fields that are not its own",
    )
    reader.require_body(COMMITMENT_BYTES)
    return KeyName(header.epoch, key_digest(public_key))


def write(path: Path, key: GroupKey) -> None:
    """Create the key's file. When this returns it is durable; raises FileExistsError when there is one already."""
    privatefile.create(path, FRAME.around(key.public_key + _secret_bytes(key.secret)))


def read(path: Path, parameters: LatticeParameters) -> GroupKey:
    """Read a key's file.

    Raises:
        NotFound: there is no such file.
        KeyHolderRefused: others may read it, it is another user's, or it is not a plain file.
        MalformedInput: it is damaged, or of other parameters.
    """
    content = FRAME.read(path)
    if len(content) != PUBLIC_BYTES + packed_bytes(parameters.degree, _COEFFICIENT_BITS):
        raise FRAME.damaged(path)
    return _committed(parameters, content[:PUBLIC_BYTES], content[PUBLIC_BYTES:])


def grant(key: GroupKey, transport_key: bytes) -> bytes:
    """Return the secret encrypted to a silo's transport key. Raises MalformedInput when that is none."""
    return transportkey.encrypt(_secret_bytes(key.secret), transport_key, _bound_to(key.public_key))


def accept(parameters: LatticeParameters, public_key: bytes, granted: bytes, pair: TransportKey) -> GroupKey:
    """Return the key that was granted. Raises MalformedInput when it is not the one of the public blob."""
    read_public_key(public_key, parameters)
    return _committed(parameters, public_key, pair.decrypt(granted, _bound_to(public_key)))


def _committed(parameters: LatticeParameters, public_key: bytes, secret: bytes) -> GroupKey:
    """Return the key of these bytes. Raises MalformedInput unless the public blob commits to them."""
    name = read_public_key(public_key, parameters)
    header, commitment = public_key[:HEADER_BYTES], public_key[HEADER_BYTES:]
    if not hmac.compare_digest(_commitment(header, secret), commitment):
        raise MalformedInput("the secret is not the one that the public key commits to")
    require(len(secret) == packed_bytes(parameters.degree, _COEFFICIENT_BITS), "a secret of another length")
    digits = unpack(secret, _COEFFICIENT_BITS)
    require(int(digits.max()) <= 2, "a secret with a coefficient other than −1, 0 and 1")
    return GroupKey(name.epoch, public_key, digits.astype(np.int64) - 1)


def _secret_bytes(secret: Integers) -> bytes:
    return pack((secret + 1).astype(np.uint64), _COEFFICIENT_BITS)


def _commitment(header: bytes, secret: bytes) -> bytes:
    return hashlib.sha256(_COMMITMENT_DOMAIN + header + secret).digest()


def _bound_to(public_key: bytes) -> bytes:
    return _GRANT_DOMAIN + hashlib.sha256(public_key).digest()
