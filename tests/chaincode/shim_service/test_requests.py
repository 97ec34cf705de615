"""Every operation of the stub, message by message, as a peer sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fabric_protos.ledger.queryresult import kv_query_result_pb2
from fabric_protos.peer import chaincode_pb2, proposal_response_pb2
from fabric_protos.peer import chaincode_shim_pb2 as shim

from bfl_chaincode.shim import peer_messages
from bfl_chaincode.shim.stub import Timestamp
from tests.chaincode.memory_stub import MemoryStub, Proposal, Version, run
from tests.chaincode.shim_service.fake_peer import CHANNEL, FakePeer, Message, names, offer

Connect = Callable[..., FakePeer]
POLICY = shim.StateMetadataResult(
    entries=[
        shim.StateMetadata(metakey="OTHER", value=b"no"),
        shim.StateMetadata(metakey="VALIDATION_PARAMETER", value=b"\x0a"),
    ]
).SerializeToString()
SINGLE: dict[str, tuple[tuple[str, ...], dict[str, bytes], int, Any, bytes, bytes]] = {
    "get": (("k",), {}, Message.GET_STATE, shim.GetState(key="k"), b"\xffvalue", b"\xffvalue"),
    "put": (("k", "v"), {}, Message.PUT_STATE, shim.PutState(key="k", value=b"v"), b"", b""),
    "delete": (("k",), {}, Message.DEL_STATE, shim.DelState(key="k"), b"", b""),
    "get_private": (
        ("c", "k"), {}, Message.GET_STATE, shim.GetState(key="k", collection="c"), b"hidden", b"hidden",
    ),
    "hash_private": (
        ("c", "k"), {}, Message.GET_PRIVATE_DATA_HASH, shim.GetState(key="k", collection="c"), b"\x0f", b"0f",
    ),
    "put_private": (
        ("c", "k"), {"value": b"h"}, Message.PUT_STATE, shim.PutState(key="k", value=b"h", collection="c"), b"", b"",
    ),
    "delete_private": (("c", "k"), {}, Message.DEL_STATE, shim.DelState(key="k", collection="c"), b"", b""),
    "purge_private": (
        ("c", "k"), {}, Message.PURGE_PRIVATE_DATA, shim.PurgePrivateState(key="k", collection="c"), b"", b"",
    ),
    "set_policy": (
        ("k", "0801"),
        {},
        Message.PUT_STATE_METADATA,
        shim.PutStateMetadata(key="k", metadata=shim.StateMetadata(metakey="VALIDATION_PARAMETER", value=b"\x08\x01")),
        b"",
        b"",
    ),
    "get_policy": (("k",), {}, Message.GET_STATE_METADATA, shim.GetStateMetadata(key="k"), POLICY, b"0a"),
}  # fmt: skip


@pytest.mark.parametrize("function", SINGLE)
def test_an_operation_is_one_request_and_its_reply_the_result(peer: FakePeer, function: str) -> None:
    arguments, transient, kind, content, reply, result = SINGLE[function]
    txid = peer.begin(function, *arguments, transient=transient)
    request = peer.expect(txid, kind)
    assert (request.payload, request.channel_id) == (content.SerializeToString(), CHANNEL)
    assert peer.has_nothing(txid, 0.05)
    peer.reply(request, reply)
    response, _ = peer.completed(txid)
    assert (response.status, response.payload, response.message) == (200, result, "")


@pytest.mark.parametrize("function", SINGLE)
def test_an_error_of_the_peer_is_raised_and_never_taken_for_a_value(peer: FakePeer, function: str) -> None:
    arguments, transient, kind, *_ = SINGLE[function]
    txid = peer.begin(function, *arguments, transient=transient)
    peer.reply(peer.expect(txid, kind), b"GET_STATE failed: no\xff", Message.ERROR)
    response, _ = peer.completed(txid)
    assert (response.status, response.payload) == (500, b"")
    assert response.message == "PeerRefused: GET_STATE failed: no\ufffd"


def test_the_contract_may_go_on_after_a_refusal(peer: FakePeer) -> None:
    txid = peer.begin("careless", "k")
    peer.reply(peer.expect(txid, Message.GET_STATE), b"not you", Message.ERROR)
    assert peer.completed(txid)[0].payload == b"caught not you"


@pytest.mark.parametrize("kind", [Message.COMPLETED, Message.GET_STATE, Message.REGISTER, 99])
def test_a_reply_of_another_type_is_refused(peer: FakePeer, kind: int) -> None:
    txid = peer.begin("get", "k")
    peer.reply(peer.expect(txid, Message.GET_STATE), b"value", kind)
    response, _ = peer.completed(txid)
    assert response.status == 500
    assert "where RESPONSE or ERROR was due" in response.message


def test_the_transaction_knows_itself(peer: FakePeer) -> None:
    txid = peer.begin("context", channel="other")
    context = json.loads(peer.completed(txid)[0].payload)
    assert context == {
        "transaction": txid,
        "channel": "other",
        "seconds": 1_700_000_000,
        "nanos": 5,
        "msp": "AlphaMSP",
        "certificate": "certificate",
    }


def test_transient_values_and_arguments_arrive_as_they_are(peer: FakePeer) -> None:
    assert peer.run("transient", "a", transient={"a": b"\x00\xff", "b": b"x"}).payload == b"\x00\xff"
    assert json.loads(peer.run("echo", "ä", "", "x\ny").payload) == ["ä", "", "x\ny"]
    refused = peer.run("echo", b"\xff")
    assert (refused.status, "UnicodeDecodeError" in refused.message) == (500, True)


@pytest.mark.parametrize(
    "call",
    [("get", ""), ("put", "", "x"), ("delete", ""), ("put_surrogate",), ("get_private", "", "k"),
     ("get_private", "c", ""),
     ("purge_private", "", "k"), ("history", ""), ("get_policy", ""), ("call_with", "", ""), ("event", "", "x")],
)  # fmt: skip
def test_what_no_peer_takes_is_refused_before_it_is_sent(peer: FakePeer, call: tuple[str, ...]) -> None:
    response = peer.run(*call)
    assert (response.status, "InvalidKey" in response.message) == (500, True)


# --- queries --------------------------------------------------------------------------------------


def rows(*keys: str, more: bool = False, bookmark: str | None = None) -> bytes:
    results = [
        shim.QueryResultBytes(resultBytes=kv_query_result_pb2.KV(key=key, value=b"v").SerializeToString())
        for key in keys
    ]
    metadata = b""
    if bookmark is not None:
        content = shim.QueryResponseMetadata(fetched_records_count=len(keys), bookmark=bookmark)
        metadata = content.SerializeToString()
    response = shim.QueryResponse(results=results, has_more=more, id="query", metadata=metadata)
    return bytes(response.SerializeToString())


def test_a_range_is_fetched_to_its_end_and_a_peer_that_has_no_more_is_not_asked_to_close(
    peer: FakePeer,
) -> None:
    txid = peer.begin("range", "", "z")
    first = peer.expect(txid, Message.GET_STATE_BY_RANGE)
    assert first.payload == shim.GetStateByRange(startKey="\x01", endKey="z").SerializeToString()
    peer.reply(first, rows("a", "b", more=True))
    second = peer.expect(txid, Message.QUERY_STATE_NEXT)
    assert second.payload == shim.QueryStateNext(id="query").SerializeToString()
    peer.reply(second, rows(more=True))
    peer.reply(peer.expect(txid, Message.QUERY_STATE_NEXT), rows("c"))
    assert [row[0] for row in json.loads(peer.completed(txid)[0].payload)] == ["a", "b", "c"]


def test_a_range_left_early_is_closed(peer: FakePeer) -> None:
    txid = peer.begin("first_then_put", "a", "z", "found")
    peer.reply(peer.expect(txid, Message.GET_STATE_BY_RANGE), rows("a", "b", more=True))
    peer.reply(peer.expect(txid, Message.PUT_STATE))
    close = peer.expect(txid, Message.QUERY_STATE_CLOSE)
    assert close.payload == shim.QueryStateClose(id="query").SerializeToString()
    peer.reply(close, rows())
    assert peer.completed(txid)[0].payload == b"a"


def test_a_range_that_breaks_off_raises(peer: FakePeer) -> None:
    txid = peer.begin("range", "", "")
    peer.reply(peer.expect(txid, Message.GET_STATE_BY_RANGE), rows("a", more=True))
    peer.reply(peer.expect(txid, Message.QUERY_STATE_NEXT), b"the iterator is gone", Message.ERROR)
    assert peer.completed(txid)[0].message == "PeerRefused: the iterator is gone"


@pytest.mark.parametrize("function", ["range", "history", "page"])
def test_rows_that_are_none_are_refused(peer: FakePeer, function: str) -> None:
    arguments = {"range": ("", ""), "history": ("k",), "page": ("", "", "2", "")}[function]
    txid = peer.begin(function, *arguments)
    peer.reply(peer.next(txid), b"\xff\xff\xff")
    assert peer.completed(txid)[0].message.startswith("MalformedMessage: a query's response is not a ")


def test_a_page_has_its_size_and_its_bookmark_and_a_write_after_it_is_asked_at_once(connect: Connect) -> None:
    peer = connect(offer(writes=10))
    txid = peer.begin("composite_page", "2", "mark", "kind", "a")
    request = peer.expect(txid, Message.GET_STATE_BY_RANGE)
    asked = shim.GetStateByRange.FromString(request.payload)
    assert (asked.startKey, asked.endKey) == ("\x00kind\x00a\x00", "\x00kind\x00a\x00\U0010ffff")
    assert shim.QueryMetadata.FromString(asked.metadata) == shim.QueryMetadata(pageSize=2, bookmark="mark")
    peer.reply(request, rows("x", "y", bookmark="z"))
    assert json.loads(peer.completed(txid)[0].payload) == {"keys": ["x", "y"], "bookmark": "z"}
    txid = peer.begin("page_then_put", "a", "b")
    peer.reply(peer.expect(txid, Message.GET_STATE_BY_RANGE), rows(bookmark=""))
    peer.reply(peer.expect(txid, Message.PUT_STATE), b"not after a page", Message.ERROR)
    assert peer.completed(txid)[0].message == "PeerRefused: not after a page"


@pytest.mark.parametrize("size", ["-1", str(2**31)])
def test_a_page_of_an_impossible_size_is_refused(peer: FakePeer, size: str) -> None:
    assert "cannot be read" in peer.run("page", "", "", size, "").message


def test_the_history_comes_as_the_peer_gives_it(peer: FakePeer) -> None:
    row = kv_query_result_pb2.KeyModification(tx_id="t", value=b"v", is_delete=True)
    row.timestamp.seconds = 7
    content = shim.QueryResponse(results=[shim.QueryResultBytes(resultBytes=row.SerializeToString())])
    txid = peer.begin("history", "k")
    request = peer.expect(txid, Message.GET_HISTORY_FOR_KEY)
    assert request.payload == shim.GetHistoryForKey(key="k").SerializeToString()
    peer.reply(request, content.SerializeToString())
    assert json.loads(peer.completed(txid)[0].payload) == [["t", "v", True, 7]]


# --- many keys ------------------------------------------------------------------------------------

PAIRS = [text for number in range(7) for text in (f"k{number}", str(number))]


def test_writes_are_gathered_into_batches_of_the_announced_size(connect: Connect) -> None:
    peer = connect(offer(writes=3))
    response, asked = peer.serve(peer.begin("put", *PAIRS))
    assert (response.status, names(asked)) == (200, ["WRITE_BATCH_STATE"] * 3)
    records = [record for item in asked for record in shim.WriteBatchState.FromString(item.payload).rec]
    assert [(item.key, item.value, item.type) for item in records] == [
        (f"k{number}", str(number).encode(), Message.PUT_STATE) for number in range(7)
    ]


def test_without_an_announcement_every_write_is_a_message(peer: FakePeer) -> None:
    response, asked = peer.serve(peer.begin("put", *PAIRS))
    assert (response.status, names(asked)) == (200, ["PUT_STATE"] * 7)


def test_a_deletion_is_a_record_of_its_own_kind(connect: Connect) -> None:
    peer = connect(offer(writes=10))
    _, asked = peer.serve(peer.begin("write_and_delete"))
    records = shim.WriteBatchState.FromString(asked[0].payload).rec
    assert [(item.key, item.type) for item in records] == [("a", Message.PUT_STATE), ("b", Message.DEL_STATE)]


@pytest.mark.parametrize(("call", "kind"), [(("put", "a", "1"), "PUT_STATE"), (("delete", "a"), "DEL_STATE")])
def test_a_single_write_needs_no_batch(connect: Connect, call: tuple[str, ...], kind: str) -> None:
    peer = connect(offer(writes=10))
    assert names(peer.serve(peer.begin(*call))[1]) == [kind]


def test_gathered_writes_come_before_what_must_follow_them(connect: Connect) -> None:
    peer = connect(offer(writes=10))
    _, asked = peer.serve(peer.begin("write_policy_write"))
    assert names(asked) == ["WRITE_BATCH_STATE", "PUT_STATE_METADATA", "PUT_STATE"]


def test_a_gathered_write_comes_before_a_page_so_that_the_peer_can_refuse_it(connect: Connect) -> None:
    peer = connect(offer(writes=10))
    txid = peer.begin("put_then_page", "a", "b")
    peer.reply(peer.expect(txid, Message.PUT_STATE))
    peer.reply(peer.expect(txid, Message.GET_STATE_BY_RANGE), b"only without writes", Message.ERROR)
    assert peer.completed(txid)[0].message == "PeerRefused: only without writes"


def test_a_refused_batch_ends_the_transaction(connect: Connect) -> None:
    peer = connect(offer(writes=10))
    txid = peer.begin("put", *PAIRS)
    peer.reply(peer.expect(txid, Message.WRITE_BATCH_STATE), b"bad key", Message.ERROR)
    response, last = peer.completed(txid)
    assert (response.status, response.message, response.payload) == (500, "bad key", b"")
    assert not last.HasField("chaincode_event")


def test_a_transaction_that_refuses_sends_no_gathered_write(connect: Connect) -> None:
    peer = connect(offer(writes=10))
    response, asked = peer.serve(peer.begin("write_then_refuse"))
    assert (response.status, asked) == (500, [])


def test_large_writes_do_not_wait_for_each_other(connect: Connect) -> None:
    peer = connect(offer(writes=100))
    large = "x" * 600_000
    _, asked = peer.serve(peer.begin("put", "a", large, "b", large, "c", "1", "d", "x" * 2_000_000))
    assert names(asked) == ["PUT_STATE", "WRITE_BATCH_STATE", "PUT_STATE"]


def test_reads_share_messages_of_the_announced_size(connect: Connect) -> None:
    peer = connect(offer(reads=2))
    txid = peer.begin("many", "a", "b", "c")
    first = peer.expect(txid, Message.GET_STATE_MULTIPLE)
    assert first.payload == shim.GetStateMultiple(keys=["a", "b"]).SerializeToString()
    peer.reply(first, shim.GetStateMultipleResult(values=[b"1", b""]).SerializeToString())
    second = peer.expect(txid, Message.GET_STATE_MULTIPLE)
    peer.reply(second, shim.GetStateMultipleResult(values=[b"3"]).SerializeToString())
    assert peer.completed(txid)[0].payload == b"1,,3"


def test_without_an_announcement_every_read_is_a_message(peer: FakePeer) -> None:
    response, asked = peer.serve(peer.begin("many", "a", "b"), {Message.GET_STATE: b"v"})
    assert (response.payload, names(asked)) == (b"v,v", ["GET_STATE"] * 2)


def test_a_ledger_without_such_a_message_reads_one_by_one() -> None:
    state = {"a": Version(b"1", 1, "0" * 64, Timestamp(0, 0))}
    stub = MemoryStub(state, {}, Proposal({"mspid": "A", "idBytes": b""}, "x", (), 0, "0" * 64))
    assert run(stub.get_multiple_states("a", "b", "a")) == [b"1", b"", b"1"]
    assert set(stub.effects.reads) == {"a", "b"}


@pytest.mark.parametrize("reply", [shim.GetStateMultipleResult(values=[b"1"]).SerializeToString(), b"\xff"])
def test_values_that_do_not_match_their_keys_are_refused(connect: Connect, reply: bytes) -> None:
    peer = connect(offer(reads=10))
    txid = peer.begin("many", "a", "b")
    peer.reply(peer.expect(txid, Message.GET_STATE_MULTIPLE), reply)
    assert peer.completed(txid)[0].message.startswith("MalformedMessage: ")


def test_sizes_without_the_word_that_they_are_taken_are_no_offer(connect: Connect) -> None:
    sizes = chaincode_pb2.ChaincodeAdditionalParams(max_size_write_batch=9, max_size_get_multiple_keys=9)
    peer = connect(sizes.SerializeToString())
    assert names(peer.serve(peer.begin("put", *PAIRS))[1]) == ["PUT_STATE"] * 7
    assert names(peer.serve(peer.begin("many", "a", "b"))[1]) == ["GET_STATE"] * 2


def test_an_offer_that_cannot_be_read_is_none(connect: Connect) -> None:
    peer = connect(b"\xff\xff")
    assert names(peer.serve(peer.begin("put", *PAIRS))[1]) == ["PUT_STATE"] * 7


# --- other chaincodes, events, sizes --------------------------------------------------------------


@pytest.mark.parametrize(("channel", "name"), [("", "other"), ("far", "other/far")])
def test_another_chaincodes_answer_is_its_response(peer: FakePeer, channel: str, name: str) -> None:
    txid = peer.begin("call_with", "other", channel)
    request = peer.expect(txid, Message.INVOKE_CHAINCODE)
    spec = chaincode_pb2.ChaincodeSpec.FromString(request.payload)
    assert (spec.chaincode_id.name, list(spec.input.args)) == (name, [b"f", b"\xff"])
    inner = proposal_response_pb2.Response(status=404, payload=b"p", message="none").SerializeToString()
    peer.reply(request, Message(type=Message.COMPLETED, payload=inner).SerializeToString())
    response, _ = peer.completed(txid)
    assert (response.status, response.payload, response.message) == (404, b"p", "none")


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Message(type=Message.ERROR, payload=b"it broke").SerializeToString(), "PeerRefused: it broke"),
        (b"\xff", "MalformedMessage: the called chaincode's answer"),
    ],
)
def test_another_chaincode_that_fails_is_a_refusal(peer: FakePeer, reply: bytes, message: str) -> None:
    txid = peer.begin("call_with", "other", "")
    peer.reply(peer.expect(txid, Message.INVOKE_CHAINCODE), reply)
    assert peer.completed(txid)[0].message.startswith(message)


def test_the_last_event_travels_with_the_answer(peer: FakePeer) -> None:
    txid = peer.begin("event", "first", "1", "second", "2")
    peer.reply(peer.expect(txid, Message.PUT_STATE))
    event = peer.completed(txid)[1].chaincode_event
    assert (event.event_name, event.payload) == ("second", b"2")


def test_a_refused_transaction_has_no_event(peer: FakePeer) -> None:
    response, last = peer.completed(peer.begin("event_then_fail", "name"))
    assert (response.message, last.HasField("chaincode_event")) == ("refused after its event", False)


def test_a_status_below_400_is_an_answer_with_its_words(peer: FakePeer) -> None:
    response = peer.run("answer", "399", "so so")
    assert (response.status, response.payload, response.message) == (399, b"payload", "so so")


def test_an_argument_and_a_value_of_20_megabytes_pass(peer: FakePeer) -> None:
    large = "x" * (20 * 1024 * 1024)
    txid = peer.begin("append", "k", large)
    peer.reply(peer.expect(txid, Message.GET_STATE), b"y")
    put = peer.expect(txid, Message.PUT_STATE)
    assert len(put.payload) > len(large)
    peer.reply(put)
    assert len(peer.completed(txid)[0].payload) == len(large) + 1


def test_what_is_larger_than_a_peer_takes_is_refused_and_the_stream_lives(
    peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_messages, "MESSAGE_LIMIT_BYTES", 10_000)
    monkeypatch.setattr("bfl_chaincode.shim.service.transaction.MESSAGE_LIMIT_BYTES", 10_000)
    assert "TooLarge: a request of" in peer.run("put_large", "k", "20000").message
    assert "an answer of" in peer.run("echo", "x" * 20_000).message
    assert peer.run("echo", "x").status == 200
