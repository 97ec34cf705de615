"""Real orderers and peers on this machine, with our own certificates and our own genesis block.

For tests that compare us with Hyperledger Fabric itself. Everything listens on 127.0.0.1 at free ports and lives in
a temporary directory; only processes that were started here are ended, by their handles.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bfl_fabric.fabric.authority import CertificateAuthority, Issued
from bfl_fabric.fabric.blocks import genesis_digest
from bfl_fabric.fabric.channel import (
    Consensus,
    Consenter,
    Endpoint,
    OrdererTrust,
    OrderingTerms,
    OrganizationTrust,
    genesis_block,
)
from bfl_fabric.fabric.definitions import ChaincodeDefinition
from bfl_fabric.fabric.deployment import approve, commit, install
from bfl_fabric.fabric.gateway_grpc import TlsMaterial
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.fabric.orderer_client import OrdererClient
from bfl_fabric.fabric.packages import ChaincodePackage, Connection, service_package
from bfl_fabric.fabric.participation import Participation
from bfl_fabric.fabric.peer_channels import join_channel
from bfl_fabric.fabric.peer_client import PeerClient
from bfl_fabric.fabric.servers import Administrator, Server
from bfl_fabric.fabric.wire import write
from bfl_fabric.network.plan import LOOPBACK, OrdererPlan, PeerPlan, free_ports
from bfl_fabric.network.program_settings import BUILDER, fit_peer_yaml, orderer_yaml, peer_yaml
from bfl_fabric.network.programs import Programs, program_version
from tests.unit.fabric.tiny_chaincode import serve
from tests.unit.fabric.tools import tool

CHANNEL = "real"
CHAINCODE = "tiny"
READY_SECONDS = 30
_PORTS = free_ports()


def free_port() -> int:
    """Return a port that nobody uses and that the kernel gives to nobody."""
    return next(_PORTS)


@dataclass
class Party:
    """One organization of the network: authorities and what they issued."""

    msp_id: str
    home: Path
    authority: CertificateAuthority
    tls_authority: CertificateAuthority

    @classmethod
    def create(cls, home: Path, msp_id: str) -> Party:
        start = datetime.now(UTC) - timedelta(hours=1)
        end = start + timedelta(days=30)
        return cls(
            msp_id,
            home,
            CertificateAuthority.create(msp_id, f"ca.{msp_id}", start, end),
            CertificateAuthority.create(msp_id, f"tlsca.{msp_id}", start, end),
        )

    def identity(self, name: str, ou: str) -> SigningIdentity:
        """Issue an identity and write it as Fabric's programs want it: an MSP directory and a TLS directory."""
        issued = self.authority.issue_identity(name, ou)
        tls = self.tls_authority.issue_tls(name)
        msp = self.home / name / "msp"
        self._write_msp(msp, issued)
        place = self.home / name / "tls"
        place.mkdir(parents=True)
        (place / "certificate.pem").write_bytes(tls.certificate_pem)
        (place / "key.pem").write_bytes(tls.key_pem)
        (place / "authority.pem").write_bytes(self.tls_authority.certificate_pem)
        return SigningIdentity.from_pem(self.msp_id, issued.certificate_pem, issued.key_pem)

    def _write_msp(self, msp: Path, issued: Issued) -> None:
        files = {
            "cacerts/ca.pem": self.authority.certificate_pem,
            "tlscacerts/tlsca.pem": self.tls_authority.certificate_pem,
            "signcerts/cert.pem": issued.certificate_pem,
            "keystore/key_sk": issued.key_pem,
            "config.yaml": self.node_ous(),
        }
        for name, content in files.items():
            path = msp / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def node_ous(self) -> bytes:
        units: dict[str, Any] = {"Enable": True}
        for role in ("Client", "Peer", "Admin", "Orderer"):
            units[f"{role}OUIdentifier"] = {
                "Certificate": "cacerts/ca.pem",
                "OrganizationalUnitIdentifier": role.lower(),
            }
        return json.dumps({"NodeOUs": units}).encode()

    def tls(self, name: str) -> dict[str, str]:
        place = self.home / name / "tls"
        files = {"cert": "certificate.pem", "key": "key.pem", "ca": "authority.pem"}
        return {kind: str(place / file) for kind, file in files.items()}


@dataclass
class RealNetwork:
    """A running network of two organizations; a context manager.

    It is administered by our own functions, or `by_command_line` with Fabric's `peer` and `osnadmin`.
    """

    programs: Programs
    home: Path
    consensus: Consensus = Consensus.RAFT
    by_command_line: bool = False
    orderers: int = 0
    parties: list[Party] = field(default_factory=list)
    peers: list[int] = field(default_factory=list)
    genesis: Any = None
    admins: list[SigningIdentity] = field(default_factory=list)
    orderer: tuple[int, str] = (0, "")
    ordering: Any = None
    ports: dict[str, tuple[int, int]] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    operations: dict[str, int] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def genesis_digest(self) -> str:
        return genesis_digest(self.genesis)

    @property
    def orderer_roots(self) -> bytes:
        """The TLS authority of the orderers."""
        return Path(self.orderer[1]).read_bytes()

    def __enter__(self) -> RealNetwork:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        self.parties = [Party.create(self.home / name, f"{name}MSP") for name in ("One", "Two")]
        ordering = Party.create(self.home / "Order", "OrderMSP")
        count = self.orderers or (4 if self.consensus is Consensus.BFT else 1)
        names = [f"orderer{number}" for number in range(1, count + 1)]
        signers = [ordering.identity(name, "orderer") for name in names]
        ordering.identity("admin", "admin")
        self.admins = [party.identity("admin", "admin") for party in self.parties]
        for party in self.parties:
            party.identity("peer", "peer")
        ports = [(free_port(), free_port()) for _ in names]
        self.peers = [free_port() for _ in self.parties]
        self.genesis = self._genesis(ordering, signers, [port for port, _ in ports])
        (self.home / "genesis.block").write_bytes(write(self.genesis))
        self.ordering, self.ports = ordering, dict(zip(names, ports, strict=True))
        for name in names:
            self.start_orderer(name)
        for party, port in zip(self.parties, self.peers, strict=True):
            self._start_peer(party, port)
        self.orderer = (ports[0][0], ordering.tls(names[0])["ca"])
        if self.by_command_line:
            for _, admin_port in ports:
                self._join_orderer(ordering, admin_port)
            for index in range(len(self.parties)):
                self.retry(index, "channel", "join", "-b", str(self.home / "genesis.block"))
        else:
            asyncio.run(self._join())

    async def _join(self) -> None:
        block = write(self.genesis)
        for name in self.ports:
            joined = await self.participation(name).join(block)
            assert joined.name == CHANNEL
        for index in range(len(self.parties)):
            async with self.peer_client(index) as peer:
                await join_channel(peer, block)

    def _genesis(self, ordering: Party, signers: list[SigningIdentity], ports: list[int]) -> Any:
        trust = [
            OrganizationTrust(
                party.msp_id,
                party.msp_id,
                (party.authority.certificate_pem,),
                (party.tls_authority.certificate_pem,),
                (Endpoint("127.0.0.1", port),),
            )
            for party, port in zip(self.parties, self.peers, strict=True)
        ]
        consenters = []
        for number, (signer, port) in enumerate(zip(signers, ports, strict=True), start=1):
            tls = Path(ordering.tls(f"orderer{number}")["cert"]).read_bytes()
            bft = self.consensus is Consensus.BFT
            extra = (number, signer.certificate_pem, signer.msp_id) if bft else ()
            consenters.append(Consenter(Endpoint("127.0.0.1", port), tls, tls, *extra))
        orderer = OrdererTrust(
            ordering.msp_id,
            ordering.msp_id,
            (ordering.authority.certificate_pem,),
            (ordering.tls_authority.certificate_pem,),
            tuple(consenters),
            tuple(item.endpoint for item in consenters),
        )
        terms = OrderingTerms(consensus=self.consensus, timeout="50ms")
        return genesis_block(CHANNEL, trust, [orderer], terms, time.time_ns() // 1_000_000)

    # --- processes ------------------------------------------------------------------------------

    def start_orderer(self, name: str) -> None:
        party, (port, admin_port) = self.ordering, self.ports[name]
        home = party.home / name
        places = (Endpoint(LOOPBACK, number) for number in (port, admin_port, self._operations(name)))
        settings = orderer_yaml(OrdererPlan(name, party.msp_id, 0, *places), LOOPBACK)
        (home / "orderer.yaml").write_text(settings)
        self.processes[name] = self._spawn(home, "orderer", "orderer")
        _wait_for(admin_port)

    def restart_orderer(self, name: str) -> None:
        """Stop an orderer and start it again, with whatever its files hold now."""
        _stop(self.processes[name])
        self.start_orderer(name)

    def add_party(self, name: str) -> Party:
        """Make a further organization with a running peer; the channel knows nothing of it yet."""
        party = Party.create(self.home / name, f"{name}MSP")
        self.parties.append(party)
        self.admins.append(party.identity("admin", "admin"))
        party.identity("peer", "peer")
        self.peers.append(free_port())
        self._start_peer(party, self.peers[-1])
        return party

    def add_orderer(self, name: str) -> Consenter:
        """Start a further orderer and return how the channel would name it; it has joined nothing yet."""
        signer = self.ordering.identity(name, "orderer")
        self.ports[name] = (free_port(), free_port())
        self.start_orderer(name)
        tls = Path(self.ordering.tls(name)["cert"]).read_bytes()
        place = Endpoint("127.0.0.1", self.ports[name][0])
        if self.consensus is Consensus.RAFT:
            return Consenter(place, tls, tls)
        return Consenter(place, tls, tls, len(self.ports), signer.certificate_pem, signer.msp_id)

    def renew_authority(self, index: int, authority: CertificateAuthority) -> None:
        """Let an organization's peer and administrator work with certificates of another authority."""
        party = self.parties[index]
        party.authority = authority
        for name, unit in (("peer", "peer"), ("admin", "admin")):
            issued = authority.issue_identity(name, unit)
            party._write_msp(party.home / name / "msp", issued)
        self.admins[index] = SigningIdentity.from_pem(party.msp_id, issued.certificate_pem, issued.key_pem)
        _stop(self.processes[f"{party.msp_id}.peer"])
        self._start_peer(party, self.peers[index])

    def add_peer(self, index: int, name: str) -> PeerClient:
        """Start a further peer of an organization and return a client of it; it has joined nothing yet."""
        party, port = self.parties[index], free_port()
        party.identity(name, "peer")
        self._start_peer(party, port, name)
        tls = TlsMaterial(party.tls_authority.certificate_pem)
        return PeerClient(Server(f"127.0.0.1:{port}", tls), self.administrator(index))

    def _start_peer(self, party: Party, port: int, name: str = "peer") -> None:
        home = party.home / name
        for step, script in BUILDER.items():
            path = home / "builder" / "bin" / step
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(script)
            path.chmod(0o755)
        ports = (port, free_port(), self._operations(f"{party.msp_id}.{name}"))
        plan = PeerPlan(name, party.msp_id, *(Endpoint(LOOPBACK, number) for number in ports))
        version = program_version(self.programs.path("peer"))
        (home / "core.yaml").write_text(fit_peer_yaml(peer_yaml(plan, LOOPBACK, "test"), version))
        self.processes[f"{party.msp_id}.{name}"] = self._spawn(home, "peer", "peer", "node", "start")
        _wait_for(port)

    def _operations(self, name: str) -> int:
        """Return where a process answers questions about its health, and remember it."""
        self.operations[name] = free_port()
        return self.operations[name]

    def _spawn(self, home: Path, log: str, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        output = self._stack.enter_context((home / f"{log}.log").open("ab"))
        process = subprocess.Popen(
            [tool(self.programs, program), *arguments],
            cwd=home,
            env=self._environment({"FABRIC_CFG_PATH": str(home)}),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        self._stack.callback(_stop, process)
        return process

    def _join_orderer(self, party: Party, admin_port: int) -> None:
        tls = party.tls("admin")
        command = [tool(self.programs, "osnadmin"), "channel", "join", "--channelID", CHANNEL]
        command += ["--config-block", str(self.home / "genesis.block"), "-o", f"127.0.0.1:{admin_port}"]
        command += ["--ca-file", tls["ca"], "--client-cert", tls["cert"], "--client-key", tls["key"]]
        result = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert "Status: 201" in result.stdout, result.stdout + result.stderr

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("CORE_", "ORDERER_"))
        }
        return {**kept, "FABRIC_LOGGING_SPEC": "warn", **more}

    # --- our own administration -----------------------------------------------------------------

    def administrator(self, index: int) -> Administrator:
        """The administrator of an organization."""
        return Administrator(self.admins[index])

    def orderer_administrator(self) -> Administrator:
        """The administrator of the organization that runs the orderers."""
        place = self.ordering.home / "admin" / "msp"
        certificate = (place / "signcerts/cert.pem").read_bytes()
        key = (place / "keystore/key_sk").read_bytes()
        return Administrator(SigningIdentity.from_pem(self.ordering.msp_id, certificate, key))

    def peer_client(self, index: int, administrator: Administrator | None = None) -> PeerClient:
        """A client of an organization's peer; make it inside an event loop."""
        tls = TlsMaterial(self.parties[index].tls_authority.certificate_pem)
        server = Server(f"127.0.0.1:{self.peers[index]}", tls)
        return PeerClient(server, administrator or self.administrator(index))

    def orderer_client(self, administrator: Administrator | None = None) -> OrdererClient:
        """A client of all orderers; make it inside an event loop."""
        tls = TlsMaterial(self.ordering.tls_authority.certificate_pem)
        servers = [Server(f"127.0.0.1:{port}", tls) for port, _ in self.ports.values()]
        return OrdererClient(servers, administrator or self.administrator(0))

    def participation(self, name: str) -> Participation:
        """The administration port of an orderer."""
        tls = self.ordering.tls("admin")
        roots = self.ordering.tls_authority.certificate_pem
        address = f"127.0.0.1:{self.ports[name][1]}"
        return Participation(address, roots, Path(tls["cert"]), Path(tls["key"]))

    def serve_package(self) -> ChaincodePackage:
        """Start one server of the tiny chaincode in this process, and return its package."""
        address = f"127.0.0.1:{free_port()}"
        package = service_package("tiny", Connection(address, tls=None))
        self._stack.callback(serve(package.package_id, address).stop, 0)
        return package

    async def define(self, definition: ChaincodeDefinition) -> None:
        """Define the tiny chaincode on the channel with our own functions."""
        async with AsyncExitStack() as stack:
            orderers = await stack.enter_async_context(self.orderer_client())
            for index in range(len(self.parties)):
                peer = await stack.enter_async_context(self.peer_client(index))
                package_id = await install(peer, self.serve_package())
                await approve(peer, orderers, CHANNEL, definition, package_id)
            everybody = [
                await stack.enter_async_context(self.peer_client(index, self.administrator(0)))
                for index in range(len(self.parties))
            ]
            await commit(everybody, orderers, CHANNEL, definition)

    # --- the peer command -----------------------------------------------------------------------

    def peer(self, index: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the `peer` command as the administrator of an organization."""
        party = self.parties[index]
        environment = {
            "FABRIC_CFG_PATH": str(party.home / "peer"),
            "CORE_PEER_LOCALMSPID": party.msp_id,
            "CORE_PEER_ADDRESS": f"127.0.0.1:{self.peers[index]}",
            "CORE_PEER_MSPCONFIGPATH": str(party.home / "admin" / "msp"),
            "CORE_PEER_TLS_ENABLED": "true",
            "CORE_PEER_TLS_ROOTCERT_FILE": party.tls("peer")["ca"],
        }
        return subprocess.run(
            [str(self.programs.path("peer")), *arguments],
            env=self._environment(environment),
            capture_output=True,
            text=True,
            timeout=120,
        )

    def retry(self, index: int, *arguments: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            result = self.peer(index, *arguments)
            if result.returncode == 0:
                return
            assert time.monotonic() < deadline, result.stderr
            time.sleep(0.3)

    def deploy(self, collections: list[dict[str, Any]] | None = None) -> None:
        """Define the tiny chaincode with the peer command, one server per organization in this process."""
        definition = ["--channelID", CHANNEL, "--name", CHAINCODE, "--version", "1.0", "--sequence", "1"]
        definition += ["-o", f"127.0.0.1:{self.orderer[0]}", "--tls", "--cafile", self.orderer[1]]
        if collections:
            path = self.home / "collections.json"
            path.write_text(json.dumps(collections))
            definition += ["--collections-config", str(path)]
        for index in range(len(self.parties)):
            package = self.serve_package()
            path = self.home / f"package{index}.tgz"
            path.write_bytes(package.content)
            self.retry(index, "lifecycle", "chaincode", "install", str(path))
            self.retry(
                index,
                "lifecycle",
                "chaincode",
                "approveformyorg",
                "--package-id",
                package.package_id,
                *definition,
            )
        addresses: list[str] = []
        for party, port in zip(self.parties, self.peers, strict=True):
            addresses += [
                "--peerAddresses",
                f"127.0.0.1:{port}",
                "--tlsRootCertFiles",
                party.tls("peer")["ca"],
            ]
        self.retry(0, "lifecycle", "chaincode", "commit", *definition, *addresses)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens at port {port}"
            time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
