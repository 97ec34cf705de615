"""Adding uploads: SEAL's sum bit for bit, in any order, in the memory of one model."""

from __future__ import annotations

import hashlib
import itertools
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenseal import sealapi

from bfl_fabric.errors import MalformedInput
from bfl_fabric.he.ckks import CkksScheme
from bfl_fabric.he.gate import read_message
from bfl_fabric.he.seal import SealContext, words_of
from bfl_fabric.he.sums import sum_of
from bfl_fabric.he.wire import HEADER_BYTES, Kind
from tests.unit.he.samples import CHECKED, KEY, PARAMETERS, TASK, Written, message

OTHER_KEY = hashlib.sha256(b"another public key").digest()


def uploads(written: Written, count: int, parameter_count: int = 10) -> list[Path]:
    return [
        written.file(
            message(
                start=index + 1,
                participant_id=f"silo-{index}",
                weight=index + 1,
                parameter_count=parameter_count,
            )
        )
        for index in range(count)
    ]


def test_the_sum_is_seals_sum_bit_for_bit(written: Written) -> None:
    seal = SealContext(PARAMETERS)
    evaluator, total = sealapi.Evaluator(seal.context), None
    paths = uploads(written, 5)
    for path in paths:
        (words,) = read_message(path.read_bytes(), PARAMETERS, Kind.UPDATE).chunks()
        cipher = seal.ciphertext(words)
        if total is None:
            total = cipher
        else:
            evaluator.add_inplace(total, cipher)
    (ours,) = read_message(sum_of(CHECKED, KEY, paths), PARAMETERS, Kind.SUM).chunks()
    assert (words_of(total, 2 * PARAMETERS.degree).reshape(ours.shape) == ours).all()


def test_the_bytes_do_not_depend_on_the_order(written: Written) -> None:
    paths = uploads(written, 4, 5000)
    assert len({sum_of(CHECKED, KEY, order) for order in itertools.permutations(paths)}) == 1


def test_the_header_of_a_sum_counts_members_and_weight(written: Written, pinned_scheme: CkksScheme) -> None:
    total = pinned_scheme.aggregate(uploads(written, 4))
    found = pinned_scheme.inspect_aggregate(written.file(total))
    assert (found.task_id, found.round, found.epoch, found.parameter_count) == (TASK, 1, 1, 10)
    assert (found.members, found.total_weight, found.size_bytes) == (4, 10, len(total))
    assert found.parameters_digest == pinned_scheme.parameters_digest


def test_a_sum_of_other_uploads_has_another_subject(written: Written) -> None:
    paths = uploads(written, 3)
    whole, partial = sum_of(CHECKED, KEY, paths), sum_of(CHECKED, KEY, paths[:2])
    subjects = {read_message(data, PARAMETERS, Kind.SUM).header.subject for data in (whole, partial)}
    assert len(subjects) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"participant_id": "silo-0", "start": 99}, "is the second of this participant"),
        ({"start": 1}, "repeats the mask of another upload"),
        ({"task_id": "another"}, "is for task another"),
        ({"round": 2}, "is for round 2, not 1"),
        ({"subject": OTHER_KEY}, f"was encrypted under another key .{OTHER_KEY.hex()}., the task's key is"),
        ({"epoch": 2}, "is for key epoch 2, the public key is of epoch 1"),
        ({"parameter_count": 11}, "has 11 parameters, the others 10"),
        ({"weight": 32_768}, "brings the weight to 32769; the task allows 32768"),
    ],
)
def test_an_upload_that_does_not_belong_is_refused(
    change: dict[str, object], words: str, written: Written
) -> None:
    honest = {"start": 50, "participant_id": "silo-9"}
    odd_one = written.file(message(**(honest | change)), "odd")  # type: ignore[arg-type]
    with pytest.raises(MalformedInput, match=words):
        sum_of(CHECKED, KEY, [*uploads(written, 1), odd_one])


def test_the_same_file_twice_is_refused(written: Written) -> None:
    (path,) = uploads(written, 1)
    with pytest.raises(MalformedInput, match="is the second of this participant"):
        sum_of(CHECKED, KEY, [path, path])


def test_a_sum_of_nothing_is_refused() -> None:
    with pytest.raises(MalformedInput, match="a sum of no uploads"):
        sum_of(CHECKED, KEY, [])


def test_a_sum_of_more_than_the_most_members_is_refused(written: Written) -> None:
    many = (
        written.file(message(start=index + 1, participant_id=f"silo-{index}", weight=1), "many")
        for index in range(PARAMETERS.max_members + 1)
    )
    with pytest.raises(MalformedInput, match="one more than the 1024"):
        sum_of(CHECKED, KEY, many)


def test_memory_does_not_grow_with_the_number_of_uploads(tmp_path: Path) -> None:
    whole = message(parameter_count=20 * PARAMETERS.degree)

    def peak(count: int) -> int:
        tracemalloc.start()
        sum_of(CHECKED, KEY, streamed(whole, tmp_path / "upload", count))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = peak(2), peak(24)
    assert many < few + 50_000
    assert few < 5 * len(whole)


def streamed(whole: bytes, path: Path, count: int) -> Iterator[Path]:
    """Yield distinct uploads, each in the same file, as an aggregator that adds and drops has them."""
    mask_at = HEADER_BYTES + PARAMETERS.polynomial_bytes
    for index in range(count):
        changed = bytearray(whole)
        changed[280:289] = bytes([8]) + f"silo-{index:03d}".encode()
        changed[mask_at] = index
        path.write_bytes(changed)
        yield path


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**60), st.integers(1, 2**59)), min_size=1, max_size=6, unique=True))
def test_residues_add_as_integers_do(formulas: list[tuple[int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        written = Written(Path(folder))
        paths = [
            written.file(message(Kind.UPDATE, start, stride, participant_id=f"p{index}"))
            for index, (start, stride) in enumerate(formulas)
        ]
        (words,) = read_message(sum_of(CHECKED, KEY, paths), PARAMETERS, Kind.SUM).chunks()
    start, stride = (sum(column) for column in zip(*formulas, strict=True))
    prime = PARAMETERS.data_prime
    expected = [(start + index * stride) % prime for index in range(2 * PARAMETERS.degree)]
    assert words.reshape(-1).tolist() == expected
    assert np.uint64(words.max()) < prime
