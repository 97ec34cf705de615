"""Signatures that are made elsewhere: in a token, on another machine, by a person.

Decides what is accepted as a signature: it must be by the certificate in whose name it stands; the higher of the two
values of s is replaced by the lower one, since Fabric takes no other. Where the key is, is the application's affair.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from bfl_fabric.errors import ConfigurationError, MalformedInput, NotTrusted
from bfl_fabric.fabric.ecdsa import low_s
from bfl_fabric.fabric.identity import Identity, Signer

SignDigest = Callable[[bytes], bytes]
"""Takes a SHA-256 digest, returns the DER of an ECDSA P-256 signature over it; may block."""


class CallbackSigner:
    """Signs in the name of an identity by asking a callback, so that no private key enters this process."""

    def __init__(self, identity: Identity, sign_digest: SignDigest) -> None:
        self._identity = identity
        self._sign_digest = sign_digest

    @property
    def creator(self) -> bytes:
        return self._identity.creator

    def sign(self, data: bytes) -> bytes:
        """Return the signature over `data`. Raises ConfigurationError when the callback gives another one's."""
        return checked(self._identity, data, self._sign_digest(digest(data)))

    def __repr__(self) -> str:
        return f"CallbackSigner({self._identity!r})"


@dataclass(frozen=True, slots=True)
class SignedBefore:
    """A signer that gives one signature, made before; empty where it is still to be put in."""

    creator: bytes
    signature: bytes

    def sign(self, data: bytes) -> bytes:
        del data
        return self.signature


def digest(data: bytes) -> bytes:
    """Return what is signed of a message: its SHA-256."""
    return hashlib.sha256(data).digest()


def checked(identity: Identity, data: bytes, signature: bytes) -> bytes:
    """Return a signature in Fabric's form. Raises ConfigurationError when it is not by the identity."""
    try:
        normal = low_s(signature)
        identity.verify(data, normal)
    except (ValueError, NotTrusted) as error:
        raise ConfigurationError(
            f"the signature is not one by the certificate of {identity.msp_id}/{identity.common_name}: the signer "
            "must sign the SHA-256 digest as it is given, with that certificate's key, and return DER"
        ) from error
    return normal


def checked_for(creator: bytes, data: bytes, signature: bytes) -> bytes:
    """Do the same for the identity that a message itself names."""
    try:
        identity = Identity.parse_strict(creator)
    except MalformedInput as error:
        raise ConfigurationError(f"the message is not in the name of a certificate: {error}") from error
    return checked(identity, data, signature)


async def sign(signer: Signer | None, data: bytes) -> bytes:
    """Sign; a callback, which may block, does not hold up the event loop. Raises ConfigurationError without signer."""
    if signer is None:
        raise ConfigurationError(
            "the gateway was connected without a signer: sign the digest elsewhere and hand the bytes and the "
            "signature to new_signed_proposal, new_signed_transaction or new_signed_commit"
        )
    if isinstance(signer, CallbackSigner):
        return await asyncio.to_thread(signer.sign, data)
    return signer.sign(data)
