"""The byte forms of models, sums and directions: one encoding each, exact lengths."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given

from bfl_fabric.errors import MalformedInput
from bfl_fabric.learning.arithmetic import ExactArithmetic
from tests.unit.learning.grids import sums, updates

arithmetic = ExactArithmetic()


def test_the_byte_forms_are_little_endian() -> None:
    assert arithmetic.pack_model(np.array([1, -2], dtype=np.float32)).hex() == "0000803f000000c0"
    assert arithmetic.pack_sum(np.array([1, -2], dtype=np.int64)).hex() == "0100000000000000feffffffffffffff"
    assert arithmetic.pack_direction(np.array([1, -2, 127, -127], dtype=np.int8)).hex() == "01fe7f81"


@given(updates(9))
def test_a_model_comes_back_bit_for_bit(model: np.ndarray) -> None:
    data = arithmetic.pack_model(model)
    assert arithmetic.pack_model(arithmetic.unpack_model(data, 9)) == data


@given(sums())
def test_a_sum_comes_back_exactly(total: np.ndarray) -> None:
    assert (arithmetic.unpack_sum(arithmetic.pack_sum(total), total.size) == total).all()


@given(sums())
def test_a_direction_comes_back_exactly(total: np.ndarray) -> None:
    direction = arithmetic.direction(total)
    assert (
        arithmetic.unpack_direction(arithmetic.pack_direction(direction), direction.size) == direction
    ).all()


def test_unpacked_vectors_are_native_and_may_be_written() -> None:
    model = arithmetic.unpack_model(bytes(8), 2)
    model[0] = 1
    assert model.dtype == np.float32
    assert model.dtype.isnative


@pytest.mark.parametrize("name", ["model", "sum", "direction"])
@pytest.mark.parametrize("change", [-1, 1, 8, -8])
def test_unpacking_refuses_every_other_length(name: str, change: int) -> None:
    width = {"model": 4, "sum": 8, "direction": 1}[name]
    with pytest.raises(MalformedInput, match="exactly"):
        getattr(arithmetic, f"unpack_{name}")(bytes(10 * width + change), 10)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_models_that_are_not_finite_are_neither_packed_nor_unpacked(bad: float) -> None:
    model = np.array([0, bad], dtype=np.float32)
    with pytest.raises(MalformedInput, match="index 1"):
        arithmetic.pack_model(model)
    with pytest.raises(MalformedInput, match="index 1"):
        arithmetic.unpack_model(model.astype("<f4").tobytes(), 2)


def test_a_direction_of_minus_128_is_neither_packed_nor_unpacked() -> None:
    with pytest.raises(MalformedInput, match="index 1"):
        arithmetic.pack_direction(np.array([0, -128], dtype=np.int8))
    with pytest.raises(MalformedInput, match="index 1"):
        arithmetic.unpack_direction(b"\x00\x80", 2)


@pytest.mark.parametrize("name", ["model", "sum", "direction"])
def test_packing_refuses_another_type_and_more_dimensions(name: str) -> None:
    with pytest.raises(MalformedInput, match="one dimension"):
        getattr(arithmetic, f"pack_{name}")(np.zeros(3, dtype=np.float16))
    right = {"model": np.float32, "sum": np.int64, "direction": np.int8}[name]
    with pytest.raises(MalformedInput, match="one dimension"):
        getattr(arithmetic, f"pack_{name}")(np.zeros((3, 3), dtype=right))


def test_learning_loads_neither_torch_nor_scikit_learn() -> None:
    script = (
        "import sys, bfl_fabric.learning.arithmetic; "
        "print(sorted({'torch', 'sklearn', 'tenseal', 'grpc'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
