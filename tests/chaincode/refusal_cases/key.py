"""Refusals of the key contract about ceremonies, retirement and grants, and of the terms of shared keys."""

from __future__ import annotations

from typing import Any

from tests.chaincode.refusal_cases import moves
from tests.chaincode.refusal_cases.moves import NOWHERE, STRANGE, VERIFIER, Case
from tests.chaincode.scenario import COORDINATOR, KEY_HOLDER, TASK, Scenario, admin, digest, node, silo
from tests.chaincode.shared_scenario import MEMBERS, SHARED_TERMS, holder

OUTSIDE = holder("ZetaMSP")


def _terms(s: Scenario, **changes: Any) -> Any:
    return s.create(**{**SHARED_TERMS, "roles__key_members": ["AlphaMSP", "BetaMSP"],
                       "encryption__threshold": 2, **changes})  # fmt: skip


def _outsider(s: Any) -> Any:
    """An organization that joined after the task's key members were named."""
    moves.admit(s, "ZetaMSP")
    return OUTSIDE


def _commit(s: Any, who: Any, **changes: Any) -> Any:
    request = {"share_digest": digest("share"), "share_bytes": 4000, **changes}
    return s.of_key(who, "key:CommitKeyShare", **request)


def _reveal(s: Any, who: Any) -> Any:
    request = {"share_digest": digest("share"), "dealing_digest": digest("dealing"), "dealing_bytes": 9000}
    return s.of_key(who, "key:RevealKeyShare", **request)


def _confirm(s: Any, who: Any) -> Any:
    request = {"joint_key_digest": digest("joint key"), "joint_key_bytes": 8000}
    return s.of_key(who, "key:ConfirmKey", **request)


def _complain(s: Any, who: Any) -> Any:
    request = {"against": "BetaMSP", "reason": "wrong", "evidence_digest": digest("share")}
    return s.of_key(who, "key:Complain", **request)


def _retire(s: Scenario, who: Any, **changes: Any) -> Any:
    return s.submit(who, "key:RetireEpoch", **{"task_id": TASK, "epoch": 1, "reason": "rotation", **changes})


def _step_cases(transaction: str, stage: str, act: Any, step: Any, exists: int) -> list[Case]:
    """What every step of a ceremony refuses."""
    return [
        Case(transaction, 205, "a coordinator", stage, lambda s: act(s, node("AlphaMSP", "coordinator"))),
        Case(transaction, 329, "an unknown ceremony", stage, lambda s: step(s, epoch=2)),
        Case(transaction, 521, "an organization that is no member", stage,
             lambda s: act(s, _outsider(s))),
        Case(transaction, 410, "a ceremony that has ended", "ceremony closed", step),
        Case(transaction, exists, "a second one of the same member", stage,
             lambda s: [step(s), step(s)]),
    ]  # fmt: skip


# fmt: off
KEYS = [
    Case("task:Create", 128, "the scheme threshold without members", "enrolled",
         lambda s: _terms(s, roles__key_members=[])),
    Case("task:Create", 128, "the scheme threshold with a single holder", "enrolled",
         lambda s: _terms(s, roles__key_holder="GammaMSP")),
    Case("task:Create", 128, "members under another scheme", "enrolled",
         lambda s: _terms(s, encryption__scheme="ckks", encryption__threshold=0, roles__key_holder="GammaMSP")),
    Case("task:Create", 128, "a threshold under another scheme", "enrolled",
         lambda s: s.create(encryption__threshold=2)),
    Case("task:Create", 128, "a single key that nobody holds", "enrolled",
         lambda s: s.create(roles__key_holder="")),
    Case("task:Create", 115, "a member named twice", "enrolled",
         lambda s: _terms(s, roles__key_members=["AlphaMSP", "AlphaMSP"])),
    Case("task:Create", 121, "a stranger as member", "enrolled",
         lambda s: _terms(s, roles__key_members=["AlphaMSP", "DeltaMSP"])),
    Case("task:Create", 129, "a threshold of one", "enrolled", lambda s: _terms(s, encryption__threshold=1)),
    Case("task:Create", 129, "a threshold above the members", "enrolled",
         lambda s: _terms(s, encryption__threshold=3)),
    Case("task:Create", 130, "members out of order", "enrolled",
         lambda s: _terms(s, roles__key_members=["BetaMSP", "AlphaMSP"])),
    Case("task:Register", 524, "a silo without a transport key under a packed key", "packed published",
         lambda s: s.submit(silo("alpha-1"), "task:Register", task_id=TASK, samples=100)),
    Case("key:OpenEpoch", 518, "a shared key", "shared registered", lambda s: s.open_epoch()),
    Case("key:OpenCeremony", 205, "a coordinator", "shared registered",
         lambda s: s.of_key(node("AlphaMSP", "coordinator"), "key:OpenCeremony", expires_at=0)),
    Case("key:OpenCeremony", 206, "an organization that holds no share", "shared registered",
         lambda s: s.of_key(_outsider(s), "key:OpenCeremony", expires_at=0)),
    Case("key:OpenCeremony", 307, "an unknown task", "shared registered",
         lambda s: s.open_ceremony(task_id=NOWHERE)),
    Case("key:OpenCeremony", 330, "the number of the open ceremony", "ceremony open",
         lambda s: s.open_ceremony()),
    Case("key:OpenCeremony", 330, "the number of a closed ceremony", "ceremony closed",
         lambda s: s.open_ceremony()),
    Case("key:OpenCeremony", 402, "a closed task", "shared closed", lambda s: s.open_ceremony(epoch=2)),
    Case("key:OpenCeremony", 409, "a second ceremony at a time", "ceremony open",
         lambda s: s.open_ceremony(epoch=2)),
    Case("key:OpenCeremony", 415, "a key that is born expired", "shared registered",
         lambda s: s.open_ceremony(expires_at=s.now + 1000)),
    Case("key:OpenCeremony", 508, "a gap in the numbers", "shared registered",
         lambda s: s.open_ceremony(epoch=2)),
    Case("key:OpenCeremony", 518, "a single key", "published",
         lambda s: s.submit(holder(KEY_HOLDER), "key:OpenCeremony", task_id=TASK, epoch=1, expires_at=0)),
    Case("key:OpenCeremony", 519, "too few active members", "shared registered",
         lambda s: [*[moves.suspend(s, name) for name in MEMBERS[2:]], s.open_ceremony()]),
    *_step_cases("key:CommitKeyShare", "ceremony open", _commit,
                 lambda s, **changes: s.commit_share("AlphaMSP", **changes), 331),
    *_step_cases("key:RevealKeyShare", "shares committed", _reveal,
                 lambda s, **changes: s.reveal_share("AlphaMSP", **changes), 332),
    *_step_cases("key:ConfirmKey", "shares revealed", _confirm,
                 lambda s, **changes: s.confirm_key("AlphaMSP", **changes), 333),
    *_step_cases("key:Complain", "shares revealed", _complain,
                 lambda s, **changes: s.complain("AlphaMSP", "BetaMSP", **changes), 334),
    Case("key:RevealKeyShare", 411, "a share before all have committed", "ceremony open",
         lambda s: [*[s.commit_share(name) for name in MEMBERS[:4]], s.reveal_share("AlphaMSP")]),
    Case("key:RevealKeyShare", 520, "another share than committed", "shares committed",
         lambda s: s.reveal_share("AlphaMSP", share_digest=digest("a share chosen after all others"))),
    Case("key:ConfirmKey", 411, "a key before all have revealed", "shares committed",
         lambda s: [*[s.reveal_share(name) for name in MEMBERS[:4]], s.confirm_key("AlphaMSP")]),
    Case("key:Complain", 411, "a complaint before all have revealed", "shares committed",
         lambda s: s.complain("AlphaMSP", "BetaMSP")),
    Case("key:Complain", 522, "a complaint about oneself", "shares revealed",
         lambda s: s.complain("AlphaMSP", "AlphaMSP")),
    Case("key:Complain", 522, "a complaint about who is no member", "shares revealed",
         lambda s: s.complain("AlphaMSP", "ZetaMSP")),
    Case("key:CloseCeremony", 329, "an unknown ceremony", "ceremony open",
         lambda s: s.close_ceremony(epoch=2)),
    Case("key:CloseCeremony", 410, "a closed ceremony", "ceremony closed", lambda s: s.close_ceremony()),
    Case("key:CloseCeremony", 412, "a ceremony in which somebody may still act", "shares revealed",
         lambda s: [*[s.confirm_key(name) for name in MEMBERS[:4]], s.close_ceremony()]),
    Case("key:CloseCeremony", 412, "complaints of fewer than the threshold", "shares revealed",
         lambda s: [s.complain("AlphaMSP", "BetaMSP"), s.complain("DeltaMSP", "BetaMSP"),
             s.close_ceremony()]),
    Case("key:RetireEpoch", 205, "a verifier", "keyed", lambda s: _retire(s, VERIFIER)),
    Case("key:RetireEpoch", 206, "a coordinator of another organization", "keyed",
         lambda s: _retire(s, STRANGE)),
    Case("key:RetireEpoch", 206, "a key holder of another organization", "keyed",
         lambda s: _retire(s, holder("AlphaMSP"))),
    Case("key:RetireEpoch", 307, "an unknown task", "keyed",
         lambda s: _retire(s, holder(KEY_HOLDER), task_id=NOWHERE)),
    Case("key:RetireEpoch", 309, "an unknown epoch", "keyed",
         lambda s: _retire(s, holder(KEY_HOLDER), epoch=2)),
    Case("key:RetireEpoch", 413, "a retired key", "ceremony closed",
         lambda s: [_retire(s, holder("DeltaMSP")), _retire(s, node(COORDINATOR, "coordinator"))]),
    Case("key:GrantKey", 205, "an administrator", "packed keyed",
         lambda s: s.grant("alpha-1", admin(KEY_HOLDER))),
    Case("key:GrantKey", 206, "a key holder of another organization", "packed keyed",
         lambda s: s.grant("alpha-1", holder("AlphaMSP"))),
    Case("key:GrantKey", 307, "an unknown task", "packed keyed",
         lambda s: s.grant("alpha-1", task_id=NOWHERE)),
    Case("key:GrantKey", 309, "an unknown epoch", "packed keyed", lambda s: s.grant("alpha-1", epoch=2)),
    Case("key:GrantKey", 322, "a silo that is not registered", "packed keyed", lambda s: s.grant("alpha-9")),
    Case("key:GrantKey", 335, "a second grant", "packed granted", lambda s: s.grant("alpha-1")),
    Case("key:GrantKey", 518, "a scheme that gives silos no key", "keyed",
         lambda s: s.submit(holder(KEY_HOLDER), "key:GrantKey", task_id=TASK, epoch=1,
             participant_id="alpha-1", digest=digest("key"), size_bytes=300)),
    Case("key:GetCeremony", 329, "an unknown ceremony", "keyed",
         lambda s: s.evaluate("key:GetCeremony", task_id=TASK, epoch=1)),
]
