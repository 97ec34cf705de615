"""A chaincode-as-a-service process part for real peers: one small contract, every kind of state access.

Not the product's shim: it exists so that real peers make blocks with every kind of read and write in them.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
from fabric_protos.common import policies_pb2
from fabric_protos.ledger.queryresult import kv_query_result_pb2
from fabric_protos.peer import chaincode_event_pb2, chaincode_pb2, proposal_response_pb2
from fabric_protos.peer import chaincode_shim_pb2 as shim
from fabric_protos.peer import chaincode_shim_pb2_grpc as shim_grpc

Message = shim.ChaincodeMessage


class Stub:
    """One transaction's talk with the peer."""

    def __init__(self, message: Any, send: Any) -> None:
        self.message = message
        self.answers: queue.Queue[Any] = queue.Queue()
        self._send = send

    def ask(self, kind: int, payload: bytes) -> bytes:
        self._send(
            Message(type=kind, payload=payload, txid=self.message.txid, channel_id=self.message.channel_id)
        )
        answer = self.answers.get(timeout=20)
        if answer.type == Message.ERROR:
            raise RuntimeError(answer.payload.decode())
        return bytes(answer.payload)

    def get(self, key: str, collection: str = "") -> bytes:
        return self.ask(Message.GET_STATE, shim.GetState(key=key, collection=collection).SerializeToString())

    def put(self, key: str, value: bytes, collection: str = "") -> None:
        request = shim.PutState(key=key, value=value, collection=collection)
        self.ask(Message.PUT_STATE, request.SerializeToString())

    def delete(self, key: str, collection: str = "") -> None:
        request = shim.DelState(key=key, collection=collection)
        self.ask(Message.DEL_STATE, request.SerializeToString())

    def hash(self, key: str, collection: str) -> bytes:
        request = shim.GetState(key=key, collection=collection)
        return self.ask(Message.GET_PRIVATE_DATA_HASH, request.SerializeToString())

    def purge(self, key: str, collection: str) -> None:
        request = shim.PurgePrivateState(key=key, collection=collection)
        self.ask(Message.PURGE_PRIVATE_DATA, request.SerializeToString())

    def set_policy(self, key: str, policy: Any) -> None:
        metadata = shim.StateMetadata(metakey="VALIDATION_PARAMETER", value=policy.SerializeToString())
        request = shim.PutStateMetadata(key=key, metadata=metadata)
        self.ask(Message.PUT_STATE_METADATA, request.SerializeToString())

    def keys(self, start: str, end: str, limit: int = 0) -> list[str]:
        request = shim.GetStateByRange(startKey=start, endKey=end)
        raw = self.ask(Message.GET_STATE_BY_RANGE, request.SerializeToString())
        response = shim.QueryResponse.FromString(raw)
        found: list[str] = []
        while True:
            found += [kv_query_result_pb2.KV.FromString(item.resultBytes).key for item in response.results]
            if not response.has_more or (limit and len(found) >= limit):
                break
            request_next = shim.QueryStateNext(id=response.id).SerializeToString()
            response = shim.QueryResponse.FromString(self.ask(Message.QUERY_STATE_NEXT, request_next))
        self.ask(Message.QUERY_STATE_CLOSE, shim.QueryStateClose(id=response.id).SerializeToString())
        return found


def run(stub: Stub, steps: list[list[Any]]) -> list[Any]:
    """Run the steps of a transaction, one after the other, and return what they gave."""
    results: list[Any] = []
    for name, *arguments in steps:
        if name == "put":
            stub.put(arguments[0], arguments[1].encode(), *arguments[2:])
        elif name == "get":
            results.append(stub.get(*arguments).decode())
        elif name == "delete":
            stub.delete(*arguments)
        elif name == "keys":
            results.append(stub.keys(*arguments))
        elif name == "hash":
            results.append(stub.hash(*arguments).hex())
        elif name == "purge":
            stub.purge(*arguments)
        elif name == "policy":
            policy = policies_pb2.SignaturePolicyEnvelope.FromString(bytes.fromhex(arguments[1]))
            stub.set_policy(arguments[0], policy)
        elif name == "fail":
            raise RuntimeError(arguments[0])
    return results


class TinyChaincode(shim_grpc.ChaincodeServicer):  # type: ignore[misc]
    """The service that a peer connects to."""

    def __init__(self, package_id: str) -> None:
        self.package_id = package_id

    def Connect(self, request_iterator: Any, context: Any) -> Iterator[Any]:
        outgoing: queue.Queue[Any] = queue.Queue()
        register = chaincode_pb2.ChaincodeID(name=self.package_id).SerializeToString()
        outgoing.put(Message(type=Message.REGISTER, payload=register))
        threading.Thread(target=self._receive, args=(request_iterator, outgoing), daemon=True).start()
        while context.is_active():
            try:
                yield outgoing.get(timeout=0.5)
            except queue.Empty:
                continue

    def _receive(self, incoming: Any, outgoing: queue.Queue[Any]) -> None:
        running: dict[str, Stub] = {}
        try:
            for message in incoming:
                if message.type == Message.TRANSACTION:
                    stub = running[message.txid] = Stub(message, outgoing.put)
                    threading.Thread(target=self._transaction, args=(stub, outgoing), daemon=True).start()
                elif message.type == Message.KEEPALIVE:
                    outgoing.put(message)
                elif message.txid in running:
                    running[message.txid].answers.put(message)
        except grpc.RpcError:
            return

    def _transaction(self, stub: Stub, outgoing: queue.Queue[Any]) -> None:
        message = stub.message
        event = None
        try:
            arguments = chaincode_pb2.ChaincodeInput.FromString(message.payload).args
            result = json.dumps(run(stub, json.loads(arguments[1])["steps"]), separators=(",", ":"))
            response = proposal_response_pb2.Response(status=200, payload=result.encode())
            payload = json.dumps(
                {"v": 1, "contract": "test", "transaction": "Run", "task": "t", "round": 0, "refs": []}
            )
            event = chaincode_event_pb2.ChaincodeEvent(event_name="test:Run", payload=payload.encode())
        except RuntimeError as error:
            response = proposal_response_pb2.Response(status=500, message=str(error))
        outgoing.put(
            Message(
                type=Message.COMPLETED,
                payload=response.SerializeToString(),
                txid=message.txid,
                channel_id=message.channel_id,
                chaincode_event=event,
            )
        )


def serve(package_id: str, address: str) -> Any:
    """Start serving in this process, without TLS; stop the server that is returned."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    shim_grpc.add_ChaincodeServicer_to_server(TinyChaincode(package_id), server)
    if not server.add_insecure_port(address):
        raise RuntimeError(f"cannot listen at {address}")
    server.start()
    return server
