"""What transactions of several contracts load alike: a task with its round, and the evidence of an opening."""

from __future__ import annotations

from bfl_chaincode import commands
from bfl_chaincode.api.records import Blame, DecryptionShare, KeyEpoch, Opening, Round, ScoreSheet, Task
from bfl_chaincode.rules.openings import Evidence
from bfl_chaincode.world_state import WorldState


async def task_and_round(state: WorldState, command: commands.AnyRound) -> tuple[Task, Round]:
    """Return the round that a request names, with its task."""
    task = await state.get(Task, command.task_id)
    return task, await state.get(Round, command.task_id, command.round)


async def opening_evidence(state: WorldState, task: Task, round_: Round) -> Evidence:
    """Return everything about a round's openings. Under a single key that is the scores alone."""
    name = (round_.task_id, round_.number)
    scores = await state.find(ScoreSheet, *name)
    if not task.spec.roles.key_members:
        return Evidence(task, round_, scores=scores)
    return Evidence(
        task=task,
        round=round_,
        epoch=await state.get(KeyEpoch, round_.task_id, round_.epoch),
        scores=scores,
        openings=await state.list(Opening, *name),
        shares=await state.list(DecryptionShare, *name),
        blames=await state.list(Blame, *name),
    )
