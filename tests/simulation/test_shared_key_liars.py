"""Key members that lie: a wrong dealing is complained about, a malformed share blamed, and the rest go on without."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from bfl_chaincode.api.records import (
    THRESHOLD_SCHEME,
    CeremonyStatus,
    CeremonyView,
    EncryptionTerms,
    RoundView,
    TaskStatus,
)
from bfl_fabric.domain.ports import CeremonyPlan, KeyCeremony, OpeningTerms, ShareHolder, UpdateName
from bfl_fabric.errors import KeyHolderRefused
from bfl_fabric.roles.attempts import excluded
from bfl_fabric.testing.threshold import PlainCeremony, PlainShareHolder
from tests.simulation.invariants import check_safety
from tests.simulation.run import contract_stage
from tests.simulation.test_shared_keys import nobody, play_on, turn
from tests.simulation.watch import WatchedProvider
from tests.simulation.world import GAMMA, TASK, Terms, World

SHARED = Terms(rounds=2, scheme=THRESHOLD_SCHEME)


class WrongDealer(PlainCeremony):
    """Deals what does not fit its share."""

    def deal(self, shares: Mapping[str, bytes]) -> bytes:
        return super().deal({**shares, GAMMA: b"another share"})


class BrokenHolder(PlainShareHolder):
    """Answers for the sum with bytes that are no share."""

    def sum_share(self, opening: OpeningTerms, masks: Sequence[Path], zeros: Sequence[Path]) -> bytes:
        return super().sum_share(opening, masks, zeros)[:-1]


class WrongHolder(PlainShareHolder):
    """Answers for the sum with a share that is well-formed and wrong."""

    shift = 1


class LyingProvider(WatchedProvider):
    """Gamma's ceremony or its holder is a liar's."""

    dealer: type[PlainCeremony] = PlainCeremony
    answerer: type[PlainShareHolder] = PlainShareHolder

    def ceremony(self, terms: EncryptionTerms, plan: CeremonyPlan, secret_path: Path) -> KeyCeremony:
        kind = self.dealer if plan.me == GAMMA and plan.epoch == 1 else PlainCeremony
        return kind(terms, plan, secret_path, self._seed)

    def holder(self, terms: EncryptionTerms, joint_key: bytes, secret_path: Path) -> ShareHolder:
        kind = self.answerer if "key-holder-c" in str(secret_path) else PlainShareHolder
        return kind(self.joint(terms, joint_key), secret_path)


def play_among_liars(arrange: Callable[[LyingProvider], None]) -> tuple[list[RoundView], list[CeremonyView]]:
    """Play a whole task and check what holds even then; return its rounds and ceremonies."""

    async def whole() -> tuple[list[RoundView], list[CeremonyView]]:
        with contract_stage() as stage:
            world = World(stage.clock, stage.host, stage.folder, 0, SHARED)
            provider = LyingProvider("simulation 0")
            arrange(provider)
            world.provider = provider
            await world.publish()
            while not await world.is_ready():
                await turn(world, frozenset(), nobody)
            await world.ledger(world.actors["coordinator-a"].member).submit("task:Start", {"task_id": TASK})
            last = await play_on(world, nobody)
            assert last.task.status is TaskStatus.CLOSED
            rounds = await check_safety(world, last)
            ceremonies = await world.reader.ceremonies(TASK)
            return rounds, [await world.reader.ceremony(TASK, one.epoch) for one in ceremonies]

    return asyncio.run(whole())


def test_who_deals_wrongly_is_complained_about_and_the_next_key_is_made_without_it() -> None:
    def arrange(provider: LyingProvider) -> None:
        provider.dealer = WrongDealer

    _, ceremonies = play_among_liars(arrange)
    failed, closed = ceremonies
    assert failed.ceremony.status is CeremonyStatus.FAILED
    assert failed.ceremony.excluded == (GAMMA,)
    assert {item.against for item in failed.complaints} == {GAMMA}
    assert closed.ceremony.status is CeremonyStatus.CLOSED
    assert GAMMA not in closed.ceremony.members


def test_who_answers_with_a_malformed_share_is_blamed_and_another_attempt_opens_without_it() -> None:
    def arrange(provider: LyingProvider) -> None:
        provider.answerer = BrokenHolder

    rounds, _ = play_among_liars(arrange)
    lied = [view for view in rounds if any(GAMMA in opening.members for opening in view.openings)]
    assert lied
    for view in lied:
        assert excluded(view) == (GAMMA,)
        assert {blame.evidence_digest for blame in view.blames} == {
            share.digest
            for share in view.shares
            if share.msp_id == GAMMA and share.attempt == 1 and share.subject.value == "sum"
        }
        assert GAMMA not in view.openings[-1].members
        assert view.openings[-1].excluded == (GAMMA,)


def test_who_answers_with_a_wrong_share_cannot_prove_it_and_another_attempt_opens_without_it() -> None:
    def arrange(provider: LyingProvider) -> None:
        provider.answerer = WrongHolder

    rounds, _ = play_among_liars(arrange)
    lied = [view for view in rounds if any(GAMMA in opening.members for opening in view.openings)]
    assert lied
    for view in lied:
        assert {(blame.against, blame.attempt) for blame in view.blames} == {(GAMMA, 1)}
        assert len(view.blames) == 2
        assert len({blame.evidence_digest for blame in view.blames}) == 1
        assert GAMMA not in view.openings[-1].members


def test_a_share_holder_answers_one_question_in_an_attempt(tmp_path: Path) -> None:
    """The fake refuses what the real one refuses: another active set for the same masks, a retry without zeros."""
    provider = WatchedProvider("seed")
    terms = EncryptionTerms(THRESHOLD_SCHEME, "0" * 64, 20, "1", 1000, 2)
    members = ("AlphaMSP", "BetaMSP", "GammaMSP")
    paths = {name: tmp_path / f"{name}.key" for name in members}
    parts = {
        name: provider.ceremony(terms, CeremonyPlan(TASK, 1, members, 2, name), paths[name])
        for name in members
    }
    shares = {name: part.key_share() for name, part in parts.items()}
    dealings = {name: part.deal(shares) for name, part in parts.items()}
    joint = {name: part.finish(shares, dealings) for name, part in parts.items()}
    assert len(set(joint.values())) == 1
    holder = provider.holder(terms, joint[GAMMA], paths[GAMMA])
    masks = _masks(provider, terms, joint[GAMMA], tmp_path)
    first = OpeningTerms(TASK, 1, 1, 1, members, 2, ("BetaMSP", GAMMA), "seed")
    assert holder.sum_share(first, masks, ()) == holder.sum_share(first, masks, ())
    for other in (
        OpeningTerms(TASK, 1, 1, 1, members, 2, ("AlphaMSP", GAMMA), "seed"),
        OpeningTerms(TASK, 1, 2, 1, members, 2, ("AlphaMSP", GAMMA), "seed"),
        OpeningTerms(TASK, 1, 1, 1, members, 2, ("AlphaMSP", "BetaMSP"), "seed"),
    ):
        with pytest.raises(KeyHolderRefused):
            holder.sum_share(other, masks, ())


def _masks(provider: WatchedProvider, terms: EncryptionTerms, joint: bytes, folder: Path) -> list[Path]:
    scheme, paths = provider.joint(terms, joint), []
    for who in ("silo-a", "silo-b"):
        upload, mask = folder / f"{who}.upload", folder / f"{who}.mask"
        upload.write_bytes(scheme.encrypt(UpdateName(TASK, 1, who), 1, 3, np.ones(4, dtype=np.int64)))
        mask.write_bytes(scheme.mask(upload))
        paths.append(mask)
    return paths
