"""A real network with the faulty contract, and what must be true of it whatever was done to it."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

from bfl_fabric.audit.compare import compare
from bfl_fabric.errors import LedgerError
from bfl_fabric.fabric.gateway_transport import GatewayFailure
from bfl_fabric.fabric.peer_channels import channel_info
from bfl_fabric.fabric.verifier import ChainVerifier
from bfl_fabric.network import control
from bfl_fabric.network import directory as directories
from bfl_fabric.network.native import run_files
from bfl_fabric.network.programs import Programs
from bfl_fabric.network.topology import OrganizationPlan
from tests.conformance.fabric_channel import FabricChannel
from tests.conformance.federation import CHANNEL, MSP_IDS
from tests.conformance.probe import Call, LoopThread, Probe
from tests.fabric.load import Load

START_SECONDS = 120.0
SERVICE = "tests.fabric.faulty_service"
READ_AT_ONCE = 400
DOWN = -1


class RunningNetwork:
    """A context manager; `probe` is a client of all three gateways."""

    def __init__(
        self,
        directory: Path,
        programs: Programs,
        consensus: str,
    ) -> None:
        self.channel = FabricChannel(directory, programs, consensus)
        self.network = self.channel.network
        self.network.service = SERVICE
        self.loop = LoopThread()

    def __enter__(self) -> RunningNetwork:
        self.loop.run(self.channel.start(), START_SECONDS)
        self.probe = Probe(self.channel, self.loop)
        return self

    def __exit__(self, *_: object) -> None:
        self.probe.close()
        self.loop.run(self.channel.stop(), START_SECONDS)
        self.loop.close()

    # --- faults -----------------------------------------------------------------------------------

    async def kill(self, *names: str) -> None:
        """End processes with SIGKILL; they stay down."""
        await asyncio.gather(
            *(asyncio.to_thread(control.kill, self.network.directory, name) for name in names)
        )

    async def restart(self, *names: str) -> None:
        """Start processes again that were killed, on the same directories."""
        files = run_files(self.network.directory)
        for name in names:
            files.release(name)
        await asyncio.to_thread(_wait_for, lambda: all(files.find(name) for name in names))

    def bft_leader(self) -> str:
        """Return the orderer that most orderers take for the leader."""
        orderers = self.network.plan.orderers
        votes = [_metric(item.operations.host, item.operations.port) for item in orderers]
        number = max(set(votes), key=votes.count)
        return next(item.name for item in orderers if item.number == number)

    # --- afterwards -------------------------------------------------------------------------------

    async def all_caught_up(self, seconds: float = 60.0) -> None:
        """Return when all peers have the same height and answer through their gateways again."""
        end = time.monotonic() + seconds
        while len(heights := set(await self._heights())) > 1 or heights == {DOWN}:
            assert time.monotonic() < end, heights
            await asyncio.sleep(0.2)
        for number, msp_id in enumerate(MSP_IDS):
            call = Call("echo", organization=number, organizations=[msp_id])
            while not await self._answers(call):
                assert time.monotonic() < end, msp_id
                await asyncio.sleep(0.2)

    async def _answers(self, call: Call) -> bool:
        try:
            await self.probe.evaluating(call)
        except GatewayFailure:
            return False
        return True

    async def _heights(self) -> list[int]:
        return list(await asyncio.gather(*map(self._height, self.network.topology.organizations)))

    async def _height(self, organization: OrganizationPlan) -> int:
        async with self.network.site.peer_client(organization) as peer:
            try:
                return (await channel_info(peer, CHANNEL)).height
            except LedgerError:
                return DOWN

    async def missing(self, load: Load) -> dict[str, list[str]]:
        """Return the acknowledged keys that a peer does not have with their value, by organization."""
        keys = list(load.acknowledged)
        lost: dict[str, list[str]] = {msp_id: [] for msp_id in MSP_IDS}
        for number, msp_id in enumerate(MSP_IDS):
            for start in range(0, len(keys), READ_AT_ONCE):
                asked = keys[start : start + READ_AT_ONCE]
                call = Call("multiple", tuple(asked), organization=number, organizations=[msp_id])
                values = json.loads(await self.probe.evaluating(call))
                lost[msp_id] += [
                    key for key, value in zip(asked, values, strict=True) if value != load.acknowledged[key]
                ]
        return lost

    def verified_blocks(self) -> int:
        """Verify the chain of one peer, hold the others against it, and return how many blocks there are."""
        digest = directories.genesis_digest(self.network.directory)
        copies = {msp_id: self.probe.blocks(number) for number, msp_id in enumerate(MSP_IDS)}
        verified = len(list(ChainVerifier(digest).verify(copies[MSP_IDS[0]])))
        comparison = compare(copies)
        assert comparison.agreed, [str(one) for one in comparison.differences]
        assert comparison.compared == verified
        return verified


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _metric(host: str, port: int) -> int:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except OSError:
        return 0
    finally:
        connection.close()
    found = re.search(r"^consensus_BFT_leader_id\{[^}]*\} (\d+)", text, re.MULTILINE)
    return int(found.group(1)) if found else 0
