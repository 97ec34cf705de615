"""task: what is trained under which terms, and who has registered for it."""

from __future__ import annotations

from bfl_chaincode import commands
from bfl_chaincode.api.records import (
    Entry,
    KeyEpoch,
    Organization,
    Participant,
    Progress,
    Registration,
    Round,
    Task,
)
from bfl_chaincode.contracts.transaction import answer, query, submission
from bfl_chaincode.rules import accounts, selection
from bfl_chaincode.rules import tasks as rules
from bfl_chaincode.shim.contract_api import Contract, TransactionContext


class TaskContract(Contract):
    """Tasks and registrations."""

    Name = "task"

    def get_evaluate_transactions(self) -> list[str]:
        return ["Get", "List", "ListRegistrations"]

    async def Create(self, ctx: TransactionContext, request: str) -> str:
        """Draft a task."""
        tx = await submission(ctx, request, commands.CreateTask)
        spec = tx.command.spec
        await tx.state.require_absent(Task, spec.task_id)
        task = rules.create(spec, await tx.state.list(Organization), tx.call)
        progress = Progress(spec.task_id, round=0, settled=0)
        return await tx.commit(task, progress, refs=[spec.task_id, task.spec_digest])

    async def Publish(self, ctx: TransactionContext, request: str) -> str:
        """Open a draft for registrations; its initial model becomes the root of the lineage."""
        tx = await submission(ctx, request, commands.TaskName)
        task, initial = rules.publish(await tx.state.get(Task, tx.command.task_id), tx.call)
        return await tx.commit(task, initial, refs=[task.spec_digest])

    async def Register(self, ctx: TransactionContext, request: str) -> str:
        """Register the calling participant with its sample count."""
        tx = await submission(ctx, request, commands.Register)
        task = await tx.state.get(Task, tx.command.task_id)
        participant = await tx.state.find(Participant, tx.call.caller.common_name)
        registration = rules.register(tx.command, task, participant, tx.call)
        await tx.state.require_absent(Registration, tx.command.task_id, registration.participant_id)
        return await tx.commit(registration, refs=[registration.participant_id])

    async def Withdraw(self, ctx: TransactionContext, request: str) -> str:
        """Take the calling participant's registration back."""
        tx = await submission(ctx, request, commands.TaskName)
        name = tx.call.caller.common_name
        task = await tx.state.get(Task, tx.command.task_id)
        rules.withdraw(task, await tx.state.find(Participant, name), tx.call)
        registration = await tx.state.get(Registration, tx.command.task_id, name)
        await tx.state.delete(registration)
        return tx.announce(registration, refs=[name])

    async def Start(self, ctx: TransactionContext, request: str) -> str:
        """Start a published task once participants, key and money are there."""
        tx = await submission(ctx, request, commands.TaskName)
        task_id = tx.command.task_id
        task = await tx.state.get(Task, task_id)
        registrations = await tx.state.list(Registration, task_id)
        participants, organizations = await tx.state.list(Participant), await tx.state.list(Organization)
        epochs = await tx.state.list(KeyEpoch, task_id)
        pool = accounts.balance(await tx.state.list(Entry, accounts.pool(task_id)))
        eligible = selection.eligible(registrations, participants, organizations)
        return await tx.commit(rules.start(task, eligible, epochs, pool, tx.call))

    async def Close(self, ctx: TransactionContext, request: str) -> str:
        """Close a task after its last round and refund what is left in its pool."""
        tx = await submission(ctx, request, commands.TaskName)
        task_id = tx.command.task_id
        task, progress = await tx.state.get(Task, task_id), await tx.state.get(Progress, task_id)
        newest = await tx.state.find(Round, task_id, progress.round)
        pool = await tx.state.list(Entry, accounts.pool(task_id))
        closed = rules.close(task, progress, newest, tx.call)
        return await tx.commit(closed, *accounts.refund(task, pool, tx.call))

    async def Abandon(self, ctx: TransactionContext, request: str) -> str:
        """Give a task up between rounds and refund what is left in its pool."""
        tx = await submission(ctx, request, commands.Abandon)
        task_id = tx.command.task_id
        task, progress = await tx.state.get(Task, task_id), await tx.state.get(Progress, task_id)
        newest = await tx.state.find(Round, task_id, progress.round)
        pool = await tx.state.list(Entry, accounts.pool(task_id))
        coordinator = await tx.state.get(Organization, task.spec.roles.coordinator)
        abandoned = rules.abandon(task, coordinator, newest, tx.command.reason, tx.call)
        return await tx.commit(abandoned, *accounts.refund(task, pool, tx.call))

    async def Get(self, ctx: TransactionContext, request: str) -> str:
        """Return the Task."""
        command, state = query(ctx, request, commands.TaskName)
        return answer(await state.get(Task, command.task_id))

    async def List(self, ctx: TransactionContext, request: str) -> str:
        """Return every Task, by id."""
        _, state = query(ctx, request, commands.Nothing)
        return answer(await state.list(Task))

    async def ListRegistrations(self, ctx: TransactionContext, request: str) -> str:
        """Return every Registration of a task, by participant."""
        command, state = query(ctx, request, commands.TaskName)
        return answer(await state.list(Registration, command.task_id))
