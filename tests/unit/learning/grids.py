"""Grids and strategies that the tests of exact arithmetic share."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from bfl_chaincode.api.records import EncryptionTerms

CLIPS = ("0.001", "0.25", "1", "2", "3.7", "1000")


def terms(clip: str = "0.5", value_bits: int = 16, max_total_weight: int = 32_768) -> EncryptionTerms:
    return EncryptionTerms("ckks", "0" * 64, value_bits, clip, max_total_weight)


def levels_of(grid: EncryptionTerms) -> int:
    return 2 ** (grid.value_bits - 1) - 1


def usable_terms() -> st.SearchStrategy[EncryptionTerms]:
    """Grids whose sums stay within the scheme's 30 bits."""
    return st.builds(
        lambda clip, bits: terms(clip, bits, 2 ** (31 - bits)), st.sampled_from(CLIPS), st.integers(4, 20)
    )


def updates(size: int, bound: float = 4096.0) -> st.SearchStrategy[NDArray[np.float32]]:
    numbers = st.floats(-bound, bound, width=32)
    return arrays.arrays(np.float32, size, elements=numbers)


def sums(limit: int = 2**53) -> st.SearchStrategy[NDArray[np.int64]]:
    return arrays.arrays(np.int64, st.integers(1, 30), elements=st.integers(-limit, limit))
