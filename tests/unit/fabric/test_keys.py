"""Keys are found again and listed in byte order whatever comes, and take little memory."""

from __future__ import annotations

import gc
import hashlib
import random
import tracemalloc

import pytest

from bfl_fabric.fabric import keys as module
from bfl_fabric.fabric.keys import Keys
from bfl_fabric.fabric.recent import RECENT_COUNT, Recent
from bfl_fabric.fabric.spool import Spool

MOST_BYTES = 50
"""Of a key of 64 bytes: a place, a fingerprint, two slots or three, and its share of a leaf and its first key."""


def some_keys(count: int) -> list[bytes]:
    """Return different keys: empty, nested, alike for long, random, in no order."""
    drawn = random.Random(7)
    found = {b"", b"\0", b"\xff" * 9, "é".encode()}
    while len(found) < count:
        kind = drawn.randrange(3)
        if kind == 0:
            found.add(b"\0round\0task\0" + b"%08d" % drawn.randrange(10**6) + b"\0")
        elif kind == 1:
            found.add(drawn.randbytes(drawn.randrange(1, 40)))
        else:
            found.add(b"a" * drawn.randrange(200))
    return drawn.sample(sorted(found), count)


@pytest.fixture(params=[1, 32, 500, 6000], scope="module")
def given(request: pytest.FixtureRequest) -> list[bytes]:
    return some_keys(request.param)


def test_keys_are_numbered_as_they_come_and_found_again(given: list[bytes]) -> None:
    keys = Keys(Spool())
    for number, key in enumerate(given):
        assert keys.find(key) is None
        assert keys.add(key) == number
        assert keys.add(key) == number
    assert len(keys) == len(given)
    assert [keys.find(key) for key in given] == list(range(len(given)))
    assert [keys[number] for number in range(len(given))] == given


def test_ranges_are_in_byte_order_whenever_they_are_asked_for(given: list[bytes]) -> None:
    """Half of the keys come after the first question, so that leaves are made, extended and taken apart."""
    keys, drawn = Keys(Spool()), random.Random(3)
    for part in (given[: len(given) // 2], given[len(given) // 2 :]):
        for key in part:
            keys.add(key)
        known = given[: len(keys)]
        numbers = {key: number for number, key in enumerate(known)}
        assert list(keys.between(b"", b"")) == sorted(numbers.items())
        for _ in range(40):
            start, end = drawn.choice(given), drawn.choice([*given, b""])
            expected = sorted(key for key in known if start <= key and (not end or key < end))
            assert list(keys.between(start, end)) == [(key, numbers[key]) for key in expected]


def test_keys_whose_hashes_are_alike_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FINGERPRINT", 0b11)
    keys, given = Keys(Spool()), some_keys(200)
    assert [keys.add(key) for key in given] == list(range(200))
    assert [keys.find(key) for key in given] == list(range(200))
    assert keys.find(b"another") is None


def test_an_empty_set_has_no_keys() -> None:
    keys = Keys(Spool())
    assert len(keys) == 0
    assert keys.find(b"") is None
    assert list(keys.between(b"", b"")) == []


def test_a_key_takes_fewer_bytes_of_memory_than_it_has() -> None:
    keys, count = Keys(Spool()), 20_000
    tracemalloc.start()
    for number in range(count):
        keys.add(hashlib.sha256(b"%d" % number).digest() * 2)
    assert sum(1 for _ in keys.between(b"", b"")) == count
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held / count < MOST_BYTES


def test_what_was_looked_up_lately_is_bounded() -> None:
    recent: Recent[int, int] = Recent()
    for number in range(3 * RECENT_COUNT):
        assert recent.remember(number, -number) == -number
        assert recent[number] == -number
        assert len(recent) <= RECENT_COUNT
