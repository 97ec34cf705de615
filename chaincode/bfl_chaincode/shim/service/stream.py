"""One peer's stream: who reads it, who steps the transactions on it, and that one slow step holds nobody up.

The thread that reads the stream also steps the transactions (the leader): in the common case a message costs no
change of threads. A watchdog calls `relieve` and `give_up` regularly. When the leader has been inside one step for
too long, a fresh thread takes over the reading; the old one finishes its step whenever it does, hands its message to
the one writer, and ends. Of each transaction one request is out at a time, so a step is never run twice at once.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from fabric_protos.peer import chaincode_pb2

from bfl_chaincode.shim.peer_messages import MalformedMessage, Message, PeerOffer, read_offer
from bfl_chaincode.shim.service.metrics import Metrics
from bfl_chaincode.shim.service.transaction import OK, REFUSED, Invoke, Transaction, failure

logger = logging.getLogger("bfl_chaincode.service")

Admission = Callable[[], str]
"""Says why no new transaction is taken, "" when it is."""
MALFORMED = Message(type=Message.UNDEFINED)
"""Stands for bytes that are no message at all."""


class PeerStream:
    """A connected peer. `outgoing` is its one writer; everything else may run on any thread."""

    def __init__(self, package_id: str, invoke: Invoke, metrics: Metrics, admission: Admission) -> None:
        self._invoke = invoke
        self._metrics = metrics
        self._admission = admission
        self._outgoing: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._running: dict[tuple[str, str], tuple[Transaction, float]] = {}
        self._offer = PeerOffer()
        self._lock = threading.Lock()
        self._term = 0
        self._step_began: float | None = None
        self._stepping: tuple[str, str] = ("", "")
        self._held: dict[tuple[str, str], float] = {}
        name = chaincode_pb2.ChaincodeID(name=package_id)
        self._outgoing.put(Message(type=Message.REGISTER, payload=name.SerializeToString()))

    @property
    def is_running(self) -> bool:
        """A transaction is under way."""
        return bool(self._running)

    def outgoing(self) -> Iterator[Any]:
        """Give the messages to send, in their order, until the stream ends."""
        while (message := self._outgoing.get()) is not None:
            yield message

    def end(self) -> None:
        """Let the writer send what there is and stop; an answer that is on its way to the writer comes before."""
        with self._lock:
            self._outgoing.put(None)

    def start(self, incoming: Iterator[Any]) -> None:
        """Begin to read."""
        self._incoming = incoming
        self._appoint()

    def relieve(self, patience: float, now: float) -> bool:
        """Have another thread read the stream if its leader is stuck in one step. Says whether it was."""
        with self._lock:
            began = self._step_began
            if began is None or now - began < patience:
                return False
            self._held[self._stepping] = patience
            self._step_began = None
            self._term += 1
        self._metrics.change("stuck", 1)
        self._appoint()
        return True

    def give_up(self, limit: float, waited: float) -> None:
        """Answer for transactions that are inside one step for too long; what they still do is dropped.

        A peer commits no block while a transaction is under way on it: one that hangs would stop them all. `waited`
        is how much the watchdog lets count since its last call: on a machine that starves everybody, not all of it.
        """
        with self._lock:
            for key in self._held:
                self._held[key] += waited
            late = [key for key, seconds in self._held.items() if seconds >= limit]
            for key in late:
                del self._held[key]
                if key in self._running:
                    self._forget(key)
                    self._refuse("too slow", "a transaction that held its thread")
                    text = f"the contract held its thread for more than {limit:g} s"
                    self._outgoing.put(failure(key, text))

    # --- the leader -----------------------------------------------------------------------------

    def _appoint(self) -> None:
        term = self._term
        threading.Thread(target=self._lead, args=(term,), name=f"contract-{term}", daemon=True).start()

    def _lead(self, term: int) -> None:
        incoming, lock, monotonic = self._incoming, self._lock, time.monotonic
        try:
            while True:
                message = next(incoming)
                key = self._stepping = (message.channel_id, message.txid)
                self._step_began = monotonic()
                self._handle(message)
                with lock:
                    if self._term != term:
                        self._held.pop(key, None)
                        break
                    self._step_began = None
        except (grpc.RpcError, StopIteration):
            self._cut()
            return
        self._metrics.change("stuck", -1)

    def _cut(self) -> None:
        """The peer is gone: what is under way cannot be answered."""
        lost = len(self._running)
        for key in list(self._running):
            self._forget(key)
        logger.info("a peer's stream ended; %d transactions were under way", lost)
        self.end()

    # --- messages -------------------------------------------------------------------------------

    def _handle(self, message: Any) -> None:
        try:
            self._dispatch(message)
        except Exception:
            logger.exception("a message of a peer could not be handled")
            self._metrics.refused("fault")

    def _dispatch(self, message: Any) -> None:
        kind = message.type
        if kind in (Message.RESPONSE, Message.ERROR):
            self._reply(message)
        elif kind == Message.TRANSACTION:
            self._begin(message)
        elif kind == Message.KEEPALIVE:
            self._outgoing.put(message)
        elif kind == Message.READY:
            self._ready(message)
        elif kind == Message.REGISTERED:
            logger.info("registered with a peer")
        elif kind == Message.INIT:
            text = "this contract has no Init: define it without --init-required"
            self._outgoing.put(failure((message.channel_id, message.txid), text))
        else:
            self._unexpected(message)

    def _ready(self, message: Any) -> None:
        try:
            self._offer = read_offer(message.payload)
        except MalformedMessage as error:
            self._refuse("malformed", str(error))
        logger.info("a peer is ready; keys a message: %s", self._offer)

    def _unexpected(self, message: Any) -> None:
        """Neither a beginning nor a reply. Where a transaction waits, it learns of it."""
        if message is MALFORMED:
            self._refuse("malformed", "bytes that are no chaincode message")
        elif (message.channel_id, message.txid) in self._running:
            self._reply(message)
        else:
            self._refuse("unknown type", f"a message of type {message.type}")

    def _refuse(self, why: str, text: str) -> None:
        self._metrics.refused(why)
        logger.warning("refused what a peer sent: %s", text)

    # --- transactions ---------------------------------------------------------------------------

    def _begin(self, message: Any) -> None:
        key = (message.channel_id, message.txid)
        reason = self._admission()
        if not reason and key in self._running:
            self._forget(key)  # the peer has given it up: its late messages would be taken for the new one's
            reason = "this transaction is still running here, though the peer no longer waits for it"
        if reason:
            self._refuse("not taken", reason)
            self._outgoing.put(failure(key, reason))
            return
        try:
            transaction = Transaction(message, self._invoke, self._offer)
        except MalformedMessage as error:
            self._refuse("malformed", str(error))
            self._outgoing.put(failure(key, f"the peer's message cannot be read: {error}"))
            return
        self._running[key] = (transaction, time.monotonic())
        self._metrics.change("running", 1)
        self._send(transaction, transaction.begin())

    def _reply(self, message: Any) -> None:
        found = self._running.get((message.channel_id, message.txid))
        if found is None or not found[0].is_waiting:
            self._refuse("unknown transaction", "a reply that no transaction waits for")
            return
        transaction = found[0]
        transaction.is_waiting = False
        self._send(transaction, transaction.resume(message))

    def _send(self, transaction: Transaction, message: Any) -> None:
        """Hand a step's message to the writer, unless the transaction was given up meanwhile."""
        found = self._running.get(transaction.key)
        if found is None or found[0] is not transaction:
            return
        if message.type != Message.COMPLETED:
            transaction.is_waiting = True
            self._outgoing.put(message)
            return
        with self._lock:  # once none counts as running, the server ends the stream
            self._forget(transaction.key)
            self._count(transaction, time.monotonic() - found[1])
            self._outgoing.put(message)

    def _forget(self, key: tuple[str, str]) -> None:
        if self._running.pop(key, None):
            self._metrics.change("running", -1)

    def _count(self, transaction: Transaction, seconds: float) -> None:
        status = transaction.status
        result = "ok" if status < REFUSED else "refused"
        names: Counter[str] = Counter()
        for kind, count in transaction.requests.items():
            names[Message.Type.Name(kind)] = count
        label = self._metrics.completed(transaction.function, result, seconds, names)
        if logger.isEnabledFor(logging.DEBUG):
            short = transaction.key[1][:8]
            logger.debug("%s %s: status %d in %.1f ms", short, label, status or OK, seconds * 1000)
