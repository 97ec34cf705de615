"""Nothing of any record is passed over: each field, changed alone, is found."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import from_json
from bfl_fabric.audit.history import LAYOUT, type_of
from tests.unit.audit.honest_run import HonestRun


def test_every_field_of_every_record_is_held_to_account(told_truth: HonestRun) -> None:
    unnoticed: dict[str, set[str]] = {}
    for number, key, path in _fields(told_truth):
        run = told_truth.copy()
        simulation = run.ledger.committed[number]
        kind = LAYOUT[type_of(key)][0]
        value: Any = canonical.parse(simulation.effects.writes[key])
        changed = _changed(value, path)
        name = f"{kind.__name__}.{'.'.join(str(step) for step in path if isinstance(step, str))}"
        try:
            from_json(kind, changed)
        except canonical.NotCanonical:
            continue
        simulation.effects.writes[key] = canonical.dump(changed)
        if not run.audit_ledger().failures and not run.audit().failures:
            unnoticed.setdefault(name, set()).add(simulation.proposal.name)
    assert unnoticed == {}


def _fields(run: HonestRun) -> Iterator[tuple[int, str, tuple[str | int, ...]]]:
    """Yield one field of each kind, for each transaction that writes it."""
    seen = set()
    for number, simulation in enumerate(run.ledger.committed):
        for key, value in simulation.effects.writes.items():
            if not value or type_of(key) not in LAYOUT:
                continue
            for path in _paths(canonical.parse(value)):
                name = (
                    simulation.proposal.name,
                    type_of(key),
                    tuple(step for step in path if isinstance(step, str)),
                )
                if name not in seen:
                    seen.add(name)
                    yield number, key, path


def _paths(value: Any) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from ((name, *rest) for rest in _paths(item))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from ((index, *rest) for rest in _paths(item))
    else:
        yield ()


def _changed(value: Any, path: tuple[str | int, ...]) -> Any:
    whole = copy.deepcopy(value)
    *parents, last = path
    target = whole
    for step in parents:
        target = target[step]
    old = target[last]
    if isinstance(old, bool):
        target[last] = not old
    elif isinstance(old, int):
        target[last] = old + 1
    elif last in ("phase", "status", "role"):
        target[last] = {"phase": "OPEN", "status": "ABANDONED", "role": "auditor"}[str(last)]
    else:
        target[last] = f"{old}x"
    return whole
