"""Transactions made at peers and orderers directly: endorsed, handed over, awaited; and every way to fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from fabric_protos.common import common_pb2
from fabric_protos.peer.lifecycle import lifecycle_pb2

from bfl_fabric.errors import (
    CommitFailed,
    CommitStatusError,
    ConfigurationError,
    EndorseError,
    EvaluateError,
    LedgerError,
    LedgerRefused,
    LedgerUnavailable,
    SubmitError,
)
from bfl_fabric.fabric.definitions import ChaincodeDefinition, CollectionDefinition, signature_policy
from bfl_fabric.fabric.deployment import (
    approve,
    approved,
    commit,
    committed,
    install,
    installed,
    invoke,
    readiness,
)
from bfl_fabric.fabric.envelopes import Response, parse_payload
from bfl_fabric.fabric.orderer_client import OrdererClient
from bfl_fabric.fabric.packages import Connection, service_package
from bfl_fabric.fabric.peer_channels import join_channel, joined_channels
from bfl_fabric.fabric.peer_client import PeerClient
from bfl_fabric.fabric.proposal import Invocation
from bfl_fabric.fabric.servers import Administrator, Server
from bfl_fabric.fabric.snapshots import cancel_snapshot, pending_snapshots, request_snapshot
from bfl_fabric.fabric.submission import EndorsersDisagree
from tests.unit.fabric.fake_servers import (
    Behaviour,
    Clock,
    FakeOrderer,
    FakePeer,
    Ordered,
    answering,
    answering_by_function,
    serving,
)
from tests.unit.fabric.organizations import CHANNEL, Federation, federation

CALL = Invocation(CHANNEL, "bfl", (b"test:Put", b"{}"))
DEFINITION = ChaincodeDefinition(
    "bfl", "2.0", 3, signature_policy(2, ["AlphaMSP", "BetaMSP"]), (CollectionDefinition("c", ("AlphaMSP",)),)
)


@dataclass
class Bench:
    """Two peers of two organizations and an orderer, and the clients of one administrator."""

    federation: Federation
    fakes: list[FakePeer]
    orderer: FakeOrderer
    peers: list[PeerClient]
    orderers: OrdererClient

    @property
    def ordered(self) -> Ordered:
        return self.orderer.ordered

    async def invoke(self) -> Any:
        return await invoke(self.peers, self.orderers, CALL)


@asynccontextmanager
async def bench(first: Behaviour, second: Behaviour | None = None) -> AsyncIterator[Bench]:
    parties, ordered = federation(), Ordered()
    fakes = [
        FakePeer(parties, item.peer, ordered, behaviour)
        for item, behaviour in zip(parties.organizations, (first, second or first), strict=False)
    ]
    orderer = FakeOrderer(parties, ordered)
    administrator = Administrator(parties.organizations[0].admin, Clock())
    async with AsyncExitStack() as stack:
        places = await stack.enter_async_context(serving(parties.orderer, *fakes, orderer))
        peers = [PeerClient(place, administrator, 2.0) for place in places[:2]]
        orderers = OrdererClient(places[2:], administrator, 2.0)
        for client in (*peers, orderers):
            stack.push_async_callback(client.close)
        yield Bench(parties, fakes, orderer, peers, orderers)


def run(
    scenario: Callable[[Bench], Awaitable[Any]], first: Behaviour, second: Behaviour | None = None
) -> Any:
    async def whole() -> Any:
        async with bench(first, second) as found:
            return await scenario(found)

    return asyncio.run(whole())


def test_a_transaction_carries_the_endorsements_of_all_peers_and_is_awaited_at_each() -> None:
    async def scenario(at: Bench) -> None:
        done = await at.invoke()
        assert done.payload == b"done"
        assert done.block_number == 3
        (envelope,) = at.orderer.taken
        transaction = parse_payload(envelope.payload, envelope.signature)
        assert transaction.transaction_id == done.transaction_id
        endorsers = [item.endorser for item in transaction.endorsed().endorsements]
        assert endorsers == [item.signer.creator for item in at.fakes]
        administrator = at.peers[0].administrator
        assert transaction.creator == administrator.signer.creator

    run(scenario, answering(b"done"))


def test_nothing_is_ordered_when_peers_answer_differently() -> None:
    async def scenario(at: Bench) -> None:
        with pytest.raises(EndorsersDisagree, match=at.peers[1].server.address):
            await at.invoke()
        assert not at.orderer.taken

    run(scenario, answering(b"one"), answering(b"two"))


def test_a_refusal_names_the_peer_that_said_no_and_its_words() -> None:
    async def scenario(at: Bench) -> None:
        with pytest.raises(
            EndorseError, match=rf"{at.peers[1].server.address} refused with status 500: too late"
        ):
            await at.invoke()
        assert not at.orderer.taken

    run(scenario, answering(b"one"), answering(message="too late", status=500))


def test_a_rule_of_the_contract_keeps_its_number() -> None:
    async def scenario(at: Bench) -> None:
        with pytest.raises(LedgerRefused) as refused:
            await at.invoke()
        assert refused.value.code == 301

    run(scenario, answering(message="BFL-301: not now", status=500))


def test_an_invalid_transaction_is_reported_with_fabrics_code() -> None:
    async def scenario(at: Bench) -> None:
        at.ordered.code = 11
        with pytest.raises(CommitFailed, match="MVCC_READ_CONFLICT") as failed:
            await at.invoke()
        assert failed.value.validation_code == 11
        assert failed.value.transaction_id == at.ordered.transactions[0]

    run(scenario, answering(b""))


def test_a_transaction_whose_answer_is_lost_is_found_on_the_ledger() -> None:
    async def scenario(at: Bench) -> None:
        at.orderer.statuses, at.orderer.takes_lost = [None, common_pb2.SERVICE_UNAVAILABLE], True
        done = await at.invoke()
        assert done.transaction_id == at.ordered.transactions[0]

    run(scenario, answering(b""))


def test_an_unknown_outcome_says_so_and_names_the_transaction() -> None:
    async def scenario(at: Bench) -> None:
        at.orderer.statuses = [None, common_pb2.SERVICE_UNAVAILABLE]
        with pytest.raises(CommitStatusError) as unknown:
            await at.invoke()
        assert unknown.value.transaction_id == at.fakes[0].asked[-1].transaction_id

    run(scenario, answering(b""))


def test_an_orderers_final_no_is_not_awaited() -> None:
    async def scenario(at: Bench) -> None:
        at.orderer.statuses = [common_pb2.FORBIDDEN]
        with pytest.raises(SubmitError, match="FORBIDDEN: said the orderer"):
            await at.invoke()

    run(scenario, answering(b""))


def test_peers_asked_by_two_administrators_make_no_transaction() -> None:
    async def scenario(at: Bench) -> None:
        at.peers[1].administrator = Administrator(at.federation.organizations[1].admin, Clock())
        with pytest.raises(ConfigurationError, match="one creator"):
            await at.invoke()
        with pytest.raises(ConfigurationError, match="one creator"):
            await invoke([], at.orderers, CALL)
        assert not at.fakes[0].asked

    run(scenario, answering(b""))


def test_a_peer_that_lags_behind_is_not_asked_to_endorse() -> None:
    async def scenario(at: Bench) -> None:
        at.fakes[1].height = 2
        with pytest.raises(LedgerUnavailable, match="at block 1 and was to come to 2"):
            await at.invoke()
        assert not at.fakes[0].asked

    run(scenario, answering(b""))


def test_a_peer_that_is_not_there_is_unavailable() -> None:
    async def scenario(at: Bench) -> None:
        nobody = PeerClient(Server("127.0.0.1:9", at.peers[0].server.tls), at.peers[0].administrator, 1.0)
        with pytest.raises(LedgerUnavailable, match=r"127\.0\.0\.1:9"):
            await joined_channels(nobody)
        with pytest.raises(LedgerUnavailable, match=r"127\.0\.0\.1:9"):
            await join_channel(nobody, at.federation.genesis().SerializeToString(), wait_seconds=0.5)
        await nobody.close()

    run(scenario, answering(b""))


def test_a_server_with_a_foreign_tls_certificate_is_not_talked_to() -> None:
    async def scenario(at: Bench) -> None:
        foreign = Server(
            at.peers[0].server.address,
            type(at.peers[0].server.tls)(at.federation.organizations[0].tls_authority.certificate_pem),
        )
        client = PeerClient(foreign, at.peers[0].administrator, 1.0)
        with pytest.raises(LedgerUnavailable):
            await joined_channels(client)
        assert not at.fakes[0].asked
        await client.close()

    run(scenario, answering(b""))


def test_each_step_of_the_lifecycle_sends_what_a_peer_reads() -> None:
    async def scenario(at: Bench) -> None:
        await approve(at.peers[0], at.orderers, CHANNEL, DEFINITION, "bfl:1234")
        function, raw = at.fakes[0].asked[-1].invocation.arguments
        approval = lifecycle_pb2.ApproveChaincodeDefinitionForMyOrgArgs.FromString(raw)
        assert function == b"ApproveChaincodeDefinitionForMyOrg"
        assert (approval.name, approval.version, approval.sequence) == ("bfl", "2.0", 3)
        assert approval.source.local_package.package_id == "bfl:1234"
        await approve(at.peers[0], at.orderers, CHANNEL, DEFINITION, "")
        raw = at.fakes[0].asked[-1].invocation.arguments[1]
        approval = lifecycle_pb2.ApproveChaincodeDefinitionForMyOrgArgs.FromString(raw)
        assert approval.source.WhichOneof("Type") == "unavailable"
        await commit(at.peers, at.orderers, CHANNEL, DEFINITION)
        function, raw = at.fakes[1].asked[-1].invocation.arguments
        definition = lifecycle_pb2.CommitChaincodeDefinitionArgs.FromString(raw)
        assert function == b"CommitChaincodeDefinition"
        assert definition.validation_parameter == approval.validation_parameter == DEFINITION.policy
        assert definition.collections == approval.collections
        assert not definition.init_required

    run(scenario, answering(b""))


def test_answers_of_the_lifecycle_are_read_back_into_definitions() -> None:
    fields = lifecycle_pb2.CommitChaincodeDefinitionArgs
    sent = fields.FromString(commit_bytes(DEFINITION))
    held = lifecycle_pb2.QueryChaincodeDefinitionResult(
        sequence=3,
        version="2.0",
        validation_parameter=sent.validation_parameter,
        collections=sent.collections,
        approvals={"AlphaMSP": True, "BetaMSP": False},
    )
    listed = lifecycle_pb2.QueryChaincodeDefinitionsResult()
    listed.chaincode_definitions.add(name="bfl")
    packages = lifecycle_pb2.QueryInstalledChaincodesResult()
    package = packages.installed_chaincodes.add(package_id="bfl:2", label="bfl")
    package.references[CHANNEL].chaincodes.add(name="bfl", version="2.0")
    packages.installed_chaincodes.add(package_id="bfl:1", label="bfl")
    ready = lifecycle_pb2.CheckCommitReadinessResult(approvals={"AlphaMSP": True})
    answers = {
        "QueryChaincodeDefinitions": listed,
        "QueryChaincodeDefinition": held,
        "QueryInstalledChaincodes": packages,
        "CheckCommitReadiness": ready,
    }

    async def scenario(at: Bench) -> None:
        found = await committed(at.peers[0], CHANNEL, "bfl")
        assert found is not None
        assert found.definition == DEFINITION
        assert found.approvals == {"AlphaMSP": True, "BetaMSP": False}
        assert await committed(at.peers[0], CHANNEL, "other") is None
        assert await approved(at.peers[0], CHANNEL, "bfl") is None
        one, two = await installed(at.peers[0])
        assert (one.package_id, one.references) == ("bfl:1", {})
        assert two.references == {CHANNEL: (("bfl", "2.0"),)}
        assert await readiness(at.peers[0], CHANNEL, DEFINITION) == {"AlphaMSP": True}
        with pytest.raises(EvaluateError, match="GetChannels not found"):
            await joined_channels(at.peers[0])

    run(scenario, answering_by_function(answers))


def commit_bytes(definition: ChaincodeDefinition) -> bytes:
    from bfl_fabric.fabric.definitions import commit_arguments

    return commit_arguments(definition)[1]


def test_a_peer_that_calls_a_package_otherwise_than_we_is_not_believed() -> None:
    answers = {
        "QueryInstalledChaincodes": lifecycle_pb2.QueryInstalledChaincodesResult(),
        "InstallChaincode": lifecycle_pb2.InstallChaincodeResult(package_id="bfl:other"),
    }

    async def scenario(at: Bench) -> None:
        with pytest.raises(LedgerError, match="bfl:other"):
            await install(at.peers[0], service_package("bfl", Connection("127.0.0.1:1", None)))

    run(scenario, answering_by_function(answers))


def test_requests_for_snapshots_are_signed_and_their_refusal_is_passed_on() -> None:
    async def scenario(at: Bench) -> None:
        await request_snapshot(at.peers[0], CHANNEL, 7)
        (request,) = at.fakes[0].snapshots
        assert (request.channel_id, request.block_number) == (CHANNEL, 7)
        assert await pending_snapshots(at.peers[0], CHANNEL) == (5, 9)
        with pytest.raises(LedgerError, match=rf"{at.peers[0].server.address}.*no snapshot request"):
            await cancel_snapshot(at.peers[0], CHANNEL, 9)

    run(scenario, answering(b""))


def test_an_answer_without_an_endorsement_makes_no_transaction() -> None:
    async def scenario(at: Bench) -> None:
        proposal = at.peers[0].administrator.proposal(Invocation("", "cscc", (b"GetChannels",)))
        with pytest.raises(EndorseError, match="did not endorse"):
            await at.peers[0].endorse(proposal)

    run(scenario, lambda proposal: Response(200, "", b""))
