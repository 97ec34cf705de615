"""Whether enough organizations found the same aggregate before anything was opened, and what the opening said.

Decides from the ledger alone. That the aggregate is also the right one is left to `ciphertexts`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bfl_chaincode.api.records import THRESHOLD_SCHEME, Attestation, Phase, Round, ScoreSheet, Task
from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.audit.history import History, Recorded
from bfl_fabric.audit.phases import name_of

SUM_BYTES_PER_PARAMETER = 8
MODEL_BYTES_PER_PARAMETER = 4


def check_agreement(history: History, findings: Findings) -> None:
    """Check attestations, quorums and score sheets of every round."""
    for attestation in history.current(Attestation):
        _check_attestation(history, attestation, findings)
    for sheet in history.current(ScoreSheet):
        _check_sheet(history, sheet, findings)
    for versions in history.versions(Round):
        task = history.find(Task, versions[0].value.task_id)
        if task is not None:
            _check_course(history, versions, task.value, findings)


def _check_attestation(history: History, attestation: Recorded[Attestation], findings: Findings) -> None:
    findings.count(Check.ATTESTATIONS)
    record, transaction, place = attestation.value, attestation.transaction, attestation.place
    name = f"the attestation of {record.msp_id} for round {record.round} of task {record.task_id}"
    round_ = history.find_as_of(Round, attestation.order, record.task_id, record.round)
    if (record.msp_id, record.attested_at) != (transaction.msp_id, transaction.at):
        findings.fail(Check.ATTESTATIONS, f"{name} was signed by {transaction.msp_id}", place)
    if transaction.name != "round:AttestAggregate":
        findings.fail(Check.ATTESTATIONS, f"{name} was made by {transaction.name}", place)
    if round_ is None or round_.value.phase not in (Phase.AGGREGATED, Phase.VERIFIED):
        findings.fail(Check.ATTESTATIONS, f"{name} came while there was no aggregate", place)


def _check_course(
    history: History, versions: Sequence[Recorded[Round]], task: Task, findings: Findings
) -> None:
    for version in versions:
        match version.value.phase:
            case Phase.AGGREGATED:
                _check_proposal(version, task, findings)
            case Phase.VERIFIED:
                _check_quorum(history, version, task, findings)
            case Phase.RELEASED:
                _check_release(history, version, task, findings)
            case Phase.PUBLISHED:
                _check_publication(version, task, findings)


def _check_proposal(proposed: Recorded[Round], task: Task, findings: Findings) -> None:
    """Under a joint key there are no score ciphertexts: key members make scores of the uploads themselves."""
    record = proposed.value
    scored = record.direction_digest and task.spec.encryption.scheme != THRESHOLD_SCHEME
    if not record.aggregate_digest or bool(record.scores_digest) != bool(scored):
        text = f"the aggregate of {name_of(record)} lacks its digest, or has scores where none belong"
        findings.fail(Check.ATTESTATIONS, text, proposed.place)


def _check_quorum(history: History, verified: Recorded[Round], task: Task, findings: Findings) -> None:
    record, aggregator = verified.value, task.spec.roles.aggregator
    stated = (record.aggregate_digest, record.scores_digest)
    agreeing = {
        one.value.msp_id
        for one in history.as_of(Attestation, verified.order, record.task_id, record.number)
        if (one.value.aggregate_digest, one.value.scores_digest) == stated
    }
    others = agreeing - {aggregator}
    if not others or len(others) + 1 < task.spec.verification.attestations:
        text = (
            f"{name_of(record)} was confirmed with {len(others) + 1} of {task.spec.verification.attestations} "
            "organizations stating the same aggregate"
        )
        findings.fail(Check.ATTESTATIONS, text, verified.place, record.aggregate_digest)


def _check_release(history: History, released: Recorded[Round], task: Task, findings: Findings) -> None:
    record = released.value
    if record.sum_bytes != SUM_BYTES_PER_PARAMETER * task.spec.model.parameter_count or not record.sum_digest:
        text = f"the sum of {name_of(record)} has not the length of its model"
        findings.fail(Check.SUMS, text, released.place, record.sum_digest)
    posted = history.find_as_of(ScoreSheet, released.order, record.task_id, record.number)
    if record.direction_digest and posted is None:
        text = f"the sum of {name_of(record)} was released before its scores"
        findings.fail(Check.ALIGNMENTS, text, released.place, record.sum_digest)


def _check_publication(published: Recorded[Round], task: Task, findings: Findings) -> None:
    record = published.value
    if record.model_bytes != MODEL_BYTES_PER_PARAMETER * task.spec.model.parameter_count:
        text = f"the model of {name_of(record)} has not the length of its task's"
        findings.fail(Check.MODELS, text, published.place, record.model_digest)
    if not record.model_digest or not record.next_direction_digest:
        text = f"{name_of(record)} was published without a model or a direction"
        findings.fail(Check.MODELS, text, published.place)


def _check_sheet(history: History, sheet: Recorded[ScoreSheet], findings: Findings) -> None:
    record, place = sheet.value, sheet.place
    name = f"the score sheet of round {record.round} of task {record.task_id}"
    round_ = history.find_as_of(Round, sheet.order, record.task_id, record.round)
    if round_ is None or round_.value.phase is not Phase.VERIFIED:
        findings.fail(Check.ALIGNMENTS, f"{name} came while nothing could be opened", place)
        return
    if sheet.transaction.name != "round:PostScores" or record.posted_at != sheet.transaction.at:
        findings.fail(Check.ALIGNMENTS, f"{name} was made by {sheet.transaction.name}", place)
    if tuple(score.participant_id for score in record.scores) != round_.value.members:
        findings.fail(Check.ALIGNMENTS, f"{name} is not of exactly the members", place)
    if not record.direction_digest or record.direction_digest != round_.value.direction_digest:
        findings.fail(Check.ALIGNMENTS, f"{name} is against another direction than the round's", place)
