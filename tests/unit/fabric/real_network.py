"""Real orderers and peers on this machine, with our own certificates and our own genesis block.

For tests that compare us with Hyperledger Fabric itself. Everything listens on 127.0.0.1 at free ports and lives in
a temporary directory; only processes that were started here are ended, by their handles.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
import os
import socket
import subprocess
import tarfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
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
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.fabric.wire import write
from bfl_fabric.network.programs import Programs
from tests.unit.fabric.tiny_chaincode import serve

CHANNEL = "real"
CHAINCODE = "tiny"
READY_SECONDS = 30
BUILDER = {
    "detect": '#!/bin/sh\ngrep -q \'"type":"ccaas"\' "$2/metadata.json"\n',
    "build": '#!/bin/sh\ncp "$1/connection.json" "$3"\n',
    "release": '#!/bin/sh\nmkdir -p "$2/chaincode/server"\ncp "$1/connection.json" "$2/chaincode/server/"\n',
}


_PORTS = itertools.cycle(range(20_000, 32_000))
for _ in range(os.getpid() * 7 % 12_000):
    next(_PORTS)


def free_port() -> int:
    """Return a port that nobody uses and that the kernel gives to nobody: below the range it hands out itself."""
    while True:
        port = next(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


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
        (place / "cert.pem").write_bytes(tls.certificate_pem)
        (place / "key.pem").write_bytes(tls.key_pem)
        (place / "ca.pem").write_bytes(self.tls_authority.certificate_pem)
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
        return {kind: str(place / f"{kind}.pem") for kind in ("cert", "key", "ca")}


@dataclass
class RealNetwork:
    """A running network of two organizations; a context manager. `client` may write, on both."""

    programs: Programs
    home: Path
    consensus: Consensus = Consensus.RAFT
    parties: list[Party] = field(default_factory=list)
    peers: list[int] = field(default_factory=list)
    genesis: Any = None
    admins: list[SigningIdentity] = field(default_factory=list)
    orderer: tuple[int, str] = (0, "")
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
        count = 4 if self.consensus is Consensus.BFT else 1
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
        for name, (port, admin_port) in zip(names, ports, strict=True):
            self._start_orderer(ordering, name, port, admin_port)
        for party, port in zip(self.parties, self.peers, strict=True):
            self._start_peer(party, port)
        for _, admin_port in ports:
            self._join_orderer(ordering, admin_port)
        for index in range(len(self.parties)):
            self.retry(index, "channel", "join", "-b", str(self.home / "genesis.block"))
        self.orderer = (ports[0][0], ordering.tls(names[0])["ca"])

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

    def _start_orderer(self, party: Party, name: str, port: int, admin_port: int) -> None:
        tls = party.tls(name)
        home = party.home / name
        settings = {
            "General": {
                "ListenAddress": "127.0.0.1",
                "ListenPort": port,
                "BootstrapMethod": "none",
                "LocalMSPDir": str(home / "msp"),
                "LocalMSPID": party.msp_id,
                "TLS": _orderer_tls(tls, client_auth=False),
                "Keepalive": {"ServerMinInterval": "10s", "ServerInterval": "7200s", "ServerTimeout": "20s"},
                "Cluster": {
                    "SendBufferSize": 100,
                    "ClientCertificate": tls["cert"],
                    "ClientPrivateKey": tls["key"],
                },
                "BCCSP": _BCCSP,
                "Authentication": {"TimeWindow": "15m"},
            },
            "FileLedger": {"Location": str(home / "ledger")},
            "Consensus": {"WALDir": str(home / "wal"), "SnapDir": str(home / "snapshots")},
            "ChannelParticipation": {"Enabled": True, "MaxRequestBodySize": "1 MB"},
            "Admin": {
                "ListenAddress": f"127.0.0.1:{admin_port}",
                "TLS": _orderer_tls(tls, client_auth=True),
            },
            "Operations": {"ListenAddress": f"127.0.0.1:{free_port()}", "TLS": {"Enabled": False}},
            "Metrics": {"Provider": "disabled"},
        }
        (home / "orderer.yaml").write_text(json.dumps(settings))
        self._spawn(home, "orderer", "orderer")
        _wait_for(admin_port)

    def _start_peer(self, party: Party, port: int) -> None:
        home = party.home / "peer"
        builder = self.home / "builder"
        for name, script in BUILDER.items():
            path = builder / "bin" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(script)
            path.chmod(0o755)
        (home / "core.yaml").write_text(json.dumps(_peer_settings(party, port, builder)))
        self._spawn(home, "peer", "peer", "node", "start")
        _wait_for(port)

    def _spawn(self, home: Path, log: str, program: str, *arguments: str) -> None:
        output = self._stack.enter_context((home / f"{log}.log").open("wb"))
        process = subprocess.Popen(
            [str(self.programs.path(program)), *arguments],
            env=self._environment({"FABRIC_CFG_PATH": str(home)}),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        self._stack.callback(_stop, process)

    def _join_orderer(self, party: Party, admin_port: int) -> None:
        tls = party.tls("admin")
        command = [str(self.programs.path("osnadmin")), "channel", "join", "--channelID", CHANNEL]
        command += ["--config-block", str(self.home / "genesis.block"), "-o", f"127.0.0.1:{admin_port}"]
        command += ["--ca-file", tls["ca"], "--client-cert", tls["cert"], "--client-key", tls["key"]]
        result = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert "Status: 201" in result.stdout, result.stdout + result.stderr

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("CORE_", "ORDERER_"))
        }
        return {**kept, "FABRIC_LOGGING_SPEC": "warn", **more}

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
        """Define the tiny chaincode on the channel, one server per organization in this process."""
        definition = ["--channelID", CHANNEL, "--name", CHAINCODE, "--version", "1.0", "--sequence", "1"]
        definition += ["-o", f"127.0.0.1:{self.orderer[0]}", "--tls", "--cafile", self.orderer[1]]
        if collections:
            path = self.home / "collections.json"
            path.write_text(json.dumps(collections))
            definition += ["--collections-config", str(path)]
        for index in range(len(self.parties)):
            address = f"127.0.0.1:{free_port()}"
            package = _package(address)
            path = self.home / f"package{index}.tgz"
            path.write_bytes(package)
            package_id = f"tiny:{hashlib.sha256(package).hexdigest()}"
            server = serve(package_id, address)
            self._stack.callback(server.stop, 0)
            self.retry(index, "lifecycle", "chaincode", "install", str(path))
            self.retry(
                index, "lifecycle", "chaincode", "approveformyorg", "--package-id", package_id, *definition
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


_BCCSP = {"Default": "SW", "SW": {"Hash": "SHA2", "Security": 256}}


def _orderer_tls(tls: Mapping[str, str], *, client_auth: bool) -> dict[str, Any]:
    return {
        "Enabled": True,
        "PrivateKey": tls["key"],
        "Certificate": tls["cert"],
        "RootCAs": [tls["ca"]],
        "ClientAuthRequired": client_auth,
        "ClientRootCAs": [tls["ca"]],
    }


def _peer_settings(party: Party, port: int, builder: Path) -> dict[str, Any]:
    tls = party.tls("peer")
    home = party.home / "peer"
    address = f"127.0.0.1:{port}"
    return {
        "peer": {
            "id": party.msp_id,
            "networkId": "test",
            "listenAddress": address,
            "address": address,
            "chaincodeListenAddress": f"127.0.0.1:{free_port()}",
            "localMspId": party.msp_id,
            "mspConfigPath": str(home / "msp"),
            "fileSystemPath": str(home / "data"),
            "gateway": {
                "enabled": True,
                "endorsementTimeout": "30s",
                "broadcastTimeout": "30s",
                "dialTimeout": "2m",
            },
            "tls": {
                "enabled": True,
                "clientAuthRequired": False,
                "cert": {"file": tls["cert"]},
                "key": {"file": tls["key"]},
                "rootcert": {"file": tls["ca"]},
            },
            "BCCSP": _BCCSP,
            "authentication": {"timewindow": "15m"},
            "client": {"connTimeout": "3s"},
            "deliveryclient": {
                "reconnectTotalTimeThreshold": "3600s",
                "connTimeout": "3s",
                "reConnectBackoffThreshold": "5s",
            },
            "handlers": {
                "authFilters": [{"name": "DefaultAuth"}, {"name": "ExpirationCheck"}],
                "decorators": [{"name": "DefaultDecorator"}],
                "endorsers": {"escc": {"name": "DefaultEndorsement"}},
                "validators": {"vscc": {"name": "DefaultValidation"}},
            },
            "discovery": {
                "enabled": True,
                "authCacheEnabled": True,
                "authCacheMaxSize": 1000,
                "authCachePurgeRetentionRatio": 0.75,
            },
            "limits": {
                "concurrency": {"endorserService": 2500, "deliverService": 2500, "gatewayService": 500}
            },
            "gossip": _gossip(address),
        },
        "vm": {"endpoint": ""},
        "chaincode": {
            "mode": "net",
            "startuptimeout": "60s",
            "executetimeout": "30s",
            "installTimeout": "60s",
            "keepalive": 0,
            "logging": {"level": "info", "shim": "warning"},
            "system": {"_lifecycle": "enable", "cscc": "enable", "lscc": "enable", "qscc": "enable"},
            "externalBuilders": [{"name": "ccaas", "path": str(builder), "propagateEnvironment": []}],
        },
        "ledger": {
            "state": {"stateDatabase": "goleveldb", "totalQueryLimit": 100000},
            "history": {"enableHistoryDatabase": True},
            "pvtdataStore": {
                "collElgProcMaxDbBatchSize": 5000,
                "collElgProcDbBatchesInterval": 1000,
                "deprioritizedDataReconcilerInterval": "60m",
                "purgeInterval": 100,
                "purgedKeyAuditLogging": True,
            },
            "snapshots": {"rootDir": str(home / "snapshots")},
        },
        "operations": {"listenAddress": f"127.0.0.1:{free_port()}", "tls": {"enabled": False}},
        "metrics": {"provider": "disabled"},
    }


def _gossip(address: str) -> dict[str, Any]:
    return {
        "bootstrap": address,
        "endpoint": address,
        "externalEndpoint": address,
        "useLeaderElection": False,
        "orgLeader": True,
        "state": {"enabled": False},
        "aliveTimeInterval": "1s",
        "aliveExpirationTimeout": "5s",
        "reconnectInterval": "2s",
        "publishStateInfoInterval": "1s",
        "requestStateInfoInterval": "1s",
        "pvtData": {
            "pullRetryThreshold": "1s",
            "transientstoreMaxBlockRetention": 1000,
            "pushAckTimeout": "3s",
            "btlPullMargin": 10,
            "reconcileBatchSize": 10,
            "reconcileSleepInterval": "1m",
            "reconciliationEnabled": True,
            "skipPullingInvalidTransactionsDuringCommit": False,
            "implicitCollectionDisseminationPolicy": {"requiredPeerCount": 0, "maxPeerCount": 1},
        },
    }


def _package(address: str) -> bytes:
    connection = {"address": address, "dial_timeout": "10s", "tls_required": False}
    code = _archive({"connection.json": json.dumps(connection).encode()})
    metadata = json.dumps({"type": "ccaas", "label": "tiny"}, separators=(",", ":")).encode()
    return _archive({"metadata.json": metadata, "code.tar.gz": code})


def _archive(files: Mapping[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=0)


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
