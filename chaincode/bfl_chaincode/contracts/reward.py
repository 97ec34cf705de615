"""reward: accounts, pools and the settlement of rounds."""

from __future__ import annotations

from bfl_chaincode import commands
from bfl_chaincode.api.records import (
    Entry,
    Progress,
    Reputation,
    Round,
    ScoreSheet,
    Settlement,
    Task,
    UpdateCommitment,
)
from bfl_chaincode.contracts.transaction import answer, query, submission
from bfl_chaincode.rules import accounts, rewards
from bfl_chaincode.shim.contract_api import Contract, TransactionContext


class RewardContract(Contract):
    """Entries and settlements."""

    Name = "reward"

    def get_evaluate_transactions(self) -> list[str]:
        return ["Conservation", "GetSettlement", "ListAccounts", "Statement"]

    async def Mint(self, ctx: TransactionContext, request: str) -> str:
        """Make units for the administrator's own organization."""
        tx = await submission(ctx, request, commands.Mint)
        command = tx.command
        held = await tx.state.list(Entry, accounts.organization(command.msp_id))
        entries = accounts.mint(command.msp_id, command.amount, command.reference, held, tx.call)
        return await tx.commit(entries, refs=[entry.account for entry in entries])

    async def Fund(self, ctx: TransactionContext, request: str) -> str:
        """Move units of the coordinator's organization into its task's pool."""
        tx = await submission(ctx, request, commands.Fund)
        command = tx.command
        task = await tx.state.get(Task, command.task_id)
        payer = await tx.state.list(Entry, accounts.organization(task.spec.roles.coordinator))
        pool = await tx.state.list(Entry, accounts.pool(command.task_id))
        entries = accounts.fund(task, command.amount, command.reference, (payer, pool), tx.call)
        return await tx.commit(entries, refs=[entry.account for entry in entries])

    async def Settle(self, ctx: TransactionContext, request: str) -> str:
        """Pay the members of a published round and rate its cohort, once."""
        tx = await submission(ctx, request, commands.RoundName)
        task_id, number, state = tx.command.task_id, tx.command.round, tx.state
        evidence = rewards.Evidence(
            task=await state.get(Task, task_id),
            progress=await state.get(Progress, task_id),
            round=await state.get(Round, task_id, number),
            updates=await state.list(UpdateCommitment, task_id, number),
            scores=await state.find(ScoreSheet, task_id, number),
            reputations=await state.list(Reputation, task_id),
            pool=await state.list(Entry, accounts.pool(task_id)),
        )
        outcome = rewards.settle(evidence, tx.call)
        changed = (outcome.round, outcome.progress, *outcome.reputations, *outcome.entries)
        return await tx.commit(outcome.settlement, *changed, refs=outcome.round.cohort)

    async def ListAccounts(self, ctx: TransactionContext, request: str) -> str:
        """Return the Balance of every account, by account."""
        _, state = query(ctx, request, commands.Nothing)
        return answer(accounts.balances(await state.list(Entry)))

    async def Statement(self, ctx: TransactionContext, request: str) -> str:
        """Return an account's entries in the order in which they were booked."""
        command, state = query(ctx, request, commands.AccountName)
        return answer(accounts.statement(await state.list(Entry, command.account)))

    async def GetSettlement(self, ctx: TransactionContext, request: str) -> str:
        """Return the Settlement of a round."""
        command, state = query(ctx, request, commands.RoundName)
        return answer(await state.get(Settlement, command.task_id, command.round))

    async def Conservation(self, ctx: TransactionContext, request: str) -> str:
        """Return minted units, the sum of all balances, and their difference, which must be 0."""
        _, state = query(ctx, request, commands.Nothing)
        return answer(accounts.conservation(await state.list(Entry)))
