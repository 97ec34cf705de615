"""The chaincode's definition, kept in the world state where Fabric's lifecycle keeps it.

Decides keys and bytes of a definition in the namespace `_lifecycle` (one key per field, as Fabric's own serializer
writes them) and what a peer reads of it before it runs a chaincode. What validation reads of it is
`bfl_fabric.fabric.lifecycle`, its messages are `bfl_fabric.fabric.definitions`; how it gets on the ledger is left to
`deployment`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fabric_protos.peer import collection_pb2
from fabric_protos.peer.lifecycle import chaincode_definition_pb2, db_pb2

from bfl_fabric.embedded.private import Collection
from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric.channel import ENDORSEMENT, policy_reference
from bfl_fabric.fabric.definitions import (
    ENDORSEMENT_PLUGIN,
    VALIDATION_PLUGIN,
    CollectionDefinition,
    collection_package,
)
from bfl_fabric.fabric.lifecycle import NAMESPACE
from bfl_fabric.fabric.state import Space, StateView
from bfl_fabric.fabric.wire import read, write

__all__ = [
    "LIFECYCLE_VERSION",
    "CollectionDefinition",
    "DeployedChaincode",
    "definition_keys",
    "definition_values",
    "field_key",
    "find_chaincode",
]

LIFECYCLE_VERSION = "syscc"
_FIELDS = ("Sequence", "EndorsementInfo", "ValidationInfo", "Collections")


@dataclass(frozen=True, slots=True)
class DeployedChaincode:
    """What a peer knows of a chaincode on the channel."""

    name: str
    version: str
    collections: Mapping[str, Collection]


def field_key(chaincode: str, field: str) -> str:
    """Return the key of one field of a chaincode's definition."""
    return f"namespaces/fields/{chaincode}/{field}"


def definition_keys(chaincode: str) -> tuple[str, ...]:
    """Return all keys of a chaincode's definition."""
    return (_metadata_key(chaincode), *(field_key(chaincode, field) for field in _FIELDS))


def definition_values(
    chaincode: str, version: str, collections: Sequence[CollectionDefinition]
) -> Mapping[str, bytes]:
    """Return what the state holds of a chaincode's first definition, endorsed by the channel's own policy."""
    endorsement = chaincode_definition_pb2.ChaincodeEndorsementInfo(
        version=version, endorsement_plugin=ENDORSEMENT_PLUGIN
    )
    validation = chaincode_definition_pb2.ChaincodeValidationInfo(
        validation_plugin=VALIDATION_PLUGIN, validation_parameter=policy_reference(ENDORSEMENT)
    )
    metadata = db_pb2.StateMetadata(datatype="ChaincodeDefinition", fields=_FIELDS)
    contents = {
        "Sequence": db_pb2.StateData(Int64=1),
        "EndorsementInfo": db_pb2.StateData(Bytes=write(endorsement)),
        "ValidationInfo": db_pb2.StateData(Bytes=write(validation)),
        "Collections": db_pb2.StateData(Bytes=write(collection_package(collections))),
    }
    fields = {field_key(chaincode, field): write(content) for field, content in contents.items()}
    return {_metadata_key(chaincode): write(metadata), **fields}


def find_chaincode(state: StateView, chaincode: str) -> DeployedChaincode | None:
    """Return a chaincode of the channel, None when there is none of this name. Raises MalformedInput."""
    if state.find(Space(NAMESPACE), _metadata_key(chaincode).encode()) is None:
        return None
    kind = chaincode_definition_pb2.ChaincodeEndorsementInfo
    endorsement = read(kind, _field(state, chaincode, "EndorsementInfo"), "endorsement info")
    raw = _field(state, chaincode, "Collections")
    package = read(collection_pb2.CollectionConfigPackage, raw, "collections")
    collections = [Collection.from_config(item.static_collection_config) for item in package.config]
    return DeployedChaincode(chaincode, endorsement.version, {item.name: item for item in collections})


def _metadata_key(chaincode: str) -> str:
    return f"namespaces/metadata/{chaincode}"


def _field(state: StateView, chaincode: str, field: str) -> bytes:
    found = state.find(Space(NAMESPACE), field_key(chaincode, field).encode())
    if found is None or found.value is None:
        raise MalformedInput(f"the definition of chaincode {chaincode} has no {field}")
    content: bytes = read(db_pb2.StateData, found.value, f"{chaincode}: {field}").Bytes
    return content
