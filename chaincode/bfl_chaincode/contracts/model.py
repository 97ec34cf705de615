"""model: the lineage of a task's models. Publishing a task and its rounds writes it."""

from __future__ import annotations

from bfl_chaincode import commands
from bfl_chaincode.api.records import ModelRecord
from bfl_chaincode.contracts.transaction import answer, query
from bfl_chaincode.shim.contract_api import Contract, TransactionContext


class ModelContract(Contract):
    """Models, to read."""

    Name = "model"

    def get_evaluate_transactions(self) -> list[str]:
        return ["Get", "Lineage"]

    async def Get(self, ctx: TransactionContext, request: str) -> str:
        """Return the ModelRecord that a round published, of round 0 the initial model's."""
        command, state = query(ctx, request, commands.ModelName)
        return answer(await state.get(ModelRecord, command.task_id, command.round))

    async def Lineage(self, ctx: TransactionContext, request: str) -> str:
        """Return every ModelRecord of a task, the initial model's first."""
        command, state = query(ctx, request, commands.TaskName)
        return answer(await state.list(ModelRecord, command.task_id))
