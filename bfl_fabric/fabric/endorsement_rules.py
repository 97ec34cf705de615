"""Which endorsements a write needs: of its key, else of its collection, else of its chaincode.

Decides ENDORSEMENT_POLICY_FAILURE, INVALID_CHAINCODE and ILLEGAL_WRITESET for one transaction after the other of
one block, by the rules of Fabric's 2.0 validation, and tells a gateway beforehand which policies a read-write set
needs. Policies themselves are evaluated by `bfl_fabric.fabric.policy`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fabric_protos.common import policies_pb2
from fabric_protos.peer import policy_pb2

from bfl_fabric.errors import MalformedInput, NotTrusted
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.fabric.endorsers import Endorsers
from bfl_fabric.fabric.envelopes import Action, InvalidTransaction, ValidationCode
from bfl_fabric.fabric.lifecycle import IMPLICIT_PREFIX, NAMESPACE, Definition, find_definition
from bfl_fabric.fabric.rwsets import NamespaceSet
from bfl_fabric.fabric.state import Key, Space, StateView, space_of
from bfl_fabric.fabric.wire import read, write

VALIDATION_PARAMETER = "VALIDATION_PARAMETER"
_PLUGIN = "vscc"


class Need(NamedTuple):
    """A serialized ApplicationPolicy that the endorsers must satisfy, and what it guards."""

    policy: bytes
    what: str

    def require(self, endorsers: Endorsers) -> None:
        """Raise InvalidTransaction unless these endorsers are enough."""
        try:
            satisfied = endorsers.satisfy(self.policy)
        except MalformedInput as error:
            raise _failure(f"{self.what}: {error}") from error
        if not satisfied:
            signers = ", ".join(member.msp_id for member in endorsers.members)
            raise _failure(f"{self.what}: not enough endorsements, good ones are by [{signers}]")


@dataclass(slots=True)
class EndorsementRules:
    """The rules for one block: `state` is the state before it."""

    config: ChannelConfig
    state: StateView
    _definitions: dict[str, Definition] = field(default_factory=dict)
    _metadata_changed: set[tuple[Space, Key]] = field(default_factory=set)

    def check(self, action: Action, endorsers: Endorsers) -> None:
        """Raise InvalidTransaction unless the endorsements of a transaction are enough for all that it writes."""
        for need in self.needs(action.chaincode, action.rwset):
            need.require(endorsers)
        for part in action.rwset:
            if part.metadata_writes or part.collections:
                self._metadata_changed.update(_metadata_keys(part))

    def needs(self, chaincode: str, rwset: Sequence[NamespaceSet]) -> Iterator[Need]:
        """Yield what must be satisfied for a read-write set of a chaincode, in Fabric's order.

        Raises InvalidTransaction where that cannot be said.
        """
        namespaces = [part.namespace for part in rwset]
        if len(set(namespaces)) != len(namespaces):
            raise InvalidTransaction(ValidationCode.ILLEGAL_WRITESET, "a namespace stands twice")
        parts = {part.namespace: part for part in rwset if part.changes_state}
        if chaincode not in parts:
            parts[chaincode] = NamespaceSet(chaincode)
        for name in sorted(parts):
            yield from self._namespace_needs(parts[name], self._definition(name))

    def key_policy(self, space: Space, key: Key) -> bytes:
        """Return the policy that a key has of its own, empty for none, as a serialized ApplicationPolicy."""
        if self._metadata_changed and (space, key) in self._metadata_changed:
            raise _failure(f"the policy of a key in {space.namespace} changes in this block")
        found = self.state.find(space, key)
        if found is None or not found.metadata:
            return b""
        raw = dict(found.metadata).get(VALIDATION_PARAMETER, b"")
        if not raw:
            return b""
        try:
            envelope = read(policies_pb2.SignaturePolicyEnvelope, raw, "key-level policy")
        except MalformedInput as error:
            raise _failure(f"a key of {space.namespace}: {error}") from error
        return write(policy_pb2.ApplicationPolicy(signature_policy=envelope))

    def _namespace_needs(self, part: NamespaceSet, definition: Definition) -> Iterator[Need]:
        """Yield a need for every key with a policy of its own, one for each collection, one for the chaincode."""
        named: set[str] = set()
        is_any_written = False
        for space, key in _written(part):
            is_any_written = True
            policy = self.key_policy(space, key)
            if policy:
                yield Need(policy, f"a key of {space.namespace}")
            elif space.collection not in named:
                named.add(space.collection)
                yield self._space_need(space, definition)
        if not is_any_written:
            yield Need(definition.policy, part.namespace)

    def _space_need(self, space: Space, definition: Definition) -> Need:
        if not space.collection:
            return Need(definition.policy, space.namespace)
        policy = self._collection_policy(space, definition)
        return Need(policy, f"collection {space.collection} of {space.namespace}")

    def _collection_policy(self, space: Space, definition: Definition) -> bytes:
        if space.collection.startswith(IMPLICIT_PREFIX):
            try:
                return self.config.organization_endorsement(space.collection.removeprefix(IMPLICIT_PREFIX))
            except NotTrusted as error:
                raise _failure(str(error)) from error
        collection = definition.collections.get(space.collection)
        if collection is None:
            raise _failure(f"{space.namespace} has no collection {space.collection}")
        return collection.policy or definition.policy

    def _definition(self, chaincode: str) -> Definition:
        if chaincode == NAMESPACE:
            return Definition(_PLUGIN, self.config.lifecycle_endorsement(), {})
        if chaincode not in self._definitions:
            definition = find_definition(self.state, chaincode)
            if definition is None or definition.plugin != _PLUGIN or not definition.policy:
                raise InvalidTransaction(
                    ValidationCode.INVALID_CHAINCODE, f"{chaincode} has no usable definition"
                )
            self._definitions[chaincode] = definition
        return self._definitions[chaincode]


def _written(part: NamespaceSet) -> Iterator[tuple[Space, Key]]:
    """Yield what is written, in the order in which Fabric checks it."""
    public = space_of(part.namespace)
    for item in part.writes:
        yield public, item.key.encode()
    for changed in part.metadata_writes:
        yield public, changed.key.encode()
    for collection in part.collections:
        yield from ((Space(part.namespace, collection.name), item.key_hash) for item in collection.writes)
    for collection in part.collections:
        inner = Space(part.namespace, collection.name)
        yield from ((inner, item.key_hash) for item in collection.metadata_writes)


def _metadata_keys(part: NamespaceSet) -> Iterator[tuple[Space, Key]]:
    yield from ((Space(part.namespace), item.key.encode()) for item in part.metadata_writes)
    for collection in part.collections:
        inner = Space(part.namespace, collection.name)
        yield from ((inner, item.key_hash) for item in collection.metadata_writes)


def _failure(message: str) -> InvalidTransaction:
    return InvalidTransaction(ValidationCode.ENDORSEMENT_POLICY_FAILURE, message)
