"""key: the public keys that a task's updates are encrypted under."""

from __future__ import annotations

from bfl_chaincode import commands
from bfl_chaincode.api.records import KeyEpoch, Task
from bfl_chaincode.contracts.transaction import answer, query, submission
from bfl_chaincode.rules import tasks as rules
from bfl_chaincode.shim.contract_api import Contract, TransactionContext


class KeyContract(Contract):
    """Key epochs."""

    Name = "key"

    def get_evaluate_transactions(self) -> list[str]:
        return ["Get"]

    async def OpenEpoch(self, ctx: TransactionContext, request: str) -> str:
        """Bind a public key to a task."""
        tx = await submission(ctx, request, commands.OpenEpoch)
        task = await tx.state.get(Task, tx.command.task_id)
        epochs = await tx.state.list(KeyEpoch, tx.command.task_id)
        epoch = rules.open_epoch(tx.command, task, epochs, tx.call)
        return await tx.commit(epoch, refs=[epoch.public_key_digest])

    async def Get(self, ctx: TransactionContext, request: str) -> str:
        """Return the KeyEpoch."""
        command, state = query(ctx, request, commands.EpochName)
        return answer(await state.get(KeyEpoch, command.task_id, command.epoch))
