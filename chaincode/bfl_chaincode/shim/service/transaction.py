"""One transaction, step by step: a reply of the peer goes in, the next message to the peer comes out.

Decides how a call of the contract begins and ends: whatever happens inside it, the last message is COMPLETED, with
the event where it succeeded and with status 500, without traceback, where it failed. Streams, threads and time are
left to `stream`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from fabric_protos.peer import chaincode_event_pb2, proposal_response_pb2

from bfl_chaincode.shim.peer_messages import (
    ENVELOPE_BYTES,
    MESSAGE_LIMIT_BYTES,
    Message,
    PeerOffer,
    PeerRefused,
    StateRequest,
    TooLarge,
    read_invocation,
)
from bfl_chaincode.shim.peer_stub import PeerStub
from bfl_chaincode.shim.stub import ChaincodeStub

OK, REFUSED, ERROR = 200, 400, 500


class Answer(Protocol):
    """What a contract returns; from REFUSED on a peer endorses nothing."""

    @property
    def status(self) -> int: ...

    @property
    def payload(self) -> bytes: ...

    @property
    def message(self) -> str: ...


Invoke = Callable[[ChaincodeStub], Coroutine[Any, Any, Answer]]
Key = tuple[str, str]


class Transaction:
    """A call of the contract that has begun. Only one thread at a time may step it."""

    def __init__(self, message: Any, invoke: Invoke, offer: PeerOffer) -> None:
        """Read what the peer sent. Raises MalformedMessage."""
        invocation = read_invocation(message)
        self.key: Key = (message.channel_id, message.txid)
        self.function = (
            invocation.arguments[0][:80].decode("utf-8", "replace") if invocation.arguments else ""
        )
        self.status = 0
        self.requests: Counter[int] = Counter()
        self.is_waiting = False
        """A request is out, and its reply has not come."""
        self._stub = PeerStub(invocation, offer)
        self._call = _call(invoke, self._stub)

    def begin(self) -> Any:
        """Run up to the first request; return that message, or the answer."""
        return self._step(lambda: self._call.send(None))

    def resume(self, reply: Any) -> Any:
        """Hand the peer's reply over and run on; return the next message."""
        if reply.type == Message.RESPONSE:
            payload = reply.payload
            return self._step(lambda: self._call.send(payload))
        return self._step(lambda: self._call.throw(_refusal(reply)))

    def _step(self, run: Callable[[], Any]) -> Any:
        try:
            asked = run()
            while asked is None:  # gives way to others, as `asyncio.sleep(0)` does
                asked = self._call.send(None)
        except StopIteration as stop:
            return self._completed(stop.value)
        except BaseException as error:  # also SystemExit: one transaction never ends the service
            return self._failed(error)
        if not isinstance(asked, StateRequest):
            return self._failed(RuntimeError("a contract must not wait for anything but the ledger"))
        self.requests[asked.kind] += 1
        return message_of(self.key, asked.kind, asked.payload)

    def _completed(self, answer: Answer) -> Any:
        try:
            return self._answer(answer)
        except BaseException as error:
            return self._failed(error)

    def _answer(self, answer: Answer) -> Any:
        response = proposal_response_pb2.Response(
            status=answer.status, payload=bytes(answer.payload), message=_text(answer.message)
        )
        payload = response.SerializeToString()
        event = self._stub.event if answer.status < REFUSED else None
        size = len(payload) + (len(event[0]) * 4 + len(event[1]) if event else 0)
        if size > MESSAGE_LIMIT_BYTES - ENVELOPE_BYTES:
            raise TooLarge(f"an answer of {size} bytes; a peer takes {MESSAGE_LIMIT_BYTES} at most")
        message = message_of(self.key, Message.COMPLETED, payload)
        if event:
            message.chaincode_event.CopyFrom(
                chaincode_event_pb2.ChaincodeEvent(event_name=event[0], payload=event[1])
            )
        self.status = answer.status
        return message

    def _failed(self, error: BaseException) -> Any:
        self.status = ERROR
        return failure(self.key, _described(error))


async def _call(invoke: Invoke, stub: PeerStub) -> Answer:
    """Run the contract; what it left open is closed, what it wrote is sent unless it refused."""
    answer = await invoke(stub)
    if answer.status < REFUSED:
        await stub.flush()
    await stub.close_queries()
    return answer


def message_of(key: Key, kind: int, payload: bytes) -> Any:
    return Message(type=kind, channel_id=key[0], txid=key[1], payload=payload)


def failure(key: Key, text: str) -> Any:
    """Return the answer of a transaction that failed."""
    response = proposal_response_pb2.Response(status=ERROR, message=_text(text))
    return message_of(key, Message.COMPLETED, response.SerializeToString())


def _refusal(reply: Any) -> Exception:
    if reply.type == Message.ERROR:
        return PeerRefused(reply.payload.decode("utf-8", "replace") or "the peer refused without a reason")
    kind = reply.type if reply.type not in Message.Type.values() else Message.Type.Name(reply.type)
    return PeerRefused(f"the peer replied with {kind} where RESPONSE or ERROR was due")


def _described(error: BaseException) -> str:
    """Say what went wrong: our own words and the peer's, of anything else only its kind, for it may hold values."""
    if isinstance(error, PeerRefused | TooLarge):
        return str(error)
    if type(error) is RuntimeError and str(error).startswith("a contract must not wait"):
        return str(error)
    return f"the contract failed outside its own refusals: {type(error).__name__}"


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
