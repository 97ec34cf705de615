"""What was collected in a round: the cohort's draw, commitments, receipts, and the set that was sealed.

Decides from the ledger alone that everybody who is in a sum was drawn, bound itself, and delivered, and that
nobody who delivered was left out. The ciphertexts themselves are left to `ciphertexts`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import (
    THRESHOLD_SCHEME,
    Organization,
    Phase,
    Receipt,
    Registration,
    Round,
    Task,
    UpdateCommitment,
)
from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.audit.history import History, Recorded
from bfl_fabric.audit.phases import name_of
from bfl_fabric.audit.tasks import eligible


def check_collection(history: History, findings: Findings) -> None:
    """Check cohorts, holders, commitments, receipts and sealed sets of every round."""
    for versions in history.versions(Round):
        task = history.find(Task, versions[0].value.task_id)
        if task is None:
            text = f"{name_of(versions[0].value)} belongs to no task"
            findings.fail(Check.COHORTS, text, versions[0].place)
            continue
        _check_cohort(history, versions[0], task.value, findings)
        _check_holders(history, versions[0], task.value, findings)
        for version in versions:
            if version.transaction.name == "round:Seal":
                _check_seal(history, version, task.value, findings)
    committed = bytearray(len(history.digests))
    for commitment in history.current(UpdateCommitment):
        _check_commitment(history, commitment, committed, findings)
    for receipt in history.current(Receipt):
        _check_receipt(history, receipt, findings)
    _check_digests(history, committed, findings)


# --- opening --------------------------------------------------------------------------------------


def _check_cohort(history: History, opened: Recorded[Round], task: Task, findings: Findings) -> None:
    findings.count(Check.COHORTS)
    record = opened.value
    expected = draw(
        task, record.number, eligible(history, record.task_id, opened.order), _sum_before(history, opened)
    )
    if record.cohort != expected:
        text = f"the cohort of {name_of(record)} is not the one that its seed draws"
        findings.fail(Check.COHORTS, text, opened.place)


def draw(task: Task, number: int, candidates: Sequence[Registration], previous_sum: str) -> tuple[str, ...]:
    """Return the cohort: the `target` candidates with the lowest tickets, all when the target is 0.

    A ticket is the SHA-256 of `seed:participant_id`, the seed the digest of the canonical JSON of spec digest,
    round number and the digest of the sum that was opened just before, "" after an aborted round.
    """
    seed = canonical.digest({"previous_sum": previous_sum, "round": number, "spec": task.spec_digest})
    names = [candidate.participant_id for candidate in candidates]
    tickets = {name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest() for name in names}
    target = task.spec.cohort.target or len(names)
    return tuple(sorted(sorted(names, key=tickets.__getitem__)[:target]))


def _sum_before(history: History, opened: Recorded[Round]) -> str:
    record = opened.value
    previous = history.find_as_of(Round, opened.order, record.task_id, record.number - 1)
    if previous is None or previous.value.phase is Phase.ABORTED:
        return ""
    return previous.value.sum_digest


def _check_holders(history: History, opened: Recorded[Round], task: Task, findings: Findings) -> None:
    """A single key holder's organization takes no uploads where others suffice; who has but a share may."""
    roles, needed = task.spec.roles, task.spec.verification.receipts
    members = [one.value for one in history.as_of(Organization, opened.order)]
    others = sorted(one.msp_id for one in members if one.active and one.msp_id != roles.aggregator)
    without_key = [msp_id for msp_id in others if msp_id != roles.key_holder]
    expected = (roles.aggregator, *(without_key if len(without_key) + 1 >= needed else others))
    if opened.value.holders != expected:
        text = f"the holders of {name_of(opened.value)} are not those that its task names"
        findings.fail(Check.COHORTS, text, opened.place)


# --- commitments and receipts -----------------------------------------------------------------------


def _check_commitment(
    history: History, commitment: Recorded[UpdateCommitment], committed: bytearray, findings: Findings
) -> None:
    """Check one commitment; of its digests that the task notes, mark the numbers in `committed`."""
    findings.count(Check.COMMITMENTS)
    record, transaction, place = commitment.value, commitment.transaction, commitment.place
    name = f"the commitment of {record.participant_id} in round {record.round} of task {record.task_id}"
    round_ = history.find_as_of(Round, commitment.order, record.task_id, record.round)
    collecting = round_ is not None and round_.value.phase is Phase.COLLECTING
    registration = history.find_as_of(Registration, commitment.order, record.task_id, record.participant_id)
    sender = (transaction.common_name, transaction.msp_id, transaction.transaction_id, transaction.at)
    if (record.participant_id, record.msp_id, record.transaction_id, record.committed_at) != sender:
        findings.fail(Check.COMMITMENTS, f"{name} was not its sender's", place, record.digest)
    if transaction.name != "round:CommitUpdate":
        findings.fail(Check.COMMITMENTS, f"{name} was made by {transaction.name}", place, record.digest)
    if not collecting or (round_ is not None and record.committed_at >= round_.value.deadline_at):
        findings.fail(Check.COMMITMENTS, f"{name} came while the round took none", place, record.digest)
    if round_ is not None and record.participant_id not in round_.value.cohort:
        findings.fail(Check.COMMITMENTS, f"{name} is from outside the cohort", place, record.digest)
    if registration is None or registration.value.samples != record.weight:
        findings.fail(
            Check.COMMITMENTS, f"{name} has another weight than was registered", place, record.digest
        )
    for digest in filter(None, (record.digest, record.mask_digest)):
        number = history.digests.find(record.task_id, digest)
        if number is not None:
            committed[number] = True
        if number is None or history.digests.order(number) != commitment.order:
            text = f"{name} is of an update that the task had seen before, or was not noted as seen"
            findings.fail(Check.COMMITMENTS, text, place, digest)
    _check_mask(history, commitment, name, findings)


def _check_mask(
    history: History, commitment: Recorded[UpdateCommitment], name: str, findings: Findings
) -> None:
    """The mask part of an update is committed beside it where several hold the key, and only there."""
    record, task = commitment.value, history.find(Task, commitment.value.task_id)
    shared = task is not None and task.value.spec.encryption.scheme == THRESHOLD_SCHEME
    if bool(record.mask_digest) is not shared or bool(record.mask_bytes) is not shared:
        text = f"{name} has a mask where none belongs, or none where key members need one"
        findings.fail(Check.COMMITMENTS, text, commitment.place, record.digest)


def _check_digests(history: History, committed: bytearray, findings: Findings) -> None:
    for number, is_committed in enumerate(committed):
        if not is_committed:
            task_id, digest = history.digests[number]
            place = history.transactions[history.digests.order(number)].place
            text = f"task {task_id} notes an update as seen that nobody committed"
            findings.fail(Check.COMMITMENTS, text, place, digest)


def _check_receipt(history: History, receipt: Recorded[Receipt], findings: Findings) -> None:
    findings.count(Check.RECEIPTS)
    record, transaction, place = receipt.value, receipt.transaction, receipt.place
    name = f"the receipt of {record.msp_id} for {record.participant_id} in round {record.round} of {record.task_id}"
    key = (record.task_id, record.round)
    commitment = history.find_as_of(UpdateCommitment, receipt.order, *key, record.participant_id)
    round_ = history.find_as_of(Round, receipt.order, *key)
    task = history.find(Task, record.task_id)
    if (record.msp_id, record.acknowledged_at) != (transaction.msp_id, transaction.at):
        findings.fail(Check.RECEIPTS, f"{name} was signed by {transaction.msp_id}", place)
    if commitment is None or commitment.value.digest != record.digest:
        findings.fail(Check.RECEIPTS, f"{name} is for an update that was not committed", place, record.digest)
    if round_ is None or record.msp_id not in round_.value.holders:
        findings.fail(Check.RECEIPTS, f"{name} is from an organization that holds none", place)
    elif round_.value.phase is not Phase.COLLECTING:
        findings.fail(Check.RECEIPTS, f"{name} came when the round was {round_.value.phase}", place)
    if task is not None:
        role = "aggregator" if record.msp_id == task.value.spec.roles.aggregator else "verifier"
        if transaction.role != role or transaction.name != "round:AcknowledgeUploads":
            findings.fail(Check.RECEIPTS, f"{name} was not given by the organization's {role}", place)


# --- the sealed set ---------------------------------------------------------------------------------


def delivered(history: History, round_: Round, task: Task, order: int) -> tuple[str, ...]:
    """Return who had delivered just before transaction number `order`: enough receipts, one of the aggregator's."""
    holding: dict[str, set[str]] = {}
    for receipt in history.as_of(Receipt, order, round_.task_id, round_.number):
        holding.setdefault(receipt.value.participant_id, set()).add(receipt.value.msp_id)
    needed, aggregator = task.spec.verification.receipts, task.spec.roles.aggregator
    return tuple(sorted(name for name, held in holding.items() if aggregator in held and len(held) >= needed))


def _check_seal(history: History, sealed: Recorded[Round], task: Task, findings: Findings) -> None:
    findings.count(Check.SEALED_SETS)
    record, place = sealed.value, sealed.place
    name = name_of(record)
    complete = delivered(history, record, task, sealed.order)
    if sealed.transaction.at < record.deadline_at and set(complete) != set(record.cohort):
        findings.fail(
            Check.SEALED_SETS, f"{name} was sealed before its deadline, with updates missing", place
        )
    enough = len(complete) >= task.spec.cohort.minimum
    if enough != (record.phase is Phase.SEALED):
        text = f"{name} became {record.phase} with {len(complete)} of {task.spec.cohort.minimum} updates"
        findings.fail(Check.SEALED_SETS, text, place)
    if record.phase is Phase.SEALED:
        _check_members(history, sealed, complete, findings)


def _check_members(
    history: History, sealed: Recorded[Round], complete: tuple[str, ...], findings: Findings
) -> None:
    record, place = sealed.value, sealed.place
    name = name_of(record)
    if record.members != complete:
        missing = sorted(set(complete) - set(record.members))
        added = sorted(set(record.members) - set(complete))
        text = f"the sealed set of {name} is not the delivered one: without {missing}, beyond it {added}"
        findings.fail(Check.SEALED_SETS, text, place)
    updates = history.as_of(UpdateCommitment, sealed.order, record.task_id, record.number)
    weights = {one.value.participant_id: one.value.weight for one in updates}
    if record.total_weight != sum(weights.get(member, 0) for member in record.members):
        findings.fail(Check.SEALED_SETS, f"the members of {name} have another total weight", place)
    if record.sealed_at != sealed.transaction.at:
        findings.fail(Check.SEALED_SETS, f"{name} was not sealed at its transaction's moment", place)
