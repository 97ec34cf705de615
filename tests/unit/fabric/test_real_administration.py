"""What an administrator says to real peers and orderers: every function of ours, without Fabric's own commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bfl_fabric.errors import (
    CommitFailed,
    ConfigurationError,
    EndorseError,
    LedgerError,
    LedgerUnavailable,
    NotFound,
    NotTrusted,
    ProgramsMissing,
)
from bfl_fabric.fabric.authority import CertificateAuthority
from bfl_fabric.fabric.blocks import parse_block
from bfl_fabric.fabric.channel import ChannelConfig, Consensus, Endpoint, OrganizationTrust
from bfl_fabric.fabric.config_changes import (
    BlockCutting,
    add_consenter,
    add_organization,
    remove_consenter,
    remove_organization,
    replace_msp,
    rotate_consenter_tls,
    set_anchor_peers,
    set_block_cutting,
    set_orderer_endpoints,
)
from bfl_fabric.fabric.config_submission import update_channel
from bfl_fabric.fabric.definitions import ChaincodeDefinition, CollectionDefinition, signature_policy
from bfl_fabric.fabric.deliver import Seek
from bfl_fabric.fabric.deployment import (
    Committed,
    approve,
    approved,
    commit,
    committed,
    install,
    installed,
    invoke,
    readiness,
)
from bfl_fabric.fabric.health import health
from bfl_fabric.fabric.orderer_client import OrdererClient
from bfl_fabric.fabric.peer_channels import (
    channel_info,
    config_block,
    join_by_snapshot,
    join_channel,
    joined_channels,
    snapshot_join_status,
)
from bfl_fabric.fabric.peer_client import PeerClient
from bfl_fabric.fabric.proposal import Invocation
from bfl_fabric.fabric.servers import Administrator
from bfl_fabric.fabric.snapshots import cancel_snapshot, pending_snapshots, request_snapshot
from bfl_fabric.fabric.verifier import ChainVerifier
from bfl_fabric.fabric.wire import write
from bfl_fabric.network.programs import find_programs
from tests.unit.fabric.real_network import CHAINCODE, CHANNEL, RealNetwork

pytestmark = [pytest.mark.needs_fabric, pytest.mark.slow]

NETWORKS = [
    ("3.1.5", Consensus.RAFT),
    pytest.param(("3.1.5", Consensus.BFT), marks=pytest.mark.extended),
    pytest.param(("2.5.16", Consensus.RAFT), marks=pytest.mark.extended),
]
SECRET = CollectionDefinition("secret", ("OneMSP", "TwoMSP"), block_to_live=2)
DEFINITION = ChaincodeDefinition(CHAINCODE, "1.0", collections=(SECRET,))


def start(version: str, consensus: Consensus, home: Path, orderers: int = 0) -> RealNetwork:
    try:
        programs = find_programs(version)
    except ProgramsMissing as missing:
        pytest.skip(str(missing))
    return RealNetwork(programs, home, consensus, orderers=orderers)


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda item: f"{item[0]}-{item[1]}")
def network(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealNetwork]:
    """One network for all tests of this file: each leaves it as a running channel, further than before."""
    version, consensus = request.param
    orderers = 4 if consensus is Consensus.BFT else 3
    with start(version, consensus, tmp_path_factory.mktemp("administered"), orderers) as running:
        asyncio.run(running.define(DEFINITION))
        yield running


class Desk:
    """Everything that the first organization's administrator needs to work."""

    def __init__(self, network: RealNetwork, stack: AsyncExitStack, orderers: OrdererClient) -> None:
        self.network, self.stack, self.orderers = network, stack, orderers

    async def peer(self, index: int, administrator: Administrator | None = None) -> PeerClient:
        return await self.stack.enter_async_context(self.network.peer_client(index, administrator))

    async def run(self, *steps: list[str], peers: tuple[int, ...] = (0, 1)) -> Committed:
        clients = [await self.peer(index, self.network.administrator(0)) for index in peers]
        return await invoke(clients, self.orderers, invocation(*steps))

    async def change(self, change: Callable[[Any], Any], *signers: Administrator) -> ChannelConfig:
        return await update_channel(self.orderers, CHANNEL, change, signers)

    @property
    def everybody(self) -> list[Administrator]:
        return [self.network.administrator(index) for index in range(len(self.network.parties))]


@asynccontextmanager
async def desk(network: RealNetwork) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        orderers = await stack.enter_async_context(network.orderer_client())
        yield Desk(network, stack, orderers)


def invocation(*steps: list[str]) -> Invocation:
    arguments = (b"test:Run", json.dumps({"steps": list(steps)}).encode())
    return Invocation(CHANNEL, CHAINCODE, arguments)


async def verified(peer: PeerClient, network: RealNetwork) -> ChainVerifier:
    """Verify every block that the orderers have, and find the peer at the same height and hash."""
    newest = await peer.newest(CHANNEL)
    verifier, last = ChainVerifier(network.genesis_digest), None
    async with network.orderer_client(peer.administrator) as orderers:
        async for _, block in orderers.blocks(CHANNEL, Seek(0, newest)):
            last = verifier.feed(block)
    info = await channel_info(peer, CHANNEL)
    assert (info.height, info.current_hash) == (newest + 1, last.hash if last else "")
    return verifier


def test_peers_and_orderers_say_which_channels_they_have(network: RealNetwork) -> None:
    async def scenario() -> None:
        async with desk(network) as at:
            peer = await at.peer(0)
            assert await joined_channels(peer) == (CHANNEL,)
            await join_channel(peer, write(network.genesis))
            port = network.participation("orderer1")
            again = await port.join(write(network.genesis))
            assert (again.name, again.consensus_relation) == (CHANNEL, "consenter")
            assert await port.channels() == (CHANNEL,)
            with pytest.raises(NotFound):
                await port.info("absent")
            with pytest.raises(NotFound):
                await port.remove("absent")

    asyncio.run(scenario())


def test_an_administration_port_takes_nobody_without_its_own_certificate(network: RealNetwork) -> None:
    stranger = network.parties[0].tls("admin")
    port = replace(
        network.participation("orderer1"),
        certificate_path=Path(stranger["cert"]),
        key_path=Path(stranger["key"]),
    )
    with pytest.raises(LedgerUnavailable, match="authority that it accepts"):
        asyncio.run(port.channels())


def test_every_process_says_that_it_is_well(network: RealNetwork) -> None:
    for name, port in network.operations.items():
        assert asyncio.run(health(f"127.0.0.1:{port}")).ok, name


def test_a_definition_is_approved_committed_and_read_back(network: RealNetwork) -> None:
    upgrade = replace(DEFINITION, version="1.1", sequence=2, policy=signature_policy(1, ["OneMSP", "TwoMSP"]))

    async def scenario() -> None:
        async with desk(network) as at:
            one, two = await at.peer(0), await at.peer(1)
            both = [one, await at.peer(1, network.administrator(0))]
            held = await committed(one, CHANNEL, CHAINCODE)
            assert held is not None
            assert (held.definition, held.approvals) == (DEFINITION, {"OneMSP": True, "TwoMSP": True})
            assert await committed(one, CHANNEL, "absent") is None
            assert await approved(one, CHANNEL, "absent") is None
            (package,) = await installed(one)
            assert package.references == {CHANNEL: ((CHAINCODE, "1.0"),)}
            with pytest.raises(EndorseError, match="sequence"):
                await approve(one, at.orderers, CHANNEL, replace(upgrade, sequence=5), package.package_id)
            await approve(one, at.orderers, CHANNEL, upgrade, package.package_id)
            assert await readiness(one, CHANNEL, upgrade) == {"OneMSP": True, "TwoMSP": False}
            with pytest.raises(EndorseError, match=two.server.address):
                await commit(both, at.orderers, CHANNEL, upgrade)
            await approve(two, at.orderers, CHANNEL, upgrade, (await installed(two))[0].package_id)
            await commit(both, at.orderers, CHANNEL, upgrade)
            after = await committed(two, CHANNEL, CHAINCODE)
            assert after is not None
            assert after.definition == upgrade
            mine = await approved(one, CHANNEL, CHAINCODE)
            assert mine is not None
            assert (mine.definition, mine.package_id) == (upgrade, package.package_id)
            assert (await at.run(["put", "alone", "1"], peers=(0,))).block_number > 0

    asyncio.run(scenario())


def test_a_package_is_installed_once_under_the_id_that_we_computed(network: RealNetwork) -> None:
    async def scenario() -> None:
        package = network.serve_package()
        async with desk(network) as at:
            peer = await at.peer(0)
            assert await install(peer, package) == package.package_id
            assert await install(peer, package) == package.package_id
            assert package.package_id in {item.package_id for item in await installed(peer)}

    asyncio.run(scenario())


def test_a_transaction_without_enough_endorsements_is_reported_as_invalid(network: RealNetwork) -> None:
    async def scenario() -> None:
        async with desk(network) as at:
            peer = await at.peer(0)
            with pytest.raises(CommitFailed, match="ENDORSEMENT_POLICY_FAILURE"):
                await commit([peer], at.orderers, CHANNEL, await next_definition(peer, at))

    asyncio.run(scenario())


async def next_definition(peer: PeerClient, at: Desk) -> ChaincodeDefinition:
    """Approve a further sequence for the first organization alone, and return it."""
    held = await committed(peer, CHANNEL, CHAINCODE)
    assert held is not None
    further = replace(held.definition, sequence=held.definition.sequence + 1)
    await approve(peer, at.orderers, CHANNEL, further, (await installed(peer))[0].package_id)
    return further


def test_an_organization_is_added_works_and_is_removed(network: RealNetwork) -> None:
    third = network.add_party("Three")
    port = network.peers[-1]
    trust = OrganizationTrust(
        third.msp_id,
        "Three",
        (third.authority.certificate_pem,),
        (third.tls_authority.certificate_pem,),
        (Endpoint("127.0.0.1", port),),
    )

    async def scenario() -> None:
        async with desk(network) as at:
            founders = at.everybody[:2]
            with pytest.raises(NotTrusted, match="Admins"):
                await at.change(partial(add_organization, trust=trust), founders[0])
            added = await at.change(partial(add_organization, trust=trust), *founders)
            assert "ThreeMSP" in added.organizations
            anchors = [Endpoint("127.0.0.1", port), Endpoint("localhost", port)]
            moved = await at.change(
                partial(set_anchor_peers, name="Three", endpoints=anchors), at.everybody[2]
            )
            assert moved.organizations["ThreeMSP"].anchor_peers == tuple(anchors)
            peer = await at.peer(2)
            await join_channel(peer, write(network.genesis))
            await install(peer, network.serve_package())
            one = await at.peer(0)
            held = await committed(one, CHANNEL, CHAINCODE)
            assert held is not None
            theirs = await at.peer(2, network.administrator(0))
            await theirs.reach(CHANNEL, await one.newest(CHANNEL))
            package_id = (await installed(peer))[0].package_id
            async with network.orderer_client(network.administrator(2)) as orderers:
                await approve(peer, orderers, CHANNEL, held.definition, package_id)
            known = await committed(peer, CHANNEL, CHAINCODE)
            assert known is not None
            assert known.approvals["ThreeMSP"]
            await at.run(["put", "three", "1"], peers=(0, 1, 2))
            removed = await at.change(partial(remove_organization, name="Three"), *at.everybody[:2])
            assert set(removed.organizations) == {"OneMSP", "TwoMSP"}
            await at.run(["put", "three", "2"])
            async with network.orderer_client(network.administrator(2)) as orderers:
                with pytest.raises(LedgerError, match="PERMISSION_DENIED"):
                    await orderers.config(CHANNEL)

    try:
        asyncio.run(scenario())
    finally:
        for kept in (network.parties, network.peers, network.admins):
            kept.pop()


def test_block_cutting_is_changed_by_the_orderers_administrator(network: RealNetwork) -> None:
    async def scenario() -> None:
        cutting = partial(set_block_cutting, cutting=BlockCutting(max_message_count=7, timeout_ms=20))
        async with desk(network) as at:
            with pytest.raises(NotTrusted, match="Orderer"):
                await at.change(cutting, *at.everybody)
            config = await at.change(cutting, network.orderer_administrator())
            assert (config.terms.max_message_count, config.terms.timeout) == (7, "20ms")
            same = await at.change(cutting, network.orderer_administrator())
            assert same.sequence == config.sequence
            await at.run(["put", "cut", "1"])

    asyncio.run(scenario())


def test_an_orderer_gets_another_tls_certificate(network: RealNetwork) -> None:
    name = "orderer2"
    place = Endpoint("127.0.0.1", network.ports[name][0])
    issued = network.ordering.tls_authority.issue_tls(name)
    rotation = partial(
        rotate_consenter_tls, endpoint=place, client=issued.certificate_pem, server=issued.certificate_pem
    )

    async def scenario() -> None:
        async with desk(network) as at:
            config = await at.change(rotation, network.orderer_administrator())
            entry = next(item for item in config.consenters if item.endpoint == place)
            assert entry.server_tls_certificate == issued.certificate_pem
            tls = network.ordering.tls(name)
            Path(tls["cert"]).write_bytes(issued.certificate_pem)
            Path(tls["key"]).write_bytes(issued.key_pem)
            network.restart_orderer(name)
            await follows(at, name)

    asyncio.run(scenario())


async def follows(at: Desk, name: str) -> None:
    """Wait until an orderer has new blocks again, cut while it runs: it takes part with its new certificate."""
    height = (await at.run(["put", "rotated", "1"])).block_number + 1

    async def caught_up() -> bool:
        await at.run(["put", "rotated", "2"])  # a BFT orderer learns from traffic that it is behind
        info = await at.network.participation(name).info(CHANNEL)
        assert info.consensus_relation == "consenter"
        return info.status == "active" and info.height > height

    await eventually(caught_up)


async def eventually(done: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(30):
        while True:
            if await done():
                return
            await asyncio.sleep(0.05)


def test_a_second_peer_starts_from_a_snapshot_and_follows(network: RealNetwork) -> None:
    async def scenario() -> None:
        async with desk(network) as at:
            first = await at.peer(0)
            await at.run(["put", "kept", "1"])
            number = await first.newest(CHANNEL)
            await request_snapshot(first, CHANNEL, number + 1000)
            assert await pending_snapshots(first, CHANNEL) == (number + 1000,)
            await cancel_snapshot(first, CHANNEL, number + 1000)
            with pytest.raises(LedgerError, match=str(number + 1000)):
                await cancel_snapshot(first, CHANNEL, number + 1000)
            await request_snapshot(first, CHANNEL)
            await eventually(lambda: written(first))
            folder = network.home / "One/peer/data/snapshots/completed" / CHANNEL / str(number)
            second = await at.stack.enter_async_context(network.add_peer(0, "peer2"))
            await eventually(lambda: answers(second))
            await join_by_snapshot(second, str(folder))
            assert not (await snapshot_join_status(second)).in_progress
            await at.run(["put", "kept", "2"])
            await second.reach(CHANNEL, await first.newest(CHANNEL))
            theirs, ours = await channel_info(second, CHANNEL), await channel_info(first, CHANNEL)
            assert (theirs.current_hash, theirs.snapshot_block) == (ours.current_hash, number)
            assert ours.snapshot_block is None
            definition = await committed(second, CHANNEL, CHAINCODE)
            assert definition == await committed(first, CHANNEL, CHAINCODE)

    asyncio.run(scenario())


async def written(peer: PeerClient) -> bool:
    return not await pending_snapshots(peer, CHANNEL)


async def answers(peer: PeerClient) -> bool:
    try:
        return await joined_channels(peer) == ()
    except LedgerUnavailable:
        return False


def test_an_orderer_is_added_orders_and_is_removed(network: RealNetwork) -> None:
    consenter = network.add_orderer("newcomer")

    async def scenario() -> None:
        orderers = network.orderer_administrator()
        async with desk(network) as at:
            before = (await at.orderers.config(CHANNEL)).consenters
            config = await at.change(partial(add_consenter, consenter=consenter), orderers)
            assert config.consenters == (*before, consenter)
            places = [item.endpoint for item in config.consenters]
            ordering = network.ordering.msp_id
            config = await at.change(
                partial(set_orderer_endpoints, name=ordering, endpoints=places), orderers
            )
            assert config.orderers[ordering].endpoints == tuple(places)
            await network.participation("newcomer").join(await at.orderers.config_block(CHANNEL))
            await follows(at, "newcomer")
            config = await at.change(partial(remove_consenter, endpoint=consenter.endpoint), orderers)
            assert config.consenters == before
            await at.change(partial(set_orderer_endpoints, name=ordering, endpoints=places[:-1]), orderers)
            await at.run(["put", "without", "newcomer"])

    try:
        asyncio.run(scenario())
    finally:
        del network.ports["newcomer"]


def test_an_organizations_authority_is_replaced_step_by_step(network: RealNetwork) -> None:
    party, old = network.parties[0], network.administrator(0)
    renewed = CertificateAuthority.create(
        party.msp_id, "ca2", party.authority.validity.not_before, party.authority.validity.not_after
    )
    both = OrganizationTrust(
        party.msp_id,
        party.msp_id,
        (party.authority.certificate_pem, renewed.certificate_pem),
        (party.tls_authority.certificate_pem,),
    )
    new = replace(both, root_certificates=(renewed.certificate_pem,))

    async def first_half() -> None:
        async with desk(network) as at:
            config = await at.change(partial(replace_msp, name=both.name, trust=both), old)
            assert config.organizations[party.msp_id].root_certificates == both.root_certificates
            number = parse_block(await at.orderers.config_block(CHANNEL)).number
            await (await at.peer(1)).reach(CHANNEL, number)

    async def second_half() -> None:
        async with desk(network) as at:
            await eventually(lambda: takes_part(at))
            await at.change(partial(replace_msp, name=new.name, trust=new), network.administrator(0))
            await eventually(lambda: takes_part(at))
            stranger = await at.peer(1, old)
            with pytest.raises(LedgerError):
                await stranger.query(CHANNEL, CHAINCODE, b"test:Run", b'{"steps":[]}')

    asyncio.run(first_half())
    network.renew_authority(0, renewed)
    asyncio.run(second_half())


async def takes_part(at: Desk) -> bool:
    try:
        return (await at.run(["put", "renewed", "1"])).block_number > 0
    except (EndorseError, LedgerUnavailable):
        return False


def test_the_whole_chain_verifies_after_all_changes(network: RealNetwork) -> None:
    async def scenario() -> None:
        async with desk(network) as at:
            peer = await at.peer(0)
            verifier = await verified(peer, network)
            newest = await at.orderers.config(CHANNEL)
            assert write(verifier.config.config) == write(newest.config)
            assert await config_block(peer, CHANNEL)
            assert verifier.state.value(CHAINCODE, "kept") == b"2"
            assert verifier.config.sequence >= 5

    asyncio.run(scenario())


def test_a_single_raft_orderer_cannot_replace_itself(tmp_path: Path) -> None:
    with start("3.1.5", Consensus.RAFT, tmp_path) as network:
        place = Endpoint("127.0.0.1", network.ports["orderer1"][0])
        rotation = partial(rotate_consenter_tls, endpoint=place, client=b"c", server=b"s")

        async def scenario() -> None:
            async with desk(network) as at:
                with pytest.raises(ConfigurationError, match="only orderer"):
                    await at.change(rotation, network.orderer_administrator())

        asyncio.run(scenario())
