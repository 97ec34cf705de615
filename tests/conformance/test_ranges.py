"""Ranges, composite keys and pages."""

from __future__ import annotations

from typing import Any

import pytest

from bfl_fabric.fabric.envelopes import ValidationCode
from bfl_fabric.fabric.gateway_transport import GatewayFailure
from tests.conformance.probe import Probe, unique


def put_all(probe: Probe, prefix: str, names: list[str]) -> None:
    pairs = [text for name in names for text in (prefix + name, name)]
    for start in range(0, len(pairs), 400):
        probe.submit("put", *pairs[start : start + 400])


def names(rows: list[Any], prefix: str) -> list[str]:
    return [row[0].removeprefix(prefix) for row in rows]


def test_a_range_includes_its_start_and_excludes_its_end(probe: Probe) -> None:
    prefix = unique("range") + "/"
    put_all(probe, prefix, ["a", "b", "c", "d"])
    assert names(probe.json("range", prefix + "b", prefix + "d"), prefix) == ["b", "c"]


def test_a_range_of_one_key_to_itself_is_empty(probe: Probe) -> None:
    prefix = unique("range") + "/"
    put_all(probe, prefix, ["a"])
    assert probe.json("range", prefix + "a", prefix + "a") == []


def test_a_range_whose_end_is_before_its_start_is_empty(probe: Probe) -> None:
    prefix = unique("range") + "/"
    put_all(probe, prefix, ["a", "b"])
    assert probe.json("range", prefix + "b", prefix + "a") == []


def test_rows_come_in_the_byte_order_of_utf8(probe: Probe) -> None:
    prefix = unique("order") + "/"
    ordered = ["A", "a", "z", "é", "￾", "\U00010000"]
    put_all(probe, prefix, ordered[::-1])
    assert names(probe.json("range", prefix, prefix + "\U0010fffe"), prefix) == ordered


def test_an_open_range_has_no_composite_keys(probe: Probe) -> None:
    kind = unique("kind")
    probe.submit("composite_put", "value", kind, "a")
    probe.submit("put", unique("plain"), "value")
    rows = probe.json("range", "", "")
    assert rows
    assert not [row for row in rows if row[0].startswith("\x00")]


def test_a_composite_key_is_no_bound_of_a_plain_range(probe: Probe) -> None:
    with pytest.raises(GatewayFailure, match="composite key"):
        probe.evaluate("range", "\x00kind\x00", "")


def test_partial_composite_keys_find_what_begins_with_them(probe: Probe) -> None:
    kind = unique("kind")
    for attributes in (["a", "1"], ["a", "2"], ["ab", "1"], ["b"]):
        probe.submit("composite_put", "-".join(attributes), kind, *attributes)
    assert [row[1] for row in probe.json("composite_range", kind, "a")] == ["a-1", "a-2"]
    assert [row[1] for row in probe.json("composite_range", kind)] == ["a-1", "a-2", "ab-1", "b"]


def test_composite_keys_split_into_what_they_were_made_of(probe: Probe) -> None:
    kind = unique("kind")
    probe.submit("composite_put", "value", kind, "größe", "\U0001f511")
    assert probe.json("composite_range", kind) == [[[kind, "größe", "\U0001f511"], "value"]]


@pytest.mark.parametrize("part", ["", "with\x00zero", "with\U0010ffffmaximum"])
def test_a_composite_key_has_no_empty_or_reserved_part(probe: Probe, part: str) -> None:
    with pytest.raises(GatewayFailure, match="InvalidKey"):
        probe.evaluate("composite_put", "value", "kind", part)


@pytest.mark.parametrize("count", [49, 50, 51, 100, 101, 230])
def test_a_range_of_any_length_comes_whole_and_commits(probe: Probe, count: int) -> None:
    """More than 50 rows are summarized in a hash tree, more than 100 come in batches."""
    prefix = unique("long") + "/"
    put_all(probe, prefix, [f"{number:04}" for number in range(count)])
    result = probe.submit("range_then_put", prefix, prefix + "~", unique("count")).result
    assert result == str(count).encode()


@pytest.mark.parametrize("size", [1, 3, 7, 10, 11])
def test_pages_with_bookmarks_make_up_the_range(probe: Probe, size: int) -> None:
    prefix = unique("pages") + "/"
    put_all(probe, prefix, [f"{number:02}" for number in range(10)])
    found: list[str] = []
    bookmark = ""
    while True:
        page = probe.json("page", prefix, prefix + "~", str(size), bookmark)
        assert len(page["keys"]) <= size
        found += page["keys"]
        bookmark = page["bookmark"]
        if not bookmark:
            break
    assert [key.removeprefix(prefix) for key in found] == [f"{number:02}" for number in range(10)]


def test_the_bookmark_is_the_key_of_the_next_row(probe: Probe) -> None:
    prefix = unique("pages") + "/"
    put_all(probe, prefix, ["a", "b", "c"])
    assert probe.json("page", prefix, prefix + "~", "2", "")["bookmark"] == prefix + "c"


def test_composite_keys_come_in_pages_too(probe: Probe) -> None:
    kind = unique("kind")
    for name in "abc":
        probe.submit("composite_put", "value", kind, name)
    first = probe.json("composite_page", "2", "", kind)
    second = probe.json("composite_page", "2", first["bookmark"], kind)
    assert len(first["keys"]) == 2
    assert [len(second["keys"]), second["bookmark"]] == [1, ""]


def test_a_page_of_negative_size_is_refused(probe: Probe) -> None:
    with pytest.raises(GatewayFailure):
        probe.evaluate("page", "a", "b", "-1", "")


def test_a_page_of_no_size_is_the_whole_range(probe: Probe) -> None:
    prefix = unique("pages") + "/"
    put_all(probe, prefix, ["a", "b", "c"])
    page = probe.json("page", prefix, prefix + "~", "0", "")
    assert [len(page["keys"]), page["bookmark"]] == [3, ""]


def test_a_bookmark_behind_the_range_gives_an_empty_page(probe: Probe) -> None:
    prefix = unique("pages") + "/"
    put_all(probe, prefix, ["a", "b"])
    assert probe.json("page", prefix, prefix + "~", "2", prefix + "~~") == {"keys": [], "bookmark": ""}


def test_a_page_in_a_transaction_is_checked_for_phantoms_like_a_range(probe: Probe) -> None:
    prefix = unique("pages") + "/"
    put_all(probe, prefix, ["a", "b"])
    late = probe.endorse("page", prefix, prefix + "~", "5", "")
    probe.submit("put", prefix + "c", "x")
    assert probe.settle(late).code is ValidationCode.PHANTOM_READ_CONFLICT


def test_a_write_after_a_page_is_refused(probe: Probe) -> None:
    with pytest.raises(GatewayFailure, match="already performed a paginated query"):
        probe.evaluate("page_then_put", "a", "b")


def test_a_page_after_a_write_is_refused(probe: Probe) -> None:
    with pytest.raises(GatewayFailure, match="only in a read-only transaction"):
        probe.evaluate("put_then_page", "a", "b")
