"""The server that peers connect to: sockets, TLS, the watchdog over its streams, and an orderly end.

Decides who may connect (with TLS: who has a certificate of the client authority), what is healthy, and that nothing
waits for a stuck function, not even the end.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from bfl_chaincode.shim.peer_messages import MESSAGE_LIMIT_BYTES, Message
from bfl_chaincode.shim.service.addresses import host_and_port
from bfl_chaincode.shim.service.metrics import Metrics
from bfl_chaincode.shim.service.operations import Operations
from bfl_chaincode.shim.service.settings import ServiceSettings
from bfl_chaincode.shim.service.stream import MALFORMED, PeerStream
from bfl_chaincode.shim.service.transaction import Invoke

logger = logging.getLogger("bfl_chaincode.service")

SERVICE, METHOD = "protos.Chaincode", "Connect"
_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.so_reuseport", 0),  # a second process at the same address is an error, not half of the calls
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # peers ask every minute whether we live
)


class ContractServer:
    """Serves a contract, any `async invoke(stub) -> Response` that awaits nothing but its stub, to peers.

    `start` returns when peers can connect. `stop` lets running transactions finish for up to `grace` seconds.
    """

    def __init__(self, invoke: Invoke, settings: ServiceSettings) -> None:
        self._invoke = invoke
        self._settings = settings
        self._streams: set[PeerStream] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server: Any = None
        self._operations: Operations | None = None
        self._watchdog = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self.metrics = Metrics()
        self.address = settings.address
        self.operations_address = settings.operations_address

    def start(self) -> None:
        """Listen. Raises OSError where an address cannot be had, ValueError where one is none."""
        host, port = host_and_port(self._settings.address)
        self._server = self._grpc_server()
        try:
            taken = self._listen(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            self._open_operations()
        except OSError:
            self._server.stop(None)
            raise
        self.address = f"{self._settings.address.rpartition(':')[0]}:{taken}"
        self._server.start()
        self._watchdog.start()
        logger.info("serving %s at %s", self._settings.package_id, self.address)

    def stop(self, grace: float = 5.0) -> None:
        """Take no new transaction, wait for the running ones, let the peers go, end."""
        self._stopping.set()
        deadline = time.monotonic() + grace
        while self.metrics.value("running") and time.monotonic() < deadline:
            time.sleep(0.01)
        for stream in self._current():
            stream.end()
        self._server.stop(1.0).wait()
        self._watchdog.join(5)
        if self._operations:
            self._operations.close()
        logger.info("ended with %d transactions unanswered", self.metrics.value("running"))

    def failed_checks(self) -> dict[str, str]:
        """Return what keeps the service from taking transactions, by component."""
        failed = {}
        if self._is_full():
            failed["functions"] = self._full()
        if self._stopping.is_set():
            failed["service"] = "it is shutting down"
        return failed

    def _open_operations(self) -> None:
        address = self._settings.operations_address
        if address:
            self._operations = Operations(address, self.metrics, self.failed_checks)
            self.operations_address = self._operations.address

    # --- peers ----------------------------------------------------------------------------------

    def _grpc_server(self) -> Any:
        limit = self._settings.stream_limit
        server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=limit, thread_name_prefix="writer"),
            options=_OPTIONS,
            maximum_concurrent_rpcs=limit,
        )
        handler = grpc.stream_stream_rpc_method_handler(
            self._connect, request_deserializer=_read, response_serializer=Message.SerializeToString
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
        return server

    def _listen(self, address: str) -> int:
        tls = self._settings.tls
        try:
            if tls is None:
                taken = self._server.add_insecure_port(address)
            else:
                credentials = grpc.ssl_server_credentials(
                    [(tls.key, tls.certificate)], tls.client_authority, require_client_auth=True
                )
                taken = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise OSError(f"cannot listen at {address}: {error}") from error
        if not taken:
            raise OSError(f"cannot listen at {address}: key, certificate and client authority must be PEM")
        return int(taken)

    def _connect(self, incoming: Iterator[Any], context: Any) -> Iterator[Any]:
        """Serve one peer, on the thread that writes to it."""
        stream = PeerStream(self._settings.package_id, self._invoke, self.metrics, self._admission)
        context.add_callback(stream.end)
        with self._known(stream):
            logger.info("a peer connected")
            stream.start(incoming)
            yield from stream.outgoing()

    @contextlib.contextmanager
    def _known(self, stream: PeerStream) -> Iterator[None]:
        with self._lock:
            self._streams.add(stream)
        self.metrics.change("streams", 1)
        try:
            yield
        finally:
            with self._lock:
                self._streams.discard(stream)
            self.metrics.change("streams", -1)

    def _current(self) -> list[PeerStream]:
        with self._lock:
            return list(self._streams)

    # --- stuck functions ------------------------------------------------------------------------

    def _watch(self) -> None:
        patience, last = self._settings.handover_seconds, time.monotonic()
        while not self._stopping.is_set() or self.metrics.value("running"):
            streams = self._current()
            is_busy = any(stream.is_running for stream in streams)
            time.sleep(patience / 2 if is_busy else patience)
            now = time.monotonic()
            waited, last = min(now - last, 2 * patience), now
            for stream in streams:
                if stream.relieve(patience, now):
                    logger.warning("a function holds its thread; %d do", self.metrics.value("stuck"))
                stream.give_up(self._settings.answer_seconds, waited)

    def _is_full(self) -> bool:
        return self.metrics.value("stuck") >= self._settings.stuck_limit

    def _full(self) -> str:
        return f"{self.metrics.value('stuck')} functions hang; end this service and start it again"

    def _admission(self) -> str:
        if self._stopping.is_set():
            return "this contract service is shutting down; nothing was written, try again"
        return f"this contract service takes no transaction: {self._full()}" if self._is_full() else ""


def _read(raw: bytes) -> Any:
    try:
        return Message.FromString(raw)
    except DecodeError:
        return MALFORMED
