"""A ledger in memory for the contract's tests: it runs transactions, keeps their read sets, and checks them.

It refuses what a peer refuses (empty keys, writes after a paginated query, stale reads, phantoms) and nothing more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from bfl_chaincode.api.errors import parse_code
from bfl_chaincode.main import build_chaincode, invoke
from bfl_chaincode.shim.stub import (
    ChaincodeStub,
    Creator,
    InvalidKey,
    KeyModification,
    KeyValue,
    Page,
    Response,
    Timestamp,
    require_key,
)

T = TypeVar("T")
CHAINCODE = build_chaincode()
NOT_THERE = 0


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run what never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("the contract waited for something that is not its stub")


class Refused(Exception):
    """The contract's answer was a refusal."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        parsed = parse_code(message)
        assert parsed is not None, f"no code in {message!r}"
        self.code, self.text = parsed


class Conflict(Exception):
    """The transaction was invalidated at commit: what it read had changed."""


@dataclass(frozen=True, slots=True)
class Version:
    value: bytes
    number: int
    tx_id: str
    moment: Timestamp


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a client sends."""

    creator: Creator
    name: str
    arguments: tuple[str, ...]
    at: int
    tx_id: str


@dataclass(slots=True)
class Effects:
    """What a simulation read and would write."""

    reads: dict[str, int] = field(default_factory=dict)
    ranges: list[tuple[str, str, tuple[tuple[str, int], ...]]] = field(default_factory=list)
    writes: dict[str, bytes] = field(default_factory=dict)
    events: list[tuple[str, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Simulation:
    proposal: Proposal
    response: Response
    effects: Effects


class MemoryStub(ChaincodeStub):
    """One transaction on a snapshot of the state."""

    def __init__(
        self, state: Mapping[str, Version], history: Mapping[str, list[Version]], proposal: Proposal
    ):
        self._state = state
        self._history = history
        self._proposal = proposal
        self._paged = False
        self.effects = Effects()

    def get_function_and_parameters(self) -> tuple[str, list[str]]:
        return self._proposal.name, list(self._proposal.arguments)

    def get_txid(self) -> str:
        return self._proposal.tx_id

    def get_channel_id(self) -> str:
        return "training"

    def get_tx_timestamp(self) -> Timestamp:
        return _moment(self._proposal.at)

    def get_creator(self) -> Creator:
        return self._proposal.creator

    def get_transient(self) -> Mapping[str, bytes]:
        return {}

    def set_event(self, name: str, payload: bytes) -> None:
        if not name:
            raise InvalidKey("an event without a name")
        self.effects.events.append((name, payload))

    async def get_state(self, key: str) -> bytes:
        found = self._state.get(require_key(key))
        self.effects.reads[key] = found.number if found else NOT_THERE
        return found.value if found else b""

    async def put_state(self, key: str, value: bytes) -> None:
        if self._paged:
            raise RuntimeError("a write after a paginated query")
        if not value:
            raise RuntimeError("an empty value deletes the key")
        self.effects.writes[require_key(key)] = value

    async def delete_state(self, key: str) -> None:
        self.effects.writes[require_key(key)] = b""

    async def _read_range(self, start_key: str, end_key: str) -> AsyncIterator[KeyValue]:
        found = rows(self._state, start_key, end_key)
        self.effects.ranges.append(
            (start_key, end_key, tuple((key, version.number) for key, version in found))
        )
        return _each([KeyValue(key, version.value) for key, version in found])

    async def _read_page(self, start_key: str, end_key: str, page_size: int, bookmark: str) -> Page:
        self._paged = True
        found = rows(self._state, bookmark or start_key, end_key)
        page = tuple(KeyValue(key, version.value) for key, version in found[:page_size])
        return Page(page, found[page_size][0] if len(found) > page_size else "")

    async def get_history_for_key(self, key: str) -> AsyncIterator[KeyModification]:
        past = reversed(self._history.get(key, []))
        return _each([KeyModification(v.tx_id, v.value, v.moment, not v.value) for v in past])

    async def get_private_data(self, collection: str, key: str) -> bytes:
        raise NotImplementedError("the contract has no private data yet")

    async def get_private_data_hash(self, collection: str, key: str) -> bytes:
        raise NotImplementedError("the contract has no private data yet")

    async def put_private_data(self, collection: str, key: str, value: bytes) -> None:
        raise NotImplementedError("the contract has no private data yet")

    async def delete_private_data(self, collection: str, key: str) -> None:
        raise NotImplementedError("the contract has no private data yet")

    async def purge_private_data(self, collection: str, key: str) -> None:
        raise NotImplementedError("the contract has no private data yet")

    async def set_state_validation_parameter(self, key: str, policy: bytes) -> None:
        raise NotImplementedError("the contract has no key-level endorsement yet")

    async def get_state_validation_parameter(self, key: str) -> bytes:
        raise NotImplementedError("the contract has no key-level endorsement yet")

    async def invoke_chaincode(self, name: str, arguments: Sequence[bytes], channel: str = "") -> Response:
        raise NotImplementedError("the contract calls no other")


class MemoryLedger:
    """Committed state, and the one way to change it."""

    def __init__(self) -> None:
        self.state: dict[str, Version] = {}
        self.history: dict[str, list[Version]] = {}
        self.committed: list[Simulation] = []
        self._proposed = 0

    def copy(self) -> MemoryLedger:
        """Return a ledger that goes on from here by itself."""
        twin = MemoryLedger()
        twin.state = dict(self.state)
        twin.history = {key: list(versions) for key, versions in self.history.items()}
        twin.committed = list(self.committed)
        twin._proposed = self._proposed
        return twin

    def propose(self, creator: Creator, name: str, arguments: Sequence[str], at: int) -> Simulation:
        """Run a transaction on the committed state, changing nothing."""
        self._proposed += 1
        tx_id = hashlib.sha256(f"transaction {self._proposed}".encode()).hexdigest()
        proposal = Proposal(creator, name, tuple(arguments), at, tx_id)
        stub = MemoryStub(self.state, self.history, proposal)
        response = run(invoke(CHAINCODE, stub))
        return Simulation(proposal, response, stub.effects)

    def commit(self, block: Sequence[Simulation]) -> list[bool]:
        """Apply the transactions of a block in order; say of each whether it was valid."""
        return [self._commit_one(simulation) for simulation in block]

    def submit(self, creator: Creator, name: str, request: Mapping[str, Any], at: int) -> Any:
        """Run and commit one transaction. Raises Refused."""
        simulation = self.propose(creator, name, [json.dumps(request)], at)
        if simulation.response.status >= 400:
            raise Refused(simulation.response.message)
        if not self._commit_one(simulation):
            raise Conflict(name)
        return json.loads(simulation.response.payload)

    def evaluate(self, creator: Creator, name: str, request: Mapping[str, Any], at: int = 0) -> Any:
        """Run a transaction and forget what it would write. Raises Refused."""
        response = self.propose(creator, name, [json.dumps(request)], at).response
        if response.status >= 400:
            raise Refused(response.message)
        return json.loads(response.payload)

    def _commit_one(self, simulation: Simulation) -> bool:
        effects = simulation.effects
        if simulation.response.status >= 400 or self._stale(effects):
            return False
        for key, value in effects.writes.items():
            past = self.history.setdefault(key, [])
            moment = _moment(simulation.proposal.at)
            past.append(Version(value, len(past) + 1, simulation.proposal.tx_id, moment))
            if value:
                self.state[key] = past[-1]
            else:
                self.state.pop(key, None)
        self.committed.append(simulation)
        return True

    def _stale(self, effects: Effects) -> bool:
        for key, number in effects.reads.items():
            found = self.state.get(key)
            if (found.number if found else NOT_THERE) != number:
                return True
        return any(
            tuple((key, version.number) for key, version in rows(self.state, start, end)) != seen
            for start, end, seen in effects.ranges
        )


def rows(state: Mapping[str, Version], start_key: str, end_key: str) -> list[tuple[str, Version]]:
    """Return the rows of a range in the byte order of their keys."""
    start, end = start_key.encode(), end_key.encode()
    found = [
        (key.encode(), key) for key in state if not key.startswith("\x00") or start_key.startswith("\x00")
    ]
    inside = sorted(pair for pair in found if start <= pair[0] and (not end or pair[0] < end))
    return [(key, state[key]) for _, key in inside]


def altered(proposal: Proposal, **changes: Any) -> Proposal:
    return replace(proposal, **changes)


def _moment(at: int) -> Timestamp:
    return Timestamp(at // 1000, at % 1000 * 1_000_000)


async def _each(items: list[T]) -> AsyncIterator[T]:
    for item in items:
        yield item
