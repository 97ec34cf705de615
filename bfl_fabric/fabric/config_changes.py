"""Changes of a channel's configuration, each by its name: a `common.Config` in, the desired one out.

Decides what a change means in the configuration tree. Nothing is sent and nobody signs here: the update is made by
`bfl_fabric.fabric.config_delta`, handed over by `bfl_fabric.fabric.config_submission`. What a function is given is
left as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fabric_protos.common import configtx_pb2, configuration_pb2, policies_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2
from fabric_protos.orderer.etcdraft import configuration_pb2 as raft_pb2
from fabric_protos.orderer.smartbft import configuration_pb2 as bft_pb2
from fabric_protos.peer import configuration_pb2 as peer_pb2
from google.protobuf.message import Message

from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.fabric.genesis import (
    consenter_mapping_value,
    orderer_organization,
    organization_msp,
    peer_organization,
    quorum_policy,
    raft_consenter,
)
from bfl_fabric.fabric.membership import Membership
from bfl_fabric.fabric.trust import Consensus, Consenter, Endpoint, OrdererTrust, OrganizationTrust
from bfl_fabric.fabric.wire import read, write

_ADMINS = "Admins"
_APPLICATION, _ORDERER = "Application", "Orderer"


@dataclass(frozen=True, slots=True)
class BlockCutting:
    """When a block is cut; what is None stays as it is."""

    max_message_count: int | None = None
    timeout_ms: int | None = None
    absolute_max_bytes: int | None = None
    preferred_max_bytes: int | None = None


# --- organizations ------------------------------------------------------------------------------


def add_organization(config: Any, trust: OrganizationTrust) -> Any:
    """Add an organization with peers. Raises ConfigurationError when the channel has one of this name or MSP."""
    known = ChannelConfig("", config).organizations
    if trust.msp_id in known or trust.name in config.channel_group.groups[_APPLICATION].groups:
        raise ConfigurationError(f"{trust.name} ({trust.msp_id}) is an organization of the channel already")
    changed = _copy(config)
    changed.channel_group.groups[_APPLICATION].groups[trust.name].CopyFrom(peer_organization(trust))
    return changed


def remove_organization(config: Any, name: str) -> Any:
    """Remove an organization with peers; what it has on the ledger stays there. Raises ConfigurationError."""
    changed = _copy(config)
    _organization(changed, _APPLICATION, name)
    del changed.channel_group.groups[_APPLICATION].groups[name]
    return changed


def add_orderer_organization(config: Any, trust: OrdererTrust) -> Any:
    """Add an organization that may run orderers; its consenters are added one by one afterwards."""
    changed = _copy(config)
    groups = changed.channel_group.groups[_ORDERER].groups
    if trust.name in groups or trust.msp_id in ChannelConfig("", config).orderers:
        raise ConfigurationError(f"{trust.name} ({trust.msp_id}) runs orderers of the channel already")
    groups[trust.name].CopyFrom(orderer_organization(trust))
    return changed


def replace_msp(config: Any, name: str, trust: OrganizationTrust | OrdererTrust) -> Any:
    """Give an organization other certificates to be trusted by, wherever it stands in the configuration.

    To replace an authority, first name the old and the new root together, replace the certificates of everybody,
    then name the new root alone. Raises ConfigurationError when the channel has no such organization, or under
    another MSP id.
    """
    changed = _copy(config)
    found = [
        changed.channel_group.groups[kind].groups[name]
        for kind in (_APPLICATION, _ORDERER)
        if name in changed.channel_group.groups[kind].groups
    ]
    if not found:
        raise ConfigurationError(f"{name} is no organization of the channel")
    for group in found:
        msp_id = Membership.from_value(group.values["MSP"].value).msp_id
        if msp_id != trust.msp_id:
            raise ConfigurationError(
                f"{name} has the MSP id {msp_id}, which cannot be changed to {trust.msp_id}"
            )
        _set(group, "MSP", organization_msp(trust))
    return changed


def set_anchor_peers(config: Any, name: str, endpoints: Sequence[Endpoint]) -> Any:
    """Say where other organizations find an organization's peers. Raises ConfigurationError."""
    changed = _copy(config)
    anchors = [peer_pb2.AnchorPeer(host=item.host, port=item.port) for item in endpoints]
    _set(
        _organization(changed, _APPLICATION, name), "AnchorPeers", peer_pb2.AnchorPeers(anchor_peers=anchors)
    )
    return changed


def set_orderer_endpoints(config: Any, name: str, endpoints: Sequence[Endpoint]) -> Any:
    """Say where clients and peers find an organization's orderers. Raises ConfigurationError."""
    changed = _copy(config)
    addresses = configuration_pb2.OrdererAddresses(addresses=[str(item) for item in endpoints])
    _set(_organization(changed, _ORDERER, name), "Endpoints", addresses)
    return changed


# --- ordering -----------------------------------------------------------------------------------


def set_block_cutting(config: Any, cutting: BlockCutting) -> Any:
    """Change when blocks are cut. With BFT, the timeout is its own interval and not the batch timeout."""
    changed = _copy(config)
    orderer = changed.channel_group.groups[_ORDERER]
    size = read(orderer_pb2.BatchSize, orderer.values["BatchSize"].value, "batch size")
    for field in ("max_message_count", "absolute_max_bytes", "preferred_max_bytes"):
        wanted = getattr(cutting, field)
        if wanted is not None:
            _require_positive(field, wanted)
            setattr(size, field, wanted)
    _set(orderer, "BatchSize", size)
    if cutting.timeout_ms is not None:
        _require_positive("timeout_ms", cutting.timeout_ms)
        _set_timeout(orderer, f"{cutting.timeout_ms}ms")
    return changed


def add_consenter(config: Any, consenter: Consenter) -> Any:
    """Add an orderer to those that agree. Raises ConfigurationError when one at this place is there already."""
    consenters = _consenters(config)
    if consenter.endpoint in [item.endpoint for item in consenters]:
        raise ConfigurationError(f"an orderer at {consenter.endpoint} is among the consenters already")
    return _with_consenters(config, [*consenters, consenter])


def remove_consenter(config: Any, endpoint: Endpoint) -> Any:
    """Take an orderer out of those that agree. Raises ConfigurationError."""
    leaving = _consenter_at(config, endpoint)
    return _with_consenters(config, [item for item in _consenters(config) if item != leaving])


def replace_consenter(config: Any, endpoint: Endpoint, consenter: Consenter) -> Any:
    """Let a consenter take the place of the one at `endpoint`. Raises ConfigurationError."""
    leaving = _consenter_at(config, endpoint)
    return _with_consenters(config, [consenter if item == leaving else item for item in _consenters(config)])


def rotate_consenter_tls(config: Any, endpoint: Endpoint, client: bytes, server: bytes) -> Any:
    """Give the orderer at `endpoint` other TLS certificates (PEM); afterwards restart it with them, one at a time."""
    rotated = replace(
        _consenter_at(config, endpoint), client_tls_certificate=client, server_tls_certificate=server
    )
    return replace_consenter(config, endpoint, rotated)


def _consenters(config: Any) -> tuple[Consenter, ...]:
    return ChannelConfig("", config).consenters


def _consenter_at(config: Any, endpoint: Endpoint) -> Consenter:
    for consenter in _consenters(config):
        if consenter.endpoint == endpoint:
            return consenter
    raise ConfigurationError(f"no orderer at {endpoint} is among the consenters")


def _with_consenters(config: Any, consenters: Sequence[Consenter]) -> Any:
    changed = _copy(config)
    orderer = changed.channel_group.groups[_ORDERER]
    if not consenters:
        raise ConfigurationError("a channel without orderers stands still: leave at least one")
    if _consensus(orderer).type == Consensus.BFT.value:
        _set(orderer, "Orderers", consenter_mapping_value(consenters))
        policy = policies_pb2.Policy(
            type=policies_pb2.Policy.SIGNATURE, value=write(quorum_policy(consenters))
        )
        orderer.policies["BlockValidation"].policy.CopyFrom(policy)
        return changed
    _require_successor(_consenters(config), consenters)
    kind = _consensus(orderer)
    metadata = read(raft_pb2.ConfigMetadata, kind.metadata, "consensus metadata")
    del metadata.consenters[:]
    metadata.consenters.extend(raft_consenter(item) for item in consenters)
    kind.metadata = write(metadata)
    _set(orderer, "ConsensusType", kind)
    return changed


def _require_successor(before: Sequence[Consenter], after: Sequence[Consenter]) -> None:
    """A Raft leader hands the lead over before its own entry changes; alone it drops the update without a word."""
    if len(before) == 1 and before[0] not in after:
        raise ConfigurationError(
            f"the channel's only orderer, {before[0].endpoint}, cannot be replaced: add another one first; a renewed "
            "TLS certificate with the same key needs no change of the configuration"
        )


def _set_timeout(orderer: Any, timeout: str) -> None:
    _set(orderer, "BatchTimeout", orderer_pb2.BatchTimeout(timeout=timeout))
    kind = _consensus(orderer)
    if kind.type == Consensus.BFT.value:
        options = read(bft_pb2.Options, kind.metadata, "consensus metadata")
        options.request_batch_max_interval = timeout
        kind.metadata = write(options)
        _set(orderer, "ConsensusType", kind)


def _consensus(orderer: Any) -> Any:
    return read(orderer_pb2.ConsensusType, orderer.values["ConsensusType"].value, "consensus type")


# --- the tree -----------------------------------------------------------------------------------


def _copy(config: Any) -> Any:
    changed = configtx_pb2.Config()
    changed.CopyFrom(config)
    return changed


def _organization(config: Any, kind: str, name: str) -> Any:
    groups = config.channel_group.groups[kind].groups
    if name not in groups:
        known = ", ".join(sorted(groups))
        raise ConfigurationError(f"{name} is no organization of the channel's {kind} group; it has {known}")
    return groups[name]


def _set(group: Any, name: str, value: Message) -> None:
    """Set a value; one that is new is guarded by the administrators, one that is there keeps its guard."""
    group.values[name].value = write(value)
    group.values[name].mod_policy = group.values[name].mod_policy or _ADMINS


def _require_positive(name: str, value: int) -> None:
    if value <= 0:
        raise ConfigurationError(f"block cutting: {name} must be more than 0, not {value}")
