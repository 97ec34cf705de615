"""The signature worker: a process that checks ECDSA signatures and knows nothing else.

Runs as `main` in an interpreter of its own, which `signature_workers` starts. It takes batches from standard input
and answers each on standard output, in their order, until its input ends. It holds no secret and decides nothing but
whether a public key made a signature.

A batch is its length, then keys and signatures. All numbers are unsigned and little-endian:
u32 length of what follows | u32 new keys, each a point of P-256 in 65 bytes | u32 signatures, each u32 key (counted
over all batches), 32 bytes of digest, u16 length and the signature. The answer is one byte per signature, 1 for good.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric import ec

from bfl_fabric.fabric.ecdsa import signature_holds

READY = b"ready\n"
NO_KEY = 0xFFFFFFFF
"""Stands for a signer without a usable key: never a good signature."""

LONGEST_SIGNATURE = 0xFFFF
POINT_BYTES = 65
"""A public key as X9.62 writes it, uncompressed."""

_U32 = struct.Struct("<I")
_CLAIM = struct.Struct("<I32sH")


def pack_batch(keys: Sequence[bytes], claims: Sequence[tuple[int, bytes, bytes]]) -> bytes:
    """Return a batch: keys that are new to the worker, and (key, digest, signature) claims."""
    parts = [_U32.pack(len(keys)), *keys, _U32.pack(len(claims))]
    for number, digest, signature in claims:
        parts += (_CLAIM.pack(number, digest, len(signature)), signature)
    content = b"".join(parts)
    return _U32.pack(len(content)) + content


def main() -> None:
    """Answer batches until there are no more."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sink.write(READY)
    sink.flush()
    keys: list[ec.EllipticCurvePublicKey] = []
    while batch := _read_batch(source):
        sink.write(_answer(batch, keys))
        sink.flush()


def _read_batch(source: BinaryIO) -> bytes:
    head = source.read(_U32.size)
    return source.read(_U32.unpack(head)[0]) if len(head) == _U32.size else b""


def _answer(batch: bytes, keys: list[ec.EllipticCurvePublicKey]) -> bytes:
    (count,) = _U32.unpack_from(batch)
    place = _U32.size
    for _ in range(count):
        place += POINT_BYTES
        point = batch[place - POINT_BYTES : place]
        keys.append(ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point))
    return bytes(
        number < len(keys) and signature_holds(keys[number], digest, signature)
        for number, digest, signature in _claims(batch, place)
    )


def _claims(batch: bytes, place: int) -> Iterator[tuple[int, bytes, bytes]]:
    (count,) = _U32.unpack_from(batch, place)
    place += _U32.size
    for _ in range(count):
        number, digest, length = _CLAIM.unpack_from(batch, place)
        place += _CLAIM.size + length
        yield number, digest, batch[place - length : place]
