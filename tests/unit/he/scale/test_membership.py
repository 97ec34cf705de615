"""What must never come twice is found among very many, and takes little memory."""

from __future__ import annotations

import pytest

from bfl_fabric.he.lattice import membership
from bfl_fabric.he.lattice.membership import Seen


def values(count: int) -> list[bytes]:
    return [number.to_bytes(32, "little") for number in range(count)]


def test_each_value_is_new_once() -> None:
    seen = Seen()
    assert all(seen.add(value) for value in values(20_000))
    assert not any(seen.add(value) for value in values(20_000))
    assert seen.add(b"another")


def test_bytes_that_lie_across_two_digests_are_not_taken_for_a_third(monkeypatch: pytest.MonkeyPatch) -> None:
    class Itself:
        def __init__(self, value: bytes) -> None:
            self._value = value

        def digest(self) -> bytes:
            return self._value

    monkeypatch.setattr(membership.hashlib, "sha256", Itself)
    a, b, c, d = (letter * 8 for letter in (b"a", b"b", b"c", b"d"))
    same_bucket = bytes(16)
    seen = Seen()
    assert seen.add(a + b + same_bucket)
    assert seen.add(c + d + same_bucket)
    assert seen.add(b + c + same_bucket)
    assert not seen.add(b + c + same_bucket)
    assert not seen.add(c + d + same_bucket)
