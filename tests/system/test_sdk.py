"""The SDK's own example, word for word as the documentation shows it, on a running federation."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "train_together.py"


def bfl(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bfl_fabric", *arguments]


@pytest.mark.slow
def test_the_documented_script_trains_a_users_own_model_and_reads_its_rewards(tmp_path: Path) -> None:
    assert len(EXAMPLE.read_text("utf-8").splitlines()) < 40
    place = tmp_path / "my federation"
    made = subprocess.run(
        bfl("federation", "create", str(place), "--organizations", "2", "--participants", "4"),
        cwd=ROOT,
        timeout=60,
    )
    assert made.returncode == 0
    with subprocess.Popen(
        bfl("federation", "up", str(place)), cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as up:
        assert up.stdout is not None
        try:
            assert any("ready" in line for line in up.stdout)
            ran = subprocess.run(
                [sys.executable, str(EXAMPLE), str(place)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=180,
            )
        finally:
            started = time.monotonic()
            up.send_signal(signal.SIGINT)
            up.wait(timeout=15)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "round 3: model" in ran.stdout
    assert "earned {" in ran.stdout
    assert time.monotonic() - started < 10, "Ctrl-C must stop every child within seconds"
    audited = subprocess.run(
        bfl("audit", "verify", str(place)), cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert audited.returncode == 0, audited.stdout + audited.stderr
