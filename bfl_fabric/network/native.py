"""A Fabric network as native processes on this machine: `peer`, `orderer` and the contract services, supervised.

Decides how each program is started, from the plan and the homes. Bringing the channel up is left to `bringup`,
keeping processes alive to `supervisor`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bfl_fabric.network import homes
from bfl_fabric.network.children import ProcessSpec
from bfl_fabric.network.directory import read_topology
from bfl_fabric.network.plan import ContractPlan, OrdererPlan, PeerPlan, Process
from bfl_fabric.network.program_settings import PEER_FILE, fit_peer_yaml
from bfl_fabric.network.programs import Programs, program_version
from bfl_fabric.network.run_files import RunFiles
from bfl_fabric.network.supervisor import Supervisor

LOG_LEVEL = "warning"


def run_files(directory: Path) -> RunFiles:
    """Return the run directory of a network."""
    return RunFiles(homes.fabric_directory(directory) / "run")


def log_file(directory: Path, name: str) -> Path:
    return directory / "logs" / f"{name}.log"


class NativeNetwork:
    """The processes of a Fabric network; a context manager that leaves none behind."""

    def __init__(
        self, directory: Path, programs: Programs, on_restart: Callable[[str, int], None] | None = None
    ) -> None:
        """Take a directory made for Fabric. Raises ConfigurationError when it is none."""
        self.directory = directory.resolve()
        self.topology = read_topology(directory)
        self.plan = homes.read_plan(directory)
        self.programs = programs
        self._version = program_version(programs.path("peer"))
        self.supervisor = Supervisor(on_restart, run_files(self.directory))

    def __enter__(self) -> NativeNetwork:
        self.supervisor.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.stop()

    def start_all(self) -> None:
        """Start every process that is not running; those that were held down are released."""
        files = run_files(self.directory)
        for name in self.plan.names():
            files.release(name)
        self._start(self.plan.names())

    def _start(self, names: Sequence[str]) -> None:
        for item in self.plan.processes:
            if item.name in names:
                self.supervisor.start([self._specification(item)])

    def refresh(self) -> None:
        """Read the plan again: start what is new in it, stop what is no longer in it."""
        before, self.plan = self.plan, homes.read_plan(self.directory)
        self.topology = read_topology(self.directory)
        for name in sorted(set(before.names()) - set(self.plan.names())):
            self.supervisor.remove(name)
        self._start(sorted(set(self.plan.names()) - set(before.names())))

    def _specification(self, process: Process) -> ProcessSpec:
        if isinstance(process, OrdererPlan):
            return self._orderer(process)
        return self._peer(process) if isinstance(process, PeerPlan) else self._contract(process)

    def _orderer(self, orderer: OrdererPlan) -> ProcessSpec:
        return self._program(orderer, "orderer", ())

    def _peer(self, peer: PeerPlan) -> ProcessSpec:
        settings = homes.home_of(self.directory, peer) / PEER_FILE
        text = settings.read_text("utf-8")
        fitting = fit_peer_yaml(text, self._version)
        if fitting != text:
            settings.write_text(fitting, "utf-8")
        return self._program(peer, "peer", ("node", "start"))

    def _program(
        self, process: OrdererPlan | PeerPlan, program: str, arguments: tuple[str, ...]
    ) -> ProcessSpec:
        home = homes.home_of(self.directory, process)
        return ProcessSpec(
            process.name,
            arguments,
            log_file(self.directory, process.name),
            program=self.programs.path(program),
            directory=home,
            # Its working directory: in a whole path the programs would take "$" for the name of a variable.
            environment={"FABRIC_CFG_PATH": ".", "FABRIC_LOGGING_SPEC": LOG_LEVEL},
        )

    def _contract(self, contract: ContractPlan) -> ProcessSpec:
        home = homes.home_of(self.directory, contract)
        return ProcessSpec(
            contract.name,
            ("-m", "bfl_chaincode"),
            log_file(self.directory, contract.name),
            program=Path(sys.executable),
            directory=home,
            environment=contract_environment(contract, contract.main.host)
            | {"CHAINCODE_STOP_WITH_STDIN": "true"},
        )


def contract_environment(contract: ContractPlan, listen: str) -> dict[str, str]:
    """Return the settings of a contract service; paths are relative to its home, its working directory."""
    return {
        "CHAINCODE_ID_FILE": homes.PACKAGE_ID,
        "CHAINCODE_SERVER_ADDRESS": f"{listen}:{contract.main.port}",
        "CHAINCODE_TLS_KEY_FILE": "server-key.pem",
        "CHAINCODE_TLS_CERT_FILE": "server.pem",
        "CHAINCODE_CLIENT_CA_CERT_FILE": "client-authority.pem",
        "CHAINCODE_OPERATIONS_ADDRESS": f"{listen}:{contract.operations.port}",
    }
