"""Copies of one chain held against each other: where do two peers say something different?

Decides the first block at which copies differ and in what. Headers and data are the orderers'; validation codes and
commit hashes are each peer's own, signed by nobody, and equal on all honest peers. Orderers' signatures are not
compared: every orderer signs for itself, so honest copies differ in them. Whether any of the copies is right is left
to `verify`, which needs one only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bfl_chaincode.api.canonical import Json
from bfl_fabric.errors import AuditFailed, ConfigurationError, MalformedInput
from bfl_fabric.fabric.blocks import Block, data_hash, parse_block


class Part(StrEnum):
    """What of a block is compared, in this order."""

    HEADER = "header"
    DATA = "data"
    CODES = "validation codes"
    COMMIT_HASH = "commit hash"


_OWN = frozenset({Part.CODES, Part.COMMIT_HASH})


@dataclass(frozen=True, slots=True)
class Difference:
    """The first block that is not the same in all copies. `found` is by copy what each has, in hex."""

    block: int
    part: Part
    found: Mapping[str, str]

    def __str__(self) -> str:
        said = ", ".join(f"{name} has {value or 'none'}" for name, value in self.found.items())
        return f"block {self.block}: the {self.part.value} differs: {said}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it. `heights` is how far each copy was read; a shorter one is behind, which is no difference.

    `without_codes` names the copies that record no validation codes, as those of orderers: their header and data
    alone were compared.
    """

    heights: Mapping[str, int]
    compared: int
    without_codes: tuple[str, ...]
    differences: tuple[Difference, ...]

    @property
    def agreed(self) -> bool:
        return not self.differences

    def to_json(self) -> dict[str, Json]:
        """Return the canonical JSON object."""
        return {
            "agreed": self.agreed,
            "compared": self.compared,
            "heights": dict(self.heights),
            "without_codes": list(self.without_codes),
            "differences": [
                {"block": one.block, "part": one.part.value, "found": dict(one.found)}
                for one in self.differences
            ],
        }


def compare(copies: Mapping[str, Iterable[bytes]]) -> Comparison:
    """Read copies by name side by side, one block of each in memory, up to the first block that differs.

    Every part of that block that differs is named. Raises AuditFailed when a copy cannot be read or skips a block.
    """
    if len(copies) < 2:
        raise ConfigurationError("a comparison needs at least two copies of the chain")
    readers = {name: _numbered(name, blocks) for name, blocks in copies.items()}
    heights = dict.fromkeys(copies, 0)
    without: dict[str, bool] = {}
    number = 0
    while True:
        row = {name: block for name, reader in readers.items() if (block := next(reader, None)) is not None}
        heights.update((name, block.number + 1) for name, block in row.items())
        if len(row) < 2:
            break
        if number:
            without.update((name, True) for name, block in row.items() if not block.flags)
        differences = _differences(number, row)
        number += 1
        if differences:
            return Comparison(heights, number, tuple(without), differences)
    return Comparison(heights, number, tuple(without), ())


def _numbered(name: str, blocks: Iterable[bytes]) -> Iterator[Block]:
    for number, raw in enumerate(blocks):
        try:
            block = parse_block(raw)
        except MalformedInput as error:
            raise AuditFailed(f"{name}: block {number}: {error}") from error
        if block.number != number:
            raise AuditFailed(f"{name}: block {block.number} stands where block {number} belongs")
        yield block


def _differences(number: int, row: Mapping[str, Block]) -> tuple[Difference, ...]:
    found = []
    for part in Part:
        recording = [name for name in row if part not in _OWN or row[name].flags]
        values = {name: _value(row[name], part) for name in recording}
        if len(set(values.values())) > 1:
            found.append(Difference(number, part, values))
    return tuple(found)


def _value(block: Block, part: Part) -> str:
    match part:
        case Part.HEADER:
            return block.hash.hex()
        case Part.DATA:
            return data_hash(block.entries).hex()
        case Part.CODES:
            return block.flags.hex()
        case Part.COMMIT_HASH:
            return block.commit_hash.hex()
