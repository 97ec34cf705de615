"""Read-write sets: what a transaction read, at which versions, and what it writes.

Decides how the bytes in a proposal response become values (`parse_rwset`) and how values become bytes
(`serialize_rwset`, as the endorsing peers do it). Whether the reads still hold is left to
`bfl_fabric.fabric.validation`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2

from bfl_fabric.fabric.wire import read, write

_LIFECYCLE = "_lifecycle"
_EMPTY_HASH = hashlib.sha256(b"").digest()


class Height(NamedTuple):
    """The version of a key: the block and the transaction's place in it that wrote it last."""

    block: int
    transaction: int


class Read(NamedTuple):
    """`version` is None for a key that was absent."""

    key: str
    version: Height | None


class Write(NamedTuple):
    """`value` is None for a deletion; Fabric takes an empty value for a deletion too."""

    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class MetadataWrite:
    """`entries` is None when all metadata of the key are deleted."""

    key: str
    entries: tuple[tuple[str, bytes], ...] | None


@dataclass(frozen=True, slots=True)
class MerkleSummary:
    """Fabric's digest of a long range result."""

    max_degree: int
    max_level: int
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RangeQuery:
    """A range that was iterated. `end` is the last key seen when the iterator was not exhausted."""

    start: str
    end: str
    exhausted: bool
    reads: tuple[Read, ...] = ()
    summary: MerkleSummary | None = None


@dataclass(frozen=True, slots=True)
class HashedRead:
    key_hash: bytes
    version: Height | None


@dataclass(frozen=True, slots=True)
class HashedWrite:
    """`value_hash` is None for a deletion."""

    key_hash: bytes
    value_hash: bytes | None
    purge: bool = False


@dataclass(frozen=True, slots=True)
class HashedMetadataWrite:
    key_hash: bytes
    entries: tuple[tuple[str, bytes], ...] | None


@dataclass(frozen=True, slots=True)
class CollectionSet:
    """What a private data collection shows to everybody: hashes. `private_hash` is of the private write set."""

    name: str
    reads: tuple[HashedRead, ...] = ()
    writes: tuple[HashedWrite, ...] = ()
    metadata_writes: tuple[HashedMetadataWrite, ...] = ()
    private_hash: bytes = b""


class NamespaceSet(NamedTuple):
    """The part of one chaincode."""

    namespace: str
    reads: tuple[Read, ...] = ()
    range_queries: tuple[RangeQuery, ...] = ()
    writes: tuple[Write, ...] = ()
    metadata_writes: tuple[MetadataWrite, ...] = ()
    collections: tuple[CollectionSet, ...] = ()

    @property
    def changes_state(self) -> bool:
        """Whether the chaincode's endorsement policy is called for because of this part."""
        if self.writes or self.metadata_writes:
            return True
        return any(item.writes or item.metadata_writes for item in self.collections)


def parse_rwset(raw: bytes) -> tuple[NamespaceSet, ...]:
    """Read a serialized `rwset.TxReadWriteSet`. Raises MalformedInput."""
    message = read(rwset_pb2.TxReadWriteSet, raw, "read-write set")
    return tuple([_namespace(item) for item in message.ns_rwset])


def serialize_rwset(sets: Sequence[NamespaceSet]) -> bytes:
    """Return the bytes that endorsing peers would return for these parts, in the order given."""
    message = rwset_pb2.TxReadWriteSet(data_model=rwset_pb2.TxReadWriteSet.KV)
    for item in sets:
        message.ns_rwset.append(
            rwset_pb2.NsReadWriteSet(
                namespace=item.namespace,
                rwset=write(_public_message(item)),
                collection_hashed_rwset=[_collection_message(collection) for collection in item.collections],
            )
        )
    return write(message)


def range_reads_message(reads: Sequence[Read]) -> bytes:
    """Return the bytes over which a leaf of a range's Merkle tree is hashed."""
    return write(kv_rwset_pb2.QueryReads(kv_reads=[_read_message(item) for item in reads]))


def _namespace(message: Any) -> NamespaceSet:
    namespace = message.namespace
    public = (_remembered if namespace == _LIFECYCLE else _public)(message.rwset, namespace)
    collections = message.collection_hashed_rwset
    if not collections:
        return public
    return public._replace(collections=tuple([_collection(item) for item in collections]))


def _public(raw: bytes, namespace: str) -> NamespaceSet:
    message = read(kv_rwset_pb2.KVRWSet, raw, f"read-write set of {namespace}")
    ranges, metadata = message.range_queries_info, message.metadata_writes  # most often there are none
    return NamespaceSet(
        namespace,
        reads=tuple([Read(item.key, _height(item)) for item in message.reads]),
        range_queries=tuple([_range_query(item) for item in ranges]) if ranges else (),
        writes=tuple([Write(item.key, _written(item)) for item in message.writes]),
        metadata_writes=tuple([MetadataWrite(item.key, _entries(item.entries)) for item in metadata])
        if metadata
        else (),
    )


_remembered = functools.lru_cache(maxsize=64)(_public)
"""Every transaction reads the same definition of its chaincode, in the same bytes."""


def _written(item: Any) -> bytes | None:
    value: bytes = item.value
    return None if not value or item.is_delete else value


def _collection(message: Any) -> CollectionSet:
    hashed = read(kv_rwset_pb2.HashedRWSet, message.hashed_rwset, f"collection {message.collection_name}")
    return CollectionSet(
        name=message.collection_name,
        reads=tuple(HashedRead(item.key_hash, _height(item)) for item in hashed.hashed_reads),
        writes=tuple(
            HashedWrite(
                item.key_hash,
                None if item.is_delete or item.value_hash in (b"", _EMPTY_HASH) else item.value_hash,
                item.is_purge,
            )
            for item in hashed.hashed_writes
        ),
        metadata_writes=tuple(
            HashedMetadataWrite(item.key_hash, _entries(item.entries)) for item in hashed.metadata_writes
        ),
        private_hash=message.pvt_rwset_hash,
    )


def _read(message: Any) -> Read:
    return Read(message.key, _height(message))


def _height(message: Any) -> Height | None:
    if not message.HasField("version"):
        return None
    version = message.version
    return _known_height(version.block_num, version.tx_num)


_known_height = functools.lru_cache(maxsize=1024)(Height)
"""Most reads of a time are of the same few versions: one object for each."""


def _entries(messages: Any) -> tuple[tuple[str, bytes], ...] | None:
    return tuple((entry.name, entry.value) for entry in messages) or None


def _range_query(message: Any) -> RangeQuery:
    summary = None
    if message.HasField("reads_merkle_hashes"):
        merkle = message.reads_merkle_hashes
        summary = MerkleSummary(merkle.max_degree, merkle.max_level, tuple(merkle.max_level_hashes))
    return RangeQuery(
        start=message.start_key,
        end=message.end_key,
        exhausted=message.itr_exhausted,
        reads=tuple(_read(item) for item in message.raw_reads.kv_reads),
        summary=summary,
    )


def _version_message(height: Height | None) -> Any:
    return None if height is None else kv_rwset_pb2.Version(block_num=height.block, tx_num=height.transaction)


def _read_message(item: Read) -> Any:
    return kv_rwset_pb2.KVRead(key=item.key, version=_version_message(item.version))


def _range_query_message(item: RangeQuery) -> Any:
    message = kv_rwset_pb2.RangeQueryInfo(
        start_key=item.start, end_key=item.end, itr_exhausted=item.exhausted
    )
    if item.summary is None:
        message.raw_reads.SetInParent()
        message.raw_reads.kv_reads.extend(_read_message(read_) for read_ in item.reads)
    else:
        message.reads_merkle_hashes.max_degree = item.summary.max_degree
        message.reads_merkle_hashes.max_level = item.summary.max_level
        message.reads_merkle_hashes.max_level_hashes.extend(item.summary.hashes)
    return message


def _entry_messages(entries: tuple[tuple[str, bytes], ...] | None) -> list[Any]:
    return [kv_rwset_pb2.KVMetadataEntry(name=name, value=value) for name, value in entries or ()]


def _public_message(item: NamespaceSet) -> Any:
    return kv_rwset_pb2.KVRWSet(
        reads=[_read_message(read_) for read_ in item.reads],
        range_queries_info=[_range_query_message(query) for query in item.range_queries],
        writes=[
            kv_rwset_pb2.KVWrite(key=one.key, is_delete=one.value is None, value=one.value or b"")
            for one in item.writes
        ],
        metadata_writes=[
            kv_rwset_pb2.KVMetadataWrite(key=one.key, entries=_entry_messages(one.entries))
            for one in item.metadata_writes
        ],
    )


def _collection_message(item: CollectionSet) -> Any:
    hashed = kv_rwset_pb2.HashedRWSet(
        hashed_reads=[
            kv_rwset_pb2.KVReadHash(key_hash=one.key_hash, version=_version_message(one.version))
            for one in item.reads
        ],
        hashed_writes=[
            kv_rwset_pb2.KVWriteHash(
                key_hash=one.key_hash,
                is_delete=one.value_hash is None,
                value_hash=one.value_hash or b"",
                is_purge=one.purge,
            )
            for one in item.writes
        ],
        metadata_writes=[
            kv_rwset_pb2.KVMetadataWriteHash(key_hash=one.key_hash, entries=_entry_messages(one.entries))
            for one in item.metadata_writes
        ],
    )
    return rwset_pb2.CollectionHashedReadWriteSet(
        collection_name=item.name, hashed_rwset=write(hashed), pvt_rwset_hash=item.private_hash
    )
