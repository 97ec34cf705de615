"""`bfl doctor`: is this machine, and is this federation, in order; and if not, what to do."""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bfl_fabric.cli.connection import DEMO, Place
from bfl_fabric.cli.output import JsonFlag, console, print_json
from bfl_fabric.errors import BflError, ConfigurationError
from bfl_fabric.network.operations.findings import Finding

PINNED = {"tenseal": "0.3.18", "fabric-chaincode-python": "2.5.4"}
NEEDED_DISK_BYTES = 1 << 30
SOON_DAYS = 30
NETWORK = Path("bfl-network")


def doctor(
    place: Place = None,
    as_json: JsonFlag = False,
    days: Annotated[
        int, typer.Option(help="Warn about certificates that expire within so many days.")
    ] = SOON_DAYS,
) -> None:
    """Check this machine and, where there is one, a federation or a network; exit code 2 when something is wrong.

    Without --federation it looks at the last demo here, or else at the network that `bfl network up` made here.

    Example: bfl doctor --federation my-federation
    """
    findings = [check() for check in (_python, *(_package(name) for name in PINNED), _disk, _clock)]
    directory = place or next((path.resolve() for path in (DEMO / "latest", NETWORK) if path.exists()), None)
    if directory is not None:
        findings += _network(directory, days) if _is_network(directory) else _certificates(directory, days)
        findings += _nodes(directory)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            sign = "[green]✓[/]" if finding.ok else "[red]✗[/]"
            console.print(f"{sign} {finding.what}: {finding.found}", soft_wrap=True)
            if not finding.ok:
                console.print(f"  → {finding.advice}", soft_wrap=True)
    bad = sum(not finding.ok for finding in findings)
    if bad:
        raise ConfigurationError(f"{bad} of {len(findings)} checks are not in order")


def _python() -> Finding:
    version = platform.python_version()
    ok = (3, 11) <= sys.version_info[:2] <= (3, 14)
    return Finding("Python", ok, version, "use Python 3.11 to 3.14; TenSEAL has wheels for these")


def _package(name: str) -> Callable[[], Finding]:
    def check() -> Finding:
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "not installed"
        return Finding(
            name, found == PINNED[name], found, f"install exactly {PINNED[name]}: run `make install`"
        )

    return check


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    return Finding("free disk", free > NEEDED_DISK_BYTES, f"{free / 1e9:.1f} GB", "free at least 1 GB")


def _clock() -> Finding:
    year = time.gmtime().tm_year
    return Finding(
        "clock",
        2025 <= year < 2100,
        time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "set the clock; transactions more than 15 minutes off are refused",
    )


def _is_network(place: Path) -> bool:
    """Say whether there is a Fabric network in a federation's directory."""
    from bfl_fabric.network.directory import TOPOLOGY, read_topology
    from bfl_fabric.network.topology import LedgerKind

    return (place / TOPOLOGY).exists() and read_topology(place).ledger is LedgerKind.FABRIC


def _network(place: Path, days: int) -> list[Finding]:
    from bfl_fabric.clock import SystemClock
    from bfl_fabric.network.operations.checkup import check_up

    return asyncio.run(check_up(place, SystemClock(), days))


def _certificates(place: Path, days: int) -> list[Finding]:
    from bfl_fabric.wiring import certificate_ends

    findings = []
    soon = time.time() + days * 86400
    for name, ends_at in certificate_ends(place):
        if ends_at < soon:
            when = time.strftime("%Y-%m-%d", time.gmtime(ends_at))
            findings.append(
                Finding(f"certificate {name}", False, f"ends {when}", "issue a new one for this identity")
            )
    if not findings:
        findings.append(Finding("certificates", True, f"none ends within {days} days"))
    return findings


def _nodes(place: Path) -> list[Finding]:
    """Look at the nodes that the ledger has announced."""
    try:
        return asyncio.run(asyncio.wait_for(_running(place), 15))
    except (BflError, TimeoutError) as error:
        advice = f"start it with `bfl federation up {place}`"
        return [Finding("ledger", False, str(error) or "no answer within 15 s", advice)]


async def _running(place: Path) -> list[Finding]:
    from bfl_fabric.sdk import connect_async

    async with connect_async(place) as federation:
        nodes = await federation.nodes()
        found = [Finding("ledger", True, f"answers; {len(nodes)} nodes announced")]
        for node in nodes:
            host, _, port = node.address.rpartition(":")
            try:
                _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), 2)
                writer.close()
                found.append(Finding(f"{node.role.value} {node.node_id}", True, f"listens on {node.address}"))
            except (OSError, TimeoutError):
                advice = f"start the node; its log is in {place / 'logs'}"
                found.append(
                    Finding(f"{node.role.value} {node.node_id}", False, f"{node.address} is closed", advice)
                )
        return found
