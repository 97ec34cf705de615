"""Copies of one chain held against each other: the first block that differs, and in what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from fabric_protos.common import common_pb2

from bfl_fabric.audit.compare import Part, compare
from bfl_fabric.audit.source import read_block_file, read_copy, store_blocks
from bfl_fabric.embedded.blockfile import read_blocks
from bfl_fabric.errors import AuditFailed, ConfigurationError
from bfl_fabric.fabric.blocks import commit_hash_slot, data_hash, signed_block_metadata
from bfl_fabric.fabric.wire import write
from tests.unit.fabric.chain_builder import Call, ChainBuilder, put
from tests.unit.fabric.organizations import federation


def chain() -> ChainBuilder:
    parties = federation()
    alpha, beta, _ = parties.organizations
    made = ChainBuilder(parties)
    made.define_chaincode()
    for number in range(4):
        made.add_calls(Call(alpha.client, [alpha.peer, beta.peer], [put(f"key {number}", b"1")]))
    return made


def changed(blocks: list[bytes], number: int, change: Callable[[Any], None]) -> list[bytes]:
    message = common_pb2.Block.FromString(blocks[number])
    change(message)
    return [*blocks[:number], write(message), *blocks[number + 1 :]]


def other_code(block: Any) -> None:
    block.metadata.metadata[2] = b"\x0b"


def other_commit_hash(block: Any) -> None:
    block.metadata.metadata[4] = commit_hash_slot(b"x" * 32)


def other_data(block: Any) -> None:
    block.data.data[0] += b"!"


def other_header(block: Any) -> None:
    block.header.previous_hash = b"x" * 32


def test_equal_copies_agree_and_a_shorter_one_is_only_behind() -> None:
    blocks = chain().blocks
    result = compare({"north": blocks, "south": list(blocks), "west": blocks[:3]})
    assert result.agreed
    assert result.heights == {"north": 6, "south": 6, "west": 3}
    assert result.compared == 6
    assert result.without_codes == ()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (other_code, Part.CODES),
        (other_commit_hash, Part.COMMIT_HASH),
        (other_data, Part.DATA),
        (other_header, Part.HEADER),
    ],
)
def test_the_first_block_that_differs_is_named_and_in_what(change: Callable[[Any], None], part: Part) -> None:
    blocks = chain().blocks
    lying = changed(changed(blocks, 3, change), 4, other_code)
    result = compare({"north": blocks, "south": lying, "west": blocks})
    (difference,) = result.differences
    assert (difference.block, difference.part) == (3, part)
    assert difference.found["north"] == difference.found["west"] != difference.found["south"]
    assert f"block 3: the {part.value} differs: north has" in str(difference)
    assert not result.agreed
    assert result.to_json()["agreed"] is False


def test_every_part_that_differs_in_the_block_is_named() -> None:
    def everything(block: Any) -> None:
        other_data(block)
        block.header.data_hash = data_hash(block.data.data)
        other_code(block)
        other_commit_hash(block)

    blocks = chain().blocks
    result = compare({"north": blocks, "south": changed(blocks, 2, everything)})
    assert [difference.part for difference in result.differences] == list(Part)


def test_signatures_of_different_orderers_are_no_difference() -> None:
    def sign_again(block: Any) -> None:
        orderer = federation().consenters[0]
        block.metadata.metadata[0] = signed_block_metadata(block.header, 0, orderer, b"n" * 24)

    blocks = chain().blocks
    assert compare({"north": blocks, "south": changed(blocks, 3, sign_again)}).agreed


def test_an_orderers_copy_is_compared_without_codes() -> None:
    def strip(block: Any) -> None:
        block.metadata.metadata[2] = block.metadata.metadata[4] = b""

    blocks = ordered = chain().blocks
    for number in range(len(blocks)):
        ordered = changed(ordered, number, strip)
    result = compare({"peer": blocks, "orderer": ordered})
    assert result.agreed
    assert result.without_codes == ("orderer",)
    assert not compare({"peer": blocks, "orderer": changed(ordered, 4, other_data)}).agreed


def test_a_copy_that_skips_a_block_or_holds_none_is_refused() -> None:
    blocks = chain().blocks
    with pytest.raises(AuditFailed, match="south: block 3 stands where block 2 belongs"):
        compare({"north": blocks, "south": [*blocks[:2], *blocks[3:]]})
    with pytest.raises(AuditFailed, match="south: block 1: "):
        compare({"north": blocks, "south": [blocks[0], b"garbage"]})
    with pytest.raises(ConfigurationError, match="at least two"):
        compare({"north": blocks})


# --- where copies come from ---------------------------------------------------------------------


async def delivered(blocks: list[bytes]) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block


def test_delivered_blocks_are_stored_as_the_ledger_and_the_auditor_read_them(tmp_path: Path) -> None:
    blocks = chain().blocks
    path = tmp_path / "blocks.bin"
    assert asyncio.run(store_blocks(path, delivered(blocks))) == len(blocks)
    assert list(read_blocks(path)) == list(read_block_file(path)) == list(read_copy(tmp_path)) == blocks
    assert list(read_copy(path)) == blocks
    assert [item.name for item in tmp_path.iterdir()] == ["blocks.bin"]


def test_a_delivery_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"block"
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        asyncio.run(store_blocks(tmp_path / "blocks.bin", broken()))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["{}.block", "mychannel_{}.block", "my_channel_{:04d}.block"])
def test_fetched_blocks_are_read_in_the_order_of_their_numbers(tmp_path: Path, name: str) -> None:
    blocks = [str(number).encode() for number in range(12)]
    for number, block in enumerate(blocks):
        (tmp_path / name.format(number)).write_bytes(block)
    (tmp_path / "readme.txt").write_text("no block")
    assert list(read_copy(tmp_path)) == blocks


def test_a_fetched_block_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "0.block").write_bytes(b"0")
    (tmp_path / "2.block").write_bytes(b"2")
    with pytest.raises(AuditFailed, match="block 1 is missing"):
        list(read_copy(tmp_path))
    with pytest.raises(AuditFailed, match="neither"):
        list(read_copy(tmp_path.parent / tmp_path.name / ".."))
    with pytest.raises(AuditFailed, match="cannot be read"):
        list(read_copy(tmp_path / "nothing"))
