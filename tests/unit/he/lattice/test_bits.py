"""Rows of every width as bits, against Python's integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bfl_fabric.he.lattice.bits import GROUP, pack, packed_bytes, unpack


def as_bits(numbers: list[int], width: int) -> bytes:
    """Return the definition: number i occupies the bits from i·width of one large little-endian number."""
    total = sum(number << (index * width) for index, number in enumerate(numbers))
    return total.to_bytes(len(numbers) * width // 8, "little")


@pytest.mark.parametrize("width", range(1, 33))
def test_every_width_is_a_little_endian_bit_string(width: int) -> None:
    top = (1 << width) - 1
    drawn = np.random.default_rng(width).integers(0, top + 1, 40)
    for numbers in ([top] * 16, [0, top] * 12, [0] * 8, [1, *[0] * 14, top], drawn.tolist()):
        words = np.array(numbers, dtype=np.uint64)
        packed = pack(words, width)
        assert packed == as_bits(numbers, width)
        assert len(packed) == packed_bytes(len(numbers), width)
        assert unpack(packed, width).tolist() == numbers
        assert unpack(memoryview(packed), width).tolist() == numbers


@given(st.data(), st.integers(1, 32), st.integers(0, 6))
def test_numbers_come_back_whatever_they_are(data: st.DataObject, width: int, groups: int) -> None:
    count = GROUP * groups
    numbers = data.draw(st.lists(st.integers(0, (1 << width) - 1), min_size=count, max_size=count))
    assert unpack(pack(np.array(numbers, dtype=np.uint64), width), width).tolist() == numbers


@given(st.data(), st.integers(1, 32), st.integers(0, 6))
def test_bytes_come_back_whatever_they_are(data: st.DataObject, width: int, groups: int) -> None:
    packed = data.draw(st.binary(min_size=groups * width, max_size=groups * width))
    assert pack(unpack(packed, width), width) == packed


@pytest.mark.parametrize("width", [20, 21, 27, 28, 30, 31, 32])
def test_rows_that_are_slices_of_others_are_packed_alike(width: int) -> None:
    rows = np.random.default_rng(width).integers(0, 1 << width, (3, 64), dtype=np.uint64)
    for row in rows[:, ::2]:
        assert pack(row, width) == pack(row.copy(), width)


def test_a_length_that_is_no_whole_number_of_groups_does_not_pass_for_one() -> None:
    with pytest.raises(ValueError, match="reshape"):
        pack(np.zeros(12, dtype=np.uint64), 20)
