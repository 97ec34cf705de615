"""A run in which every transaction succeeds at least once, and what each then read, wrote and announced."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field

from bfl_chaincode.main import TRANSACTIONS
from tests.chaincode import shared_scenario
from tests.chaincode.memory_stub import Simulation
from tests.chaincode.refusal_cases import governance, moves
from tests.chaincode.refusal_cases.reward import record_evaluation
from tests.chaincode.requests import REQUESTS
from tests.chaincode.scenario import COORDINATOR, TASK, Scenario, admin, at, node, silo


@dataclass(slots=True)
class Observed:
    """Object types, and events, over all runs of one transaction."""

    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    events: set[str] = field(default_factory=set)
    payloads: list[bytes] = field(default_factory=list)


def object_type(key: str) -> str:
    return key[1:].split("\x00")[0]


@functools.cache
def observed() -> dict[str, Observed]:
    """Return what every transaction did."""
    found = {name: Observed() for name in TRANSACTIONS}
    for simulation in [*(item for run in all_simulations() for item in run), *_queries()]:
        effects, seen = simulation.effects, found[simulation.proposal.name]
        seen.reads |= {object_type(key) for key in effects.reads}
        seen.reads |= {object_type(start) for start, _, _ in effects.ranges}
        seen.writes |= {object_type(key) for key in effects.writes}
        seen.events |= {name for name, _ in effects.events}
        seen.payloads += [payload for _, payload in effects.events]
        assert len(effects.events) <= 1, f"{simulation.proposal.name} set {len(effects.events)} events"
    return found


def all_simulations() -> list[list[Simulation]]:
    """Return whole histories, each from an empty ledger, that together hold every submission."""
    scenarios = (
        at("closed"),
        _before_the_start(),
        _aborted(),
        _abandoned_with_a_refund(),
        _closed_with_a_refund(),
        shared_scenario.at("shared closed"),
        _opened_at_the_second_attempt(),
        _made_by_a_second_ceremony(),
        shared_scenario.at("packed settled 1"),
    )
    return [scenario.ledger.committed for scenario in scenarios]


def _before_the_start() -> Scenario:
    scenario = at("registered")
    scenario.submit(silo("alpha-1"), "task:Withdraw", task_id=TASK)
    moves.leave(scenario, "alpha-1")
    moves.admit(scenario, "DeltaMSP")
    moves.suspend(scenario, "DeltaMSP")
    moves.announce(scenario, moves.VERIFIER, "verifier", "alpha-verifier")
    governance.propose(scenario)
    governance.approve(scenario)
    record_evaluation(scenario, node("BetaMSP", "auditor"))
    return scenario


def _aborted() -> Scenario:
    scenario = at("collecting 1")
    scenario.in_round(node(COORDINATOR, "coordinator"), "round:Abort", reason="enough")
    scenario.open()
    return scenario


def _abandoned_with_a_refund() -> Scenario:
    scenario = at("running")
    scenario.submit(moves.COORD, "task:Abandon", task_id=TASK, reason="enough")
    return scenario


def _closed_with_a_refund() -> Scenario:
    scenario = at("settled 2")
    scenario.fund(7)
    scenario.close()
    return scenario


def _opened_at_the_second_attempt() -> Scenario:
    """Scores are opened, then a member posts a bad share of the sum and is blamed."""
    scenario = shared_scenario.at("shared scored 2")
    scenario.answer()
    for msp_id in ("DeltaMSP", "EpsilonMSP", "GammaMSP"):
        scenario.blame(msp_id, "BetaMSP")
    left = ("DeltaMSP", "EpsilonMSP", "GammaMSP")
    for msp_id in left:
        scenario.offer(msp_id, 2)
    scenario.begin(2)
    scenario.answer("sum", 2, left)
    for step in (scenario.release, scenario.publish_model, scenario.settle, scenario.close):
        step()
    opened: Scenario = scenario
    return opened


def _made_by_a_second_ceremony() -> Scenario:
    scenario = shared_scenario.at("shares revealed")
    for msp_id in ("AlphaMSP", "BetaMSP", "DeltaMSP"):
        scenario.complain(msp_id, "EpsilonMSP")
    scenario.close_ceremony()
    scenario.hold_ceremony("AlphaMSP", "BetaMSP", "DeltaMSP", "GammaMSP", epoch=2)
    scenario.of_key(shared_scenario.holder("GammaMSP"), "key:RetireEpoch", epoch=2, reason="rotation")
    made: Scenario = scenario
    return made


def _queries() -> list[Simulation]:
    """Ask everything under a shared key, and about rounds under the other two kinds of key."""
    scenario: Scenario = shared_scenario.at("shared settled 2")
    governance.propose(scenario)
    asked = [(scenario, name) for name, evaluated in TRANSACTIONS.items() if evaluated]
    for other in (at("settled 2"), shared_scenario.at("packed settled 1")):
        asked += [(other, name) for name in ("round:Get", "round:GetCurrent")]
    found = []
    for asking, name in asked:
        arguments = [json.dumps(REQUESTS[name])]
        found.append(asking.ledger.propose(admin(COORDINATOR), name, arguments, asking.now))
        assert found[-1].response.status == 200, found[-1].response.message
    return found
