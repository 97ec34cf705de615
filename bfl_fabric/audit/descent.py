"""The chain of models from the initial one to the last, and what auditors before this one said.

Decides that every model record says what its round says, and that the chain of parents is unbroken.
"""

from __future__ import annotations

from bfl_chaincode.api.records import Evaluation, Metrics, ModelRecord, Round, Task
from bfl_fabric.audit.agreement import MODEL_BYTES_PER_PARAMETER
from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.audit.history import History, Recorded
from bfl_fabric.audit.lineage import LineageGraph
from bfl_fabric.errors import AuditFailed


def check_descent(history: History, findings: Findings) -> None:
    """Check the model records of every task, and the evaluations."""
    for task in history.current(Task):
        models = list(history.current(ModelRecord, task.value.spec.task_id))
        for model in models:
            findings.count(Check.LINEAGE)
            _check_model(history, model, task.value, findings)
        _check_completeness(history, task.value, findings)
        try:
            LineageGraph(model.value for model in models)
        except AuditFailed as error:
            findings.fail(Check.LINEAGE, str(error), models[-1].place)
    for evaluation in history.current(Evaluation):
        _check_evaluation(history, evaluation, findings)


def _check_model(history: History, model: Recorded[ModelRecord], task: Task, findings: Findings) -> None:
    record = model.value
    expected = _initial(model, task) if record.round == 0 else _of_round(history, model)
    if expected is None:
        text = f"the model of round {record.round} of task {record.task_id} was published by no round"
        findings.fail(Check.LINEAGE, text, model.place, record.digest)
    elif record != expected:
        text = f"the model record of round {record.round} of task {record.task_id} is not what the round says"
        findings.fail(Check.LINEAGE, text, model.place, record.digest)


def _initial(model: Recorded[ModelRecord], task: Task) -> ModelRecord | None:
    if model.transaction.name != "task:Publish":
        return None
    return ModelRecord(
        task_id=task.spec.task_id,
        round=0,
        digest=task.spec.model.initial_digest,
        size_bytes=MODEL_BYTES_PER_PARAMETER * task.spec.model.parameter_count,
        parent_digest="",
        sum_digest="",
        contributors=(),
        total_weight=0,
        metrics=Metrics(accuracy_ppb=0, loss_ppb=0, samples=0),
        published_at=model.transaction.at,
    )


def _of_round(history: History, model: Recorded[ModelRecord]) -> ModelRecord | None:
    round_ = history.find_as_of(Round, model.order + 1, model.value.task_id, model.value.round)
    if round_ is None or model.transaction.name != "round:PublishModel":
        return None
    record = round_.value
    return ModelRecord(
        task_id=record.task_id,
        round=record.number,
        digest=record.model_digest,
        size_bytes=record.model_bytes,
        parent_digest=record.base_model_digest,
        sum_digest=record.sum_digest,
        contributors=record.members,
        total_weight=record.total_weight,
        metrics=model.value.metrics,
        published_at=model.transaction.at,
        direction_digest=record.next_direction_digest,
    )


def _check_completeness(history: History, task: Task, findings: Findings) -> None:
    for round_ in history.current(Round, task.spec.task_id):
        record = round_.value
        if record.model_digest and history.find(ModelRecord, record.task_id, record.number) is None:
            text = f"round {record.number} of task {record.task_id} published a model without a record of it"
            findings.fail(Check.LINEAGE, text, round_.place, record.model_digest)


def _check_evaluation(history: History, evaluation: Recorded[Evaluation], findings: Findings) -> None:
    findings.count(Check.EVALUATIONS)
    record, transaction, place = evaluation.value, evaluation.transaction, evaluation.place
    name = f"the evaluation of task {record.task_id} by {record.auditor_id}"
    sender = (transaction.common_name, transaction.msp_id, transaction.at)
    if (record.auditor_id, record.msp_id, record.recorded_at) != sender:
        findings.fail(Check.EVALUATIONS, f"{name} was not its sender's", place)
    if history.find_as_of(Task, evaluation.order, record.task_id) is None:
        findings.fail(Check.EVALUATIONS, f"{name} is of no task", place)
    if not 0 < record.block_height <= transaction.block:
        text = f"{name} speaks of {record.block_height} blocks, {transaction.block} were there"
        findings.fail(Check.EVALUATIONS, text, place)
