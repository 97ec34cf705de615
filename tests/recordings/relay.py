"""Relays between two ends that speak gRPC: they pass every message on as the bytes that it is, and note it.

Decides nothing about what is said. One stands between a peer and its contract service, one between a client and a
peer's gateway.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
from fabric_protos.peer import chaincode_shim_pb2

from tests.recordings.archive import Record

LIMIT = 100 * 1024 * 1024
OPTIONS = (("grpc.max_receive_message_length", LIMIT), ("grpc.max_send_message_length", LIMIT))
UNARY = ("Evaluate", "Endorse", "Submit", "CommitStatus")
DETAILS = "grpc-status-details-bin"


def serve(address: str, credentials: Any, handlers: dict[str, dict[str, Any]]) -> tuple[Any, int]:
    """Start a server of handlers by service and method; return it and its port."""
    server = grpc.server(futures.ThreadPoolExecutor(64), options=OPTIONS)
    generic = tuple(grpc.method_handlers_generic_handler(name, found) for name, found in handlers.items())
    server.add_generic_rpc_handlers(generic)
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    return server, int(port)


@dataclass
class StreamRelay:
    """Between a peer and a contract service; `log` holds what was said, in an order that cause and effect allow.

    `cut_at` may name a message of the service at which the stream is cut instead of passing it on.
    """

    msp_id: str
    chaincode: str
    service: str
    log: list[Record] = field(default_factory=list)
    cut_at: Callable[[Any], bool] | None = None
    _streams: int = 0
    _lock: Any = field(default_factory=threading.Lock)

    def listen(self, address: str, credentials: Any) -> Any:
        """Serve at an address in the service's place."""
        handler = grpc.stream_stream_rpc_method_handler(self._connect)
        return serve(address, credentials, {"protos.Chaincode": {"Connect": handler}})[0]

    def note(self, stream: int, who: str, *parts: bytes) -> None:
        self.log.append(Record({"stream": stream, "who": who}, parts))

    def _connect(self, incoming: Iterator[bytes], context: Any) -> Iterator[bytes]:
        with self._lock:
            self._streams += 1
            number = self._streams
        self.note(number, "opened")
        channel = grpc.insecure_channel(self.service, OPTIONS)
        call = channel.stream_stream("/protos.Chaincode/Connect")(self._passed(number, incoming))
        context.add_callback(call.cancel)
        try:
            for raw in call:
                cut = self.cut_at
                self.note(number, "service", raw)
                if cut is not None and cut(chaincode_shim_pb2.ChaincodeMessage.FromString(raw)):
                    self.cut_at = None
                    self.note(number, "cut")
                    context.abort(grpc.StatusCode.UNAVAILABLE, "cut for the recording")
                yield raw
        except grpc.RpcError:
            self.note(number, "ended")
        finally:
            call.cancel()
            channel.close()

    def _passed(self, number: int, incoming: Iterator[bytes]) -> Iterator[bytes]:
        try:
            for raw in incoming:
                self.note(number, "peer", raw)
                yield raw
        except grpc.RpcError:
            return


class GatewayRelay:
    """Between a client and a peer's gateway: the server's side, with a `Backend` behind it."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def listen(self, address: str, credentials: Any) -> tuple[Any, int]:
        """Serve the gateway's methods at an address; return the server and its port."""
        gateway = {
            name: grpc.unary_unary_rpc_method_handler(self._unary(f"/gateway.Gateway/{name}"))
            for name in UNARY
        }
        gateway["ChaincodeEvents"] = grpc.unary_stream_rpc_method_handler(
            self._stream("/gateway.Gateway/ChaincodeEvents")
        )
        deliver = {"Deliver": grpc.stream_stream_rpc_method_handler(self._deliver)}
        return serve(address, credentials, {"gateway.Gateway": gateway, "protos.Deliver": deliver})

    def _unary(self, method: str) -> Callable[[bytes, Any], bytes]:
        def answer(request: bytes, context: Any) -> bytes:
            try:
                found: bytes = self._backend.unary(method, request, context)
            except Refusal as refusal:
                refusal.tell(context)
            return found

        return answer

    def _stream(self, method: str) -> Callable[[bytes, Any], Iterator[bytes]]:
        def answer(request: bytes, context: Any) -> Iterator[bytes]:
            try:
                yield from self._backend.stream(method, request, context)
            except Refusal as refusal:
                refusal.tell(context)

        return answer

    def _deliver(self, incoming: Iterator[bytes], context: Any) -> Iterator[bytes]:
        yield from self._stream("/protos.Deliver/Deliver")(next(incoming), context)


@dataclass
class Refusal(Exception):
    """An error of gRPC, as the other side gave it."""

    code: int
    details: str
    trailing: bytes

    @classmethod
    def of(cls, error: Any) -> Refusal:
        found = next((value for key, value in error.trailing_metadata() or () if key == DETAILS), b"")
        return cls(error.code().value[0], error.details() or "", bytes(found))

    def tell(self, context: Any) -> None:
        """End a call with this error. Always raises."""
        if self.trailing:
            context.set_trailing_metadata(((DETAILS, self.trailing),))
        code = next(item for item in grpc.StatusCode if item.value[0] == self.code)
        context.abort(code, self.details)


class NotingPeer:
    """The backend of a recording: passes every call on to a real peer and notes it with its reply."""

    def __init__(self, address: str, roots: bytes) -> None:
        self._channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(roots), OPTIONS)
        self.log: list[tuple[dict[str, Any], bytes, list[bytes]]] = []
        self.cut_after: tuple[str, int] | None = None
        """A stream of this method breaks off after so many replies, once."""

    def records(self) -> list[Record]:
        return [Record(facts, (request, *replies)) for facts, request, replies in self.log]

    def unary(self, method: str, request: bytes, context: Any) -> bytes:
        facts: dict[str, Any] = {"method": method, "code": 0}
        replies: list[bytes] = []
        self.log.append((facts, request, replies))
        try:
            reply: bytes = self._channel.unary_unary(method)(request, timeout=context.time_remaining())
        except grpc.RpcError as error:
            raise _noted(facts, error) from error
        replies.append(reply)
        return reply

    def stream(self, method: str, request: bytes, context: Any) -> Iterator[bytes]:
        facts: dict[str, Any] = {"method": method, "code": -1}
        replies: list[bytes] = []
        self.log.append((facts, request, replies))
        asked: queue.SimpleQueue[bytes | None] | None = None
        if method.endswith("Deliver"):
            asked = queue.SimpleQueue()
            asked.put(request)
            call = self._channel.stream_stream(method)(iter(asked.get, None))
        else:
            call = self._channel.unary_stream(method)(request)
        context.add_callback(call.cancel)
        try:
            for reply in call:
                replies.append(reply)
                yield reply
                if self.cut_after == (method, len(replies)):
                    self.cut_after = None
                    raise _cut(facts)
            facts["code"] = 0
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.CANCELLED:  # type: ignore[attr-defined]
                raise _noted(facts, error) from error
        finally:
            call.cancel()
            if asked is not None:
                asked.put(None)


def _cut(facts: dict[str, Any]) -> Refusal:
    refusal = Refusal(grpc.StatusCode.UNAVAILABLE.value[0], "cut for the recording", b"")
    facts.update(code=refusal.code, details=refusal.details, trailing="")
    return refusal


def _noted(facts: dict[str, Any], error: Any) -> Refusal:
    refusal = Refusal.of(error)
    facts.update(code=refusal.code, details=refusal.details, trailing=refusal.trailing.hex())
    return refusal
