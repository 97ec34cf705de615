"""A chain of blocks as peers would hand it out, made without any ledger: for tests of what reads blocks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.peer import collection_pb2
from fabric_protos.peer.lifecycle import chaincode_definition_pb2, db_pb2

from bfl_fabric.fabric.blocks import (
    build_block,
    build_header,
    commit_hash,
    commit_hash_slot,
    header_bytes,
    header_hash,
    last_config_slot,
    signature_value,
    signed_block_metadata,
)
from bfl_fabric.fabric.channel import Consensus, policy_reference
from bfl_fabric.fabric.endorsement import Simulation, assemble, endorse, response_payload, sign_envelope
from bfl_fabric.fabric.envelopes import ChaincodeEvent, Response, ValidationCode
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.fabric.proposal import Invocation, Proposal, build_proposal
from bfl_fabric.fabric.rwsets import Height, NamespaceSet, Read, Write, serialize_rwset
from bfl_fabric.fabric.state import ReplayedState, Updates
from bfl_fabric.fabric.wire import write
from tests.unit.fabric.organizations import CHAINCODE, CHANNEL, FOUNDED_MS, Federation

VERSION = "1.0"
ENDORSEMENT = "/Channel/Application/Endorsement"


@dataclass
class Call:
    """A transaction to be: who proposes what, who endorses, what it reads and writes."""

    creator: SigningIdentity
    endorsers: Sequence[SigningIdentity]
    rwset: Sequence[NamespaceSet]
    nonce: bytes = b""
    at_ms: int = FOUNDED_MS + 60_000
    chaincode: str = CHAINCODE
    event: ChaincodeEvent | None = None
    arguments: tuple[bytes, ...] = (b"test:Put", b"{}")


def propose(call: Call) -> Proposal:
    nonce = call.nonce or hashlib.sha256(repr(call.rwset).encode() + call.creator.creator).digest()[:24]
    invocation = Invocation(CHANNEL, call.chaincode, call.arguments)
    return build_proposal(invocation, call.creator.creator, nonce, call.at_ms)


def envelope(call: Call) -> bytes:
    """Return the signed envelope of a call, as it stands in a block."""
    proposal = propose(call)
    version = "syscc" if call.chaincode.startswith("_") else VERSION
    response = Response(200, "", b'{"ok":true}')
    simulation = Simulation(call.chaincode, version, serialize_rwset(call.rwset), response, call.event)
    payload = response_payload(proposal, simulation)
    unsigned = assemble(proposal, payload, [endorse(payload, item) for item in call.endorsers])
    return write(sign_envelope(unsigned.payload, call.creator))


@dataclass
class ChainBuilder:
    """Builds blocks on top of a genesis block; validation codes are what the caller says."""

    federation: Federation
    with_codes: bool = True
    blocks: list[bytes] = field(default_factory=list)
    state: ReplayedState = field(default_factory=ReplayedState)
    last_config: int = 0
    _header: Any = None
    _commit_hash: bytes = b""

    def __post_init__(self) -> None:
        genesis = self.federation.genesis()
        if self.with_codes:
            genesis.metadata.metadata[2] = b"\0"
        self._header = genesis.header
        self.blocks.append(write(genesis))

    @property
    def genesis_digest(self) -> str:
        return header_hash(self.federation.genesis().header).hex()

    def add(
        self,
        entries: Sequence[bytes],
        codes: Sequence[ValidationCode],
        rwsets: Sequence[Sequence[NamespaceSet]] = (),
    ) -> bytes:
        """Add a block; `rwsets` are the write sets of the valid entries, in order."""
        number = len(self.blocks)
        header = build_header(number, header_hash(self._header), entries)
        slots = [self.signatures(header), last_config_slot(self.last_config), b"", b"", b""]
        updates = Updates()
        valid = [index for index, code in enumerate(codes) if code is ValidationCode.VALID]
        for index, rwset in zip(valid, rwsets, strict=False):
            updates.apply(tuple(rwset), Height(number, index), self.state)
        self.state.commit(updates)
        self._commit_hash = commit_hash(bytes(codes), updates.serialize(), self._commit_hash)
        if self.with_codes:
            slots[2], slots[4] = bytes(codes), commit_hash_slot(self._commit_hash)
        self._header = header
        self.blocks.append(write(build_block(header, entries, slots)))
        return self.blocks[-1]

    def add_calls(self, *calls: Call) -> bytes:
        """Add a block of transactions that are all valid."""
        return self.add(
            [envelope(call) for call in calls],
            [ValidationCode.VALID] * len(calls),
            [call.rwset for call in calls],
        )

    def signatures(self, header: Any) -> bytes:
        """Return metadata slot 0, signed by the one Raft orderer or by three of four BFT orderers."""
        nonce = bytes(24)
        if self.federation.consensus is Consensus.RAFT:
            return signed_block_metadata(header, self.last_config, self.federation.consenters[0], nonce)
        value = signature_value(self.last_config, b"view")
        signed = []
        for number, identity in list(enumerate(self.federation.consenters, start=1))[:3]:
            identifier = write(common_pb2.IdentifierHeader(identifier=number, nonce=nonce))
            signature = identity.sign(value + identifier + header_bytes(header))
            signed.append(common_pb2.MetadataSignature(identifier_header=identifier, signature=signature))
        return write(common_pb2.Metadata(value=value, signatures=signed))

    def define_chaincode(self, policy: bytes = b"", collections: Sequence[Any] = ()) -> bytes:
        """Add the block in which the chaincode's definition is committed."""
        peers = [item.peer for item in self.federation.organizations[:2]]
        part = NamespaceSet(
            "_lifecycle", writes=definition_writes(policy or policy_reference(ENDORSEMENT), collections)
        )
        return self.add_calls(
            Call(self.federation.organizations[0].admin, peers, [part], chaincode="_lifecycle")
        )


def definition_writes(policy: bytes, collections: Sequence[Any] = ()) -> tuple[Write, ...]:
    """Return the state entries of a chaincode definition, as Fabric's lifecycle writes them."""
    fields = {
        "EndorsementInfo": chaincode_definition_pb2.ChaincodeEndorsementInfo(
            version=VERSION, endorsement_plugin="escc"
        ),
        "ValidationInfo": chaincode_definition_pb2.ChaincodeValidationInfo(
            validation_plugin="vscc", validation_parameter=policy
        ),
        "Collections": collection_pb2.CollectionConfigPackage(
            config=[collection_pb2.CollectionConfig(static_collection_config=item) for item in collections]
        ),
    }
    metadata = db_pb2.StateMetadata(datatype="ChaincodeDefinition", fields=["Sequence", *fields])
    prefix = f"namespaces/fields/{CHAINCODE}"
    values = {f"{prefix}/{name}": write(db_pb2.StateData(Bytes=write(item))) for name, item in fields.items()}
    values[f"{prefix}/Sequence"] = write(db_pb2.StateData(Int64=1))
    values[f"namespaces/metadata/{CHAINCODE}"] = write(metadata)
    return tuple(Write(key, value) for key, value in sorted(values.items()))


def put(key: str, value: bytes, read: Height | None = None, *, reads: bool = True) -> NamespaceSet:
    """Return a part that reads one key at a version and writes it."""
    return NamespaceSet(CHAINCODE, reads=(Read(key, read),) if reads else (), writes=(Write(key, value),))
