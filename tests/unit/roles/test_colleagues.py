"""Whom a member names when it begins an opening."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bfl_chaincode.api.records import NodeRole, RoundView
from bfl_fabric.errors import TransferFailed
from bfl_fabric.roles.colleagues import Colleagues
from bfl_fabric.roles.reader import LedgerReader
from tests.unit.roles.nodes import ANode, Scene
from tests.unit.roles.rounds import TASK
from tests.unit.roles.shared import MEMBERS, answer, blame, joint_epoch, openable, opening

FIRST, SECOND, THIRD = MEMBERS[1:] + MEMBERS[:1]
"""The order of round 1."""


class Members:
    """A key-holder node for each member; `of` are the colleagues of one of them."""

    def __init__(self, folder: Path) -> None:
        self.scene = Scene(folder)
        self.nodes = {
            name: ANode(self.scene, name, f"holder-{name}", NodeRole.KEY_HOLDER) for name in MEMBERS
        }

    def of(self, name: str) -> Colleagues:
        return Colleagues(self.nodes[name].bench, LedgerReader(self.scene.ledger))

    def hang_up(self, *names: str) -> None:
        for name in names:
            self.scene.network.hang_up(self.nodes[name].address)


@pytest.fixture
def members(tmp_path: Path) -> Members:
    return Members(tmp_path)


def named(colleagues: Colleagues, view: RoundView | None = None) -> list[str]:
    return asyncio.run(colleagues.able(view or openable()))


def test_who_begins_names_itself_and_those_whose_turn_it_is(members: Members) -> None:
    assert named(members.of(FIRST)) == sorted((FIRST, SECOND))
    assert named(members.of(THIRD)) == sorted((FIRST, THIRD))


def test_who_cannot_be_reached_is_not_named(members: Members) -> None:
    members.hang_up(SECOND)
    assert named(members.of(FIRST)) == sorted((FIRST, THIRD))


def test_too_few_begin_nothing_and_it_says_who_is_missing(members: Members) -> None:
    members.hang_up(SECOND, THIRD)
    with pytest.raises(
        TransferFailed, match=f"2 members must answer, 1 are there; not reached: {SECOND}, {THIRD}"
    ):
        named(members.of(FIRST))


def test_a_member_that_has_not_announced_its_node_is_not_reached(members: Members) -> None:
    view = openable(key_epoch=replace(joint_epoch(), members=(FIRST, "NewcomerMSP")))
    with pytest.raises(TransferFailed, match="not reached: NewcomerMSP"):
        named(members.of(FIRST), view)


def failed() -> RoundView:
    """The second member answered nothing in the first attempt, so that another one was begun."""
    return openable(
        openings=(opening(FIRST, SECOND), opening(FIRST, THIRD, attempt=2)), shares=(answer(FIRST),)
    )


def test_who_let_an_attempt_down_is_named_last_until_it_answers_again(members: Members) -> None:
    colleagues = members.of(FIRST)
    colleagues.note(failed())
    colleagues.note(openable())
    assert named(colleagues) == sorted((FIRST, THIRD))
    colleagues.note(openable(openings=(opening(SECOND, THIRD),), shares=(answer(SECOND), answer(THIRD))))
    assert named(colleagues) == sorted((FIRST, SECOND))


def test_whom_most_others_blame_is_named_last_although_it_answered(members: Members) -> None:
    colleagues = members.of(FIRST)
    shares = (answer(FIRST), answer(SECOND))
    blames = (blame(FIRST, SECOND), blame(THIRD, SECOND))
    colleagues.note(openable(openings=(opening(FIRST, SECOND),), shares=shares, blames=blames))
    assert named(colleagues) == sorted((FIRST, THIRD))


def test_who_let_an_attempt_down_is_named_where_nobody_else_is_left(members: Members) -> None:
    colleagues = members.of(FIRST)
    colleagues.note(failed())
    members.hang_up(THIRD)
    assert named(colleagues) == sorted((FIRST, SECOND))


def test_a_task_that_is_over_is_forgotten(members: Members) -> None:
    colleagues = members.of(FIRST)
    colleagues.note(failed())
    colleagues.keep([TASK])
    assert named(colleagues) == sorted((FIRST, THIRD))
    colleagues.keep([])
    assert named(colleagues) == sorted((FIRST, SECOND))
