"""The keys of a task: that its terms say one thing about them, how each epoch came to be, ended, and who was given it.

Decides from the ledger alone. How a joint key was made is left to `ceremonies`; which epoch a round uses, to `phases`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bfl_chaincode.api.records import (
    PACKED_SCHEME,
    THRESHOLD_SCHEME,
    Ceremony,
    KeyEpoch,
    KeyGrant,
    Registration,
    Task,
    TaskSpec,
)
from bfl_fabric.audit.ceremonies import epoch_of, expected_end, said_before
from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.audit.history import History, Recorded


def check_epochs(history: History, findings: Findings) -> None:
    """Check the key terms of every task, its key epochs and the grants of packed keys."""
    for task in history.current(Task):
        problem = _contradiction(task.value.spec)
        if problem:
            text = f"the terms of task {task.value.spec.task_id} contradict each other: {problem}"
            findings.fail(Check.SPECS, text, task.place)
    for versions in history.versions(KeyEpoch):
        _check_epoch(history, versions, findings)
    for grant in history.current(KeyGrant):
        _check_grant(history, grant, findings)


def is_usable(epoch: KeyEpoch, at: int) -> bool:
    """Say whether a round could be opened under a key at this moment: not retired, not expired."""
    return not epoch.retired_at and (not epoch.expires_at or at < epoch.expires_at)


def _contradiction(spec: TaskSpec) -> str:
    roles, threshold, scheme = spec.roles, spec.encryption.threshold, spec.encryption.scheme
    members = roles.key_members
    if scheme != THRESHOLD_SCHEME:
        single = roles.key_holder and roles.key_holder != roles.aggregator and not members and not threshold
        return "" if single else f"scheme {scheme!r} takes one key holder, who does not aggregate"
    if roles.key_holder or members != tuple(sorted(set(members))):
        return "its key members are not sorted and distinct, or a single key holder stands beside them"
    return "" if 2 <= threshold <= len(members) else f"{threshold} of {len(members)} members would open"


def _check_epoch(history: History, versions: Sequence[Recorded[KeyEpoch]], findings: Findings) -> None:
    findings.count(Check.SPECS)
    first = versions[0]
    record = first.value
    name = f"key epoch {record.epoch} of task {record.task_id}"
    task = history.find(Task, record.task_id)
    if task is None:
        findings.fail(Check.SPECS, f"{name} belongs to no task", first.place)
        return
    if record.parameters_digest != task.value.spec.encryption.parameters_digest:
        findings.fail(Check.SPECS, f"{name} has other parameters than its task", first.place)
    if task.value.spec.roles.key_members:
        _check_shared(history, first, name, findings)
    else:
        _check_single(history, first, task.value, name, findings)
    for number, version in enumerate(versions[1:]):
        findings.count(Check.SPECS)
        if number or version.transaction.name != "key:RetireEpoch" or not version.value.retired_at:
            findings.fail(Check.SPECS, f"{name} was changed by {version.transaction.name}", version.place)


def _check_single(
    history: History, epoch: Recorded[KeyEpoch], task: Task, name: str, findings: Findings
) -> None:
    record = epoch.value
    if record.msp_id != task.spec.roles.key_holder or epoch.transaction.msp_id != record.msp_id:
        findings.fail(Check.SPECS, f"{name} was opened by {epoch.transaction.msp_id}", epoch.place)
    if record.epoch != len(list(history.as_of(KeyEpoch, epoch.order, record.task_id))) + 1:
        findings.fail(Check.SPECS, f"{name} is out of order", epoch.place)
    late = (record.members, record.threshold, record.expires_at, record.retired_at, record.reason)
    if any(late) or epoch.transaction.name != "key:OpenEpoch":
        findings.fail(Check.SPECS, f"{name} is not as a single key is opened", epoch.place)


def _check_shared(history: History, epoch: Recorded[KeyEpoch], name: str, findings: Findings) -> None:
    """A joint key's epoch is what the ceremony with its number closed with, in the same transaction."""
    record, transaction = epoch.value, epoch.transaction
    opened = history.find_as_of(Ceremony, epoch.order, record.task_id, record.epoch)
    if opened is None or transaction.name != "key:CloseCeremony":
        findings.fail(
            Check.CEREMONIES, f"{name} was made by no ceremony", epoch.place, record.public_key_digest
        )
        return
    said = said_before(history, epoch.order, opened.value)
    end = expected_end(opened.value, said, transaction.at)
    if end is None or not end.joint_key_digest:
        text = f"{name} was made although its ceremony closed with no key"
        findings.fail(Check.CEREMONIES, text, epoch.place, record.public_key_digest)
        return
    stated = next(iter(said.keys.values()))
    if record != epoch_of(opened.value, stated, transaction.msp_id, transaction.at):
        text = f"{name} is not what the members of its ceremony confirmed"
        findings.fail(Check.CEREMONIES, text, epoch.place, record.public_key_digest)


def _check_grant(history: History, grant: Recorded[KeyGrant], findings: Findings) -> None:
    findings.count(Check.GRANTS)
    record, place = grant.value, grant.place
    name = f"the grant of key {record.epoch} of task {record.task_id} to {record.participant_id}"
    task = history.find(Task, record.task_id)
    if task is None or task.value.spec.encryption.scheme != PACKED_SCHEME:
        findings.fail(Check.GRANTS, f"{name} is of a scheme that gives silos no key", place, record.digest)
    if history.find_as_of(KeyEpoch, grant.order, record.task_id, record.epoch) is None:
        findings.fail(Check.GRANTS, f"{name} came before there was that key", place, record.digest)
    if history.find_as_of(Registration, grant.order, record.task_id, record.participant_id) is None:
        findings.fail(Check.GRANTS, f"{name} is to nobody who had registered", place, record.digest)
