"""How to lie about a run: forged senders, rewritten records, transactions left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import (
    Entry,
    KeyEpoch,
    ModelRecord,
    Round,
    Settlement,
    Task,
    from_json,
    to_json,
)
from bfl_fabric.audit.layout import LAYOUT, type_of
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


def terms(**changes: Any) -> Lie:
    """Change the encryption terms in every version of the task."""

    def lie(run: HonestRun) -> None:
        for transaction in ("task:Create", "task:Publish", "task:Start", "task:Close"):
            run.rewrite(
                transaction,
                Task,
                lambda task: replace(
                    task,
                    spec=replace(task.spec, encryption=replace(task.spec.encryption, **changes)),
                ),
            )

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
    name = {Entry: "entry", KeyEpoch: "epoch", ModelRecord: "model", Settlement: "settlement"}[kind]

    def lie(run: HonestRun) -> None:
        simulation = [one for one in run.ledger.committed if one.proposal.name == transaction][-1]
        for key in [key for key in simulation.effects.writes if key.startswith(f"\0{name}\0")]:
            del simulation.effects.writes[key]

    return lie


def reasked(transaction: str, which: int = -1, **changes: Any) -> Lie:
    """Change what the sender of a transaction asked for."""
    return lambda run: run.reask(transaction, which, **changes)


def forged(transaction: str, kind: type, who: Any, which: int = -1, **changes: Any) -> Lie:
    """Have somebody else send a transaction, and change its record of this kind, its key too."""

    def lie(run: HonestRun) -> None:
        sender(transaction, who, which)(run)
        simulation = _found(run, transaction, which)
        for key in [key for key in simulation.effects.writes if _is_of(key, kind)]:
            record: Any = from_json(kind, canonical.parse(simulation.effects.writes.pop(key)))
            _write(simulation, replace(record, **changes))

    return lie


def written(transaction: str, make: Callable[[HonestRun], Any], which: int = -1) -> Lie:
    """Have a transaction write one more record."""

    def lie(run: HonestRun) -> None:
        record = make(run)
        _write(_found(run, transaction, which), record)

    return lie


def delayed(transaction: str, after: str, which: int = -1, after_which: int = -1) -> Lie:
    """Have a transaction come right after another one."""

    def lie(run: HonestRun) -> None:
        late = _found(run, transaction, which)
        place = run.ledger.committed.index(_found(run, after, after_which))
        before = run.ledger.committed.index(late)
        run.ledger.committed.insert(place + 1, late)
        del run.ledger.committed[before]

    return lie


def at_moment(transaction: str, later: int, which: int = -1) -> Lie:
    """Have a transaction come `later` milliseconds later, in its records too."""

    def lie(run: HonestRun) -> None:
        found = run.ledger.committed.index(_found(run, transaction, which))
        simulation = run.ledger.committed[found]
        moment = simulation.proposal.at + later
        moved_on = replace(simulation, proposal=replace(simulation.proposal, at=moment))
        for key, value in moved_on.effects.writes.items():
            if type_of(key) in LAYOUT and value:
                old, new = str(simulation.proposal.at).encode(), str(moment).encode()
                moved_on.effects.writes[key] = value.replace(old, new)
        run.ledger.committed[found] = moved_on

    return lie


def _found(run: HonestRun, transaction: str, which: int) -> Any:
    return [one for one in run.ledger.committed if one.proposal.name == transaction][which]


def _is_of(key: str, kind: type) -> bool:
    return type_of(key) in LAYOUT and LAYOUT[type_of(key)][0] is kind


def _write(simulation: Any, record: Any) -> None:
    object_type, (_, names) = next(item for item in LAYOUT.items() if item[1][0] is type(record))
    values = [getattr(record, name) for name in names]
    parts = [f"{value:08d}" if isinstance(value, int) else str(value) for value in values]
    key = "\0" + "\0".join([object_type, *parts]) + "\0"
    simulation.effects.writes[key] = canonical.dump(to_json(record))
