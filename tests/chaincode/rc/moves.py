"""X"""

from __future__ import annotations

IMPORTS


def _found(s: Scenario, who: Any, *names: str) -> Any:
    members = [{"msp_id": name, "name": name, "region": "EU"} for name in names]
    return s.submit(who, "federation:Found", federation_id="other", name="Other", organizations=members)


def _suspend(s: Scenario, msp_id: str, by: str = "") -> Any:
    by = by or ("BetaMSP" if msp_id == "AlphaMSP" else "AlphaMSP")
    return s.submit(admin(by), "federation:SuspendOrganization", msp_id=msp_id)


def _admit(s: Scenario, msp_id: str, who: Any = None) -> Any:
    who = who or admin("AlphaMSP")
    return s.submit(who, "federation:AdmitOrganization", msp_id=msp_id, name=msp_id, region="EU")


def _enrol(s: Scenario, name: str, who: Any) -> Any:
    return s.submit(who, "federation:EnrolParticipant", participant_id=name)


def _leave(s: Scenario, name: str, who: Any = None) -> Any:
    return s.submit(who or silo(name), "federation:Leave", participant_id=name)


def _announce(s: Scenario, who: Any, role: str, node_id: str) -> Any:
    request = {"role": role, "node_id": node_id, "address": "127.0.0.1:7000"}
    return s.submit(who, "federation:AnnounceNode", **request)


def _task(s: Scenario, who: Any, transaction: str, task_id: str = TASK, **more: Any) -> Any:
    return s.submit(who, transaction, task_id=task_id, **more)


def _round(s: Scenario, who: Any, transaction: str, **request: Any) -> Any:
    return s.submit(who, transaction, **{"task_id": TASK, "round": s.number or 1, **request})

