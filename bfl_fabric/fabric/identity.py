"""Who signs and who signed: X.509 identities of a Fabric membership service.

Decides what a well-formed identity is: a P-256 certificate. What a good signature is decides `bfl_fabric.fabric.ecdsa`;
whether a certificate is *trusted*, at a moment and in a role, is left to `bfl_fabric.fabric.membership`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fabric_protos.msp import identities_pb2

from bfl_fabric.errors import ConfigurationError, MalformedInput, NotTrusted
from bfl_fabric.fabric.ecdsa import canonical_holds, canonical_signature, low_s
from bfl_fabric.fabric.keyfiles import read_secret
from bfl_fabric.fabric.wire import read, read_strict, write

ATTRIBUTES_OID = x509.ObjectIdentifier("1.2.3.4.5.6.7.8.1")
"""The certificate extension in which Fabric keeps attributes, as JSON text `{"attrs": {...}}`."""

_ECDSA_SHA256 = ec.ECDSA(hashes.SHA256())
_PEM_BLOCK = re.compile(
    rb"-----BEGIN (?P<label>[^\n-]*)-----[ \t\r]*\n(?:[^\n:]+:[^\n]*\n)*"
    rb"(?P<content>[A-Za-z0-9+/=\s]*)-----END (?P=label)-----"
)
_PEM_BEGIN = b"-----BEGIN CERTIFICATE-----\n"
_PEM_END = b"-----END CERTIFICATE-----\n"


class Signer(Protocol):
    """Signs in the name of an identity; the key may be in a file, in a token or on another machine."""

    @property
    def creator(self) -> bytes:
        """Return the serialized `msp.SerializedIdentity`."""

    def sign(self, data: bytes) -> bytes:
        """Return the DER of an ECDSA P-256 SHA-256 signature over `data`, with the lower s."""


class SigningIdentity:
    """A certificate of an organization and its private key. The key is never printed and cannot be pickled."""

    __slots__ = ("_creator", "_key", "certificate_pem", "msp_id")

    def __init__(self, msp_id: str, certificate_pem: bytes, key: ec.EllipticCurvePrivateKey) -> None:
        identity = Identity.of(msp_id, certificate_pem)
        if identity.public_key.public_numbers() != key.public_key().public_numbers():
            raise ConfigurationError(f"{msp_id}: the private key does not belong to the certificate")
        self.msp_id = msp_id
        self.certificate_pem = certificate_pem
        self._key = key
        self._creator = identity.creator

    @classmethod
    def from_pem(cls, msp_id: str, certificate_pem: bytes, key_pem: bytes) -> SigningIdentity:
        """Read both from PEM. Raises ConfigurationError, MalformedInput."""
        try:
            key = serialization.load_pem_private_key(key_pem, password=None)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"{msp_id}: the private key is not unencrypted PEM") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ConfigurationError(f"{msp_id}: the private key is not a P-256 key")
        return cls(msp_id, certificate_pem, key)

    @classmethod
    def load(cls, msp_id: str, certificate_path: Path, key_path: Path) -> SigningIdentity:
        """Read both from files; a key file that others can read is refused. Raises ConfigurationError."""
        try:
            certificate_pem = certificate_path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{certificate_path}: cannot read the certificate: {error}") from error
        return cls.from_pem(msp_id, certificate_pem, read_secret(key_path))

    @property
    def creator(self) -> bytes:
        return self._creator

    def sign(self, data: bytes) -> bytes:
        return low_s(self._key.sign(data, _ECDSA_SHA256))

    def __repr__(self) -> str:
        return f"SigningIdentity({self.msp_id!r}, {Identity.parse(self._creator).common_name!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing identity holds a private key and is not pickled")


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and the organization that it claims to be of; nothing here says that the claim is true."""

    msp_id: str
    certificate: x509.Certificate
    certificate_der: bytes
    creator: bytes
    common_name: str
    organizational_units: tuple[str, ...]
    public_key: ec.EllipticCurvePublicKey

    @classmethod
    def parse(cls, creator: bytes) -> Identity:
        """Read a serialized `msp.SerializedIdentity` as liberally as Fabric does. Raises MalformedInput.

        In a block, everything that Fabric takes must be taken: else any client could make an audit fail.
        """
        message = read(identities_pb2.SerializedIdentity, creator, "creator")
        return cls._of(message.mspid, _load(first_pem_block(message.id_bytes)), creator)

    @classmethod
    def parse_strict(cls, creator: bytes) -> Identity:
        """Read a serialized identity in its one canonical form, as our own border wants it. Raises MalformedInput."""
        message = read_strict(identities_pb2.SerializedIdentity, creator, "creator")
        return cls._of(message.mspid, read_certificate(message.id_bytes), creator)

    @classmethod
    def of(cls, msp_id: str, certificate_pem: bytes) -> Identity:
        """Return the identity of a PEM certificate. Raises MalformedInput."""
        creator = write(identities_pb2.SerializedIdentity(mspid=msp_id, id_bytes=certificate_pem))
        return cls._of(msp_id, read_certificate(certificate_pem), creator)

    @classmethod
    def _of(cls, msp_id: str, certificate: x509.Certificate, creator: bytes) -> Identity:
        key = certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise MalformedInput(f"{msp_id}: the certificate's key is not a P-256 key")
        names = subject_values(certificate, NameOID.COMMON_NAME)
        return cls(
            msp_id=msp_id,
            certificate=certificate,
            certificate_der=certificate.public_bytes(serialization.Encoding.DER),
            creator=creator,
            common_name=names[0] if names else "",
            organizational_units=subject_values(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME),
            public_key=key,
        )

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes in the certificate, none when it has no such extension. Raises MalformedInput."""
        return _attributes(self.certificate)

    def verify(self, data: bytes, signature: bytes) -> None:
        """Check a signature over `data`. Raises NotTrusted, also when it is not in its one canonical form."""
        self.verify_digest(hashlib.sha256(data).digest(), signature, strict=True)

    def verify_liberally(self, data: bytes, signature: bytes) -> None:
        """Check a signature that stands inside a block, as liberally as Fabric does. Raises NotTrusted.

        Bytes behind the two numbers are let through, the higher s is not.
        """
        self.verify_digest(hashlib.sha256(data).digest(), signature, strict=False)

    def verify_digest(self, digest: bytes, signature: bytes, *, strict: bool) -> None:
        """Check a signature over what has this SHA-256, as `verify` does or liberally. Raises NotTrusted."""
        canonical = canonical_signature(signature)
        if strict and canonical != signature:
            raise NotTrusted("the signature is not in its only DER encoding")
        if not canonical_holds(self.public_key, digest, canonical):
            raise NotTrusted(f"the signature is not by {self.msp_id}/{self.common_name}")

    def __repr__(self) -> str:
        return f"Identity({self.msp_id!r}, {self.common_name!r})"


def read_certificate(certificate_pem: bytes) -> x509.Certificate:
    """Read exactly one PEM certificate, nothing before or after it. Raises MalformedInput."""
    text = certificate_pem if certificate_pem.endswith(b"\n") else certificate_pem + b"\n"
    if (
        not text.startswith(_PEM_BEGIN)
        or not text.endswith(_PEM_END)
        or text.count(b"-----BEGIN") != 1
        or text.count(b"-----END") != 1
    ):
        raise MalformedInput("expected one PEM certificate and nothing else")
    return _load(first_pem_block(text))


def first_pem_block(text: bytes) -> bytes:
    """Return the content of the first PEM block, whatever its label and surroundings. Raises MalformedInput."""
    found = _PEM_BLOCK.search(text)
    if found is None:
        raise MalformedInput("expected a PEM certificate")
    try:
        return base64.b64decode(b"".join(found["content"].split()), validate=True)
    except ValueError as error:
        raise MalformedInput("the PEM is not base64") from error


def _load(der: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(der)
        _parse_everything(certificate)
    except Exception as error:
        raise MalformedInput("the PEM does not hold an X.509 certificate that can be used") from error
    return certificate


def _parse_everything(certificate: x509.Certificate) -> None:
    """Touch every part that is used later: the library reads them on demand and raises errors of many kinds."""
    _ = (certificate.issuer, certificate.subject, certificate.extensions, certificate.public_key())
    _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate.serial_number)
    _ = (certificate.signature_hash_algorithm, certificate.signature, certificate.tbs_certificate_bytes)


def subject_values(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> tuple[str, ...]:
    """Return the values of one kind of name in the certificate's subject, in their order."""
    return tuple(str(name.value) for name in certificate.subject.get_attributes_for_oid(oid))


def _attributes(certificate: x509.Certificate) -> dict[str, str]:
    try:
        extension: Any = certificate.extensions.get_extension_for_oid(ATTRIBUTES_OID).value
    except x509.ExtensionNotFound:
        return {}
    try:
        attributes = json.loads(extension.value)["attrs"]
    except (ValueError, KeyError, TypeError) as error:
        raise MalformedInput("the certificate's attribute extension is not an attribute list") from error
    if not isinstance(attributes, dict) or not all(isinstance(value, str) for value in attributes.values()):
        raise MalformedInput("the certificate's attributes are not text")
    return {str(name): value for name, value in attributes.items()}
