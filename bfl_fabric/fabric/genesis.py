"""The first block of a channel: whom it trusts, by which rules, and how blocks are cut.

Decides the configuration tree that `configtxgen` would write for a profile with Fabric's recommended policies. The
bytes are a function of the arguments, so that everybody who is given the same trust makes the same block.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fabric_protos.common import common_pb2, configtx_pb2, configuration_pb2, policies_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2
from fabric_protos.orderer.etcdraft import configuration_pb2 as raft_pb2
from fabric_protos.orderer.smartbft import configuration_pb2 as bft_pb2
from fabric_protos.peer import configuration_pb2 as peer_pb2
from google.protobuf.message import Message

from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric.blocks import build_block, build_header, last_config_slot, signature_value
from bfl_fabric.fabric.envelopes import HeaderType
from bfl_fabric.fabric.identity import Identity
from bfl_fabric.fabric.membership import msp_value
from bfl_fabric.fabric.policy import (
    Role,
    Rule,
    identity_principal,
    implicit_meta_message,
    role_principal,
    signature_policy_message,
)
from bfl_fabric.fabric.trust import Consensus, Consenter, OrdererTrust, OrderingTerms, OrganizationTrust
from bfl_fabric.fabric.wire import write

_ADMINS = "Admins"
_CHANNEL_ID = re.compile(r"[a-z][a-z0-9.-]{0,248}")
_CONFIG_ID = re.compile(r"[a-zA-Z0-9.-]{1,249}")


def genesis_block(
    channel_id: str,
    organizations: Sequence[OrganizationTrust],
    orderers: Sequence[OrdererTrust],
    terms: OrderingTerms,
    at_ms: int,
) -> Any:
    """Return block 0 of a channel, a `common.Block`, always the same for the same arguments.

    `at_ms` is the moment of founding, in milliseconds since 1970. Raises ConfigurationError.
    """
    _require_names(channel_id, organizations, orderers)
    config = configtx_pb2.Config(channel_group=_channel_group(organizations, orderers, terms))
    data = write(configtx_pb2.ConfigEnvelope(config=config))
    nonce = hashlib.sha256(b"genesis" + channel_id.encode() + data).digest()[:24]
    channel_header = common_pb2.ChannelHeader(
        type=HeaderType.CONFIG,
        version=1,
        channel_id=channel_id,
        tx_id=hashlib.sha256(nonce).hexdigest(),
    )
    channel_header.timestamp.seconds = at_ms // 1000
    channel_header.timestamp.nanos = at_ms % 1000 * 1_000_000
    header = common_pb2.Header(
        channel_header=write(channel_header),
        signature_header=write(common_pb2.SignatureHeader(nonce=nonce)),
    )
    envelope = common_pb2.Envelope(payload=write(common_pb2.Payload(header=header, data=data)))
    entries = [write(envelope)]
    signatures = write(common_pb2.Metadata(value=signature_value(0, b"")))
    return build_block(build_header(0, b"", entries), entries, [signatures, last_config_slot(0)])


def consensus_metadata(consenters: Sequence[Consenter], terms: OrderingTerms) -> bytes:
    """Return the metadata of the ConsensusType value: Raft's consenters and options, or BFT's options."""
    if terms.consensus is Consensus.BFT:
        return write(_bft_options(terms))
    options = raft_pb2.Options(
        tick_interval="100ms",
        election_tick=10,
        heartbeat_tick=1,
        max_inflight_blocks=5,
        snapshot_interval_size=16 * 1024 * 1024,
    )
    members = [raft_consenter(item) for item in consenters]
    return write(raft_pb2.ConfigMetadata(consenters=members, options=options))


# --- groups -------------------------------------------------------------------------------------


def _channel_group(
    organizations: Sequence[OrganizationTrust], orderers: Sequence[OrdererTrust], terms: OrderingTerms
) -> Any:
    capability = "V3_0" if terms.consensus is Consensus.BFT else "V2_0"
    group = _group(_meta_policies(), _capabilities(capability))
    _set(group, "HashingAlgorithm", configuration_pb2.HashingAlgorithm(name="SHA256"))
    _set(group, "BlockDataHashingStructure", configuration_pb2.BlockDataHashingStructure(width=2**32 - 1))
    group.groups["Application"].CopyFrom(_application_group(organizations))
    group.groups["Orderer"].CopyFrom(_orderer_group(orderers, terms))
    return group


def _application_group(organizations: Sequence[OrganizationTrust]) -> Any:
    endorsement = implicit_meta_message(Rule.MAJORITY, "Endorsement")
    policies = _meta_policies() | {"Endorsement": endorsement, "LifecycleEndorsement": endorsement}
    group = _group(policies, _capabilities("V2_5"))
    for organization in organizations:
        group.groups[organization.name].CopyFrom(peer_organization(organization))
    return group


def _orderer_group(orderers: Sequence[OrdererTrust], terms: OrderingTerms) -> Any:
    consenters = [consenter for orderer in orderers for consenter in orderer.consenters]
    policies = _meta_policies() | {"BlockValidation": implicit_meta_message(Rule.ANY, "Writers")}
    if terms.consensus is Consensus.BFT:
        policies["BlockValidation"] = quorum_policy(consenters)
    group = _group(policies, _capabilities("V2_0"))
    _set(
        group,
        "BatchSize",
        orderer_pb2.BatchSize(
            max_message_count=terms.max_message_count,
            absolute_max_bytes=terms.absolute_max_bytes,
            preferred_max_bytes=terms.preferred_max_bytes,
        ),
    )
    _set(group, "BatchTimeout", orderer_pb2.BatchTimeout(timeout=terms.timeout))
    _set(group, "ChannelRestrictions", orderer_pb2.ChannelRestrictions())
    metadata = consensus_metadata(consenters, terms)
    _set(group, "ConsensusType", orderer_pb2.ConsensusType(type=terms.consensus.value, metadata=metadata))
    if terms.consensus is Consensus.BFT:
        _set(group, "Orderers", consenter_mapping_value(consenters))
    for orderer in orderers:
        group.groups[orderer.name].CopyFrom(orderer_organization(orderer))
    return group


def peer_organization(organization: OrganizationTrust) -> Any:
    """Return the `common.ConfigGroup` of an organization with peers and clients."""
    msp_id = organization.msp_id
    policies = {
        "Readers": _any_of(msp_id, Role.ADMIN, Role.PEER, Role.CLIENT),
        "Writers": _any_of(msp_id, Role.ADMIN, Role.CLIENT),
        _ADMINS: _any_of(msp_id, Role.ADMIN),
        "Endorsement": _any_of(msp_id, Role.PEER),
    }
    group = _group(policies, {"MSP": organization_msp(organization)})
    if organization.anchor_peers:
        anchors = [peer_pb2.AnchorPeer(host=item.host, port=item.port) for item in organization.anchor_peers]
        _set(group, "AnchorPeers", peer_pb2.AnchorPeers(anchor_peers=anchors))
    return group


def orderer_organization(orderer: OrdererTrust) -> Any:
    """Return the `common.ConfigGroup` of an organization that runs orderers."""
    policies = {
        "Readers": _any_of(orderer.msp_id, Role.MEMBER),
        "Writers": _any_of(orderer.msp_id, Role.MEMBER),
        _ADMINS: _any_of(orderer.msp_id, Role.ADMIN),
    }
    group = _group(policies, {"MSP": organization_msp(orderer)})
    if orderer.endpoints:
        addresses = [str(endpoint) for endpoint in orderer.endpoints]
        _set(group, "Endpoints", configuration_pb2.OrdererAddresses(addresses=addresses))
    return group


# --- values and policies ------------------------------------------------------------------------


def _group(policies: Mapping[str, Message], values: Mapping[str, Message]) -> Any:
    group = configtx_pb2.ConfigGroup(mod_policy=_ADMINS)
    for name, policy in policies.items():
        implicit = isinstance(policy, policies_pb2.ImplicitMetaPolicy)
        kind = policies_pb2.Policy.IMPLICIT_META if implicit else policies_pb2.Policy.SIGNATURE
        group.policies[name].mod_policy = _ADMINS
        group.policies[name].policy.type = kind
        group.policies[name].policy.value = write(policy)
    for name, value in values.items():
        _set(group, name, value)
    return group


def _set(group: Any, name: str, value: Message) -> None:
    group.values[name].value = write(value)
    group.values[name].mod_policy = _ADMINS


def _meta_policies() -> dict[str, Message]:
    return {
        "Readers": implicit_meta_message(Rule.ANY, "Readers"),
        "Writers": implicit_meta_message(Rule.ANY, "Writers"),
        _ADMINS: implicit_meta_message(Rule.MAJORITY, _ADMINS),
    }


def _any_of(msp_id: str, *roles: Role) -> Any:
    return signature_policy_message(1, [role_principal(msp_id, role) for role in roles])


def quorum_policy(consenters: Sequence[Consenter]) -> Any:
    """Return BFT's block validation policy: ⌈(n+f+1)/2⌉ of n consenters, f of which may be faulty."""
    count = len(consenters)
    needed = (count + (count - 1) // 3 + 2) // 2
    creators = [Identity.of(item.msp_id, item.identity).creator for item in consenters]
    return signature_policy_message(needed, [identity_principal(creator) for creator in creators])


def _capabilities(name: str) -> dict[str, Message]:
    capability = {name: configuration_pb2.Capability()}
    return {"Capabilities": configuration_pb2.Capabilities(capabilities=capability)}


def organization_msp(trust: OrganizationTrust | OrdererTrust) -> Any:
    """Return the `msp.MSPConfig` of an organization."""
    return msp_value(trust.msp_id, trust.root_certificates, trust.tls_root_certificates, trust.admins)


def raft_consenter(consenter: Consenter) -> Any:
    """Return the `etcdraft.Consenter`."""
    return raft_pb2.Consenter(
        host=consenter.endpoint.host,
        port=consenter.endpoint.port,
        client_tls_cert=consenter.client_tls_certificate,
        server_tls_cert=consenter.server_tls_certificate,
    )


def consenter_mapping_value(consenters: Sequence[Consenter]) -> Any:
    """Return the `common.Orderers` that names BFT's consenters."""
    mapping = [
        configuration_pb2.Consenter(
            id=item.identifier,
            host=item.endpoint.host,
            port=item.endpoint.port,
            msp_id=item.msp_id,
            identity=item.identity,
            client_tls_cert=item.client_tls_certificate,
            server_tls_cert=item.server_tls_certificate,
        )
        for item in consenters
    ]
    return configuration_pb2.Orderers(consenter_mapping=mapping)


def _bft_options(terms: OrderingTerms) -> Any:
    """Return BFT's options: there, its own interval and not the batch timeout decides when a block is cut."""
    return bft_pb2.Options(
        request_batch_max_count=100,
        request_batch_max_bytes=10 * 1024 * 1024,
        request_batch_max_interval=terms.timeout,
        incoming_message_buffer_size=200,
        request_pool_size=100_000,
        request_forward_timeout="2s",
        request_complain_timeout="5s",
        request_auto_remove_timeout="1m0s",
        view_change_resend_interval="2s",
        view_change_timeout="10s",
        leader_heartbeat_timeout="5s",
        leader_heartbeat_count=10,
        collect_timeout="1s",
    )


def _require_names(
    channel_id: str, organizations: Sequence[OrganizationTrust], orderers: Sequence[OrdererTrust]
) -> None:
    if not _CHANNEL_ID.fullmatch(channel_id):
        raise ConfigurationError(
            f"{channel_id!r} is not a channel name: lower-case letters, digits, '.', '-'"
        )
    for group in (organizations, orderers):
        names = [item.name for item in group]
        if not names or len(set(names)) != len(names) or not all(map(_CONFIG_ID.fullmatch, names)):
            raise ConfigurationError(
                "organization names must be given, distinct, of letters, digits, '.', '-'"
            )
