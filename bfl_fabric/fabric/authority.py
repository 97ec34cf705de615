"""A certificate authority for an organization: the certificates that Fabric's membership services accept.

Decides the profile of every certificate (names, key usage, key identifiers, attributes, a low-S signature, so that
Fabric takes the bytes as they are). Which organization gets which certificate is left to `bfl_fabric.network`.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric.ecdsa import low_s
from bfl_fabric.fabric.identity import ATTRIBUTES_OID, subject_values
from bfl_fabric.fabric.keyfiles import private_directory, read_secret, write_secret

CERTIFICATE_FILE = "certificate.pem"
KEY_FILE = "key.pem"


class NodeOU(StrEnum):
    """What a certificate is for, as its organizational unit says it."""

    CLIENT = "client"
    ADMIN = "admin"
    PEER = "peer"
    ORDERER = "orderer"


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key (PKCS#8), both PEM. The key does not print."""

    certificate_pem: bytes
    key_pem: bytes

    def __repr__(self) -> str:
        return "Issued(certificate_pem=…, key_pem=…)"


@dataclass(frozen=True, slots=True)
class Validity:
    """From when to when a certificate is good; both moments carry a time zone."""

    not_before: datetime
    not_after: datetime


class CertificateAuthority:
    """A self-signed P-256 authority that issues directly, without intermediates."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def create(
        cls, organization: str, common_name: str, not_before: datetime, not_after: datetime
    ) -> CertificateAuthority:
        """Make a new authority. Its certificates never outlive it."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(organization, common_name)
        builder = (
            _builder(name, name, key.public_key(), Validity(not_before, not_after))
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        )
        return cls(_signed(builder, key), key)

    @classmethod
    def load(cls, directory: Path) -> CertificateAuthority:
        """Read what `save` wrote. Raises ConfigurationError."""
        try:
            certificate = x509.load_pem_x509_certificate((directory / CERTIFICATE_FILE).read_bytes())
            key = serialization.load_pem_private_key(read_secret(directory / KEY_FILE), password=None)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{directory}: holds no certificate authority: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise ConfigurationError(f"{directory}: the authority's key does not belong to its certificate")
        return cls(certificate, key)

    def save(self, directory: Path) -> None:
        """Write certificate and key (mode 0600). Raises ConfigurationError when a key is there already."""
        private_directory(directory)
        write_secret(directory / KEY_FILE, _key_pem(self._key))
        (directory / CERTIFICATE_FILE).write_bytes(self.certificate_pem)

    @property
    def certificate_pem(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def organization(self) -> str:
        """The O of the authority's name, which all its certificates carry."""
        return subject_values(self._certificate, NameOID.ORGANIZATION_NAME)[0]

    @property
    def validity(self) -> Validity:
        return Validity(self._certificate.not_valid_before_utc, self._certificate.not_valid_after_utc)

    def issue_identity(
        self,
        common_name: str,
        ou: str,
        attributes: Mapping[str, str] | None = None,
        validity: Validity | None = None,
    ) -> Issued:
        """Issue a signing certificate for a member of the organization.

        `ou` is one of NodeOU; `attributes` go into Fabric's attribute extension; without `validity` the certificate
        is good as long as the authority's.
        """
        builder, key = self._prepare(_name(self.organization, common_name, NodeOU(ou)), validity)
        builder = builder.add_extension(_key_usage(), critical=True)
        if attributes:
            text = json.dumps({"attrs": dict(attributes)}, sort_keys=True, separators=(",", ":"))
            unrecognized = x509.UnrecognizedExtension(ATTRIBUTES_OID, text.encode())
            builder = builder.add_extension(unrecognized, critical=False)
        return self._issue(builder, key)

    def issue_tls(
        self,
        common_name: str,
        sans: Sequence[str] = ("127.0.0.1", "localhost"),
        validity: Validity | None = None,
    ) -> Issued:
        """Issue a certificate for both ends of TLS; `sans` are IP addresses and host names."""
        builder, key = self._prepare(_name(self.organization, common_name), validity)
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            builder.add_extension(_key_usage(), critical=True)
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(san) for san in sans]), critical=False)
        )
        return self._issue(builder, key)

    def _prepare(
        self, name: x509.Name, validity: Validity | None
    ) -> tuple[x509.CertificateBuilder, ec.EllipticCurvePrivateKey]:
        ours, wanted = self.validity, validity or self.validity
        if wanted.not_before < ours.not_before or wanted.not_after > ours.not_after:
            raise ConfigurationError("a certificate must not be good before or after its authority's")
        key = ec.generate_private_key(ec.SECP256R1())
        issuer_key_id = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = (
            _builder(name, self._certificate.subject, key.public_key(), wanted)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id), critical=False
            )
        )
        return builder, key

    def _issue(self, builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> Issued:
        certificate = _signed(builder, self._key)
        return Issued(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))

    def __repr__(self) -> str:
        return f"CertificateAuthority({self._certificate.subject.rfc4514_string()!r})"


def _name(organization: str, common_name: str, ou: NodeOU | None = None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)]
    if ou is not None:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, ou.value))
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, validity: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.not_before)
        .not_valid_after(validity.not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Sign until the signature has its lower s: Fabric would rewrite a certificate that has the higher."""
    while True:
        certificate = builder.sign(key, hashes.SHA256())
        if low_s(certificate.signature) == certificate.signature:
            return certificate


def _key_usage(*, signs_certificates: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(san: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(san))
    except ValueError:
        return x509.DNSName(san)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
