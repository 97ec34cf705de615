"""Identities and signatures: what is taken for one and what is refused."""

from __future__ import annotations

import base64
import copy
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from fabric_protos.msp import identities_pb2

from bfl_fabric.errors import ConfigurationError, MalformedInput, NotTrusted
from bfl_fabric.fabric.ecdsa import P256_ORDER, low_s
from bfl_fabric.fabric.identity import Identity, SigningIdentity
from tests.unit.fabric.organizations import Organization, federation


@pytest.fixture(scope="module")
def alpha() -> Organization:
    return federation().organizations[0]


def files_of(organization: Organization, folder: Path) -> tuple[Path, Path]:
    issued = organization.authority.issue_identity("filed", "client")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(issued.certificate_pem)
    key.write_bytes(issued.key_pem)
    key.chmod(0o600)
    return certificate, key


def test_a_signature_verifies_and_has_the_lower_s(alpha: Organization) -> None:
    identity = Identity.parse(alpha.client.creator)
    for number in range(20):
        signature = alpha.client.sign(bytes([number]))
        assert decode_dss_signature(signature)[1] <= P256_ORDER // 2
        identity.verify(bytes([number]), signature)


def test_verify_refuses_the_higher_s(alpha: Organization) -> None:
    r, s = decode_dss_signature(alpha.client.sign(b"data"))
    high = encode_dss_signature(r, P256_ORDER - s)
    with pytest.raises(NotTrusted, match="higher s"):
        Identity.parse(alpha.client.creator).verify(b"data", high)
    assert low_s(high) == encode_dss_signature(r, s)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda signature: signature + b"\0", id="trailing byte"),
        pytest.param(lambda signature: signature[:-1], id="cut"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: encode_dss_signature(0, 1), id="r is zero"),
        pytest.param(lambda _: encode_dss_signature(1, 0), id="s is zero"),
        pytest.param(lambda _: encode_dss_signature(P256_ORDER, 1), id="r out of range"),
    ],
)
def test_verify_refuses_anything_but_the_one_encoding(alpha: Organization, change) -> None:  # type: ignore[no-untyped-def]
    signature = change(alpha.client.sign(b"data"))
    with pytest.raises(NotTrusted):
        Identity.parse(alpha.client.creator).verify(b"data", signature)


def test_verify_refuses_other_data_and_other_signers(alpha: Organization) -> None:
    signature = alpha.client.sign(b"data")
    with pytest.raises(NotTrusted):
        Identity.parse(alpha.client.creator).verify(b"date", signature)
    with pytest.raises(NotTrusted):
        Identity.parse(alpha.peer.creator).verify(b"data", signature)


def test_an_identity_shows_what_its_certificate_says(alpha: Organization) -> None:
    identity = Identity.parse(alpha.client.creator)
    assert identity.msp_id == "AlphaMSP"
    assert identity.common_name == "client"
    assert identity.organizational_units == ("client",)
    assert identity.attributes == {"bfl.role": "participant"}
    assert Identity.parse(alpha.peer.creator).attributes == {}


def test_a_signing_identity_loads_from_files(alpha: Organization, tmp_path: Path) -> None:
    certificate, key = files_of(alpha, tmp_path)
    loaded = SigningIdentity.load("AlphaMSP", certificate, key)
    Identity.parse(loaded.creator).verify(b"data", loaded.sign(b"data"))


def test_loading_refuses_a_key_that_others_can_read(alpha: Organization, tmp_path: Path) -> None:
    certificate, key = files_of(alpha, tmp_path)
    key.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        SigningIdentity.load("AlphaMSP", certificate, key)


def test_loading_names_the_file_that_is_missing(alpha: Organization, tmp_path: Path) -> None:
    certificate, key = files_of(alpha, tmp_path)
    with pytest.raises(ConfigurationError, match=r"nothing\.pem"):
        SigningIdentity.load("AlphaMSP", tmp_path / "nothing.pem", key)
    with pytest.raises(ConfigurationError, match=r"nothing\.pem"):
        SigningIdentity.load("AlphaMSP", certificate, tmp_path / "nothing.pem")


def test_a_signing_identity_refuses_another_certificates_key(alpha: Organization) -> None:
    one, two = (alpha.authority.issue_identity(name, "client") for name in ("one", "two"))
    with pytest.raises(ConfigurationError, match="does not belong"):
        SigningIdentity.from_pem("AlphaMSP", one.certificate_pem, two.key_pem)


def test_a_signing_identity_refuses_keys_that_are_not_p256(alpha: Organization) -> None:
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    issued = alpha.authority.issue_identity("one", "client")
    with pytest.raises(ConfigurationError, match="P-256"):
        SigningIdentity.from_pem("AlphaMSP", issued.certificate_pem, key)
    with pytest.raises(ConfigurationError, match="unencrypted PEM"):
        SigningIdentity.from_pem("AlphaMSP", issued.certificate_pem, b"nothing")


def test_a_key_is_never_printed_and_never_pickled(alpha: Organization) -> None:
    issued = alpha.authority.issue_identity("one", "client")
    identity = SigningIdentity.from_pem("AlphaMSP", issued.certificate_pem, issued.key_pem)
    for text in (repr(issued), repr(identity), str(identity)):
        assert "PRIVATE" not in text
        assert "BEGIN" not in text
    with pytest.raises(TypeError, match="not pickled"):
        copy.copy(identity)


ODD_CREATORS = [
    pytest.param(lambda creator: creator + b"\x1a\x00", id="unknown field"),
    pytest.param(lambda creator: reworded(creator, b"text\n", b""), id="text before the certificate"),
    pytest.param(lambda creator: reworded(creator, b"", b"text"), id="text behind the certificate"),
]
NO_CREATORS = [
    pytest.param(lambda creator: creator[:-40], id="cut certificate"),
    pytest.param(lambda creator: b"\xff\xff", id="no message"),
    pytest.param(lambda creator: b"", id="empty"),
]


def reworded(creator: bytes, before: bytes, behind: bytes) -> bytes:
    message = identities_pb2.SerializedIdentity.FromString(creator)
    message.id_bytes = before + message.id_bytes + behind
    content: bytes = message.SerializeToString()
    return content


@pytest.mark.parametrize("change", NO_CREATORS)
def test_parse_refuses_what_is_no_identity(alpha: Organization, change) -> None:  # type: ignore[no-untyped-def]
    for parse in (Identity.parse, Identity.parse_strict):
        with pytest.raises(MalformedInput):
            parse(change(alpha.client.creator))


@pytest.mark.parametrize("change", ODD_CREATORS)
def test_what_fabric_takes_in_a_block_is_taken_and_refused_at_our_border(alpha: Organization, change) -> None:  # type: ignore[no-untyped-def]
    odd = change(alpha.client.creator)
    assert Identity.parse(odd).common_name == "client"
    with pytest.raises(MalformedInput):
        Identity.parse_strict(odd)


def test_bytes_behind_a_signature_are_let_through_inside_blocks_only(alpha: Organization) -> None:
    identity = Identity.parse(alpha.client.creator)
    signature = alpha.client.sign(b"data")
    identity.verify_liberally(b"data", signature + b"more")
    with pytest.raises(NotTrusted):
        identity.verify(b"data", signature + b"more")
    r, s = decode_dss_signature(signature)
    with pytest.raises(NotTrusted, match="higher s"):
        identity.verify_liberally(b"data", encode_dss_signature(r, P256_ORDER - s))


def test_parse_refuses_two_certificates(alpha: Organization) -> None:
    with pytest.raises(MalformedInput, match="one PEM certificate"):
        Identity.of("AlphaMSP", alpha.client.certificate_pem + alpha.peer.certificate_pem)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_every_flipped_byte_of_a_certificate_is_either_refused_or_readable_without_surprise(
    alpha: Organization,
) -> None:
    """The certificate library reads lazily; nothing but MalformedInput may come out of a broken certificate."""
    der = Identity.parse(alpha.client.creator).certificate.public_bytes(serialization.Encoding.DER)
    for position in range(len(der)):
        for mask in (0x01, 0x80, 0xFF):
            broken = bytearray(der)
            broken[position] ^= mask
            try:
                identity = Identity.of("AlphaMSP", pem_of(bytes(broken)))
                assert identity.attributes is not None
            except MalformedInput:
                continue


def pem_of(der: bytes) -> bytes:
    text = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"
