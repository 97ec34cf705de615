"""How to lie about a run: forged senders, rewritten records, transactions left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bfl_chaincode.api.records import (
    Entry,
    ModelRecord,
    Round,
    Settlement,
    Task,
)
from tests.unit.audit.honest_run import HonestRun

COURSE = (
    "round:Seal",
    "round:ProposeAggregate",
    "round:ConfirmAggregate",
    "round:ReleaseShare",
    "round:PublishModel",
    "reward:Settle",
)


Lie = Callable[[HonestRun], None]


def alter(transaction: str, kind: type, which: int = -1, **changes: Any) -> Lie:
    """Change fields of the records of a kind in one transaction."""
    return lambda run: run.alter(transaction, kind, which, **changes)


def all_of(*lies: Lie) -> Lie:
    """Tell several lies together."""

    def lie(run: HonestRun) -> None:
        for one in lies:
            one(run)

    return lie


def spec(**changes: Any) -> Lie:
    """Change the spec in every version of the task, its digest left as it was."""

    def lie(run: HonestRun) -> None:
        for transaction in ("task:Create", "task:Publish", "task:Start", "task:Close"):
            run.rewrite(transaction, Task, lambda task: replace(task, spec=replace(task.spec, **changes)))

    return lie


def sender(transaction: str, who: Any, which: int = -1) -> Lie:
    """Have somebody else sign a transaction."""

    def lie(run: HonestRun) -> None:
        found = [i for i, one in enumerate(run.ledger.committed) if one.proposal.name == transaction][which]
        simulation = run.ledger.committed[found]
        proposal = replace(simulation.proposal, creator=who)
        run.ledger.committed[found] = replace(simulation, proposal=proposal)

    return lie


def renamed(transaction: str, name: str, which: int = -1) -> Lie:
    """Have another transaction do what this one did."""

    def lie(run: HonestRun) -> None:
        found = [i for i, one in enumerate(run.ledger.committed) if one.proposal.name == transaction][which]
        simulation = run.ledger.committed[found]
        run.ledger.committed[found] = replace(simulation, proposal=replace(simulation.proposal, name=name))

    return lie


def dropped(transaction: str, which: int = -1) -> Lie:
    """Leave a transaction out."""

    def lie(run: HonestRun) -> None:
        found = [i for i, one in enumerate(run.ledger.committed) if one.proposal.name == transaction][which]
        del run.ledger.committed[found]

    return lie


def moved(which: str, **changes: Any) -> Lie:
    """Change the round in this transaction and in everything after it."""

    def lie(run: HonestRun) -> None:
        for name in ("round:Open", *COURSE)[("round:Open", *COURSE).index(which) :]:
            run.alter(name, Round, **changes)

    return lie


def without(transaction: str, kind: type) -> Lie:
    """Leave the records of a kind out of what the last such transaction wrote."""
    name = {Entry: "entry", ModelRecord: "model", Settlement: "settlement"}[kind]

    def lie(run: HonestRun) -> None:
        simulation = [one for one in run.ledger.committed if one.proposal.name == transaction][-1]
        for key in [key for key in simulation.effects.writes if key.startswith(f"\0{name}\0")]:
            del simulation.effects.writes[key]

    return lie
