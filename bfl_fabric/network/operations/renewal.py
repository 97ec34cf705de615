"""A certificate once more, for the same key: what a channel that pins the key takes without being told.

The only orderer of a Raft channel needs it: it cannot agree with anybody on another key of its own. Everything but
serial number and dates is as before.
"""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric.ecdsa import low_s


def renewed(certificate_pem: bytes, issuer_pem: bytes, issuer_key_pem: bytes, now: datetime) -> bytes:
    """Return the certificate issued again by its own issuer, good from now to the issuer's end.

    Raises ConfigurationError when the issuer is another one, or over.
    """
    old = x509.load_pem_x509_certificate(certificate_pem)
    issuer = x509.load_pem_x509_certificate(issuer_pem)
    key = serialization.load_pem_private_key(issuer_key_pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or old.issuer != issuer.subject:
        raise ConfigurationError("a certificate is renewed by the authority that issued it")
    if now >= issuer.not_valid_after_utc:
        raise ConfigurationError("the authority itself is over: nothing can be renewed by it")
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(issuer.subject)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now, issuer.not_valid_before_utc))
        .not_valid_after(issuer.not_valid_after_utc)
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    while True:
        made = builder.sign(key, hashes.SHA256())
        if low_s(made.signature) == made.signature:
            return made.public_bytes(serialization.Encoding.PEM)
