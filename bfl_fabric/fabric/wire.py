"""The one border to the generated protobuf messages: strict reading of bytes from outside.

Decides what counts as the canonical encoding of a message. Which messages must be canonical is left to the callers:
blocks and envelopes must, because their bytes are hashed and signed; what is inside signed bytes need not.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError, Message

from bfl_fabric.errors import MalformedInput


def read(kind: type[Any], raw: bytes, what: str) -> Any:
    """Read a message as Fabric does: unknown fields are let through. Raises MalformedInput naming `what`."""
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise MalformedInput(f"{what}: not a {kind.DESCRIPTOR.full_name} message") from error


def read_strict(kind: type[Any], raw: bytes, what: str) -> Any:
    """Read a message that must be in its one canonical encoding, without unknown fields. Raises MalformedInput."""
    message = read(kind, raw, what)
    message.DiscardUnknownFields()
    if write(message) != raw:
        raise MalformedInput(f"{what}: not the canonical encoding of a {kind.DESCRIPTOR.full_name} message")
    return message


def write(message: Message) -> bytes:
    """Return the deterministic encoding: fields by number, map entries sorted by key."""
    return message.SerializeToString(deterministic=True)


def varint(number: int) -> bytes:
    """Return protobuf's variable-length encoding of a number."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
