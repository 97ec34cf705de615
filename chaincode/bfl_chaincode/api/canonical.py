"""Canonical JSON: one byte string for one value.

Keys sorted by code point, no white space, UTF-8 unescaped, integers only (no floats, no NaN), no duplicate
keys. Signed numbers stay within 64 bits so that every reader in every language agrees on them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeAlias

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"

INTEGER_LIMIT = 2**63
MAX_DEPTH = 16


class NotCanonical(ValueError):
    """The value or the text has no canonical form; the message says where and why."""


def text(value: Json | Mapping[str, Json]) -> str:
    """Return the canonical JSON text of `value`. Raises NotCanonical."""
    _require_form(value)
    return _ENCODER.encode(value)


def dump(value: Json | Mapping[str, Json]) -> bytes:
    """Return the canonical JSON bytes (UTF-8) of `value`. Raises NotCanonical."""
    return text(value).encode("utf-8")


def digest(value: Json | Mapping[str, Json]) -> str:
    """Return the SHA-256 of the canonical bytes, lower-case hex."""
    return hashlib.sha256(dump(value)).hexdigest()


def parse(source: str | bytes) -> Json:
    """Read JSON strictly: no floats, no duplicate keys, no integers beyond 64 bits. Raises NotCanonical.

    White space and key order are free: people write requests by hand.
    """
    try:
        decoded = source.decode("utf-8") if isinstance(source, bytes) else source
        value: Json = _DECODER.decode(decoded)
    except NotCanonical:
        raise
    except (ValueError, RecursionError) as error:
        raise NotCanonical(f"not JSON: {error}") from error
    _require_form(value)
    return value


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise NotCanonical(f"the key {twice!r} stands twice")
    return result


def _refuse(token: str) -> Json:
    raise NotCanonical(f"{token} is not an integer; write decimals as strings")


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_refuse, parse_constant=_refuse)


def _require_form(value: object) -> None:
    """Raise NotCanonical for a value without canonical form; the place is looked for only when there is one."""
    if not _has_form(value, 0):
        _check(value, "$", 0)


def _has_form(value: Any, depth: int) -> bool:
    """Say whether `_check` would let a value of the plain types pass; of all others that is left to it."""
    container = type(value)
    if container is dict:
        if list(map(type, value)).count(str) < len(value) or not all(map(str.isascii, value)):
            return False
        items = value.values()
    else:
        items = value if container is list or container is tuple else (value,)
    for item in items:
        kind = type(item)
        if kind is str:
            if not item.isascii():
                return False
        elif kind is int:
            if not -INTEGER_LIMIT <= item < INTEGER_LIMIT:
                return False
        elif kind is dict or kind is list or kind is tuple:
            if depth == MAX_DEPTH - 1 or not _has_form(item, depth + 1):
                return False
        elif item is not None and kind is not bool:
            return False
    return True


def _check(value: object, path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise NotCanonical(f"{path}: nested deeper than {MAX_DEPTH}")
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        if not value.isascii() and any(0xD800 <= ord(character) <= 0xDFFF for character in value):
            raise NotCanonical(f"{path}: a lone surrogate has no UTF-8 form")
    elif isinstance(value, int):
        if not -INTEGER_LIMIT <= value < INTEGER_LIMIT:
            raise NotCanonical(f"{path}: {value} does not fit 64 bits")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]", depth + 1)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise NotCanonical(f"{path}: the key {key!r} is not a string")
            _check(key, path, depth + 1)
            _check(item, f"{path}.{key}", depth + 1)
    else:
        raise NotCanonical(f"{path}: {type(value).__name__} has no JSON form")
