"""What a good signature is: ECDSA over P-256 and SHA-256, strict DER, the lower of the two possible values of s.

Decides about a key, a digest and a signature's bytes. Whose key it is, and whether that one is trusted, is left to
`bfl_fabric.fabric.identity` and `membership`. Signature workers load this module and little else, so that they start
quickly.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)

from bfl_fabric.errors import NotTrusted

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_HALF_ORDER = P256_ORDER // 2
_ECDSA_OF_DIGEST = ec.ECDSA(Prehashed(hashes.SHA256()))


def low_s(signature: bytes) -> bytes:
    """Return the same signature with the lower of its two possible values of s."""
    r, s = decode_dss_signature(signature)
    return signature if s <= _HALF_ORDER else encode_dss_signature(r, P256_ORDER - s)


def read_signature(signature: bytes) -> tuple[int, int]:
    """Return r and s of a DER signature, both in range and s the lower one. Raises NotTrusted."""
    content, _ = _der_element(signature, 0x30)
    r_bytes, rest = _der_element(content, 0x02)
    s_bytes, _ = _der_element(rest, 0x02)
    r, s = _positive(r_bytes), _positive(s_bytes)
    if r >= P256_ORDER or s > _HALF_ORDER:
        raise NotTrusted("the signature has its higher s or is out of range")
    return r, s


def canonical_signature(signature: bytes) -> bytes:
    """Return a signature in its one DER encoding. Raises NotTrusted as `read_signature` does."""
    return signature if _is_canonical(signature) else encode_dss_signature(*read_signature(signature))


def signature_holds(key: ec.EllipticCurvePublicKey, digest: bytes, signature: bytes) -> bool:
    """Say whether a signature is a key's over what has this SHA-256, as liberally as Fabric takes it in a block."""
    try:
        return canonical_holds(key, digest, canonical_signature(signature))
    except NotTrusted:
        return False


def canonical_holds(key: ec.EllipticCurvePublicKey, digest: bytes, signature: bytes) -> bool:
    """Say whether a signature in its one DER encoding is a key's over what has this SHA-256."""
    try:
        key.verify(signature, digest, _ECDSA_OF_DIGEST)
    except InvalidSignature:
        return False
    return True


def _is_canonical(signature: bytes) -> bool:
    """Recognize the usual form without taking it apart: two short minimal positive numbers and nothing else."""
    size = len(signature)
    if not 8 <= size <= 72 or signature[0] != 0x30 or signature[1] != size - 2 or signature[2] != 0x02:
        return False
    middle = 4 + signature[3]
    if middle + 3 > size or signature[middle] != 0x02 or signature[middle + 1] != size - middle - 2:
        return False
    return _is_number(signature[4:middle], P256_ORDER - 1) and _is_number(
        signature[middle + 2 :], _HALF_ORDER
    )


def _is_number(content: bytes, largest: int) -> bool:
    if not content or content[0] >= 0x80 or (content[0] == 0 and (len(content) < 2 or content[1] < 0x80)):
        return False
    return 0 < int.from_bytes(content, "big") <= largest


def _der_element(raw: bytes, tag: int) -> tuple[bytes, bytes]:
    """Return the content of the first element and what stands behind it; signatures need short lengths only."""
    if len(raw) < 2 or raw[0] != tag:
        raise NotTrusted("the signature is not DER")
    size, start = raw[1], 2
    if size == 0x81 and len(raw) > 2 and raw[2] >= 0x80:
        size, start = raw[2], 3
    elif size >= 0x80:
        raise NotTrusted("the signature is not DER")
    if len(raw) < start + size:
        raise NotTrusted("the signature is cut off")
    return raw[start : start + size], raw[start + size :]


def _positive(content: bytes) -> int:
    padded = len(content) > 1 and content[0] == 0 and content[1] < 0x80
    number = int.from_bytes(content, "big", signed=True)
    if padded or number <= 0:
        raise NotTrusted("the signature's numbers are not positive or not minimal")
    return number
