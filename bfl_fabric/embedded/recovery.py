"""Bringing block file and state database together when a ledger is opened.

Decides what is done with a block that is in the file and not in the state (it is applied), with a record that was
never finished (it is set aside and cut off: nobody was promised anything), and which files do not belong together.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from bfl_fabric.embedded.blockfile import BlockFile, Location, TornTail
from bfl_fabric.embedded.snapshot import Savepoint
from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric.blocks import parse_block

_LOG = logging.getLogger(__name__)


def recover(file: BlockFile, savepoint: Savepoint | None, apply: Callable[[Location], None]) -> None:
    """Apply the blocks that the state does not know yet. Raises MalformedInput, StorageFull."""
    known = savepoint.next_offset if savepoint else 0
    if file.end < known:
        raise MalformedInput(
            f"{file.path}: the state knows {known} bytes of blocks, the file has {file.end}; "
            "restore the file, or remove the state database if these really are all blocks"
        )
    offset = known
    try:
        for location in file.locations(known):
            apply(location)
            offset = location.next_offset
    except TornTail:
        _cut_off(file, offset)
    except MalformedInput:
        if savepoint is None:
            raise
        _require_last(file, offset)
        _cut_off(file, offset)


def _require_last(file: BlockFile, offset: int) -> None:
    """Only what was being written when the power went may be unreadable; if a block follows, it is damage."""
    if any(_readable_blocks(file, offset)):
        raise MalformedInput(f"{file.path}: the block at byte {offset} is damaged and others follow it")


def _readable_blocks(file: BlockFile, offset: int) -> Iterator[bool]:
    """Say of each record behind the first whether it is a block, as far as records can be told apart."""
    with contextlib.suppress(MalformedInput):
        for location in itertools.islice(file.locations(offset), 1, None):
            try:
                parse_block(file.read(location))
                yield True
            except MalformedInput:
                yield False


def _cut_off(file: BlockFile, offset: int) -> None:
    aside = file.path.with_name(f"{file.path.name}.torn-{offset}")
    _LOG.warning(
        "%s: %d bytes of an unfinished block are moved to %s", file.path, file.end - offset, aside.name
    )
    _write_synced(aside, file.bytes_from(offset))
    file.truncate(offset)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
