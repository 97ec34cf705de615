"""Forked processes are as those started from nothing: what they find, what they draw, how they end, what ends them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bfl_fabric.network import children
from bfl_fabric.network.children import Child, Preload, ProcessSpec
from bfl_fabric.network.nurseries import UNKNOWN_CODE, ForkedChild, Nurseries
from bfl_fabric.network.supervisor import Supervisor
from bfl_fabric.sdk.local import LEARNING, SERVING
from tests.unit.network.test_processes import is_there, until

HERE = "tests.unit.network"
SMALL = Preload(("json",))
LARGER = Preload((f"{HERE}.worst_case",), after=SMALL)
SLOW = Preload((f"{HERE}.slow_to_import",))
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
pytestmark = LINUX


@pytest.fixture(autouse=True)
def _errands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "OWN_MODULE", f"{HERE}.errands")


@pytest.fixture
def nurseries() -> Iterator[Nurseries]:
    made = Nurseries()
    yield made
    made.end()


def errand(
    place: Path, *arguments: str, name: str = "errand", preload: Preload | None = SMALL
) -> ProcessSpec:
    return ProcessSpec(name, arguments, place / f"{name}.log", preload=preload)


def parent_of(process_id: int) -> int:
    return int(Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[1])


def pid_of(child: Child) -> int:
    assert child.pid is not None
    return child.pid


@pytest.mark.parametrize("preload", [SMALL, LARGER])
def test_a_forked_process_finds_what_one_started_from_nothing_finds(
    nurseries: Nurseries, tmp_path: Path, preload: Preload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BFL_TEST_ONLY", "not for children")
    running = nurseries.start(errand(tmp_path, "run", name="sibling", preload=preload))
    found = []
    for kind in (preload, None):
        spec = ProcessSpec(
            "look",
            ("look", "found", "späces and \n"),
            tmp_path / "look.log",
            directory=tmp_path,
            environment={"ADDED": "ä"},
            preload=kind,
        )
        child = nurseries.start(spec)
        assert isinstance(child, ForkedChild) is (kind is not None)
        assert child.wait(60) == 0, (tmp_path / "look.log").read_text()
        found.append(json.loads((tmp_path / "found").read_text()))
    assert found[0] == found[1]
    assert found[0]["descriptors"].keys() >= {"0", "1", "2"}
    assert found[0]["environment"]["ADDED"] == "ä"
    assert "BFL_TEST_ONLY" not in found[0]["environment"]
    assert running.poll() is None
    running.kill()
    running.wait()


def test_forked_processes_share_no_randomness_even_when_the_nursery_has_drawn(
    nurseries: Nurseries, tmp_path: Path
) -> None:
    drawn = []
    for number in range(2):
        path = tmp_path / str(number)
        child = nurseries.start(errand(tmp_path, "draw", str(path), preload=LARGER))
        assert child.wait(120) == 0, (tmp_path / "errand.log").read_text()
        drawn.append(json.loads(path.read_text()))
    assert drawn[0].keys() == drawn[1].keys()
    assert [name for name in drawn[0] if drawn[0][name] == drawn[1][name]] == []


def test_a_forked_process_serves_and_calls_by_grpc_without_a_word_in_its_log(
    nurseries: Nurseries, tmp_path: Path
) -> None:
    several = [nurseries.start(errand(tmp_path, "talk", name=f"talk-{n}", preload=LARGER)) for n in range(3)]
    assert [child.wait(60) for child in several] == [0, 0, 0]
    assert [(tmp_path / f"talk-{n}.log").read_text() for n in range(3)] == ["HELLO\n"] * 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("exit", "0"), 0, ""),
        (("exit", "9"), 9, ""),
        (("exit", "in words"), 1, "in words\n"),
        (("fail", "no such luck"), 1, "RuntimeError: no such luck\n"),
    ],
)
def test_a_forked_process_ends_with_the_code_and_words_of_one_started_from_nothing(
    nurseries: Nurseries, tmp_path: Path, arguments: Sequence[str], code: int, said: str
) -> None:
    for preload in (SMALL, None):
        spec = errand(tmp_path, *arguments, name=f"ends-{preload is None}", preload=preload)
        assert nurseries.start(spec).wait(60) == code
        assert spec.log.read_text().endswith(said)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_a_forked_process_and_a_second_one_hits_nobody(
    nurseries: Nurseries, tmp_path: Path, number: signal.Signals
) -> None:
    child = nurseries.start(errand(tmp_path, "run"))
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.2)
    child.send_signal(number)
    assert child.wait(20) == child.poll() == -number
    child.send_signal(number)
    assert not is_there(pid_of(child))


def test_only_the_supervisor_holds_the_end_of_a_forked_process_input(
    nurseries: Nurseries, tmp_path: Path
) -> None:
    first, second = (nurseries.start(errand(tmp_path, "run", name=name)) for name in ("first", "second"))
    pid_of(second)
    assert first.stdin is not None
    first.stdin.close()
    assert first.wait(20) == 0
    assert second.poll() is None
    second.kill()
    second.wait()


def test_a_killed_nursery_costs_its_processes_nothing_and_new_ones_start_from_nothing(
    nurseries: Nurseries, tmp_path: Path
) -> None:
    before = nurseries.start(errand(tmp_path, "run", name="before"))
    nursery = parent_of(pid_of(before))
    assert nursery != os.getpid()
    os.kill(nursery, signal.SIGKILL)
    after = nurseries.start(errand(tmp_path, "run", name="after"))
    until(lambda: not isinstance(nurseries.start(errand(tmp_path, "exit", "0", name="more")), ForkedChild))
    assert before.poll() is None
    before.kill()
    assert before.wait(20) == UNKNOWN_CODE
    until(lambda: not is_there(pid_of(before)))
    after.kill()
    assert after.wait(20) in (-signal.SIGKILL, UNKNOWN_CODE)


@pytest.mark.parametrize("module", [f"{HERE}.starts_a_thread", "no.such.module"])
def test_a_nursery_that_cannot_fork_says_why_and_is_done_without(tmp_path: Path, module: str) -> None:
    restarts: list[str] = []
    with Supervisor(lambda name, code: restarts.append(name)) as supervisor:
        supervisor.start([errand(tmp_path, "run", preload=Preload((module,)))])
        until(lambda: bool(supervisor.process_ids()) and bool(restarts))
        assert parent_of(supervisor.process_ids()["errand"]) == os.getpid()
    assert ("threads run" if "thread" in module else "ModuleNotFoundError") in (
        tmp_path / "nursery.log"
    ).read_text()


def test_without_pidfds_a_process_is_started_from_nothing(
    nurseries: Nurseries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    child = nurseries.start(errand(tmp_path, "exit", "0"))
    assert isinstance(child, subprocess.Popen)
    child.communicate()
    assert not (tmp_path / "nursery.log").exists()


def test_a_supervisor_restarts_a_killed_process_from_the_same_nursery(tmp_path: Path) -> None:
    restarts: list[int] = []
    with Supervisor(lambda name, code: restarts.append(code)) as supervisor:
        supervisor.start([errand(tmp_path, "run")])
        first = supervisor.process_ids()["errand"]
        nursery = parent_of(first)
        supervisor.kill("errand")
        until(lambda: supervisor.process_ids()["errand"] != first)
        second = supervisor.process_ids()["errand"]
        assert parent_of(second) == nursery
        supervisor.hold("errand")
        assert not is_there(second)
        supervisor.release("errand")
        third = supervisor.process_ids()["errand"]
    assert restarts == [-signal.SIGKILL]
    assert not any(is_there(process_id) for process_id in (nursery, third))


def test_stopping_does_not_wait_for_a_nursery_that_still_imports(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        supervisor.start([errand(tmp_path, "run", name=name, preload=SLOW) for name in ("a", "b")])
        time.sleep(0.5)
        started = time.monotonic()
    assert time.monotonic() - started < 4
    assert not named(f"{HERE}.slow_to_import")


SUPERVISE = f"""
import sys, time
from pathlib import Path
from bfl_fabric.network import children
from bfl_fabric.network.children import Preload, ProcessSpec
from bfl_fabric.network.supervisor import Supervisor
children.OWN_MODULE = "{HERE}.errands"
place = Path(sys.argv[1])
inner = Preload(("json",), after=Preload((f"{HERE}.worst_case",)))
with Supervisor() as supervisor:
    supervisor.start([ProcessSpec(n, ("run", n), place / "log", preload=inner) for n in sys.argv[2:]])
    print(*supervisor.process_ids().values(), flush=True)
    time.sleep(600)
"""


def test_neither_nurseries_nor_their_processes_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SUPERVISE, str(tmp_path), "one", "two"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        forked = [int(word) for word in supervisor.stdout.readline().split()]
        inner = parent_of(forked[0])
        outer = parent_of(inner)
        assert parent_of(outer) == supervisor.pid
        supervisor.kill()
    until(lambda: not any(is_there(process_id) for process_id in (*forked, inner, outer)))


def test_more_can_be_asked_for_than_fits_into_the_line_to_a_nursery(
    nurseries: Nurseries, tmp_path: Path
) -> None:
    several, long = 80, "x" * 8_000
    asked = [nurseries.start(errand(tmp_path, "exit", "0", long)) for _ in range(several)]
    assert [child.wait(60) for child in asked] == [0] * several
    assert len({pid_of(child) for child in asked}) == several


def named(word: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if word.encode() in content and int(path.parent.name) != os.getpid():
            found.append(int(path.parent.name))
    return found


def test_what_nodes_preload_starts_no_thread_opens_nothing_and_loads_no_library_with_secrets() -> None:
    code = f"""
import importlib, os, sys
before = os.listdir("/proc/self/fd")
for name in {SERVING.modules + LEARNING.modules}: importlib.import_module(name)
assert os.listdir("/proc/self/fd") == before
assert len(os.listdir("/proc/self/task")) == 1
assert not {{"tenseal", "bfl_fabric.he.seal", "bfl_fabric.he.worker"}} & set(sys.modules)
assert "torch" in sys.modules
"""
    assert LEARNING.after is SERVING
    environment = children.inherited_environment()
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
