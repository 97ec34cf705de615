from __future__ import annotations

import pytest

from bfl_fabric.embedded.orderer import BlockCutter, Ordered, duration_ms
from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric.trust import OrderingTerms

TERMS = OrderingTerms(max_message_count=3, timeout="2s", preferred_max_bytes=100)


def ordered(name: str, size: int = 10) -> Ordered:
    return Ordered(name, name.encode(), size)


def batches(cutter: BlockCutter) -> list[str]:
    found = []
    while (batch := cutter.first()) is not None:
        found.append("".join(item.transaction_id for item in batch))
        cutter.drop_first()
    return found


def filled(*sizes: int) -> BlockCutter:
    cutter = BlockCutter(TERMS)
    for name, size in zip("abcdefgh", sizes, strict=False):
        cutter.add(ordered(name, size), 0)
    return cutter


def test_a_batch_is_full_at_its_greatest_count() -> None:
    cutter = filled(1, 1, 1, 1)
    assert batches(cutter) == ["abc"]
    assert len(cutter) == 1


def test_a_transaction_that_would_make_the_batch_too_large_begins_another() -> None:
    cutter = filled(60, 40, 1)
    assert batches(cutter) == ["ab"]


def test_a_transaction_above_the_preferred_size_is_alone() -> None:
    assert batches(filled(10, 101, 10)) == ["a", "b"]


def test_the_time_begins_with_the_first_transaction_of_a_batch() -> None:
    cutter = BlockCutter(TERMS)
    assert cutter.due_at_ms() is None
    cutter.add(ordered("a"), 1000)
    cutter.add(ordered("b"), 2500)
    assert cutter.due_at_ms() == 3000
    cutter.cut_due(2999)
    assert cutter.first() is None
    cutter.cut_due(3000)
    assert batches(cutter) == ["ab"]
    assert cutter.due_at_ms() is None


def test_a_full_batch_is_due_at_once() -> None:
    assert filled(1, 1, 1).due_at_ms() == 0


def test_a_batch_stays_until_it_is_dropped() -> None:
    cutter = filled(1, 1, 1)
    assert cutter.first() == cutter.first()
    assert len(cutter) == 3
    cutter.drop_first()
    assert len(cutter) == 0


def test_nothing_is_cut_by_force_when_nothing_waits() -> None:
    cutter = BlockCutter(TERMS)
    cutter.cut_due(0, force=True)
    assert cutter.first() is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2s", 2000), ("50ms", 50), ("1m30s", 90_000), ("1.5s", 1500), ("2h", 7_200_000), ("100us", 1)],
)
def test_durations_are_read_as_go_writes_them(text: str, expected: int) -> None:
    assert duration_ms(text) == expected


@pytest.mark.parametrize("text", ["", "2", "s", "2 s", "-1s", "1d", "1sx"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(MalformedInput, match="not a duration"):
        duration_ms(text)
