"""The real contract on a state in memory: rules, records, events and refusals as they are, and no ledger below.

There are no blocks, no signatures, no endorsement and no conflicts: transactions run one after another. What
these add is shown on the embedded ledger; this host is for simulations that run thousands of rounds.
"""

from __future__ import annotations

import asyncio
import bisect
import functools
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bfl_chaincode.api import canonical
from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.errors import parse_code
from bfl_chaincode.api.events import ContractEvent
from bfl_chaincode.api.records import from_json
from bfl_chaincode.main import OK, TRANSACTIONS, build_chaincode, invoke
from bfl_chaincode.shim.contract_api import ContractChaincode
from bfl_chaincode.shim.stub import (
    ChaincodeStub,
    Creator,
    KeyModification,
    KeyValue,
    Page,
    Response,
    Timestamp,
)
from bfl_fabric.domain.ports import Checkpoint, Clock, Commit, LedgerEvent
from bfl_fabric.errors import EvaluateError, LedgerRefused
from bfl_fabric.fabric.authority import CertificateAuthority

YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Member:
    """Who calls: organization, common name, NodeOU and the attribute `bfl.role`, "" for none."""

    msp_id: str
    name: str
    ou: str = "client"
    role: str = ""


@functools.lru_cache(maxsize=256)
def _authority(msp_id: str) -> CertificateAuthority:
    now = datetime.now(UTC)
    return CertificateAuthority.create(msp_id, f"ca.{msp_id}", now - YEAR, now + 30 * YEAR)


@functools.lru_cache(maxsize=4096)
def _certificate(member: Member) -> bytes:
    attributes = {"bfl.role": member.role} if member.role else None
    return _authority(member.msp_id).issue_identity(member.name, member.ou, attributes).certificate_pem


@functools.cache
def _chaincode() -> ContractChaincode:
    """Return the one chaincode of this process: it keeps nothing between transactions and is slow to build."""
    return build_chaincode()


class MemoryState:
    """Keys and values, and the keys in order: code points sort as their UTF-8 bytes do."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._keys: list[str] = []

    def get(self, key: str) -> bytes:
        return self._values.get(key, b"")

    def put(self, key: str, value: bytes) -> None:
        """Write the value; an empty one deletes the key."""
        if not value:
            if self._values.pop(key, None) is not None:
                self._keys.remove(key)
            return
        if key not in self._values:
            bisect.insort(self._keys, key)
        self._values[key] = value

    def rows(self, start_key: str, end_key: str) -> list[KeyValue]:
        first = bisect.bisect_left(self._keys, start_key)
        last = bisect.bisect_left(self._keys, end_key) if end_key else len(self._keys)
        return [KeyValue(key, self._values[key]) for key in self._keys[first:last]]


class ContractHost:
    """One channel's state; `ledger` gives each member its connection."""

    def __init__(self) -> None:
        self._state = MemoryState()
        self._listeners: list[asyncio.Queue[LedgerEvent]] = []
        self._answers: dict[tuple[str, str], Json] = {}
        self.history: list[LedgerEvent] = []

    def ledger(self, member: Member, clock: Clock) -> ContractLedger:
        return ContractLedger(self, member, clock)

    def reliable_ledger(self, member: Member, clock: Clock) -> ContractLedger:
        return ContractLedger(self, member, clock)

    def crash(self) -> None:
        """Forget nothing: there is no process of its own that could end."""

    async def run(self, call: Call) -> tuple[Response, MemoryStub]:
        stub = MemoryStub(call, self._state)
        return await invoke(_chaincode(), stub), stub

    async def ask(self, call: Call) -> Json:
        """Answer a query; the same question on the same state has the same answer, whoever asks."""
        question = (call.transaction, call.argument)
        if call.transaction == "federation:WhoAmI" or question not in self._answers:
            response, _ = await self.run(call)
            self._answers[question] = _answer(call.transaction, response)
        return self._answers[question]

    def commit(self, stub: MemoryStub) -> int:
        """Apply a transaction's writes and send its event; return its block number, one for each."""
        self._answers.clear()
        number = len(self.history) + 1
        for key, value in stub.writes.items():
            self._state.put(key, value)
        name, payload = stub.event
        event = from_json(ContractEvent, canonical.parse(payload))
        self.history.append(LedgerEvent(name, stub.get_txid(), number, event))
        for queue in self._listeners:
            queue.put_nowait(self.history[-1])
        return number

    def listen(self) -> asyncio.Queue[LedgerEvent]:
        queue: asyncio.Queue[LedgerEvent] = asyncio.Queue()
        self._listeners.append(queue)
        return queue

    def leave(self, queue: asyncio.Queue[LedgerEvent]) -> None:
        self._listeners.remove(queue)


@dataclass(frozen=True, slots=True)
class Call:
    """One proposal."""

    transaction: str
    argument: str
    transaction_id: str
    at_ms: int
    member: Member


class ContractLedger:
    """The port Ledger of one member on a ContractHost."""

    def __init__(self, host: ContractHost, member: Member, clock: Clock) -> None:
        self._host = host
        self._member = member
        self._clock = clock

    async def evaluate(self, transaction: str, request: Mapping[str, Json]) -> Json:
        return await self._host.ask(self._call(transaction, request))

    async def submit(self, transaction: str, request: Mapping[str, Json]) -> Commit:
        if TRANSACTIONS.get(transaction, False):
            raise EvaluateError(f"{transaction} is a query; evaluate it")
        call = self._call(transaction, request)
        response, stub = await self._host.run(call)
        result = _answer(transaction, response)
        return Commit(call.transaction_id, self._host.commit(stub), result)

    async def events(
        self, after: Checkpoint | None = None, *, start_block: int | None = None
    ) -> AsyncIterator[LedgerEvent]:
        queue = self._host.listen()
        try:
            first = after.block_number + 1 if after is not None else start_block
            for event in self._host.history[(first or len(self._host.history) + 1) - 1 :]:
                yield event
            while True:
                yield await queue.get()
        finally:
            self._host.leave(queue)

    async def blocks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        raise EvaluateError("this host keeps no blocks; use the embedded ledger")
        yield b""

    def _call(self, transaction: str, request: Mapping[str, Json]) -> Call:
        text = canonical.text(request)
        nonce = f"{self._member} {len(self._host.history)} {transaction} {text}"
        transaction_id = hashlib.sha256(nonce.encode()).hexdigest()
        return Call(transaction, text, transaction_id, self._clock.now_ms(), self._member)


def _answer(transaction: str, response: Response) -> Json:
    if response.status == OK:
        return canonical.parse(response.payload)
    coded = parse_code(response.message)
    if coded is None:
        raise EvaluateError(f"{transaction} failed: {response.message}")
    raise LedgerRefused(*coded)


class MemoryStub(ChaincodeStub):
    """One transaction on a dictionary. Reads see the committed state, writes are collected."""

    def __init__(self, call: Call, state: MemoryState) -> None:
        self._call = call
        self._state = state
        self.writes: dict[str, bytes] = {}
        self.event = ("", b"")

    def get_function_and_parameters(self) -> tuple[str, list[str]]:
        return self._call.transaction, [self._call.argument]

    def get_txid(self) -> str:
        return self._call.transaction_id

    def get_channel_id(self) -> str:
        return "simulation"

    def get_tx_timestamp(self) -> Timestamp:
        return Timestamp(self._call.at_ms // 1000, self._call.at_ms % 1000 * 1_000_000)

    def get_creator(self) -> Creator:
        return {"mspid": self._call.member.msp_id, "idBytes": _certificate(self._call.member)}

    def get_transient(self) -> Mapping[str, bytes]:
        return {}

    def set_event(self, name: str, payload: bytes) -> None:
        self.event = (name, payload)

    async def get_state(self, key: str) -> bytes:
        return self._state.get(key)

    async def put_state(self, key: str, value: bytes) -> None:
        self.writes[key] = value

    async def delete_state(self, key: str) -> None:
        self.writes[key] = b""

    async def _read_range(self, start_key: str, end_key: str) -> AsyncIterator[KeyValue]:
        return _stream(self._state.rows(start_key, end_key))

    async def _read_page(self, start_key: str, end_key: str, page_size: int, bookmark: str) -> Page:
        raise NotImplementedError("pages are for queries of the embedded ledger")

    async def get_history_for_key(self, key: str) -> AsyncIterator[KeyModification]:
        raise NotImplementedError("this host keeps no history")

    async def get_private_data(self, collection: str, key: str) -> bytes:
        raise NotImplementedError("this host keeps no private data")

    async def get_private_data_hash(self, collection: str, key: str) -> bytes:
        raise NotImplementedError("this host keeps no private data")

    async def put_private_data(self, collection: str, key: str, value: bytes) -> None:
        raise NotImplementedError("this host keeps no private data")

    async def delete_private_data(self, collection: str, key: str) -> None:
        raise NotImplementedError("this host keeps no private data")

    async def purge_private_data(self, collection: str, key: str) -> None:
        raise NotImplementedError("this host keeps no private data")

    async def set_state_validation_parameter(self, key: str, policy: bytes) -> None:
        raise NotImplementedError("this host endorses nothing")

    async def get_state_validation_parameter(self, key: str) -> bytes:
        raise NotImplementedError("this host endorses nothing")

    async def invoke_chaincode(self, name: str, arguments: Sequence[bytes], channel: str = "") -> Response:
        raise NotImplementedError("this host has one chaincode")


async def _stream(rows: list[KeyValue]) -> AsyncIterator[KeyValue]:
    for row in rows:
        yield row
