"""Who we are and whom we trust on the wire: TLS certificates and the organizations' TLS authorities.

Decides which organization vouches for a certificate: the one whose authority's key signed it, never the one whose
name it carries. Leaves the handshake (chain, validity, proof of the private key) to gRPC, and what a caller may do
to the services.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from bfl_fabric.domain.ports import TransferCaller
from bfl_fabric.errors import ConfigurationError, NotTrusted

_REMEMBERED_CERTIFICATES = 1024


@dataclass(frozen=True, slots=True)
class _Vouched:
    """What a certificate proves, as long as it is valid."""

    caller: TransferCaller
    valid_from: datetime
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class _Trust:
    """One generation of authorities; replaced as a whole."""

    generation: int
    authorities: Mapping[str, tuple[x509.Certificate, ...]]

    def pem(self, msp_id: str | None) -> bytes:
        chosen = self.authorities.values() if msp_id is None else [self.authorities.get(msp_id, ())]
        return b"".join(certificate.public_bytes(Encoding.PEM) for group in chosen for certificate in group)


class TrustedAuthorities:
    """The TLS authorities of the federation's organizations; `replace` follows admissions and suspensions.

    Args:
        organizations: msp_id to PEM texts, each of one or more certificates, as in the channel's configuration.

    Raises ConfigurationError when a text holds no certificate of an authority, or when two organizations share
    an authority's key, so that nobody could tell them apart.
    """

    def __init__(self, organizations: Mapping[str, Sequence[bytes]]) -> None:
        self._guard = threading.Lock()
        self._trust = _Trust(0, _read_authorities(organizations))
        self._vouched: dict[bytes, _Vouched] = {}

    def replace(self, organizations: Mapping[str, Sequence[bytes]]) -> None:
        """Trust exactly these from now on: new handshakes use them, and running connections lose what they lost."""
        authorities = _read_authorities(organizations)
        with self._guard:
            if authorities != self._trust.authorities:
                self._trust = _Trust(self._trust.generation + 1, authorities)
                self._vouched = {}

    @property
    def generation(self) -> int:
        """A number that changes whenever the trust does."""
        return self._trust.generation

    def pem(self, msp_id: str | None = None) -> bytes:
        """Return the authorities' certificates, of one organization or of all. Raises NotTrusted for a stranger."""
        text = self._trust.pem(msp_id)
        if not text:
            raise NotTrusted(f"{msp_id} has no TLS authority in this federation")
        return text

    def identify(self, certificate_pem: bytes, at_ms: int) -> TransferCaller:
        """Return whom a peer's certificate proves it to be. Raises NotTrusted."""
        vouched = self._vouched.get(certificate_pem)
        if vouched is None:
            vouched = self._vouch(certificate_pem)
        moment = datetime.fromtimestamp(at_ms / 1000, UTC)
        if not vouched.valid_from <= moment <= vouched.valid_until:
            raise NotTrusted(
                f"the certificate of {vouched.caller.common_name} is not valid at {moment.isoformat()}"
            )
        return vouched.caller

    def _vouch(self, certificate_pem: bytes) -> _Vouched:
        trust = self._trust
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem)
        except ValueError as error:
            raise NotTrusted("the peer's certificate cannot be read") from error
        caller = TransferCaller(_issuer_of(certificate, trust), _common_name_of(certificate))
        vouched = _Vouched(caller, certificate.not_valid_before_utc, certificate.not_valid_after_utc)
        with self._guard:
            if trust is self._trust:
                if len(self._vouched) >= _REMEMBERED_CERTIFICATES:
                    self._vouched = {}
                self._vouched[certificate_pem] = vouched
        return vouched


class NodeCredentials:
    """The TLS identity of one node or participant, read from files, and the authorities that it trusts.

    Raises ConfigurationError when a file is missing or unreadable, or when the key is not the certificate's.
    """

    def __init__(self, certificate_path: Path, key_path: Path, authorities: TrustedAuthorities) -> None:
        self._certificate_path = certificate_path
        self._key_path = key_path
        self.authorities = authorities
        self._pair()

    def __repr__(self) -> str:
        return f"NodeCredentials({self._certificate_path.name})"

    def server_credentials(self) -> Any:
        """Return credentials that demand a client certificate and follow files and authorities as they change."""
        served = [self._state()]

        def fetch() -> Any:
            try:
                current = self._state()
            except ConfigurationError:
                return None  # a file is being replaced: go on with what was served
            if current == served[0]:
                return None
            served[0] = current
            return _configuration(current)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(served[0]), fetch, require_client_authentication=True
        )

    def channel_credentials(self, msp_id: str | None = None) -> Any:
        """Return credentials for calls to servers of one organization, or of any."""
        key, certificate = self._pair()
        return grpc.ssl_channel_credentials(self.authorities.pem(msp_id), key, certificate)

    def _state(self) -> tuple[bytes, bytes, bytes]:
        return (*self._pair(), self.authorities.pem())

    def _pair(self) -> tuple[bytes, bytes]:
        try:
            key, certificate = self._key_path.read_bytes(), self._certificate_path.read_bytes()
            proven = _public(load_pem_private_key(key, None).public_key())
            claimed = _public(x509.load_pem_x509_certificate(certificate).public_key())
        except (OSError, ValueError, TypeError) as error:
            raise ConfigurationError(
                f"the TLS certificate {self._certificate_path} or its key cannot be read: {type(error).__name__}"
            ) from error
        if proven != claimed:
            raise ConfigurationError(f"{self._key_path} is not the key of {self._certificate_path}")
        return key, certificate


def _configuration(state: tuple[bytes, bytes, bytes]) -> Any:
    key, certificate, roots = state
    return grpc.ssl_server_certificate_configuration([(key, certificate)], roots)


def _public(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _read_authorities(
    organizations: Mapping[str, Sequence[bytes]],
) -> dict[str, tuple[x509.Certificate, ...]]:
    owners: dict[bytes, str] = {}
    authorities: dict[str, tuple[x509.Certificate, ...]] = {}
    for msp_id, texts in organizations.items():
        authorities[msp_id] = tuple(found for text in texts for found in _read_texts(msp_id, text))
        for certificate in authorities[msp_id]:
            if owners.setdefault(_public(certificate.public_key()), msp_id) != msp_id:
                raise ConfigurationError(
                    f"{msp_id} and another organization share the key of a TLS authority"
                )
    if not owners:
        raise ConfigurationError("no organization has a TLS authority: nobody could ever connect")
    return authorities


def _read_texts(msp_id: str, text: bytes) -> list[x509.Certificate]:
    try:
        certificates = x509.load_pem_x509_certificates(text)
        authorities = [found for found in certificates if _is_authority(found)]
    except ValueError as error:
        raise ConfigurationError(f"a TLS authority of {msp_id} cannot be read") from error
    if len(authorities) != len(certificates):
        raise ConfigurationError(f"a TLS authority of {msp_id} is a certificate that may not sign others")
    return authorities


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _issuer_of(certificate: x509.Certificate, trust: _Trust) -> str:
    """Return the organization whose authority signed; a name alone proves nothing."""
    for msp_id, authorities in trust.authorities.items():
        for authority in authorities:
            try:
                certificate.verify_directly_issued_by(authority)
            except (ValueError, TypeError, InvalidSignature):
                continue
            return msp_id
    raise NotTrusted("no organization of this federation vouches for the peer's certificate")


def _common_name_of(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1 or not isinstance(names[0].value, str) or not names[0].value:
        raise NotTrusted("the peer's certificate must have exactly one common name")
    return names[0].value
