"""One actor lies, everybody else is honest: nothing is opened, believed or trained on that should not be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bfl_chaincode.api.records import Phase, RoundView, TaskStatus
from bfl_fabric.errors import AuditFailed, KeyHolderRefused
from bfl_fabric.learning.arithmetic import ExactArithmetic
from bfl_fabric.roles import holding
from bfl_fabric.roles.holding import Custody, Recomputed
from bfl_fabric.roles.models import SOUND_MODEL, CheckModel, ModelChecks
from bfl_fabric.roles.workbench import Workbench
from bfl_fabric.testing.clock import ManualClock
from bfl_fabric.testing.contract import ContractHost
from bfl_fabric.testing.scheme import HEADER_BYTES
from tests.simulation.invariants import all_rounds, check_safety
from tests.simulation.operations import Plan
from tests.simulation.simulation import Simulation, Stage
from tests.simulation.world import TASK, Terms

TERMS = Terms(rounds=2)
Lie = Callable[[Simulation], None]


def play(folder: Path, lie: Lie | None = None) -> tuple[Simulation, RoundView, list[RoundView]]:
    """Play a quiet plan with a liar in it."""
    simulation = Simulation.create(Plan(0, TERMS, ()), Stage(ManualClock(), ContractHost(), folder))
    if lie is not None:
        lie(simulation)

    async def whole() -> tuple[RoundView, list[RoundView]]:
        last = await simulation.play()
        return last, await all_rounds(simulation.world, last)

    return simulation, *asyncio.run(whole())


def is_of(bench: Workbench, name: str) -> bool:
    return bench.identity.name == name


def forge_aggregate(monkeypatch: pytest.MonkeyPatch, forge: Callable[[bytes], bytes]) -> None:
    """Let the aggregator propose something else than it computed."""
    honest = Custody.recompute

    async def recompute(self: Custody, action: object, view: RoundView, schemes: object) -> Recomputed:
        made = await honest(self, action, view, schemes)  # type: ignore[arg-type]
        bench = self._bench
        if not is_of(bench, "aggregator-b"):
            return made
        forged = forge(await bench.read(made.aggregate_digest))
        return replace(made, aggregate_digest=await bench.keep(forged), aggregate_bytes=len(forged))

    monkeypatch.setattr(Custody, "recompute", recompute)


def add_one(data: bytes) -> bytes:
    values = np.frombuffer(data[HEADER_BYTES:], dtype="<i8").copy()
    values[0] += 1
    return data[:HEADER_BYTES] + values.tobytes()


@pytest.mark.parametrize(
    "forge",
    [add_one, lambda data: data[:-1], lambda data: b"nonsense"],
    ids=["one more", "cut off", "nonsense"],
)
def test_a_forged_aggregate_is_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forge: Callable[[bytes], bytes]
) -> None:
    forge_aggregate(monkeypatch, forge)
    simulation, last, rounds = play(tmp_path)
    assert simulation.world.provider.opened == []
    assert last.task.status is TaskStatus.ABANDONED
    assert all("different aggregates" in view.round.reason for view in rounds if view.round)


def test_a_left_out_member_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, current = holding.members_updates, holding.Custody.recompute

    async def recompute(self: Custody, action: object, view: RoundView, schemes: object) -> Recomputed:
        lying = is_of(self._bench, "aggregator-b")
        monkeypatch.setattr(
            holding, "members_updates", lambda seen: honest(seen)[1:] if lying else honest(seen)
        )
        return await current(self, action, view, schemes)  # type: ignore[arg-type]

    monkeypatch.setattr(Custody, "recompute", recompute)
    simulation, last, _ = play(tmp_path)
    assert simulation.world.provider.opened == []
    assert last.task.status is TaskStatus.ABANDONED


def test_scores_of_another_direction_are_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The aggregator forges the scores: the attestations of the second round do not agree with them."""
    honest = Custody.recompute

    async def recompute(self: Custody, action: object, view: RoundView, schemes: object) -> Recomputed:
        made = await honest(self, action, view, schemes)  # type: ignore[arg-type]
        if not is_of(self._bench, "aggregator-b") or not made.scores_digest:
            return made
        return replace(made, scores_digest=await self._bench.keep(b"[]"))

    monkeypatch.setattr(Custody, "recompute", recompute)
    _, last, rounds = play(tmp_path)
    assert last.task.status is TaskStatus.ABANDONED
    assert [view.round.phase for view in rounds if view.round] == [Phase.SETTLED, *[Phase.ABORTED] * 3]
    assert all(view.scores is None for view in rounds)


class LyingArithmetic(ExactArithmetic):
    """Makes another model, or another direction, of a sum."""

    def __init__(self, *, model: bool = False, direction: bool = False) -> None:
        self._model = model
        self._direction = direction

    def apply_sum(self, terms, base, total, total_weight):  # type: ignore[no-untyped-def]
        return super().apply_sum(terms, base, total, total_weight) + np.float32(0.25) * self._model

    def direction(self, total):  # type: ignore[no-untyped-def]
        honest = super().direction(total)
        if not self._direction:
            return honest
        one_coordinate = np.zeros_like(honest)
        one_coordinate[0] = 127
        return one_coordinate


def let_the_coordinator_lie(monkeypatch: pytest.MonkeyPatch, arithmetic: LyingArithmetic) -> None:
    """Give the coordinator's node, whenever it is started, another arithmetic."""
    honest = Workbench.__init__

    def init(self: Workbench, identity, ports, compute, observer) -> None:  # type: ignore[no-untyped-def]
        lying = replace(ports, arithmetic=arithmetic) if identity.name == "coordinator-a" else ports
        honest(self, identity, lying, compute, observer)

    monkeypatch.setattr(Workbench, "__init__", init)


@pytest.mark.parametrize(
    "arithmetic", [LyingArithmetic(model=True), LyingArithmetic(direction=True)], ids=["model", "direction"]
)
def test_nobody_trains_on_a_model_that_the_sum_does_not_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arithmetic: LyingArithmetic
) -> None:
    let_the_coordinator_lie(monkeypatch, arithmetic)
    simulation, last, rounds = play(tmp_path)
    assert last.task.status is TaskStatus.ABANDONED
    assert rounds[0].round is not None
    assert rounds[0].round.phase is Phase.SETTLED
    assert all(view.updates == () for view in rounds[1:])
    assert len(simulation.world.provider.opened) == 1
    assert any(AuditFailed.__name__ in line for line in simulation.trace)


def test_a_crafted_direction_opens_no_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when every silo and verifier believes the coordinator, the key holder computes the direction itself."""
    let_the_coordinator_lie(monkeypatch, LyingArithmetic(direction=True))

    async def believe(self: ModelChecks, action: CheckModel, view: RoundView) -> None:
        self._bench.ports.journal.record(SOUND_MODEL, action.digest, "recomputed")

    monkeypatch.setattr(ModelChecks, "check", believe)
    simulation, last, rounds = play(tmp_path)
    assert last.task.status is TaskStatus.ABANDONED
    assert all(view.scores is None for view in rounds)
    assert len(simulation.world.provider.opened) == 1
    assert any(KeyHolderRefused.__name__ in line and "direction" in line for line in simulation.trace)


def test_a_coordinator_that_confirms_alone_opens_nothing(tmp_path: Path) -> None:
    """The key holder counts attestations itself; a ledger that showed VERIFIED without them would not be enough."""

    def lie(simulation: Simulation) -> None:
        honest = simulation.world.host.ledger

        def ledger(member, clock):  # type: ignore[no-untyped-def]
            inner = honest(member, clock)
            if member.name != "key-holder-c":
                return inner
            evaluate = inner.evaluate

            async def without_attestations(transaction, request):  # type: ignore[no-untyped-def]
                answer = await evaluate(transaction, request)
                return {**answer, "attestations": []} if transaction.startswith("round:Get") else answer

            inner.evaluate = without_attestations
            return inner

        simulation.world.host.ledger = ledger  # type: ignore[method-assign]

    simulation, last, _ = play(tmp_path, lie)
    assert simulation.world.provider.opened == []
    assert last.task.status is TaskStatus.ABANDONED
    assert any("too few organizations attested" in line for line in simulation.trace)


def test_a_second_aggregate_of_one_round_is_never_opened(tmp_path: Path) -> None:
    """The key holder has opened something else for round 1 before: it refuses the verified aggregate."""

    def lie(simulation: Simulation) -> None:
        journal = simulation.world.actors["key-holder-c"].journal
        journal.record("opened", f"{TASK}/1", "0" * 64)

    simulation, _, rounds = play(tmp_path, lie)
    assert {header.round for header in simulation.world.provider.opened} == {2, 3}
    assert rounds[0].round is not None
    assert rounds[0].round.phase is Phase.ABORTED
    assert any("another aggregate of this round was opened" in line for line in simulation.trace)


def test_safety_holds_with_a_liar_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forge_aggregate(monkeypatch, add_one)
    simulation, last, _ = play(tmp_path)
    asyncio.run(check_safety(simulation.world, last))
