"""Chaincode definitions as the channel's own state holds them (`_lifecycle`).

Decides which endorsement policy and which collections a chaincode has, read from the state as Fabric's committer
reads it. How definitions come to be there is left to the lifecycle transactions themselves.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fabric_protos.peer import collection_pb2
from fabric_protos.peer.lifecycle import chaincode_definition_pb2, db_pb2

from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric.state import Space, StateView
from bfl_fabric.fabric.wire import read, write

NAMESPACE = "_lifecycle"
IMPLICIT_PREFIX = "_implicit_org_"
_DEFINITION = "ChaincodeDefinition"
_FIELDS = ("ValidationInfo", "Collections")


@dataclass(frozen=True, slots=True)
class Collection:
    """A private data collection. `policy` is a serialized ApplicationPolicy, empty for the chaincode's own."""

    name: str
    policy: bytes
    block_to_live: int


@dataclass(frozen=True, slots=True)
class Definition:
    """What a committed definition says that matters to validation. `policy` is a serialized ApplicationPolicy."""

    plugin: str
    policy: bytes
    collections: Mapping[str, Collection]


def find_definition(state: StateView, chaincode: str) -> Definition | None:
    """Return a chaincode's definition, None when it has none. Raises MalformedInput."""
    raw = _value(state, f"namespaces/metadata/{chaincode}")
    if not raw:
        return None
    fields = [_value(state, f"namespaces/fields/{chaincode}/{name}") for name in _FIELDS]
    return _read_definition(chaincode, raw, *fields)


@functools.lru_cache(maxsize=64)
def _read_definition(
    chaincode: str, raw: bytes, validation_field: bytes, collections_field: bytes
) -> Definition:
    """Every block asks for the same definitions, which rarely change."""
    metadata = read(db_pb2.StateMetadata, raw, f"definition of {chaincode}")
    if metadata.datatype != _DEFINITION:
        raise MalformedInput(f"definition of {chaincode}: {metadata.datatype!r} is no chaincode definition")
    validation = read(
        chaincode_definition_pb2.ChaincodeValidationInfo,
        _content(validation_field, chaincode),
        f"definition of {chaincode}",
    )
    package = read(
        collection_pb2.CollectionConfigPackage,
        _content(collections_field, chaincode),
        f"collections of {chaincode}",
    )
    collections = [_collection(item.static_collection_config) for item in package.config]
    return Definition(
        plugin=validation.validation_plugin,
        policy=validation.validation_parameter,
        collections={item.name: item for item in collections},
    )


def _collection(config: Any) -> Collection:
    policy = write(config.endorsement_policy) if config.HasField("endorsement_policy") else b""
    return Collection(config.name, policy, config.block_to_live)


def _content(field: bytes, chaincode: str) -> bytes:
    content: bytes = read(db_pb2.StateData, field, f"definition of {chaincode}").Bytes
    return content


def _value(state: StateView, key: str) -> bytes:
    found = state.find(Space(NAMESPACE), key.encode())
    return b"" if found is None else found.value or b""
