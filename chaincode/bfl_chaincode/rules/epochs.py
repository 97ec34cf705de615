"""Key epochs: a single key is opened, any key is retired, a packed key is granted to silos.

How shared keys are made is `ceremonies`; which epoch a round uses is `tasks.newest_epoch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bfl_chaincode import commands
from bfl_chaincode.api import refusals
from bfl_chaincode.api.records import (
    PACKED_SCHEME,
    THRESHOLD_SCHEME,
    KeyEpoch,
    KeyGrant,
    NodeRole,
    Registration,
    Task,
    TaskStatus,
)
from bfl_chaincode.rules import callers
from bfl_chaincode.rules.callers import Call
from bfl_chaincode.rules.tasks import require_status


def open_epoch(command: commands.OpenEpoch, task: Task, epochs: Sequence[KeyEpoch], call: Call) -> KeyEpoch:
    """Bind a single public key to the task; rounds opened from now on use it."""
    callers.require_key_holder(call, task)
    if task.spec.encryption.scheme == THRESHOLD_SCHEME:
        raise refusals.WrongScheme(f"task {command.task_id} has a shared key")
    require_status(task, TaskStatus.PUBLISHED, TaskStatus.RUNNING)
    if command.epoch <= len(epochs):
        raise refusals.KeyEpochExists(f"epoch {command.epoch} of {command.task_id} is open")
    if command.epoch != len(epochs) + 1:
        raise refusals.EpochOutOfOrder(f"epoch {command.epoch} was sent, {len(epochs) + 1} is next")
    wanted = task.spec.encryption.parameters_digest
    if command.parameters_digest != wanted:
        raise refusals.ParametersDiffer(f"the key has {command.parameters_digest}, the task {wanted}")
    return KeyEpoch(
        task_id=command.task_id,
        epoch=command.epoch,
        msp_id=call.caller.msp_id,
        parameters_digest=command.parameters_digest,
        public_key_digest=command.public_key_digest,
        public_key_bytes=command.public_key_bytes,
        opened_at=call.at,
    )


def retire(command: commands.RetireEpoch, task: Task, epoch: KeyEpoch, call: Call) -> KeyEpoch:
    """End the use of a key for new rounds; one that runs keeps it."""
    if call.caller.role == NodeRole.COORDINATOR:
        callers.require_coordinator(call, task)
    else:
        callers.require_key_holder(call, task)
    _require_in_use(epoch)
    return replace(epoch, retired_at=call.at, reason=command.reason)


def require_usable(epoch: KeyEpoch, call: Call) -> None:
    """Raise KeyEpochRetired, KeyEpochExpired: no round is opened under such a key."""
    _require_in_use(epoch)
    if epoch.expires_at and call.at >= epoch.expires_at:
        raise refusals.KeyEpochExpired(f"it is {call.at}, epoch {epoch.epoch} expired at {epoch.expires_at}")


def grant(
    command: commands.GrantKey, task: Task, epoch: KeyEpoch, registration: Registration, call: Call
) -> KeyGrant:
    """Note that the key holder gave a registered silo the key, encrypted to its transport key."""
    callers.require_key_holder(call, task)
    if task.spec.encryption.scheme != PACKED_SCHEME:
        raise refusals.WrongScheme(f"task {command.task_id} gives silos no key")
    return KeyGrant(
        task_id=command.task_id,
        epoch=epoch.epoch,
        participant_id=registration.participant_id,
        digest=command.digest,
        size_bytes=command.size_bytes,
        granted_at=call.at,
    )


def _require_in_use(epoch: KeyEpoch) -> None:
    if epoch.retired_at:
        raise refusals.KeyEpochRetired(f"epoch {epoch.epoch} was retired at {epoch.retired_at}")
