"""Upgrades of the contract: who may propose one, who votes, and when it is approved.

Decides the ledger's own record of a vote. It cannot see which version the channel runs: making an approved upgrade
hold is done by the organizations' administrators on Fabric's lifecycle, which asks for a majority of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bfl_chaincode import commands
from bfl_chaincode.api import refusals
from bfl_chaincode.api.records import Organization, Upgrade, UpgradeStatus
from bfl_chaincode.rules import callers
from bfl_chaincode.rules.callers import Call


def propose(
    command: commands.ProposeUpgrade,
    upgrades: Sequence[Upgrade],
    organizations: Sequence[Organization],
    call: Call,
) -> Upgrade:
    """Propose an upgrade; that is the vote of the proposer's organization, too."""
    callers.require_admin(call)
    for item in upgrades:
        if (item.sequence, item.version) == (command.sequence, command.version):
            raise refusals.UpgradeExists(f"{_named(item)} was proposed by {item.proposed_by}")
    require_ahead(command.sequence, upgrades)
    upgrade = Upgrade(
        sequence=command.sequence,
        version=command.version,
        source_digest=command.source_digest,
        proposed_by=call.caller.msp_id,
        proposed_at=call.at,
        status=UpgradeStatus.PROPOSED,
        approvals=(call.caller.msp_id,),
        changed_at=call.at,
    )
    return _counted(upgrade, organizations)


def approve(
    command: commands.ApproveUpgrade,
    upgrade: Upgrade,
    upgrades: Sequence[Upgrade],
    organizations: Sequence[Organization],
    call: Call,
) -> Upgrade:
    """Vote for an upgrade, once per organization, for exactly the source that was proposed."""
    callers.require_admin(call)
    if call.caller.msp_id in upgrade.approvals:
        raise refusals.UpgradeVoted(f"{call.caller.msp_id} has voted for {_named(upgrade)}")
    require_ahead(upgrade.sequence, upgrades)
    if command.source_digest != upgrade.source_digest:
        raise refusals.SourceDiffers(f"{_named(upgrade)} has source {upgrade.source_digest}")
    approvals = tuple(sorted((*upgrade.approvals, call.caller.msp_id)))
    return _counted(replace(upgrade, approvals=approvals, changed_at=call.at), organizations)


def require_ahead(sequence: int, upgrades: Sequence[Upgrade]) -> None:
    """Raise UpgradeStale unless every approved upgrade has a lower sequence."""
    newest = max((item.sequence for item in upgrades if item.status is UpgradeStatus.APPROVED), default=0)
    if sequence <= newest:
        raise refusals.UpgradeStale(f"sequence {newest} is approved, this is for {sequence}")


def _counted(upgrade: Upgrade, organizations: Sequence[Organization]) -> Upgrade:
    """Approve an upgrade that more than half of the active organizations vote for."""
    active = [item.msp_id for item in organizations if item.active]
    votes = [name for name in active if name in upgrade.approvals]
    return replace(upgrade, status=UpgradeStatus.APPROVED) if 2 * len(votes) > len(active) else upgrade


def _named(upgrade: Upgrade) -> str:
    return f"version {upgrade.version} at sequence {upgrade.sequence}"
