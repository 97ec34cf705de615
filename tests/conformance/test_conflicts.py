"""Transactions that were endorsed on a state that has moved on."""

from __future__ import annotations

import asyncio

import pytest

from bfl_fabric.fabric.envelopes import ValidationCode
from bfl_fabric.fabric.gateway_transport import GatewayFailure
from tests.conformance.probe import Call, Committed, Probe, unique

MVCC = ValidationCode.MVCC_READ_CONFLICT
PHANTOM = ValidationCode.PHANTOM_READ_CONFLICT
VALID = ValidationCode.VALID


def precedes(probe: Probe, first: Committed, second: Committed) -> bool:
    """Say whether one transaction stands before another on the ledger."""
    if first.block_number != second.block_number:
        return first.block_number < second.block_number
    order = probe.order_of(first.block_number)
    return order.index(first.transaction_id) < order.index(second.transaction_id)


def test_a_read_of_a_changed_key_is_a_conflict(probe: Probe) -> None:
    key = unique("key")
    probe.submit("put", key, "a")
    late = probe.endorse("append", key, "late")
    probe.submit("append", key, "b")
    assert probe.settle(late).code is MVCC
    assert probe.evaluate("get", key) == b"ab"


def test_of_two_readers_and_writers_in_one_block_the_first_wins(probe: Probe) -> None:
    key = unique("key")
    endorsed = [probe.endorse("append", key, text) for text in "ab"]
    codes = [item.code for item in probe.together([probe.settling(item) for item in endorsed])]
    assert sorted(codes) == [VALID, MVCC]


def test_a_read_of_a_key_that_was_missing_is_a_conflict_once_it_exists(probe: Probe) -> None:
    source = unique("source")
    late = probe.endorse("copy", source, unique("target"))
    probe.submit("put", source, "now here")
    assert probe.settle(late).code is MVCC


def test_a_read_of_a_key_that_was_deleted_since_is_a_conflict(probe: Probe) -> None:
    source = unique("source")
    probe.submit("put", source, "value")
    late = probe.endorse("copy", source, unique("target"))
    probe.submit("delete", source)
    assert probe.settle(late).code is MVCC


def test_the_same_value_written_again_is_a_new_version(probe: Probe) -> None:
    key = unique("key")
    probe.submit("put", key, "same")
    late = probe.endorse("append", key, "x")
    probe.submit("put", key, "same")
    assert probe.settle(late).code is MVCC


def test_blind_writes_never_conflict(probe: Probe) -> None:
    key = unique("key")
    endorsed = [probe.endorse("put", key, str(number)) for number in range(5)]
    codes = {item.code for item in probe.together([probe.settling(item) for item in endorsed])}
    assert codes == {VALID}


@pytest.mark.parametrize("rows", [0, 3, 120])
def test_a_new_key_in_a_range_that_was_read_is_a_phantom(probe: Probe, rows: int) -> None:
    prefix = unique("range") + "/"
    if rows:
        probe.submit("put", *[text for n in range(rows) for text in (f"{prefix}{n:03}", "x")])
    late = probe.endorse("range_then_put", prefix, prefix + "~", unique("count"))
    probe.submit("put", prefix + "000-new", "x")
    assert probe.settle(late).code is PHANTOM


@pytest.mark.parametrize("rows", [1, 3, 120])
def test_a_key_gone_from_a_range_that_was_read_is_a_phantom(probe: Probe, rows: int) -> None:
    prefix = unique("range") + "/"
    probe.submit("put", *[text for n in range(rows) for text in (f"{prefix}{n:03}", "x")])
    late = probe.endorse("range_then_put", prefix, prefix + "~", unique("count"))
    probe.submit("delete", f"{prefix}{rows - 1:03}")
    assert probe.settle(late).code is PHANTOM


@pytest.mark.parametrize("rows", [2, 120])
def test_a_changed_value_in_a_range_that_was_read_is_a_phantom(probe: Probe, rows: int) -> None:
    prefix = unique("range") + "/"
    probe.submit("put", *[text for n in range(rows) for text in (f"{prefix}{n:03}", "x")])
    late = probe.endorse("range_then_put", prefix, prefix + "~", unique("count"))
    probe.submit("put", prefix + "001", "y")
    assert probe.settle(late).code is PHANTOM


def test_a_phantom_within_one_block_is_found(probe: Probe) -> None:
    prefix = unique("range") + "/"
    insertion = probe.endorse("put", prefix + "a", "x")
    counting = probe.endorse("range_then_put", prefix, prefix + "~", prefix + "~count")
    first, second = probe.together([probe.settling(insertion), probe.settling(counting)])
    assert (first.code, second.code) == (VALID, PHANTOM if precedes(probe, first, second) else VALID)


def test_a_key_outside_a_range_that_was_read_is_no_phantom(probe: Probe) -> None:
    prefix = unique("range") + "/"
    probe.submit("put", prefix + "b", "x")
    late = probe.endorse("range_then_put", prefix + "b", prefix + "c", unique("count"))
    probe.submit("put", prefix + "a", "x", prefix + "c", "x")
    assert probe.settle(late).code is VALID


def test_the_peer_reads_a_short_range_to_its_end_even_if_the_contract_stops(probe: Probe) -> None:
    """Fabric fetches up to 100 rows at once, so a phantom behind the first row is one all the same."""
    prefix = unique("range") + "/"
    probe.submit("put", prefix + "a", "x", prefix + "b", "x")
    late = probe.endorse("first_then_put", prefix, prefix + "~", unique("first"))
    probe.submit("put", prefix + "c", "x")
    assert probe.settle(late).code is PHANTOM


def test_the_peer_does_not_read_a_long_range_to_its_end_if_the_contract_stops(probe: Probe) -> None:
    prefix = unique("range") + "/"
    probe.submit("put", *[text for n in range(150) for text in (f"{prefix}{n:03}", "x")])
    late = probe.endorse("first_then_put", prefix, prefix + "~", unique("first"))
    probe.submit("put", prefix + "149", "changed")
    assert probe.settle(late).code is VALID


def test_a_transaction_that_is_handed_over_twice_counts_once(probe: Probe) -> None:
    key = unique("key")
    endorsed = probe.endorse("append", key, "once")
    first = probe.settle(endorsed)
    probe.order(endorsed)
    probe.submit("put", unique("after"), "so that the second copy is in a block")
    assert first.code is VALID
    assert probe.status(endorsed.transaction_id).code is VALID
    assert probe.evaluate("get", key) == b"once"


def test_of_two_copies_in_flight_at_most_one_counts(probe: Probe) -> None:
    """An orderer may refuse the second copy (BFT knows it), or the peers find it in the block."""
    key = unique("key")
    endorsed = probe.endorse("append", key, "once")

    async def handed_over() -> list[object]:
        copies = [probe.ordering(endorsed), probe.ordering(endorsed, 1)]
        return list(await asyncio.gather(*copies, return_exceptions=True))

    outcomes = probe.loop.run(handed_over())
    assert any(not isinstance(outcome, BaseException) for outcome in outcomes)
    probe.submit("put", unique("after"), "so that the second copy is in a block")
    assert probe.status(endorsed.transaction_id).code is VALID
    assert probe.evaluate("get", key) == b"once"
    assert len(probe.json("history", key)) == 1


def test_a_committed_transaction_is_not_endorsed_again(probe: Probe) -> None:
    call = Call("put", (unique("key"), "value"))
    proposal, _ = probe.proposal(call)
    endorsed = probe.loop.run(probe.endorsing(call, proposal))
    probe.settle(endorsed)
    with pytest.raises(GatewayFailure, match="duplicate transaction found"):
        probe.loop.run(probe.endorsing(call, proposal))


def test_two_writes_in_one_block_are_in_the_history_in_the_order_of_the_block(probe: Probe) -> None:
    key = unique("key")
    endorsed = [probe.endorse("put", key, str(number)) for number in range(4)]
    committed = probe.together([probe.settling(item) for item in endorsed])
    blocks = sorted({item.block_number for item in committed})
    order = [one for number in blocks for one in probe.order_of(number)]
    ours = {item.transaction_id for item in committed}
    assert [row[0] for row in probe.json("history", key)] == [one for one in order[::-1] if one in ours]


def test_a_hundred_writers_of_keys_of_their_own_are_all_valid(probe: Probe) -> None:
    prefix = unique("writers") + "/"
    calls = [Call("append", (f"{prefix}{n:03}", "x"), organization=n % 3) for n in range(100)]
    committed = probe.together([probe.calling(call) for call in calls])
    assert {item.code for item in committed} == {VALID}
    assert len({item.transaction_id for item in committed}) == 100
    assert len(probe.json("range", prefix, prefix + "~")) == 100
