"""The benchmark measures what it says: exact sums are found exact, rounding is not hidden, absence is a line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.benchmarks.he import measure, report
from tests.benchmarks.he.candidates import OURS, Float64Vector
from tests.benchmarks.he.competitors import COMPETITORS, Competitor
from tests.benchmarks.he.environments import Environment

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Float32Vector

COUNT = 3_000
TENSEAL = COMPETITORS[0]


class Rounding:
    """A scheme that claims exact sums and returns others."""

    name, parameters = "claims to be exact", "none"

    @property
    def note(self) -> str:
        return ""

    def __init__(self, place: Path) -> None:
        self._sum = np.empty(0)

    def prepare(self, values: list[Float32Vector]) -> None:
        self._sum = np.sum(values, axis=0, dtype=np.float64)

    def client(self) -> bytes:
        return b"x" * COUNT

    def server(self) -> None: ...

    def open(self) -> Float64Vector:
        return self._sum + 1e-3

    def exact_sum(self) -> Float64Vector:
        return self._sum

    def close(self) -> None: ...


def test_ours_is_exact_and_tenseal_rounds_on_the_same_inputs(tmp_path: Path) -> None:
    ours, tenseal = measure.measure(COUNT, 1, {"ckks": OURS["ckks"]}, [TENSEAL], tmp_path)
    assert (ours.absent, tenseal.absent) == ("", "")
    assert ours.exact is True
    assert 1e-6 < ours.sum_error < 10 * 0.25 / 32767 / 2 + 1e-9
    assert tenseal.exact is None
    assert 0 < tenseal.sum_error < 1e-7
    assert all(len(times) == 1 for times in (ours.client_ms, ours.server_ms, ours.open_ms))


def test_a_sum_that_is_off_is_reported_as_not_exact(tmp_path: Path) -> None:
    [figures] = measure.measure(COUNT, 2, {"rounding": Rounding}, [], tmp_path)
    assert figures.exact is False
    assert figures.sum_error == pytest.approx(1e-3)
    table = report.tables([figures])[0]
    assert table.rows[0][-3:] == ("1.0e-03", "1.0e-04", "NO")
    assert table.rows[0][2:4] == ("1.00", "–")


@pytest.mark.parametrize(
    ("competitor", "reason"),
    [
        (replace(TENSEAL, environment=Environment("openfhe", "3.1")), "needs Python 3.1, "),
        (replace(TENSEAL, module="no_such_program"), "No module named"),
        (replace(TENSEAL, arguments=lambda _: ()), "IndexError"),
    ],
)
def test_a_competitor_that_cannot_run_is_a_line_with_its_reason(
    competitor: Competitor, reason: str, tmp_path: Path
) -> None:
    [figures] = measure.measure(COUNT, 1, {}, [competitor], tmp_path)
    assert reason in figures.absent
    rows, notes = report.tables([figures])
    assert rows.rows[0][2] == "not measured"
    assert reason in notes.rows[0][2]


def test_ratios_are_the_baseline_over_the_row(tmp_path: Path) -> None:
    base = measure.Figures(TENSEAL.word, "base", "", 10, upload_bytes=400)
    base.client_ms, base.server_ms, base.open_ms = [30.0, 10.0, 20.0], [8.0], [6.0]
    row = measure.Figures("ours", "ours", "", 10, upload_bytes=100)
    row.client_ms, row.server_ms, row.open_ms = [4.0], [16.0], [2.0]
    cells = report.tables([base, row])[0].rows[1]
    assert cells[2:10] == ("10.00", "4.0×", "4.0", "5.0×", "16.0", "0.5×", "2.0", "3.0×")
