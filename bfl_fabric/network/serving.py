"""Serving a native network: start its processes, bring its channel up, announce it, keep it alive.

Decides what others can read of it while it runs: a phase for people (`run/phase`), the addresses of the gateways
once they work, and the copy of the blocks that an audit reads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from bfl_fabric.domain.ports import Clock
from bfl_fabric.network import homes
from bfl_fabric.network.bringup import Site, bring_up
from bfl_fabric.network.native import NativeNetwork, run_files
from bfl_fabric.network.programs import Programs
from bfl_fabric.network.run_files import RunFiles

_log = logging.getLogger(__name__)
READY = "ready"
SERVER = "network"
_POLL_SECONDS = 0.2


def phase_file(files: RunFiles) -> Path:
    """Return the file that says how far the network is; it is not there while nothing runs."""
    return files.directory / "phase"


async def serve(directory: Path, programs: Programs, clock: Clock) -> None:
    """Run a network until cancelled. Raises BflError when it cannot be brought up or kept alive."""
    files = run_files(directory)
    phase = phase_file(files)

    def report(text: str) -> None:
        _log.info("%s", text)
        files.directory.mkdir(parents=True, exist_ok=True)
        phase.write_text(text, "utf-8")

    report("starting")
    try:
        with NativeNetwork(directory, programs, _restarted) as network:
            network.start_all()
            site = Site(directory, network.topology, network.plan, clock)
            await _while_alive(network, bring_up(site, report))
            homes.announce(directory, network.plan)
            report(READY)
            while True:
                network.supervisor.check()
                await asyncio.sleep(_POLL_SECONDS)
                network.refresh()
    finally:
        phase.unlink(missing_ok=True)


async def _while_alive(network: NativeNetwork, work: Coroutine[Any, Any, None]) -> None:
    """Do something; raise at once when a process is lost meanwhile."""
    working = asyncio.create_task(work)
    try:
        while not working.done():
            network.supervisor.check()
            await asyncio.wait([working], timeout=_POLL_SECONDS)
        working.result()
    finally:
        working.cancel()


def _restarted(name: str, code: int) -> None:
    _log.warning("%s ended (%d) and was started again", name, code)
