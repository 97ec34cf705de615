"""In which order a member's answers are made, and in how many transactions they are posted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bfl_chaincode.api.records import NodeRole, Opening, RoundView, ShareSubject
from bfl_fabric.errors import KeyHolderRefused
from bfl_fabric.roles import opening as openings_module
from bfl_fabric.roles.actions import Action
from bfl_fabric.roles.fetching import Fetcher
from bfl_fabric.roles.openable import OpenableRounds
from bfl_fabric.roles.opening import Openings
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.turns import Answer
from tests.unit.roles.nodes import ANode, Scene
from tests.unit.roles.rounds import TASK
from tests.unit.roles.shared import MEMBERS, directed, opening

ANSWER = Answer(TASK, 1, 1)
BOTH = ["begin scores", "end scores", "begin sum", "end sum"]


class Member:
    """A member whose answers take as long as the test wants; `made` says what of them has begun and ended."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scene = Scene(folder)
        node = ANode(self.scene, MEMBERS[0], "key-holder-x", NodeRole.KEY_HOLDER)
        reader = LedgerReader(self.scene.ledger)
        fetcher = Fetcher(node.bench, reader)
        self.openings = Openings(node.bench, node.schemes, reader, fetcher, folder)
        self.made: list[str] = []
        self.may_end = {subject: asyncio.Event() for subject in ShareSubject}
        self.refuses: ShareSubject | None = None
        self.has_posted = asyncio.Event()
        monkeypatch.setattr(OpenableRounds, "read", self._read)
        monkeypatch.setattr(Openings, "_share", self._share)
        self._submit = self.scene.ledger.submit
        monkeypatch.setattr(self.scene.ledger, "submit", self._noted)

    @property
    def posted(self) -> list[list[str]]:
        """The subjects of each transaction."""
        requests = [request["shares"] for _, request in self.scene.ledger.submitted]
        return [[share["subject"] for share in shares] for shares in requests]

    def let_end(self, *subjects: ShareSubject) -> None:
        for subject in subjects:
            self.may_end[subject].set()

    async def _noted(self, *asked: Any) -> Any:
        answer = await self._submit(*asked)
        self.has_posted.set()
        return answer

    async def _read(self, action: Action) -> RoundView:
        return directed(openings=(opening(*MEMBERS[:2]),))

    async def _share(self, action: Answer, view: RoundView, attempt: Opening, subject: ShareSubject) -> bytes:
        self.made.append(f"begin {subject}")
        await self.may_end[subject].wait()
        if subject is self.refuses:
            raise KeyHolderRefused(f"no answer for the {subject}")
        self.made.append(f"end {subject}")
        return f"the answer for the {subject}".encode()


@pytest.fixture
def member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Member:
    return Member(tmp_path, monkeypatch)


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_the_answer_for_the_scores_is_made_before_that_for_the_sum_and_both_are_posted_together(
    member: Member,
) -> None:
    async def story() -> None:
        answering = asyncio.create_task(member.openings.perform(ANSWER))
        await turns()
        assert member.made == ["begin scores"]
        member.let_end(*ShareSubject)
        await answering
        assert member.made == BOTH
        assert member.posted == [["scores", "sum"]]

    asyncio.run(story())


def test_the_scores_do_not_wait_long_for_an_answer_for_the_sum_that_takes_long(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        monkeypatch.setattr(openings_module, "TOGETHER_SECONDS", 0.001)
        member.let_end(ShareSubject.SCORES)
        answering = asyncio.create_task(member.openings.perform(ANSWER))
        async with asyncio.timeout(10):
            await member.has_posted.wait()
            assert member.made == BOTH[:3]
            member.let_end(ShareSubject.SUM)
            await answering
        assert member.posted == [["scores"], ["sum"]]

    asyncio.run(story())


def test_an_answer_that_cannot_be_made_holds_up_none_before_it(member: Member) -> None:
    async def story() -> None:
        member.refuses = ShareSubject.SUM
        member.let_end(*ShareSubject)
        with pytest.raises(KeyHolderRefused, match="no answer for the sum"):
            await member.openings.perform(ANSWER)
        assert member.posted == [["scores"]]

    asyncio.run(story())


def test_without_an_answer_for_the_scores_none_is_posted_for_the_sum(member: Member) -> None:
    async def story() -> None:
        member.refuses = ShareSubject.SCORES
        member.let_end(ShareSubject.SCORES)
        with pytest.raises(KeyHolderRefused, match="no answer for the scores"):
            await member.openings.perform(ANSWER)
        assert member.posted == []

    asyncio.run(story())


def test_an_answer_is_made_once_however_often_it_is_posted(member: Member) -> None:
    async def story() -> None:
        member.let_end(*ShareSubject)
        for _ in range(2):
            await member.openings.perform(ANSWER)
        assert member.made == BOTH
        first, second = (request for _, request in member.scene.ledger.submitted)
        assert first == second

    asyncio.run(story())
