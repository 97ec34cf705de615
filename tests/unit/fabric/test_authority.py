"""The certificates that an organization's authority makes."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric.authority import CertificateAuthority, NodeOU, Validity
from bfl_fabric.fabric.ecdsa import low_s
from bfl_fabric.fabric.identity import ATTRIBUTES_OID
from bfl_fabric.fabric.keyfiles import write_secret
from tests.unit.fabric.organizations import END, START


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority.create("St. Anna", "ca.st-anna", START, END)


def read(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def test_an_authority_signs_certificates_and_nothing_below_it_does(authority: CertificateAuthority) -> None:
    certificate = read(authority.certificate_pem)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert usage.value.crl_sign
    certificate.verify_directly_issued_by(certificate)


@pytest.mark.parametrize("ou", list(NodeOU))
def test_an_identity_carries_its_role_and_names(authority: CertificateAuthority, ou: NodeOU) -> None:
    certificate = read(authority.issue_identity("silo-7", ou).certificate_pem)
    assert certificate.subject.rfc4514_string() == f"CN=silo-7,OU={ou},O=St. Anna"
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    certificate.verify_directly_issued_by(read(authority.certificate_pem))


def test_the_key_identifiers_of_issuer_and_issued_match(authority: CertificateAuthority) -> None:
    certificate = read(authority.issue_identity("silo", "client").certificate_pem)
    issuer = read(authority.certificate_pem)
    subject_key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority_key = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert authority_key.key_identifier == subject_key.digest


def test_attributes_stand_as_raw_json_in_fabrics_extension(authority: CertificateAuthority) -> None:
    issued = authority.issue_identity("silo", "client", {"bfl.role": "aggregator", "a": "b"})
    extension = read(issued.certificate_pem).extensions.get_extension_for_oid(ATTRIBUTES_OID)
    assert not extension.critical
    assert extension.value.value == b'{"attrs":{"a":"b","bfl.role":"aggregator"}}'


def test_a_tls_certificate_is_good_for_both_ends(authority: CertificateAuthority) -> None:
    certificate = read(authority.issue_tls("silo", ("10.0.0.7", "silo.example")).certificate_pem)
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usages) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.0.0.7")]
    assert names.get_values_for_type(x509.DNSName) == ["silo.example"]
    assert certificate.subject.rfc4514_string() == "CN=silo,O=St. Anna"


def test_every_certificate_is_signed_with_the_lower_s(authority: CertificateAuthority) -> None:
    for number in range(8):
        signature = read(authority.issue_tls(f"silo-{number}").certificate_pem).signature
        assert low_s(signature) == signature


def test_a_certificate_is_good_when_it_is_said_to_be(authority: CertificateAuthority) -> None:
    validity = Validity(START + timedelta(days=10), START + timedelta(days=20))
    certificate = read(authority.issue_identity("silo", "client", None, validity).certificate_pem)
    assert certificate.not_valid_before_utc == validity.not_before
    assert certificate.not_valid_after_utc == validity.not_after


@pytest.mark.parametrize("days", [(-1, 10), (10, 3651)])
def test_no_certificate_outlives_its_authority(
    authority: CertificateAuthority, days: tuple[int, int]
) -> None:
    validity = Validity(START + timedelta(days=days[0]), START + timedelta(days=days[1]))
    with pytest.raises(ConfigurationError, match="authority"):
        authority.issue_tls("silo", validity=validity)


def test_an_unknown_role_is_refused(authority: CertificateAuthority) -> None:
    with pytest.raises(ValueError, match="owner"):
        authority.issue_identity("silo", "owner")


def test_an_authority_survives_the_disk_and_its_key_is_its_own(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    authority.save(tmp_path / "ca")
    assert (tmp_path / "ca" / "key.pem").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "ca").stat().st_mode & 0o777 == 0o700
    loaded = CertificateAuthority.load(tmp_path / "ca")
    assert loaded.certificate_pem == authority.certificate_pem
    issued = read(loaded.issue_identity("silo", "client").certificate_pem)
    issued.verify_directly_issued_by(read(authority.certificate_pem))


def test_saving_never_overwrites_a_key(authority: CertificateAuthority, tmp_path: Path) -> None:
    authority.save(tmp_path / "ca")
    with pytest.raises(ConfigurationError, match="never overwritten"):
        authority.save(tmp_path / "ca")


def test_loading_refuses_what_is_no_authority(authority: CertificateAuthority, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no certificate authority"):
        CertificateAuthority.load(tmp_path)
    other = CertificateAuthority.create("Other", "ca.other", START, END)
    authority.save(tmp_path / "ca")
    (tmp_path / "ca" / "certificate.pem").write_bytes(other.certificate_pem)
    with pytest.raises(ConfigurationError, match="does not belong"):
        CertificateAuthority.load(tmp_path / "ca")


def test_a_secret_is_written_once_for_its_owner(tmp_path: Path) -> None:
    write_secret(tmp_path / "key", b"secret")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigurationError):
        write_secret(tmp_path / "key", b"other")
    assert (tmp_path / "key").read_bytes() == b"secret"
