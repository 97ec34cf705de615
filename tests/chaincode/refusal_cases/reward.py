"""Refusals of the reward, reputation, model and audit contracts."""

from __future__ import annotations

from typing import Any

from bfl_chaincode.limits import AMOUNT_LIMIT
from tests.chaincode.identities import creator
from tests.chaincode.refusal_cases.moves import COORD, NOWHERE, VERIFIER, Case, on_round
from tests.chaincode.scenario import COORDINATOR, TASK, Scenario, admin, digest, silo

AUDITOR = creator("BetaMSP", "beta-auditor", "client", "auditor")


def _mint(s: Scenario, who: Any, msp_id: str = COORDINATOR, amount: int = 10) -> Any:
    return s.submit(who, "reward:Mint", msp_id=msp_id, amount=amount, reference="grant")


def _fund(s: Scenario, who: Any, task_id: str = TASK, amount: int = 10) -> Any:
    return s.submit(who, "reward:Fund", task_id=task_id, amount=amount, reference="pool")


def record_evaluation(s: Scenario, who: Any, task_id: str = TASK) -> Any:
    report = {"report_digest": digest("report"), "passed": True, "block_height": 7}
    return s.submit(who, "audit:RecordEvaluation", task_id=task_id, **report)


# fmt: off
MONEY = [
    Case("reward:Mint", 204, "a coordinator", "drafted", lambda s: _mint(s, COORD)),
    Case("reward:Mint", 206, "another organization's administrator", "drafted",
         lambda s: _mint(s, admin("BetaMSP"))),
    Case("reward:Mint", 603, "more than an account may hold", "minted",
         lambda s: _mint(s, admin(COORDINATOR), amount=AMOUNT_LIMIT)),
    Case("reward:Fund", 205, "a participant", "minted", lambda s: _fund(s, silo("alpha-1"))),
    Case("reward:Fund", 206, "another organization's administrator", "minted",
         lambda s: _fund(s, admin("BetaMSP"))),
    Case("reward:Fund", 307, "an unknown task", "minted", lambda s: _fund(s, COORD, NOWHERE)),
    Case("reward:Fund", 402, "a closed task", "closed", lambda s: _fund(s, COORD)),
    Case("reward:Fund", 601, "more than the organization holds", "minted",
         lambda s: _fund(s, COORD, amount=5001)),
    Case("reward:Fund", 603, "a pool that would hold too much", "funded",
         lambda s: [_mint(s, admin(COORDINATOR), amount=AMOUNT_LIMIT - 3000), _fund(s, COORD,
             amount=AMOUNT_LIMIT - 1000)]),
    Case("reward:Settle", 307, "an unknown task", "modelled 1",
         lambda s: on_round(s, VERIFIER, "reward:Settle", task_id=NOWHERE)),
    Case("reward:Settle", 311, "an unknown round", "modelled 1",
         lambda s: on_round(s, VERIFIER, "reward:Settle", round=2)),
    Case("reward:Settle", 319, "a second settlement", "settled 1", lambda s: s.settle()),
    Case("reward:Settle", 401, "a round without a model", "released 1", lambda s: s.settle()),
    Case("reward:GetSettlement", 318, "an unsettled round", "modelled 1",
         lambda s: s.evaluate("reward:GetSettlement", task_id=TASK, round=1)),
    Case("reputation:Get", 323, "a participant without a settled round", "modelled 1",
         lambda s: s.evaluate("reputation:Get", task_id=TASK, participant_id="alpha-1")),
    Case("model:Get", 320, "a round without a model", "released 1",
         lambda s: s.evaluate("model:Get", task_id=TASK, round=1)),
    Case("audit:RecordEvaluation", 205, "an administrator", "drafted",
         lambda s: record_evaluation(s, admin("BetaMSP"))),
    Case("audit:RecordEvaluation", 307, "an unknown task", "drafted",
         lambda s: record_evaluation(s, AUDITOR, NOWHERE)),
    Case("audit:RecordEvaluation", 324, "a recorded report", "drafted",
         lambda s: [record_evaluation(s, AUDITOR), record_evaluation(s, AUDITOR)]),
]
