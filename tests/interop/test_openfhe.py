"""An independent threshold scheme agrees: OpenFHE's three parties open the sums that ours do, one key or joint.

OpenFHE runs in an environment of its own (`tests/benchmarks/he/environments.py`), because its wheel holds another
CPython build than ours; where that cannot be made, the test is skipped and says why.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import UpdateName
from bfl_fabric.he.provider import EncryptionSchemes, parameters_digest
from bfl_fabric.learning.arithmetic import ExactArithmetic
from tests.benchmarks.he.competitors import COMPETITORS, ForeignProcess
from tests.benchmarks.he.environments import EnvironmentMissing
from tests.unit.he.threshold.federation import Federation, Round

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Float32Vector, Int64Vector

SILOS, COUNT = 10, 9_000
GRID = 2.0**17
"""A power of two, so that the grid's multiples are exact in float32 and OpenFHE sees the same numbers as we do."""
TERMS = EncryptionTerms("ckks", parameters_digest(), 16, "0.25", SILOS)
OPENFHE = next(competitor for competitor in COMPETITORS if competitor.word == "openfhe")


def updates(seed: int) -> list[Int64Vector]:
    """Return each silo's update on the grid, int64[COUNT]; the first coordinates are at the ends of the range."""
    generator = np.random.default_rng(seed)
    quantized = []
    for _ in range(SILOS):
        delta = generator.normal(0, 0.02, COUNT).astype(np.float32)
        delta[:4] = (0.25, -0.25, 0.0, 1.0)
        quantized.append(ExactArithmetic().quantize(TERMS, delta, 1))
    return quantized


def opened_by_openfhe(
    values: list[Float32Vector], place: Path
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Encrypt under the joint key of three parties, add, open with the shares of all three; float64[COUNT]."""
    try:
        process = ForeignProcess(OPENFHE, COUNT, place / "openfhe")
    except EnvironmentMissing as missing:
        pytest.skip(str(missing))
    np.save(place / "values.npy", np.stack(values), allow_pickle=False)
    try:
        process.ask("prepare", values=str(place / "values.npy"))
        process.ask("server")
        process.ask("open", result=str(place / "sum.npy"))
    finally:
        process.close()
    opened: np.ndarray[tuple[int], np.dtype[np.float64]] = np.load(place / "sum.npy", allow_pickle=False)
    return opened


def opened_by_our_members(values: list[Int64Vector], place: Path) -> Int64Vector:
    """Encrypt under the joint key of three members, add, open with the shares of all three; int64[COUNT]."""
    place.mkdir()
    federation = Federation(place, ("A", "B", "C"), 3).hold_ceremony()
    round_ = Round(federation, place / "round", {f"silo-{index}": item for index, item in enumerate(values)})
    return round_.open(federation.opening(federation.members))


def opened_by_us(values: list[Int64Vector], place: Path) -> Int64Vector:
    """Encrypt, add and open with the product's scheme; int64[COUNT]."""
    schemes = EncryptionSchemes()
    try:
        key = schemes.create_key(TERMS, 1, place / "secret.key")
        scheme = schemes.public(TERMS, key)
        uploads = [place / f"upload-{number}" for number in range(SILOS)]
        for number, path in enumerate(uploads):
            path.write_bytes(scheme.encrypt(UpdateName("interop", 1, f"silo-{number}"), 1, 1, values[number]))
        (place / "sum").write_bytes(scheme.aggregate(uploads))
        return schemes.secret(TERMS, key, place / "secret.key").open_sum(place / "sum", SILOS)
    finally:
        schemes.close()


def test_openfhe_threshold_opens_the_integer_sum_and_so_do_our_schemes(tmp_path: Path) -> None:
    values = updates(seed=7)
    expected = np.sum(values, axis=0)
    opened = opened_by_openfhe([(value / GRID).astype(np.float32) for value in values], tmp_path) * GRID
    assert np.abs(opened - expected).max() < 1e-4, "OpenFHE's own error, in steps of the grid"
    rounded = np.rint(opened).astype(np.int64)
    assert np.array_equal(rounded, opened_by_us(values, tmp_path))
    assert np.array_equal(rounded, opened_by_our_members(values, tmp_path / "joint"))
    assert (expected[0], expected[1]) == (SILOS * 32767, -SILOS * 32767)
