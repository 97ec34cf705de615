"""The one way to make a request from text.

Decides what a well-formed request is (BFL-1xx): strict JSON of at most 64 KiB, exactly the fields of the dataclass,
each within its limits; a field with a default may be missing.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Iterator
from typing import TypeVar

from bfl_chaincode.api import canonical, records, refusals
from bfl_chaincode.api.canonical import NotCanonical
from bfl_chaincode.api.records import TaskSpec
from bfl_chaincode.limits import SPEC_LIMITS, Limit

LONGEST_ARGUMENT = 64 * 1024

C = TypeVar("C")


def parse(kind: type[C], argument: str) -> C:
    """Return the checked request. Raises BFL-103 to BFL-114, naming the first field that is wrong."""
    try:
        size = len(argument.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise refusals.NotStrictJson("the argument has no UTF-8 form") from error
    if size > LONGEST_ARGUMENT:
        raise refusals.ArgumentTooLong(f"the argument has {size} bytes")
    try:
        value = canonical.parse(argument)
    except NotCanonical as error:
        raise refusals.NotStrictJson(str(error)[:200]) from error
    try:
        command = records.from_json(kind, value)
    except NotCanonical as error:
        raise refusals.WrongFields(str(error)[:200]) from error
    for limit, found, path in _limited(command, ""):
        limit.check(found, path)
    return command


def _limited(value: object, prefix: str) -> Iterator[tuple[Limit, object, str]]:
    """Yield every limit with the value it is for, parents before their parts."""
    if isinstance(value, TaskSpec):
        yield from _limited_spec(value, "", f"{prefix}.")
        return
    kind: type = type(value)
    for name, limits in limits_of(kind).items():
        found, path = getattr(value, name), f"{prefix}.{name}".removeprefix(".")
        for limit in limits:
            yield limit, found, path
        items = found if isinstance(found, tuple) else (found,)
        for item in items:
            if dataclasses.is_dataclass(item):
                yield from _limited(item, path)


def _limited_spec(value: object, path: str, prefix: str) -> Iterator[tuple[Limit, object, str]]:
    if path in SPEC_LIMITS:
        yield SPEC_LIMITS[path], value, prefix + path
    if isinstance(value, tuple):
        for item in value:
            yield from _limited_spec(item, f"{path}[]", prefix)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            below = f"{path}.{field.name}".removeprefix(".")
            yield from _limited_spec(getattr(value, field.name), below, prefix)


@functools.cache
def limits_of(kind: type) -> dict[str, tuple[Limit, ...]]:
    """Return the limits of each field of a request."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}
