"""Starts, watches, restarts and stops the processes of a federation on this machine.

Every actor can be killed at any moment and goes on where the ledger says it stands, so restarting is the normal
way to recover. A child ends by itself when its parent is gone: it reads its standard input and stops at the end
of it (`stop_with_parent`). What a process does is not known here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bfl_fabric.errors import BflError

STOP_SECONDS = 5.0
RESTARTS_PER_MINUTE = 10
CLEAN_EXIT = 0
ORPHANED = 75


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process: a unique name, the arguments of `bfl`, and where its output goes."""

    name: str
    arguments: tuple[str, ...]
    log: Path


@dataclass(slots=True)
class _Running:
    spec: ProcessSpec
    process: subprocess.Popen[bytes]
    restarts: list[float] = field(default_factory=list)


class ProcessLost(BflError):
    """A process kept dying; the message names its log."""


class Supervisor:
    """Keeps a set of `bfl` processes running until `stop`; a context manager.

    Only processes that it started are ever signalled, and only through their handles, so that a reused process
    id cannot be hit.
    """

    def __init__(self, on_restart: Callable[[str, int], None] | None = None) -> None:
        self._running: dict[str, _Running] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._lost: ProcessLost | None = None
        self._on_restart = on_restart
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def __enter__(self) -> Supervisor:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, specs: Sequence[ProcessSpec]) -> None:
        """Start processes that are not running yet."""
        with self._lock:
            for spec in specs:
                if spec.name not in self._running:
                    self._running[spec.name] = _Running(spec, _spawn(spec))

    def process_ids(self) -> dict[str, int]:
        with self._lock:
            return {name: running.process.pid for name, running in self._running.items()}

    def kill(self, name: str) -> None:
        """End one process as a power cut would; the watcher starts it again."""
        with self._lock:
            self._running[name].process.kill()

    def check(self) -> None:
        """Raise ProcessLost when a process could not be kept alive."""
        if self._lost is not None:
            raise self._lost

    def stop(self) -> None:
        """Stop every process: politely first, by force after a few seconds. Safe to call twice."""
        self._stopping.set()
        with self._lock:
            children = [running.process for running in self._running.values()]
            for child in children:
                _signal(child, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            for child in children:
                try:
                    child.wait(timeout=max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
                if child.stdin is not None:
                    child.stdin.close()
            self._running.clear()

    def _watch(self) -> None:
        while not self._stopping.wait(0.2):
            with self._lock:
                for running in list(self._running.values()):
                    code = running.process.poll()
                    if code is not None and not self._stopping.is_set():
                        self._ended(running, code)

    def _ended(self, running: _Running, code: int) -> None:
        if code == CLEAN_EXIT:
            return
        now = time.monotonic()
        running.restarts = [moment for moment in running.restarts if now - moment < 60.0] + [now]
        if len(running.restarts) > RESTARTS_PER_MINUTE or 0 < code < 64:
            self._lost = ProcessLost(
                f"{running.spec.name} ended with exit code {code}; the last lines of {running.spec.log}:\n"
                + _tail(running.spec.log)
            )
            del self._running[running.spec.name]
            return
        running.process = _spawn(running.spec)
        if self._on_restart is not None:
            self._on_restart(running.spec.name, code)


def _spawn(spec: ProcessSpec) -> subprocess.Popen[bytes]:
    spec.log.parent.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BFL_TEST_")}
    # One thread per process: the cores are shared by many, and training must not depend on how many there are.
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with spec.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 (our own interpreter and arguments of our own making)
            [sys.executable, "-m", "bfl_fabric", *spec.arguments],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if child.poll() is None:
        child.send_signal(number)


def _tail(path: Path, lines: int = 12) -> str:
    try:
        return "\n".join(path.read_text("utf-8", "replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"


def stop_with_parent(stop: Callable[[], object]) -> None:
    """Call `stop` once when the parent is gone, that is when standard input ends.

    A process that is busy and does not end within seconds is ended here: nobody else is left to do it, and every
    actor survives being killed.
    """

    def wait_for_end() -> None:
        while os.read(0, 4096):
            pass
        stop()
        time.sleep(STOP_SECONDS)
        os._exit(ORPHANED)

    threading.Thread(target=wait_for_end, name="stop-with-parent", daemon=True).start()
