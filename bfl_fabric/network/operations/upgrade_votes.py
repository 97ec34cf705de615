"""The vote on an upgrade, on the ledger's own record: proposed, voted, approved.

Decides whose administrators vote here, and that each votes only for the source that this machine has. The count is
the contract's (`governance`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bfl_chaincode.api import refusals
from bfl_chaincode.api.records import Upgrade, UpgradeStatus, from_json
from bfl_fabric.errors import LedgerRefused
from bfl_fabric.network.bringup import Report, Site
from bfl_fabric.network.operations import contract
from bfl_fabric.network.topology import OrganizationPlan


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is voted on: a version for a sequence of the definition, with the contract's source."""

    sequence: int
    version: str
    source_digest: str

    @property
    def request(self) -> dict[str, Any]:
        return {
            "sequence": self.sequence,
            "version": self.version,
            "source_digest": self.source_digest,
        }


async def vote(
    site: Site, proposal: Proposal, voters: tuple[OrganizationPlan, ...], report: Report
) -> Upgrade:
    """Propose an upgrade unless it is, let administrators vote until it is approved, return the record."""
    upgrade = await find(site, proposal)
    for voter in voters:
        if upgrade is not None and upgrade.status is UpgradeStatus.APPROVED:
            break
        if upgrade is None:
            report(f"{voter.msp_id} proposes version {proposal.version} at sequence {proposal.sequence}")
            upgrade = await _say(site, voter, "governance:ProposeUpgrade", proposal)
        elif voter.msp_id not in upgrade.approvals:
            report(f"{voter.msp_id} votes for version {proposal.version}")
            upgrade = await _say(site, voter, "governance:ApproveUpgrade", proposal)
    assert upgrade is not None
    return upgrade


async def find(site: Site, proposal: Proposal) -> Upgrade | None:
    """Return the record of a proposal, None when nobody made it."""
    request: dict[str, Any] = {"sequence": proposal.sequence, "version": proposal.version}
    try:
        found = await contract.evaluate(
            site, site.topology.organizations[0], "governance:GetUpgrade", request
        )
    except LedgerRefused as refused:
        if refused.code == refusals.UpgradeMissing.code:
            return None
        raise
    return from_json(Upgrade, found)


async def _say(site: Site, voter: OrganizationPlan, transaction: str, proposal: Proposal) -> Upgrade:
    return from_json(Upgrade, await contract.submit(site, voter, transaction, proposal.request))
