"""What organizations agree on when they take a chaincode: its definition, as Fabric's lifecycle writes it.

Decides the messages of a definition, for the embedded ledger and for real peers alike. How a definition is approved
and committed is left to `bfl_fabric.fabric.deployment`; what validation reads of it to `bfl_fabric.fabric.lifecycle`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fabric_protos.msp import msp_principal_pb2
from fabric_protos.peer import collection_pb2, policy_pb2
from fabric_protos.peer.lifecycle import lifecycle_pb2

from bfl_fabric.fabric.channel import ENDORSEMENT, policy_reference
from bfl_fabric.fabric.policy import Role, role_principal, signature_policy_message
from bfl_fabric.fabric.wire import read, write

ENDORSEMENT_PLUGIN, VALIDATION_PLUGIN = "escc", "vscc"


@dataclass(frozen=True, slots=True)
class CollectionDefinition:
    """A private data collection: the organizations that hold the values.

    With `members_only_read` (`_write`) only their clients may read (write) through the contract. Values are dropped
    `block_to_live` blocks after they were written, never when it is 0. Before a value is endorsed it must be with
    `required_peers` other peers; it is sent to at most `maximum_peers`.
    """

    name: str
    organizations: tuple[str, ...]
    members_only_read: bool = True
    members_only_write: bool = True
    block_to_live: int = 0
    required_peers: int = 0
    maximum_peers: int = 1


@dataclass(frozen=True, slots=True)
class ChaincodeDefinition:
    """A chaincode on a channel. Each change of a definition has the next `sequence`, from 1.

    `policy` is a serialized `protos.ApplicationPolicy`; without it the channel's own endorsement policy holds.
    """

    name: str
    version: str
    sequence: int = 1
    policy: bytes = b""
    collections: tuple[CollectionDefinition, ...] = ()

    @property
    def application_policy(self) -> bytes:
        """The serialized `protos.ApplicationPolicy` that holds."""
        return self.policy or policy_reference(ENDORSEMENT)


def signature_policy(count: int, msp_ids: Sequence[str], role: Role = Role.PEER) -> bytes:
    """Return the policy of a definition that asks for `count` of these organizations."""
    message = signature_policy_message(count, [role_principal(msp_id, role) for msp_id in msp_ids])
    return write(policy_pb2.ApplicationPolicy(signature_policy=message))


def collection_package(collections: Sequence[CollectionDefinition]) -> Any:
    """Return the `protos.CollectionConfigPackage`."""
    return collection_pb2.CollectionConfigPackage(
        config=[
            collection_pb2.CollectionConfig(static_collection_config=_static_config(collection))
            for collection in collections
        ]
    )


def commit_arguments(definition: ChaincodeDefinition) -> tuple[bytes, bytes]:
    """Return the arguments of the lifecycle transaction that commits a definition."""
    arguments = lifecycle_pb2.CommitChaincodeDefinitionArgs(**_fields(definition))
    return b"CommitChaincodeDefinition", write(arguments)


def approve_arguments(definition: ChaincodeDefinition, package_id: str) -> tuple[bytes, bytes]:
    """Return the arguments of the lifecycle transaction by which an organization approves a definition.

    Without a package id the organization runs no service of its own for it.
    """
    source = lifecycle_pb2.ChaincodeSource()
    if package_id:
        source.local_package.package_id = package_id
    else:
        source.unavailable.SetInParent()
    arguments = lifecycle_pb2.ApproveChaincodeDefinitionForMyOrgArgs(**_fields(definition), source=source)
    return b"ApproveChaincodeDefinitionForMyOrg", write(arguments)


def readiness_arguments(definition: ChaincodeDefinition) -> tuple[bytes, bytes]:
    """Return the arguments of the question which organizations have approved a definition."""
    return b"CheckCommitReadiness", write(lifecycle_pb2.CheckCommitReadinessArgs(**_fields(definition)))


def read_definition(name: str, message: Any) -> ChaincodeDefinition:
    """Return the definition in a lifecycle answer that has its fields; collections are read as we write them."""
    return ChaincodeDefinition(
        name=name,
        version=message.version,
        sequence=message.sequence,
        policy=b""
        if message.validation_parameter == policy_reference(ENDORSEMENT)
        else message.validation_parameter,
        collections=tuple(_collection(item.static_collection_config) for item in message.collections.config),
    )


def _fields(definition: ChaincodeDefinition) -> dict[str, Any]:
    return {
        "sequence": definition.sequence,
        "name": definition.name,
        "version": definition.version,
        "endorsement_plugin": ENDORSEMENT_PLUGIN,
        "validation_plugin": VALIDATION_PLUGIN,
        "validation_parameter": definition.application_policy,
        "collections": collection_package(definition.collections),
    }


def _static_config(collection: CollectionDefinition) -> Any:
    members = [role_principal(msp_id, Role.MEMBER) for msp_id in collection.organizations]
    return collection_pb2.StaticCollectionConfig(
        name=collection.name,
        member_orgs_policy=collection_pb2.CollectionPolicyConfig(
            signature_policy=signature_policy_message(1, members)
        ),
        required_peer_count=collection.required_peers,
        maximum_peer_count=collection.maximum_peers,
        block_to_live=collection.block_to_live,
        member_only_read=collection.members_only_read,
        member_only_write=collection.members_only_write,
    )


def _collection(config: Any) -> CollectionDefinition:
    principals = config.member_orgs_policy.signature_policy.identities
    members = [read(msp_principal_pb2.MSPRole, item.principal, "collection member") for item in principals]
    return CollectionDefinition(
        name=config.name,
        organizations=tuple(member.msp_identifier for member in members),
        members_only_read=config.member_only_read,
        members_only_write=config.member_only_write,
        block_to_live=config.block_to_live,
        required_peers=config.required_peer_count,
        maximum_peers=config.maximum_peer_count,
    )
