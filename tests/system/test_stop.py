"""Ctrl-C in the middle of a demonstration stops every process within seconds, and so does losing the parent."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SIZE = ("--organizations", "2", "--participants", "4")
PROCESSES = 5
"""The demonstration, the ledger and the nodes without data; the silos and the coordinator come once torch is loaded."""


def processes_in(place: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode("utf-8", "replace").replace("\0", " ")
        except OSError:
            continue
        if str(place) in words and "bfl_fabric" in words:
            found.append(words)
    return found


def heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_demonstration(tmp_path: Path, blow: signal.Signals) -> None:
    place = tmp_path / "run"
    command = [sys.executable, "-m", "bfl_fabric", "demo", *SIZE, "--directory", str(place)]
    # A test run in the background of a script ignores Ctrl-C, and so would every child.
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, preexec_fn=heed_interrupts) as demo:
        deadline = time.monotonic() + 60
        while len(processes_in(place)) < PROCESSES and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(6)
        demo.send_signal(blow)
        started = time.monotonic()
        demo.wait(timeout=20)
        while processes_in(place) and time.monotonic() < started + 30:
            time.sleep(0.2)
        took = time.monotonic() - started
    assert processes_in(place) == []
    assert took < 15
    assert demo.returncode == (130 if blow is signal.SIGINT else -signal.SIGKILL)
