"""How one configuration of a channel follows from another.

Decides whether an update may change what it changes: the versions that it read must stand, each changed element
must go up by one, and the policy that guards it must be satisfied by the update's signatures. The new configuration
must be exactly the old one with the update laid over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fabric_protos.common import common_pb2, configtx_pb2

from bfl_fabric.errors import MalformedInput, NotTrusted
from bfl_fabric.fabric.channel import ChannelConfig, SignedData
from bfl_fabric.fabric.policy import Member
from bfl_fabric.fabric.wire import read, write

_ROOT = ("Channel",)
_Path = tuple[str, ...]
_Key = tuple[str, _Path]
_Tree = dict[_Key, Any]


def next_config(current: ChannelConfig, envelope: Any, at_ms: int) -> ChannelConfig:
    """Return the configuration that a `common.ConfigEnvelope` makes of the current one.

    Raises NotTrusted when the update is not allowed, MalformedInput when it is not an update of this channel.
    """
    if envelope.config.sequence != current.sequence + 1:
        raise MalformedInput(
            f"configuration {envelope.config.sequence} cannot follow configuration {current.sequence}"
        )
    signed = signed_update(envelope.last_update)
    update = read(configtx_pb2.ConfigUpdate, signed.config_update, "configuration update")
    if update.channel_id != current.channel_id:
        raise MalformedInput(f"the update is for channel {update.channel_id!r}, not {current.channel_id!r}")
    existing = _flatten(current.config.channel_group)
    read_set = _flatten(update.read_set) if update.HasField("read_set") else {}
    changes = _changes(existing, read_set, _flatten(update.write_set))
    _authorize(current, existing, changes, current.signers(_claims(signed), at_ms, strict=False))
    group = _rebuild(_ROOT, existing | changes)
    if write(group) != write(envelope.config.channel_group):
        raise NotTrusted("the new configuration is not what the update makes of the old one")
    return ChannelConfig(current.channel_id, envelope.config)


def updated_config(current: Any, update: Any) -> Any:
    """Return the `common.Config` that a `common.ConfigUpdate` makes of the current one, whoever signed it.

    Raises NotTrusted when what it read no longer stands, or it changes nothing.
    """
    existing = _flatten(current.channel_group)
    changes = _changes(existing, _flatten(update.read_set), _flatten(update.write_set))
    group = _rebuild(_ROOT, existing | changes)
    return configtx_pb2.Config(sequence=current.sequence + 1, channel_group=group)


def signed_update(envelope: Any) -> Any:
    """Return the `common.ConfigUpdateEnvelope` in an envelope. Raises MalformedInput."""
    payload = read(common_pb2.Payload, envelope.payload, "configuration update")
    return read(configtx_pb2.ConfigUpdateEnvelope, payload.data, "configuration update")


def _claims(signed: Any) -> Iterator[SignedData]:
    for item in signed.signatures:
        header = read(common_pb2.SignatureHeader, item.signature_header, "configuration signature")
        yield SignedData(header.creator, item.signature_header + signed.config_update, item.signature)


def _changes(existing: _Tree, read_set: _Tree, write_set: _Tree) -> _Tree:
    for key, item in read_set.items():
        if key not in existing or existing[key].version != item.version:
            raise NotTrusted(f"configuration update: {_text(key)} is not at version {item.version}")
    changes = {
        key: item
        for key, item in write_set.items()
        if key not in read_set or read_set[key].version != item.version
    }
    if not changes:
        raise NotTrusted("configuration update: it changes nothing")
    return changes


def _authorize(current: ChannelConfig, existing: _Tree, changes: _Tree, members: list[Member]) -> None:
    for key, item in changes.items():
        if not item.mod_policy:
            raise NotTrusted(f"configuration update: {_text(key)} has no modification policy")
        known = existing.get(key)
        if item.version != (0 if known is None else known.version + 1):
            raise NotTrusted(f"configuration update: {_text(key)} jumps to version {item.version}")
        if known is not None and not current.satisfies(_guard(key, known.mod_policy), members):
            raise NotTrusted(f"configuration update: {_text(key)} lacks signatures for {known.mod_policy}")


def _guard(key: _Key, mod_policy: str) -> str:
    """Return the absolute path of the policy that guards an element; a group's own is looked up inside it."""
    kind, path = key
    if mod_policy.startswith("/"):
        return mod_policy
    scope = path if kind == "group" else path[:-1]
    return "/" + "/".join((*scope, mod_policy))


def _flatten(group: Any, path: _Path = _ROOT) -> _Tree:
    found: _Tree = {("group", path): group}
    for name in group.groups:
        found.update(_flatten(group.groups[name], (*path, name)))
    for name in group.values:
        found["value", (*path, name)] = group.values[name]
    for name in group.policies:
        found["policy", (*path, name)] = group.policies[name]
    return found


def _rebuild(path: _Path, tree: _Tree) -> Any:
    """Return the group at a path: each group lists what it holds, each thing listed stands at its latest."""
    listing = _at(tree, "group", path)
    group = configtx_pb2.ConfigGroup(version=listing.version, mod_policy=listing.mod_policy or "Admins")
    for name in listing.groups:
        group.groups[name].CopyFrom(_rebuild((*path, name), tree))
    for kind, target in (("value", group.values), ("policy", group.policies)):
        for name in listing.values if kind == "value" else listing.policies:
            target[name].CopyFrom(_at(tree, kind, (*path, name)))
            target[name].mod_policy = target[name].mod_policy or "Admins"
    return group


def _at(tree: _Tree, kind: str, path: _Path) -> Any:
    if (kind, path) not in tree:
        raise NotTrusted(f"configuration update: {_text((kind, path))} is listed and does not exist")
    return tree[kind, path]


def _text(key: _Key) -> str:
    return f"{key[0]} /{'/'.join(key[1])}"
