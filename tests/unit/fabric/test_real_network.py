"""Real peers and orderers as the judge: they take our certificates and our genesis block, we verify their blocks."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from fabric_protos.common import common_pb2, configtx_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.orderer import ab_pb2_grpc
from fabric_protos.peer import configuration_pb2

from bfl_chaincode.api import canonical
from bfl_fabric.clock import SystemClock
from bfl_fabric.errors import LedgerRefused, ProgramsMissing
from bfl_fabric.fabric.channel import ChannelConfig, Consensus, Endpoint
from bfl_fabric.fabric.definitions import ChaincodeDefinition, CollectionDefinition
from bfl_fabric.fabric.deliver import Seek, Stamp, read_block, seek_envelope
from bfl_fabric.fabric.deployment import approve, committed, readiness
from bfl_fabric.fabric.endorsement import sign_envelope
from bfl_fabric.fabric.gateway import (
    ChannelAddress,
    Deadlines,
    GatewayLedger,
    GrpcGatewayTransport,
    TlsMaterial,
)
from bfl_fabric.fabric.policy import Role, role_principal, signature_policy_message
from bfl_fabric.fabric.proposal import Invocation, build_proposal, sign_proposal
from bfl_fabric.fabric.submission import Persistence, Submission
from bfl_fabric.fabric.verifier import ChainVerifier
from bfl_fabric.fabric.wire import write
from bfl_fabric.network.programs import find_programs
from tests.unit.fabric.real_network import CHAINCODE, CHANNEL, RealNetwork
from tests.unit.fabric.tools import tool

pytestmark = [pytest.mark.needs_fabric, pytest.mark.slow]

SECRET = {
    "name": "secret",
    "policy": "OR('OneMSP.member','TwoMSP.member')",
    "requiredPeerCount": 0,
    "maxPeerCount": 1,
    "blockToLive": 2,
    "memberOnlyRead": True,
    "memberOnlyWrite": True,
}
DEFINITION = ChaincodeDefinition(
    CHAINCODE, "1.0", collections=(CollectionDefinition("secret", ("OneMSP", "TwoMSP"), block_to_live=2),)
)
NETWORKS = [("2.5.16", Consensus.RAFT), ("3.1.5", Consensus.BFT)]


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda item: f"{item[0]}-{item[1]}")
def network(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealNetwork]:
    """The Raft network is administered with Fabric's own commands, the BFT network with our functions."""
    version, consensus = request.param
    try:
        programs = find_programs(version)
    except ProgramsMissing as missing:
        pytest.skip(str(missing))
    home, by_command_line = tmp_path_factory.mktemp("real"), consensus is Consensus.RAFT
    with RealNetwork(programs, home, consensus, by_command_line) as running:
        if by_command_line:
            running.deploy([SECRET])
        else:
            asyncio.run(running.define(DEFINITION))
        yield running


class Client:
    """A ledger client of one organization, and the tiny chaincode's steps."""

    def __init__(self, network: RealNetwork, index: int) -> None:
        tls = TlsMaterial(network.parties[index].tls_authority.certificate_pem)
        self.signer = network.admins[index]
        self.transport = GrpcGatewayTransport(f"127.0.0.1:{network.peers[index]}", tls)
        address = ChannelAddress(CHANNEL, CHAINCODE)
        self.ledger = GatewayLedger(self.transport, self.signer, address, SystemClock())

    async def run(self, *steps: tuple[Any, ...]) -> Any:
        return (await self.ledger.submit("test:Run", {"steps": [list(step) for step in steps]})).result

    async def collide(self, *steps: tuple[Any, ...]) -> None:
        """Endorse the same reads and writes twice, then submit both: the second meets a conflict."""
        submission = Submission(self.transport, self.signer, SystemClock(), Deadlines(), Persistence())
        request = canonical.dump({"steps": [list(step) for step in steps]})
        endorsed = [await submission.endorse(self.ledger._proposal("test:Run", request)) for _ in range(2)]
        outcomes = [await submission.settle(item) for item in endorsed]
        assert outcomes[0].code == 0
        assert outcomes[1].code in (11, 12)

    async def blocks(self) -> list[bytes]:
        newest = await self.ledger._newest()
        return [block async for block in self.ledger.blocks(0, newest)]


async def every_kind_of_transaction(client: Client) -> None:
    """Reads, writes, deletions, ranges short and long, private data with an end, key-level policies, refusals."""
    await warm_up(client)
    await client.run(("put", "a", "1"), ("put", "b", "2"))
    assert await client.ledger.evaluate("test:Run", {"steps": [["get", "a"]]}) == ["1"]
    assert await client.run(("get", "a"), ("delete", "b")) == ["1"]
    assert await client.run(("keys", "", ""), ("put", "c", "3")) == [["a", "first"]]
    await client.run(*[("put", f"k{number:03}", "x") for number in range(120)])
    assert len((await client.run(("keys", "k", "l"), ("put", "d", "4")))[0]) == 120
    await client.run(("keys", "k", "l", 5), ("put", "e", "5"))
    await asyncio.gather(*[client.run(("get", "a"), ("put", "a", str(number))) for number in range(4)])
    await client.collide(("get", "a"), ("put", "a", "mine"))
    await client.collide(("keys", "k", "l"), ("put", "k9", "x"))
    await client.run(("put", "p", "hidden", "secret"))
    assert (await client.run(("hash", "p", "secret"), ("put", "q", "hidden", "secret")))[0]
    for number in range(4):
        await client.run(("put", "z", str(number)))
    assert await client.run(("hash", "p", "secret"), ("put", "y", "x")) == [""]
    await client.run(("put", "own", "v", "_implicit_org_OneMSP"))
    both = [role_principal("OneMSP", Role.PEER), role_principal("TwoMSP", Role.PEER)]
    await client.run(("put", "s", "1"), ("policy", "s", write(signature_policy_message(2, both)).hex()))
    assert await client.run(("get", "s"), ("put", "s", "2")) == ["1"]
    await client.run(("purge", "q", "secret"))
    with pytest.raises(LedgerRefused) as refused:
        await client.run(("fail", "BFL-501: not now"))
    assert refused.value.code == 501


async def warm_up(client: Client) -> None:
    """Wait until the peers know each other; until then the gateway finds too few endorsers."""
    await client.run(("put", "first", "1"))


async def submit_with_one_endorsement(client: Client) -> int:
    """Submit a transaction that one organization endorsed where two are needed; return its code."""
    call = Invocation(CHANNEL, CHAINCODE, (b"test:Run", b'{"steps":[["put","a","9"]]}'))
    proposal = build_proposal(call, client.signer.creator, b"n" * 24, SystemClock().now_ms())
    request = gateway_pb2.EndorseRequest(
        transaction_id=proposal.transaction_id,
        channel_id=CHANNEL,
        proposed_transaction=sign_proposal(proposal, client.signer),
        endorsing_organizations=["OneMSP"],
    )
    prepared = (await client.transport.endorse(request, 30)).prepared_transaction
    envelope = sign_envelope(prepared.payload, client.signer)
    submit = gateway_pb2.SubmitRequest(
        transaction_id=proposal.transaction_id, channel_id=CHANNEL, prepared_transaction=envelope
    )
    await client.transport.submit(submit, 30)
    status = write(
        gateway_pb2.CommitStatusRequest(
            transaction_id=proposal.transaction_id, channel_id=CHANNEL, identity=client.signer.creator
        )
    )
    signed = gateway_pb2.SignedCommitStatusRequest(request=status, signature=client.signer.sign(status))
    return int((await client.transport.commit_status(signed, 30)).result)


def move_anchor_peer(network: RealNetwork, config: ChannelConfig) -> None:
    """Give the first organization another anchor peer, with Fabric's own tools for the update."""
    changed = configtx_pb2.Config()
    changed.CopyFrom(config.config)
    anchors = configuration_pb2.AnchorPeers(
        anchor_peers=[configuration_pb2.AnchorPeer(host="127.0.0.1", port=port) for port in network.peers]
    )
    group = changed.channel_group.groups["Application"].groups["OneMSP"]
    group.values["AnchorPeers"].value = write(anchors)
    old, new, update = (network.home / name for name in ("old.pb", "new.pb", "update.pb"))
    old.write_bytes(write(config.config))
    new.write_bytes(write(changed))
    command = [tool(network.programs, "configtxlator"), "compute_update", "--channel_id", CHANNEL]
    command += ["--original", str(old), "--updated", str(new), "--output", str(update)]
    subprocess.run(command, check=True, timeout=30)
    payload = common_pb2.Payload(
        header=common_pb2.Header(channel_header=write(common_pb2.ChannelHeader(type=2, channel_id=CHANNEL))),
        data=write(configtx_pb2.ConfigUpdateEnvelope(config_update=update.read_bytes())),
    )
    path = network.home / "envelope.pb"
    path.write_bytes(write(common_pb2.Envelope(payload=write(payload))))
    port, roots = network.orderer
    arguments = ["-f", str(path), "-c", CHANNEL, "-o", f"127.0.0.1:{port}", "--tls", "--cafile", roots]
    result = network.peer(0, "channel", "update", *arguments)
    assert result.returncode == 0, result.stderr


async def orderer_blocks(network: RealNetwork, count: int) -> list[bytes]:
    """Fetch the orderer's own copies of the first blocks."""
    port, _ = network.orderer
    credentials = grpc.ssl_channel_credentials(network.orderer_roots)
    stamp = Stamp(b"s" * 24, SystemClock().now_ms())
    envelope = seek_envelope(CHANNEL, Seek(0, count - 1), network.admins[0], stamp)
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
        call = ab_pb2_grpc.AtomicBroadcastStub(channel).Deliver()
        await call.write(envelope)
        found = []
        async for response in call:
            block = read_block(response)
            if block is None:
                break
            found.append(block[1])
        return found


def test_blocks_of_real_peers_verify_and_both_peers_and_the_orderer_agree(network: RealNetwork) -> None:
    async def scenario() -> tuple[list[bytes], list[bytes], list[bytes]]:
        one, two = Client(network, 0), Client(network, 1)
        await every_kind_of_transaction(one)
        assert await submit_with_one_endorsement(one) == 10
        before = ChainVerifier(network.genesis_digest)
        for _ in before.verify(await one.blocks()):
            pass
        move_anchor_peer(network, before.config)
        await one.run(("put", "after", "update"))
        mine = await one.blocks()
        theirs = [block async for block in two.ledger.blocks(0, len(mine) - 1)]
        ordered = await orderer_blocks(network, len(mine))
        await one.ledger.close()
        await two.ledger.close()
        return mine, theirs, ordered

    mine, theirs, ordered = asyncio.run(scenario())
    verifiers = []
    for blocks in (mine, theirs, ordered):
        verifier = ChainVerifier(network.genesis_digest)
        for _ in verifier.verify(blocks):
            pass
        verifiers.append(verifier)
    assert len({verifier.commit_hash for verifier in verifiers}) == 1
    codes = verifiers[0].counts.by_code
    assert codes["ENDORSEMENT_POLICY_FAILURE"] == 1
    assert codes["MVCC_READ_CONFLICT"] >= 1
    assert codes["PHANTOM_READ_CONFLICT"] >= 1
    assert verifiers[0].config.sequence == 1
    anchors = verifiers[0].config.organizations["OneMSP"].anchor_peers
    assert anchors == tuple(Endpoint("127.0.0.1", port) for port in network.peers)
    assert verifiers[0].state.value(CHAINCODE, "after") == b"update"


def test_what_fabrics_commands_define_is_what_ours_define(network: RealNetwork, tmp_path: Path) -> None:
    """Approved by one side, the same definition is ready for the other side's question."""
    further = replace(DEFINITION, sequence=2)
    collections = tmp_path / "collections.json"
    collections.write_text(json.dumps([SECRET]))
    asked = ["--channelID", CHANNEL, "--name", CHAINCODE, "--version", "1.0", "--sequence", "2"]
    asked += ["--collections-config", str(collections)]

    async def ours() -> None:
        async with network.peer_client(0) as peer, network.orderer_client() as orderers:
            held = await committed(peer, CHANNEL, CHAINCODE)
            assert held is not None
            assert held.definition == DEFINITION
            assert await readiness(peer, CHANNEL, further) == {"OneMSP": False, "TwoMSP": False}
            await approve(peer, orderers, CHANNEL, further, "")

    async def theirs() -> None:
        async with network.peer_client(1) as peer:
            assert await readiness(peer, CHANNEL, further) == {"OneMSP": True, "TwoMSP": True}

    asyncio.run(ours())
    result = network.peer(0, "lifecycle", "chaincode", "checkcommitreadiness", *asked, "--output", "json")
    assert json.loads(result.stdout)["approvals"] == {"OneMSP": True, "TwoMSP": False}
    port, roots = network.orderer
    more = ["-o", f"127.0.0.1:{port}", "--tls", "--cafile", roots]
    network.retry(1, "lifecycle", "chaincode", "approveformyorg", *asked, *more)
    asyncio.run(theirs())


def test_events_of_a_real_peer_come_once_and_go_on_behind_a_checkpoint(network: RealNetwork) -> None:
    async def scenario() -> None:
        client = Client(network, 0)
        await warm_up(client)
        for number in range(3):
            await client.run(("put", "event", str(number)))
        first = [item async for item in _take(client.ledger.events(start_block=0), 3)]
        rest = [item async for item in _take(client.ledger.events(first[0].checkpoint), 2)]
        assert rest == first[1:]
        assert first[0].name == "test:Run"
        await client.ledger.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))


async def _take(stream: Any, count: int) -> Any:
    found = 0
    async for item in stream:
        yield item
        found += 1
        if found == count:
            return
