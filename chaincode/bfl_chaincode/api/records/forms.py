"""The one JSON form of every record: how it is written, and how it is read back, strictly.

Decides what a field may hold by its type alone; limits and rules are left to requests and rules.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from bfl_chaincode.api import reading
from bfl_chaincode.api.canonical import Json, NotCanonical

PPB = 1_000_000_000

T = TypeVar("T")


_ADDED = "added"


def added(default: T) -> T:
    """Declare a field that older ledgers do not know: it is left out of the JSON while it has its default, so that
    what they hold keeps its canonical form and its digests."""
    declared: T = dataclasses.field(default=default, metadata={_ADDED: True})
    return declared


def to_json(record: object) -> dict[str, Json]:
    """Return the JSON object of a record, field by field, without `added` fields that have their default."""
    kind: typing.Any = type(record)
    whole = {name: _plain(getattr(record, name)) for name in _field_names(kind)}
    for name, default in _added_fields(kind):
        if getattr(record, name) == default:
            del whole[name]
    return whole


def from_json(kind: type[T], value: Json) -> T:
    """Read a record strictly: every field of the right type, none unknown, none missing without a default.

    Raises NotCanonical with the path of the first wrong field.
    """
    result: T
    try:
        result = reading.reader_of(kind)(value)
    except reading.Unlike:
        result = _record(kind, value, kind.__name__)
    return result


@functools.lru_cache(maxsize=256)
def _field_names(kind: typing.Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


@functools.lru_cache(maxsize=256)
def _added_fields(kind: typing.Any) -> tuple[tuple[str, typing.Any], ...]:
    return tuple((item.name, item.default) for item in dataclasses.fields(kind) if _ADDED in item.metadata)


def _plain(value: object) -> Json:
    if type(value) in _SCALARS:
        return value  # type: ignore[return-value]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, StrEnum):
        return value.value
    return to_json(value)


_SCALARS = (str, int, bool, type(None))


def _record(kind: type[typing.Any], value: Json, path: str) -> typing.Any:
    if not isinstance(value, Mapping):
        raise NotCanonical(f"{path}: expected an object, found {_named(value)}")
    hints = _hints(kind)
    unknown = sorted(key for key in value if key not in hints)
    if unknown:
        raise NotCanonical(f"{path}: unknown field {unknown[0]!r}")
    arguments = {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            arguments[field.name] = _typed(hints[field.name], value[field.name], f"{path}.{field.name}")
        elif field.default is dataclasses.MISSING:
            raise NotCanonical(f"{path}: the field {field.name!r} is missing")
    return kind(**arguments)


def _typed(kind: typing.Any, value: Json, path: str) -> typing.Any:
    origin = typing.get_origin(kind)
    if origin is tuple:
        if not isinstance(value, list):
            raise NotCanonical(f"{path}: expected a list, found {_named(value)}")
        item_kind = typing.get_args(kind)[0]
        return tuple(_typed(item_kind, item, f"{path}[{index}]") for index, item in enumerate(value))
    if origin in (typing.Union, types.UnionType):
        (inner,) = [argument for argument in typing.get_args(kind) if argument is not type(None)]
        return None if value is None else _typed(inner, value, path)
    if dataclasses.is_dataclass(kind):
        return _record(typing.cast("type[typing.Any]", kind), value, path)
    if issubclass(kind, StrEnum):
        try:
            return kind(value)
        except ValueError as error:
            raise NotCanonical(f"{path}: {value!r} is none of {', '.join(kind)}") from error
    if type(value) is not kind:
        raise NotCanonical(f"{path}: expected {kind.__name__}, found {_named(value)}")
    return value


_HINTS: dict[type[typing.Any], dict[str, typing.Any]] = {}


def _hints(kind: type[typing.Any]) -> dict[str, typing.Any]:
    if kind not in _HINTS:
        _HINTS[kind] = typing.get_type_hints(kind)
    return _HINTS[kind]


def _named(value: object) -> str:
    return "null" if value is None else type(value).__name__
