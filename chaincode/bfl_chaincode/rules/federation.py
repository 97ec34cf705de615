"""Who belongs to the federation: its founding, its organizations, participants and nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bfl_chaincode import commands
from bfl_chaincode.api import refusals
from bfl_chaincode.api.records import Federation, Node, NodeRole, Organization, Participant
from bfl_chaincode.rules import callers
from bfl_chaincode.rules.callers import Call


def found(command: commands.Found, call: Call) -> tuple[Federation, tuple[Organization, ...]]:
    """Found the federation with its first organizations, the caller's among them."""
    callers.require_client(call)
    callers.require_admin(call)
    names = [item.msp_id for item in command.organizations]
    require_distinct(names, "organizations")
    if call.caller.msp_id not in names:
        raise refusals.WrongOrganization(f"{call} is of none of {', '.join(names)}")
    federation = Federation(command.federation_id, command.name, founded_at=call.at)
    return federation, tuple(_organization(item, call) for item in command.organizations)


def admit(command: commands.NewOrganization, present: Organization | None, call: Call) -> Organization:
    """Admit an organization, or a suspended one again."""
    callers.require_admin(call)
    if present is not None and present.active:
        raise refusals.OrganizationExists(f"{present.msp_id} is an active member")
    return _organization(command, call)


def suspend(organization: Organization, call: Call) -> Organization:
    """Suspend another organization: from now on nobody of it submits anything."""
    callers.require_admin(call)
    if call.caller.msp_id == organization.msp_id:
        raise refusals.OwnOrganization(f"{call} would suspend itself")
    if not organization.active:
        raise refusals.AlreadyInactive(f"{organization.msp_id} is suspended already")
    return replace(organization, active=False)


def enrol(participant_id: str, present: Participant | None, call: Call) -> Participant:
    """Enrol a participant of the caller's organization; one that left may come back to it."""
    callers.require_admin(call)
    if present is not None and (present.active or present.msp_id != call.caller.msp_id):
        raise refusals.ParticipantExists(f"{participant_id} is enrolled by {present.msp_id}")
    return Participant(participant_id, call.caller.msp_id, active=True, enrolled_at=call.at)


def leave(participant: Participant, call: Call) -> Participant:
    """End a participation: the participant itself does it, or an administrator of its organization."""
    callers.require_organization(call, participant.msp_id)
    if call.caller.ou != callers.ADMIN:
        callers.require_role(call, NodeRole.PARTICIPANT)
        if call.caller.common_name != participant.participant_id:
            raise refusals.NotEnrolled(f"{call} is not {participant.participant_id}")
    if not participant.active:
        raise refusals.AlreadyInactive(f"{participant.participant_id} has left already")
    return replace(participant, active=False)


def announce(command: commands.AnnounceNode, call: Call) -> Node:
    """Say where a node listens; a later announcement replaces an earlier one."""
    callers.require_role(call, command.role)
    if call.caller.common_name != command.node_id:
        raise refusals.WrongCommonName(f"{call} announces {command.node_id}")
    return Node(call.caller.msp_id, command.role, command.node_id, command.address, announced_at=call.at)


def require_distinct(names: Sequence[str], what: str) -> None:
    """Raise Repeated for the first name that stands twice."""
    seen: dict[str, None] = {}
    for name in names:
        if name in seen:
            raise refusals.Repeated(f"{name} stands twice in {what}")
        seen[name] = None


def _organization(item: commands.NewOrganization, call: Call) -> Organization:
    return Organization(item.msp_id, item.name, item.region, active=True, admitted_at=call.at)
