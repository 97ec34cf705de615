"""Forged transactions: right in all but one thing, so that peers must find them invalid.

Decides what is forged; the peers' own throw-away keys sign what has to be signed. What orderers do not let through,
and what peers do not survive, is left out and said.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import Any

from fabric_protos.common import common_pb2

from bfl_fabric.fabric.endorsement import Simulation, assemble, endorse, response_payload, sign_envelope
from bfl_fabric.fabric.envelopes import ChaincodeEvent, Response
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.fabric.proposal import Invocation, Proposal, build_proposal
from bfl_fabric.fabric.rwsets import NamespaceSet, Write, serialize_rwset
from bfl_fabric.fabric.trust import Consensus
from bfl_fabric.fabric.wire import write
from tests.conformance.probe import Probe
from tests.recordings.definitions import PROBE
from tests.recordings.stage import Stage

PAUSE_SECONDS = 0.2


def forge(stage: Stage, probe: Probe) -> None:
    """Have the orderers order what peers must find invalid: one of each code that they let through."""
    bft = stage.topology.ordering.fabric_consensus is Consensus.BFT
    envelopes = [_forged(stage, name) for name in FORGERIES if not (bft and name in UNORDERED_BY_BFT)]
    twice = probe.endorse("put", "twice", "1")
    envelopes.append(sign_envelope(twice.payload, twice.signer))
    if not bft:  # BFT orderers know what they have ordered, Raft's do not
        envelopes.append(sign_envelope(twice.payload, twice.signer))

    async def send() -> None:
        administrator = stage.site.administrator(stage.topology.organizations[0])
        async with stage.site.orderers(administrator) as orderers:
            for envelope in envelopes:
                await orderers.broadcast(envelope)
                await asyncio.sleep(PAUSE_SECONDS)
            same = _forged(stage, "good")
            together = [_forged(stage, "good"), same, _forged(stage, "good"), *([] if bft else [same])]
            for envelope in together:  # in one block, where the second of the same is a duplicate
                await orderers.broadcast(envelope)

    asyncio.run(send())


# A collection that the chaincode does not define is left out: a peer (3.1.5) panics when it commits the block, and at
# every restart again, although it finds the transaction invalid before. One of another organization's implicit
# collection is left out too: that organization's peer looks for the values for a minute before it goes on.
FORGERIES = (
    "good",
    "another id",
    "another argument",
    "another proposal hash",
    "no nonce",
    "an epoch",
    "another type",
    "not a transaction",
    "spoilt endorsement",
    "endorsed by clients",
    "one endorsement twice",
    "unknown chaincode",
    "another chaincode's state",
    "namespace twice",
    "lifecycle state",
    "event of another",
    "no event id",
    "not a rwset",
    "refused by the contract",
)


UNORDERED_BY_BFT = ("another type",)
"""A BFT leader proposes it, the others refuse to agree, and twelve seconds later they have another leader."""


def _forged(stage: Stage, how: str) -> Any:
    """Return an envelope that is right in all but one thing."""
    signer = stage.person("AlphaMSP", "probing", "client")
    proposal = _proposal(stage, signer, PROBE if how != "unknown chaincode" else "nobody")
    chaincode = proposal.invocation.chaincode
    rwset = {
        "another chaincode's state": [_puts(stage.topology.chaincode)],
        "namespace twice": [_puts(PROBE), _puts(PROBE)],
        "lifecycle state": [_puts("_lifecycle")],
    }.get(how, [_puts(chaincode)])
    results = b"\xff\xff" if how == "not a rwset" else serialize_rwset(rwset)
    event = {
        "event of another": ChaincodeEvent("other", proposal.transaction_id, "name", b""),
        "no event id": ChaincodeEvent(PROBE, "", "name", b""),
    }.get(how)
    status = 500 if how == "refused by the contract" else 200
    simulation = Simulation(chaincode, "1", results, Response(status, "", b"forged"), event)
    answered = _changed_proposal(proposal) if how == "another proposal hash" else proposal
    payload = response_payload(answered, simulation)
    peers = [stage.peer_identity(0), stage.peer_identity(1)]
    if how == "endorsed by clients":
        peers = [signer, stage.person("BetaMSP", "probing", "client")]
    endorsements = [endorse(payload, item) for item in peers]
    if how == "spoilt endorsement":
        endorsements[1] = endorsements[1]._replace(signature=endorse(payload + b"!", peers[1]).signature)
    if how == "one endorsement twice":
        endorsements = [
            endorsements[0],
            endorsements[0]._replace(signature=endorse(payload, peers[0]).signature),
        ]
    raw = assemble(proposal, payload, endorsements).payload
    return sign_envelope(_spoilt(raw, how), signer)


def _proposal(stage: Stage, signer: SigningIdentity, chaincode: str) -> Proposal:
    call = Invocation(stage.topology.channel, chaincode, (b"put", b"forged", b"1"))
    return build_proposal(call, signer.creator, secrets.token_bytes(24), stage.site.clock.now_ms())


def _changed_proposal(proposal: Proposal) -> Proposal:
    return replace(proposal, payload=proposal.payload.replace(b"forged", b"FORGED"))


def _puts(namespace: str) -> NamespaceSet:
    return NamespaceSet(namespace, writes=(Write("forged", b"1"),))


def _spoilt(raw: bytes, how: str) -> bytes:
    """Change the signed payload of an envelope before it is signed."""
    payload = common_pb2.Payload.FromString(raw)
    header = common_pb2.ChannelHeader.FromString(payload.header.channel_header)
    signature = common_pb2.SignatureHeader.FromString(payload.header.signature_header)
    if how == "another id":
        header.tx_id = "0" * 64
    elif how == "an epoch":
        header.epoch = 1
    elif how == "another type":
        header.type = common_pb2.MESSAGE
    elif how == "no nonce":
        signature.ClearField("nonce")
    elif how == "not a transaction":
        payload.data = b"\xff\xff"
    elif how == "another argument":
        payload.data = payload.data.replace(b"forged", b"FORGED", 1)
    payload.header.channel_header = write(header)
    payload.header.signature_header = write(signature)
    return write(payload)
