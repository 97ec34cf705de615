"""The stub of a real peer: every call is a request on the stream that brought the transaction.

Decides which requests a call makes, in which order, and what is gathered: where the peer takes batches, public writes
wait until the transaction ends or something else must come after them, and many reads share a message. The awaitables
yield a `StateRequest` and are resumed with the reply; who carries them, on which thread, is left to `service`.

A gathered write that the peer refuses later ends the transaction with status 500, even if the contract would have
caught the refusal. Only public puts and deletions are gathered: a peer refuses them for a page read before, which is
asked of it at once, or for the state database's own rules.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from fabric_protos.peer import chaincode_shim_pb2 as shim

from bfl_chaincode.shim.peer_messages import (
    Invocation,
    MalformedMessage,
    Message,
    PeerOffer,
    StateRequest,
    chaincode_call,
    is_key_policy,
    key_modification,
    key_value,
    parse,
    query_metadata,
    read_bookmark,
    read_called,
    read_rows,
    request,
)
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

VALIDATION_PARAMETER = "VALIDATION_PARAMETER"
GATHERED_BYTES = 1024 * 1024
"""Writes do not wait for each other beyond this size: a batch is one message."""

Row = TypeVar("Row")


class Rows(AsyncIterator[Row], Generic[Row]):
    """The rows of a query, fetched as they are asked for. A peer that has no more has closed the query itself."""

    def __init__(self, response: Any, read: Callable[[bytes], Row]) -> None:
        self._response = response
        self._read = read
        self._next = 0

    @property
    def is_open(self) -> bool:
        """The peer still keeps something for this query."""
        return bool(self._response.has_more)

    async def __anext__(self) -> Row:
        while self._next >= len(self._response.results):
            if not self._response.has_more:
                raise StopAsyncIteration
            await self._fetch()
        row = self._read(self._response.results[self._next].resultBytes)
        self._next += 1
        return row

    async def _fetch(self) -> None:
        asked = self._response.id
        self._response = shim.QueryResponse()  # what fails is closed at the peer
        self._response = read_rows(await request(Message.QUERY_STATE_NEXT, shim.QueryStateNext(id=asked)))
        self._next = 0

    async def close(self) -> None:
        """Let the peer forget the query. Nothing more comes out of it."""
        if self.is_open:
            asked = self._response.id
            self._response = shim.QueryResponse()
            await request(Message.QUERY_STATE_CLOSE, shim.QueryStateClose(id=asked))


class PeerStub(ChaincodeStub):
    """One transaction's talk with its peer."""

    def __init__(self, invocation: Invocation, offer: PeerOffer) -> None:
        self._invocation = invocation
        self._offer = offer
        self._gathered: list[Any] = []
        self._gathered_bytes = 0
        self._queries: list[Rows[Any]] = []
        self._has_paged = False
        self.event: tuple[str, bytes] | None = None

    async def close_queries(self) -> None:
        """Close what the contract did not read to its end."""
        for rows in self._queries:
            await rows.close()
        self._queries.clear()

    async def flush(self) -> None:
        """Send the gathered writes. Raises PeerRefused."""
        gathered, self._gathered, self._gathered_bytes = self._gathered, [], 0
        if len(gathered) == 1:
            await _single(gathered[0])
            return
        for start in range(0, len(gathered), max(1, self._offer.writes)):
            batch = shim.WriteBatchState(rec=gathered[start : start + self._offer.writes])
            await request(Message.WRITE_BATCH_STATE, batch)

    # --- the transaction ------------------------------------------------------------------------

    def get_function_and_parameters(self) -> tuple[str, list[str]]:
        arguments = [argument.decode("utf-8") for argument in self._invocation.arguments]
        return (arguments[0], arguments[1:]) if arguments else ("", [])

    def get_txid(self) -> str:
        return self._invocation.transaction_id

    def get_channel_id(self) -> str:
        return self._invocation.channel_id

    def get_tx_timestamp(self) -> Timestamp:
        return self._invocation.timestamp

    def get_creator(self) -> Creator:
        return self._invocation.creator

    def get_transient(self) -> Mapping[str, bytes]:
        return dict(self._invocation.transient)

    def set_event(self, name: str, payload: bytes) -> None:
        if not name:
            raise InvalidKey("an event needs a name")
        self.event = (name, bytes(payload))

    # --- public state ---------------------------------------------------------------------------

    async def get_state(self, key: str) -> bytes:
        return await request(Message.GET_STATE, shim.GetState(key=require_key(key)))

    async def get_multiple_states(self, *keys: str) -> list[bytes]:
        if not self._offer.reads or len(keys) < 2:
            return await super().get_multiple_states(*keys)
        found: list[bytes] = []
        for start in range(0, len(keys), self._offer.reads):
            found += await self._read_together(
                [require_key(k) for k in keys[start : start + self._offer.reads]]
            )
        return found

    async def _read_together(self, keys: list[str]) -> list[bytes]:
        raw = await request(Message.GET_STATE_MULTIPLE, shim.GetStateMultiple(keys=keys))
        values = list(parse(shim.GetStateMultipleResult, raw, "a reply to GET_STATE_MULTIPLE").values)
        if len(values) != len(keys):
            raise MalformedMessage(f"{len(values)} values came for {len(keys)} keys")
        return values

    async def put_state(self, key: str, value: bytes) -> None:
        record = shim.WriteRecord(key=require_key(key), value=bytes(value), type=Message.PUT_STATE)
        await self._write(record, len(value))

    async def delete_state(self, key: str) -> None:
        await self._write(shim.WriteRecord(key=require_key(key), type=Message.DEL_STATE), 0)

    async def _write(self, record: Any, size: int) -> None:
        if not self._offer.writes or self._has_paged or size > GATHERED_BYTES:
            await self.flush()
            await _single(record)
            return
        if self._gathered_bytes + size > GATHERED_BYTES:
            await self.flush()
        self._gathered.append(record)
        self._gathered_bytes += size

    async def _read_range(self, start_key: str, end_key: str) -> AsyncIterator[KeyValue]:
        asked = shim.GetStateByRange(startKey=start_key, endKey=end_key)
        response = read_rows(await request(Message.GET_STATE_BY_RANGE, asked))
        return self._opened(Rows(response, key_value))

    async def _read_page(self, start_key: str, end_key: str, page_size: int, bookmark: str) -> Page:
        metadata = query_metadata(page_size, bookmark)
        await self.flush()
        self._has_paged = True
        asked = shim.GetStateByRange(startKey=start_key, endKey=end_key, metadata=metadata)
        response = read_rows(await request(Message.GET_STATE_BY_RANGE, asked))
        rows = self._opened(Rows(response, key_value))
        found = tuple([row async for row in rows])
        return Page(found, read_bookmark(response.metadata))

    async def get_history_for_key(self, key: str) -> AsyncIterator[KeyModification]:
        asked = shim.GetHistoryForKey(key=require_key(key))
        response = read_rows(await request(Message.GET_HISTORY_FOR_KEY, asked))
        return self._opened(Rows(response, key_modification))

    def _opened(self, rows: Rows[Row]) -> Rows[Row]:
        if rows.is_open:
            self._queries.append(rows)
        return rows

    # --- private data ---------------------------------------------------------------------------

    async def get_private_data(self, collection: str, key: str) -> bytes:
        asked = shim.GetState(key=require_key(key), collection=_collection(collection))
        return await request(Message.GET_STATE, asked)

    async def get_private_data_hash(self, collection: str, key: str) -> bytes:
        asked = shim.GetState(key=require_key(key), collection=_collection(collection))
        return await request(Message.GET_PRIVATE_DATA_HASH, asked)

    async def put_private_data(self, collection: str, key: str, value: bytes) -> None:
        where = _collection(collection)
        await self.flush()
        await request(
            Message.PUT_STATE, shim.PutState(key=require_key(key), value=bytes(value), collection=where)
        )

    async def delete_private_data(self, collection: str, key: str) -> None:
        where = _collection(collection)
        await self.flush()
        await request(Message.DEL_STATE, shim.DelState(key=require_key(key), collection=where))

    async def purge_private_data(self, collection: str, key: str) -> None:
        where = _collection(collection)
        await self.flush()
        await request(
            Message.PURGE_PRIVATE_DATA, shim.PurgePrivateState(key=require_key(key), collection=where)
        )

    # --- endorsement and other chaincodes -------------------------------------------------------

    async def set_state_validation_parameter(self, key: str, policy: bytes) -> None:
        if not is_key_policy(policy):
            raise InvalidKey("the endorsement policy of a key is no SignaturePolicyEnvelope")
        metadata = shim.StateMetadata(metakey=VALIDATION_PARAMETER, value=bytes(policy))
        asked = shim.PutStateMetadata(key=require_key(key), metadata=metadata)
        await self.flush()
        await request(Message.PUT_STATE_METADATA, asked)

    async def get_state_validation_parameter(self, key: str) -> bytes:
        raw = await request(Message.GET_STATE_METADATA, shim.GetStateMetadata(key=require_key(key)))
        entries = parse(shim.StateMetadataResult, raw, "a reply to GET_STATE_METADATA").entries
        found = {entry.metakey: entry.value for entry in entries}
        return bytes(found.get(VALIDATION_PARAMETER, b""))

    async def invoke_chaincode(self, name: str, arguments: Sequence[bytes], channel: str = "") -> Response:
        if not name:
            raise InvalidKey("a chaincode needs a name")
        asked = chaincode_call(name, arguments, channel)
        await self.flush()
        return read_called(await asked)


async def _single(record: Any) -> None:
    """Write one public record by the message that every peer takes."""
    if record.type == Message.DEL_STATE:
        await request(Message.DEL_STATE, shim.DelState(key=record.key))
    else:
        await request(Message.PUT_STATE, shim.PutState(key=record.key, value=record.value))


def _collection(name: str) -> str:
    if not name:
        raise InvalidKey("a collection needs a name")
    return name


__all__ = ["PeerStub", "StateRequest"]
