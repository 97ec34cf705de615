"""The trivial contract on the embedded ledger, in a process of its own, behind its gRPC server.

`python -m tests.benchmarks.ledger.embedded DIRECTORY` serves a network whose material is in the directory until its
standard input ends, and prints its address.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fabric_protos.common import common_pb2

from bfl_chaincode.shim.stub import ChaincodeStub, Response
from bfl_fabric.clock import SystemClock
from bfl_fabric.embedded.ledger import EmbeddedLedger
from bfl_fabric.embedded.server import LedgerServer, ServerTls
from bfl_fabric.embedded.service import LedgerService
from bfl_fabric.network import directory as directories
from bfl_fabric.network import material
from bfl_fabric.network.plan import peer_name
from bfl_fabric.network.topology import admin_name, sample
from bfl_fabric.sdk.gateway import AsyncContract, connect_async
from tests.benchmarks.ledger.python_contract import invoke

CHAINCODE = "bench-python"


class Trivial:
    """The contract as the embedded ledger hosts it."""

    async def invoke(self, stub: ChaincodeStub) -> Response:
        return await invoke(stub)


@asynccontextmanager
async def embedded_contract(place: Path) -> AsyncIterator[AsyncContract]:
    """Serve the contract in a child process and connect to it."""
    topology = sample()
    directories.create(place, topology)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.benchmarks.ledger.embedded",
        str(place),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        address = (await child.stdout.readline()).decode().strip()
        first = topology.organizations[0]
        signer = material.signing_identity(place, first.msp_id, admin_name(first))
        roots = place / "orderer" / "tlsca" / "certificate.pem"
        async with connect_async(address, signer, tls_roots=roots.read_bytes()) as gateway:
            yield gateway.network(topology.channel).contract(CHAINCODE)
    finally:
        child.stdin.close()
        await child.wait()


async def _serve(place: Path) -> None:
    topology = directories.read_topology(place)
    organizations = topology.organizations
    peers = [material.signing_identity(place, item.msp_id, peer_name(item)) for item in organizations]
    orderer = material.signing_identity(place, material.ORDERER_MSP, material.ORDERER)
    genesis = common_pb2.Block.FromString((place / material.GENESIS).read_bytes())
    administrator = material.signing_identity(place, organizations[0].msp_id, admin_name(organizations[0]))
    ledger = EmbeddedLedger.create(
        directories.ledger_directory(place),
        genesis,
        peers,
        orderer,
        CHAINCODE,
        Trivial,
        SystemClock(),
        administrator=administrator,
    )
    service = LedgerService(ledger, SystemClock())
    await service.start()
    identity = material.identity_directory(place, material.ORDERER_MSP, material.GATEWAY)
    tls = ServerTls((identity / "tls-certificate.pem").read_bytes(), (identity / "tls-key.pem").read_bytes())
    server = LedgerServer(service, tls)
    await server.start()
    print(server.address, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0.1)
    await service.stop()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
