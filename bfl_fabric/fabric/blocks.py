"""Blocks in Fabric's own format: hashes, metadata slots, strict reading, and building.

Decides which bytes are a block and what each metadata slot holds. Whether a block belongs where it stands, and
whether the right orderers signed it, is left to `bfl_fabric.fabric.verifier`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from fabric_protos.common import common_pb2

from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric.envelopes import (
    Action,
    ParsedTransaction,
    ValidationCode,
    parse_envelope,
)
from bfl_fabric.fabric.identity import Signer
from bfl_fabric.fabric.wire import read_strict, varint, write

__all__ = [
    "Action",
    "Block",
    "BlockSignature",
    "BlockSignatures",
    "ParsedTransaction",
    "Slot",
    "ValidationCode",
    "build_block",
    "build_header",
    "commit_hash",
    "commit_hash_slot",
    "data_hash",
    "genesis_digest",
    "header_bytes",
    "header_hash",
    "last_config_slot",
    "parse_block",
    "parse_envelope",
    "signed_block_metadata",
]

SLOT_COUNT = 5


class Slot(IntEnum):
    """The places of a block's metadata (`common.BlockMetadataIndex`).

    Slots 0 and 1 are the orderer's; 2 (one validation code per transaction) and 4 (the commit hash) are each
    peer's own and signed by nobody; 3 is no longer used.
    """

    SIGNATURES = 0
    LAST_CONFIG = 1
    TRANSACTIONS_FILTER = 2
    ORDERER = 3
    COMMIT_HASH = 4


@dataclass(frozen=True, slots=True)
class BlockSignature:
    """Raft names the signer in `signature_header`, BFT by number in `identifier_header`; one of them is empty."""

    signature_header: bytes
    signature: bytes
    identifier_header: bytes


@dataclass(frozen=True, slots=True)
class BlockSignatures:
    """Slot 0. `value` is what was signed, with the header: last configuration block and consenter metadata."""

    value: bytes
    last_config: int
    consenter_metadata: bytes
    signatures: tuple[BlockSignature, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A block in its canonical encoding. `entries` are serialized envelopes, `slots` the metadata."""

    number: int
    previous_hash: bytes
    data_hash: bytes
    entries: tuple[bytes, ...]
    slots: tuple[bytes, ...]

    @property
    def header_bytes(self) -> bytes:
        return _header_der(self.number, self.previous_hash, self.data_hash)

    @property
    def hash(self) -> bytes:
        """The header's hash, which the next block names."""
        return hashlib.sha256(self.header_bytes).digest()

    @property
    def flags(self) -> bytes:
        """One validation code per entry; empty in an orderer's copy."""
        return self.slots[Slot.TRANSACTIONS_FILTER]

    @property
    def commit_hash(self) -> bytes:
        """The peer's commit hash; empty in an orderer's copy. Raises MalformedInput."""
        slot = self.slots[Slot.COMMIT_HASH]
        value: bytes = read_strict(common_pb2.Metadata, slot, f"block {self.number}: commit hash").value
        return value

    @property
    def signatures(self) -> BlockSignatures:
        """Slot 0, strictly. Raises MalformedInput."""
        return _signatures(self.number, self.slots[Slot.SIGNATURES])


def parse_block(raw: bytes) -> Block:
    """Read a serialized `common.Block` in its canonical encoding, with all metadata slots. Raises MalformedInput."""
    message = read_strict(common_pb2.Block, raw, "block")
    if not message.HasField("header") or not message.HasField("data") or not message.HasField("metadata"):
        raise MalformedInput("block: header, data or metadata are missing")
    slots = tuple(message.metadata.metadata)
    if len(slots) != SLOT_COUNT:
        raise MalformedInput(f"block {message.header.number}: {len(slots)} metadata slots, not {SLOT_COUNT}")
    return Block(
        number=message.header.number,
        previous_hash=message.header.previous_hash,
        data_hash=message.header.data_hash,
        entries=tuple(message.data.data),
        slots=slots,
    )


# --- hashes -------------------------------------------------------------------------------------


def header_bytes(header: Any) -> bytes:
    """Return the DER of a `common.BlockHeader`, over which hashes and orderers' signatures go."""
    return _header_der(header.number, header.previous_hash, header.data_hash)


def header_hash(header: Any) -> bytes:
    """Return the SHA-256 of a `common.BlockHeader`'s DER: what the next block's previous_hash must be."""
    return hashlib.sha256(header_bytes(header)).digest()


def data_hash(entries: Sequence[bytes]) -> bytes:
    """Return the SHA-256 of a block's entries (`block.data.data`) one after the other."""
    return hashlib.sha256(b"".join(entries)).digest()


def genesis_digest(block: Any) -> str:
    """Return what pins a channel: the hash of its block 0 (a `common.Block` message), lower-case hex."""
    return header_hash(block.header).hex()


def commit_hash(flags: bytes, updates: bytes, previous: bytes) -> bytes:
    """Return a peer's commit hash: flags, update batch and the previous commit hash (empty before block 1)."""
    return hashlib.sha256(varint(len(flags)) + flags + updates + previous).digest()


# --- building -----------------------------------------------------------------------------------


def build_header(number: int, previous_hash: bytes, entries: Sequence[bytes]) -> Any:
    """Return a `common.BlockHeader` for these entries."""
    return common_pb2.BlockHeader(number=number, previous_hash=previous_hash, data_hash=data_hash(entries))


def build_block(header: Any, entries: Sequence[bytes], slots: Sequence[bytes] = ()) -> Any:
    """Return a `common.Block`; slots that are not given are empty."""
    filled = [*slots, *([b""] * (SLOT_COUNT - len(slots)))]
    return common_pb2.Block(
        header=header,
        data=common_pb2.BlockData(data=entries),
        metadata=common_pb2.BlockMetadata(metadata=filled),
    )


def signed_block_metadata(
    header: Any, last_config: int, signer: Signer, nonce: bytes, consenter_metadata: bytes = b""
) -> bytes:
    """Return slot 0 as a single orderer writes it (Raft's form): signed over value ‖ signature header ‖ header."""
    value = signature_value(last_config, write(common_pb2.Metadata(value=consenter_metadata)))
    signature_header = write(common_pb2.SignatureHeader(creator=signer.creator, nonce=nonce))
    signature = signer.sign(value + signature_header + header_bytes(header))
    signed = common_pb2.MetadataSignature(signature_header=signature_header, signature=signature)
    return write(common_pb2.Metadata(value=value, signatures=[signed]))


def signature_value(last_config: int, consenter_metadata: bytes) -> bytes:
    """Return the value that orderers sign in slot 0, a serialized `common.OrdererBlockMetadata`."""
    return write(
        common_pb2.OrdererBlockMetadata(
            last_config=common_pb2.LastConfig(index=last_config), consenter_metadata=consenter_metadata
        )
    )


def last_config_slot(index: int) -> bytes:
    """Return slot 1: the number of the block that holds the channel's configuration."""
    return write(common_pb2.Metadata(value=write(common_pb2.LastConfig(index=index))))


def commit_hash_slot(value: bytes) -> bytes:
    """Return slot 4."""
    return write(common_pb2.Metadata(value=value))


# --- details ------------------------------------------------------------------------------------


def _signatures(number: int, slot: bytes) -> BlockSignatures:
    what = f"block {number}: signatures"
    metadata = read_strict(common_pb2.Metadata, slot, what)
    value = read_strict(common_pb2.OrdererBlockMetadata, metadata.value, what)
    if not value.HasField("last_config"):
        raise MalformedInput(f"{what}: the last configuration block is not named")
    return BlockSignatures(
        value=metadata.value,
        last_config=value.last_config.index,
        consenter_metadata=value.consenter_metadata,
        signatures=tuple(
            BlockSignature(item.signature_header, item.signature, item.identifier_header)
            for item in metadata.signatures
        ),
    )


def _header_der(number: int, previous_hash: bytes, data_hash_: bytes) -> bytes:
    digits = number.to_bytes(number.bit_length() // 8 + 1, "big")
    return _der(0x30, _der(0x02, digits) + _der(0x04, previous_hash) + _der(0x04, data_hash_))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
