"""A real network that a server process of ours keeps alive, as `bfl network up` starts it, and questions to it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from bfl_fabric.clock import SystemClock
from bfl_fabric.errors import CommitFailed
from bfl_fabric.fabric.blocks import parse_block
from bfl_fabric.fabric.envelopes import ValidationCode, parse_envelope
from bfl_fabric.fabric.identity import Identity
from bfl_fabric.fabric.peer_channels import channel_info
from bfl_fabric.fabric.verifier import ChainVerifier
from bfl_fabric.network import directory as directories
from bfl_fabric.network.bringup import Site
from bfl_fabric.network.control import tail
from bfl_fabric.network.native import log_file, run_files
from bfl_fabric.network.operations import contract
from bfl_fabric.network.operations.sites import open_site
from bfl_fabric.network.serving import READY, SERVER, phase_file
from bfl_fabric.network.topology import OrganizationPlan, Topology

CLOCK = SystemClock()
T = TypeVar("T")
READY_SECONDS = 150.0
LAKESIDE = OrganizationPlan(
    slug="lakeside",
    msp_id="Lakeside",
    name="Lakeside General Hospital",
    region="eu-central",
    participants=("lakeside-oncology",),
)


class Crash(Exception):
    """Stands for the end of the operator's process."""


def quiet(_text: str) -> None:
    """Takes what an operation reports."""


async def until_done(operation: Callable[[Callable[[str], None]], Awaitable[T]]) -> tuple[T, int]:
    """Crash an operation at the beginning of each of its steps, once, until a run gets through.

    Each run starts on what the one before left. Return what the last one returned, and how often it crashed.
    """
    begun: set[str] = set()

    def report(step: str) -> None:
        if step not in begun:
            begun.add(step)
            raise Crash(step)

    while True:
        try:
            return await operation(report), len(begun)
        except Crash:
            assert len(begun) < 40, "it never gets through"


@contextmanager
def served(place: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Serve a network in a process of its own until the end of the block; it is brought up when the block begins."""
    phase, log = phase_file(run_files(place)), log_file(place, SERVER)
    log.parent.mkdir(parents=True, exist_ok=True)
    phase.unlink(missing_ok=True)
    command = [sys.executable, "-m", "bfl_fabric", "network", "serve", str(place), "--fabric", "3.1"]
    with log.open("ab") as output:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    run_files(place).write(SERVER, server.pid)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not (phase.exists() and phase.read_text("utf-8") == READY):
            assert server.poll() is None, tail(log)
            assert time.monotonic() < deadline, tail(log)
            time.sleep(0.1)
        yield server
    finally:
        server.terminate()
        server.wait(60)
        run_files(place).remove(SERVER)
        left = [item.name for item in run_files(place).running()]
        assert left == []


@contextmanager
def network(place: Path, topology: Topology) -> Iterator[Path]:
    """Make a network in a new directory and serve it."""
    directories.create(place, topology)
    with served(place):
        yield place


def site(place: Path) -> Site:
    return open_site(place, CLOCK)


def found(place: Path) -> None:
    """Found the federation of the topology."""
    here = site(place)
    members = [
        {"msp_id": item.msp_id, "name": item.name, "region": item.region}
        for item in here.topology.organizations
    ]
    request: dict[str, Any] = {
        "federation_id": here.topology.federation_id,
        "name": here.topology.name,
        "organizations": members,
    }
    asyncio.run(contract.submit(here, here.topology.organizations[0], "federation:Found", request))


def transact(place: Path, msp_id: str | None = None) -> Any:
    """Submit a transaction as an organization's administrator, through its own gateway; return the answer."""
    here = site(place)
    who = next(item for item in here.topology.organizations if msp_id in (None, item.msp_id))
    request: dict[str, Any] = {"msp_id": who.msp_id, "amount": 1, "reference": "operating"}
    return asyncio.run(contract.submit(here, who, "reward:Mint", request))


def heights(place: Path) -> dict[str, int]:
    """Return how many blocks each organization's peer has."""
    here = site(place)

    async def ask() -> dict[str, int]:
        known = {}
        for item in here.topology.organizations:
            async with here.peer_client(item) as peer:
                known[item.msp_id] = (await channel_info(peer, here.topology.channel)).height
        return known

    return asyncio.run(ask())


def verify_every_chain(place: Path, *, but: tuple[str, ...] = ()) -> dict[str, int]:
    """Read every organization's peer from block 0 and verify it all; return how many blocks each has."""
    here = site(place)
    digest = directories.genesis_digest(place)

    async def chain(item: OrganizationPlan) -> int:
        verifier = ChainVerifier(digest)
        async with contract.administrator_ledger(here, item) as ledger:
            newest = await ledger.newest_block()
            async for block in ledger.blocks(0, newest):
                verifier.feed(block)
        return verifier.height

    return {
        item.msp_id: asyncio.run(chain(item))
        for item in here.topology.organizations
        if item.msp_id not in but
    }


def endorsers_of_last(place: Path, msp_id: str) -> set[str]:
    """Return the organizations whose peers endorsed the newest transaction of the contract, as a peer has it."""
    here = site(place)
    who = next(item for item in here.topology.organizations if item.msp_id == msp_id)

    async def ask() -> set[str]:
        async with contract.administrator_ledger(here, who) as ledger:
            newest = await ledger.newest_block()
            async for raw in ledger.blocks(newest, newest):
                endorsed = parse_envelope(parse_block(raw).entries[-1]).endorsed()
                return {Identity.parse(item.endorser).msp_id for item in endorsed.endorsements}
        raise AssertionError("no block")

    return asyncio.run(ask())


class Writer:
    """Submits through one organization's gateway again and again in a thread, and counts what was acknowledged.

    A transaction that was endorsed by a majority of three and ordered when a majority of four was due is invalid and
    changed nothing; `invalid` counts those.
    """

    def __init__(self, place: Path, msp_id: str) -> None:
        self.place, self.msp_id = place, msp_id
        self.acknowledged = self.invalid = 0
        self.longest_seconds = 0.0
        self.failure: BaseException | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(120)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        here = site(self.place)
        who = next(item for item in here.topology.organizations if item.msp_id == self.msp_id)

        async def write() -> None:
            async with contract.administrator_ledger(here, who) as ledger:
                while not self._stopping.is_set():
                    started = time.monotonic()
                    request: dict[str, Any] = {"msp_id": self.msp_id, "amount": 1, "reference": "meanwhile"}
                    try:
                        await ledger.submit("reward:Mint", request)
                    except CommitFailed as failed:
                        if failed.validation_code != ValidationCode.ENDORSEMENT_POLICY_FAILURE:
                            raise
                        self.invalid += 1
                        continue
                    self.longest_seconds = max(self.longest_seconds, time.monotonic() - started)
                    self.acknowledged += 1

        try:
            asyncio.run(write())
        except BaseException as error:
            self.failure = error
