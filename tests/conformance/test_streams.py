"""Events with checkpoints, and the delivery of blocks."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2

from bfl_fabric.fabric.blocks import parse_block
from bfl_fabric.fabric.deliver import Seek
from bfl_fabric.fabric.envelopes import ValidationCode
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.fabric.wire import write
from tests.conformance.probe import Call, Committed, Probe, unique


def emit(probe: Probe, name: str, payload: str = "payload") -> Committed:
    return probe.submit("event", name, payload)


# --- events -------------------------------------------------------------------------------------


def test_an_event_carries_its_name_payload_and_transaction(probe: Probe) -> None:
    name = unique("event")
    committed = emit(probe, name, "größe")
    ((block, event),) = probe.events(1, start=committed.block_number)
    assert block == committed.block_number
    assert (event.event_name, event.tx_id) == (name, committed.transaction_id)
    assert event.payload.decode() == "größe"
    assert event.chaincode_id == probe.channel.chaincode


def test_of_several_events_of_a_transaction_the_last_counts(probe: Probe) -> None:
    committed = probe.submit("event", "first", "1", "second", "2")
    ((_, event),) = probe.events(1, start=committed.block_number)
    assert (event.event_name, event.payload) == ("second", b"2")


def test_events_need_a_name(probe: Probe) -> None:
    with pytest.raises(GatewayFailure, match="name"):
        probe.evaluate("event", "", "payload")


def test_events_come_in_the_order_of_the_ledger(probe: Probe) -> None:
    committed = [emit(probe, unique("event")) for _ in range(4)]
    found = probe.events(4, start=committed[0].block_number)
    assert [event.tx_id for _, event in found] == [item.transaction_id for item in committed]


def test_a_checkpoint_resumes_behind_its_transaction(probe: Probe) -> None:
    committed = [emit(probe, unique("event")) for _ in range(3)]
    after = committed[0]
    found = probe.events(2, start=after.block_number, after=after.transaction_id)
    assert [event.tx_id for _, event in found] == [item.transaction_id for item in committed[1:]]


def test_a_checkpoint_within_a_block_resumes_within_it(probe: Probe) -> None:
    calls = [probe.endorse("event", unique("event"), "x") for _ in range(6)]
    committed = probe.together([probe.settling(item) for item in calls])
    first = min(item.block_number for item in committed)
    order = [event.tx_id for _, event in probe.events(6, start=first)]
    assert sorted(order) == sorted(item.transaction_id for item in committed)
    for position in range(5):
        found = probe.events(5 - position, start=first, after=order[position])
        assert [event.tx_id for _, event in found] == order[position + 1 :]


def test_the_transaction_of_a_checkpoint_is_enough_to_find_its_block(probe: Probe) -> None:
    first, second = emit(probe, unique("event")), emit(probe, unique("event"))
    ((_, event),) = probe.events(1, start=0, after=first.transaction_id)
    assert event.tx_id == second.transaction_id


def test_without_a_position_only_new_events_come(probe: Probe) -> None:
    emit(probe, unique("old"))
    name = unique("new")

    async def follow() -> list[tuple[int, Any]]:
        reading = asyncio.create_task(probe.reading_events(1))
        await asyncio.sleep(0.3)
        endorsed = await probe.endorsing(call)
        await probe.settling(endorsed)
        return await reading

    call = Call("event", (name, "x"))
    ((_, event),) = probe.loop.run(follow())
    assert event.event_name == name


def test_invalid_transactions_have_no_events(probe: Probe) -> None:
    invalid = probe.endorse("event", unique("lost"), "x", organizations=probe.channel.msp_ids[:1])
    settled = probe.settle(invalid)
    assert settled.code is ValidationCode.ENDORSEMENT_POLICY_FAILURE
    valid = emit(probe, unique("event"))
    ((_, event),) = probe.events(1, start=settled.block_number)
    assert event.tx_id == valid.transaction_id


def test_a_refused_transaction_has_no_event(probe: Probe) -> None:
    with pytest.raises(GatewayFailure, match="refused after its event"):
        probe.endorse("event_then_fail", unique("event"))


def test_events_of_another_chaincode_do_not_come(probe: Probe) -> None:
    committed = emit(probe, unique("event"))

    async def wait_in_vain() -> list[tuple[int, Any]]:
        reading = probe.reading_events(1, start=committed.block_number, chaincode="other")
        return await asyncio.wait_for(reading, 0.5)

    with pytest.raises(TimeoutError):
        probe.loop.run(wait_in_vain())


def test_events_are_for_members_only(probe: Probe) -> None:
    signer = probe.channel.stranger(probe.channel.msp_ids[0])
    with pytest.raises(GatewayFailure) as caught:
        probe.events(1, start=0, signer=signer)
    assert caught.value.status is GatewayStatus.PERMISSION_DENIED


# --- blocks -------------------------------------------------------------------------------------


def statuses(responses: list[Any]) -> list[str]:
    return [common_pb2.Status.Name(item.status) for item in responses if item.WhichOneof("Type") == "status"]


def numbers(responses: list[Any]) -> list[int]:
    return [item.block.header.number for item in responses if item.WhichOneof("Type") == "block"]


def test_all_blocks_come_in_order_and_then_the_status(probe: Probe) -> None:
    committed = probe.submit("put", unique("key"), "x")
    responses = probe.deliver(Seek(0, None, wait=False))
    assert numbers(responses) == list(range(numbers(responses)[-1] + 1))
    assert numbers(responses)[-1] >= committed.block_number
    assert statuses(responses) == ["SUCCESS"]


def test_delivered_blocks_are_in_their_canonical_encoding(probe: Probe) -> None:
    for raw in probe.blocks():
        block = parse_block(raw)
        assert len(block.flags) == len(block.entries)


def test_a_stretch_of_blocks_is_inclusive(probe: Probe) -> None:
    assert numbers(probe.deliver(Seek(0, 1))) == [0, 1]


def test_the_newest_block_is_one_block(probe: Probe) -> None:
    committed = probe.submit("put", unique("key"), "x")
    assert numbers(probe.deliver(Seek(None, None, wait=False))) == [committed.block_number]


def test_a_delivery_follows_the_chain(probe: Probe) -> None:
    newest = probe.submit("put", unique("key"), "x").block_number

    async def follow() -> list[Any]:
        waiting = asyncio.create_task(probe.delivering(envelope, limit=2))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await probe.calling(Call("put", (unique("key"), "y")))
        return await waiting

    envelope = probe.seek(Seek(newest))
    assert numbers(probe.loop.run(follow())) == [newest, newest + 1]


def test_a_block_that_does_not_exist_yet_is_not_found_without_waiting(probe: Probe) -> None:
    newest = probe.submit("put", unique("key"), "x").block_number
    responses = probe.deliver(Seek(newest, newest + 5, wait=False))
    assert numbers(responses) == [newest]
    assert statuses(responses) == ["NOT_FOUND"]


def test_a_stretch_that_ends_before_it_begins_is_bad(probe: Probe) -> None:
    probe.submit("put", unique("key"), "x")
    assert statuses(probe.deliver(Seek(2, 1))) == ["BAD_REQUEST"]


def test_a_stretch_behind_the_newest_block_is_not_found_without_waiting(probe: Probe) -> None:
    newest = probe.submit("put", unique("key"), "x").block_number
    responses = probe.deliver(Seek(newest + 3, newest + 5, wait=False))
    assert (numbers(responses), statuses(responses)) == ([], ["NOT_FOUND"])


def position(kind: str) -> Any:
    return ab_pb2.SeekPosition(**{kind: {}})


def sought(probe: Probe, seek: Any) -> list[Any]:
    return probe.loop.run(probe.delivering(probe.signed_seek(seek)))


def test_from_oldest_to_oldest_is_the_first_block(probe: Probe) -> None:
    oldest = position("oldest")
    assert numbers(sought(probe, ab_pb2.SeekInfo(start=oldest, stop=oldest))) == [0]


def test_a_position_of_no_kind_is_not_found_and_none_at_all_is_bad(probe: Probe) -> None:
    nowhere = ab_pb2.SeekPosition()
    assert statuses(sought(probe, ab_pb2.SeekInfo(start=nowhere, stop=position("newest")))) == ["NOT_FOUND"]
    assert statuses(sought(probe, ab_pb2.SeekInfo(start=nowhere))) == ["BAD_REQUEST"]
    assert statuses(sought(probe, ab_pb2.SeekInfo())) == ["BAD_REQUEST"]


def test_what_is_looked_for_first_is_where_a_stretch_begins(probe: Probe) -> None:
    assert statuses(probe.deliver(Seek(1_000_000, 1))) == ["NOT_FOUND"]


def test_from_the_next_commit_on_only_new_blocks_come(probe: Probe) -> None:
    newest = probe.submit("put", unique("key"), "x").block_number

    async def follow() -> list[Any]:
        seek = ab_pb2.SeekInfo(start=position("next_commit"), stop=position("next_commit"))
        waiting = asyncio.create_task(probe.delivering(probe.signed_seek(seek), limit=2))
        await asyncio.sleep(0.3)
        for _ in range(2):
            await probe.calling(Call("put", (unique("key"), "y")))
        return await waiting

    assert numbers(probe.loop.run(follow())) == [newest + 1, newest + 2]


def test_a_seek_signed_by_another_is_forbidden(probe: Probe) -> None:
    envelope = probe.seek(Seek(0, 1))
    envelope.signature = probe.channel.client(1).sign(envelope.payload)
    assert statuses(probe.loop.run(probe.delivering(envelope))) == ["FORBIDDEN"]


def test_blocks_are_not_for_strangers(probe: Probe) -> None:
    signer = probe.channel.stranger(probe.channel.msp_ids[0])
    assert statuses(probe.deliver(Seek(0, 1), signer=signer)) == ["FORBIDDEN"]


def test_a_request_for_blocks_from_another_time_is_bad(probe: Probe) -> None:
    at_ms = time.time_ns() // 1_000_000 - 16 * 60_000
    assert statuses(probe.deliver(Seek(0, 1), at_ms=at_ms)) == ["BAD_REQUEST"]


def test_another_channel_is_not_found(probe: Probe) -> None:
    assert statuses(probe.deliver(Seek(0, 1), channel_id="other-channel")) == ["NOT_FOUND"]


def test_a_request_for_blocks_that_is_garbage_is_bad(probe: Probe) -> None:
    envelope = common_pb2.Envelope(payload=b"\x00", signature=b"x")
    assert statuses(probe.loop.run(probe.delivering(envelope))) == ["BAD_REQUEST"]


def test_peers_may_read_blocks(probe: Probe) -> None:
    assert numbers(probe.deliver(Seek(0, 0), signer=probe.channel.member(1, "peer"))) == [0]


def test_every_kind_of_verdict_is_in_the_delivered_flags(probe: Probe) -> None:
    invalid = probe.settle(probe.endorse("put", unique("key"), "x", organizations=probe.channel.msp_ids[:1]))
    raw = next(raw for raw in probe.blocks() if parse_block(raw).number == invalid.block_number)
    assert ValidationCode.ENDORSEMENT_POLICY_FAILURE in parse_block(raw).flags
    assert write(common_pb2.Block.FromString(raw)) == raw
