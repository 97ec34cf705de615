"""The scheme of the simulations is as strict as a real one, and exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import UpdateName
from bfl_fabric.errors import KeyHolderRefused, MalformedInput
from bfl_fabric.testing.scheme import (
    HEADER_BYTES,
    SCHEME_NAME,
    PlainProvider,
    PlainScheme,
    plain_parameters_digest,
)

TERMS = EncryptionTerms(SCHEME_NAME, plain_parameters_digest(20, "1", 1000), 20, "1", 1000)
LARGEST = 2**19 - 1
VECTORS = st.lists(st.integers(-LARGEST, LARGEST), min_size=4, max_size=4)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scheme")


def scheme_of(place: Path, seed: str = "seed") -> PlainScheme:
    provider = PlainProvider(seed)
    return provider.public(TERMS, provider.create_key(TERMS, 1, place / f"{seed}.key"))


def stored(place: Path, data: bytes, name: str = "message") -> Path:
    path = place / name
    path.write_bytes(data)
    return path


def encrypt(scheme: PlainScheme, who: str, values: list[int], weight: int = 3) -> bytes:
    return scheme.encrypt(UpdateName("wine", 1, who), 1, weight, np.array(values, dtype=np.int64) * weight)


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), VECTORS, min_size=1), st.randoms())
@settings(max_examples=100, deadline=None)
def test_sums_and_scores_are_exact_in_any_order(place: Path, values: dict[str, list[int]], order) -> None:  # type: ignore[no-untyped-def]
    scheme = scheme_of(place)
    paths = [stored(place, encrypt(scheme, who, vector), who) for who, vector in values.items()]
    total = scheme.aggregate(paths)
    order.shuffle(paths)
    assert scheme.aggregate(paths) == total
    expected = 3 * np.sum(np.array(list(values.values()), dtype=np.int64), axis=0)
    assert np.array_equal(scheme.read_sum(stored(place, total), len(values)), expected)
    direction = np.array([1, -2, 127, 0], dtype=np.int8)
    scores = [scheme.read_score(scheme.score(path, direction)) for path in paths]
    assert sum(scores) == int(expected @ direction.astype(np.int64))


@given(st.integers(0, HEADER_BYTES + 31), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_is_refused_or_seen_in_the_header(place: Path, position: int, change: int) -> None:
    scheme = scheme_of(place)
    honest = encrypt(scheme, "a", [1, 2, 3, 4])
    changed = bytearray(honest)
    changed[position] ^= change
    try:
        header = scheme.inspect(stored(place, bytes(changed)))
    except MalformedInput:
        return
    assert header != scheme.inspect(stored(place, honest))


def test_two_encryptions_of_the_same_values_differ(place: Path) -> None:
    scheme = scheme_of(place)
    assert encrypt(scheme, "a", [1, 2, 3, 4]) != encrypt(scheme, "a", [1, 2, 3, 4])


def test_the_same_participant_is_not_added_twice(place: Path) -> None:
    scheme = scheme_of(place)
    paths = [stored(place, encrypt(scheme, "a", [1, 2, 3, 4]), name) for name in ("one", "two")]
    with pytest.raises(MalformedInput, match="already"):
        scheme.aggregate(paths)


@pytest.mark.parametrize("kind", ["aggregate", "score"])
def test_one_kind_of_message_does_not_pass_for_another(place: Path, kind: str) -> None:
    scheme = scheme_of(place)
    upload = stored(place, encrypt(scheme, "a", [1, 2, 3, 4]))
    made = (
        scheme.aggregate([upload]) if kind == "aggregate" else scheme.score(upload, np.ones(4, dtype=np.int8))
    )
    with pytest.raises(MalformedInput):
        scheme.inspect(stored(place, made, "made"))
    with pytest.raises(MalformedInput):
        scheme.inspect_aggregate(upload)


def test_a_foreign_key_and_another_count_of_members_are_refused(place: Path) -> None:
    scheme, foreign = scheme_of(place), scheme_of(place, "another")
    upload = stored(place, encrypt(foreign, "a", [1, 2, 3, 4]))
    with pytest.raises(MalformedInput, match="another key"):
        scheme.aggregate([upload])
    total = stored(place, foreign.aggregate([upload]), "total")
    with pytest.raises(KeyHolderRefused, match="of 1 members"):
        foreign.read_sum(total, 2)


def test_nothing_is_no_sum(place: Path) -> None:
    with pytest.raises(MalformedInput, match="nothing"):
        scheme_of(place).aggregate([])


def test_values_beyond_the_grid_are_not_encrypted(place: Path) -> None:
    with pytest.raises(MalformedInput, match="grid"):
        encrypt(scheme_of(place), "a", [LARGEST + 1, 0, 0, 0])
