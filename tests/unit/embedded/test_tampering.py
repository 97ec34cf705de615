"""Whoever changes a byte of the block file is found out by the verifier."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from fabric_protos.common import common_pb2

from bfl_fabric.embedded.blockfile import read_blocks
from bfl_fabric.errors import BflError
from bfl_fabric.fabric.blocks import Slot
from bfl_fabric.fabric.envelopes import ValidationCode
from tests.unit.embedded.workbench import MSP_IDS, opened, stored_blocks, verify

FLIPS = 200


@pytest.fixture
def stored(directory: Path) -> tuple[Path, str]:
    """A block file with transactions of several kinds, and the digest that pins it."""
    with opened(directory) as bench:
        bench.order("append", "key", "a")
        bench.order("append", "key", "conflict")
        bench.ledger.cut(force=True)
        bench.submit("event", "name", "payload")
        bench.submit("put_private", "shared", "key", value=b"x")
        bench.order("put", "key", "x", organizations=MSP_IDS[:1])
        bench.ledger.cut(force=True)
        digest = bench.ledger.genesis_digest
    return directory / "blocks.bin", digest


def test_the_untouched_file_verifies(stored: tuple[Path, str]) -> None:
    path, digest = stored
    assert verify(list(read_blocks(path)), digest).counts.blocks == 6


def test_every_flipped_bit_is_found(stored: tuple[Path, str], tmp_path: Path) -> None:
    path, digest = stored
    content = path.read_bytes()
    seed = random.randrange(1 << 32)
    chosen = random.Random(seed)
    forged = tmp_path / "forged.bin"
    for _ in range(FLIPS):
        position, bit = chosen.randrange(len(content)), chosen.randrange(8)
        changed = bytearray(content)
        changed[position] ^= 1 << bit
        forged.write_bytes(changed)
        assert not verifies(forged, digest), f"seed {seed}: bit {bit} of byte {position} was not noticed"


def verifies(path: Path, digest: str) -> bool:
    try:
        verify(list(read_blocks(path)), digest)
    except BflError:
        return False
    return True


def test_every_place_of_a_blocks_metadata_is_held_to_account(
    stored: tuple[Path, str], tmp_path: Path
) -> None:
    path, digest = stored
    content = path.read_bytes()
    metadata = common_pb2.Block.FromString(list(read_blocks(path))[2]).metadata
    start = content.index(metadata.SerializeToString(deterministic=True))
    forged = tmp_path / "forged.bin"
    for position in range(start, start + metadata.ByteSize(), 11):
        changed = bytearray(content)
        changed[position] ^= 1
        forged.write_bytes(changed)
        assert not verifies(forged, digest), f"byte {position - start} of the metadata was not noticed"


def _drop_last_entry(block: common_pb2.Block) -> None:
    del block.data.data[-1]


def _swap_entries(block: common_pb2.Block) -> None:
    block.data.data[0], block.data.data[1] = block.data.data[1], block.data.data[0]


def _call_invalid_valid(block: common_pb2.Block) -> None:
    block.metadata.metadata[Slot.TRANSACTIONS_FILTER] = bytes([ValidationCode.VALID] * len(block.data.data))


@pytest.mark.parametrize("forge", [_drop_last_entry, _swap_entries, _call_invalid_valid])
def test_a_forged_block_is_found(stored: tuple[Path, str], forge: Callable[[common_pb2.Block], None]) -> None:
    path, digest = stored
    blocks = list(read_blocks(path))
    block = common_pb2.Block.FromString(blocks[2])
    forge(block)
    with pytest.raises(BflError):
        verify([*blocks[:2], block.SerializeToString(deterministic=True), *blocks[3:]], digest)


def test_a_block_left_out_is_found(stored: tuple[Path, str]) -> None:
    path, digest = stored
    blocks = list(read_blocks(path))
    with pytest.raises(BflError):
        verify([*blocks[:3], *blocks[4:]], digest)


def test_another_genesis_is_found(stored: tuple[Path, str]) -> None:
    with pytest.raises(BflError):
        verify(stored_blocks(stored[0].parent), "ab" * 32)
