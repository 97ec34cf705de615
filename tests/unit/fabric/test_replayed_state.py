"""The replayed state says what a dict of everything would say, long after a key was asked for last."""

from __future__ import annotations

import random

import pytest

from bfl_fabric.fabric.recent import RECENT_COUNT
from bfl_fabric.fabric.rwsets import Height
from bfl_fabric.fabric.spool import CHUNK_BYTES
from bfl_fabric.fabric.state import ReplayedState, Space, Updates, Versioned

SPACE = Space("bfl")


@pytest.mark.parametrize("size", [1, 100, CHUNK_BYTES])
def test_a_value_comes_and_goes_with_everything_that_belongs_to_it(size: int) -> None:
    value, metadata, state = b"v" * size, (("a", b"b"),), ReplayedState()
    state.commit(Updates({SPACE: {b"key": Versioned(value, metadata, Height(3, 4))}}))
    found = state.find(SPACE, b"key")
    assert found is not None
    assert (found.value, found.metadata, found.height) == (value, metadata, Height(3, 4))
    assert state.value("bfl", "key") == value
    assert state.public("bfl") == {"key": value}
    assert list(state.scan("bfl", b"", b"")) == [(b"key", Height(3, 4))]
    state.commit(Updates({SPACE: {b"key": Versioned(None, None, Height(4, 0))}}))
    assert state.find(SPACE, b"key") is None
    assert list(state.scan("bfl", b"", b"")) == []
    assert state.public_count == 0
    state.commit(Updates({SPACE: {b"key": Versioned(b"again", None, Height(5, 0))}}))
    found = state.find(SPACE, b"key")
    assert found is not None
    assert (found.value, found.metadata, found.height) == (b"again", None, Height(5, 0))
    assert state.public_count == 1


def test_it_agrees_with_a_dict_after_any_writes() -> None:
    drawn, state = random.Random(11), ReplayedState()
    expected: dict[bytes, Versioned] = {}
    names = [f"key {number}".encode() for number in range(3 * RECENT_COUNT)]
    for block in range(300):
        changes = {}
        for name in drawn.sample(names, 12):
            value = None if drawn.random() < 0.3 else drawn.randbytes(drawn.randrange(1, 90))
            metadata = (("m", b"x"),) if value is not None and drawn.random() < 0.2 else None
            changes[name] = Versioned(value, metadata, Height(block, len(changes)))
        for name in drawn.sample(names, 40):
            assert state.find(SPACE, name) is None or name in expected
        state.commit(Updates({SPACE: changes}))
        expected |= changes
        expected = {name: one for name, one in expected.items() if one.value is not None}
    for name in names:
        found = state.find(SPACE, name)
        seen = None if found is None else Versioned(found.value, found.metadata, found.height)
        assert seen == expected.get(name)
    assert state.public_count == len(expected)
    assert list(state.scan("bfl", b"", b"")) == sorted((name, one.height) for name, one in expected.items())
    assert list(state.public_keys()) == [("bfl", name.decode()) for name in sorted(expected)]
