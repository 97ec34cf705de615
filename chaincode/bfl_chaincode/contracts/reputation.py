"""reputation: what the settled rounds of a task say about each participant. Settlement writes it."""

from __future__ import annotations

from bfl_chaincode import commands
from bfl_chaincode.api.records import Reputation
from bfl_chaincode.contracts.transaction import answer, query
from bfl_chaincode.shim.contract_api import Contract, TransactionContext


class ReputationContract(Contract):
    """Reputations, to read."""

    Name = "reputation"

    def get_evaluate_transactions(self) -> list[str]:
        return ["Get", "List"]

    async def Get(self, ctx: TransactionContext, request: str) -> str:
        """Return a participant's Reputation in a task."""
        command, state = query(ctx, request, commands.ReputationName)
        return answer(await state.get(Reputation, command.task_id, command.participant_id))

    async def List(self, ctx: TransactionContext, request: str) -> str:
        """Return every Reputation of a task, by participant."""
        command, state = query(ctx, request, commands.TaskName)
        return answer(await state.list(Reputation, command.task_id))
