"""New certificates for identities that there are already: issued aside, then put in place one by one.

Decides which identities an organization has and that a crash leaves each with one whole set of files, old or new.
Which authority issues is the caller's.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bfl_chaincode.api.records import NodeRole
from bfl_fabric.fabric.authority import NodeOU
from bfl_fabric.network.material import Authorities
from bfl_fabric.network.plan import peer_name
from bfl_fabric.network.topology import OrganizationPlan, Topology

_WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Subject:
    """What an identity's certificate says beside its name."""

    ou: NodeOU
    attributes: Mapping[str, str] = field(default_factory=dict)


def subjects(topology: Topology, organization: OrganizationPlan) -> dict[str, Subject]:
    """Return every identity of an organization by name: its peer, clients, nodes and silos."""
    found = {peer_name(organization): Subject(NodeOU.PEER)}
    for name, role in {**topology.clients(organization), **topology.nodes(organization)}.items():
        found[name] = (
            Subject(NodeOU.ADMIN) if role is None else Subject(NodeOU.CLIENT, {"bfl.role": role.value})
        )
    for name in organization.participants:
        found[name] = Subject(NodeOU.CLIENT, {"bfl.role": NodeRole.PARTICIPANT.value})
    return found


def reissue(home: Path, authorities: Authorities, wanted: Mapping[str, Subject]) -> None:
    """Issue new certificates with new keys for all these identities of the organization in `home`."""
    aside = home / "renewal"
    if not (aside / _WHOLE).exists():
        shutil.rmtree(aside, ignore_errors=True)
        for name, subject in wanted.items():
            authorities.issue(aside, name, subject.ou, subject.attributes)
        (aside / _WHOLE).touch()
    for new in sorted((aside / "identities").iterdir()):
        put_in_place(new, home / "identities" / new.name, aside / "before" / new.name)
    shutil.rmtree(aside)


def put_in_place(new: Path, place: Path, before: Path) -> None:
    """Let a directory take the place of another one, which moves to `before`."""
    if place.exists():
        before.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(before, ignore_errors=True)
        place.rename(before)
    new.rename(place)
