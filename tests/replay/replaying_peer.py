"""A peer that says what a real one said, over a real socket, and compares every message of our service with the record.

Decides what counts as the same: every byte, in the order of each transaction. Transactions that ran at once may answer
in another order among each other.
"""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
from fabric_protos.peer import chaincode_pb2, chaincode_shim_pb2

from bfl_chaincode.shim.service import ContractServer, ServiceSettings
from tests.recordings.archive import Record

Message = chaincode_shim_pb2.ChaincodeMessage
LIMIT = 100 * 1024 * 1024
OPTIONS = (("grpc.max_receive_message_length", LIMIT), ("grpc.max_send_message_length", LIMIT))


class Differs(AssertionError):
    """Our service says something else than it did before a real peer."""


def replay(records: Iterable[Record], invoke: Any, patience_seconds: float = 20.0) -> int:
    """Serve a contract and replay all streams of a recording before it; return how many messages were compared.

    Raises Differs at the first message that is not the recorded one, and when our service is not at rest afterwards.
    """
    streams: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        streams[record.facts["stream"]].append(record)
    server = ContractServer(invoke, ServiceSettings(_package_id(streams), "127.0.0.1:0", None))
    server.start()
    try:
        compared = sum(_replay_stream(server.address, one, patience_seconds) for one in streams.values())
        _require_rest(server, patience_seconds)
    finally:
        server.stop(0.0)
    return compared


class _Stream:
    """One connection, as a peer makes it."""

    def __init__(self, address: str, patience_seconds: float) -> None:
        self._channel = grpc.insecure_channel(address, OPTIONS)
        self._patience = patience_seconds
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._received: dict[str, queue.SimpleQueue[bytes]] = defaultdict(queue.SimpleQueue)
        self._call = self._channel.stream_stream("/protos.Chaincode/Connect")(self._sent())
        threading.Thread(target=self._receive, daemon=True).start()

    def send(self, raw: bytes) -> None:
        self._outgoing.put(raw)

    def expect(self, raw: bytes) -> None:
        wanted = Message.FromString(raw)
        what = f"{Message.Type.Name(wanted.type)} of {wanted.txid[:8] or 'no transaction'}"
        try:
            found = self._received[wanted.txid].get(timeout=self._patience)
        except queue.Empty:
            raise Differs(f"{what} did not come") from None
        if found != raw:
            raise Differs(f"{what} is another message:\n{wanted}\ncame as\n{Message.FromString(found)}")

    def require_silence(self) -> None:
        left = {txid: waiting for txid, waiting in self._received.items() if not waiting.empty()}
        if left:
            raw = next(iter(left.values())).get()
            raise Differs(f"a message that no service sent before: {Message.FromString(raw)}")

    def close(self) -> None:
        self._outgoing.put(None)
        self._call.cancel()
        self._channel.close()

    def _sent(self) -> Iterator[bytes]:
        yield from iter(self._outgoing.get, None)

    def _receive(self) -> None:
        try:
            for raw in self._call:
                self._received[Message.FromString(raw).txid].put(raw)
        except grpc.RpcError:
            return


def _replay_stream(address: str, records: list[Record], patience_seconds: float) -> int:
    stream = _Stream(address, patience_seconds)
    compared = 0
    try:
        for record in records:
            if record.facts["who"] == "peer":
                stream.send(record.parts[0])
            elif record.facts["who"] == "service":
                stream.expect(record.parts[0])
                compared += 1
            elif record.facts["who"] == "cut":
                break
        stream.require_silence()
    finally:
        stream.close()
    return compared


def _require_rest(server: ContractServer, patience_seconds: float) -> None:
    """Nothing of a stream that was cut may go on running."""
    pause = threading.Event()
    for _ in range(int(patience_seconds / 0.02)):
        if not server.metrics.value("running") and not server.metrics.value("streams"):
            return
        pause.wait(0.02)
    raise Differs(f"{server.metrics.value('running')} transactions still run after their streams ended")


def _package_id(streams: dict[int, list[Record]]) -> str:
    """Return the package that registered first."""
    raw = next(record for record in streams[1] if record.facts["who"] == "service").parts[0]
    name: str = chaincode_pb2.ChaincodeID.FromString(Message.FromString(raw).payload).name
    return name
