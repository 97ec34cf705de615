"""Bit packing against its definition: a little-endian bit string."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bfl_fabric.he.packing import pack, packed_bytes, unpack


@st.composite
def packable(draw: st.DrawFn) -> tuple[int, list[int]]:
    width = draw(st.sampled_from(range(32, 61, 4)))
    pairs = draw(st.integers(1, 9))
    numbers = st.integers(0, 2**width - 1)
    return width, draw(st.lists(numbers, min_size=2 * pairs, max_size=2 * pairs))


@settings(max_examples=200, deadline=None)
@given(packable())
def test_packing_is_the_little_endian_bit_string(case: tuple[int, list[int]]) -> None:
    width, numbers = case
    whole = sum(number << (index * width) for index, number in enumerate(numbers))
    packed = pack(np.array(numbers, dtype=np.uint64), width)
    assert packed == whole.to_bytes(packed_bytes(len(numbers), width), "little")
    assert unpack(packed, width).tolist() == numbers


@pytest.mark.parametrize("width", [32, 60])
def test_every_byte_string_unpacks_to_numbers_that_pack_to_it(width: int) -> None:
    data = np.random.default_rng(width).bytes(width // 4 * 500)
    assert pack(unpack(data, width), width) == data
