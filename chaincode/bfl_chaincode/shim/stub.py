"""The stub: what a transaction may ask of the peer that runs it.

One abstract base class for both ledgers. It decides how keys look (Fabric's composite keys, what a range may
span) and states what each call means; where the values come from is left to its subclasses, the embedded
ledger's and the peer stream's. It is registered as a `ChaincodeStubInterface` of the official package rather
than derived from it: that class answers None to every call which a subclass forgets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

from fabric_chaincode_python.fabric_shim.interfaces import ChaincodeStubInterface

COMPOSITE_NAMESPACE = "\x00"
SEPARATOR = "\x00"
HIGHEST = "\U0010ffff"
LOWEST_PLAIN_KEY = "\x01"


class InvalidKey(ValueError):
    """A key, an object type or an attribute that Fabric does not accept."""


class Moment(Protocol):
    """A transaction's timestamp; `google.protobuf.timestamp_pb2.Timestamp` has this shape."""

    @property
    def seconds(self) -> int: ...

    @property
    def nanos(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A moment since 1970-01-01 UTC, 0 <= nanos < 10^9."""

    seconds: int
    nanos: int


class Creator(TypedDict):
    """Who signed the proposal: MSP id and the certificate in PEM, in the official dispatcher's spelling."""

    mspid: str
    idBytes: bytes


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A row of a range; `key` as stored, composite keys unsplit."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class KeyModification:
    """A row of a key's history; `value` is b"" when the transaction deleted the key."""

    tx_id: str
    value: bytes
    timestamp: Moment
    is_delete: bool


@dataclass(frozen=True, slots=True)
class Page:
    """At most `page_size` rows, and the bookmark that continues after them, "" at the end."""

    rows: tuple[KeyValue, ...]
    bookmark: str


@dataclass(frozen=True, slots=True)
class Response:
    """What a chaincode answers; status >= 400 is a refusal, and the peer then endorses nothing."""

    status: int
    payload: bytes
    message: str


class ChaincodeStub(ABC):
    """One transaction's access to the ledger.

    Reads see the committed state only, never this transaction's own writes. A missing key reads as b"".
    Every failure raises; a call that returns has happened. Rows come in the byte order of their UTF-8 keys.
    """

    # --- the transaction ------------------------------------------------------------------------

    @abstractmethod
    def get_function_and_parameters(self) -> tuple[str, list[str]]:
        """Return `contract:Name` and the arguments after it."""

    @abstractmethod
    def get_txid(self) -> str: ...

    @abstractmethod
    def get_channel_id(self) -> str: ...

    @abstractmethod
    def get_tx_timestamp(self) -> Moment:
        """Return the proposal's timestamp; every endorser sees the same."""

    @abstractmethod
    def get_creator(self) -> Creator: ...

    @abstractmethod
    def get_transient(self) -> Mapping[str, bytes]:
        """Return the values that travel beside the proposal and are never in a block."""

    @abstractmethod
    def set_event(self, name: str, payload: bytes) -> None:
        """Name the transaction's event; a second call replaces the first. Raises InvalidKey on an empty name."""

    # --- public state ---------------------------------------------------------------------------

    @abstractmethod
    async def get_state(self, key: str) -> bytes: ...

    async def get_multiple_states(self, *keys: str) -> list[bytes]:
        """Return the values of these keys in their order; where the ledger can, in fewer messages than keys."""
        return [await self.get_state(key) for key in keys]

    @abstractmethod
    async def put_state(self, key: str, value: bytes) -> None:
        """Write `value` when the transaction commits. Raises InvalidKey on an empty key."""

    @abstractmethod
    async def delete_state(self, key: str) -> None: ...

    async def get_state_by_range(self, start_key: str, end_key: str) -> AsyncIterator[KeyValue]:
        """Return the plain keys from `start_key` to before `end_key`; "" leaves an end open.

        Composite keys are never among them. The range is checked again at commit (phantoms). Raises InvalidKey.
        """
        return await self._read_range(*_plain_range(start_key, end_key))

    async def get_state_by_range_with_pagination(
        self, start_key: str, end_key: str, page_size: int, bookmark: str = ""
    ) -> Page:
        """Return one page of the plain keys; only for queries, the peer refuses a write after it."""
        return await self._read_page(*_plain_range(start_key, end_key), page_size, bookmark)

    async def get_state_by_partial_composite_key(
        self, object_type: str, attributes: Sequence[str]
    ) -> AsyncIterator[KeyValue]:
        """Return the composite keys that begin with this type and these attributes."""
        prefix = self.create_composite_key(object_type, attributes)
        return await self._read_range(prefix, prefix + HIGHEST)

    async def get_state_by_partial_composite_key_with_pagination(
        self, object_type: str, attributes: Sequence[str], page_size: int, bookmark: str = ""
    ) -> Page:
        """Return one page of those keys; only for queries."""
        prefix = self.create_composite_key(object_type, attributes)
        return await self._read_page(prefix, prefix + HIGHEST, page_size, bookmark)

    @abstractmethod
    async def _read_range(self, start_key: str, end_key: str) -> AsyncIterator[KeyValue]:
        """Return the rows with start_key <= key < end_key, "" as end meaning no end, whatever their kind."""

    @abstractmethod
    async def _read_page(self, start_key: str, end_key: str, page_size: int, bookmark: str) -> Page:
        """Return at most `page_size` of those rows, from the bookmark on."""

    @abstractmethod
    async def get_history_for_key(self, key: str) -> AsyncIterator[KeyModification]:
        """Return what committed transactions did to the key, newest first."""

    # --- private data ---------------------------------------------------------------------------

    @abstractmethod
    async def get_private_data(self, collection: str, key: str) -> bytes: ...

    @abstractmethod
    async def get_private_data_hash(self, collection: str, key: str) -> bytes:
        """Return the SHA-256 that the public ledger holds; also for organizations outside the collection."""

    @abstractmethod
    async def put_private_data(self, collection: str, key: str, value: bytes) -> None: ...

    @abstractmethod
    async def delete_private_data(self, collection: str, key: str) -> None: ...

    @abstractmethod
    async def purge_private_data(self, collection: str, key: str) -> None:
        """Delete the key and, on every peer that holds it, all its past values."""

    # --- endorsement and other chaincodes -------------------------------------------------------

    @abstractmethod
    async def set_state_validation_parameter(self, key: str, policy: bytes) -> None:
        """Bind future writes of the key to an endorsement policy (a serialized policy envelope)."""

    @abstractmethod
    async def get_state_validation_parameter(self, key: str) -> bytes: ...

    @abstractmethod
    async def invoke_chaincode(self, name: str, arguments: Sequence[bytes], channel: str = "") -> Response:
        """Call another chaincode of this peer inside this transaction; "" means this channel."""

    # --- composite keys -------------------------------------------------------------------------

    def create_composite_key(self, object_type: str, attributes: Sequence[str]) -> str:
        """Return Fabric's composite key: U+0000, then each part followed by U+0000.

        Raises InvalidKey when a part is empty, is not UTF-8 text or contains U+0000 or U+10FFFF.
        """
        parts = [object_type, *attributes]
        return COMPOSITE_NAMESPACE + "".join(_part(part) + SEPARATOR for part in parts)

    def split_composite_key(self, composite_key: str) -> tuple[str, list[str]]:
        """Return object type and attributes. Raises InvalidKey when it is no composite key."""
        if (
            len(composite_key) < 3
            or composite_key[0] != COMPOSITE_NAMESPACE
            or composite_key[-1] != SEPARATOR
        ):
            raise InvalidKey(f"{composite_key!r} is not a composite key")
        parts = composite_key[1:-1].split(SEPARATOR)
        return parts[0], parts[1:]


# Virtual, so that type checkers and ABCMeta both see every method that a subclass has not written.
ChaincodeStubInterface.register(ChaincodeStub)


def require_key(key: str) -> str:
    """Return `key`. Raises InvalidKey when it is empty or has no UTF-8 form (a lone surrogate)."""
    if not key:
        raise InvalidKey("an empty key names nothing")
    try:
        key.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidKey(f"{key!r} has no UTF-8 form") from error
    return key


def _part(part: str) -> str:
    require_key(part)
    if SEPARATOR in part or HIGHEST in part:
        raise InvalidKey(f"{part!r} contains U+0000 or U+10FFFF, which composite keys reserve")
    return part


def _plain_range(start_key: str, end_key: str) -> tuple[str, str]:
    for key in (start_key, end_key):
        if key.startswith(COMPOSITE_NAMESPACE):
            raise InvalidKey(f"{key!r} is a composite key; ask for it by get_state_by_partial_composite_key")
    return start_key or LOWEST_PLAIN_KEY, end_key
