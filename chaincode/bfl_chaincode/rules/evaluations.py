"""What auditors put on the record."""

from __future__ import annotations

from bfl_chaincode import commands
from bfl_chaincode.api.records import Evaluation, NodeRole
from bfl_chaincode.rules import callers
from bfl_chaincode.rules.callers import Call


def evaluate(command: commands.RecordEvaluation, call: Call) -> Evaluation:
    """Take an auditor's finding; the report itself stays off the ledger."""
    callers.require_role(call, NodeRole.AUDITOR)
    return Evaluation(
        task_id=command.task_id,
        auditor_id=call.caller.common_name,
        msp_id=call.caller.msp_id,
        report_digest=command.report_digest,
        passed=command.passed,
        block_height=command.block_height,
        recorded_at=call.at,
    )
