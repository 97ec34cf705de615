"""The bytes of read-write sets, against messages written out by hand as Fabric's `rwsetutil` orders them."""

from __future__ import annotations

import hashlib

import pytest
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2 as kv

from bfl_fabric.embedded.range_reads import OpenRange
from bfl_fabric.embedded.readwriteset import ReadWriteSetBuilder
from bfl_fabric.embedded.snapshot import Row
from bfl_fabric.fabric.rwsets import Height, RangeQuery, Read, parse_rwset


def public(message: bytes, position: int = 0) -> kv.KVRWSet:
    return kv.KVRWSet.FromString(rwset_pb2.TxReadWriteSet.FromString(message).ns_rwset[position].rwset)


def test_an_empty_simulation_is_an_empty_message() -> None:
    result = ReadWriteSetBuilder().build()
    assert (result.public, result.private) == (b"", None)


def test_reads_and_writes_come_in_the_byte_order_of_their_keys() -> None:
    builder = ReadWriteSetBuilder()
    for key in ("é", "b", "\U00010000", "￾", "A"):
        builder.add_read("ns", key, Height(3, 1))
        builder.add_write("ns", key, b"x")
    expected = ["A", "b", "é", "￾", "\U00010000"]
    message = public(builder.build().public)
    assert [item.key for item in message.reads] == expected
    assert [item.key for item in message.writes] == expected


def test_namespaces_come_in_order() -> None:
    builder = ReadWriteSetBuilder()
    for name in ("probe", "_lifecycle"):
        builder.add_read(name, "key", None)
    message = rwset_pb2.TxReadWriteSet.FromString(builder.build().public)
    assert [item.namespace for item in message.ns_rwset] == ["_lifecycle", "probe"]


def test_a_missing_key_is_read_without_a_version_and_the_first_height_with_one() -> None:
    builder = ReadWriteSetBuilder()
    builder.add_read("ns", "a", None)
    builder.add_read("ns", "b", Height(0, 0))
    missing, first = public(builder.build().public).reads
    assert not missing.HasField("version")
    assert first.HasField("version")
    assert missing.SerializeToString() == b"\n\x01a"
    assert first.SerializeToString() == b"\n\x01b\x12\x00"


def test_an_empty_value_is_a_deletion() -> None:
    builder = ReadWriteSetBuilder()
    builder.add_write("ns", "key", b"")
    (write,) = public(builder.build().public).writes
    assert write.is_delete
    assert write.SerializeToString() == b"\n\x03key\x10\x01"


def test_a_range_without_rows_names_no_reads_at_all() -> None:
    builder = ReadWriteSetBuilder()
    builder.add_range_query("ns", RangeQuery("a", "b", exhausted=True))
    (query,) = public(builder.build().public).range_queries_info
    assert query.WhichOneof("reads_info") is None


def test_the_same_range_twice_is_written_once() -> None:
    builder = ReadWriteSetBuilder()
    for read in ("x", "y"):
        builder.add_range_query("ns", RangeQuery("a", "b", True, (Read(read, Height(1, 1)),)))
    (query,) = public(builder.build().public).range_queries_info
    assert [item.key for item in query.raw_reads.kv_reads] == ["x"]


def test_a_private_write_shows_hashes_and_keeps_its_value_beside() -> None:
    builder = ReadWriteSetBuilder()
    builder.add_private_write("ns", "shared", "key", b"secret")
    result = builder.build()
    assert result.private is not None
    assert b"secret" not in result.public
    beside = rwset_pb2.TxPvtReadWriteSet.FromString(result.private)
    content = beside.ns_pvt_rwset[0].collection_pvt_rwset[0]
    (part,) = parse_rwset(result.public)
    (collection,) = part.collections
    assert collection.private_hash == hashlib.sha256(content.rwset).digest()
    (written,) = collection.writes
    assert written.key_hash == hashlib.sha256(b"key").digest()
    assert written.value_hash == hashlib.sha256(b"secret").digest()
    assert kv.KVRWSet.FromString(content.rwset).writes[0].value == b"secret"


def test_a_purge_is_marked_in_public() -> None:
    builder = ReadWriteSetBuilder()
    builder.add_private_write("ns", "shared", "key", b"", purges=True)
    (part,) = parse_rwset(builder.build().public)
    assert part.collections[0].writes[0].purge
    assert part.collections[0].writes[0].value_hash is None


def rows(count: int) -> list[Row]:
    return [Row(f"{number:04}", b"x", Height(2, number)) for number in range(count)]


@pytest.mark.parametrize(("count", "read"), [(0, 0), (1, 1), (100, 100), (101, 101), (250, 101)])
def test_a_range_is_read_ahead_in_batches_of_a_hundred(count: int, read: int) -> None:
    source = iter(rows(count))
    opened = OpenRange(source, "", "")
    opened.read_ahead()
    assert count - len(list(source)) == read
    assert opened.query().exhausted is (count <= 100)


def test_a_range_that_is_not_read_to_its_end_ends_at_the_last_row_read() -> None:
    opened = OpenRange(iter(rows(250)), "0000", "9999")
    opened.read_ahead()
    query = opened.query()
    assert (query.start, query.end, query.exhausted) == ("0000", "0100", False)


@pytest.mark.parametrize(("count", "summarized"), [(50, False), (51, True)])
def test_more_than_fifty_rows_are_summarized(count: int, summarized: bool) -> None:
    opened = OpenRange(iter(rows(count)), "", "")
    opened.read_ahead()
    query = opened.query()
    assert (query.summary is not None) is summarized
    assert len(query.reads) == (0 if summarized else count)


def test_the_summary_of_51_rows_is_the_hash_of_their_reads() -> None:
    """51 rows are one leaf: SHA-256 over a QueryReads message (Fabric's `query_results_helper`)."""
    opened = OpenRange(iter(rows(51)), "", "")
    opened.read_ahead()
    summary = opened.query().summary
    reads = [
        kv.KVRead(key=row.key, version=kv.Version(block_num=2, tx_num=row.height.transaction))
        for row in rows(51)
    ]
    expected = hashlib.sha256(kv.QueryReads(kv_reads=reads).SerializeToString()).digest()
    assert summary is not None
    assert (summary.max_degree, summary.max_level, summary.hashes) == (50, 1, (expected,))


def test_a_page_reads_no_further_than_its_rows() -> None:
    opened = OpenRange(iter(rows(10)), "", "~")
    page = opened.page(4)
    assert ([row.key for row in page.rows], page.bookmark) == (["0000", "0001", "0002", "0003"], "0004")
    query = opened.query()
    assert (query.end, query.exhausted, len(query.reads)) == ("0003", False, 4)
