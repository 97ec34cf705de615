"""Chaincode on real peers: installing packages, approving and committing definitions, any other invocation.

Decides how a transaction is made without a gateway: endorsed at the peers directly, which must have come equally
far, handed to an orderer, and awaited at each of these peers. What a definition says is left to
`bfl_fabric.fabric.definitions`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fabric_protos.peer.lifecycle import lifecycle_pb2

from bfl_fabric.errors import (
    CommitFailed,
    CommitStatusError,
    ConfigurationError,
    EvaluateError,
    LedgerError,
)
from bfl_fabric.fabric.definitions import (
    ChaincodeDefinition,
    approve_arguments,
    commit_arguments,
    read_definition,
    readiness_arguments,
)
from bfl_fabric.fabric.endorsement import assemble, sign_envelope
from bfl_fabric.fabric.envelopes import ValidationCode
from bfl_fabric.fabric.lifecycle import NAMESPACE
from bfl_fabric.fabric.orderer_client import OrdererClient
from bfl_fabric.fabric.packages import ChaincodePackage
from bfl_fabric.fabric.peer_client import EndorserAnswer, PeerClient
from bfl_fabric.fabric.proposal import Invocation, Proposal
from bfl_fabric.fabric.submission import EndorsersDisagree
from bfl_fabric.fabric.wire import read, write


@dataclass(frozen=True, slots=True)
class Committed:
    """A transaction that is committed and VALID at every peer that endorsed it."""

    transaction_id: str
    block_number: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class InstalledChaincode:
    """A package on a peer, and the chaincodes that run from it: (name, version) by channel."""

    package_id: str
    label: str
    references: Mapping[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class CommittedDefinition:
    """A definition that holds on a channel, and which organizations have approved it as it is."""

    definition: ChaincodeDefinition
    approvals: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class ApprovedDefinition:
    """What an organization approved; without a package it runs no service of its own."""

    definition: ChaincodeDefinition
    package_id: str


async def install(peer: PeerClient, package: ChaincodePackage) -> str:
    """Install a package on a peer and return its id; a package that is there already is left as it is."""
    if package.package_id in {item.package_id for item in await installed(peer)}:
        return package.package_id
    arguments = lifecycle_pb2.InstallChaincodeArgs(chaincode_install_package=package.content)
    raw = await peer.query("", NAMESPACE, b"InstallChaincode", write(arguments))
    result = read(lifecycle_pb2.InstallChaincodeResult, raw, f"{peer.name}: installation")
    if result.package_id != package.package_id:
        raise LedgerError(f"{peer.name} calls the package {result.package_id}, not {package.package_id}")
    return package.package_id


async def installed(peer: PeerClient) -> tuple[InstalledChaincode, ...]:
    """Return what is installed on a peer, by package id."""
    arguments = write(lifecycle_pb2.QueryInstalledChaincodesArgs())
    raw = await peer.query("", NAMESPACE, b"QueryInstalledChaincodes", arguments)
    result = read(lifecycle_pb2.QueryInstalledChaincodesResult, raw, f"{peer.name}: installed chaincodes")
    found = [
        InstalledChaincode(item.package_id, item.label, _references(item.references))
        for item in result.installed_chaincodes
    ]
    return tuple(sorted(found, key=lambda item: item.package_id))


async def approve(
    peer: PeerClient,
    orderers: OrdererClient,
    channel_id: str,
    definition: ChaincodeDefinition,
    package_id: str,
) -> Committed:
    """Approve a definition for the administrator's organization, at a peer of its own.

    With an empty `package_id` the organization approves without running the chaincode.
    """
    arguments = approve_arguments(definition, package_id)
    return await invoke([peer], orderers, Invocation(channel_id, NAMESPACE, arguments))


async def readiness(peer: PeerClient, channel_id: str, definition: ChaincodeDefinition) -> Mapping[str, bool]:
    """Say which organizations have approved exactly this definition, as far as the peer knows."""
    raw = await peer.query(channel_id, NAMESPACE, *readiness_arguments(definition))
    return dict(read(lifecycle_pb2.CheckCommitReadinessResult, raw, f"{peer.name}: readiness").approvals)


async def commit(
    peers: Sequence[PeerClient],
    orderers: OrdererClient,
    channel_id: str,
    definition: ChaincodeDefinition,
) -> Committed:
    """Make a definition hold, endorsed by one peer of each of enough organizations that have approved it."""
    invocation = Invocation(channel_id, NAMESPACE, commit_arguments(definition))
    return await invoke(peers, orderers, invocation)


async def committed(peer: PeerClient, channel_id: str, name: str) -> CommittedDefinition | None:
    """Return the definition that holds on a channel, None when there is none of this name."""
    known = await peer.query(
        channel_id,
        NAMESPACE,
        b"QueryChaincodeDefinitions",
        write(lifecycle_pb2.QueryChaincodeDefinitionsArgs()),
    )
    names = read(lifecycle_pb2.QueryChaincodeDefinitionsResult, known, f"{peer.name}: definitions")
    if name not in {item.name for item in names.chaincode_definitions}:
        return None
    arguments = write(lifecycle_pb2.QueryChaincodeDefinitionArgs(name=name))
    raw = await peer.query(channel_id, NAMESPACE, b"QueryChaincodeDefinition", arguments)
    result = read(lifecycle_pb2.QueryChaincodeDefinitionResult, raw, f"{peer.name}: definition")
    return CommittedDefinition(read_definition(name, result), dict(result.approvals))


async def approved(
    peer: PeerClient, channel_id: str, name: str, sequence: int = 0
) -> ApprovedDefinition | None:
    """Return what the peer's organization approved for a chaincode, the newest when `sequence` is 0, else None.

    Fabric tells "nothing approved" from other refusals by its words alone, so every refusal counts as None only when
    the peer answers a second question about the same channel.
    """
    arguments = write(lifecycle_pb2.QueryApprovedChaincodeDefinitionArgs(name=name, sequence=sequence))
    try:
        raw = await peer.query(channel_id, NAMESPACE, b"QueryApprovedChaincodeDefinition", arguments)
    except EvaluateError:
        await committed(peer, channel_id, name)
        return None
    result = read(lifecycle_pb2.QueryApprovedChaincodeDefinitionResult, raw, f"{peer.name}: approval")
    return ApprovedDefinition(read_definition(name, result), result.source.local_package.package_id)


async def invoke(peers: Sequence[PeerClient], orderers: OrdererClient, invocation: Invocation) -> Committed:
    """Make one transaction, endorsed by all these peers, and return it once each of them has committed it.

    Raises EndorseError, EndorsersDisagree, LedgerRefused and LedgerUnavailable when nothing was ordered; SubmitError
    when no orderer takes it; CommitFailed when it is invalid; CommitStatusError when it is not known what became of
    it: look for that transaction before making another.
    """
    administrator = _one_administrator(peers)
    newest = await _levelled(peers, invocation.channel_id)
    proposal = administrator.proposal(invocation)
    answers = await asyncio.gather(*[peer.endorse(proposal) for peer in peers])
    envelope = sign_envelope(_prepared(proposal, peers, answers).payload, administrator.signer)
    try:
        await orderers.broadcast(envelope, proposal.transaction_id)
    except CommitStatusError as error:
        return await _settled(peers, proposal, newest, answers, error)
    return await _settled(peers, proposal, newest, answers)


async def _settled(
    peers: Sequence[PeerClient],
    proposal: Proposal,
    newest: int,
    answers: Sequence[EndorserAnswer],
    doubt: CommitStatusError | None = None,
) -> Committed:
    """Find the transaction in the blocks behind `newest` at every peer."""
    identifier, channel_id = proposal.transaction_id, proposal.invocation.channel_id
    try:
        outcomes = await asyncio.gather(*[peer.outcome(channel_id, identifier, newest + 1) for peer in peers])
    except CommitStatusError as error:
        raise (doubt or error) from error
    code, number = outcomes[0].code, outcomes[0].block_number
    if code is not ValidationCode.VALID:
        raise CommitFailed(f"it is in block {number} and invalid: {code.name}", identifier, int(code))
    return Committed(identifier, number, answers[0].response.payload)


def _prepared(proposal: Proposal, peers: Sequence[PeerClient], answers: Sequence[EndorserAnswer]) -> Any:
    for peer, answer in zip(peers, answers, strict=True):
        if answer.payload != answers[0].payload:
            raise EndorsersDisagree(
                f"{peer.name} and {peers[0].name} answer differently; nothing was ordered, try again",
                proposal.transaction_id,
            )
    return assemble(proposal, answers[0].payload, [answer.endorsement for answer in answers])


async def _levelled(peers: Sequence[PeerClient], channel_id: str) -> int:
    """Let all peers come to the newest block that any of them has, so that they answer alike; return its number."""
    newest = max(await asyncio.gather(*[peer.newest(channel_id) for peer in peers]))
    await asyncio.gather(*[peer.reach(channel_id, newest) for peer in peers])
    return newest


def _one_administrator(peers: Sequence[PeerClient]) -> Any:
    creators = {peer.administrator.signer.creator for peer in peers}
    if len(creators) != 1:
        raise ConfigurationError(
            "a transaction has one creator: give at least one peer, all of them asked by the same administrator"
        )
    return peers[0].administrator


def _references(message: Any) -> dict[str, tuple[tuple[str, str], ...]]:
    return {
        channel_id: tuple((item.name, item.version) for item in message[channel_id].chaincodes)
        for channel_id in sorted(message)
    }
