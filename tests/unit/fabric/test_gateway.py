"""The ledger client against a gateway that loses, refuses and contradicts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from bfl_fabric.domain.ports import Checkpoint, LedgerEvent
from bfl_fabric.errors import (
    CommitFailed,
    CommitStatusError,
    EndorseError,
    EvaluateError,
    LedgerError,
    LedgerRefused,
    LedgerUnavailable,
    SubmitError,
)
from bfl_fabric.fabric.envelopes import ValidationCode
from bfl_fabric.fabric.gateway import (
    ChannelAddress,
    GatewayLedger,
    GatewaySettings,
    Persistence,
)
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.fabric.proposal import Invocation, build_proposal
from tests.unit.fabric.gateway_peer import Fault, GatewayPeer
from tests.unit.fabric.organizations import CHAINCODE, CHANNEL, FOUNDED_MS, federation

T = TypeVar("T")
LOST, SILENT, REFUSED, NONE = Fault.REQUEST_LOST, Fault.RESPONSE_LOST, Fault.REFUSED, Fault.NONE


class StillClock:
    """Time passes only while somebody sleeps; the pauses are kept."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self._now = FOUNDED_MS

    def now_ms(self) -> int:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self._now += int(seconds * 1000)
        await asyncio.sleep(0)


class Setting:
    """A client, its peer and its clock."""

    def __init__(self, contract: Callable[[str, bytes], str] | None = None, attempts: int = 4) -> None:
        self.clock = StillClock()
        self.peer = GatewayPeer(contract or (lambda function, request: '{"ok":true}'), self.clock.now_ms)
        self._nonces = iter(range(1, 10_000))
        settings = GatewaySettings(
            persistence=Persistence(attempts=attempts, first_pause=0.1, last_pause=0.4),
            nonce=lambda size: next(self._nonces).to_bytes(size, "big"),
        )
        client = federation().organizations[0].client
        address = ChannelAddress(CHANNEL, CHAINCODE)
        self.ledger = GatewayLedger(self.peer, client, address, self.clock, settings)

    def submit(self, request: dict[str, Any] | None = None) -> Any:
        return run(self.ledger.submit("task:Create", request or {"a": 1}))

    def evaluate(self) -> Any:
        return run(self.ledger.evaluate("task:Get", {}))

    def codes(self) -> list[str]:
        return [entry.code.name for entry in self.peer.committed]


def run(awaitable: Awaitable[T]) -> T:
    async def bounded() -> T:
        return await asyncio.wait_for(awaitable, 20)

    return asyncio.run(bounded())


def refusing(text: str) -> Callable[[str, bytes], str]:
    def contract(function: str, request: bytes) -> str:
        raise RuntimeError(text)

    return contract


# --- evaluate -----------------------------------------------------------------------------------


def test_evaluate_returns_the_contracts_answer() -> None:
    setting = Setting(lambda function, request: f'["{function}",{request.decode()}]')
    assert setting.evaluate() == ["task:Get", {}]
    assert setting.peer.blocks == [[]]


def test_evaluate_raises_a_rules_no_with_its_code() -> None:
    with pytest.raises(LedgerRefused) as refused:
        Setting(refusing("BFL-301: there is no such task")).evaluate()
    assert refused.value.code == 301
    assert "there is no such task" in str(refused.value)


def test_evaluate_tells_a_broken_contract_from_a_refusal() -> None:
    with pytest.raises(EvaluateError, match="division by zero"):
        Setting(refusing("division by zero")).evaluate()


@pytest.mark.parametrize("fault", [LOST, SILENT])
def test_evaluate_says_when_nobody_answers(fault: Fault) -> None:
    setting = Setting()
    setting.peer.faults["evaluate"] = [fault]
    with pytest.raises(LedgerUnavailable):
        setting.evaluate()


def test_an_answer_that_is_not_canonical_json_is_refused() -> None:
    with pytest.raises(EvaluateError, match="not canonical JSON"):
        Setting(lambda function, request: "1.5").evaluate()
    setting = Setting(lambda function, request: "1.5")
    with pytest.raises(EndorseError, match="not canonical JSON"):
        setting.submit()
    assert setting.peer.committed == []


# --- submit -------------------------------------------------------------------------------------


def test_submit_returns_once_the_transaction_is_committed() -> None:
    setting = Setting()
    commit = setting.submit()
    assert commit.result == {"ok": True}
    assert commit.block_number == 1
    assert commit.transaction_id == setting.peer.committed[0].transaction_id
    assert setting.peer.calls == ["endorse", "submit", "commit_status"]
    assert setting.clock.pauses == []


def test_submit_raises_a_rules_no_and_orders_nothing() -> None:
    setting = Setting(refusing("BFL-401: the round is closed"))
    with pytest.raises(LedgerRefused) as refused:
        setting.submit()
    assert refused.value.code == 401
    assert refused.value.transaction_id
    assert setting.peer.calls == ["endorse"]


def test_submit_raises_an_endorsement_failure_with_what_the_peers_said() -> None:
    with pytest.raises(
        EndorseError, match=r"AlphaMSP at 127.0.0.1:7051: chaincode response 500, out of memory"
    ):
        Setting(refusing("out of memory")).submit()


@pytest.mark.parametrize("fault", [LOST, SILENT])
def test_an_endorsement_that_got_lost_is_asked_for_again(fault: Fault) -> None:
    setting = Setting()
    setting.peer.faults["endorse"] = [fault, fault]
    setting.submit()
    assert setting.codes() == ["VALID"]
    assert setting.clock.pauses == [0.1, 0.2]


def test_peers_that_disagree_are_asked_again() -> None:
    setting = Setting()
    setting.peer.disagreements = 2
    setting.submit()
    assert setting.codes() == ["VALID"]


def test_submit_gives_up_when_the_peers_never_agree_and_orders_nothing() -> None:
    setting = Setting()
    setting.peer.disagreements = 99
    with pytest.raises(EndorseError, match="do not match"):
        setting.submit()
    assert setting.peer.calls == ["endorse"] * 4


def test_submit_says_when_nobody_endorses() -> None:
    setting = Setting()
    setting.peer.faults["endorse"] = [LOST] * 4
    with pytest.raises(LedgerUnavailable):
        setting.submit()


def test_a_client_does_not_sign_what_it_did_not_propose() -> None:
    setting = Setting()
    client = federation().organizations[0].client
    call = Invocation(CHANNEL, CHAINCODE, (b"reward:Mint", b"{}"))
    setting.peer.swap_proposal = build_proposal(call, client.creator, b"x" * 24, FOUNDED_MS)
    with pytest.raises(EndorseError, match="prepared transaction"):
        setting.submit()
    assert setting.peer.calls == ["endorse"]


# --- uncertain outcomes -------------------------------------------------------------------------


def test_a_lost_submission_is_asked_for_and_then_handed_over_again_unchanged() -> None:
    setting = Setting()
    setting.peer.faults["submit"] = [LOST]
    commit = setting.submit()
    assert setting.peer.calls == ["endorse", "submit", "commit_status", "submit", "commit_status"]
    assert [entry.transaction_id for entry in setting.peer.committed] == [commit.transaction_id]


def test_a_submission_without_an_answer_is_not_repeated_when_it_is_committed() -> None:
    setting = Setting()
    setting.peer.faults["submit"] = [SILENT]
    setting.submit()
    assert setting.peer.calls == ["endorse", "submit", "commit_status"]
    assert setting.codes() == ["VALID"]


@pytest.mark.parametrize("fault", [LOST, SILENT])
def test_a_lost_commit_status_never_makes_a_second_transaction(fault: Fault) -> None:
    setting = Setting()
    setting.peer.faults["commit_status"] = [fault, fault]
    commit = setting.submit()
    assert {entry.transaction_id for entry in setting.peer.committed} == {commit.transaction_id}
    assert setting.codes().count("VALID") == 1
    assert setting.peer.calls.count("endorse") == 1


def test_a_submission_that_the_orderers_refuse_is_final() -> None:
    setting = Setting()
    setting.peer.faults["submit"] = [REFUSED]
    with pytest.raises(SubmitError, match="BAD_REQUEST") as refused:
        setting.submit()
    assert refused.value.transaction_id
    assert setting.peer.calls == ["endorse", "submit", "commit_status"]
    assert setting.peer.committed == []


def test_a_refused_submission_that_was_committed_nevertheless_counts() -> None:
    setting = Setting()
    setting.peer.faults["submit"] = [Fault.REFUSED_LATE]
    commit = setting.submit()
    assert [entry.transaction_id for entry in setting.peer.committed] == [commit.transaction_id]


def test_an_outcome_that_stays_unknown_is_told_with_the_transactions_id() -> None:
    setting = Setting()
    setting.peer.faults["commit_status"] = [LOST] * 99
    with pytest.raises(CommitStatusError) as unknown:
        setting.submit()
    assert unknown.value.transaction_id == setting.peer.committed[0].transaction_id


def test_the_next_call_with_the_same_request_asks_for_the_open_transaction_first() -> None:
    setting = Setting()
    setting.peer.faults["commit_status"] = [LOST] * 4
    with pytest.raises(CommitStatusError) as unknown:
        setting.submit()
    setting.peer.calls.clear()
    commit = setting.submit()
    assert commit.transaction_id == unknown.value.transaction_id
    assert commit.result == {"ok": True}
    assert setting.peer.calls == ["commit_status"]
    setting.peer.calls.clear()
    assert setting.submit().transaction_id != commit.transaction_id
    assert setting.peer.calls == ["endorse", "submit", "commit_status"]


def test_an_open_transaction_that_never_arrived_is_handed_over_again() -> None:
    setting = Setting()
    setting.peer.faults["submit"] = [LOST] * 4
    setting.peer.faults["commit_status"] = [LOST] * 4
    with pytest.raises(CommitStatusError) as unknown:
        setting.submit()
    assert setting.peer.committed == []
    commit = setting.submit()
    assert commit.transaction_id == unknown.value.transaction_id
    assert setting.codes() == ["VALID"]


def test_another_request_is_another_transaction() -> None:
    setting = Setting()
    setting.peer.faults["commit_status"] = [LOST] * 4
    with pytest.raises(CommitStatusError) as unknown:
        setting.submit({"a": 1})
    assert setting.submit({"a": 2}).transaction_id != unknown.value.transaction_id


def test_a_cancelled_submission_is_remembered() -> None:
    async def scenario() -> None:
        setting = Setting()
        waiting = asyncio.Event()

        async def hang(request: Any, deadline_seconds: float) -> Any:
            waiting.set()
            await asyncio.Event().wait()

        setting.peer.commit_status = hang  # type: ignore[method-assign]
        task = asyncio.create_task(setting.ledger.submit("task:Create", {}))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del setting.peer.commit_status
        commit = await setting.ledger.submit("task:Create", {})
        assert [entry.transaction_id for entry in setting.peer.committed] == [commit.transaction_id]

    run(scenario())


# --- conflicts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [ValidationCode.MVCC_READ_CONFLICT, ValidationCode.PHANTOM_READ_CONFLICT])
def test_reads_that_do_not_stand_are_tried_again_with_a_fresh_proposal(code: ValidationCode) -> None:
    setting = Setting()
    setting.peer.codes = [code, code]
    commit = setting.submit()
    assert setting.codes() == [code.name, code.name, "VALID"]
    assert commit.transaction_id == setting.peer.committed[2].transaction_id
    assert len({entry.transaction_id for entry in setting.peer.committed}) == 3
    assert setting.clock.pauses == [0.1, 0.2]


def test_conflicts_without_end_are_told_with_fabrics_code() -> None:
    setting = Setting()
    setting.peer.codes = [ValidationCode.MVCC_READ_CONFLICT] * 99
    with pytest.raises(CommitFailed) as failed:
        setting.submit()
    assert failed.value.validation_code == 11
    assert setting.peer.calls.count("endorse") == 4
    assert setting.clock.pauses == [0.1, 0.2, 0.4]


def test_other_invalid_transactions_are_not_tried_again() -> None:
    setting = Setting()
    setting.peer.codes = [ValidationCode.ENDORSEMENT_POLICY_FAILURE]
    with pytest.raises(CommitFailed, match="ENDORSEMENT_POLICY_FAILURE") as failed:
        setting.submit()
    assert failed.value.validation_code == 10
    assert setting.peer.calls.count("endorse") == 1


# --- streams ------------------------------------------------------------------------------------


def take(stream: Any, count: int) -> Any:
    async def collect() -> list[Any]:
        found = []
        async for item in stream:
            found.append(item)
            if len(found) == count:
                break
        await stream.aclose()
        return found

    return collect()


def names(events: list[LedgerEvent]) -> list[str]:
    return [f"{event.name}@{event.block_number}" for event in events]


def filled() -> Setting:
    setting = Setting()
    setting.peer.add_block("task:A", "task:B")
    setting.peer.add_block()
    setting.peer.add_block("task:C", "task:D", "task:E")
    return setting


def test_events_come_in_order_from_a_block_on() -> None:
    events = run(take(filled().ledger.events(start_block=0), 5))
    assert names(events) == ["task:A@1", "task:B@1", "task:C@3", "task:D@3", "task:E@3"]
    assert events[0].event.contract == "task"
    assert events[0].event.transaction == "A"


def test_events_go_on_behind_a_checkpoint() -> None:
    setting = filled()
    events = run(take(setting.ledger.events(start_block=0), 5))
    for index in range(4):
        again = run(take(filled().ledger.events(events[index].checkpoint), 4 - index))
        assert names(again) == names(events[index + 1 :])


def test_a_checkpoint_without_a_transaction_is_a_whole_block() -> None:
    assert names(run(take(filled().ledger.events(Checkpoint(1, "")), 1))) == ["task:C@3"]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_each_event_comes_once_however_often_the_stream_breaks(length: int) -> None:
    setting = filled()
    setting.peer.stream_length = length
    setting.peer.faults["chaincode_events"] = [LOST, NONE, LOST]
    events = run(take(setting.ledger.events(start_block=0), 5))
    assert names(events) == ["task:A@1", "task:B@1", "task:C@3", "task:D@3", "task:E@3"]
    assert setting.clock.pauses


def test_events_that_a_peer_sends_again_are_left_out() -> None:
    setting = filled()
    setting.peer.add_block("task:F")
    setting.peer.stream_length = 2
    honest = setting.peer.chaincode_events

    def forgetful(request: Any) -> Any:
        from fabric_protos.gateway import gateway_pb2

        asked = gateway_pb2.ChaincodeEventsRequest.FromString(request.request)
        asked.after_transaction_id = ""
        client = federation().organizations[0].client
        raw = asked.SerializeToString()
        return honest(gateway_pb2.SignedChaincodeEventsRequest(request=raw, signature=client.sign(raw)))

    setting.peer.chaincode_events = forgetful  # type: ignore[method-assign]
    events = run(take(setting.ledger.events(start_block=0), 6))
    assert names(events) == ["task:A@1", "task:B@1", "task:C@3", "task:D@3", "task:E@3", "task:F@4"]


def test_events_from_now_on_miss_nothing_when_the_first_stream_breaks() -> None:
    async def scenario() -> list[LedgerEvent]:
        setting = filled()
        setting.peer.faults["chaincode_events"] = [LOST]
        stream = setting.ledger.events()
        task = asyncio.create_task(take(stream, 1))
        while "chaincode_events" not in setting.peer.calls:
            setting.peer.called.clear()
            await setting.peer.called.wait()
        setting.peer.add_block("task:New")
        found: list[LedgerEvent] = await task
        return found

    assert names(run(scenario())) == ["task:New@4"]


def test_a_stream_that_is_not_allowed_is_not_asked_for_again() -> None:
    setting = Setting()

    async def forbidden(request: Any) -> Any:
        raise GatewayFailure(GatewayStatus.PERMISSION_DENIED, "readers only")
        yield

    setting.peer.chaincode_events = forbidden  # type: ignore[method-assign]
    setting.peer.deliver = forbidden  # type: ignore[method-assign]
    with pytest.raises(LedgerError, match="readers only"):
        run(take(setting.ledger.events(start_block=0), 1))
    with pytest.raises(LedgerError, match="readers only"):
        run(take(setting.ledger.blocks(), 1))


def numbers(blocks: list[bytes]) -> list[int]:
    from fabric_protos.common import common_pb2

    return [common_pb2.Block.FromString(block).header.number for block in blocks]


def test_blocks_come_from_start_to_stop() -> None:
    async def all_of(stream: Any) -> list[bytes]:
        return [block async for block in stream]

    assert numbers(run(all_of(filled().ledger.blocks(0, 3)))) == [0, 1, 2, 3]
    assert numbers(run(all_of(filled().ledger.blocks(2, 2)))) == [2]
    assert run(all_of(filled().ledger.blocks(3, 2))) == []


@pytest.mark.parametrize("length", [1, 2])
def test_blocks_go_on_where_the_stream_broke(length: int) -> None:
    setting = filled()
    setting.peer.stream_length = length
    setting.peer.faults["deliver"] = [LOST, NONE, LOST]
    assert numbers(run(take(setting.ledger.blocks(), 4))) == [0, 1, 2, 3]


def test_closing_the_ledger_closes_the_connection() -> None:
    setting = Setting()
    run(setting.ledger.close())
    assert setting.peer.closed
