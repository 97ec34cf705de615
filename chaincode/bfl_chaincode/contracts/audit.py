"""audit: what auditors have found, on the record."""

from __future__ import annotations

from bfl_chaincode import commands
from bfl_chaincode.api.records import Evaluation, Task
from bfl_chaincode.contracts.transaction import answer, query, submission
from bfl_chaincode.rules import evaluations as rules
from bfl_chaincode.shim.contract_api import Contract, TransactionContext


class AuditContract(Contract):
    """Evaluations."""

    Name = "audit"

    def get_evaluate_transactions(self) -> list[str]:
        return ["ListEvaluations"]

    async def RecordEvaluation(self, ctx: TransactionContext, request: str) -> str:
        """Put an auditor's report, by its digest, and its finding on the record."""
        tx = await submission(ctx, request, commands.RecordEvaluation)
        await tx.state.get(Task, tx.command.task_id)
        found = rules.evaluate(tx.command, tx.call)
        await tx.state.require_absent(Evaluation, found.task_id, found.auditor_id, found.report_digest)
        return await tx.commit(found, refs=[found.auditor_id, found.report_digest])

    async def ListEvaluations(self, ctx: TransactionContext, request: str) -> str:
        """Return every Evaluation of a task, by auditor and report."""
        command, state = query(ctx, request, commands.TaskName)
        return answer(await state.list(Evaluation, command.task_id))
