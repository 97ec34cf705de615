"""`bfl network` and `bfl demo --ledger fabric` as an operator types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
DIFFICULT = 'it\'s "a" netwörk; $HOME & more'
PROCESSES = 7


def bfl(
    *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bfl_fabric", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, **(environment or {})},
    )


def done(*arguments: str, cwd: Path) -> str:
    result = bfl(*arguments, cwd=cwd)
    assert result.returncode == 0, result.stderr
    return result.stdout


def states(place: Path) -> dict[str, dict[str, Any]]:
    rows = json.loads(done("network", "status", "--json", "--directory", DIFFICULT, cwd=place))
    return {row["name"]: row for row in rows}


def belonging_to(place: Path) -> list[int]:
    """Return the processes that name a directory, or work in it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
            home = os.readlink(entry / "cwd")
        except OSError:
            continue
        if int(entry.name) != os.getpid() and (str(place) in words or home.startswith(str(place))):
            found.append(int(entry.name))
    return found


def gone(place: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while belonging_to(place) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not belonging_to(place)


@pytest.mark.needs_fabric
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_network_comes_up_is_operated_and_leaves_nothing(tmp_path: Path) -> None:
    place = tmp_path / DIFFICULT
    began = time.monotonic()
    try:
        assert "ready in" in done("network", "up", "--directory", DIFFICULT, cwd=tmp_path)
        sys.stdout.write(f"bfl network up: {time.monotonic() - began:.1f} s with the start of the command\n")
        up = states(tmp_path)
        assert len(up) == PROCESSES
        assert {row["state"] for row in up.values()} == {"healthy"}
        assert len({row["height"] for row in up.values() if row["kind"] != "contract service"}) == 1
        assert "runs already" in bfl("network", "up", "--directory", DIFFICULT, cwd=tmp_path).stderr
        peer = next(name for name, row in up.items() if row["kind"] == "peer")
        done("network", "kill", peer, "--directory", DIFFICULT, cwd=tmp_path)
        assert states(tmp_path)[peer]["state"] == "held down"
        done("network", "restart", peer, "--directory", DIFFICULT, cwd=tmp_path)
        assert _settled(tmp_path, peer)["process_id"] != up[peer]["process_id"]
        done("network", "down", "--directory", DIFFICULT, cwd=tmp_path)
        assert gone(place, 5)
        assert {row["state"] for row in states(tmp_path).values()} == {"not running"}
        done("network", "up", "--directory", DIFFICULT, cwd=tmp_path)
        again = _settled(tmp_path, peer)
        assert again["height"] >= up[peer]["height"]
    finally:
        done("network", "down", "--purge", "--directory", DIFFICULT, cwd=tmp_path)
    assert gone(place, 5)
    assert not place.exists()
    assert list(tmp_path.iterdir()) == []


def _settled(tmp_path: Path, name: str) -> dict[str, Any]:
    """Return the row of a process once it is healthy."""
    deadline = time.monotonic() + 30
    while (row := states(tmp_path)[name])["state"] != "healthy":
        assert time.monotonic() < deadline, row
        time.sleep(0.3)
    return row


def test_without_the_programs_the_command_says_where_to_get_them(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {"BFL_FABRIC_BIN": str(empty), "XDG_DATA_HOME": str(empty), "PATH": str(empty)}
    for command in (["network", "up"], ["demo", "--ledger", "fabric"], ["network", "programs"]):
        result = bfl(*command, cwd=tmp_path, environment=environment)
        assert result.returncode == 12, result
        said = " ".join(result.stderr.split())
        assert "`peer` and `orderer`" in said
        assert "export BFL_FABRIC_BIN=" in said
        assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == [empty]


@pytest.mark.needs_fabric
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_demonstration_on_fabric_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    place = tmp_path / "run"
    command = [sys.executable, "-m", "bfl_fabric", "demo", "--ledger", "fabric", "--directory", str(place)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as demo:
        deadline = time.monotonic() + 90
        while len(belonging_to(place)) < PROCESSES + 8 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert len(belonging_to(place)) >= PROCESSES + 8
        demo.send_signal(signal.SIGKILL)
        began = time.monotonic()
        demo.wait(timeout=20)
        assert gone(place, 12)
    sys.stdout.write(f"kill -9 of the demo: no process left after {time.monotonic() - began:.1f} s\n")
