"""In which order a member's answers are made and posted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bfl_chaincode.api.records import NodeRole, RoundView, ShareSubject
from bfl_fabric.roles.actions import Action
from bfl_fabric.roles.fetching import Fetcher
from bfl_fabric.roles.openable import OpenableRounds
from bfl_fabric.roles.opening import Openings
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.turns import Answer
from tests.unit.roles.nodes import ANode, Scene
from tests.unit.roles.rounds import TASK
from tests.unit.roles.shared import MEMBERS, directed, opening

SCORES, SUM = Answer(TASK, 1, 1, ShareSubject.SCORES), Answer(TASK, 1, 1, ShareSubject.SUM)


class Member:
    """A member whose answers take as long as the test wants; `made` says what of them has begun and ended."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scene = Scene(folder)
        node = ANode(self.scene, MEMBERS[0], "key-holder-x", NodeRole.KEY_HOLDER)
        reader = LedgerReader(self.scene.ledger)
        fetcher = Fetcher(node.bench, reader)
        self.openings = Openings(node.bench, node.schemes, reader, fetcher, folder)
        self.made: list[str] = []
        self.may_end = asyncio.Event()
        monkeypatch.setattr(OpenableRounds, "read", self._read)
        monkeypatch.setattr(Openings, "_share", self._share)

    @property
    def posted(self) -> list[object]:
        return [request["subject"] for _, request in self.scene.ledger.submitted]

    async def _read(self, action: Action) -> RoundView:
        return directed(openings=(opening(*MEMBERS[:2]),))

    async def _share(self, action: Answer, view: RoundView) -> bytes:
        self.made.append(f"begin {action.subject}")
        await self.may_end.wait()
        self.made.append(f"end {action.subject}")
        return f"the answer for the {action.subject}".encode()


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_the_answer_for_the_scores_is_made_and_posted_before_that_for_the_sum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        member = Member(tmp_path, monkeypatch)
        both = [asyncio.create_task(member.openings.perform(answer)) for answer in (SCORES, SUM)]
        await turns()
        assert member.made == ["begin scores"]
        member.may_end.set()
        await asyncio.gather(*both)
        assert member.made == ["begin scores", "end scores", "begin sum", "end sum"]
        assert member.posted == ["scores", "sum"]

    asyncio.run(story())


def test_an_answer_is_made_once_however_often_it_is_posted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        member = Member(tmp_path, monkeypatch)
        member.may_end.set()
        for _ in range(2):
            await member.openings.perform(SUM)
        assert member.made == ["begin sum", "end sum"]
        first, second = (request for _, request in member.scene.ledger.submitted)
        assert first == second

    asyncio.run(story())
