"""A whole federation on this machine: its processes started, founded and stopped.

For demonstrations, tests and a first look. Each node is a process of its own and can be killed at any moment.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bfl_fabric.domain.ports import Ledger
from bfl_fabric.errors import BflError, LedgerRefused, LedgerUnavailable
from bfl_fabric.network import directory as directories
from bfl_fabric.network.children import Preload, ProcessSpec
from bfl_fabric.network.supervisor import Supervisor
from bfl_fabric.network.topology import LedgerKind, Topology
from bfl_fabric.sdk.federation import connect_async

READY_SECONDS = 60.0
SERVING = Preload(
    (
        "bfl_fabric.cli.application",
        "bfl_fabric.embedded.server",
        "bfl_fabric.fabric.gateway",
        "bfl_fabric.fabric.gateway_grpc",
        "bfl_fabric.he.provider",
        "bfl_fabric.learning.arithmetic",
        "bfl_fabric.network.directory",
        "bfl_fabric.node",
        "bfl_fabric.roles.aggregator",
        "bfl_fabric.roles.coordinator",
        "bfl_fabric.roles.key_holder",
        "bfl_fabric.roles.memory",
        "bfl_fabric.roles.participant",
        "bfl_fabric.roles.verifier",
        "bfl_fabric.storage.journal",
        "bfl_fabric.transport.client",
        "bfl_fabric.transport.server",
    )
)
"""What every node and the ledger load."""

LEARNING = Preload(("bfl_fabric.training.models", "bfl_fabric.training.trainer"), after=SERVING)
"""What nodes load that have data: torch."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What a node says of itself in its status file."""

    node_id: str
    role: str
    uploaded_bytes: int
    downloaded_bytes: int
    peak_memory_bytes: int


class LocalFederation:
    """The processes of a federation's directory; a context manager that leaves none behind."""

    def __init__(self, place: Path, on_restart: Callable[[str, int], None] | None = None) -> None:
        self.place = place
        self.topology = directories.read_topology(place)
        self._supervisor = Supervisor(on_restart)

    @classmethod
    def create(cls, place: Path, topology: Topology) -> None:
        """Make the directory: key material, genesis block, settings of every node and client."""
        directories.create(place, topology)

    def __enter__(self) -> LocalFederation:
        self._supervisor.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._supervisor.stop()

    def start_all(self) -> list[str]:
        """Start the ledger and every node that has what it needs; participants without data are left to `join`.

        Nodes that are up before the ledger wait for it.
        """
        fabric = self.topology.ledger is LedgerKind.FABRIC
        noun = "network" if fabric else "ledger"
        specs = [self._spec(noun, (noun, "serve", str(self.place)), SERVING)]
        specs += [
            self._spec(path.parent.name, ("node", "run", str(path)), _preload(path.parent))
            for path in directories.runnable_nodes(self.place)
        ]
        for organization in self.topology.organizations:
            self._address_file(organization.msp_id).unlink(missing_ok=True)
        self._supervisor.start(specs)
        return [spec.name for spec in specs]

    async def ledger_ready(self) -> None:
        """Return when the ledger answers. Raises BflError when it does not within a minute."""
        deadline = time.monotonic() + READY_SECONDS
        founder = self.topology.organizations[0].msp_id
        while not self._address_file(founder).exists():
            await self._pause(deadline, "has not announced its address")
        admin = directories.admin_client(self.topology, founder)
        async with connect_async(self.place, admin) as federation:
            while not await _answers(federation.ledger):
                await self._pause(deadline, "does not answer")

    def _address_file(self, msp_id: str) -> Path:
        return directories.ledger_address_file(self.place, self.topology, msp_id)

    async def _pause(self, deadline: float, problem: str) -> None:
        self._supervisor.check()
        if time.monotonic() > deadline:
            raise BflError(
                f"the ledger {problem} after {READY_SECONDS:.0f} s; see the logs in {self.place / 'logs'}"
            )
        await asyncio.sleep(0.05)

    async def found(self, endowment: int) -> None:
        """Write the federation, its participants and each organization's endowment to the ledger, once."""
        topology = self.topology
        first = topology.organizations[0]
        async with connect_async(self.place, directories.admin_client(topology, first.msp_id)) as federation:
            try:
                await federation.submit(
                    "federation:Found",
                    {
                        "federation_id": topology.federation_id,
                        "name": topology.name,
                        "organizations": [
                            {"msp_id": item.msp_id, "name": item.name, "region": item.region}
                            for item in topology.organizations
                        ],
                    },
                )
            except LedgerRefused:
                await federation.evaluate("federation:GetFederation")
                return
        for organization in topology.organizations:
            async with connect_async(
                self.place, directories.admin_client(topology, organization.msp_id)
            ) as federation:
                for participant in organization.participants:
                    await federation.submit("federation:EnrolParticipant", {"participant_id": participant})
                if endowment:
                    request = {"msp_id": organization.msp_id, "amount": endowment, "reference": "endowment"}
                    await federation.submit("reward:Mint", request)  # type: ignore[arg-type]

    def check(self) -> None:
        """Raise when a process could not be kept alive."""
        self._supervisor.check()

    def kill(self, name: str) -> None:
        """Kill one process with -9; it is started again at once."""
        self._supervisor.kill(name)

    def hold(self, name: str) -> None:
        """Kill one process with -9 and keep it down until `release`."""
        self._supervisor.hold(name)

    def release(self, name: str) -> None:
        """Start a process again that was held down."""
        self._supervisor.release(name)

    def process_ids(self) -> dict[str, int]:
        return self._supervisor.process_ids()

    def statuses(self) -> list[NodeStatus]:
        """Return what the nodes last wrote about themselves."""
        found = []
        for path in sorted(directories.nodes_directory(self.place).glob("*/status.json")):
            try:
                found.append(NodeStatus(**json.loads(path.read_text("utf-8"))))
            except (OSError, ValueError, TypeError):
                continue
        return found

    def _spec(self, name: str, arguments: tuple[str, ...], preload: Preload) -> ProcessSpec:
        log = self.place / "logs" / f"{name}.log"
        return ProcessSpec(name, (*arguments, "--stop-with-parent"), log, preload=preload)


def _preload(home: Path) -> Preload:
    """Return what a node loads: silos train, and a coordinator with a held-out set measures models."""
    has_data = any((home / name).exists() for name in (directories.SHARE, directories.HOLDOUT))
    return LEARNING if has_data else SERVING


async def _answers(ledger: Ledger) -> bool:
    try:
        await ledger.evaluate("federation:WhoAmI", {})
    except LedgerRefused:
        return True
    except LedgerUnavailable:
        return False
    return True
