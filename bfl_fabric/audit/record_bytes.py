"""Records as the bytes that the ledger holds: whether they are in their one canonical form, and how they come back.

Decides by `bfl_chaincode.api.records`, strictly the first time. A record that was found good once is only decoded
afterwards. Most kinds are plain, all their fields texts, numbers or truth values: of these neither needs a look at
every field by itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from bfl_chaincode.api import canonical, records
from bfl_chaincode.api.canonical import Json, NotCanonical

Fields: TypeAlias = Mapping[str, Json]
"""A record as JSON. What is left out of its canonical form is left out here too."""


def checked(kind: type, value: bytes) -> Fields:
    """Read bytes that must be the canonical form of a record of this kind. Raises NotCanonical.

    What comes out in the same bytes again needs no other check; only of what does not is it asked what is wrong.
    """
    with contextlib.suppress(ValueError, RecursionError):
        fields = decoded(value)
        if canonical.dump(_whole(kind, fields)) == value:
            return fields
    records.from_json(kind, canonical.parse(value))
    raise NotCanonical("it is not the record's canonical form")


def decoded(value: bytes) -> Fields:
    """Return the JSON object of a record that was checked before."""
    fields: Fields = _DECODER.raw_decode(value.decode())[0]
    return fields


def record_of(kind: Any, fields: Fields) -> Any:
    """Return the record of fields that were checked before."""
    return records.from_json(kind, dict(fields)) if _shape(kind) is None else kind(**fields)


class _Shape(NamedTuple):
    """The fields that a plain record has in its canonical form, in their order there, and their types."""

    names: list[str]
    types: list[type]


def _whole(kind: type, fields: Fields) -> Fields:
    """Return what the record of these fields is as JSON: themselves, if they are those of a plain record."""
    shape = _shape(kind)
    if (
        shape is not None
        and type(fields) is dict
        and shape == (list(fields), list(map(type, fields.values())))
    ):
        return fields
    return records.to_json(records.from_json(kind, fields))  # type: ignore[arg-type]


@functools.lru_cache(maxsize=256)
def _shape(kind: Any) -> _Shape | None:
    """Return the shape of a plain kind, None for one that holds lists, enumerations or other records.

    Fields that the canonical form leaves out while they have their default are no part of it: a record with one has
    not this shape.
    """
    hints = typing.get_type_hints(kind)
    if not _PLAIN.issuperset(hints.values()):
        return None
    needed = [field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING]
    names = sorted(records.to_json(kind(**{name: hints[name]() for name in needed})))
    return _Shape(names, [hints[name] for name in names])


_PLAIN = frozenset({str, int, bool})
_DECODER = json.JSONDecoder()
