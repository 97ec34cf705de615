"""Where an audit gets its blocks from: the block file of an embedded ledger, read strictly.

The file is a sequence of records, nothing before, between or behind them. A record is the length of a block as an
unsigned LEB128 number in its shortest form, 1 to 2^30, then that many bytes, a serialized `common.Block`. What a
block must be is left to the verifier. Blocks that come from elsewhere, such as a peer's Deliver service, need no
reader: any iterable of raw blocks will do.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterator
from pathlib import Path
from typing import BinaryIO

from bfl_fabric.errors import AuditFailed

MAXIMUM_BLOCK_BYTES = 1 << 30
_LENGTH_BYTES = 5


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


async def collect_blocks(blocks: AsyncIterable[bytes]) -> list[bytes]:
    """Return the blocks of a ledger client, which yields them asynchronously."""
    return [block async for block in blocks]


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
