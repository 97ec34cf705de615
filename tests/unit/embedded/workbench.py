"""A ledger on a bench: one federation for all tests, synchronous calls, a clock that tests move."""

from __future__ import annotations

import functools
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bfl_fabric.embedded.blockfile import Disk, read_blocks
from bfl_fabric.embedded.chain import Step, watch_nothing
from bfl_fabric.embedded.ledger import EmbeddedLedger, Network
from bfl_fabric.embedded.lifecycle import CollectionDefinition
from bfl_fabric.fabric.channel import OrderingTerms
from bfl_fabric.fabric.endorsement import sign_envelope
from bfl_fabric.fabric.envelopes import ValidationCode
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.fabric.proposal import Invocation, build_proposal, sign_proposal
from bfl_fabric.fabric.verifier import ChainVerifier
from tests.conformance.federation import CHAINCODE, CHANNEL, MSP_IDS, Federation, found
from tests.conformance.probe_contract import ProbeContract

START_MS = 1_750_000_000_000
TERMS = OrderingTerms(max_message_count=10, timeout="100ms")
COLLECTIONS = (CollectionDefinition("shared", MSP_IDS[:2]),)


class BenchClock:
    def __init__(self, at_ms: int = START_MS) -> None:
        self.at_ms = at_ms

    def now_ms(self) -> int:
        return self.at_ms

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing waits on the bench")


@functools.cache
def federation() -> Federation:
    return found(datetime.fromtimestamp(START_MS / 1000, tz=UTC), TERMS)


class Bench:
    """An open ledger and everything to use it by hand."""

    def __init__(self, ledger: EmbeddedLedger, clock: BenchClock) -> None:
        self.ledger = ledger
        self.clock = clock

    @property
    def client(self) -> SigningIdentity:
        return federation().clients[0]

    def signed(self, function: str, *arguments: str, **transient: bytes) -> Any:
        """Return transaction id and signed proposal."""
        texts = tuple(text.encode() for text in (function, *arguments))
        invocation = Invocation(CHANNEL, CHAINCODE, texts, transient)
        nonce = secrets.token_bytes(24)
        proposal = build_proposal(invocation, self.client.creator, nonce, self.clock.now_ms())
        return proposal.transaction_id, sign_proposal(proposal, self.client)

    def evaluate(self, function: str, *arguments: str) -> bytes:
        return self.ledger.evaluate(self.signed(function, *arguments)[1]).payload

    def endorse(
        self, function: str, *arguments: str, organizations: Sequence[str] = (), **transient: bytes
    ) -> tuple[str, Any]:
        """Return transaction id and the signed envelope."""
        transaction_id, signed = self.signed(function, *arguments, **transient)
        envelope = self.ledger.endorse(signed, organizations)
        return transaction_id, sign_envelope(envelope.payload, self.client)

    def order(self, function: str, *arguments: str, **options: Any) -> str:
        transaction_id, envelope = self.endorse(function, *arguments, **options)
        self.ledger.order(envelope)
        return transaction_id

    def submit(self, function: str, *arguments: str, **options: Any) -> str:
        transaction_id = self.order(function, *arguments, **options)
        self.ledger.cut(force=True)
        assert self.code(transaction_id) is ValidationCode.VALID
        return transaction_id

    def code(self, transaction_id: str) -> ValidationCode | None:
        place = self.ledger.transaction_status(transaction_id)
        return None if place is None else ValidationCode(place.code)

    def blocks(self) -> list[bytes]:
        return [self.ledger.raw_block(number) for number in range(self.ledger.height)]

    def verify(self) -> ChainVerifier:
        """Check every block with the verifier that knows nothing but the genesis digest."""
        return verify(self.blocks(), self.ledger.genesis_digest)


def verify(blocks: Sequence[bytes], genesis_digest: str) -> ChainVerifier:
    verifier = ChainVerifier(genesis_digest)
    for raw in blocks:
        verifier.feed(raw)
    return verifier


def network(clock: BenchClock) -> Network:
    made = federation()
    return Network(made.peers, made.orderer, ProbeContract, clock)


def create(directory: Path, clock: BenchClock | None = None) -> Bench:
    clock = clock or BenchClock()
    made = federation()
    ledger = EmbeddedLedger.create(
        directory,
        made.genesis,
        made.peers,
        made.orderer,
        CHAINCODE,
        ProbeContract,
        clock,
        COLLECTIONS,
        administrator=made.clients[0],
    )
    return Bench(ledger, clock)


def reopen(
    directory: Path, clock: BenchClock | None = None, disk: Disk | None = None, watch: Any = watch_nothing
) -> Bench:
    clock = clock or BenchClock()
    return Bench(EmbeddedLedger(directory, network(clock), disk, watch), clock)


@contextmanager
def opened(directory: Path, **options: Any) -> Iterator[Bench]:
    bench = reopen(directory, **options)
    try:
        yield bench
    finally:
        bench.ledger.close()


class Killed(BaseException):
    """Stands for the end of the process; nothing may catch it."""


def kill_at(step: Step) -> Any:
    """Return a watcher that ends the process at this step."""

    def watch(reached: Step) -> None:
        if reached is step:
            raise Killed(step)

    return watch


def stored_blocks(directory: Path) -> list[bytes]:
    return list(read_blocks(directory / "blocks.bin"))


def dump(directory: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of the state database but those that come from beside the blocks."""
    tables = ("savepoint", "blocks", "transactions", "events", "history", "state", "hashed_state")
    with closing(sqlite3.connect(directory / "state.db")) as connection:
        return {table: sorted(connection.execute(f"SELECT * FROM {table}")) for table in tables}
