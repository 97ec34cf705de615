"""Readers of records, made once per type: the fast way from JSON to a frozen dataclass.

Decides only whether a value is exactly of a type. What is wrong with one that is not, and where, is said by
`records.from_json`, which then reads it again with a path in hand.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from enum import StrEnum

Reader: typing.TypeAlias = Callable[[typing.Any], typing.Any]


class Unlike(Exception):
    """The value is not of the type."""


_READERS: dict[typing.Any, Reader] = {}
_ABSENT = object()


def reader_of(kind: typing.Any) -> Reader:
    """Return the function that reads values of this type. It raises Unlike."""
    found = _READERS.get(kind)
    if found is None:
        found = _READERS[kind] = _make(kind)
    return found


def _make(kind: typing.Any) -> Reader:
    origin = typing.get_origin(kind)
    if origin is tuple:
        return _list_reader(reader_of(typing.get_args(kind)[0]))
    if origin in (typing.Union, types.UnionType):
        (inner,) = [argument for argument in typing.get_args(kind) if argument is not type(None)]
        return _optional_reader(reader_of(inner))
    if dataclasses.is_dataclass(kind):
        return _record_reader(kind)
    if issubclass(kind, StrEnum):
        return _enum_reader({member.value: member for member in kind})
    return _plain_reader(kind)


def _record_reader(kind: typing.Any) -> Reader:
    hints = typing.get_type_hints(kind)
    fields = [
        (field.name, hints[field.name], reader_of(hints[field.name]), field.default is dataclasses.MISSING)
        for field in dataclasses.fields(kind)
    ]

    def read(value: typing.Any) -> typing.Any:
        if type(value) is not dict:
            raise Unlike
        arguments = {}
        for name, hint, reader, is_required in fields:
            item = value.get(name, _ABSENT)
            if type(item) is hint:  # a plain value, most often
                arguments[name] = item
            elif item is not _ABSENT:
                arguments[name] = reader(item)
            elif is_required:
                raise Unlike
        if len(arguments) != len(value):
            raise Unlike
        return kind(**arguments)

    return read


def _list_reader(item: Reader) -> Reader:
    def read(value: typing.Any) -> typing.Any:
        if type(value) is not list:
            raise Unlike
        return tuple([item(element) for element in value])

    return read


def _optional_reader(inner: Reader) -> Reader:
    def read(value: typing.Any) -> typing.Any:
        return None if value is None else inner(value)

    return read


def _enum_reader(members: dict[str, StrEnum]) -> Reader:
    def read(value: typing.Any) -> typing.Any:
        if type(value) is not str or value not in members:
            raise Unlike
        return members[value]

    return read


def _plain_reader(kind: type) -> Reader:
    def read(value: typing.Any) -> typing.Any:
        if type(value) is not kind:
            raise Unlike
        return value

    return read
