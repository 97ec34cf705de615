"""The smallest update that makes one configuration of a channel another.

Decides read set, write set and versions by Fabric's rules, without which orderers refuse an update: a group whose
members change is written whole by name, at its next version, with what stays in it at its present one; of a group
that stays as it is, only the version is read. Who must sign is left to the channel's policies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fabric_protos.common import configtx_pb2

from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric.wire import write


def compute_update(channel_id: str, current: Any, desired: Any) -> Any:
    """Return the `common.ConfigUpdate` from one `common.Config` to another; the versions in `desired` do not matter.

    Raises ConfigurationError when they say the same.
    """
    update = configtx_pb2.ConfigUpdate(channel_id=channel_id)
    if not _compare(current.channel_group, desired.channel_group, update.read_set, update.write_set):
        raise ConfigurationError(f"channel {channel_id}: the configuration is already as desired")
    return update


def _compare(old: Any, new: Any, read_set: Any, write_set: Any) -> bool:
    """Fill read set and write set for a group, and say whether there is anything to write."""
    read_set.version = write_set.version = old.version
    members_change = old.mod_policy != new.mod_policy or any(
        set(before) != set(after)
        for before, after in (
            (old.groups, new.groups),
            (old.values, new.values),
            (old.policies, new.policies),
        )
    )
    changed = members_change
    for kind in ("values", "policies"):
        for name in _names(getattr(new, kind)):
            changed |= _compare_element(name, (old, new), (read_set, write_set), kind, members_change)
    for name in _names(new.groups):
        changed |= _compare_group(name, (old, new), (read_set, write_set), members_change)
    if members_change:
        write_set.version, write_set.mod_policy = old.version + 1, new.mod_policy
    return changed


def _compare_element(
    name: str, groups: tuple[Any, Any], sets: tuple[Any, Any], kind: str, listed: bool
) -> bool:
    """Compare one value or policy; `listed` says that the group names everything that stays in it."""
    old, new = (getattr(group, kind) for group in groups)
    read_set, write_set = (getattr(one, kind) for one in sets)
    if name in old and _content(old[name]) == _content(new[name]):
        if listed:
            read_set[name].version = write_set[name].version = old[name].version
        return False
    write_set[name].CopyFrom(new[name])
    write_set[name].version = old[name].version + 1 if name in old else 0
    return True


def _compare_group(name: str, groups: tuple[Any, Any], sets: tuple[Any, Any], listed: bool) -> bool:
    old, new = (group.groups for group in groups)
    if name not in old:
        sets[1].groups[name].CopyFrom(_fresh(new[name]))
        return True
    read_set, write_set = configtx_pb2.ConfigGroup(), configtx_pb2.ConfigGroup()
    changed = _compare(old[name], new[name], read_set, write_set)
    if changed or listed:
        sets[0].groups[name].CopyFrom(read_set)
        sets[1].groups[name].CopyFrom(write_set)
    return changed


def _fresh(group: Any) -> Any:
    """Return a group as it begins: it and everything in it at version 0."""
    fresh = configtx_pb2.ConfigGroup(mod_policy=group.mod_policy)
    for kind in ("values", "policies"):
        for name in _names(getattr(group, kind)):
            target = getattr(fresh, kind)[name]
            target.CopyFrom(getattr(group, kind)[name])
            target.version = 0
    for name in _names(group.groups):
        fresh.groups[name].CopyFrom(_fresh(group.groups[name]))
    return fresh


def _content(element: Any) -> bytes:
    """Return what a value or policy says beside its version."""
    plain = type(element)()
    plain.CopyFrom(element)
    plain.version = 0
    return write(plain)


def _names(members: Mapping[str, Any]) -> list[str]:
    return sorted(members)
