"""The stub of the embedded ledger: one transaction, simulated on a snapshot as one peer.

Decides what every call of the contract returns and what it leaves in the read-write set, including what Fabric's
peer does between contract and ledger: it reads ranges ahead in batches, refuses writes after a paginated query, and
lets only members at private data. How the contract is started, and what becomes of the sets, is left to
`endorsement`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fabric_protos.common import common_pb2, policies_pb2
from fabric_protos.msp import identities_pb2

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
from bfl_fabric.embedded.lifecycle import definition_keys, field_key
from bfl_fabric.embedded.private import Collection
from bfl_fabric.embedded.range_reads import TOTAL_ROWS, OpenRange
from bfl_fabric.embedded.readwriteset import ReadWriteSetBuilder, SimulationResult, hashed
from bfl_fabric.embedded.snapshot import Row
from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric.endorsement_rules import VALIDATION_PARAMETER
from bfl_fabric.fabric.lifecycle import NAMESPACE
from bfl_fabric.fabric.policy import Member
from bfl_fabric.fabric.proposal import Proposal
from bfl_fabric.fabric.rwsets import Height
from bfl_fabric.fabric.state import Key, Space, Standing, StateView
from bfl_fabric.fabric.wire import read

T = TypeVar("T")


class PeerRefused(RuntimeError):
    """The peer does not do what the contract asked for; the words are Fabric's."""


class PeerState(StateView, Protocol):
    """What a simulation reads from: a snapshot, or a state that is being replayed."""

    def find_private(self, space: Space, key_hash: Key) -> Standing | None: ...

    def rows(self, namespace: str, start_key: str, end_key: str) -> Iterator[Row]: ...

    def history(self, namespace: str, key: str) -> list[Height]: ...


@dataclass(frozen=True, slots=True)
class Site:
    """On which state, as which peer and for whom a transaction is simulated."""

    state: PeerState
    collections: Mapping[str, Collection]
    peer: Member
    caller: Member
    modification: Callable[[Height, str, str], KeyModification]


class SimulationStub(ChaincodeStub):
    """What the contract gets instead of a stream to a peer. Its awaitables never wait.

    `is_personal` says that the contract asked for something that another proposal with the same arguments, or
    another peer, may have otherwise: creator, time, transaction id, transient values, private data.
    """

    def __init__(self, proposal: Proposal, site: Site) -> None:
        self._proposal = proposal
        self._site = site
        self._namespace = proposal.invocation.chaincode
        self._sets = ReadWriteSetBuilder()
        self._ranges: list[OpenRange] = []
        self._has_written = False
        self._has_paged = False
        self._knows_collections = False
        self.event: tuple[str, bytes] | None = None
        self.is_personal = False
        self.collections_read: set[str] = set()
        self.collections_written: set[str] = set()
        self._note_definition(field_key(self._namespace, "Sequence"))

    def result(self) -> SimulationResult:
        """Return what the transaction read and would write."""
        for opened in self._ranges:
            self._sets.add_range_query(self._namespace, opened.query())
        self._ranges.clear()
        return self._sets.build()

    # --- the transaction ------------------------------------------------------------------------

    def get_function_and_parameters(self) -> tuple[str, list[str]]:
        arguments = [argument.decode("utf-8") for argument in self._proposal.invocation.arguments]
        return (arguments[0], arguments[1:]) if arguments else ("", [])

    def get_txid(self) -> str:
        self.is_personal = True
        return self._proposal.transaction_id

    def get_channel_id(self) -> str:
        return self._proposal.invocation.channel_id

    def get_tx_timestamp(self) -> Timestamp:
        self.is_personal = True
        return timestamp_of(self._proposal.channel_header)

    def get_creator(self) -> Creator:
        self.is_personal = True
        identity = read(identities_pb2.SerializedIdentity, self._proposal.creator, "creator")
        return {"mspid": identity.mspid, "idBytes": identity.id_bytes}

    def get_transient(self) -> Mapping[str, bytes]:
        self.is_personal = True
        return dict(self._proposal.invocation.transient)

    def set_event(self, name: str, payload: bytes) -> None:
        if not name:
            raise InvalidKey("an event needs a name")
        self.event = (require_key(name), bytes(payload))

    # --- public state ---------------------------------------------------------------------------

    async def get_state(self, key: str) -> bytes:
        found = self._read(require_key(key))
        return _value(found)

    async def put_state(self, key: str, value: bytes) -> None:
        require_key(key)
        self._begin_write()
        self._sets.add_write(self._namespace, key, bytes(value))

    async def delete_state(self, key: str) -> None:
        await self.put_state(key, b"")

    async def _read_range(self, start_key: str, end_key: str) -> AsyncIterator[KeyValue]:
        opened = self._open(start_key, end_key)
        opened.read_ahead()
        return opened.stream()

    async def _read_page(self, start_key: str, end_key: str, page_size: int, bookmark: str) -> Page:
        if page_size < 0:
            raise PeerRefused(f"a page of {page_size} rows cannot be read")
        if not page_size and not bookmark:
            rows = await self._read_range(start_key, end_key)
            return Page(tuple([row async for row in rows]), "")
        if self._has_written:
            raise PeerRefused(
                f"txid [{self.get_txid()}]: unsuppored transaction. "
                "Paginated queries are supported only in a read-only transaction"
            )
        self._has_paged = True
        return self._open(bookmark or start_key, end_key).page(page_size)

    async def get_history_for_key(self, key: str) -> AsyncIterator[KeyModification]:
        heights = self._site.state.history(self._namespace, require_key(key))
        return _stream(
            self._site.modification(height, self._namespace, key) for height in heights[:TOTAL_ROWS]
        )

    # --- private data ---------------------------------------------------------------------------

    async def get_private_data(self, collection: str, key: str) -> bytes:
        chosen = self._collection(collection)
        if not chosen.may_read(self._site.caller):
            raise PeerRefused(self._not_permitted("read", collection))
        space, key_hash = Space(self._namespace, collection), hashed(require_key(key))
        public = self._site.state.find(space, key_hash)
        private = (
            self._site.state.find_private(space, key_hash) if chosen.has_member(self._site.peer) else None
        )
        if _height(public) != _height(private):
            raise PeerRefused(
                "private data matching public hash version is not available. "
                f"Public hash version = {_text(public)}, Private data version = {_text(private)}"
            )
        self._sets.add_hashed_read(self._namespace, collection, key, _height(private))
        self.collections_read.add(collection)
        return _value(private)

    async def get_private_data_hash(self, collection: str, key: str) -> bytes:
        self._collection(collection)
        found = self._site.state.find(Space(self._namespace, collection), hashed(require_key(key)))
        self._sets.add_hashed_read(self._namespace, collection, key, _height(found))
        return _value(found)

    async def put_private_data(self, collection: str, key: str, value: bytes) -> None:
        self._write_private(collection, key, bytes(value), purges=False)

    async def delete_private_data(self, collection: str, key: str) -> None:
        self._write_private(collection, key, b"", purges=False)

    async def purge_private_data(self, collection: str, key: str) -> None:
        self._write_private(collection, key, b"", purges=True)

    # --- endorsement and other chaincodes -------------------------------------------------------

    async def set_state_validation_parameter(self, key: str, policy: bytes) -> None:
        require_key(key)
        try:
            read(policies_pb2.SignaturePolicyEnvelope, policy, "endorsement policy of a key")
        except (
            MalformedInput
        ) as error:  # with such a policy on the ledger, peers could judge no further block
            raise InvalidKey(str(error)) from error
        self._begin_write()
        self._sets.add_metadata_write(self._namespace, key, {VALIDATION_PARAMETER: bytes(policy)})

    async def get_state_validation_parameter(self, key: str) -> bytes:
        found = self._read(require_key(key))
        return dict(found.metadata or ()).get(VALIDATION_PARAMETER, b"") if found else b""

    async def invoke_chaincode(self, name: str, arguments: Sequence[bytes], channel: str = "") -> Response:
        """Refuse as a peer does: there is no other chaincode here, and none may call itself."""
        if not name:
            raise InvalidKey("a chaincode needs a name")
        transaction, here = self.get_txid(), self.get_channel_id()
        is_itself = name == self._namespace and channel in ("", here)
        problem = f"txid: {transaction}({here}) exists" if is_itself else f"chaincode {name} not found"
        raise PeerRefused(
            f"INVOKE_CHAINCODE failed: transaction ID: {transaction}: execute failed: {problem}"
        )

    # --- details --------------------------------------------------------------------------------

    def _read(self, key: str) -> Standing | None:
        found = self._site.state.find(Space(self._namespace), key.encode())
        self._sets.add_read(self._namespace, key, _height(found))
        return found

    def _open(self, start_key: str, end_key: str) -> OpenRange:
        opened = OpenRange(self._site.state.rows(self._namespace, start_key, end_key), start_key, end_key)
        self._ranges.append(opened)
        return opened

    def _begin_write(self) -> None:
        if self._has_paged:
            raise PeerRefused(
                f"txid [{self.get_txid()}]: unsuppored transaction. "
                "Transaction has already performed a paginated query. Writes are not allowed"
            )
        self._has_written = True

    def _write_private(self, collection: str, key: str, value: bytes, *, purges: bool) -> None:
        require_key(key)
        if not self._collection(collection).may_write(self._site.caller):
            raise PeerRefused(self._not_permitted("write", collection))
        self._begin_write()
        self._sets.add_private_write(self._namespace, collection, key, value, purges=purges)
        self.collections_written.add(collection)

    def _collection(self, name: str) -> Collection:
        """Return the collection's rules; to know them the peer reads the chaincode's whole definition."""
        self.is_personal = True
        if not name:
            raise InvalidKey("a collection needs a name")
        if not self._knows_collections:
            self._knows_collections = True
            for key in definition_keys(self._namespace):
                self._note_definition(key)
        chosen = self._site.collections.get(name) or Collection.implicit(name)
        if chosen is None:
            where = f"{self._proposal.invocation.channel_id}/{self._namespace}/{name}"
            raise PeerRefused(f"collection {where} could not be found")
        return chosen

    def _not_permitted(self, access: str, collection: str) -> str:
        return (
            f"tx creator does not have {access} access permission on privatedata in "
            f"chaincodeName:{self._namespace} collectionName: {collection}"
        )

    def _note_definition(self, key: str) -> None:
        """The peer reads the chaincode's definition through the transaction's own simulator."""
        found = self._site.state.find(Space(NAMESPACE), key.encode())
        self._sets.add_read(NAMESPACE, key, _height(found))


def timestamp_of(channel_header: bytes) -> Timestamp:
    """Return a transaction's own time, as its proposal says it."""
    header = read(common_pb2.ChannelHeader, channel_header, "channel header")
    return Timestamp(header.timestamp.seconds, header.timestamp.nanos)


async def _stream(items: Iterable[T]) -> AsyncIterator[T]:
    for item in items:
        yield item


def _value(found: Standing | None) -> bytes:
    return (found.value or b"") if found else b""


def _height(found: Standing | None) -> Height | None:
    return found.height if found else None


def _text(found: Standing | None) -> str:
    if found is None:
        return "<nil>"
    return f"{{BlockNum: {found.height.block}, TxNum: {found.height.transaction}}}"
