"""What the worker process and its parent say to each other: a JSON head and a payload, each with its length.

No pickle: a head is canonical JSON, a payload is bytes whose form the head's operation fixes.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, TypeAlias

from bfl_chaincode.api import canonical
from bfl_chaincode.api.canonical import Json

Head: TypeAlias = dict[str, Json]

MAXIMUM_HEAD_BYTES = 1 << 16
MAXIMUM_PAYLOAD_BYTES = 1 << 36
_LENGTHS = struct.Struct("<IQ")


class BrokenFrame(Exception):
    """The other side ended, or what it sent is not a frame."""


def send(stream: BinaryIO, head: Head, payload: bytes = b"") -> None:
    """Write one frame."""
    encoded = canonical.dump(head)
    stream.write(_LENGTHS.pack(len(encoded), len(payload)))
    stream.write(encoded)
    stream.write(payload)
    stream.flush()


def receive(stream: BinaryIO, maximum_payload_bytes: int = MAXIMUM_PAYLOAD_BYTES) -> tuple[Head, bytes]:
    """Read one frame. Raises BrokenFrame."""
    head_bytes, payload_bytes = _LENGTHS.unpack(_read(stream, _LENGTHS.size))
    if head_bytes > MAXIMUM_HEAD_BYTES or payload_bytes > maximum_payload_bytes:
        raise BrokenFrame(f"a frame of {head_bytes} + {payload_bytes} bytes")
    try:
        head = canonical.parse(_read(stream, head_bytes))
    except canonical.NotCanonical as error:
        raise BrokenFrame("a head that is not JSON") from error
    if not isinstance(head, dict):
        raise BrokenFrame("a head that is not an object")
    return head, _read(stream, payload_bytes)


def _read(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise BrokenFrame("the other side ended")
    return data
