"""Money and phases over random histories: nothing is ever lost, made or paid twice, whatever is sent when."""

from __future__ import annotations

import functools
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from bfl_chaincode.api.records import Phase
from bfl_chaincode.rules.rounds import MOVES
from tests.chaincode.memory_stub import Refused
from tests.chaincode.scenario import AGGREGATOR, COORDINATOR, SILOS, TASK, Scenario, admin, at, node

SCORES = st.fixed_dictionaries({name: st.integers(-(2**60), 2**60) for name in SILOS})


def may_refuse(step: Any) -> Any:
    """Steps are sent in any order; a refusal changes nothing and is as good an outcome as any."""

    @functools.wraps(step)
    def tried(machine: Histories, **drawn: Any) -> None:
        before = dict(machine.scenario.ledger.state)
        try:
            step(machine, **drawn)
        except Refused as refused:
            if refused.code // 100 == 9:
                raise
            if not machine.several_steps:
                assert machine.scenario.ledger.state == before
        machine.several_steps = False

    return tried


class Histories(RuleBasedStateMachine):
    """Anybody sends anything that they might; the invariants hold after every transaction."""

    scenario: Scenario
    several_steps: bool

    @initialize(stage=st.sampled_from(["funded", "running", "delivered 1", "verified 2", "settled 2"]))
    def begin(self, stage: str) -> None:
        self.scenario = at(stage)
        self.several_steps = False
        self.phases = self._phases()
        self.minted = 5000
        self.seen = 0

    @rule(amount=st.integers(1, 10**12))
    @may_refuse
    def mint(self, amount: int) -> None:
        self.scenario.mint(amount)
        self.minted += amount

    @rule(amount=st.integers(1, 6000))
    @may_refuse
    def fund(self, amount: int) -> None:
        self.scenario.fund(amount)

    @rule()
    @may_refuse
    def start(self) -> None:
        self.scenario.start()

    @rule()
    @may_refuse
    def open(self) -> None:
        self.scenario.open()

    @rule(names=st.lists(st.sampled_from(sorted(SILOS)), min_size=1, max_size=4, unique=True))
    @may_refuse
    def deliver(self, names: list[str]) -> None:
        self.several_steps = True
        self.scenario.deliver(*names)

    @rule(late=st.booleans())
    @may_refuse
    def seal(self, late: bool) -> None:
        self.scenario.now += 60_000 if late else 0
        self.scenario.seal()

    @rule()
    @may_refuse
    def verify(self) -> None:
        self.several_steps = True
        self.scenario.propose()
        self.scenario.attest("AlphaMSP")
        self.scenario.confirm()

    @rule(scores=SCORES)
    @may_refuse
    def post_scores(self, scores: dict[str, int]) -> None:
        newest = self.scenario.view()["round"]
        members = newest["members"] if newest else []
        self.scenario.post_scores({name: scores[name] for name in members} or None)

    @rule()
    @may_refuse
    def release_and_publish(self) -> None:
        self.several_steps = True
        self.scenario.release()
        self.scenario.publish_model()

    @rule()
    @may_refuse
    def settle(self) -> None:
        self.scenario.settle()

    @rule()
    @may_refuse
    def abort(self) -> None:
        self.scenario.in_round(node(COORDINATOR, "coordinator"), "round:Abort", reason="a test")

    @rule()
    @may_refuse
    def close(self) -> None:
        self.scenario.close()

    @rule()
    @may_refuse
    def abandon(self) -> None:
        self.scenario.submit(node(COORDINATOR, "coordinator"), "task:Abandon", task_id=TASK, reason="a test")

    @rule()
    @may_refuse
    def suspend_and_admit_the_aggregator(self) -> None:
        self.several_steps = True
        self.scenario.submit(admin("AlphaMSP"), "federation:SuspendOrganization", msp_id=AGGREGATOR)
        request = {"msp_id": AGGREGATOR, "name": "Beta", "region": "EU"}
        self.scenario.submit(admin("AlphaMSP"), "federation:AdmitOrganization", **request)

    @invariant()
    def what_must_always_hold_holds(self) -> None:
        if len(self.scenario.ledger.committed) == self.seen:
            return
        self.seen = len(self.scenario.ledger.committed)
        rows = self.scenario.evaluate("reward:ListAccounts")
        self._units_are_conserved(rows)
        self._rounds_move_along_the_table_only()
        self._payouts_are_what_participants_hold(rows)

    def _units_are_conserved(self, rows: list[dict[str, Any]]) -> None:
        found = self.scenario.evaluate("reward:Conservation")
        assert found == {"minted": self.minted, "balances": self.minted, "difference": 0}
        assert all(row["amount"] >= 0 for row in rows if row["account"] != "mint")

    def _rounds_move_along_the_table_only(self) -> None:
        found = self._phases()
        for number, phase in found.items():
            known = self.phases.get(number, Phase.COLLECTING)
            assert phase is known or phase in _after(known)
        self.phases = found

    def _payouts_are_what_participants_hold(self, rows: list[dict[str, Any]]) -> None:
        paid = 0
        for number, phase in self.phases.items():
            if phase is Phase.SETTLED:
                row = self.scenario.evaluate("reward:GetSettlement", task_id=TASK, round=number)
                assert row["paid"] == sum(line["amount"] for line in row["payouts"]) <= row["per_round"]
                paid += row["paid"]
        assert paid == sum(row["amount"] for row in rows if row["account"].startswith("participant:"))

    def _phases(self) -> dict[int, Phase]:
        found = {}
        for number in range(1, self.scenario.number + 1):
            view = self.scenario.evaluate("round:Get", task_id=TASK, round=number)
            found[number] = Phase(view["round"]["phase"])
        return found


@functools.cache
def _after(phase: Phase) -> frozenset[Phase]:
    """Return every phase that may come, one step or more, after this one."""
    return frozenset(MOVES[phase]).union(*[_after(following) for following in MOVES[phase]])


def test_random_histories_conserve_units_and_keep_to_the_phases() -> None:
    machine_settings = settings(
        max_examples=60, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    run_state_machine_as_test(Histories, settings=machine_settings)  # type: ignore[no-untyped-call]
