"""Who may submit: conditions on the caller's certificate, never on an argument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bfl_chaincode.api import refusals
from bfl_chaincode.api.records import Caller, NodeRole, Organization, Participant, Task

ADMIN = "admin"
CLIENTS = ("client", ADMIN)


@dataclass(frozen=True, slots=True)
class Call:
    """One submission: who, when (milliseconds since 1970-01-01 UTC) and under which transaction id."""

    caller: Caller
    at: int
    transaction_id: str

    def __str__(self) -> str:
        return f"{self.caller.common_name} of {self.caller.msp_id}"


def require_member(call: Call, organization: Organization | None) -> None:
    """A client or administrator of an active organization; `organization` is the record of the caller's MSP."""
    require_client(call)
    if organization is None:
        raise refusals.OrganizationUnknown(f"{call.caller.msp_id} is no organization of the federation")
    if not organization.active:
        raise refusals.OrganizationSuspended(f"{call.caller.msp_id} is suspended")


def require_client(call: Call) -> None:
    """Peers and orderers endorse and order; they do not submit."""
    if call.caller.ou not in CLIENTS:
        raise refusals.NotAClient(f"{call} has OU {call.caller.ou}")


def require_organization(call: Call, msp_id: str) -> None:
    if call.caller.msp_id != msp_id:
        raise refusals.WrongOrganization(f"{call} is not of {msp_id}")


def require_admin(call: Call) -> None:
    if call.caller.ou != ADMIN:
        raise refusals.NotAdministrator(f"{call} has OU {call.caller.ou}")


def require_role(call: Call, role: NodeRole) -> None:
    if call.caller.role != role.value:
        raise refusals.WrongRole(f"{call} has bfl.role {call.caller.role!r}, not {role.value!r}")


def require_coordinator(call: Call, task: Task) -> None:
    """The coordinator of the organization that the task names."""
    require_role(call, NodeRole.COORDINATOR)
    require_organization(call, task.spec.roles.coordinator)


def require_key_holder(call: Call, task: Task) -> None:
    """The key holder of an organization that holds the task's key or a share of it."""
    require_role(call, NodeRole.KEY_HOLDER)
    holders = task.spec.roles.key_holders
    if call.caller.msp_id not in holders:
        raise refusals.WrongOrganization(f"{call} is not of {' or '.join(holders)}")


def require_key_member(call: Call, members: Sequence[str]) -> None:
    """An organization that makes a shared key, or holds a share of it."""
    if call.caller.msp_id not in members:
        raise refusals.NotAKeyMember(f"{call} is of none of {', '.join(members) or 'no members'}")


def require_payer(call: Call, task: Task) -> None:
    """The coordinator's organization pays: through its coordinator or one of its administrators."""
    if call.caller.ou != ADMIN:
        require_role(call, NodeRole.COORDINATOR)
    require_organization(call, task.spec.roles.coordinator)


def require_ender(call: Call, task: Task, coordinator: Organization) -> None:
    """The coordinator; while its organization is suspended, any active member's administrator."""
    if coordinator.active:
        require_coordinator(call, task)
    else:
        require_admin(call)


def require_participant(call: Call, participant: Participant | None) -> Participant:
    """An enrolled, active participant; `participant` is the record under the caller's common name."""
    require_role(call, NodeRole.PARTICIPANT)
    if participant is None or not participant.active or participant.msp_id != call.caller.msp_id:
        raise refusals.NotEnrolled(f"{call} is no active participant")
    return participant
