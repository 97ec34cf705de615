"""The coordinator's door: besides what every node gives, it takes the initial model of a task of its organization.

The bytes are those that the task's spec names; they travel as an upload of round 0 by a client of the
coordinator's organization, and only while the task has not started.
"""

from __future__ import annotations

from pathlib import Path

from bfl_chaincode.api.records import Task, TaskStatus, from_json
from bfl_fabric.domain.ports import TransferCaller, UpdateName
from bfl_fabric.errors import LedgerRefused, MalformedInput, NotFound
from bfl_fabric.roles.admission import NodeAdmission
from bfl_fabric.roles.workbench import file_digest

INITIAL_ROUND = 0
BYTES_PER_PARAMETER = 4


class CoordinatorAdmission(NodeAdmission):
    """Implements the port `Admission` for a coordinator's node."""

    async def expect(self, caller: TransferCaller, name: UpdateName, digest: str) -> int:
        """Return the size of the initial model that this caller may bring. Raises MalformedInput, NotFound."""
        if name.round != INITIAL_ROUND:
            return await super().expect(caller, name, digest)
        task = await self._task(name.task_id)
        verify_bringer(task, self._bench.identity.msp_id, caller)
        if digest != task.spec.model.initial_digest:
            raise MalformedInput(f"{name.task_id} starts from {task.spec.model.initial_digest}, not {digest}")
        return task.spec.model.parameter_count * BYTES_PER_PARAMETER

    async def accept(self, name: UpdateName, digest: str, path: Path) -> None:
        """Check the digest; the spec on the ledger has fixed everything else. Raises MalformedInput."""
        if name.round != INITIAL_ROUND:
            await super().accept(name, digest, path)
            return
        found = await self._bench.work(file_digest, path)
        if found != digest:
            raise MalformedInput(
                f"the initial model of {name.task_id} has digest {found}, announced {digest}"
            )

    async def _task(self, task_id: str) -> Task:
        try:
            return from_json(Task, await self._bench.ports.ledger.evaluate("task:Get", {"task_id": task_id}))
        except LedgerRefused as error:
            raise NotFound(f"the ledger has no task {task_id}; create it first") from error


def verify_bringer(task: Task, msp_id: str, caller: TransferCaller) -> None:
    """Check that this node coordinates the task and that its own organization calls. Raises MalformedInput."""
    coordinator = task.spec.roles.coordinator
    if coordinator != msp_id or caller.msp_id != msp_id:
        raise MalformedInput(
            f"the initial model of {task.spec.task_id} goes from {coordinator} to its own coordinator"
        )
    if task.status not in (TaskStatus.DRAFT, TaskStatus.PUBLISHED):
        raise MalformedInput(f"{task.spec.task_id} is {task.status}; its initial model is no longer taken")
