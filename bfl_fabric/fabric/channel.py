"""A channel's configuration: read from a configuration block, asked for members and policies, carried forward.

Decides who is a member at a moment and which policy stands at a path. How the next configuration follows from an
update is left to `bfl_fabric.fabric.config_update`, how the first is made to `bfl_fabric.fabric.genesis`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from fabric_protos.common import configtx_pb2, configuration_pb2, policies_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2
from fabric_protos.orderer.etcdraft import configuration_pb2 as raft_pb2
from fabric_protos.peer import configuration_pb2 as peer_pb2
from fabric_protos.peer import policy_pb2

from bfl_fabric.errors import MalformedInput, NotTrusted
from bfl_fabric.fabric.blocks import Block
from bfl_fabric.fabric.envelopes import HeaderType, parse_envelope
from bfl_fabric.fabric.genesis import genesis_block
from bfl_fabric.fabric.identity import Identity
from bfl_fabric.fabric.membership import Membership
from bfl_fabric.fabric.policy import (
    ImplicitMeta,
    Member,
    NeverSatisfied,
    Policy,
    Role,
    Rule,
    SignaturePolicy,
    role_principal,
    signature_policy_message,
)
from bfl_fabric.fabric.trust import (
    Consensus,
    Consenter,
    Endpoint,
    OrdererTrust,
    OrderingTerms,
    OrganizationTrust,
)
from bfl_fabric.fabric.wire import read, write

__all__ = [
    "BLOCK_VALIDATION",
    "ENDORSEMENT",
    "LIFECYCLE_ENDORSEMENT",
    "READERS",
    "WRITERS",
    "ChannelConfig",
    "Consensus",
    "Consenter",
    "Endpoint",
    "OrdererTrust",
    "OrderingTerms",
    "OrganizationTrust",
    "SignedData",
    "config_envelope",
    "genesis_block",
    "policy_reference",
]

_LOG = logging.getLogger(__name__)
_CREATOR = attrgetter("identity.creator")

READERS = "/Channel/Application/Readers"
WRITERS = "/Channel/Application/Writers"
ENDORSEMENT = "/Channel/Application/Endorsement"
LIFECYCLE_ENDORSEMENT = "/Channel/Application/LifecycleEndorsement"
BLOCK_VALIDATION = "/Channel/Orderer/BlockValidation"


class SignedData(NamedTuple):
    """A claim that the identity `creator` signed `data`."""

    creator: bytes
    data: bytes
    signature: bytes

    def verify(self, identity: Identity, *, strict: bool) -> None:
        """Check it for the identity that `creator` is. Raises NotTrusted."""
        verify = identity.verify if strict else identity.verify_liberally
        verify(self.data, self.signature)


class SignatureClaim(Protocol):
    """A signature and who is said to have made it: `SignedData`, or one whose data were hashed before."""

    @property
    def creator(self) -> bytes: ...

    def verify(self, identity: Identity, *, strict: bool) -> None:
        """Check it for the identity that `creator` is. Raises NotTrusted."""


class ChannelConfig:
    """One configuration of a channel, immutable. Certificates are parsed and chained once each."""

    def __init__(self, channel_id: str, config: Any) -> None:
        """Read a `common.Config` message. Raises MalformedInput."""
        self.channel_id = channel_id
        self.config = config
        self.sequence: int = config.sequence
        groups = config.channel_group.groups
        if "Application" not in groups or "Orderer" not in groups:
            raise MalformedInput("channel configuration: the groups Application and Orderer are needed")
        self._memberships: dict[str, Membership] = {}
        self._application = self._read_memberships(groups["Application"])
        self._ordering = self._read_memberships(groups["Orderer"])
        self._policies = dict(_policies("/Channel", config.channel_group))
        self._members: dict[bytes, Member] = {}
        self._verdicts: dict[tuple[bytes, ...], bool] = {}
        self._monotone: dict[bytes, bool] = {}
        self.organizations = {
            trust.msp_id: trust
            for trust in map(self._organization, sorted(groups["Application"].groups.items()))
        }
        self.terms, self.consenters = _ordering(groups["Orderer"])
        self.orderers = {
            trust.msp_id: trust for trust in map(self._orderer, sorted(groups["Orderer"].groups.items()))
        }

    @classmethod
    def from_block(cls, block: Block) -> ChannelConfig:
        """Read a configuration block. Raises MalformedInput."""
        channel_id, envelope = config_envelope(block)
        return cls(channel_id, envelope.config)

    def member(self, creator: bytes, at_ms: int) -> Member:
        """Return the member behind a serialized identity, good at this moment. Raises NotTrusted, MalformedInput."""
        member = self.admit(creator)
        if not member.is_valid_at(at_ms):
            raise NotTrusted(
                f"{member.msp_id}/{member.identity.common_name}: the certificate is not valid at {at_ms}"
            )
        return member

    def admit(self, creator: bytes) -> Member:
        """Return the member behind a serialized identity, whatever the time. Raises NotTrusted, MalformedInput."""
        found = self._members.get(creator)
        if found is None:
            identity = Identity.parse(creator)
            membership = self._memberships.get(identity.msp_id)
            if membership is None:
                raise NotTrusted(f"{identity.msp_id}: no organization of the channel {self.channel_id}")
            found = self._members[creator] = membership.admit(identity)
        return found

    def signers(self, claims: Iterable[SignatureClaim], at_ms: int, *, strict: bool = True) -> list[Member]:
        """Return the members whose signatures are good, each once; claims that are not are left out, as in Fabric.

        `strict` is for signatures that nothing else covers; inside signed data all that Fabric takes is taken.
        """
        found: list[Member] = []
        for claim in claims:
            member = self.find_signer(claim, at_ms, found, strict=strict)
            if member is not None:
                found.append(member)
        return found

    def find_signer(
        self, claim: SignatureClaim, at_ms: int, known: Sequence[Member], *, strict: bool = True
    ) -> Member | None:
        """Return the member whose signature this is, None when it is not good or the member's certificate is known."""
        try:
            member = self.member(claim.creator, at_ms)
            if any(other.certificate_der == member.certificate_der for other in known):
                return None
            claim.verify(member.identity, strict=strict)
        except (MalformedInput, NotTrusted) as error:
            _LOG.debug("a signature is not counted: %s", error)
            return None
        return member

    def policy(self, path: str) -> Policy:
        """Return the policy at an absolute path, one that is never satisfied when there is none."""
        return self._policies.get(path, NeverSatisfied())

    def satisfies(self, path: str, members: Sequence[Member]) -> bool:
        """Say whether these signers satisfy the policy at an absolute path."""
        return self.policy(path).satisfied_by(members)

    def application_policy(self, raw: bytes) -> Policy:
        """Read a `protos.ApplicationPolicy`: a chaincode's own policy or a reference. Raises MalformedInput."""
        message = read(policy_pb2.ApplicationPolicy, raw, "application policy")
        kind = message.WhichOneof("Type")
        if kind == "signature_policy":
            return SignaturePolicy.compile(message.signature_policy)
        if kind == "channel_config_policy_reference":
            reference = message.channel_config_policy_reference
            return self.policy(reference if reference.startswith("/") else f"/Channel/{reference}")
        raise MalformedInput("application policy: of no known kind")

    def application_verdict(self, raw: bytes, members: Sequence[Member]) -> bool:
        """Say whether these signers satisfy a `protos.ApplicationPolicy`; verdicts are remembered."""
        key = (raw, *map(_CREATOR, members))
        found = self._verdicts.get(key)
        if found is None:
            found = self._verdicts[key] = self.application_policy(raw).satisfied_by(members)
        return found

    def is_monotone(self, raw: bytes) -> bool:
        """Say whether more signers never spoil a `protos.ApplicationPolicy`; remembered. Raises MalformedInput."""
        if raw not in self._monotone:
            self._monotone[raw] = self.application_policy(raw).is_monotone
        return self._monotone[raw]

    def organization_endorsement(self, msp_id: str) -> bytes:
        """Return the application policy that guards an organization's implicit collection. Raises NotTrusted."""
        if msp_id not in self.organizations:
            raise NotTrusted(f"{msp_id}: no organization of the channel {self.channel_id}")
        path = f"/Channel/Application/{self.organizations[msp_id].name}/Endorsement"
        if path in self._policies:
            return policy_reference(path)
        member = signature_policy_message(1, [role_principal(msp_id, Role.MEMBER)])
        return write(policy_pb2.ApplicationPolicy(signature_policy=member))

    def lifecycle_endorsement(self) -> bytes:
        """Return the application policy that guards chaincode definitions."""
        if LIFECYCLE_ENDORSEMENT in self._policies:
            return policy_reference(LIFECYCLE_ENDORSEMENT)
        members = [role_principal(msp_id, Role.MEMBER) for msp_id in self.organizations]
        majority = signature_policy_message(len(members) // 2 + 1, members)
        return write(policy_pb2.ApplicationPolicy(signature_policy=majority))

    def tls_roots(self, msp_id: str) -> tuple[bytes, ...]:
        """Return the TLS authorities of an organization. Raises NotTrusted."""
        if msp_id not in self._memberships:
            raise NotTrusted(f"{msp_id}: no organization of the channel {self.channel_id}")
        return self._memberships[msp_id].tls_root_certificates

    @property
    def capabilities(self) -> frozenset[str]:
        """The channel's capabilities, those of the application prefixed with `application:`."""
        root = self.config.channel_group
        application = _capabilities(root.groups["Application"])
        return _capabilities(root) | {f"application:{name}" for name in application}

    def _read_memberships(self, group: Any) -> dict[str, Membership]:
        """Return the membership of each organization's group; one MSP has one definition in all groups."""
        found = {}
        for name, organization in group.groups.items():
            membership = Membership.from_value(_value(organization, "MSP"))
            known = self._memberships.setdefault(membership.msp_id, membership)
            if known.definition != membership.definition:
                raise MalformedInput(f"channel configuration: {membership.msp_id} is defined in two ways")
            found[name] = known
        return found

    def _organization(self, item: tuple[str, Any]) -> OrganizationTrust:
        name, group = item
        membership = self._application[name]
        anchors = read(peer_pb2.AnchorPeers, _value(group, "AnchorPeers"), "anchor peers").anchor_peers
        return OrganizationTrust(
            msp_id=membership.msp_id,
            name=name,
            root_certificates=membership.root_certificates,
            tls_root_certificates=membership.tls_root_certificates,
            anchor_peers=tuple(Endpoint(anchor.host, anchor.port) for anchor in anchors),
            admins=membership.admins,
        )

    def _orderer(self, item: tuple[str, Any]) -> OrdererTrust:
        name, group = item
        membership = self._ordering[name]
        endpoints = read(configuration_pb2.OrdererAddresses, _value(group, "Endpoints"), "endpoints")
        return OrdererTrust(
            msp_id=membership.msp_id,
            name=name,
            root_certificates=membership.root_certificates,
            tls_root_certificates=membership.tls_root_certificates,
            consenters=tuple(one for one in self.consenters if one.msp_id in ("", membership.msp_id)),
            endpoints=tuple(Endpoint.parse(address) for address in endpoints.addresses),
            admins=membership.admins,
        )


def policy_reference(path: str) -> bytes:
    """Return the `protos.ApplicationPolicy` that refers to a policy of the channel."""
    return write(policy_pb2.ApplicationPolicy(channel_config_policy_reference=path))


def config_envelope(block: Block) -> tuple[str, Any]:
    """Return a configuration block's channel and its `common.ConfigEnvelope`. Raises MalformedInput."""
    what = f"block {block.number}: configuration"
    if len(block.entries) != 1:
        raise MalformedInput(f"{what}: must be alone in its block")
    transaction = parse_envelope(block.entries[0])
    if transaction.type != HeaderType.CONFIG:
        raise MalformedInput(f"{what}: the block holds none")
    return transaction.channel_id, read(configtx_pb2.ConfigEnvelope, transaction.data, what)


# --- details ------------------------------------------------------------------------------------


def _value(group: Any, name: str) -> bytes:
    """Return a value's bytes, none when it is absent; asking a protobuf map for a missing key would add it."""
    return bytes(group.values[name].value) if name in group.values else b""


def _policies(path: str, group: Any) -> Mapping[str, Policy]:
    """Return the policies of a group and of all below it by absolute path."""
    children = {name: f"{path}/{name}" for name in sorted(group.groups)}
    found: dict[str, Policy] = {}
    for name, child in children.items():
        found.update(_policies(child, group.groups[name]))
    for name in sorted(group.policies):
        policy = group.policies[name].policy
        found[f"{path}/{name}"] = _policy(policy, found, list(children.values()))
    return found


def _policy(policy: Any, found: Mapping[str, Policy], children: Sequence[str]) -> Policy:
    if policy.type == policies_pb2.Policy.IMPLICIT_META:
        meta = read(policies_pb2.ImplicitMetaPolicy, policy.value, "implicit meta policy")
        below = [found.get(f"{child}/{meta.sub_policy}", NeverSatisfied()) for child in children]
        return ImplicitMeta.of(Rule(meta.rule), below)
    if policy.type == policies_pb2.Policy.SIGNATURE:
        envelope = read(policies_pb2.SignaturePolicyEnvelope, policy.value, "signature policy")
        return SignaturePolicy.compile(envelope)
    raise MalformedInput(f"channel configuration: policies of type {policy.type} are not supported")


def _ordering(group: Any) -> tuple[OrderingTerms, tuple[Consenter, ...]]:
    consensus = read(orderer_pb2.ConsensusType, _value(group, "ConsensusType"), "consensus type")
    size = read(orderer_pb2.BatchSize, _value(group, "BatchSize"), "batch size")
    timeout = read(orderer_pb2.BatchTimeout, _value(group, "BatchTimeout"), "batch timeout")
    try:
        kind = Consensus(consensus.type)
    except ValueError as error:
        raise MalformedInput(f"channel configuration: consensus {consensus.type!r} is unknown") from error
    terms = OrderingTerms(
        consensus=kind,
        max_message_count=size.max_message_count,
        timeout=timeout.timeout,
        absolute_max_bytes=size.absolute_max_bytes,
        preferred_max_bytes=size.preferred_max_bytes,
    )
    if kind is Consensus.BFT:
        orderers = read(configuration_pb2.Orderers, _value(group, "Orderers"), "orderers")
        return terms, tuple(_bft_consenter(item) for item in orderers.consenter_mapping)
    raft = read(raft_pb2.ConfigMetadata, consensus.metadata, "consensus metadata")
    return terms, tuple(_raft_consenter(item) for item in raft.consenters)


def _bft_consenter(message: Any) -> Consenter:
    return Consenter(
        endpoint=Endpoint(message.host, message.port),
        client_tls_certificate=message.client_tls_cert,
        server_tls_certificate=message.server_tls_cert,
        identifier=message.id,
        identity=message.identity,
        msp_id=message.msp_id,
    )


def _raft_consenter(message: Any) -> Consenter:
    return Consenter(
        endpoint=Endpoint(message.host, message.port),
        client_tls_certificate=message.client_tls_cert,
        server_tls_certificate=message.server_tls_cert,
    )


def _capabilities(group: Any) -> frozenset[str]:
    message = read(configuration_pb2.Capabilities, _value(group, "Capabilities"), "capabilities")
    return frozenset(message.capabilities)
