"""Supervised processes: held down, started again, found by their run files, and none left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bfl_fabric.network import supervisor as supervising
from bfl_fabric.network.children import ProcessSpec
from bfl_fabric.network.run_files import RunFiles, RunningProcess
from bfl_fabric.network.supervisor import ProcessLost, Supervisor

PYTHON = Path(sys.executable)
SLEEP = ("-c", "import time; time.sleep(600)")


def sleeper(place: Path, name: str = "sleeper", arguments: tuple[str, ...] = SLEEP) -> ProcessSpec:
    return ProcessSpec(name, arguments, place / f"{name}.log", program=PYTHON, directory=place)


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_there(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_program_is_started_again(tmp_path: Path) -> None:
    restarts: list[str] = []
    with Supervisor(lambda name, code: restarts.append(name)) as supervisor:
        supervisor.start([sleeper(tmp_path)])
        first = supervisor.process_ids()["sleeper"]
        os.kill(first, signal.SIGKILL)
        until(lambda: supervisor.process_ids()["sleeper"] != first)
        second = supervisor.process_ids()["sleeper"]
    assert restarts == ["sleeper"]
    assert not is_there(second)


def test_a_held_program_stays_down_until_it_is_released(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        supervisor.start([sleeper(tmp_path)])
        first = supervisor.process_ids()["sleeper"]
        supervisor.hold("sleeper")
        assert not is_there(first)
        time.sleep(0.5)
        assert supervisor.process_ids() == {}
        supervisor.release("sleeper")
        assert is_there(supervisor.process_ids()["sleeper"])


def test_another_process_can_hold_and_release_through_the_run_files(tmp_path: Path) -> None:
    files = RunFiles(tmp_path / "run")
    with Supervisor(run_files=files) as supervisor:
        supervisor.start([sleeper(tmp_path)])
        found = files.find("sleeper")
        assert found is not None
        files.hold("sleeper")
        found.signal(signal.SIGKILL)
        until(lambda: supervisor.process_ids() == {})
        assert files.find("sleeper") is None
        files.release("sleeper")
        until(lambda: files.find("sleeper") is not None)
    assert list(files.running()) == []


def test_a_program_that_keeps_ending_is_given_up_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "LAST_PAUSE_SECONDS", supervising.FIRST_PAUSE_SECONDS)
    spec = sleeper(tmp_path, arguments=("-c", "raise SystemExit('no such luck')"))
    with Supervisor() as supervisor:
        supervisor.start([spec])

        def lost() -> bool:
            try:
                supervisor.check()
            except ProcessLost:
                return True
            return False

        until(lost, 60)
        with pytest.raises(ProcessLost, match="no such luck"):
            supervisor.check()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends children with their parent")
def test_no_program_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from bfl_fabric.network.children import ProcessSpec\n"
        "from bfl_fabric.network.supervisor import Supervisor\n"
        "place = Path(sys.argv[1])\n"
        "spec = ProcessSpec('child', ('-c', 'import time; time.sleep(600)'), place / 'log', Path(sys.executable))\n"
        "with Supervisor() as supervisor:\n"
        "    supervisor.start([spec])\n"
        "    print(supervisor.process_ids()['child'], flush=True)\n"
        "    time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.5)
    parent.kill()
    parent.wait()
    until(lambda: not is_there(child))
    parent.stdout.close()


def test_a_reused_process_id_is_not_taken_for_ours() -> None:
    mine = RunningProcess("me", os.getpid(), started=1)
    assert not mine.alive
    mine.signal(signal.SIGKILL)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pid": "x", "started": 0}'])
def test_a_damaged_run_file_is_no_process(tmp_path: Path, text: str) -> None:
    (tmp_path / "peer.json").write_text(text)
    assert RunFiles(tmp_path).find("peer") is None


def test_settings_of_other_networks_in_the_environment_do_not_reach_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORE_PEER_LOCALMSPID", "Elsewhere")
    monkeypatch.setenv("CHAINCODE_ID", "elsewhere")
    code = "import os, pathlib, time; pathlib.Path('seen').write_text(' '.join(os.environ)); time.sleep(600)"
    with Supervisor() as supervisor:
        supervisor.start([sleeper(tmp_path, arguments=("-c", code))])
        until(lambda: (tmp_path / "seen").exists() and (tmp_path / "seen").read_text() != "")
    assert "CORE_PEER_LOCALMSPID" not in (tmp_path / "seen").read_text().split()
    assert "CHAINCODE_ID" not in (tmp_path / "seen").read_text().split()
