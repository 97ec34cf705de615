"""Who is calling: the certificate of the proposal, read into a `Caller`.

Decides what counts as an organizational unit and as attributes. That the certificate is genuine, current and of
this MSP the peer has checked before the contract runs; what the caller may do is left to the rules.
"""

from __future__ import annotations

import functools
import hashlib

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import Attribute, Caller
from bfl_chaincode.api.refusals import UnreadableCertificate
from bfl_chaincode.shim.stub import ChaincodeStub

NODE_OUS = ("client", "admin", "peer", "orderer")
ATTRIBUTES_OID = x509.ObjectIdentifier("1.2.3.4.5.6.7.8.1")


def caller_of(stub: ChaincodeStub) -> Caller:
    """Return who signed this transaction. Raises UnreadableCertificate."""
    creator = stub.get_creator()
    return _read(creator["mspid"], bytes(creator["idBytes"]))


@functools.lru_cache(maxsize=1024)
def _read(msp_id: str, pem: bytes) -> Caller:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        subject = certificate.subject
        names = [str(item.value) for item in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        units = [str(item.value) for item in subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)]
        attributes = _attributes(certificate)
    except (ValueError, x509.DuplicateExtension) as error:
        raise UnreadableCertificate(f"the certificate from {msp_id} cannot be read") from error
    node_ous = [unit for unit in units if unit in NODE_OUS]
    if len(names) != 1 or len(node_ous) != 1:
        raise UnreadableCertificate(
            f"the certificate from {msp_id} has {len(names)} common names and {len(node_ous)} NodeOUs"
        )
    digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    return Caller(msp_id, names[0], node_ous[0], attributes, digest)


def _attributes(certificate: x509.Certificate) -> tuple[Attribute, ...]:
    """Read Fabric's attribute extension, whose raw value is `{"attrs":{name:value}}`. Raises ValueError."""
    try:
        extension = certificate.extensions.get_extension_for_oid(ATTRIBUTES_OID)
    except x509.ExtensionNotFound:
        return ()
    assert isinstance(extension.value, x509.UnrecognizedExtension)
    value = canonical.parse(extension.value.value)
    attributes = value.get("attrs") if isinstance(value, dict) else None
    if not isinstance(attributes, dict):
        raise ValueError("the attribute extension holds no attrs")
    pairs = sorted(attributes.items())
    if not all(isinstance(content, str) for _, content in pairs):
        raise ValueError("an attribute is not text")
    return tuple(Attribute(name, str(content)) for name, content in pairs)
