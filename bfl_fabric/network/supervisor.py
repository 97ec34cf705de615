"""Starts, watches, restarts and stops the processes of a federation on this machine.

Every actor can be killed at any moment and goes on where the ledger says it stands, so restarting is the normal
way to recover. No child outlives its parent: our own read their standard input and stop at the end of it
(`stop_with_parent`), other programs are ended by the kernel where it can do that (`launcher`). A supervisor with a
run directory can be steered from outside (`run_files`). What a process does is not known here, nor whether it is
started from nothing (`children`) or forked (`nurseries`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bfl_fabric.errors import BflError
from bfl_fabric.network.children import Child, ProcessSpec
from bfl_fabric.network.nurseries import Nurseries
from bfl_fabric.network.run_files import RunFiles

STOP_SECONDS = 5.0
RESTARTS_PER_MINUTE = 10
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.05, 5.0
CLEAN_EXIT = 0
ORPHANED = 75


@dataclass(slots=True)
class _Running:
    spec: ProcessSpec
    process: Child
    restarts: list[float] = field(default_factory=list)
    due_at: float | None = None


class ProcessLost(BflError):
    """A process kept dying; the message names its log."""


class Supervisor:
    """Keeps a set of `bfl` processes running until `stop`; a context manager.

    Only processes that it started are ever signalled, and only through their handles, so that a reused process
    id cannot be hit.
    """

    def __init__(
        self, on_restart: Callable[[str, int], None] | None = None, run_files: RunFiles | None = None
    ) -> None:
        self._running: dict[str, _Running] = {}
        self._held: dict[str, ProcessSpec] = {}
        self._run_files = run_files
        self._nurseries = Nurseries()
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
                if spec.name not in self._running and spec.name not in self._held:
                    self._running[spec.name] = _Running(spec, self._spawn(spec))

    def process_ids(self) -> dict[str, int]:
        """Return the process id of each; waits for those that are just being forked."""
        with self._lock:
            found = {name: running.process.pid for name, running in self._running.items()}
        return {name: process_id for name, process_id in found.items() if process_id is not None}

    def kill(self, name: str) -> None:
        """End one process as a power cut would; the watcher starts it again."""
        with self._lock:
            self._running[name].process.kill()

    def hold(self, name: str, *, kill: bool = True) -> None:
        """End one process, by force or politely, and keep it down until `release`."""
        with self._lock:
            running = self._running.pop(name)
            self._held[name] = running.spec
            _end([running.process], 0.0 if kill else STOP_SECONDS)
            self._forget(name)

    def release(self, name: str) -> None:
        """Start a process that was held down."""
        with self._lock:
            spec = self._held.pop(name)
            self._running[name] = _Running(spec, self._spawn(spec))

    def remove(self, name: str) -> None:
        """Stop one process politely and forget it."""
        with self._lock:
            if name in self._running:
                self.hold(name, kill=False)
            self._held.pop(name, None)

    def check(self) -> None:
        """Raise ProcessLost when a process could not be kept alive."""
        if self._lost is not None:
            raise self._lost

    def stop(self) -> None:
        """Stop every process: politely first, by force after a few seconds. Safe to call twice."""
        with self._lock:
            self._stopping.set()
            self._nurseries.abandon()
            _end([running.process for running in self._running.values()], STOP_SECONDS)
            for name in self._running:
                self._forget(name)
            self._running.clear()
            self._nurseries.end()

    def _watch(self) -> None:
        while not self._stopping.wait(0.2):
            with self._lock:
                for running in list(self._running.values()):
                    code = running.process.poll()
                    if code is not None and not self._stopping.is_set():
                        self._ended(running, code)
                for name in list(self._held):
                    if self._run_files is not None and not self._run_files.is_held(name):
                        self.release(name)
        # A child that this thread started is ended by the kernel when the thread ends: wait until all are gone.
        with self._lock:
            pass

    def _ended(self, running: _Running, code: int) -> None:
        name = running.spec.name
        if self._run_files is not None and self._run_files.is_held(name):
            self._held[name] = self._running.pop(name).spec
            self._forget(name)
            return
        if code == CLEAN_EXIT and running.spec.program is None:
            return
        now = time.monotonic()
        if running.due_at is not None:
            self._restart(running, code, now)
            return
        running.restarts = [moment for moment in running.restarts if now - moment < 60.0] + [now]
        hopeless = running.spec.program is None and 0 < code < 64
        if len(running.restarts) > RESTARTS_PER_MINUTE or hopeless:
            self._lost = ProcessLost(
                f"{name} ended with exit code {code}; the last lines of {running.spec.log}:\n"
                + _tail(running.spec.log)
            )
            del self._running[name]
            return
        pause = min(FIRST_PAUSE_SECONDS * 2 ** len(running.restarts), LAST_PAUSE_SECONDS)
        running.due_at = now + (0.0 if len(running.restarts) == 1 else pause)
        self._restart(running, code, now)

    def _restart(self, running: _Running, code: int, now: float) -> None:
        """Start a process again when it is due: at once the first time, later and later when it keeps ending."""
        if running.due_at is None or now < running.due_at:
            return
        running.due_at = None
        running.process = self._spawn(running.spec)
        if self._on_restart is not None:
            self._on_restart(running.spec.name, code)

    def _spawn(self, spec: ProcessSpec) -> Child:
        process = self._nurseries.start(spec)
        if self._run_files is not None and process.pid is not None:
            self._run_files.write(spec.name, process.pid)
        return process

    def _forget(self, name: str) -> None:
        if self._run_files is not None:
            self._run_files.remove(name)


def _end(children: Sequence[Child], patience_seconds: float) -> None:
    """Ask children to end, by force once the patience is over, and wait until they are gone."""
    if patience_seconds:
        for child in children:
            _signal(child, signal.SIGTERM)
    deadline = time.monotonic() + patience_seconds
    for child in children:
        try:
            child.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdin is not None:
            child.stdin.close()


def _signal(child: Child, number: signal.Signals) -> None:
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
