"""Read-write sets: what a simulated transaction read and would write, in Fabric's own messages.

Decides the bytes: `rwset.TxReadWriteSet` and, for private data, `rwset.TxPvtReadWriteSet`, built and ordered as
`rwsetutil` of Hyperledger Fabric does, so that equal behaviour gives equal bytes. Reading them back is
`bfl_fabric.fabric.rwsets`; whether a set may be applied is left to `bfl_fabric.fabric.validation`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2

from bfl_fabric.fabric.rwsets import Height, RangeQuery
from bfl_fabric.fabric.wire import write

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """The serialized public set and, when a collection was written, the serialized private one."""

    public: bytes
    private: bytes | None


class _PrivateWrite(NamedTuple):
    value: bytes
    purges: bool


@dataclass(slots=True)
class _Collection:
    reads: dict[str, Height | None] = field(default_factory=dict)
    writes: dict[str, _PrivateWrite] = field(default_factory=dict)


@dataclass(slots=True)
class _Namespace:
    reads: dict[str, Height | None] = field(default_factory=dict)
    writes: dict[str, bytes] = field(default_factory=dict)
    metadata_writes: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    range_queries: dict[tuple[str, str, bool], RangeQuery] = field(default_factory=dict)
    collections: dict[str, _Collection] = field(default_factory=dict)


class ReadWriteSetBuilder:
    """Collects the reads and writes of one simulation. A later write of a key replaces an earlier one.

    Messages are made by `build` alone: most simulations are evaluations, and of them nobody looks at the sets.
    """

    def __init__(self) -> None:
        self._namespaces: dict[str, _Namespace] = {}

    def add_read(self, namespace: str, key: str, version: Height | None) -> None:
        """Note a read; a key that is not there has no version."""
        self._namespace(namespace).reads[key] = version

    def add_write(self, namespace: str, key: str, value: bytes) -> None:
        """Write `value`; as on Fabric, an empty value deletes the key."""
        self._namespace(namespace).writes[key] = value

    def add_metadata_write(self, namespace: str, key: str, entries: Mapping[str, bytes]) -> None:
        self._namespace(namespace).metadata_writes[key] = entries

    def add_range_query(self, namespace: str, query: RangeQuery) -> None:
        """Note a range; a second one over the same keys is dropped, as Fabric drops it."""
        name = (query.start, query.end, query.exhausted)
        self._namespace(namespace).range_queries.setdefault(name, query)

    def add_hashed_read(self, namespace: str, collection: str, key: str, version: Height | None) -> None:
        self._collection(namespace, collection).reads[key] = version

    def add_private_write(
        self, namespace: str, collection: str, key: str, value: bytes, *, purges: bool = False
    ) -> None:
        """Write, delete (empty value) or purge a private key: its value aside, its hash in public."""
        self._collection(namespace, collection).writes[key] = _PrivateWrite(value, purges)

    def build(self) -> SimulationResult:
        """Return both sets, every list in the byte order of its keys."""
        private = self._private_set()
        hashes = {
            (namespace.namespace, collection.collection_name): hashlib.sha256(collection.rwset).digest()
            for namespace in private.ns_pvt_rwset
            for collection in namespace.collection_pvt_rwset
        }
        public = rwset_pb2.TxReadWriteSet(data_model=rwset_pb2.TxReadWriteSet.KV)
        for name, namespace in _sorted(self._namespaces):
            message = public.ns_rwset.add(namespace=name, rwset=_public_bytes(namespace))
            for collection_name, collection in _sorted(namespace.collections):
                message.collection_hashed_rwset.add(
                    collection_name=collection_name,
                    hashed_rwset=_hashed_bytes(collection),
                    pvt_rwset_hash=hashes.get((name, collection_name), b""),
                )
        return SimulationResult(write(public), write(private) if private.ns_pvt_rwset else None)

    def _private_set(self) -> Any:
        private = rwset_pb2.TxPvtReadWriteSet(data_model=rwset_pb2.TxReadWriteSet.KV)
        for name, namespace in _sorted(self._namespaces):
            written = [item for item in _sorted(namespace.collections) if item[1].writes]
            if written:
                message = private.ns_pvt_rwset.add(namespace=name)
                for collection_name, collection in written:
                    values = [_write(key, item.value) for key, item in _sorted(collection.writes)]
                    content = kv_rwset_pb2.KVRWSet(writes=values)
                    message.collection_pvt_rwset.add(collection_name=collection_name, rwset=write(content))
        return private

    def _namespace(self, name: str) -> _Namespace:
        return self._namespaces.setdefault(name, _Namespace())

    def _collection(self, namespace: str, name: str) -> _Collection:
        return self._namespace(namespace).collections.setdefault(name, _Collection())


def hashed(key: str) -> bytes:
    """Return the SHA-256 by which the public ledger names a private key."""
    return hashlib.sha256(key.encode()).digest()


def _public_bytes(namespace: _Namespace) -> bytes:
    return write(
        kv_rwset_pb2.KVRWSet(
            reads=[_read(key, version) for key, version in _sorted(namespace.reads)],
            range_queries_info=[_range_query(query) for query in namespace.range_queries.values()],
            writes=[_write(key, value) for key, value in _sorted(namespace.writes)],
            metadata_writes=[_metadata(key, entries) for key, entries in _sorted(namespace.metadata_writes)],
        )
    )


def _hashed_bytes(collection: _Collection) -> bytes:
    reads = [
        kv_rwset_pb2.KVReadHash(key_hash=hashed(key), version=_version(version))
        for key, version in _sorted(collection.reads)
    ]
    writes = [_hashed_write(key, item) for key, item in _sorted(collection.writes)]
    return write(kv_rwset_pb2.HashedRWSet(hashed_reads=reads, hashed_writes=writes))


def _hashed_write(key: str, item: _PrivateWrite) -> Any:
    return kv_rwset_pb2.KVWriteHash(
        key_hash=hashed(key),
        is_delete=not item.value,
        value_hash=hashlib.sha256(item.value).digest() if item.value else b"",
        is_purge=item.purges,
    )


def _range_query(query: RangeQuery) -> Any:
    """Return the RangeQueryInfo; without a single row Fabric names no reads at all."""
    message = kv_rwset_pb2.RangeQueryInfo(
        start_key=query.start, end_key=query.end, itr_exhausted=query.exhausted
    )
    if query.summary is not None:
        message.reads_merkle_hashes.max_degree = query.summary.max_degree
        message.reads_merkle_hashes.max_level = query.summary.max_level
        message.reads_merkle_hashes.max_level_hashes.extend(query.summary.hashes)
    elif query.reads:
        message.raw_reads.kv_reads.extend(_read(read.key, read.version) for read in query.reads)
    return message


def _read(key: str, version: Height | None) -> Any:
    return kv_rwset_pb2.KVRead(key=key, version=_version(version))


def _write(key: str, value: bytes) -> Any:
    return kv_rwset_pb2.KVWrite(key=key, is_delete=not value, value=value)


def _metadata(key: str, entries: Mapping[str, bytes]) -> Any:
    messages = [kv_rwset_pb2.KVMetadataEntry(name=name, value=value) for name, value in _sorted(entries)]
    return kv_rwset_pb2.KVMetadataWrite(key=key, entries=messages)


def _version(version: Height | None) -> Any:
    if version is None:
        return None
    return kv_rwset_pb2.Version(block_num=version.block, tx_num=version.transaction)


def _sorted(items: Mapping[str, T]) -> list[tuple[str, T]]:
    return sorted(items.items(), key=lambda item: item[0].encode())
