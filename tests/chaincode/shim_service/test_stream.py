"""The stream and what may happen on it: many transactions at once, hung ones, nonsense, cuts, an orderly end."""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from bfl_chaincode.shim.service import ContractServer, ServiceSettings, ServiceTls
from tests.chaincode.shim_service.conftest import TestedContract
from tests.chaincode.shim_service.fake_peer import FakePeer, Message, names, transaction
from tests.chaincode.shim_service.real_service import ServiceKeys

Connect = Callable[..., FakePeer]


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def operations(server: ContractServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{server.operations_address}{path}", timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


# --- registration and messages --------------------------------------------------------------------


def test_the_first_message_registers_the_package(server: ContractServer) -> None:
    with FakePeer(server.address) as peer:
        assert peer.register().package_id == "probe:1"


def test_a_keep_alive_is_answered(peer: FakePeer) -> None:
    peer.send(Message(type=Message.KEEPALIVE))
    peer.expect("", Message.KEEPALIVE)


def test_many_transactions_at_once_keep_their_own_replies(peer: FakePeer) -> None:
    asked = {peer.begin("copy", f"from{number}", f"to{number}"): number for number in range(60)}
    reads = [peer.expect(txid, Message.GET_STATE) for txid in asked]
    for read in reversed(reads):
        peer.reply(read, f"value{asked[read.txid]}".encode())
    writes = [peer.expect(txid, Message.PUT_STATE) for txid in asked]
    for write in writes[::2] + writes[1::2]:
        assert f"value{asked[write.txid]}".encode() in write.payload
        peer.reply(write)
    assert all(peer.completed(txid)[0].status == 200 for txid in asked)


def test_the_same_transaction_id_on_another_channel_is_another_transaction(peer: FakePeer) -> None:
    first = peer.begin("get", "a", txid="e" * 64, channel="one")
    peer.begin("get", "b", txid="e" * 64, channel="two")
    requests = {request.channel_id: request for request in (peer.next(first), peer.next(first))}
    peer.reply(requests["two"], b"2")
    assert peer.completed(first)[1].channel_id == "two"
    peer.reply(requests["one"], b"1")
    response, last = peer.completed(first)
    assert (response.payload, last.channel_id) == (b"1", "one")


BROKEN = {
    "garbage": b"\xff\xff\xff\xff",
    "nothing": b"",
    "an unknown type": Message(type=77),
    "a type that only contracts send": Message(type=Message.GET_STATE, txid="a", channel_id="b"),
    "a reply to nobody": Message(type=Message.RESPONSE, txid="a" * 64, channel_id="training"),
    "an error to nobody": Message(type=Message.ERROR, txid="a" * 64, channel_id="training"),
    "a second registration": Message(type=Message.REGISTERED),
    "an offer that is none": Message(type=Message.READY, payload=b"\xff"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_message_that_makes_no_sense_is_counted_and_the_stream_lives(
    peer: FakePeer, server: ContractServer, what: str
) -> None:
    peer.send(BROKEN[what])
    assert peer.run("echo", "alive").payload == b'["alive"]'
    counted = "messages_refused_total{" in server.metrics.text()
    assert counted is (what != "a second registration")


def _without_proposal(message: Any) -> Any:
    message.ClearField("proposal")
    return message


def _with(message: Any, **fields: Any) -> Any:
    for name, value in fields.items():
        setattr(message, name, value)
    return message


MALFORMED: dict[str, Callable[[], Any]] = {
    "no proposal": lambda: _without_proposal(transaction("echo", txid="d" * 64)),
    "an input that is none": lambda: _with(transaction("echo", txid="d" * 64), payload=b"\xff\xff"),
    "the proposal of another": lambda: _with(transaction("echo", txid="c" * 64), txid="d" * 64),
    "an initialization": lambda: _with(transaction("echo", txid="d" * 64), type=Message.INIT),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_transaction_that_cannot_be_read_is_answered_with_the_reason(peer: FakePeer, what: str) -> None:
    peer.send(MALFORMED[what]())
    response, _ = peer.completed("d" * 64)
    assert response.status == 500
    assert "cannot be read" in response.message or "--init-required" in response.message
    assert peer.run("echo", "alive").status == 200


def test_a_proposal_of_garbage_is_answered_with_the_reason(peer: FakePeer) -> None:
    message = transaction("echo", txid="d" * 64)
    message.proposal.proposal_bytes = b"\xff\xff"
    peer.send(message)
    assert "the proposal is not a protos.Proposal" in peer.completed("d" * 64)[0].message


# --- what contracts must not do -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("raise", "outside its own refusals: LookupError"),
        ("exit", "outside its own refusals: SystemExit"),
        ("nonsense", "outside its own refusals: AttributeError"),
        ("wait", "must not wait for anything but the ledger"),
    ],
)
def test_whatever_a_contract_does_is_an_answer_without_values(
    peer: FakePeer, caplog: pytest.LogCaptureFixture, call: str, text: str
) -> None:
    caplog.set_level(logging.DEBUG)
    response = peer.run(call)
    assert (response.status, text in response.message, response.payload) == (500, True, b"")
    assert "SECRET" not in response.message + caplog.text
    assert "Traceback" not in response.message
    assert peer.run("echo", "alive").status == 200


def test_a_contract_may_give_way(peer: FakePeer) -> None:
    assert peer.run("give_way").payload == b"back"


@pytest.mark.parametrize("how", ["hang", "burn"])
def test_a_hung_function_holds_nobody_up(
    peer: FakePeer, contract: TestedContract, server: ContractServer, how: str
) -> None:
    before = peer.begin("get", "before")
    request = peer.expect(before, Message.GET_STATE)
    hung = [peer.begin(how), peer.begin(how)]
    slowest = 0.0
    peer.reply(request, b"v")
    for number in range(30):
        began = time.monotonic()
        if number == 0:
            assert peer.completed(before)[0].payload == b"v"
        assert peer.run("echo", "x").status == 200
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 1.5, slowest
    assert server.metrics.value("stuck") == 2
    contract.release.set()
    for txid in hung:
        response, asked = peer.serve(txid)
        assert response.status == 200
        assert names(asked) == (["PUT_STATE"] if how == "hang" else [])
    wait_until(lambda: server.metrics.value("stuck") == 0)


def test_a_slow_function_is_finished_and_its_thread_with_it(peer: FakePeer, server: ContractServer) -> None:
    threads = threading.active_count()
    slow = [peer.begin("slow") for _ in range(3)]
    assert all(peer.completed(txid)[0].payload == b"slow" for txid in slow)
    wait_until(lambda: server.metrics.value("stuck") == 0 and threading.active_count() <= threads)


def test_with_too_many_hung_functions_the_service_says_so_and_takes_no_more(
    peer: FakePeer, contract: TestedContract, server: ContractServer
) -> None:
    assert operations(server, "/healthz")[0] == 200
    hung = [peer.begin("hang") for _ in range(4)]
    wait_until(lambda: server.metrics.value("stuck") == 4)
    refused = peer.run("echo", "x")
    assert (refused.status, "4 functions hang" in refused.message) == (500, True)
    status, text = operations(server, "/healthz")
    assert (status, json.loads(text)["failed_checks"][0]["component"]) == (503, "functions")
    contract.release.set()
    assert all(peer.serve(txid)[0].status == 200 for txid in hung)
    wait_until(lambda: server.failed_checks() == {})
    assert peer.run("echo", "x").status == 200


def test_a_transaction_sent_again_while_its_first_run_hangs_is_refused_and_the_late_messages_dropped(
    peer: FakePeer, contract: TestedContract, server: ContractServer
) -> None:
    txid = peer.begin("hang")
    wait_until(lambda: server.metrics.value("stuck") == 1)
    peer.send(transaction("hang", txid=txid))
    assert "still running" in peer.completed(txid)[0].message
    peer.send(transaction("get", "a", txid=txid))
    request = peer.expect(txid, Message.GET_STATE)
    contract.release.set()
    wait_until(lambda: server.metrics.value("stuck") == 0)
    assert peer.has_nothing(txid)
    peer.reply(request, b"the third's own")
    assert peer.completed(txid)[0].payload == b"the third's own"
    assert server.metrics.value("running") == 0


def test_a_reply_that_a_busy_transaction_did_not_ask_for_is_dropped(
    peer: FakePeer, contract: TestedContract, server: ContractServer
) -> None:
    txid = peer.begin("hang")
    wait_until(lambda: server.metrics.value("stuck") == 1)
    peer.send(Message(type=Message.RESPONSE, txid=txid, channel_id="training", payload=b"unasked"))
    assert peer.run("echo", "alive").status == 200
    contract.release.set()
    assert peer.serve(txid)[0].payload == b"awake"


# --- ends -----------------------------------------------------------------------------------------


def test_a_cut_stream_leaves_nothing_and_the_peer_may_come_back(
    server: ContractServer, contract: TestedContract
) -> None:
    with FakePeer(server.address) as peer:
        peer.register().expect(peer.begin("get", "a"), Message.GET_STATE)
        peer.begin("hang")
        wait_until(lambda: server.metrics.value("stuck") == 1)
        assert server.metrics.value("running") == 2
    wait_until(lambda: server.metrics.value("streams") == 0 and server.metrics.value("running") == 0)
    contract.release.set()
    wait_until(lambda: server.metrics.value("stuck") == 0)
    with FakePeer(server.address) as peer:
        assert peer.register().run("echo", "again").status == 200


def test_two_peers_do_not_meet(connect: Connect) -> None:
    one, two = connect(), connect()
    first, second = one.begin("get", "a", txid="e" * 64), two.begin("get", "a", txid="e" * 64)
    two.reply(two.expect(second, Message.GET_STATE), b"two")
    assert two.completed(second)[0].payload == b"two"
    one.reply(one.expect(first, Message.GET_STATE), b"one")
    assert one.completed(first)[0].payload == b"one"


def test_an_orderly_end_lets_running_transactions_finish(server: ContractServer, peer: FakePeer) -> None:
    txid = peer.begin("get", "a")
    request = peer.expect(txid, Message.GET_STATE)
    ending = threading.Thread(target=server.stop, args=(5.0,))
    ending.start()
    wait_until(lambda: "service" in server.failed_checks())
    refused = peer.run("echo", "late")
    assert (refused.status, "shutting down" in refused.message) == (500, True)
    peer.reply(request, b"v")
    assert peer.completed(txid)[0].payload == b"v"
    ending.join(5)
    assert not ending.is_alive()
    assert peer.ended.wait(5)
    assert peer.status is grpc.StatusCode.OK


def test_an_answer_is_sent_before_the_stream_ends_because_nothing_runs(
    server: ContractServer, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    txid = peer.begin("copy", "from", "to")
    read, change = peer.expect(txid, Message.GET_STATE), server.metrics.change

    def slowly(name: str, by: int) -> None:
        change(name, by)
        time.sleep(0.2)

    monkeypatch.setattr(server.metrics, "change", slowly)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    peer.reply(read, b"value")
    assert peer.serve(txid)[0].status == 200
    stopping.join(10)
    assert not stopping.is_alive()


def test_an_end_does_not_wait_for_a_hung_function(server: ContractServer, peer: FakePeer) -> None:
    peer.begin("hang")
    wait_until(lambda: server.metrics.value("stuck") == 1)
    began = time.monotonic()
    server.stop(0.3)
    assert time.monotonic() - began < 3
    assert peer.ended.wait(5)


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys() -> ServiceKeys:
    return ServiceKeys()


def reaches(address: str, credentials: Any) -> bool:
    with FakePeer(address, credentials) as peer:
        wait_until(lambda: peer.ended.is_set() or not peer._received[""].empty())
        return not peer.ended.is_set()


def test_only_a_peer_with_a_certificate_of_the_client_authority_gets_in(
    contract: TestedContract, keys: ServiceKeys
) -> None:
    stranger = ServiceKeys().client
    roots = keys.authority.certificate_pem
    server = ContractServer(contract.invoke, ServiceSettings("probe:1", "127.0.0.1:0", keys.tls))
    server.start()
    try:
        ours = grpc.ssl_channel_credentials(roots, keys.client.key_pem, keys.client.certificate_pem)
        theirs = grpc.ssl_channel_credentials(roots, stranger.key_pem, stranger.certificate_pem)
        assert reaches(server.address, ours)
        assert not reaches(server.address, theirs)
        assert not reaches(server.address, grpc.ssl_channel_credentials(roots))
        assert not reaches(server.address, None)
    finally:
        server.stop(0.1)


def test_key_material_never_prints(keys: ServiceKeys) -> None:
    settings = ServiceSettings("probe:1", "127.0.0.1:0", keys.tls)
    assert "PRIVATE" not in repr(settings) + str(settings) + repr(keys.tls)
    assert repr(keys.tls) == "ServiceTls(…)"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:port", ":1", "127.0.0.1:70000"])
def test_an_address_that_is_none_is_refused(contract: TestedContract, address: str) -> None:
    with pytest.raises(ValueError, match="write host:port"):
        ContractServer(contract.invoke, ServiceSettings("probe:1", address, None)).start()


def test_material_that_is_no_pem_and_an_address_in_use_are_errors(
    contract: TestedContract, server: ContractServer
) -> None:
    bad = ServiceTls(b"no", b"no", b"no")
    with pytest.raises(OSError, match="cannot listen"):
        ContractServer(contract.invoke, ServiceSettings("probe:1", "127.0.0.1:0", bad)).start()
    with pytest.raises(OSError, match="cannot listen"):
        ContractServer(contract.invoke, ServiceSettings("probe:1", server.address, None)).start()


# --- what operators see ---------------------------------------------------------------------------


def test_metrics_count_functions_results_durations_and_requests(
    peer: FakePeer, server: ContractServer
) -> None:
    peer.serve(peer.begin("copy", "a", "b"))
    peer.run("echo", "x")
    peer.run("fail", "no")
    peer.run("SECRET value", "x")
    status, text = operations(server, "/metrics")
    assert status == 200
    for line in [
        'bfl_contract_transactions_total{function="copy",result="ok"} 1',
        'bfl_contract_transactions_total{function="other",result="refused"} 2',
        'bfl_contract_transaction_duration_seconds_bucket{le="+Inf"} 4',
        "bfl_contract_transaction_duration_seconds_count 4",
        'bfl_contract_state_requests_total{kind="GET_STATE"} 1',
        'bfl_contract_state_requests_total{kind="PUT_STATE"} 1',
        "bfl_contract_running 0",
        "bfl_contract_streams 1",
    ]:
        assert line in text.splitlines()
    assert "SECRET" not in text


def test_the_endpoint_says_how_it_is_and_knows_two_pages(server: ContractServer) -> None:
    status, text = operations(server, "/healthz")
    assert (status, json.loads(text)["status"]) == (200, "OK")
    assert operations(server, "/else")[0] == 404
    request = urllib.request.Request(f"http://{server.operations_address}/healthz", method="POST", data=b"")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=5)


def test_logs_have_ids_durations_and_counts_and_no_values(
    peer: FakePeer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="bfl_chaincode")
    txid = peer.begin("append", "SECRET-key", "SECRET-argument", transient={"SECRET-name": b"x"})
    peer.reply(peer.expect(txid, Message.GET_STATE), b"SECRET-value")
    peer.reply(peer.expect(txid, Message.PUT_STATE))
    peer.completed(txid)
    peer.begin("SECRET-function")
    peer.run("fail", "SECRET-refusal")
    assert f"{txid[:8]} append: status 200 in" in caplog.text
    assert "SECRET" not in caplog.text
