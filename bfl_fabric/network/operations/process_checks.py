"""Check-up of single processes: does it run, does it listen where the plan says, how is it, which version, what time.

Decides from what each process answers at its own ports. Whether a port's listener is the process that was noted is
not looked at; that it answers as one of ours is.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

from bfl_fabric.fabric.health import health
from bfl_fabric.fabric.trust import Endpoint
from bfl_fabric.network.bringup import Site
from bfl_fabric.network.operations.findings import Finding
from bfl_fabric.network.operations.processes import listens
from bfl_fabric.network.plan import ContractPlan, OrdererPlan, Process
from bfl_fabric.network.programs import program_version
from bfl_fabric.network.run_files import RunFiles

SKEW_SECONDS = 30.0
_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a process says of itself at its operations port; empty or None where it says nothing."""

    name: str
    version: str
    program: str
    skew_seconds: float | None


async def check_processes(site: Site, files: RunFiles) -> list[Finding]:
    """Return a finding for each process, then for versions and clocks of those that run."""
    findings = list(await asyncio.gather(*(_process(site, files, item) for item in site.plan.processes)))
    running = [
        item
        for item in site.plan.processes
        if not isinstance(item, ContractPlan) and files.find(item.name) is not None
    ]
    seen = await asyncio.gather(*(asyncio.to_thread(_see, item, files) for item in running))
    return [*findings, *versions(seen), *clocks(seen)]


async def _process(site: Site, files: RunFiles, process: Process) -> Finding:
    ports = [process.main, process.operations]
    if isinstance(process, OrdererPlan):
        ports.append(process.admin)
    is_open = [await listens(port) for port in ports]
    running = files.find(process.name) is not None
    if not running:
        return _stopped(process, files, [port for port, there in zip(ports, is_open, strict=True) if there])
    closed = [port for port, there in zip(ports, is_open, strict=True) if not there]
    log = f"its log: `bfl network logs {process.name}`"
    if closed:
        return Finding(process.name, False, f"runs, but nobody listens on {closed[0]}", log)
    state = await health(str(process.operations))
    told = f"runs, listens on {', '.join(map(str, ports))}"
    if not state.ok:
        return Finding(process.name, False, f"{told}, is not well: {state.reason}", log)
    return Finding(process.name, True, f"{told}, is well")


def _stopped(process: Process, files: RunFiles, taken: Sequence[Endpoint]) -> Finding:
    if taken:
        advice = f"end the program that holds {taken[0]}, or make the network in another directory"
        return Finding(
            process.name, False, f"does not run, and another program listens on {taken[0]}", advice
        )
    if files.is_held(process.name):
        advice = f"`bfl network restart {process.name}`"
        return Finding(process.name, False, "is held down; its ports are free", advice)
    return Finding(process.name, False, "does not run; its ports are free", "start it with `bfl network up`")


def versions(seen: Sequence[Seen]) -> list[Finding]:
    """Compare what runs with each other and with the programs on disk."""
    told = sorted({item.version for item in seen if item.version})
    if not seen:
        return []
    silent = [item.name for item in seen if not item.version]
    if silent:
        return [
            Finding("Fabric's version", False, f"{', '.join(silent)} does not tell it", "look at its log")
        ]
    if len(told) > 1:
        names = ", ".join(f"{item.name} {item.version}" for item in seen)
        advice = "restart the older ones with `bfl network restart NAME`"
        return [Finding("Fabric's version", False, names, advice)]
    for item in seen:
        if item.program not in ("", "unknown", item.version):
            advice = f"`bfl network restart {item.name}` runs what is installed now"
            found = f"{item.name} runs {item.version}, its program on disk is {item.program}"
            return [Finding("Fabric's version", False, found, advice)]
    return [Finding("Fabric's version", True, f"{told[0]}, of {len(seen)} peers and orderers")]


def clocks(seen: Sequence[Seen]) -> list[Finding]:
    """Compare the clocks of peers and orderers with this machine's."""
    known = [item for item in seen if item.skew_seconds is not None]
    if not known:
        return []
    worst = max(known, key=lambda item: abs(item.skew_seconds or 0.0))
    skew = abs(worst.skew_seconds or 0.0)
    return [
        Finding(
            "clocks",
            skew <= SKEW_SECONDS,
            f"{len(known)} peers and orderers within {skew:.0f} s of this machine's; the furthest is {worst.name}",
            "set the clocks (NTP): transactions more than 15 minutes off are refused",
        )
    ]


def _see(process: Process, files: RunFiles) -> Seen:
    version, skew = _ask(process.operations)
    return Seen(process.name, version, _program(process, files), skew)


def _ask(endpoint: Endpoint) -> tuple[str, float | None]:
    """Return the version that a process tells, and how far its clock is off; dates have whole seconds."""
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=_SECONDS)
    try:
        connection.request("GET", "/version")
        response = connection.getresponse()
        date, body = response.getheader("Date"), response.read(1 << 16)
        skew = None if date is None else parsedate_to_datetime(date).timestamp() - time.time()
        return str(json.loads(body).get("Version", "")).removeprefix("v"), skew
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        return "", None
    finally:
        connection.close()


def _program(process: Process, files: RunFiles) -> str:
    """Return the version of the program file that a process was started from, "" where it is not to be had."""
    running = files.find(process.name)
    if running is None:
        return ""
    try:
        path = Path(os.readlink(f"/proc/{running.process_id}/exe"))
    except OSError:
        return ""
    return program_version(path) if path.is_file() else ""
