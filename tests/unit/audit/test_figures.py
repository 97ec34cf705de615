"""Scales, ticks and labels of plots, and the escaping that everything goes through."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bfl_fabric.audit.figures import LONGEST_LABEL, label_room, nice_ticks, shortened, spread
from bfl_fabric.audit.markup import Markup, element, escape, join, raw_style
from bfl_fabric.audit.report_tables import amount, byte_size, percent, signed

numbers = st.floats(-1e12, 1e12, allow_nan=False)


@given(numbers, numbers, st.integers(2, 10))
def test_ticks_enclose_what_they_are_for_and_are_not_too_many(
    first: float, second: float, count: int
) -> None:
    low, high = sorted((first, second))
    ticks = nice_ticks(low, high, count)
    assert ticks == sorted(set(ticks))
    slack = 1e-6 * max(abs(low), abs(high), 1e-3)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= count + 3


def test_ticks_are_round_numbers() -> None:
    assert nice_ticks(0, 100, 5) == [0, 20, 40, 60, 80, 100]
    assert nice_ticks(41.2, 97.4, 5) == [40, 60, 80, 100]


@given(st.lists(st.floats(0, 300, allow_nan=False), max_size=20))
def test_labels_are_spread_without_changing_their_order(positions: list[float]) -> None:
    placed = spread(positions, 14, 0, 300)
    gap = min(14, 300 / max(len(positions) - 1, 1))
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    lines = [placed[index] for index in order]
    assert all(second - first >= gap - 1e-6 for first, second in pairwise(lines))
    assert all(-1e-6 <= line <= 300 + 1e-6 for line in lines)


def test_labels_beside_a_plot_are_short_and_have_their_room() -> None:
    long = "a-participant-with-a-very-long-name-indeed"
    assert shortened("silo") == "silo"
    assert len(shortened(long)) == LONGEST_LABEL
    assert shortened(long).endswith("…")
    assert label_room([long, "silo"]) == label_room([long * 2])
    assert label_room([]) == 0


def test_labels_that_have_room_stay_where_they_are() -> None:
    assert spread([10, 100, 50], 14, 0, 300) == [10, 100, 50]


@given(st.text())
def test_no_text_can_open_a_tag_or_close_an_attribute(words: str) -> None:
    shown = element("td", words, title=words)
    inside = shown[len("<td title=") : -len("</td>")]
    assert inside.count("<") == 0
    assert inside.count(">") == 1
    assert inside.count('"') == 2


def test_finished_markup_is_not_escaped_twice() -> None:
    assert element("b", element("i", "<")) == "<b><i>&lt;</i></b>"
    assert escape(Markup("<i>")) == "<i>"
    assert join(["<", None, Markup("<hr>")]) == "&lt;<hr>"


def test_attributes_are_written_as_html_spells_them() -> None:
    assert element("path", d="M0 0", stroke_width=2.0, class_=None) == '<path d="M0 0" stroke-width="2"/>'
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_a_style_sheet_cannot_end_itself() -> None:
    with pytest.raises(ValueError, match="closing tag"):
        raw_style("a{}</style><script>")


def test_numbers_are_written_for_people() -> None:
    assert [byte_size(count) for count in (0, 999, 1000, 131_204, 7_600_000, 10**12)] == [
        "0 B",
        "999 B",
        "1 kB",
        "131 kB",
        "7.6 MB",
        "1 TB",
    ]
    assert amount(1_234_567) == "1,234,567"
    assert percent(973_684_210) == "97.37 %"
    assert signed(-0.021) == "\N{MINUS SIGN}0.02"
    assert signed(5.0) == "+5.00"
