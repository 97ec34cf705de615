"""Starting and stopping a native network from outside its own process.

Decides how a network is started in the background, waited for and ended, and how single processes of it are killed
and started again while it runs. Nothing is signalled that is not noted in the run directory (`run_files`).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bfl_fabric.errors import BflError, ConfigurationError, NotFound
from bfl_fabric.network import homes
from bfl_fabric.network.native import log_file, run_files
from bfl_fabric.network.serving import READY, SERVER, phase_file

START_SECONDS = 120.0
STOP_SECONDS = 20.0
_POLL_SECONDS = 0.1
_LOG_LINES = 15


def start(directory: Path, arguments: list[str], on_phase: Callable[[str], None]) -> None:
    """Start `bfl ARGUMENTS`, which serves the network, in the background and return once it is ready.

    Raises BflError with the end of its log when it ends before that.
    """
    files = run_files(directory)
    if files.find(SERVER) is not None:
        raise ConfigurationError(
            f"the network in {directory} runs already; look at it with `bfl network status`"
        )
    phase_file(files).unlink(missing_ok=True)
    log = log_file(directory, SERVER)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 (our own interpreter and arguments)
            [sys.executable, "-m", "bfl_fabric", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    files.write(SERVER, process.pid)
    _wait_until_ready(directory, process, on_phase)


def _wait_until_ready(
    directory: Path, process: subprocess.Popen[bytes], on_phase: Callable[[str], None]
) -> None:
    phase = phase_file(run_files(directory))
    deadline = time.monotonic() + START_SECONDS
    while True:
        text = phase.read_text("utf-8") if phase.exists() else "starting"
        on_phase(text)
        if text == READY:
            return
        log = log_file(directory, SERVER)
        if process.poll() is not None:
            run_files(directory).remove(SERVER)
            raise BflError(f"the network could not be brought up; the end of {log}:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise BflError(f"the network is not ready after {START_SECONDS:.0f} s ({text}); see {log}")
        time.sleep(_POLL_SECONDS)


def stop(directory: Path) -> list[str]:
    """End the network's server and whatever of the network still runs; return the names of what was ended."""
    files = run_files(directory)
    server = files.find(SERVER)
    ended = [item.name for item in files.running()]
    if server is not None:
        server.signal(signal.SIGTERM)
        if not server.wait(STOP_SECONDS):
            server.signal(signal.SIGKILL)
            server.wait(STOP_SECONDS)
    for process in list(files.running()):
        process.signal(signal.SIGTERM)
        if not process.wait(STOP_SECONDS):
            process.signal(signal.SIGKILL)
            process.wait(STOP_SECONDS)
    for path in files.directory.glob("*"):
        path.unlink()
    return ended


def purge(directory: Path) -> None:
    """Remove a stopped network with everything in its directory, keys and blocks included."""
    homes.read_plan(directory)
    if any(run_files(directory).running()):
        raise ConfigurationError(f"the network in {directory} still runs")
    shutil.rmtree(directory)


def kill(directory: Path, name: str) -> None:
    """End one process as a power cut would; it stays down until `restart`."""
    files = run_files(directory)
    process = files.find(_known(directory, name))
    files.hold(name)
    if process is not None:
        process.signal(signal.SIGKILL)
        process.wait(STOP_SECONDS)


def restart(directory: Path, name: str) -> None:
    """Stop one process politely if it runs, and let the network's server start it again."""
    files = run_files(directory)
    process = files.find(_known(directory, name))
    if files.find(SERVER) is None:
        raise ConfigurationError(f"the network in {directory} is down; start it with `bfl network up`")
    if process is not None:
        files.hold(name)
        process.signal(signal.SIGTERM)
        if not process.wait(STOP_SECONDS):
            process.signal(signal.SIGKILL)
        _wait_for(lambda: not (files.directory / f"{name}.json").exists(), f"{name} was not seen to end")
    files.release(name)
    _wait_for(lambda: files.find(name) is not None, f"{name} was not started again")


def _known(directory: Path, name: str) -> str:
    names = homes.read_plan(directory).names()
    if name not in names:
        raise NotFound(f"{name} is no process of this network; it has {', '.join(names)}")
    return name


def _wait_for(condition: Callable[[], bool], problem: str) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise BflError(f"{problem} within {STOP_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)


def tail(path: Path, lines: int = _LOG_LINES) -> str:
    """Return the last lines of a log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.path.getsize(path) - 200 * lines))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
