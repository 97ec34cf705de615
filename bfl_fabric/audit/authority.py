"""Who may have sent which transaction, and which records it may write: the auditor's own table.

Decides by the certificate that signed and by the state just before. The contract enforces the same when it runs;
here it is asked again, so that endorsers who ran another contract are found out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import NodeRole, Organization, Participant, RoleTerms, Task
from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.audit.history import History
from bfl_fabric.audit.layout import DIGEST_INDEX
from bfl_fabric.audit.transactions import Transaction


class Home(Enum):
    """From which of the task's organizations a transaction must come."""

    COORDINATOR = auto()
    AGGREGATOR = auto()
    NOT_AGGREGATOR = auto()
    KEY_HOLDER = auto()
    ANY = auto()


class Sender(Enum):
    """What the sender's certificate must say, beside the organization."""

    MEMBER = auto()
    ADMIN = auto()
    PAYER = auto()
    ENDER = auto()
    RETIRER = auto()
    PARTICIPANT = auto()
    ROLE = auto()


@dataclass(frozen=True, slots=True)
class Right:
    """`writes` are the object types of the keys that the transaction may touch."""

    writes: frozenset[str]
    sender: Sender = Sender.MEMBER
    home: Home = Home.ANY
    role: NodeRole | None = None

    @property
    def asks_for_roles(self) -> bool:
        """Whether it depends on which organization does what in the task."""
        return self.home is not Home.ANY or self.sender in (Sender.ENDER, Sender.RETIRER)


def _role(writes: str, home: Home, role: NodeRole) -> Right:
    return Right(frozenset(writes.split()), Sender.ROLE, home, role)


def _sent(writes: str, sender: Sender = Sender.MEMBER, home: Home = Home.ANY) -> Right:
    return Right(frozenset(writes.split()), sender, home)


RIGHTS: Mapping[str, Right] = {
    "federation:Found": _sent("federation organization", Sender.ADMIN),
    "federation:AdmitOrganization": _sent("organization", Sender.ADMIN),
    "federation:SuspendOrganization": _sent("organization", Sender.ADMIN),
    "federation:EnrolParticipant": _sent("participant", Sender.ADMIN),
    "federation:Leave": _sent("participant"),
    "federation:AnnounceNode": _sent("node"),
    "key:OpenEpoch": _role("epoch", Home.KEY_HOLDER, NodeRole.KEY_HOLDER),
    "key:OpenCeremony": _role("ceremony", Home.KEY_HOLDER, NodeRole.KEY_HOLDER),
    "key:CommitKeyShare": _role("keycommitment", Home.KEY_HOLDER, NodeRole.KEY_HOLDER),
    "key:RevealKeyShare": _role("keyreveal", Home.KEY_HOLDER, NodeRole.KEY_HOLDER),
    "key:ConfirmKey": _role("keyconfirmation", Home.KEY_HOLDER, NodeRole.KEY_HOLDER),
    "key:Complain": _role("keycomplaint", Home.KEY_HOLDER, NodeRole.KEY_HOLDER),
    "key:CloseCeremony": _sent("ceremony epoch"),
    "key:RetireEpoch": _sent("epoch", Sender.RETIRER),
    "key:GrantKey": _role("keygrant", Home.KEY_HOLDER, NodeRole.KEY_HOLDER),
    "task:Create": _role("task progress", Home.COORDINATOR, NodeRole.COORDINATOR),
    "task:Publish": _role("task model", Home.COORDINATOR, NodeRole.COORDINATOR),
    "task:Register": _sent("registration", Sender.PARTICIPANT),
    "task:Withdraw": _sent("registration", Sender.PARTICIPANT),
    "task:Start": _role("task", Home.COORDINATOR, NodeRole.COORDINATOR),
    "task:Close": _role("task entry", Home.COORDINATOR, NodeRole.COORDINATOR),
    "task:Abandon": _sent("task entry", Sender.ENDER),
    "round:Open": _role("round progress", Home.COORDINATOR, NodeRole.COORDINATOR),
    "round:CommitUpdate": _sent(f"update {DIGEST_INDEX}", Sender.PARTICIPANT),
    "round:AcknowledgeUploads": _sent("receipt"),
    "round:Seal": _sent("round"),
    "round:ProposeAggregate": _role("round", Home.AGGREGATOR, NodeRole.AGGREGATOR),
    "round:AttestAggregate": _role("attestation", Home.NOT_AGGREGATOR, NodeRole.VERIFIER),
    "round:ConfirmAggregate": _sent("round"),
    "round:PostScores": _role("scores", Home.KEY_HOLDER, NodeRole.KEY_HOLDER),
    "round:ReleaseShare": _role("round", Home.KEY_HOLDER, NodeRole.KEY_HOLDER),
    "opening:Offer": _role("offer", Home.KEY_HOLDER, NodeRole.KEY_HOLDER),
    "opening:Begin": _role("opening", Home.KEY_HOLDER, NodeRole.KEY_HOLDER),
    "opening:PostShares": _role("share", Home.KEY_HOLDER, NodeRole.KEY_HOLDER),
    "opening:Blame": _role("blame", Home.KEY_HOLDER, NodeRole.KEY_HOLDER),
    "round:PublishModel": _role("round model", Home.COORDINATOR, NodeRole.COORDINATOR),
    "round:Abort": _sent("round", Sender.ENDER),
    "reward:Mint": _sent("entry", Sender.ADMIN),
    "reward:Fund": _sent("entry", Sender.PAYER, Home.COORDINATOR),
    "reward:Settle": _sent("settlement round progress reputation entry"),
    "audit:RecordEvaluation": _role("evaluation", Home.ANY, NodeRole.AUDITOR),
    "governance:ProposeUpgrade": _sent("upgrade", Sender.ADMIN),
    "governance:ApproveUpgrade": _sent("upgrade", Sender.ADMIN),
}


def check_authority(history: History, findings: Findings) -> None:
    """Check that every transaction is known, was its sender's to send, and wrote only what is its own."""
    for transaction in history.transactions:
        findings.count(Check.AUTHORITY)
        right = RIGHTS.get(transaction.name)
        if right is None:
            text = f"the contract has no transaction {transaction.name!r}"
            findings.fail(Check.AUTHORITY, text, transaction.place)
            continue
        foreign = transaction.types - right.writes
        if foreign:
            text = f"{transaction.name} wrote {', '.join(sorted(foreign))}"
            findings.fail(Check.AUTHORITY, text, transaction.place)
        problem = _problem(history, transaction, right)
        if problem:
            findings.fail(Check.AUTHORITY, f"{transaction.name}: {problem}", transaction.place)


def field_of(request: Json, name: str) -> str:
    """Return a text field of a request, "" when there is none."""
    value = request.get(name) if isinstance(request, dict) else None
    return value if isinstance(value, str) else ""


def _problem(history: History, transaction: Transaction, right: Right) -> str | None:
    if transaction.ou not in ("client", "admin"):
        return f"{transaction.common_name} is a {transaction.ou}"
    if transaction.name != "federation:Found" and not _is_member(history, transaction):
        return f"{transaction.msp_id} was no active member of the federation"
    roles = _roles(history, transaction) if right.asks_for_roles else None
    if right.home is not Home.ANY and (roles is None or not _at_home(right.home, roles, transaction.msp_id)):
        return f"{transaction.msp_id} is not the organization that does this"
    return _unfit(history, transaction, right, roles)


def _unfit(history: History, transaction: Transaction, right: Right, roles: RoleTerms | None) -> str | None:
    admin = transaction.ou == "admin"
    coordinator = transaction.role == NodeRole.COORDINATOR.value
    match right.sender:
        case Sender.MEMBER:
            fit = True
        case Sender.ADMIN:
            fit = admin
        case Sender.PAYER:
            fit = admin or coordinator
        case Sender.ENDER:
            fit = roles is not None and _may_end(history, transaction, roles)
        case Sender.RETIRER:
            fit = roles is not None and _may_retire(transaction, roles)
        case Sender.PARTICIPANT:
            fit = transaction.role == NodeRole.PARTICIPANT.value and _is_enrolled(history, transaction)
        case Sender.ROLE:
            fit = right.role is not None and transaction.role == right.role.value
    if fit:
        return None
    return f"{transaction.common_name} ({transaction.ou}, role {transaction.role or 'none'}) may not send it"


def _may_end(history: History, transaction: Transaction, roles: RoleTerms) -> bool:
    """The coordinator; while its organization is suspended, an administrator of another."""
    home = history.find_as_of(Organization, transaction.order, roles.coordinator)
    if home is not None and not home.value.active:
        return transaction.ou == "admin"
    return transaction.role == NodeRole.COORDINATOR.value and transaction.msp_id == roles.coordinator


def _may_retire(transaction: Transaction, roles: RoleTerms) -> bool:
    """The coordinator, or a key holder of an organization that holds the key or a share of it."""
    if transaction.role == NodeRole.COORDINATOR.value:
        return transaction.msp_id == roles.coordinator
    return transaction.role == NodeRole.KEY_HOLDER.value and transaction.msp_id in roles.key_holders


def _roles(history: History, transaction: Transaction) -> RoleTerms | None:
    request = history.request(transaction)
    task_id = field_of(request, "task_id")
    if transaction.name == "task:Create" and isinstance(request, dict):
        task_id = field_of(request.get("spec"), "task_id")
    task = history.find(Task, task_id) if task_id else None
    return None if task is None else task.value.spec.roles


def _at_home(home: Home, roles: RoleTerms, msp_id: str) -> bool:
    match home:
        case Home.COORDINATOR:
            return msp_id == roles.coordinator
        case Home.AGGREGATOR:
            return msp_id == roles.aggregator
        case Home.NOT_AGGREGATOR:
            return msp_id != roles.aggregator
        case Home.KEY_HOLDER:
            return msp_id in roles.key_holders
        case Home.ANY:
            return True


def _is_member(history: History, transaction: Transaction) -> bool:
    found = history.find_as_of(Organization, transaction.order, transaction.msp_id)
    return found is not None and found.value.active


def _is_enrolled(history: History, transaction: Transaction) -> bool:
    found = history.find_as_of(Participant, transaction.order, transaction.common_name)
    return found is not None and found.value.active and found.value.msp_id == transaction.msp_id
