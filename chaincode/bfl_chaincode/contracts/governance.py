"""governance: upgrades of this contract, proposed and voted on."""

from __future__ import annotations

from bfl_chaincode import commands
from bfl_chaincode.api.records import Organization, Upgrade
from bfl_chaincode.contracts.transaction import answer, query, submission
from bfl_chaincode.rules import governance as rules
from bfl_chaincode.shim.contract_api import Contract, TransactionContext


class GovernanceContract(Contract):
    """Upgrades."""

    Name = "governance"

    def get_evaluate_transactions(self) -> list[str]:
        return ["GetUpgrade", "ListUpgrades"]

    async def ProposeUpgrade(self, ctx: TransactionContext, request: str) -> str:
        """Propose a version of this contract for a sequence of its definition."""
        tx = await submission(ctx, request, commands.ProposeUpgrade)
        upgrades, organizations = await tx.state.list(Upgrade), await tx.state.list(Organization)
        upgrade = rules.propose(tx.command, upgrades, organizations, tx.call)
        return await tx.commit(upgrade, refs=[upgrade.version, upgrade.source_digest])

    async def ApproveUpgrade(self, ctx: TransactionContext, request: str) -> str:
        """Vote for a proposed upgrade; the vote that makes a majority approves it."""
        tx = await submission(ctx, request, commands.ApproveUpgrade)
        present = await tx.state.get(Upgrade, tx.command.sequence, tx.command.version)
        upgrades, organizations = await tx.state.list(Upgrade), await tx.state.list(Organization)
        upgrade = rules.approve(tx.command, present, upgrades, organizations, tx.call)
        return await tx.commit(upgrade, refs=[upgrade.version, tx.call.caller.msp_id])

    async def GetUpgrade(self, ctx: TransactionContext, request: str) -> str:
        """Return an Upgrade."""
        command, state = query(ctx, request, commands.UpgradeName)
        return answer(await state.get(Upgrade, command.sequence, command.version))

    async def ListUpgrades(self, ctx: TransactionContext, request: str) -> str:
        """Return every Upgrade, by sequence and version."""
        _, state = query(ctx, request, commands.Nothing)
        return answer(await state.list(Upgrade))
