"""One organization's membership service: which certificates are its own, in which role, from when to when.

Decides trust in a certificate from a `FabricMSPConfig`, by the rules of Fabric's MSP with node OUs: a chain of CA
certificates to a root, no revocation, exactly one of the OUs client, peer, admin, orderer. Unlike Fabric's, it also
knows the moments between which the whole chain is good.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from fabric_protos.msp import msp_config_pb2

from bfl_fabric.errors import MalformedInput, NotTrusted
from bfl_fabric.fabric.identity import Identity, read_certificate
from bfl_fabric.fabric.policy import Member, Role
from bfl_fabric.fabric.wire import read, write

_MAX_CHAIN = 8
_KNOWN_CRITICAL = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
}
_OU_FIELDS = {
    Role.CLIENT: "client_ou_identifier",
    Role.PEER: "peer_ou_identifier",
    Role.ADMIN: "admin_ou_identifier",
    Role.ORDERER: "orderer_ou_identifier",
}


@dataclass(frozen=True, slots=True)
class _NodeOU:
    """The OU of a role; with a `chain`, only certificates issued by that very chain may carry it."""

    role: Role
    chain: tuple[x509.Certificate, ...]


class Membership:
    """The membership service of one organization."""

    def __init__(self, config: Any) -> None:
        """Read a `FabricMSPConfig` message. Raises MalformedInput."""
        self.definition = write(config)
        self.msp_id: str = config.name
        self.root_certificates: tuple[bytes, ...] = tuple(config.root_certs)
        self.tls_root_certificates: tuple[bytes, ...] = tuple(config.tls_root_certs)
        self.admins: tuple[bytes, ...] = tuple(config.admins)
        self._roots = [read_certificate(pem) for pem in config.root_certs]
        self._intermediates = [read_certificate(pem) for pem in config.intermediate_certs]
        self._admins = [read_certificate(pem) for pem in config.admins]
        self._revoked = [_read_revocations(raw) for raw in config.revocation_list]
        if not self._roots or config.organizational_unit_identifiers:
            raise MalformedInput(
                f"{self.msp_id}: no root certificate, or OU restrictions, which are not supported"
            )
        self._inner = [issuer for item in self._intermediates for issuer in self._chain(item)]
        self._node_ous = self._read_node_ous(config.fabric_node_ous)

    @classmethod
    def from_value(cls, raw: bytes) -> Membership:
        """Read the `MSP` value of an organization's group in the channel configuration. Raises MalformedInput."""
        outer = read(msp_config_pb2.MSPConfig, raw, "MSP value")
        if outer.type != 0:
            raise MalformedInput("MSP value: only X.509 membership services are supported")
        return cls(read(msp_config_pb2.FabricMSPConfig, outer.config, "MSP configuration"))

    def admit(self, identity: Identity) -> Member:
        """Return the member behind an identity of this organization. Raises NotTrusted.

        Whether now is between the member's two moments is left to the caller.
        """
        certificate = identity.certificate
        if _is_authority(certificate):
            raise NotTrusted(f"{self.msp_id}: an authority's certificate is nobody's identity")
        chain = self._chain(certificate)
        if chain[0] in self._inner:
            raise NotTrusted(
                f"{self.msp_id}: an authority that has authorities below it issues no identities"
            )
        for link, issuer in zip([certificate, *chain], chain, strict=False):
            self._require_not_revoked(link, issuer)
        everything = [certificate, *chain]
        return Member(
            identity=identity,
            roles=frozenset({Role.MEMBER, *self._roles(identity, chain)}),
            not_before_ms=max(_milliseconds(item.not_valid_before_utc) for item in everything),
            not_after_ms=min(_milliseconds(item.not_valid_after_utc) for item in everything),
        )

    def _chain(self, certificate: x509.Certificate) -> list[x509.Certificate]:
        """Return the issuers of a certificate up to a root, nearest first."""
        chain: list[x509.Certificate] = []
        current = certificate
        _require_usable(certificate)
        while len(chain) < _MAX_CHAIN:
            root = _issuer_of(current, self._roots, len(chain))
            if root is not None:
                return [*chain, root]
            issuer = _issuer_of(current, self._intermediates, len(chain))
            if issuer is None:
                break
            chain.append(issuer)
            current = issuer
        raise NotTrusted(f"{self.msp_id}: the certificate is not issued by this organization")

    def _roles(self, identity: Identity, chain: list[x509.Certificate]) -> set[Role]:
        roles = {Role.ADMIN} if identity.certificate in self._admins else set()
        if self._node_ous is None:
            return roles
        found = [self._node_ous[unit] for unit in identity.organizational_units if unit in self._node_ous]
        if len(found) != 1:
            units = ", ".join(identity.organizational_units)
            raise NotTrusted(f"{self.msp_id}: exactly one role must be among the certificate's OUs [{units}]")
        if found[0].chain and found[0].chain != tuple(chain):
            raise NotTrusted(f"{self.msp_id}: the certificate's OU is reserved for another authority")
        return roles | {found[0].role}

    def _read_node_ous(self, message: Any) -> dict[str, _NodeOU] | None:
        if not message.enable:
            return None
        units = {}
        for role, field in _OU_FIELDS.items():
            if message.HasField(field):
                identifier = getattr(message, field)
                units[identifier.organizational_unit_identifier] = _NodeOU(
                    role, self._certifiers(identifier.certificate)
                )
        return units or None

    def _certifiers(self, certificate_pem: bytes) -> tuple[x509.Certificate, ...]:
        if not certificate_pem:
            return ()
        certificate = read_certificate(certificate_pem)
        return (certificate,) if certificate in self._roots else (certificate, *self._chain(certificate))

    def _require_not_revoked(self, certificate: x509.Certificate, issuer: x509.Certificate) -> None:
        for revocations in self._revoked:
            entry = revocations.get_revoked_certificate_by_serial_number(certificate.serial_number)
            if entry and revocations.issuer == issuer.subject and _signed_by(revocations, issuer):
                raise NotTrusted(f"{self.msp_id}: the certificate has been revoked")


def msp_value(name: str, roots: Iterable[bytes], tls_roots: Iterable[bytes], admins: Iterable[bytes]) -> Any:
    """Return the `msp.MSPConfig` of an organization with node OUs.

    They are bound to its root; while it has several (an authority that is being replaced), any of them may issue.
    """
    root_certificates = list(roots)
    units = msp_config_pb2.FabricNodeOUs(enable=True)
    for role, field in _OU_FIELDS.items():
        identifier = getattr(units, field)
        if len(root_certificates) == 1:
            identifier.certificate = root_certificates[0]
        identifier.organizational_unit_identifier = role.name.lower()
    config = msp_config_pb2.FabricMSPConfig(
        name=name,
        root_certs=root_certificates,
        tls_root_certs=list(tls_roots),
        admins=list(admins),
        crypto_config=msp_config_pb2.FabricCryptoConfig(
            signature_hash_family="SHA2", identity_identifier_hash_function="SHA256"
        ),
        fabric_node_ous=units,
    )
    return msp_config_pb2.MSPConfig(type=0, config=write(config))


# --- certificates -------------------------------------------------------------------------------


def _issuer_of(
    certificate: x509.Certificate, candidates: list[x509.Certificate], below: int
) -> x509.Certificate | None:
    """Find the authority that issued a certificate with `below` authorities between it and the leaf."""
    for candidate in candidates:
        if candidate.subject != certificate.issuer or not _may_issue(candidate, below):
            continue
        if _signed_by(certificate, candidate):
            return candidate
    return None


def _may_issue(candidate: x509.Certificate, below: int) -> bool:
    if not _is_authority(candidate):
        return False
    usage = _extension(candidate, x509.KeyUsage)
    limit = _extension(candidate, x509.BasicConstraints).path_length
    return (usage is None or usage.key_cert_sign) and (limit is None or below <= limit)


def _is_authority(certificate: x509.Certificate) -> bool:
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _require_usable(certificate: x509.Certificate) -> None:
    """Refuse what Go's verification refuses: unknown critical extensions and a foreign extended key usage."""
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in _KNOWN_CRITICAL:
            raise NotTrusted(
                f"the certificate has an unknown critical extension {extension.oid.dotted_string}"
            )
    usages = _extension(certificate, x509.ExtendedKeyUsage)
    allowed = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if usages is not None and not allowed.intersection(usages):
        raise NotTrusted("the certificate's extended key usage excludes identities")


def _extension(certificate: x509.Certificate, kind: type[Any]) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _signed_by(item: x509.Certificate | x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or item.signature_hash_algorithm is None:
        return False
    content = item.tbs_certificate_bytes if isinstance(item, x509.Certificate) else item.tbs_certlist_bytes
    try:
        key.verify(item.signature, content, ec.ECDSA(item.signature_hash_algorithm))
    except InvalidSignature:
        return False
    return True


def _read_revocations(raw: bytes) -> x509.CertificateRevocationList:
    try:
        pem = raw.startswith(b"-----BEGIN")
        return x509.load_pem_x509_crl(raw) if pem else x509.load_der_x509_crl(raw)
    except ValueError as error:
        raise MalformedInput("the revocation list is not a CRL") from error


def _milliseconds(moment: Any) -> int:
    return int(moment.timestamp()) * 1000
