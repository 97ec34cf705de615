"""Bytes of blocks and envelopes: hashes against known values, strictness, what goes in comes out."""

from __future__ import annotations

import hashlib

import pytest
from fabric_protos.common import common_pb2
from fabric_protos.peer import transaction_pb2
from hypothesis import given
from hypothesis import strategies as st

from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric import blocks
from bfl_fabric.fabric.envelopes import (
    ChaincodeEvent,
    HeaderType,
    InvalidTransaction,
    ValidationCode,
    parse_envelope,
    parse_payload,
)
from bfl_fabric.fabric.rwsets import (
    CollectionSet,
    HashedMetadataWrite,
    HashedRead,
    HashedWrite,
    Height,
    MerkleSummary,
    MetadataWrite,
    NamespaceSet,
    RangeQuery,
    Read,
    Write,
    parse_rwset,
    serialize_rwset,
)
from bfl_fabric.fabric.wire import write
from tests.unit.fabric.chain_builder import Call, envelope, propose, put
from tests.unit.fabric.organizations import CHAINCODE, CHANNEL, FOUNDED_MS, federation


def call() -> Call:
    alpha, beta, _ = federation().organizations
    event = ChaincodeEvent(CHAINCODE, "tx", "test:Put", b"{}")
    return Call(alpha.client, [alpha.peer, beta.peer], [put("a", b"1", Height(3, 4))], event=event)


def block_message() -> common_pb2.Block:
    header = blocks.build_header(5, b"p" * 32, [b"one", b"two"])
    slots = [b"", blocks.last_config_slot(3), b"\0\0"]
    message: common_pb2.Block = blocks.build_block(header, [b"one", b"two"], slots)
    return message


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "3009020100040004020a0b"),
        (1, "3009020101040004020a0b"),
        (127, "300902017f040004020a0b"),
        (128, "300a020200800400" + "04020a0b"),
        (2**64 - 1, "3011020900ffffffffffffffff0400" + "04020a0b"),
    ],
)
def test_the_header_is_der(number: int, expected: str) -> None:
    header = common_pb2.BlockHeader(number=number, previous_hash=b"", data_hash=b"\x0a\x0b")
    assert blocks.header_bytes(header).hex() == expected
    assert blocks.header_hash(header) == hashlib.sha256(bytes.fromhex(expected)).digest()


def test_long_header_fields_have_long_lengths() -> None:
    header = common_pb2.BlockHeader(number=1, previous_hash=b"x" * 200, data_hash=b"y" * 300)
    encoded = blocks.header_bytes(header)
    assert encoded[:4].hex() == "308201fe"
    assert b"\x04\x81\xc8" + b"x" * 200 in encoded
    assert b"\x04\x82\x01\x2c" + b"y" * 300 in encoded


def test_the_data_hash_covers_the_entries_one_after_the_other() -> None:
    assert blocks.data_hash([b"one", b"two"]) == hashlib.sha256(b"onetwo").digest()


def test_the_commit_hash_covers_codes_changes_and_the_hash_before() -> None:
    expected = hashlib.sha256(b"\x02\x00\x0b" + b"changes" + b"before").digest()
    assert blocks.commit_hash(b"\x00\x0b", b"changes", b"before") == expected
    flags = bytes(300)
    assert blocks.commit_hash(flags, b"", b"") == hashlib.sha256(b"\xac\x02" + flags).digest()


def test_a_block_reads_back_as_it_was_built() -> None:
    block = blocks.parse_block(write(block_message()))
    assert block.number == 5
    assert block.previous_hash == b"p" * 32
    assert block.entries == (b"one", b"two")
    assert block.flags == b"\0\0"
    assert block.slots[blocks.Slot.LAST_CONFIG] == blocks.last_config_slot(3)
    assert block.hash == blocks.header_hash(block_message().header)
    assert block.commit_hash == b""


@pytest.mark.parametrize("change", ["unknown field", "trailing", "no header", "no data", "slots", "order"])
def test_a_block_that_is_not_canonical_is_refused(change: str) -> None:
    message = block_message()
    raw = write(message)
    if change == "unknown field":
        raw += b"\x22\x00"
    elif change == "trailing":
        raw += b"\x00"
    elif change == "no header":
        message.ClearField("header")
        raw = write(message)
    elif change == "no data":
        message.ClearField("data")
        raw = write(message)
    elif change == "slots":
        message.metadata.metadata.append(b"")
        raw = write(message)
    else:
        data = common_pb2.Block(data=message.data)
        message.ClearField("data")
        raw = write(data) + write(message)
    with pytest.raises(MalformedInput):
        blocks.parse_block(raw)


def test_a_signed_block_names_signer_value_and_last_configuration() -> None:
    orderer = federation().consenters[0]
    message = block_message()
    slot = blocks.signed_block_metadata(message.header, 3, orderer, b"n" * 24, b"raft")
    message.metadata.metadata[0] = slot
    signatures = blocks.parse_block(write(message)).signatures
    assert signatures.last_config == 3
    assert common_pb2.Metadata.FromString(signatures.consenter_metadata).value == b"raft"
    (signature,) = signatures.signatures
    header = common_pb2.SignatureHeader.FromString(signature.signature_header)
    assert (header.creator, header.nonce) == (orderer.creator, b"n" * 24)
    assert signature.identifier_header == b""


@pytest.mark.parametrize("slot", [b"\xff", b"\x0a\x00", write(common_pb2.Metadata(value=b"\x12\x00"))])
def test_signatures_without_form_are_refused(slot: bytes) -> None:
    message = block_message()
    message.metadata.metadata[0] = slot
    with pytest.raises(MalformedInput):
        _ = blocks.parse_block(write(message)).signatures


def test_an_envelope_reads_back_as_it_was_proposed_and_endorsed() -> None:
    made = call()
    proposal = propose(made)
    transaction = parse_envelope(envelope(made))
    assert transaction.transaction_id == proposal.transaction_id
    assert transaction.channel_id == CHANNEL
    assert transaction.type == HeaderType.ENDORSER_TRANSACTION
    assert transaction.timestamp_ms == made.at_ms == FOUNDED_MS + 60_000
    assert transaction.creator == made.creator.creator
    assert transaction.nonce == proposal.nonce
    action = transaction.action()
    assert action.endorsed.proposal_hash == proposal.hash
    assert action.endorsed.proposal_payload == proposal.payload
    assert [item.endorser for item in action.endorsed.endorsements] == [e.creator for e in made.endorsers]
    assert (action.chaincode, action.chaincode_version) == (CHAINCODE, "1.0")
    assert action.arguments == made.arguments
    assert action.function == "test:Put"
    assert (action.response.status, action.response.payload) == (200, b'{"ok":true}')
    assert action.rwset == tuple(made.rwset)
    assert action.event == made.event


def test_an_envelope_with_anything_more_is_refused() -> None:
    with pytest.raises(MalformedInput, match="canonical"):
        parse_envelope(envelope(call()) + b"\x1a\x00")


def test_an_envelope_without_header_has_fabrics_code() -> None:
    with pytest.raises(InvalidTransaction) as refused:
        parse_payload(b"", b"")
    assert refused.value.code is ValidationCode.BAD_COMMON_HEADER
    with pytest.raises(InvalidTransaction) as refused:
        parse_payload(b"\xff\xff", b"")
    assert refused.value.code is ValidationCode.BAD_PAYLOAD


def test_the_codes_are_fabrics() -> None:
    assert {code.name: int(code) for code in ValidationCode} == dict(transaction_pb2.TxValidationCode.items())


def test_the_header_types_are_fabrics() -> None:
    known = dict(common_pb2.HeaderType.items())
    assert all(known[item.name] == item for item in HeaderType)


# --- read-write sets ----------------------------------------------------------------------------

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
heights = st.builds(Height, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
versions = st.none() | heights
hashes = st.binary(min_size=32, max_size=32)
entries = st.lists(st.tuples(names, st.binary(min_size=1, max_size=4)), min_size=1, max_size=2).map(tuple)
reads = st.lists(st.builds(Read, names, versions), max_size=3).map(tuple)
summaries = st.builds(MerkleSummary, st.integers(2, 99), st.integers(1, 5), st.lists(hashes).map(tuple))
queries = st.builds(RangeQuery, names, names, st.booleans(), reads) | st.builds(
    RangeQuery, names, names, st.booleans(), st.just(()), summaries
)
collections = st.builds(
    CollectionSet,
    names,
    st.lists(st.builds(HashedRead, hashes, versions), max_size=2).map(tuple),
    st.lists(st.builds(HashedWrite, hashes, st.none() | hashes, st.booleans()), max_size=2).map(tuple),
    st.lists(st.builds(HashedMetadataWrite, hashes, st.none() | entries), max_size=2).map(tuple),
    hashes,
)
namespaces = st.builds(
    NamespaceSet,
    names,
    reads,
    st.lists(queries, max_size=2).map(tuple),
    st.lists(st.builds(Write, names, st.none() | st.binary(min_size=1, max_size=8)), max_size=3).map(tuple),
    st.lists(st.builds(MetadataWrite, names, st.none() | entries), max_size=2).map(tuple),
    st.lists(collections, max_size=2).map(tuple),
)


@given(st.lists(namespaces, max_size=3))
def test_read_write_sets_survive_the_wire(sets: list[NamespaceSet]) -> None:
    assert parse_rwset(serialize_rwset(sets)) == tuple(sets)


def test_an_empty_value_is_a_deletion() -> None:
    part = NamespaceSet("a", writes=(Write("key", b""),))
    assert parse_rwset(serialize_rwset([part]))[0].writes == (Write("key", None),)
    empty = hashlib.sha256(b"").digest()
    hidden = NamespaceSet("a", collections=(CollectionSet("c", writes=(HashedWrite(b"k" * 32, empty),)),))
    assert parse_rwset(serialize_rwset([hidden]))[0].collections[0].writes[0].value_hash is None


def test_bytes_that_are_no_read_write_set_are_refused() -> None:
    with pytest.raises(MalformedInput):
        parse_rwset(b"\xff")
