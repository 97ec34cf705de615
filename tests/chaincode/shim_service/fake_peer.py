"""A scripted peer: a real gRPC client over a real socket that speaks Fabric's chaincode stream, message by message."""

from __future__ import annotations

import itertools
import queue
import secrets
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
from fabric_protos.common import common_pb2
from fabric_protos.msp import identities_pb2
from fabric_protos.peer import chaincode_pb2, chaincode_shim_pb2, proposal_pb2, proposal_response_pb2

Message = chaincode_shim_pb2.ChaincodeMessage
CHANNEL = "training"
SECONDS = 10.0
LIMIT = 100 * 1024 * 1024
OPTIONS = [("grpc.max_receive_message_length", LIMIT), ("grpc.max_send_message_length", LIMIT)]


def offer(reads: int = 0, writes: int = 0) -> bytes:
    """What a peer of 3.1 says when it is ready."""
    params = chaincode_pb2.ChaincodeAdditionalParams(
        use_get_multiple_keys=bool(reads),
        max_size_get_multiple_keys=reads,
        use_write_batch=bool(writes),
        max_size_write_batch=writes,
    )
    return params.SerializeToString()


def transaction(
    *arguments: str | bytes,
    txid: str = "",
    channel: str = CHANNEL,
    transient: Mapping[str, bytes] | None = None,
) -> Any:
    """A TRANSACTION message as peers send it, with its proposal."""
    txid = txid or secrets.token_hex(32)
    header = common_pb2.ChannelHeader(channel_id=channel, tx_id=txid)
    header.timestamp.seconds, header.timestamp.nanos = 1_700_000_000, 5
    creator = identities_pb2.SerializedIdentity(mspid="AlphaMSP", id_bytes=b"certificate")
    signature = common_pb2.SignatureHeader(creator=creator.SerializeToString(), nonce=b"n")
    proposal = proposal_pb2.Proposal(
        header=common_pb2.Header(
            channel_header=header.SerializeToString(), signature_header=signature.SerializeToString()
        ).SerializeToString(),
        payload=proposal_pb2.ChaincodeProposalPayload(TransientMap=transient or {}).SerializeToString(),
    )
    raw = [argument.encode() if isinstance(argument, str) else argument for argument in arguments]
    return Message(
        type=Message.TRANSACTION,
        txid=txid,
        channel_id=channel,
        payload=chaincode_pb2.ChaincodeInput(args=raw).SerializeToString(),
        proposal=proposal_pb2.SignedProposal(proposal_bytes=proposal.SerializeToString()),
    )


class FakePeer:
    """One stream. What the service sends is kept per transaction; a context manager."""

    def __init__(self, address: str, credentials: Any = None, ready: bytes = b"") -> None:
        self._channel = (
            grpc.secure_channel(address, credentials, OPTIONS)
            if credentials
            else grpc.insecure_channel(address, OPTIONS)
        )
        self._ready = ready
        self._outgoing: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._received: dict[str, queue.SimpleQueue[Any]] = defaultdict(queue.SimpleQueue)
        self.ended = threading.Event()
        self.status: grpc.StatusCode | None = None
        self.package_id = ""

    def __enter__(self) -> FakePeer:
        call = self._channel.stream_stream(
            "/protos.Chaincode/Connect",
            request_serializer=lambda item: item if isinstance(item, bytes) else item.SerializeToString(),
            response_deserializer=Message.FromString,
        )
        self._call = call(self._sent(), wait_for_ready=False, timeout=120)
        threading.Thread(target=self._receive, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._call.cancel()
        self._channel.close()

    def register(self) -> FakePeer:
        """Take the service's registration, as a peer does before anything else."""
        message = self.next("")
        assert message.type == Message.REGISTER
        self.package_id = chaincode_pb2.ChaincodeID.FromString(message.payload).name
        self.send(Message(type=Message.REGISTERED))
        self.send(Message(type=Message.READY, payload=self._ready))
        return self

    def send(self, message: Any) -> None:
        """Send a message, or any bytes."""
        self._outgoing.put(message)

    def next(self, txid: str, seconds: float = SECONDS) -> Any:
        """Return the next message for a transaction ("" for none)."""
        try:
            return self._received[txid].get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"nothing came within {seconds} s (the stream: {self.status})") from None

    def has_nothing(self, txid: str, seconds: float = 0.2) -> bool:
        """Say whether nothing comes for a while."""
        try:
            self._received[txid].get(timeout=seconds)
        except queue.Empty:
            return True
        return False

    def begin(self, *arguments: str | bytes, **options: Any) -> str:
        """Send a transaction; return its id."""
        message = transaction(*arguments, **options)
        self.send(message)
        return str(message.txid)

    def reply(self, to: Any, payload: bytes = b"", kind: int = Message.RESPONSE) -> None:
        """Answer a request."""
        self.send(Message(type=kind, payload=payload, txid=to.txid, channel_id=to.channel_id))

    def expect(self, txid: str, kind: int) -> Any:
        message = self.next(txid)
        assert Message.Type.Name(message.type) == Message.Type.Name(kind), message
        return message

    def completed(self, txid: str, seconds: float = SECONDS) -> tuple[Any, Any]:
        """Return a transaction's response and its last message, which must be the next one."""
        message = self.next(txid, seconds)
        assert Message.Type.Name(message.type) == "COMPLETED"
        return proposal_response_pb2.Response.FromString(message.payload), message

    def run(self, *arguments: str | bytes, **options: Any) -> Any:
        """Run a transaction that asks the peer for nothing; return its response."""
        return self.completed(self.begin(*arguments, **options))[0]

    def serve(self, txid: str, replies: Mapping[int, bytes] | None = None) -> tuple[Any, list[Any]]:
        """Answer every request of a transaction by its kind, b"" else; return its response and the requests."""
        asked: list[Any] = []
        while (message := self.next(txid)).type != Message.COMPLETED:
            asked.append(message)
            self.reply(message, (replies or {}).get(message.type, b""))
        return proposal_response_pb2.Response.FromString(message.payload), asked

    def _sent(self) -> Iterator[Any]:
        for _ in itertools.count():
            yield self._outgoing.get()

    def _receive(self) -> None:
        try:
            for message in self._call:
                self._received[message.txid].put(message)
            self.status = self._call.code()
        except grpc.RpcError as error:
            self.status = error.code()
        self.ended.set()


def names(messages: list[Any]) -> list[str]:
    return [Message.Type.Name(message.type) for message in messages]
