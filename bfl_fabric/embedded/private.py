"""Private data collections: who may read and write them, and which peers hold them.

Decides membership and permissions as Fabric does, and reads private write sets. Where the values are kept is left to
`statedb`, which endorsements a write needs to `bfl_fabric.fabric.endorsement_rules`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2

from bfl_fabric.fabric.lifecycle import IMPLICIT_PREFIX
from bfl_fabric.fabric.policy import (
    Member,
    Policy,
    Role,
    SignaturePolicy,
    role_principal,
    signature_policy_message,
)
from bfl_fabric.fabric.state import Space
from bfl_fabric.fabric.wire import read


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection's rules for peers and clients."""

    name: str
    members: Policy
    members_only_read: bool = False
    members_only_write: bool = False

    @classmethod
    def from_config(cls, config: Any) -> Collection:
        """Read a `protos.StaticCollectionConfig`. Raises MalformedInput."""
        members = SignaturePolicy.compile(config.member_orgs_policy.signature_policy)
        return cls(config.name, members, config.member_only_read, config.member_only_write)

    @classmethod
    def implicit(cls, name: str) -> Collection | None:
        """Return the collection that every organization has of itself, None when the name is not of that kind."""
        if not name.startswith(IMPLICIT_PREFIX):
            return None
        member = role_principal(name.removeprefix(IMPLICIT_PREFIX), Role.MEMBER)
        return cls(name, SignaturePolicy.compile(signature_policy_message(1, [member])))

    def has_member(self, member: Member) -> bool:
        """Say whether the organization of this client or peer holds the values."""
        return self.members.satisfied_by([member])

    def may_read(self, caller: Member) -> bool:
        return not self.members_only_read or self.has_member(caller)

    def may_write(self, caller: Member) -> bool:
        return not self.members_only_write or self.has_member(caller)


@dataclass(frozen=True, slots=True)
class PrivateWrite:
    """A write of a private value; None deletes the key."""

    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class PrivateSet:
    """The private writes to one collection; the block names the hash of `raw`, their serialized form."""

    space: Space
    raw: bytes
    writes: tuple[PrivateWrite, ...]


def parse_private(raw: bytes) -> tuple[PrivateSet, ...]:
    """Read a serialized `rwset.TxPvtReadWriteSet`. Raises MalformedInput."""
    message = read(rwset_pb2.TxPvtReadWriteSet, raw, "private write set")
    return tuple(
        PrivateSet(Space(namespace.namespace, item.collection_name), item.rwset, _writes(item.rwset))
        for namespace in message.ns_pvt_rwset
        for item in namespace.collection_pvt_rwset
    )


def _writes(raw: bytes) -> tuple[PrivateWrite, ...]:
    content = read(kv_rwset_pb2.KVRWSet, raw, "private writes")
    return tuple(
        PrivateWrite(item.key, None if item.is_delete or not item.value else item.value)
        for item in content.writes
    )
