"""The channels that foreign clients are let loose on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from bfl_fabric.clock import SystemClock
from bfl_fabric.errors import ProgramsMissing
from bfl_fabric.fabric.gateway import ChannelAddress, GatewayLedger, GrpcGatewayTransport, TlsMaterial
from bfl_fabric.network.programs import find_programs
from tests.conformance.embedded_channel import EmbeddedChannel
from tests.conformance.probe import LoopThread
from tests.interop.doors import EmbeddedDoors, InteropChannel, RealDoors
from tests.unit.fabric.real_network import CHAINCODE, CHANNEL, RealNetwork

FABRIC = "3.1.5"


@pytest.fixture(scope="session")
def embedded_doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InteropChannel]:
    """The embedded ledger with the probe contract, listening with TLS."""
    loop = LoopThread()
    channel = EmbeddedChannel(tmp_path_factory.mktemp("interop") / "ledger", over_grpc=True)
    loop.run(channel.start())
    try:
        yield EmbeddedDoors(channel)
    finally:
        loop.run(channel.stop())
        loop.close()


@pytest.fixture(scope="session")
def real_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNetwork]:
    """A network of Fabric 3.1.5 with Raft and the tiny chaincode."""
    try:
        programs = find_programs(FABRIC)
    except ProgramsMissing as missing:
        pytest.skip(str(missing))
    with RealNetwork(programs, tmp_path_factory.mktemp("interop-fabric")) as running:
        running.deploy()
        asyncio.run(_until_the_peers_know_each_other(running))
        yield running


async def _until_the_peers_know_each_other(network: RealNetwork) -> None:
    """Submit once through every gateway with a client that tries again: until then one finds too few endorsers."""
    for port, party, signer in zip(network.peers, network.parties, network.admins, strict=True):
        tls = TlsMaterial(party.tls_authority.certificate_pem)
        transport = GrpcGatewayTransport(f"127.0.0.1:{port}", tls)
        ledger = GatewayLedger(transport, signer, ChannelAddress(CHANNEL, CHAINCODE), SystemClock())
        await ledger.submit("test:Run", {"steps": [["put", "first", party.msp_id]]})
        await ledger.close()


@pytest.fixture(scope="session")
def real_doors(real_network: RealNetwork) -> InteropChannel:
    return RealDoors(real_network)
