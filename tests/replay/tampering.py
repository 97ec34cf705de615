"""Ways to tamper with a recorded chain, and the words with which the verifier must refuse each.

Decides which bytes change. Nobody can sign for a recorded orderer any more, so what only its signature could cover is
not among them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fabric_protos.common import common_pb2

from bfl_fabric.errors import BflError
from bfl_fabric.fabric.verifier import ChainVerifier
from tests.recordings.archive import Recording
from tests.replay.replayed_chain import chain, genesis_digest

PLACE = 5
Change = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Tampering:
    """What is changed in one block of a chain, and what the verifier says to it."""

    change: Callable[[list[bytes]], list[bytes]]
    words: str
    whose: str = "peer"
    kind: str = "3.1.5-raft"


def _in(number: int, change: Change) -> Callable[[list[bytes]], list[bytes]]:
    def tampered(blocks: list[bytes]) -> list[bytes]:
        block = common_pb2.Block.FromString(blocks[number])
        change(block)
        return [*blocks[:number], block.SerializeToString(deterministic=True), blocks[number + 1]]

    return tampered


def _flip(raw: bytes, position: int = -1) -> bytes:
    changed = bytearray(raw)
    changed[position] ^= 1
    return bytes(changed)


def _slot(number: int, value: Callable[[bytes], bytes]) -> Change:
    def change(block: Any) -> None:
        block.metadata.metadata[number] = value(block.metadata.metadata[number])

    return change


def _signatures(edit: Callable[[Any], None]) -> Change:
    def change(block: Any) -> None:
        metadata = common_pb2.Metadata.FromString(block.metadata.metadata[0])
        edit(metadata)
        block.metadata.metadata[0] = metadata.SerializeToString(deterministic=True)

    return change


def _previous(block: Any) -> None:
    block.header.previous_hash = _flip(block.header.previous_hash)


def _data(block: Any) -> None:
    block.data.data[0] = _flip(block.data.data[0], len(block.data.data[0]) // 2)


def _first_data(block: Any) -> None:
    _data(block)
    block.header.data_hash = hashlib.sha256(b"".join(block.data.data)).digest()


def _spoil(metadata: Any) -> None:
    metadata.signatures[0].signature = _flip(metadata.signatures[0].signature)


def _nobody(metadata: Any) -> None:
    header = common_pb2.IdentifierHeader.FromString(metadata.signatures[0].identifier_header)
    header.identifier = 99
    metadata.signatures[0].identifier_header = header.SerializeToString(deterministic=True)


def _leave_two(metadata: Any) -> None:
    del metadata.signatures[2:]


def _thrice_the_same(metadata: Any) -> None:
    for number in range(1, len(metadata.signatures)):
        metadata.signatures[number].CopyFrom(metadata.signatures[0])


def _none(metadata: Any) -> None:
    del metadata.signatures[:]


def _value(metadata: Any) -> None:
    last = common_pb2.OrdererBlockMetadata.FromString(metadata.value)
    last.last_config.index += 1
    metadata.value = last.SerializeToString(deterministic=True)


def _first_invalid(blocks: list[bytes]) -> int:
    return next(
        number
        for number, raw in enumerate(blocks)
        if any(common_pb2.Block.FromString(raw).metadata.metadata[2])
    )


def _absolve(blocks: list[bytes]) -> list[bytes]:
    return _in(_first_invalid(blocks), _slot(2, lambda codes: bytes(len(codes))))(blocks)


TAMPERINGS: dict[str, Tampering] = {
    "a block left out": Tampering(lambda blocks: [*blocks[:PLACE], blocks[PLACE + 1]], "expected block 5"),
    "another predecessor": Tampering(_in(PLACE, _previous), "does not follow the block before"),
    "other data": Tampering(_in(PLACE, _data), "its data are not what its header says"),
    "orderer metadata": Tampering(_in(PLACE, _slot(3, lambda _: b"x")), "metadata stand where"),
    "another first block": Tampering(_in(0, _first_data), "not the pinned"),
    "metadata of the first block": Tampering(
        _in(0, _slot(1, lambda _: b"x")), "metadata are not those of a first block"
    ),
    "another last configuration": Tampering(
        _in(PLACE, _slot(1, lambda _: b"\x0a\x02\x08\x01")), "the last configuration is in block 0"
    ),
    "last configuration, signed part": Tampering(
        _in(PLACE, _signatures(_value)), "the last configuration is in"
    ),
    "a spoilt orderer's signature": Tampering(
        _in(PLACE, _signatures(_spoil)), "a signature of an orderer is not good"
    ),
    "no orderer's signature": Tampering(_in(PLACE, _signatures(_none)), "BlockValidation|policy|signature"),
    "a code changed": Tampering(_in(PLACE, _slot(2, lambda _: b"\x0b")), "recorded as MVCC_READ_CONFLICT"),
    "an invalid one declared valid": Tampering(_absolve, "recorded as VALID"),
    "a code too many": Tampering(_in(PLACE, _slot(2, lambda codes: codes + b"\0")), "2 validation codes for"),
    "codes missing": Tampering(_in(PLACE, _slot(2, lambda _: b"")), "validation codes are there in some"),
    "another commit hash": Tampering(_in(PLACE, _slot(4, _flip)), "the commit hash is not"),
    "a commit hash in an orderer's copy": Tampering(
        _in(PLACE, _slot(4, lambda _: b"x")), "the commit hash is not", "orderer"
    ),
    "bytes behind a block": Tampering(
        lambda blocks: [*blocks[:PLACE], blocks[PLACE] + b"\xaa\x06\x01x", blocks[PLACE + 1]], "block"
    ),
    "too few consenters": Tampering(
        _in(PLACE, _signatures(_leave_two)), "BlockValidation|policy|signature", "peer", "3.1.5-bft"
    ),
    "one consenter thrice": Tampering(
        _in(PLACE, _signatures(_thrice_the_same)), "BlockValidation|policy|signature", "peer", "3.1.5-bft"
    ),
    "a consenter that is none": Tampering(
        _in(PLACE, _signatures(_nobody)), "no orderer 99", "peer", "3.1.5-bft"
    ),
    "a spoilt consenter's signature": Tampering(
        _in(PLACE, _signatures(_spoil)), "a signature of an orderer is not good", "peer", "3.1.5-bft"
    ),
}


def refusal(recording: Recording, tampering: Tampering) -> str:
    """Return why the verifier refuses a tampered chain. Raises AssertionError when it takes it."""
    verifier = ChainVerifier(genesis_digest(recording))
    try:
        for _ in verifier.verify(tampering.change(list(chain(recording, tampering.whose)))):
            pass
    except BflError as found:
        return str(found)
    raise AssertionError("the verifier takes a chain that was tampered with")
