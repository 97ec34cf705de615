"""What a reader of the ledger keeps for the actions that it was found due in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from bfl_chaincode.api.canonical import Json
from bfl_fabric.roles.reader import SEEN_TASKS, LedgerReader
from tests.unit.roles.nodes import Scene
from tests.unit.roles.rounds import TASK, collecting, verified


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


def test_only_so_many_views_are_kept_the_oldest_go(scene: Scene) -> None:
    reader = LedgerReader(scene.ledger)
    shown = scene.show(collecting())
    names = [f"task-{number}" for number in range(SEEN_TASKS + 1)]
    for name in (*names[:2], names[0], *names[2:]):
        asyncio.run(reader.current(name))
    assert [name for name in names if reader.last(name) is None] == [names[1]]
    assert reader.last(names[0]) == shown


def test_a_list_that_the_ledger_gives_again_is_not_decoded_again(scene: Scene) -> None:
    reader = LedgerReader(scene.ledger)
    first = asyncio.run(reader.organizations())
    assert asyncio.run(reader.organizations()) is first
    scene.ledger.answers["federation:ListOrganizations"] = list(
        cast("list[Json]", scene.ledger.answers["federation:ListOrganizations"])
    )
    again = asyncio.run(reader.organizations())
    assert again == first
    assert again is not first


def test_lists_are_kept_by_what_was_asked_for(scene: Scene) -> None:
    reader = LedgerReader(scene.ledger)
    for number in range(SEEN_TASKS + 2):
        assert asyncio.run(reader.lineage(f"task-{number}")) == ()
    assert len(reader._lists) == SEEN_TASKS
