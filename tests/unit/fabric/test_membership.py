"""Whom an organization's membership service vouches for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from fabric_protos.msp import msp_config_pb2

from bfl_fabric.errors import MalformedInput, NotTrusted
from bfl_fabric.fabric.authority import CertificateAuthority, Validity
from bfl_fabric.fabric.identity import Identity
from bfl_fabric.fabric.membership import Membership, msp_value
from bfl_fabric.fabric.policy import Role
from tests.unit.fabric.organizations import END, START, Organization, federation


@pytest.fixture(scope="module")
def alpha() -> Organization:
    return federation().organizations[0]


def config_of(*authorities: CertificateAuthority, admins: tuple[bytes, ...] = ()) -> Any:
    value = msp_value("AlphaMSP", [item.certificate_pem for item in authorities], [], admins)
    return msp_config_pb2.FabricMSPConfig.FromString(value.config)


def moment(text: datetime) -> int:
    return int(text.timestamp() * 1000)


def make_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class Issuer:
    """Issues certificates that no proper authority would issue."""

    def __init__(
        self, name: str = "ca", parent: Issuer | None = None, *, ca: bool = True, path: int | None = None
    ):
        self.key = make_key()
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = parent or self
        extensions = [(x509.BasicConstraints(ca, path if ca else None), True)]
        self.certificate = signer.sign(self.name, self.key.public_key(), extensions, ca=ca)

    def sign(self, name: x509.Name, key: Any, extensions: list[tuple[Any, bool]], *, ca: bool = False) -> Any:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(START)
            .not_valid_after(END)
            .add_extension(
                x509.KeyUsage(True, False, False, False, False, ca, ca, False, False), critical=True
            )
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())

    def leaf(self, *units: str, extensions: list[tuple[Any, bool]] | None = None) -> Any:
        names = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units]
        name = x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, "leaf")])
        return self.sign(name, make_key().public_key(), extensions or [])

    @property
    def pem(self) -> bytes:
        return pem(self.certificate)


def pem(certificate: Any) -> bytes:
    content: bytes = certificate.public_bytes(serialization.Encoding.PEM)
    return content


def membership(root: Issuer, *intermediates: Issuer, revoked: bytes = b"") -> Membership:
    config = msp_config_pb2.FabricMSPConfig.FromString(msp_value("AlphaMSP", [root.pem], [], []).config)
    for field in ("client", "peer", "admin", "orderer"):
        getattr(config.fabric_node_ous, f"{field}_ou_identifier").certificate = b""
    config.intermediate_certs.extend(item.pem for item in intermediates)
    if revoked:
        config.revocation_list.append(revoked)
    return Membership(config)


def admit(service: Membership, certificate: Any) -> frozenset[Role]:
    return service.admit(Identity.of("AlphaMSP", pem(certificate))).roles


@pytest.mark.parametrize("ou", ["client", "peer", "admin", "orderer"])
def test_the_role_is_the_ou(alpha: Organization, ou: str) -> None:
    member = Membership(config_of(alpha.authority)).admit(Identity.parse(alpha.identity("x", ou).creator))
    assert member.roles == {Role.MEMBER, Role[ou.upper()]}


def test_another_organizations_certificate_is_refused(alpha: Organization) -> None:
    stranger = federation().organizations[1].client
    with pytest.raises(NotTrusted, match="not issued by this organization"):
        Membership(config_of(alpha.authority)).admit(Identity.of("AlphaMSP", stranger.certificate_pem))


def test_an_authority_of_the_same_name_is_refused(alpha: Organization) -> None:
    twin = CertificateAuthority.create(alpha.name, f"ca.{alpha.name}", START, END)
    forged = twin.issue_identity("client", "client")
    with pytest.raises(NotTrusted, match="not issued"):
        Membership(config_of(alpha.authority)).admit(Identity.of("AlphaMSP", forged.certificate_pem))


@pytest.mark.parametrize("units", [(), ("owner",), ("client", "peer"), ("peer", "peer")])
def test_exactly_one_role_must_stand_in_the_ous(units: tuple[str, ...]) -> None:
    root = Issuer()
    with pytest.raises(NotTrusted, match="exactly one role"):
        admit(membership(root), root.leaf(*units))


def test_other_ous_do_no_harm() -> None:
    root = Issuer()
    assert admit(membership(root), root.leaf("research", "peer")) == {Role.MEMBER, Role.PEER}


def test_an_ou_bound_to_one_authority_is_refused_from_another(alpha: Organization) -> None:
    second = CertificateAuthority.create("second", "ca.second", START, END)
    config = config_of(alpha.authority, second)
    config.fabric_node_ous.client_ou_identifier.certificate = alpha.authority.certificate_pem
    service = Membership(config)
    issued = second.issue_identity("x", "client")
    with pytest.raises(NotTrusted, match="reserved for another authority"):
        service.admit(Identity.of("AlphaMSP", issued.certificate_pem))


def test_an_authoritys_certificate_is_nobodys_identity(alpha: Organization) -> None:
    with pytest.raises(NotTrusted, match="nobody's identity"):
        Membership(config_of(alpha.authority)).admit(Identity.of("AlphaMSP", alpha.authority.certificate_pem))


def test_a_listed_administrator_is_one_without_the_ou(alpha: Organization) -> None:
    service = Membership(config_of(alpha.authority, admins=(alpha.client.certificate_pem,)))
    assert service.admit(Identity.parse(alpha.client.creator)).roles == {Role.MEMBER, Role.CLIENT, Role.ADMIN}


def test_the_moments_of_a_member_are_those_of_its_whole_chain(alpha: Organization) -> None:
    validity = Validity(START + timedelta(days=5), START + timedelta(days=6))
    identity = alpha.identity("short", "client", None, validity)
    member = Membership(config_of(alpha.authority)).admit(Identity.parse(identity.creator))
    assert member.not_before_ms == moment(validity.not_before)
    assert member.not_after_ms == moment(validity.not_after)


def test_a_member_is_none_before_and_after_its_certificate(alpha: Organization) -> None:
    validity = Validity(START + timedelta(days=5), START + timedelta(days=6))
    identity = alpha.identity("short", "client", None, validity)
    config = federation().config()
    inside = moment(validity.not_before) + 1000
    assert config.member(identity.creator, inside).msp_id == "AlphaMSP"
    for outside in (moment(validity.not_before) - 1, moment(validity.not_after) + 1):
        with pytest.raises(NotTrusted, match="not valid at"):
            config.member(identity.creator, outside)


def test_intermediate_authorities_issue_and_roots_above_them_do_not() -> None:
    root = Issuer()
    middle = Issuer("middle", root)
    service = membership(root, middle)
    assert admit(service, middle.leaf("peer")) == {Role.MEMBER, Role.PEER}
    with pytest.raises(NotTrusted, match="authorities below it"):
        admit(service, root.leaf("peer"))


def test_the_path_length_of_an_authority_is_kept() -> None:
    root = Issuer(path=0)
    middle = Issuer("middle", root)
    with pytest.raises(NotTrusted, match="not issued"):
        admit(membership(root, middle), middle.leaf("peer"))


def test_what_is_no_authority_cannot_issue() -> None:
    root = Issuer()
    impostor = Issuer("impostor", root, ca=False)
    with pytest.raises(NotTrusted, match="not issued"):
        admit(membership(root, impostor), impostor.leaf("peer"))


def test_a_revoked_certificate_is_refused() -> None:
    root = Issuer()
    good, bad = root.leaf("peer"), root.leaf("peer")
    entry = x509.RevokedCertificateBuilder().serial_number(bad.serial_number).revocation_date(START).build()
    builder = (
        x509.CertificateRevocationListBuilder().issuer_name(root.name).last_update(START).next_update(END)
    )
    revocations = builder.add_revoked_certificate(entry)
    service = membership(
        root, revoked=revocations.sign(root.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    assert admit(service, good)
    with pytest.raises(NotTrusted, match="revoked"):
        admit(service, bad)
    forged = revocations.sign(make_key(), hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    assert admit(membership(root, revoked=forged), bad)


def test_an_unknown_critical_extension_is_refused() -> None:
    root = Issuer()
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert admit(membership(root), root.leaf("peer", extensions=[(strange, False)]))
    with pytest.raises(NotTrusted, match="unknown critical"):
        admit(membership(root), root.leaf("peer", extensions=[(strange, True)]))


def test_an_extended_key_usage_must_leave_room_for_identities() -> None:
    root = Issuer()
    for usage, good in ((ExtendedKeyUsageOID.SERVER_AUTH, True), (ExtendedKeyUsageOID.CODE_SIGNING, False)):
        leaf = root.leaf("peer", extensions=[(x509.ExtendedKeyUsage([usage]), False)])
        if good:
            assert admit(membership(root), leaf)
        else:
            with pytest.raises(NotTrusted, match="extended key usage"):
                admit(membership(root), leaf)


def test_a_membership_needs_a_root() -> None:
    config = config_of(CertificateAuthority.create("a", "ca", START, END))
    del config.root_certs[:]
    config.fabric_node_ous.Clear()
    with pytest.raises(MalformedInput):
        Membership(config)


def test_only_x509_services_are_known() -> None:
    with pytest.raises(MalformedInput, match=r"X\.509"):
        Membership.from_value(msp_config_pb2.MSPConfig(type=1, config=b"").SerializeToString())


def test_without_node_ous_everybody_is_a_plain_member(alpha: Organization) -> None:
    config = config_of(alpha.authority)
    config.fabric_node_ous.enable = False
    service = Membership(config)
    assert service.admit(Identity.parse(alpha.peer.creator)).roles == {Role.MEMBER}
