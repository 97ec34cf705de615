"""One process of a federation: a node with its role, or the embedded ledger.

A node serves blobs and uploads, announces its address, reconciles, and writes a status file for whoever watches.
It stops within seconds of SIGTERM or SIGINT, and loses nothing when it is killed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bfl_chaincode.api.records import NodeRole
from bfl_fabric import config, wiring
from bfl_fabric.clock import SystemClock
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.network.supervisor import stop_with_parent
from bfl_fabric.roles.actions import Role
from bfl_fabric.roles.admission import NodeAdmission
from bfl_fabric.roles.announcement import AnnouncementRole
from bfl_fabric.roles.fetching import Fetcher
from bfl_fabric.roles.initial_model import CoordinatorAdmission
from bfl_fabric.roles.loop import LoopTerms, ReconcilerLoop, run_all, run_until
from bfl_fabric.roles.proofs import KeyHolderAdmission
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.receipts import ON_THEIR_WAY_SECONDS, ReceiptDesk
from bfl_fabric.roles.schemes import TaskSchemes, UploadChecks
from bfl_fabric.roles.workbench import Workbench
from bfl_fabric.storage.blobs import FileBlobStore

if TYPE_CHECKING:
    from bfl_fabric.transport.client import TransferClient

_log = logging.getLogger(__name__)
STATUS_SECONDS = 0.25
ADMISSIONS: dict[NodeRole, type[NodeAdmission]] = {
    NodeRole.COORDINATOR: CoordinatorAdmission,
    NodeRole.KEY_HOLDER: KeyHolderAdmission,
}
# ru_maxrss counts kibibytes on Linux, bytes on macOS.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@asynccontextmanager
async def until_stopped() -> AsyncIterator[asyncio.Event]:
    """Yield an event that SIGTERM and SIGINT set."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def run_node(settings: config.NodeSettings, *, with_parent: bool = False) -> None:
    """Run a node until it is stopped."""
    await _run_until_stopped(_node(settings), with_parent)


async def run_ledger(place: Path, listen: str | None, *, with_parent: bool = False) -> None:
    """Serve the embedded ledger of a federation's directory until it is stopped; makes it at the first start."""
    await _run_until_stopped(_ledger(place, listen), with_parent)


async def run_network(place: Path, version: str, *, with_parent: bool = False) -> None:
    """Run the Fabric network of a federation's directory until it is stopped; brings it up at the first start."""
    from bfl_fabric.network.programs import find_programs
    from bfl_fabric.network.serving import serve

    programs = find_programs(version)
    await _run_until_stopped(serve(place, programs, SystemClock()), with_parent)


async def _run_until_stopped(work: Coroutine[Any, Any, None], with_parent: bool) -> None:
    async with until_stopped() as stopped:
        if with_parent:
            loop = asyncio.get_running_loop()
            stop_with_parent(lambda: loop.call_soon_threadsafe(stopped.set))
        working = asyncio.create_task(work)
        waiting = asyncio.create_task(stopped.wait())
        await asyncio.wait([working, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if working.done():
            working.result()
        else:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


async def _ledger(place: Path, listen: str | None) -> None:
    from bfl_fabric.embedded.server import serve

    directory, network, tls = wiring.embedded_ledger(place)
    address = directory / "address"
    wanted = listen or (address.read_text("ascii").strip() if address.exists() else "127.0.0.1:0")

    def announce(bound: str) -> None:
        write_aside(address, bound)

    try:
        await serve(directory, network, tls, wanted, announce)
    except ConfigurationError:
        if listen is not None or wanted.endswith(":0") or _is_free(wanted):
            raise
        _log.warning("the last port %s is taken by another program; taking a free one", wanted)
        await serve(directory, network, tls, "127.0.0.1:0", announce)


def _is_free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
    return True


async def _node(settings: config.NodeSettings) -> None:
    await _ledger_announced(settings.ledger)
    async with AsyncExitStack() as stack:
        actor = wiring.Actor(settings.node_id, settings.ledger, settings.identity, settings.storage)
        bench, channel = await wiring.workbench(actor, stack)
        schemes = TaskSchemes(bench, Fetcher(bench, LedgerReader(bench.ports.ledger)))
        checks = UploadChecks(bench, schemes)
        terms = LoopTerms(poll_seconds=settings.poll_seconds)
        role, loops = _role(settings, bench, checks, schemes), []
        if settings.role is not NodeRole.PARTICIPANT:
            announcement = AnnouncementRole(
                bench, settings.role, await _serve(settings, bench, checks, stack)
            )
            loops.append(run_until(announcement.announced(), _loop(announcement, bench, terms)))
        loops.append(_loop(role, bench, terms))
        _log.info("%s runs as %s", settings.node_id, settings.role)
        await run_all(*loops, _report(settings, channel))


def _loop(role: Role, bench: Workbench, terms: LoopTerms) -> Coroutine[Any, Any, None]:
    return ReconcilerLoop(role, bench.ports.ledger, bench.ports.clock, terms, wiring.logged).run()


async def _ledger_announced(settings: config.LedgerSettings) -> None:
    """Wait until a ledger on this machine has written its address; one elsewhere has a fixed one."""
    waited = settings.address_file
    while settings.address is None and waited is not None and not waited.exists():
        _log.info("waiting for the ledger to announce itself in %s", waited)
        await asyncio.sleep(STATUS_SECONDS)


async def _serve(
    settings: config.NodeSettings, bench: Workbench, checks: UploadChecks, stack: AsyncExitStack
) -> str:
    """Start the node's server, on its last port if that is free; return the address."""
    from bfl_fabric.transport.server import TransferServer

    blobs = FileBlobStore(settings.storage)
    admission = ADMISSIONS.get(settings.role, NodeAdmission)(bench, checks, settings.role)
    server = TransferServer(blobs, admission, wiring.credentials(settings.ledger, settings.identity))
    stack.push_async_callback(server.stop)
    return await start_on_last_port(server.start, settings.listen, settings.storage / "address")


async def start_on_last_port(start: Callable[[str], Awaitable[str]], listen: str, remembered: Path) -> str:
    """Start a server at `listen`; with port 0 prefer the port of the last run, so that others find it again."""
    if listen.endswith(":0") and remembered.exists():
        try:
            address = await start(remembered.read_text("ascii").strip())
        except ConfigurationError:
            address = await start(listen)
    else:
        address = await start(listen)
    write_aside(remembered, address)
    return address


def write_aside(path: Path, text: str) -> None:
    """Replace a small file as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    aside.write_text(text, "utf-8")
    aside.replace(path)


def _receipts(bench: Workbench) -> ReceiptDesk:
    return ReceiptDesk(bench, ON_THEIR_WAY_SECONDS)


def _role(
    settings: config.NodeSettings, bench: Workbench, checks: UploadChecks, schemes: TaskSchemes
) -> Role:
    match settings.role:
        case NodeRole.AGGREGATOR:
            from bfl_fabric.roles.aggregator import AggregatorRole

            return AggregatorRole(bench, checks, schemes, _receipts(bench))
        case NodeRole.VERIFIER:
            from bfl_fabric.roles.verifier import VerifierRole

            return VerifierRole(bench, checks, schemes, _receipts(bench))
        case NodeRole.KEY_HOLDER:
            from bfl_fabric.roles.key_holder import KeyHolderRole

            return KeyHolderRole(bench, schemes, wiring.key_folder(settings.storage), settings.key_seconds)
        case NodeRole.COORDINATOR:
            from bfl_fabric.roles.coordinator import CoordinatorRole, Patience

            return CoordinatorRole(bench, wiring.evaluator(settings.evaluation), Patience())
        case NodeRole.PARTICIPANT:
            return _participant(settings, bench)
        case _:
            raise ConfigurationError(f"{settings.role} is no role of a node; auditors use `bfl audit`")


def _participant(settings: config.NodeSettings, bench: Workbench) -> Role:
    from bfl_fabric.roles.participant import ParticipantRole

    if settings.training is None:
        raise ConfigurationError(
            f"{settings.node_id} has no [training] section, so it has nothing to train on; name its share of the "
            "data there, or run the silo from your own code with the SDK's `join`"
        )
    architecture = settings.training.architecture
    trainer = wiring.trainer(settings.node_id, settings.training)
    keys = wiring.key_folder(settings.storage)
    return ParticipantRole(
        bench, trainer, lambda spec: spec.model.architecture == architecture, keys, joins=True
    )


async def _report(settings: config.NodeSettings, channel: TransferClient) -> None:
    """Write what the node has moved and used, whenever it changed."""
    written = ""
    while True:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
        status = {
            "node_id": settings.node_id,
            "role": settings.role.value,
            "uploaded_bytes": channel.stats.uploaded_bytes,
            "downloaded_bytes": channel.stats.downloaded_bytes,
            "peak_memory_bytes": peak,
        }
        if (text := json.dumps(status)) != written:
            write_aside(settings.storage / "status.json", text)
            written = text
        await asyncio.sleep(STATUS_SECONDS)
