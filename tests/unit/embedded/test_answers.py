"""Equal questions at one height: the contract answers once, unless it looked at more than the state."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bfl_chaincode.main import TRANSACTIONS
from bfl_chaincode.shim.stub import ChaincodeStub, Response
from bfl_fabric.embedded import answers as answers_module
from bfl_fabric.embedded.answers import Answers, Question
from bfl_fabric.embedded.contract import bfl_contract
from bfl_fabric.embedded.ledger import EmbeddedLedger, Network
from bfl_fabric.fabric import envelopes
from bfl_fabric.fabric.gateway_transport import GatewayFailure
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.fabric.proposal import Invocation, build_proposal, sign_proposal
from tests.conformance.federation import CHAINCODE, CHANNEL
from tests.conformance.probe_contract import ProbeContract
from tests.unit.embedded.workbench import Bench, BenchClock, federation


class Counting(ProbeContract):
    """Counts how often it ran, in all its instances together; asks for one thing at a time."""

    def __init__(self, runs: list[str]) -> None:
        self._runs = runs

    async def invoke(self, stub: ChaincodeStub) -> Response:
        self._runs.append(stub.get_function_and_parameters()[0])
        return await super().invoke(stub)

    async def do_ask_creator(self, stub: ChaincodeStub) -> bytes:
        return bytes(stub.get_creator()["idBytes"])

    async def do_ask_time(self, stub: ChaincodeStub) -> bytes:
        return str(stub.get_tx_timestamp().seconds).encode()

    async def do_ask_transaction(self, stub: ChaincodeStub) -> bytes:
        return stub.get_txid().encode()

    async def do_ask_transient(self, stub: ChaincodeStub) -> bytes:
        return str(sorted(stub.get_transient())).encode()

    async def do_name_an_event_badly(self, stub: ChaincodeStub) -> None:
        stub.set_event("\ud800", b"")

    async def do_ask_channel(self, stub: ChaincodeStub) -> bytes:
        return stub.get_channel_id().encode()


class Counted(Bench):
    """A bench whose contract counts."""

    def __init__(self, directory: Path) -> None:
        self.runs: list[str] = []
        made, clock = federation(), BenchClock()
        network = Network(made.peers, made.orderer, lambda: Counting(self.runs), clock)
        super().__init__(EmbeddedLedger(directory, network), clock)

    def ask(self, signer: SigningIdentity, *call: str) -> envelopes.Response:
        arguments = tuple(text.encode() for text in call)
        proposal = build_proposal(
            Invocation(CHANNEL, CHAINCODE, arguments), signer.creator, b"n" * 24, self.clock.now_ms()
        )
        return self.ledger.evaluate(sign_proposal(proposal, signer))


@pytest.fixture
def counted(directory: Path) -> Iterator[Counted]:
    opened = Counted(directory)
    yield opened
    opened.ledger.close()


PURE = [
    ("get", "key"),
    ("multiple", "key", "other"),
    ("range", "a", "z"),
    ("page", "a", "z", "2", ""),
    ("composite_range", "kind"),
    ("history", "key"),
    ("get_policy", "key"),
    ("echo", "x"),
    ("ask_channel",),
    ("put", "key", "value"),
    ("answer", "399", "fine"),
]
PERSONAL = [
    ("ask_creator",),
    ("ask_time",),
    ("ask_transaction",),
    ("ask_transient",),
    ("get_private", "shared", "key"),
    ("hash_private", "shared", "key"),
    ("delete_private", "shared", "key"),
    ("event", "name", "payload"),
    ("call_or_else", "nobody", "key"),
]


@pytest.mark.parametrize("call", PURE, ids=lambda call: call[0])
def test_a_question_about_the_state_is_answered_once_for_everybody(
    counted: Counted, call: tuple[str, ...]
) -> None:
    answers = [counted.ask(client, *call) for client in federation().clients]
    assert answers[0] is answers[1] is answers[2]
    assert counted.runs == [call[0]]


@pytest.mark.parametrize("call", PERSONAL, ids=lambda call: call[0])
def test_a_question_about_more_than_the_state_is_answered_to_each(
    counted: Counted, call: tuple[str, ...]
) -> None:
    for client in federation().clients[:2]:
        counted.ask(client, *call)
    assert counted.runs == [call[0]] * 2


def test_everybody_hears_of_their_own_creator(counted: Counted) -> None:
    clients = federation().clients
    assert [counted.ask(client, "ask_creator").payload for client in clients] == [
        client.certificate_pem for client in clients
    ]


def test_after_a_commit_the_contract_is_asked_again(counted: Counted) -> None:
    assert counted.evaluate("get", "key") == b""
    counted.submit("put", "key", "new")
    counted.runs.clear()
    assert [counted.evaluate("get", "key") for _ in range(3)] == [b"new"] * 3
    assert counted.runs == ["get"]


def test_other_arguments_are_another_question(counted: Counted) -> None:
    assert counted.evaluate("echo", "a", "b") != counted.evaluate("echo", "ab")


def test_a_refusal_is_asked_for_again(counted: Counted) -> None:
    for _ in range(2):
        with pytest.raises(GatewayFailure, match="no"):
            counted.evaluate("fail", "no")
    assert counted.runs == ["fail"] * 2


def test_an_evaluation_too_refuses_an_event_that_no_message_can_hold(counted: Counted) -> None:
    with pytest.raises(GatewayFailure, match="InvalidKey"):
        counted.evaluate("name_an_event_badly")


def test_a_kept_answer_is_for_those_alone_who_may_ask(counted: Counted) -> None:
    counted.evaluate("get", "key")
    _, signed = counted.signed("get", "key")
    signed.signature = bytes([*signed.signature[:-1], signed.signature[-1] ^ 1])
    with pytest.raises(GatewayFailure, match="access denied"):
        counted.ledger.evaluate(signed)
    peer = federation().peers[0]
    with pytest.raises(GatewayFailure, match="Failed evaluating policy"):
        counted.ask(peer, "get", "key")
    _, signed = counted.signed("get", "key")
    with pytest.raises(GatewayFailure, match="no peers available"):
        counted.ledger.evaluate(signed, ["NobodyMSP"])


def test_a_kept_answer_is_for_no_transaction_that_was_committed(counted: Counted) -> None:
    _, signed = counted.signed("put", "key", "value")
    envelope = counted.ledger.endorse(signed)
    counted.ledger.order(_signed_by(counted, envelope))
    counted.ledger.cut(force=True)
    counted.evaluate("put", "key", "value")
    with pytest.raises(GatewayFailure, match="duplicate transaction found"):
        counted.ledger.evaluate(signed)


def _signed_by(bench: Bench, envelope: Any) -> Any:
    envelope.signature = bench.client.sign(envelope.payload)
    return envelope


def test_an_endorsement_runs_the_contract_whatever_was_answered(counted: Counted) -> None:
    counted.evaluate("put", "key", "value")
    counted.runs.clear()
    counted.endorse("put", "key", "value")
    assert len(counted.runs) > 1


def test_threads_that_ask_at_once_get_the_same(counted: Counted) -> None:
    counted.submit("put", "key", "value")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: counted.evaluate("get", "key"), range(40)))
    assert set(answers) == {b"value"}


# --- the product's own queries --------------------------------------------------------------------


def test_of_the_products_queries_one_alone_looks_at_who_asks(directory: Path) -> None:
    made, clock = federation(), BenchClock()
    bench = Bench(EmbeddedLedger(directory, Network(made.peers, made.orderer, bfl_contract, clock)), clock)
    is_kept = {name: _is_kept(bench, name) for name, is_query in TRANSACTIONS.items() if is_query}
    bench.ledger.close()
    assert [name for name, kept in is_kept.items() if kept is False] == ["federation:WhoAmI"]
    assert list(is_kept.values()).count(True) > 5


def _is_kept(bench: Bench, query: str) -> bool | None:
    """Say whether two who ask get one answer; None when an empty ledger has none."""
    try:
        first, second = (bench.ledger.evaluate(bench.signed(query, "{}")[1]) for _ in range(2))
    except GatewayFailure:
        return None
    return first is second


# --- what is kept ---------------------------------------------------------------------------------


def question(number: int, height: int = 2) -> Question:
    return Question(height, "probe", (b"get", str(number).encode()))


def answer(size: int = 0) -> envelopes.Response:
    return envelopes.Response(200, "", b"x" * size)


def test_only_so_many_answers_are_kept_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_module, "KEPT_COUNT", 3)
    answers = Answers()
    for number in range(10):
        answers.keep(question(number), answer())
    assert len(answers) == 3
    assert [number for number in range(10) if answers.find(question(number))] == [7, 8, 9]


def test_only_so_many_bytes_of_answers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_module, "KEPT_BYTES", 1000)
    answers = Answers()
    for number in range(10):
        answers.keep(question(number), answer(300))
    assert len(answers) == 3
    answers.keep(question(99), answer(2000))
    assert len(answers) == 0
    answers.keep(question(100), answer(300))
    assert len(answers) == 1


def test_answers_of_a_past_height_are_gone_and_come_too_late() -> None:
    answers = Answers()
    answers.keep(question(1, height=2), answer())
    answers.keep(question(1, height=3), answer(5))
    assert answers.find(question(1, height=2)) is None
    answers.keep(question(2, height=2), answer())
    assert answers.find(question(2, height=2)) is None
    assert answers.find(question(1, height=3)) == answer(5)
