"""What a reader of the ledger keeps for the actions that it was found due in."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bfl_chaincode.api.records import TaskStatus
from bfl_fabric.roles.reader import LedgerReader
from tests.unit.roles.nodes import Scene
from tests.unit.roles.rounds import TASK, collecting, task, verified


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_an_action_sees_the_round_in_which_it_was_found(scene: Scene) -> None:
    reader = LedgerReader(scene.ledger)
    before = scene.show(collecting())
    asyncio.run(reader.current(TASK))
    after = scene.show(verified())
    assert asyncio.run(reader.seen(TASK, 1)) == before
    asyncio.run(reader.current(TASK))
    assert asyncio.run(reader.seen(TASK, 1)) == after


def test_a_round_that_was_not_read_yet_is_read(scene: Scene) -> None:
    shown = scene.show(collecting())
    assert asyncio.run(LedgerReader(scene.ledger).seen(TASK, 1)) == shown


def test_nothing_is_kept_of_a_task_that_has_ended(scene: Scene) -> None:
    reader = LedgerReader(scene.ledger)
    scene.show(collecting())
    asyncio.run(reader.current(TASK))
    ended = scene.show(replace(verified(), task=task(TaskStatus.CLOSED)))
    asyncio.run(reader.current(TASK))
    scene.ledger.evaluated.clear()
    assert asyncio.run(reader.seen(TASK, 1)) == ended
    assert scene.ledger.evaluated == ["round:Get"]
