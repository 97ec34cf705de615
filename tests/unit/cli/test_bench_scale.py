"""`bfl bench scale` measures a round of its own, and `bfl bench` stays what it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bfl_fabric.cli import bench, bench_scale
from bfl_fabric.cli.application import application

PAGE = "before\n<!-- bench-scale:begin -->\nold\n<!-- bench-scale:end -->\nafter\n"
SMALL = ["bench", "scale", "--participants", "12", "--parameters", "2000", "--back-end", "ring"]


def test_one_round_is_measured_beside_one_of_ten_and_written_down(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, "utf-8")
    result = CliRunner().invoke(application, [*SMALL, "--levels", "2", "--json", "--write", str(page)])
    assert result.exit_code == 0, result.output
    (table,) = json.loads(result.stdout)
    rows = [(row["participants"], row["levels"], row["set"]) for row in table["rows"]]
    assert rows == [("10", "1", "`packed-small`"), ("12", "2", "`packed-small`")]
    assert table["rows"][0]["× of 10"] == "1.00×"
    written = page.read_text("utf-8")
    assert written.startswith("before\n<!-- bench-scale:begin -->\nMade by `make bench-scale`")
    assert "| 12 | 2,000 | 2 | `packed-small` |" in written
    assert "old" not in written
    assert written.endswith("<!-- bench-scale:end -->\nafter\n")


def test_a_whole_run_measures_processors_and_proves_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_scale, "QUICK_CASES", ((12, 2_000, 1),))
    monkeypatch.setattr(bench_scale, "THREADS_PARAMETERS", 10_000)
    result = CliRunner().invoke(application, ["bench", "scale", "--quick", "--back-end", "ring", "--json"])
    assert result.exit_code == 0, result.output
    rounds, parallel, proof = json.loads(result.stdout)
    assert len(rounds["rows"]) == 2
    assert [row["what"] for row in parallel["rows"]] == ["adding"] * 3 + ["hashing alone"] * 2
    assert [row["× of one processor"] for row in parallel["rows"][::3]] == ["1.00×", "1.00×"]
    assert "open to their exact sum" in proof["rows"][0]["what holds"]


def test_the_command_without_a_noun_still_measures_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    table = bench.Figures("title", ("what",), (("row",),))
    monkeypatch.setattr(bench, "_ledger", lambda quick: table)
    monkeypatch.setattr(bench, "_verification", lambda transactions: table)
    monkeypatch.setattr(bench, "_encryption", lambda sizes, quick: table)
    result = CliRunner().invoke(application, ["bench", "--quick", "--json"])
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)) == 3
