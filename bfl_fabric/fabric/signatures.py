"""Signatures inside blocks, to be checked now, later or elsewhere.

Decides what is needed to check one (who, a digest, the signature's bytes) and how a check done ahead stands in for
one done on the spot: only a signature that was found good is believed, everything else is checked again in this
process, which then says what is wrong with it. Where checks are made is left to whoever implements
`SignatureChecks`; what follows from a bad one to `bfl_fabric.fabric.validation`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from cryptography.hazmat.primitives import serialization

from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric.identity import Identity

_KNOWN_IDENTITIES = 4096


class Signature(Protocol):
    """A claim that the identity `creator` signed what has this SHA-256."""

    @property
    def creator(self) -> bytes: ...

    @property
    def digest(self) -> bytes: ...

    @property
    def signature(self) -> bytes: ...


class Answers(Protocol):
    """The outcome of checks that were begun."""

    def get(self) -> bytes:
        """Return one byte per signature in their order, 1 for good. Raises WorkerFailed when they are lost."""


class SignatureChecks(Protocol):
    """Checks signatures as liberally as Fabric does, see `Identity.verify_liberally`.

    `ahead` is how many signatures are worth having under way before the first is asked for, 0 for none.
    """

    @property
    def ahead(self) -> int: ...

    def begin(self, signatures: Sequence[Signature]) -> Answers | None:
        """Begin to check; None says that nothing is done ahead, each signature is checked when it is asked for."""


class ChecksOnTheSpot:
    """Does nothing ahead: each signature is checked in this process when validation asks for it."""

    @property
    def ahead(self) -> int:
        return 0

    def begin(self, signatures: Sequence[Signature]) -> Answers | None:
        return None


@dataclass(slots=True)
class Claims:
    """The signatures of one block, collected while it is opened and begun together."""

    signatures: list[Claim] = field(default_factory=list)
    _answers: Answers | None = None
    _good: bytes | None = None

    def add(self, creator: bytes, data: bytes, signature: bytes) -> Claim:
        """Take in one more signature of the block: `creator` is said to have signed `data`."""
        claim = Claim(creator, hashlib.sha256(data).digest(), signature, self, len(self.signatures))
        self.signatures.append(claim)
        return claim

    def begin(self, checks: SignatureChecks) -> None:
        """Have all of them checked. They are not kept: that would be a cycle of every block with itself."""
        self._answers = checks.begin(self.signatures)
        self.signatures = []

    def is_good(self, place: int) -> bool:
        """Say whether a signature is known to be good. Raises WorkerFailed."""
        if self._good is None:
            if self._answers is None:
                return False
            self._good = self._answers.get()
        return self._good[place] == 1


class Claim(NamedTuple):
    """One signature of a block, the `place`-th of its claims."""

    creator: bytes
    digest: bytes
    signature: bytes
    claims: Claims
    place: int

    def verify(self, identity: Identity, *, strict: bool = False) -> None:
        """Check it for the identity that `creator` is. Raises NotTrusted, WorkerFailed."""
        if strict or not self.claims.is_good(self.place):
            identity.verify_digest(self.digest, self.signature, strict=strict)


@functools.lru_cache(maxsize=_KNOWN_IDENTITIES)
def public_key_of(creator: bytes) -> bytes:
    """Return the X9.62 point of a serialized identity's public key, empty when it has none that can be used."""
    try:
        key = Identity.parse(creator).public_key
    except MalformedInput:
        return b""
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
