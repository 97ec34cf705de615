"""Refusals of the task and key contracts."""

from __future__ import annotations

from typing import Any

from tests.chaincode.refusal_cases import moves
from tests.chaincode.refusal_cases.moves import COORD, NOWHERE, STRANGE, VERIFIER, Case, on_task
from tests.chaincode.scenario import (
    AGGREGATOR,
    COORDINATOR,
    KEY_HOLDER,
    TASK,
    Scenario,
    admin,
    digest,
    node,
    silo,
    spec,
)


def _abandon(s: Scenario, who: Any, task_id: str = TASK) -> Any:
    return s.submit(who, "task:Abandon", task_id=task_id, reason="no use")


def _epoch(s: Scenario, who: Any) -> Any:
    return s.submit(
        who,
        "key:OpenEpoch",
        task_id=TASK,
        epoch=1,
        parameters_digest=digest("parameters"),
        public_key_digest=digest("public key"),
        public_key_bytes=4096,
    )


def _spec_case(code: int, why: str, **changes: Any) -> Case:
    return Case("task:Create", code, why, "enrolled", lambda s: s.create(**changes))


# fmt: off
TASKS = [
    _spec_case(115, "two tensors of one name",
          model__tensors=[{"name": "w", "shape": [6]}, {"name": "w", "shape": [6]}]),
    _spec_case(120, "one organization as aggregator and key holder", roles__key_holder=AGGREGATOR),
    _spec_case(121, "a role for a stranger", roles__aggregator="DeltaMSP"),
    Case("task:Create", 121, "a role for a suspended organization", "enrolled",
         lambda s: [moves.suspend(s, "GammaMSP"), s.create()]),
    _spec_case(122, "a target below the minimum", cohort__target=2),
    _spec_case(122, "a target of one", cohort__target=1),
    _spec_case(123, "a clip of zero", encryption__clip="0.000"),
    _spec_case(123, "a learning rate of zero", training__learning_rate="0"),
    _spec_case(123, "a momentum of one", training__momentum="1.0"),
    _spec_case(124, "a grid wider than 2^30", encryption__max_total_weight=2**15 + 1),
    _spec_case(125, "tensors of another size", model__parameter_count=13),
    _spec_case(126, "more attestations than organizations", verification__attestations=4),
    _spec_case(126, "more receipts than organizations", verification__receipts=4),
    _spec_case(127, "rounds that cost more than the pool", incentive__pool=1999),
    Case("task:Create", 205, "a node that is no coordinator", "enrolled",
         lambda s: s.submit(VERIFIER, "task:Create", spec=spec())),
    Case("task:Create", 206, "a coordinator of another organization", "enrolled",
         lambda s: s.submit(STRANGE, "task:Create", spec=spec())),
    Case("task:Create", 308, "a used id", "drafted", lambda s: s.create()),
    Case("task:Publish", 205, "an administrator", "drafted",
         lambda s: on_task(s, admin(COORDINATOR), "task:Publish")),
    Case("task:Publish", 206, "another organization", "drafted", lambda s: on_task(s, STRANGE, "task:Publish")),
    Case("task:Publish", 307, "an unknown task", "drafted",
         lambda s: on_task(s, COORD, "task:Publish", NOWHERE)),
    Case("task:Publish", 402, "a published task", "published", lambda s: s.publish()),
    Case("task:Register", 205, "a node", "published",
         lambda s: on_task(s, VERIFIER, "task:Register", samples=100)),
    Case("task:Register", 207, "a participant that nobody enrolled", "published",
         lambda s: on_task(s, silo("alpha-9", "AlphaMSP"), "task:Register", samples=100)),
    Case("task:Register", 207, "a namesake from another organization", "published",
         lambda s: on_task(s, silo("alpha-1", "BetaMSP"), "task:Register", samples=100)),
    Case("task:Register", 307, "an unknown task", "published",
         lambda s: on_task(s, silo("alpha-1"), "task:Register", NOWHERE, samples=100)),
    Case("task:Register", 321, "a second registration", "registered",
         lambda s: on_task(s, silo("alpha-1"), "task:Register", samples=100)),
    Case("task:Register", 402, "a draft", "drafted",
         lambda s: on_task(s, silo("alpha-1"), "task:Register", samples=100)),
    Case("task:Register", 504, "too few samples", "published",
         lambda s: on_task(s, silo("alpha-1"), "task:Register", samples=9)),
    Case("task:Register", 505, "more samples than a sum can hold", "published",
         lambda s: on_task(s, silo("alpha-1"), "task:Register", samples=1001)),
    Case("task:Withdraw", 205, "a node", "registered", lambda s: on_task(s, VERIFIER, "task:Withdraw")),
    Case("task:Withdraw", 207, "a participant that has left", "registered",
         lambda s: [moves.leave(s, "alpha-1"), on_task(s, silo("alpha-1"), "task:Withdraw")]),
    Case("task:Withdraw", 307, "an unknown task", "registered",
         lambda s: on_task(s, silo("alpha-1"), "task:Withdraw", NOWHERE)),
    Case("task:Withdraw", 322, "without a registration", "published",
         lambda s: on_task(s, silo("alpha-1"), "task:Withdraw")),
    Case("task:Withdraw", 402, "a running task", "running",
         lambda s: on_task(s, silo("alpha-1"), "task:Withdraw")),
    Case("task:Start", 205, "a participant", "funded", lambda s: on_task(s, silo("alpha-1"), "task:Start")),
    Case("task:Start", 206, "another organization", "funded", lambda s: on_task(s, STRANGE, "task:Start")),
    Case("task:Start", 307, "an unknown task", "funded", lambda s: on_task(s, COORD, "task:Start", NOWHERE)),
    Case("task:Start", 309, "without a key", "registered", lambda s: [s.mint(), s.fund(), s.start()]),
    Case("task:Start", 402, "a draft", "drafted", lambda s: s.start()),
    Case("task:Start", 505, "more weight than a sum can hold", "enrolled",
         lambda s: [s.create(encryption__max_total_weight=249), s.publish(), s.register(), s.start()]),
    Case("task:Start", 506, "too few registrations", "published", lambda s: s.start()),
    Case("task:Start", 506, "registrations of participants that have left", "funded",
         lambda s: [moves.leave(s, "alpha-1"), moves.leave(s, "beta-1"), s.start()]),
    Case("task:Start", 602, "an unfunded pool", "minted", lambda s: [s.fund(1999), s.start()]),
    Case("task:Close", 205, "an administrator", "settled 2",
         lambda s: on_task(s, admin(COORDINATOR), "task:Close")),
    Case("task:Close", 206, "another organization", "settled 2", lambda s: on_task(s, STRANGE, "task:Close")),
    Case("task:Close", 307, "an unknown task", "settled 2", lambda s: on_task(s, COORD, "task:Close", NOWHERE)),
    Case("task:Close", 402, "a closed task", "closed", lambda s: s.close()),
    Case("task:Close", 405, "a running round", "collecting 1", lambda s: s.close()),
    Case("task:Close", 407, "before the last round", "settled 1", lambda s: s.close()),
    Case("task:Abandon", 204, "a client while the coordinator is suspended", "running",
         lambda s: [moves.suspend(s, COORDINATOR), _abandon(s, STRANGE)]),
    Case("task:Abandon", 205, "an administrator", "running", lambda s: _abandon(s, admin(COORDINATOR))),
    Case("task:Abandon", 206, "another organization", "running", lambda s: _abandon(s, STRANGE)),
    Case("task:Abandon", 307, "an unknown task", "running", lambda s: _abandon(s, COORD, NOWHERE)),
    Case("task:Abandon", 402, "a closed task", "closed", lambda s: _abandon(s, COORD)),
    Case("task:Abandon", 405, "a round whose sum is open", "released 1", lambda s: _abandon(s, COORD)),
    Case("task:Get", 307, "an unknown task", "drafted", lambda s: s.evaluate("task:Get", task_id=NOWHERE)),
    Case("key:OpenEpoch", 205, "an administrator", "published", lambda s: _epoch(s, admin(KEY_HOLDER))),
    Case("key:OpenEpoch", 206, "a key holder of another organization", "published",
         lambda s: _epoch(s, node("AlphaMSP", "key-holder"))),
    Case("key:OpenEpoch", 307, "an unknown task", "published", lambda s: s.open_epoch(task_id=NOWHERE)),
    Case("key:OpenEpoch", 310, "an open epoch", "keyed", lambda s: s.open_epoch()),
    Case("key:OpenEpoch", 402, "a draft", "drafted", lambda s: s.open_epoch()),
    Case("key:OpenEpoch", 507, "other parameters", "published",
         lambda s: s.open_epoch(parameters_digest=digest("other"))),
    Case("key:OpenEpoch", 508, "a gap in the numbers", "published", lambda s: s.open_epoch(epoch=2)),
    Case("key:Get", 309, "an epoch that nobody opened", "keyed",
         lambda s: s.evaluate("key:Get", task_id=TASK, epoch=2)),
]
