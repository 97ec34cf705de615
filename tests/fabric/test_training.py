"""A whole encrypted training run on a real network gives the very model that the embedded ledger gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.needs_fabric, pytest.mark.slow]
ROUNDS = 2
SIZE = ("--rounds", str(ROUNDS), "--participants", "4")


def demonstrated(place: Path, *options: str) -> dict[str, Any]:
    result = subprocess.run(
        [sys.executable, "-m", "bfl_fabric", "demo", "--json", *SIZE, *options],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=420,
    )
    assert result.returncode == 0, result.stderr
    summary: dict[str, Any] = json.loads(result.stdout)
    return summary


@pytest.mark.timeout(900)
def test_a_training_run_on_fabric_ends_with_the_embedded_ledgers_model(tmp_path: Path) -> None:
    embedded = demonstrated(tmp_path, "--directory", "embedded")
    fabric = demonstrated(tmp_path, "--directory", "fabric", "--ledger", "fabric")
    assert [item["phase"] for item in fabric["rounds"]] == ["SETTLED"] * ROUNDS
    assert fabric["audit"]["passed"]
    digests = [[item["model_digest"] for item in summary["rounds"]] for summary in (embedded, fabric)]
    assert digests[0] == digests[1]
    assert sum(item["balance"] for item in fabric["participants"]) == fabric["task"]["pool"]
