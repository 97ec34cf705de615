"""How each process of a network is, asked of the process itself.

Decides what counts as well: it runs, its operations port says so, and peers and orderers know how many blocks the
channel has. Showing it is left to the command line.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from bfl_fabric.errors import BflError
from bfl_fabric.fabric.health import health
from bfl_fabric.fabric.peer_channels import channel_info
from bfl_fabric.network.bringup import Site
from bfl_fabric.network.plan import ContractPlan, OrdererPlan, PeerPlan, Process
from bfl_fabric.network.run_files import RunFiles

_SECONDS = 3.0
_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process. `height` is -1 where there is none, `memory_bytes` 0 where it is not known."""

    name: str
    kind: str
    msp_id: str
    address: str
    operations: str
    process_id: int
    state: str
    height: int
    memory_bytes: int


async def collect(site: Site, files: RunFiles, *, heights: bool = True) -> list[ProcessStatus]:
    """Return the status of every process of the plan, in the order in which they are started."""
    return list(await asyncio.gather(*(_status(site, files, item, heights) for item in site.plan.processes)))


async def _status(site: Site, files: RunFiles, process: Process, heights: bool) -> ProcessStatus:
    found = files.find(process.name)
    state = "held down" if files.is_held(process.name) else "not running"
    height = _UNKNOWN
    if found is not None:
        said = await health(str(process.operations))
        state = "healthy" if said.ok else f"unhealthy: {said.reason}"
        if heights and said.ok:
            height = await _height(site, process)
    return ProcessStatus(
        name=process.name,
        kind=_kind(process),
        msp_id=process.msp_id,
        address=str(process.main),
        operations=str(process.operations),
        process_id=0 if found is None else found.process_id,
        state=state,
        height=height,
        memory_bytes=0 if found is None else _memory(found.process_id),
    )


async def _height(site: Site, process: Process) -> int:
    try:
        if isinstance(process, OrdererPlan):
            told = await site.participation(process).info(site.topology.channel)
            return told.height
        if isinstance(process, PeerPlan):
            owner = next(item for item in site.topology.organizations if item.msp_id == process.msp_id)
            async with site.peer_client(owner) as peer:
                info = await asyncio.wait_for(channel_info(peer, site.topology.channel), _SECONDS)
            return info.height
    except (BflError, TimeoutError):
        return _UNKNOWN
    return _UNKNOWN


def _kind(process: Process) -> str:
    names = {OrdererPlan: "orderer", PeerPlan: "peer", ContractPlan: "contract service"}
    return names[type(process)]


def _memory(process_id: int) -> int:
    """Return the resident memory of a process, 0 where /proc does not tell."""
    try:
        pages = int(Path(f"/proc/{process_id}/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * 4096
