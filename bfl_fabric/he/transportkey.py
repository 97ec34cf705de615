"""Transport keys, under which one organization encrypts a secret to another: HPKE (RFC 9180), ML-KEM-768 with X25519,
AES-256-GCM.

Decides the suite; to what a ciphertext is bound its caller decides. The hybrid keeps dealings and grants, which lie on
nodes for years, closed to who records them today and has a quantum computer later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from bfl_fabric.errors import MalformedInput

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_MLKEM_SEED_BYTES, _MLKEM_PUBLIC_BYTES, _X25519_BYTES = 64, 1184, 32

PUBLIC_BYTES = _MLKEM_PUBLIC_BYTES + _X25519_BYTES
"""ML-KEM's encapsulation key, then X25519's public key."""

OVERHEAD_BYTES = 1088 + _X25519_BYTES + 16
"""What a ciphertext is longer than its plaintext: two encapsulations and a tag."""


@dataclass(frozen=True, slots=True)
class TransportKey:
    """A key pair; its private half never prints."""

    MATERIAL_BYTES: ClassVar[int] = _MLKEM_SEED_BYTES + _X25519_BYTES

    public: bytes
    _private: MLKEM768X25519PrivateKey = field(repr=False)

    @classmethod
    def from_bytes(cls, material: bytes) -> TransportKey:
        """Make the pair of these `MATERIAL_BYTES` secret bytes."""
        lattice = MLKEM768PrivateKey.from_seed_bytes(material[:_MLKEM_SEED_BYTES])
        curve = X25519PrivateKey.from_private_bytes(material[_MLKEM_SEED_BYTES:])
        public = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
        return cls(public, MLKEM768X25519PrivateKey(lattice, curve))

    def decrypt(self, ciphertext: bytes, bound_to: bytes) -> bytes:
        """Return the plaintext. Raises MalformedInput when it was not encrypted to this key and for this."""
        try:
            return _SUITE.decrypt(ciphertext, self._private, info=bound_to)
        except (InvalidTag, ValueError) as error:
            raise MalformedInput("it cannot be decrypted with the recipient's transport key") from error


def encrypt(plaintext: bytes, public: bytes, bound_to: bytes) -> bytes:
    """Return a ciphertext for the holder of this public key, bound to `bound_to`. Raises MalformedInput."""
    return _SUITE.encrypt(plaintext, public_key(public), info=bound_to)


def public_key(public: bytes) -> MLKEM768X25519PublicKey:
    """Read a transport key strictly. Raises MalformedInput."""
    try:
        lattice = MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC_BYTES])
        curve = X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC_BYTES:])
        return MLKEM768X25519PublicKey(lattice, curve)
    except ValueError as error:
        raise MalformedInput("the transport key is no ML-KEM-768 and X25519 public key") from error
