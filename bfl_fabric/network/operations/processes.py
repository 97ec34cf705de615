"""Stopping and starting single processes of a running native network, for operations.

Decides when a process counts as stopped (its server has seen it end) and as back (its operations port says that it
is well). Signals and run files are `control`'s and `run_files`'.
"""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

from bfl_fabric.errors import BflError, ConfigurationError, LedgerUnavailable
from bfl_fabric.fabric.health import health
from bfl_fabric.fabric.trust import Endpoint
from bfl_fabric.network import control
from bfl_fabric.network.native import log_file, run_files
from bfl_fabric.network.plan import Process
from bfl_fabric.network.serving import SERVER

HEALTHY_SECONDS = 60.0
_POLL_SECONDS = 0.05
_CONNECT_SECONDS = 2.0


def require_running(directory: Path) -> None:
    """Raise ConfigurationError unless the network is served from this machine."""
    if run_files(directory).find(SERVER) is None:
        raise ConfigurationError(
            f"the network in {directory} is not running here; start it with `bfl network up --directory {directory}`"
        )


def is_running(directory: Path, name: str) -> bool:
    return run_files(directory).find(name) is not None


def stop(directory: Path, name: str) -> None:
    """End a process politely and keep it down until `start`, whether or not the network is served."""
    files = run_files(directory)
    process = files.find(name)
    files.hold(name)
    if process is None:
        return
    process.signal(signal.SIGTERM)
    if not process.wait(control.STOP_SECONDS):
        process.signal(signal.SIGKILL)
    deadline = time.monotonic() + control.STOP_SECONDS
    while (files.directory / f"{name}.json").exists():
        if time.monotonic() > deadline:
            raise BflError(f"{name} was not seen to end within {control.STOP_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)


async def restart(directory: Path, process: Process) -> None:
    """Stop a process politely, let the network's server start it again and wait until it is well."""
    await asyncio.to_thread(stop, directory, process.name)
    await start(directory, process)


async def start(directory: Path, process: Process) -> None:
    """Let a held or newly planned process run and wait until it is well."""
    run_files(directory).release(process.name)
    await until_running(directory, process.name)
    await until_healthy(process)


async def listens(endpoint: Endpoint) -> bool:
    """Say whether somebody takes connections there."""
    try:
        _, writer = await asyncio.wait_for(
            asyncio.open_connection(endpoint.host, endpoint.port), _CONNECT_SECONDS
        )
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def until_running(directory: Path, name: str) -> None:
    """Return once the network's server has started a process."""
    deadline = time.monotonic() + HEALTHY_SECONDS
    while not is_running(directory, name):
        if time.monotonic() > deadline:
            raise BflError(f"{name} was not started; see {log_file(directory, SERVER)}")
        await asyncio.sleep(_POLL_SECONDS)


async def until_gone(directory: Path, name: str) -> None:
    """Return once the network's server has ended a process that is no longer planned."""
    deadline = time.monotonic() + HEALTHY_SECONDS
    while is_running(directory, name):
        if time.monotonic() > deadline:
            raise BflError(f"{name} was not ended; see {log_file(directory, SERVER)}")
        await asyncio.sleep(_POLL_SECONDS)


async def until_healthy(process: Process) -> None:
    """Return once a process says that it is well and takes connections, in this order. Raises LedgerUnavailable."""
    deadline = time.monotonic() + HEALTHY_SECONDS
    while True:
        state = await health(str(process.operations))
        if state.ok and await listens(process.main):
            return
        if time.monotonic() > deadline:
            raise LedgerUnavailable(
                f"{process.name} is not well after {HEALTHY_SECONDS:.0f} s: {state.reason}"
            )
        await asyncio.sleep(_POLL_SECONDS)
