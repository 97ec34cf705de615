"""Who takes part: callers, the federation's organizations, silos and nodes, and what they vote and report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class NodeRole(StrEnum):
    """What a node does for its organization; the value of the certificate attribute `bfl.role`."""

    COORDINATOR = "coordinator"
    AGGREGATOR = "aggregator"
    VERIFIER = "verifier"
    KEY_HOLDER = "key-holder"
    PARTICIPANT = "participant"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute that the certificate authority wrote into a certificate, such as `bfl.role`."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed the transaction, as its certificate says: nothing of it is an argument. `ou` is the NodeOU
    (client, admin, peer, orderer), attributes are sorted by name, the digest is of the certificate's DER."""

    msp_id: str
    common_name: str
    ou: str
    attributes: tuple[Attribute, ...]
    certificate_digest: str

    @property
    def role(self) -> str:
        """The value of `bfl.role`, "" without one."""
        return next((attribute.value for attribute in self.attributes if attribute.name == "bfl.role"), "")


@dataclass(frozen=True, slots=True)
class Federation:
    federation_id: str
    name: str
    founded_at: int


@dataclass(frozen=True, slots=True)
class Organization:
    msp_id: str
    name: str
    region: str
    active: bool
    admitted_at: int


@dataclass(frozen=True, slots=True)
class Participant:
    """A data silo; `participant_id` is the common name of its certificate."""

    participant_id: str
    msp_id: str
    active: bool
    enrolled_at: int


@dataclass(frozen=True, slots=True)
class Node:
    """A service of an organization and where it listens, host:port."""

    msp_id: str
    role: NodeRole
    node_id: str
    address: str
    announced_at: int


class UpgradeStatus(StrEnum):
    """Where an upgrade of the contract stands: voted on, or approved by a majority."""

    PROPOSED = "PROPOSED"
    APPROVED = "APPROVED"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A version of this contract that is to be the channel's definition with this sequence.

    `source_digest` names the contract's source; `approvals` are the organizations that voted for it, sorted.
    """

    sequence: int
    version: str
    source_digest: str
    proposed_by: str
    proposed_at: int
    status: UpgradeStatus
    approvals: tuple[str, ...]
    changed_at: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An auditor's statement about a task: the digest of its report and what it found."""

    task_id: str
    auditor_id: str
    msp_id: str
    report_digest: str
    passed: bool
    block_height: int
    recorded_at: int
