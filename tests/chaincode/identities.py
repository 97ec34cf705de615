"""Certificates for the contract's tests: real X.509, made with `cryptography`, one authority for an organization."""

from __future__ import annotations

import datetime
import functools
import json

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bfl_chaincode.shim.stub import Creator

ATTRIBUTES = x509.ObjectIdentifier("1.2.3.4.5.6.7.8.1")
BEGIN = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
END = datetime.datetime(2044, 1, 1, tzinfo=datetime.UTC)


def subject(organization: str, common_names: list[str], units: list[str]) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)]
    parts += [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units]
    parts += [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common_names]
    return x509.Name(parts)


@functools.cache
def _authority_key(organization: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def _member_key() -> ec.EllipticCurvePrivateKey:
    """One key for all members: the contract never sees a signature."""
    return ec.generate_private_key(ec.SECP256R1())


def certificate(organization: str, name: x509.Name, extension: bytes | None) -> bytes:
    """Return the PEM of a certificate whose attribute extension has these raw bytes."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(subject(organization, [f"ca.{organization}"], []))
        .public_key(_member_key().public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(END)
    )
    if extension is not None:
        builder = builder.add_extension(x509.UnrecognizedExtension(ATTRIBUTES, extension), critical=False)
    return builder.sign(_authority_key(organization), hashes.SHA256()).public_bytes(Encoding.PEM)


@functools.cache
def _pem(msp_id: str, common_name: str, ou: str, role: str) -> bytes:
    extension = json.dumps({"attrs": {"bfl.role": role}}).encode() if role else None
    return certificate(msp_id, subject(msp_id, [common_name], [ou]), extension)


def creator(msp_id: str, common_name: str, ou: str = "client", role: str = "") -> Creator:
    """Return what a stub's get_creator returns for a member with this certificate."""
    return {"mspid": msp_id, "idBytes": _pem(msp_id, common_name, ou, role)}
