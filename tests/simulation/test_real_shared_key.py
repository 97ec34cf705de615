"""The real threshold scheme in the simulated federation: exact models, and a wrong share that cannot be proven."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bfl_chaincode.api.records import THRESHOLD_SCHEME, EncryptionTerms, RoundView, TaskStatus
from bfl_fabric.domain.ports import AggregateHeader, OpeningTerms, ShareHolder
from bfl_fabric.he.provider import EncryptionSchemes, choose_parameters
from bfl_fabric.testing.training import unique_parameter_count
from tests.simulation.invariants import all_rounds, check_models
from tests.simulation.operations import Plan
from tests.simulation.run import contract_stage, play
from tests.simulation.test_shared_keys import nobody, play_on, turn
from tests.simulation.world import GAMMA, MAX_TOTAL_WEIGHT, SILOS, TASK, VALUE_BITS, Terms, World

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Int8Vector

ROUNDS = 2
DIGEST = choose_parameters(
    THRESHOLD_SCHEME, VALUE_BITS, MAX_TOTAL_WEIGHT, len(SILOS), unique_parameter_count(tuple(SILOS))
)
REAL = Terms(rounds=ROUNDS, scheme=THRESHOLD_SCHEME, parameters_digest=DIGEST)


class RealSchemes(EncryptionSchemes):
    """The real schemes, with gamma's holder wrapped."""

    def __init__(self, wrap: Callable[[ShareHolder], ShareHolder]) -> None:
        super().__init__()
        self.opened: list[AggregateHeader] = []
        self.holders: list[ShareHolder] = []
        self._wrap = wrap

    def holder(self, terms: EncryptionTerms, joint_key: bytes, secret_path: Path) -> ShareHolder:
        made = super().holder(terms, joint_key, secret_path)
        self.holders.append(made)
        return self._wrap(made) if "key-holder-c" in str(secret_path) else made

    def close(self) -> None:
        for holder in self.holders:
            holder.close()
        super().close()


class WrongHolder:
    """Changes one residue of the share after its holder has made it: well-formed, and wrong."""

    def __init__(self, inner: ShareHolder) -> None:
        self._inner = inner

    def sum_share(self, opening: OpeningTerms, masks: Sequence[Path], zeros: Sequence[Path]) -> bytes:
        share = bytearray(self._inner.sum_share(opening, masks, zeros))
        share[-20] ^= 1
        return bytes(share)

    def score_share(self, opening: OpeningTerms, direction: Int8Vector, masks: Mapping[str, Path]) -> bytes:
        return self._inner.score_share(opening, direction, masks)

    def prove(
        self, opening: OpeningTerms, masks: Sequence[Path], zeros: Sequence[Path], share: bytes
    ) -> bytes:
        return self._inner.prove(opening, masks, zeros, self._inner.sum_share(opening, masks, zeros))

    def close(self) -> None:
        self._inner.close()


@pytest.fixture
def played(request: pytest.FixtureRequest) -> Iterator[list[RoundView]]:
    """A whole task under the real scheme; its sums and models are checked against what every silo learned."""
    schemes = RealSchemes(request.param)

    async def whole() -> list[RoundView]:
        with contract_stage() as stage:
            world = World(stage.clock, stage.host, stage.folder, 0, REAL)
            world.provider = schemes  # type: ignore[assignment]
            await world.publish()
            while not await world.is_ready():
                await turn(world, frozenset(), nobody)
            await world.ledger(world.actors["coordinator-a"].member).submit("task:Start", {"task_id": TASK})
            last = await play_on(world, nobody)
            assert last.task.status is TaskStatus.CLOSED
            rounds = await all_rounds(world, last)
            check_models(world, rounds, await world.reader.lineage(TASK))
            return rounds

    try:
        yield asyncio.run(whole())
    finally:
        schemes.close()


def honest(holder: ShareHolder) -> ShareHolder:
    return holder


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("played", [honest], indirect=True)
def test_the_real_scheme_makes_the_models_of_the_plain_one(played: list[RoundView]) -> None:
    plain = play(Plan(0, Terms(rounds=ROUNDS), ()))
    assert {view.round.number: view.round.model_digest for view in played if view.round} == plain.models
    assert all(len(view.openings) == 1 and not view.blames for view in played)
    assert played[1].scores is not None


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("played", [WrongHolder], indirect=True)
def test_a_share_that_was_changed_is_blamed_for_want_of_a_proof(played: list[RoundView]) -> None:
    lied = [view for view in played if any(GAMMA in opening.members for opening in view.openings)]
    assert lied
    for view in lied:
        assert {blame.against for blame in view.blames} == {GAMMA}
        assert GAMMA not in view.openings[-1].members
        assert len(view.openings) == 2
