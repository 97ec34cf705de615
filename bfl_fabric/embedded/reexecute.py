"""Running recorded transactions again: does the contract still come to the same bytes?

Decides, for each VALID transaction of a block file, what the contract makes of the same proposal on the state that
stood before it, and compares that with what its endorsers signed. Run in processes with other hash seeds, locales
and clocks, it shows that the contract is deterministic; run with a changed contract, where it decides otherwise.
Transactions that touch private data are not run: their inputs are in no block.

    python -m bfl_fabric.embedded.reexecute blocks.bin [module:factory]
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fabric_protos.common import common_pb2

from bfl_chaincode.shim.stub import KeyModification
from bfl_fabric.embedded.blockfile import read_blocks
from bfl_fabric.embedded.contract import Chaincode, bfl_contract
from bfl_fabric.embedded.endorsement import Ground, Peer, simulate
from bfl_fabric.embedded.history import modification
from bfl_fabric.embedded.lifecycle import find_chaincode
from bfl_fabric.embedded.snapshot import Row
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric.blocks import Block, parse_block
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.fabric.envelopes import Action, HeaderType, ParsedTransaction, ValidationCode, parse_envelope
from bfl_fabric.fabric.lifecycle import NAMESPACE
from bfl_fabric.fabric.proposal import Invocation, Proposal
from bfl_fabric.fabric.rwsets import Height
from bfl_fabric.fabric.state import Key, ReplayedState, Space, Standing, Updates
from bfl_fabric.fabric.wire import write


@dataclass(frozen=True, slots=True)
class Execution:
    """One transaction run again; the digests are of what endorsers sign: read-write set, response and event."""

    transaction_id: str
    function: str
    recorded_digest: str
    digest: str

    @property
    def is_same(self) -> bool:
        return self.recorded_digest == self.digest

    def __str__(self) -> str:
        verdict = "same" if self.is_same else "DIFFERENT"
        return f"{self.transaction_id} {self.function} {self.digest} {verdict}"


def reexecute(blocks: Iterable[bytes], factory: Callable[[], Chaincode]) -> Iterator[Execution]:
    """Run the transactions of these blocks, from block 0 on, with a new instance of the contract."""
    replay: _Replay | None = None
    chaincode = factory()
    for raw in blocks:
        block = parse_block(raw)
        if replay is None:
            replay = _Replay(ChannelConfig.from_block(block), chaincode)
        else:
            yield from replay.run(block)


@dataclass(slots=True)
class _Past:
    """The state before the transaction in hand, with the history that led to it."""

    state: ReplayedState = field(default_factory=ReplayedState)
    heights: dict[tuple[str, str], list[Height]] = field(default_factory=dict)
    transactions: dict[Height, ParsedTransaction] = field(default_factory=dict)

    def find(self, space: Space, key: Key) -> Standing | None:
        return self.state.find(space, key)

    def scan(self, namespace: str, start: Key, end: Key) -> Iterator[tuple[Key, Height]]:
        return self.state.scan(namespace, start, end)

    def find_private(self, space: Space, key_hash: Key) -> Standing | None:
        return None

    def rows(self, namespace: str, start_key: str, end_key: str) -> Iterator[Row]:
        for key, height in self.state.scan(namespace, start_key.encode(), end_key.encode()):
            found = self.state.find(Space(namespace), key)
            yield Row(key.decode(), (found.value or b"") if found else b"", height)

    def history(self, namespace: str, key: str) -> list[Height]:
        return self.heights.get((namespace, key), [])[::-1]

    def modification(self, height: Height, namespace: str, key: str) -> KeyModification:
        return modification(self.transactions[height], namespace, key)

    def add(self, height: Height, transaction: ParsedTransaction, action: Action) -> None:
        updates = Updates()
        updates.apply(action.rwset, height, self.state)
        self.state.commit(updates)
        self.transactions[height] = transaction
        for part in action.rwset:
            for item in part.writes:
                self.heights.setdefault((part.namespace, item.key), []).append(height)


class _Replay:
    def __init__(self, config: ChannelConfig, chaincode: Chaincode) -> None:
        self._config = config
        self._chaincode = chaincode
        self._past = _Past()

    def run(self, block: Block) -> Iterator[Execution]:
        for position, entry in enumerate(block.entries):
            transaction = parse_envelope(entry)
            is_valid = block.flags[position] == ValidationCode.VALID
            if is_valid and transaction.type == HeaderType.ENDORSER_TRANSACTION:
                action = transaction.action()
                if _can_be_run(action):
                    yield self._execute(transaction, action)
                self._past.add(Height(block.number, position), transaction, action)

    def _execute(self, transaction: ParsedTransaction, action: Action) -> Execution:
        endorsed = action.endorsed
        deployed = find_chaincode(self._past, action.chaincode)
        if deployed is None:
            raise ConfigurationError(f"chaincode {action.chaincode} is not defined before its transaction")
        endorser = self._config.admit(endorsed.endorsements[0].endorser)
        peer = Peer(_NoSigner(), endorser, self._chaincode)
        ground = Ground(self._past, deployed, self._past.modification)
        proposal = _proposal(transaction, action)
        again = simulate(peer, proposal, self._config.admit(transaction.creator), ground)
        return Execution(
            transaction_id=transaction.transaction_id,
            function=action.function,
            recorded_digest=hashlib.sha256(endorsed.response_payload).hexdigest(),
            digest=hashlib.sha256(again.payload).hexdigest(),
        )


class _NoSigner:
    """A peer that only runs the contract."""

    creator = b""

    def sign(self, data: bytes) -> bytes:
        raise ConfigurationError("a re-executing peer endorses nothing")


def _can_be_run(action: Action) -> bool:
    if action.chaincode == NAMESPACE:
        return False
    return not any(part.collections for part in action.rwset)


def _proposal(transaction: ParsedTransaction, action: Action) -> Proposal:
    invocation = Invocation(transaction.channel_id, action.chaincode, action.arguments)
    header = common_pb2.Header(
        channel_header=transaction.channel_header, signature_header=transaction.signature_header
    )
    return Proposal(
        transaction_id=transaction.transaction_id,
        invocation=invocation,
        creator=transaction.creator,
        nonce=transaction.nonce,
        timestamp_ms=transaction.timestamp_ms,
        channel_header=transaction.channel_header,
        signature_header=transaction.signature_header,
        payload=action.endorsed.proposal_payload,
        proposal_bytes=write(header),
    )


def main(arguments: list[str]) -> int:
    """Print one line per transaction; return 1 when one came out differently."""
    if not 1 <= len(arguments) <= 2:
        sys.stderr.write("usage: python -m bfl_fabric.embedded.reexecute blocks.bin [module:factory]\n")
        return 2
    factory: Callable[[], Chaincode] = bfl_contract
    if len(arguments) == 2:
        module, _, name = arguments[1].partition(":")
        factory = getattr(importlib.import_module(module), name)
    is_same = True
    for execution in reexecute(read_blocks(Path(arguments[0])), factory):
        sys.stdout.write(f"{execution}\n")
        is_same = is_same and execution.is_same
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
