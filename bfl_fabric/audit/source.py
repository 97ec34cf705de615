"""Where an audit gets its blocks from: a block file, read strictly, or blocks as `peer channel fetch` writes them.

The file is a sequence of records, nothing before, between or behind them. A record is the length of a block as an
unsigned LEB128 number in its shortest form, 1 to 2^30, then that many bytes, a serialized `common.Block`. What a
block must be is left to the verifier. The embedded ledger keeps such a file; `store_blocks` makes one of the blocks
that a peer's Deliver service gives, of whatever ledger. Any other iterable of raw blocks will do for an audit, too.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterable, Iterator
from pathlib import Path
from typing import BinaryIO

from bfl_fabric.errors import AuditFailed
from bfl_fabric.fabric.wire import varint

BLOCK_FILE = "blocks.bin"
MAXIMUM_BLOCK_BYTES = 1 << 30
_LENGTH_BYTES = 5
_FETCHED = re.compile(r"(?:.*_)?(?P<number>[0-9]+)\.block")


def read_block_file(path: Path) -> Iterator[bytes]:
    """Yield the raw blocks of a block file, one in memory at a time.

    Raises AuditFailed, naming the byte offset, when the file is missing or a record is not a whole block.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            number = 0
            while (offset := file.tell()) < size:
                yield _read_record(file, size, f"{path.name}: block {number} at byte {offset}")
                number += 1
    except OSError as error:
        raise AuditFailed(f"{path}: the block file cannot be read ({error.strerror})") from error


def read_copy(path: Path) -> Iterator[bytes]:
    """Yield the raw blocks of one copy of a chain: a block file, a directory with one, or one of fetched blocks.

    Fetched blocks are files `NUMBER.block` or `CHANNEL_NUMBER.block`, each a serialized block. Raises AuditFailed
    when there is nothing of the kind, or numbers are missing between them.
    """
    if (path / BLOCK_FILE).exists():
        yield from read_block_file(path / BLOCK_FILE)
    elif path.is_dir():
        yield from _read_fetched(path)
    else:
        yield from read_block_file(path)


async def store_blocks(path: Path, blocks: AsyncIterable[bytes]) -> int:
    """Write blocks, from the first on, to a new block file and return how many; all of them are there or no file.

    One block is in memory at a time. Whoever stores them believes nothing: the audit reads the file as any other.
    """
    partial = path.with_name(f"{path.name}.partial")
    count = 0
    try:
        with partial.open("wb") as file:
            async for block in blocks:
                file.write(_length(len(block)) + block)
                count += 1
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count


async def collect_blocks(blocks: AsyncIterable[bytes]) -> list[bytes]:
    """Return the blocks of a ledger client, which yields them asynchronously."""
    return [block async for block in blocks]


def _read_fetched(directory: Path) -> Iterator[bytes]:
    found = {
        int(match["number"]): path for path in directory.iterdir() if (match := _FETCHED.fullmatch(path.name))
    }
    if not found:
        raise AuditFailed(f"{directory}: neither {BLOCK_FILE} nor fetched blocks NUMBER.block are there")
    for number in range(max(found) + 1):
        if number not in found:
            raise AuditFailed(f"{directory}: block {number} is missing between the fetched blocks")
        try:
            yield found[number].read_bytes()
        except OSError as error:
            raise AuditFailed(f"{found[number]}: the block cannot be read ({error.strerror})") from error


def _length(number: int) -> bytes:
    if not 0 < number <= MAXIMUM_BLOCK_BYTES:
        raise AuditFailed(f"no block has {number} bytes")
    return varint(number)


def _read_record(file: BinaryIO, size: int, what: str) -> bytes:
    length = _read_length(file, what)
    if length > size - file.tell():
        raise AuditFailed(
            f"{what}: its length says {length} bytes and {size - file.tell()} are left; "
            "the file is cut off or the length was changed"
        )
    return file.read(length)


def _read_length(file: BinaryIO, what: str) -> int:
    number = 0
    for place in range(_LENGTH_BYTES):
        digit = file.read(1)
        if not digit:
            raise AuditFailed(f"{what}: the file ends within the length of the block")
        number |= (digit[0] & 0x7F) << (7 * place)
        if digit[0] < 0x80:
            if (digit[0] == 0 and place) or not 0 < number <= MAXIMUM_BLOCK_BYTES:
                break
            return number
    raise AuditFailed(f"{what}: no block has such a length")
