"""Certificate authorities and certificates that live for one test run."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bfl_fabric.transport.credentials import NodeCredentials, TrustedAuthorities

DAY = datetime.timedelta(days=1)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def name_of(common_name: str, organization: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


@dataclass
class Authority:
    """A TLS authority; its subject may be anything, to show that names do not count."""

    organization: str
    subject: str = "tlsca"
    key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)

    def __post_init__(self) -> None:
        self.certificate = self._build(
            name_of(self.subject, self.organization), self.key.public_key(), 0, 365, authority=True
        )

    def issue(
        self, common_name: str, *, begins: float = -1, ends: float = 30, authority: bool = False
    ) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        """Return a key and a certificate for it; `begins` and `ends` in days from now."""
        key = new_key()
        subject = name_of(common_name, self.organization)
        return key, self._build(subject, key.public_key(), begins, ends, authority=authority)

    def _build(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        begins: float,
        ends: float,
        *,
        authority: bool,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name_of(self.subject, self.organization))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins * DAY - datetime.timedelta(minutes=5))
            .not_valid_after(now + ends * DAY)
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )
        if not authority:
            addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
            usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = builder.add_extension(x509.SubjectAlternativeName(addresses), critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass
class Consortium:
    """Three organizations and the files of whoever asks for an identity."""

    directory: Path
    authorities: dict[str, Authority] = field(
        default_factory=lambda: {msp_id: Authority(msp_id) for msp_id in ("AlphaMSP", "BetaMSP", "GammaMSP")}
    )

    def trust(self) -> TrustedAuthorities:
        return TrustedAuthorities(
            {msp_id: [pem(authority.certificate)] for msp_id, authority in self.authorities.items()}
        )

    def files(
        self, issuer: Authority, common_name: str, *, begins: float = -1, ends: float = 30
    ) -> tuple[Path, Path]:
        """Return the paths of a certificate and its key."""
        key, certificate = issuer.issue(common_name, begins=begins, ends=ends)
        folder = self.directory / f"{certificate.serial_number:x}"
        folder.mkdir(mode=0o700)
        (folder / "certificate.pem").write_bytes(pem(certificate))
        (folder / "key.pem").write_bytes(key_pem(key))
        return folder / "certificate.pem", folder / "key.pem"

    def credentials(self, msp_id: str, common_name: str) -> NodeCredentials:
        return NodeCredentials(*self.files(self.authorities[msp_id], common_name), self.trust())
