"""Requests about the federation, its members and nodes, and about upgrades of the contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from bfl_chaincode.api.records import NodeRole
from bfl_chaincode.limits import Count, Digest, HostPort, Id, MspId, Name, Region, Sequence, Version


@dataclass(frozen=True, slots=True)
class Nothing:
    """Asks for nothing: {}."""


@dataclass(frozen=True, slots=True)
class NewOrganization:
    msp_id: MspId
    name: Name
    region: Region


@dataclass(frozen=True, slots=True)
class Found:
    federation_id: Id
    name: Name
    organizations: Annotated[tuple[NewOrganization, ...], Count(2, 64)]


@dataclass(frozen=True, slots=True)
class OrganizationName:
    msp_id: MspId


@dataclass(frozen=True, slots=True)
class ParticipantName:
    participant_id: Id


@dataclass(frozen=True, slots=True)
class AnnounceNode:
    role: NodeRole
    node_id: Id
    address: HostPort


@dataclass(frozen=True, slots=True)
class ProposeUpgrade:
    sequence: Sequence
    version: Version
    source_digest: Digest


@dataclass(frozen=True, slots=True)
class ApproveUpgrade:
    sequence: Sequence
    version: Version
    source_digest: Digest


@dataclass(frozen=True, slots=True)
class UpgradeName:
    sequence: Sequence
    version: Version
