"""Nothing of any record is passed over: each field, changed alone, is found."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import Ceremony, from_json
from bfl_fabric.audit.layout import LAYOUT, type_of
from tests.unit.audit.honest_run import HonestRun

STRANGER = "OmegaMSP"


def test_every_field_of_every_record_is_held_to_account(told_truth: HonestRun) -> None:
    assert _unnoticed(told_truth) == {}


def test_every_field_under_a_joint_key_is_held_to_account(shared_truth: HonestRun) -> None:
    assert _unnoticed(shared_truth) == {}


def test_every_field_under_a_packed_key_is_held_to_account(packed_truth: HonestRun) -> None:
    assert _unnoticed(packed_truth) == {}


def _unnoticed(honest: HonestRun) -> dict[str, set[str]]:
    """Return the fields that can be changed without anything being found, and by which transactions."""
    unnoticed: dict[str, set[str]] = {}
    changed_fields = 0
    for number, key, path in _fields(honest):
        run = honest.copy()
        simulation = run.ledger.committed[number]
        kind = LAYOUT[type_of(key)][0]
        value: Any = canonical.parse(simulation.effects.writes[key])
        changed = _changed(kind, value, path)
        name = f"{kind.__name__}.{'.'.join(str(step) for step in path if isinstance(step, str))}"
        try:
            from_json(kind, changed)
        except canonical.NotCanonical:
            continue
        changed_fields += 1
        simulation.effects.writes[key] = canonical.dump(changed)
        if not run.audit_ledger().failures and not run.audit().failures:
            unnoticed.setdefault(name, set()).add(simulation.proposal.name)
    assert changed_fields > 100
    return unnoticed


def _fields(run: HonestRun) -> Iterator[tuple[int, str, tuple[str | int, ...]]]:
    """Yield one field of each kind, for each transaction that writes it."""
    seen = set()
    for number, simulation in enumerate(run.ledger.committed):
        for key, value in simulation.effects.writes.items():
            if not value or type_of(key) not in LAYOUT:
                continue
            record: Any = canonical.parse(value)
            left_out = [(name,) for name in _defaults(LAYOUT[type_of(key)][0]) if name not in record]
            for path in (*_paths(record), *left_out):
                name = (
                    simulation.proposal.name,
                    type_of(key),
                    tuple(step if isinstance(step, str) else "*" for step in path),
                    bool(path) and isinstance(path[-1], int) and _is_new(record, path),
                )
                if name not in seen:
                    seen.add(name)
                    yield number, key, path


def _paths(value: Any) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every scalar, and for every list the place after its last item."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from ((name, *rest) for rest in _paths(item))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from ((index, *rest) for rest in _paths(item))
        yield (len(value),)
    else:
        yield ()


def _is_new(record: Any, path: tuple[str | int, ...]) -> bool:
    target = record
    for step in path[:-1]:
        target = target[step]
    return path[-1] == len(target)


def _defaults(kind: type) -> dict[str, Any]:
    fields: Any = dataclasses.fields(kind)
    return {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}


def _changed(kind: type, value: Any, path: tuple[str | int, ...]) -> Any:
    whole = copy.deepcopy(value)
    *parents, last = path
    target = whole
    for step in parents:
        target = target[step]
    if isinstance(target, list) and last == len(target):
        target.append(STRANGER)
        return whole
    if isinstance(last, str) and last not in target:
        target[last] = _defaults(kind)[last]
    old = target[last]
    if isinstance(old, bool):
        target[last] = not old
    elif isinstance(old, int):
        target[last] = old + 1
    elif isinstance(old, tuple):
        target[last] = [STRANGER]
    elif last in ("phase", "status", "role"):
        status = "ABANDONED" if kind is not Ceremony else "CLOSED" if old == "FAILED" else "FAILED"
        target[last] = {"phase": "OPEN", "status": status, "role": "auditor"}[str(last)]
    else:
        target[last] = f"{old}x"
    return whole
