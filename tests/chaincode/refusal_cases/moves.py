"""What a refusal case is, and the moves that cases make beside a scenario's own steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.chaincode import shared_scenario
from tests.chaincode.scenario import COORDINATOR, TASK, Scenario, admin, at, node, silo

# what a scenario is depends on the stage: a Scenario, or one of the two of `shared_scenario`
Act: TypeAlias = Callable[[Any], Any]

COORD = node(COORDINATOR, "coordinator")
STRANGE = node("BetaMSP", "coordinator")
VERIFIER = node("AlphaMSP", "verifier")
NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Case:
    """`transaction` is refused with `code` when `act` is done at `stage`; `why` completes the sentence."""

    transaction: str
    code: int
    why: str
    stage: str
    act: Act

    @property
    def name(self) -> str:
        return f"{self.transaction} refuses ({self.code}) {self.why}"

    def begun(self) -> Any:
        """Return the scenario at this case's stage."""
        return shared_scenario.at(self.stage) if self.stage in shared_scenario.STAGES else at(self.stage)


def found(s: Scenario, who: Any, *names: str) -> Any:
    members = [{"msp_id": name, "name": name, "region": "EU"} for name in names]
    return s.submit(who, "federation:Found", federation_id="other", name="Other", organizations=members)


def suspend(s: Scenario, msp_id: str, by: str = "") -> Any:
    by = by or ("BetaMSP" if msp_id == "AlphaMSP" else "AlphaMSP")
    return s.submit(admin(by), "federation:SuspendOrganization", msp_id=msp_id)


def admit(s: Scenario, msp_id: str, who: Any = None) -> Any:
    who = who or admin("AlphaMSP")
    return s.submit(who, "federation:AdmitOrganization", msp_id=msp_id, name=msp_id, region="EU")


def enrol(s: Scenario, name: str, who: Any) -> Any:
    return s.submit(who, "federation:EnrolParticipant", participant_id=name)


def leave(s: Scenario, name: str, who: Any = None) -> Any:
    return s.submit(who or silo(name), "federation:Leave", participant_id=name)


def announce(s: Scenario, who: Any, role: str, node_id: str) -> Any:
    request = {"role": role, "node_id": node_id, "address": "127.0.0.1:7000"}
    return s.submit(who, "federation:AnnounceNode", **request)


def on_task(s: Scenario, who: Any, transaction: str, task_id: str = TASK, **more: Any) -> Any:
    return s.submit(who, transaction, task_id=task_id, **more)


def on_round(s: Scenario, who: Any, transaction: str, **request: Any) -> Any:
    return s.submit(who, transaction, **{"task_id": TASK, "round": s.number or 1, **request})
