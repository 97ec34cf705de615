"""Simulated rounds do the real work, leave nothing behind, and take as much memory for many as for few."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bfl_fabric.errors import ConfigurationError, WorkerFailed
from bfl_fabric.he.lattice.parameters import (
    PACKED_S16K,
    PACKED_S20K,
    THRESHOLD_T16K,
    LatticeParameters,
    smallest_set,
)
from bfl_fabric.he.lattice.sums import inspected_upload, sum_of
from bfl_fabric.he.packed.backend import BackEndName
from bfl_fabric.he.scale.aggregator import peak_memory_bytes
from bfl_fabric.he.scale.proof import Federation, prove
from bfl_fabric.he.scale.simulation import Case, simulate
from bfl_fabric.he.scale.uploads import UploadPool, participant, random_values
from bfl_fabric.he.sharding import in_processes
from tests.unit.he.scale.samples import federation

COUNT = 3_000


@pytest.fixture(params=list(BackEndName))
def crowd(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Federation, UploadPool]:
    made = federation(tmp_path, request.param)
    return made, UploadPool(made.member, made.terms, COUNT)


def test_uploads_of_the_pool_pass_the_gate_and_are_all_different(
    crowd: tuple[Federation, UploadPool], tmp_path: Path
) -> None:
    made, pool = crowd
    digests, path = set(), tmp_path / "upload"
    for number in range(2 * pool.size):
        path.write_bytes(b"".join(pool.upload(number)))
        header = inspected_upload(made.terms, made.key, path)
        assert header.name == participant(number)
        digests.add(header.digest)
    assert len(digests) == 2 * pool.size


def test_a_participants_upload_is_the_same_every_time(crowd: tuple[Federation, UploadPool]) -> None:
    pool = crowd[1]
    assert b"".join(pool.upload(70)) == b"".join(pool.upload(70))


@pytest.mark.parametrize("participants", [2, 7, 16])
def test_two_levels_of_aggregators_give_the_bytes_of_one(
    crowd: tuple[Federation, UploadPool], participants: int, tmp_path: Path
) -> None:
    made, pool = crowd
    files = [tmp_path / f"kept-{number}" for number in range(participants)]
    for number, path in enumerate(files):
        path.write_bytes(b"".join(pool.upload(number)))
    expected = sum_of(made.terms, made.key, files)
    for levels in (1, 2):
        case = Case(participants, COUNT, levels)
        figures = simulate(case, made.terms, made.key, pool.write, tmp_path)
        assert (tmp_path / "sum").read_bytes() == expected
        assert figures.received_bytes == sum(path.stat().st_size for path in files)
        assert figures.sum_bytes == len(expected)
        assert figures.seconds > 0


def test_nothing_but_the_sum_is_left_and_few_files_are_there_at_a_time(
    crowd: tuple[Federation, UploadPool], tmp_path: Path
) -> None:
    made, pool = crowd
    place, most = tmp_path / "place", 0
    place.mkdir()

    def watched(number: int, path: Path) -> None:
        nonlocal most
        pool.write(number, path)
        most = max(most, sum(path.name.startswith("upload") for path in place.iterdir()))

    simulate(Case(20, COUNT, 2), made.terms, made.key, watched, place)
    assert [path.name for path in place.iterdir()] == ["sum"]
    assert most <= 2


@pytest.mark.slow
def test_memory_for_two_thousand_participants_is_that_for_ten(tmp_path: Path) -> None:
    made = federation(tmp_path)
    pool = UploadPool(made.member, made.terms, COUNT)
    few, many = (
        simulate(Case(participants, COUNT), made.terms, made.key, pool.write, tmp_path).peak_memory_bytes
        for participants in (10, 2_000)
    )
    assert many <= 1.2 * few


def test_peak_memory_counts_what_was_there_and_is_gone() -> None:
    before = peak_memory_bytes()
    block = np.ones(max(1, before // 8) + (64 << 20) // 8)
    del block
    assert peak_memory_bytes() >= before + (48 << 20)


def test_an_upload_that_does_not_pass_the_gate_ends_the_simulation(
    crowd: tuple[Federation, UploadPool], tmp_path: Path
) -> None:
    made, pool = crowd

    def spoilt(number: int, path: Path) -> None:
        data = b"".join(pool.upload(number))
        path.write_bytes(data[:-1] if number == 3 else data)

    with pytest.raises(WorkerFailed, match="ended early"):
        simulate(Case(6, COUNT), made.terms, made.key, spoilt, tmp_path)


def test_three_levels_are_refused(crowd: tuple[Federation, UploadPool], tmp_path: Path) -> None:
    made, pool = crowd
    with pytest.raises(ConfigurationError, match="1 or 2"):
        simulate(Case(6, COUNT, 3), made.terms, made.key, pool.write, tmp_path)


def test_a_small_round_is_proven(crowd: tuple[Federation, UploadPool], tmp_path: Path) -> None:
    with in_processes(2) as submit:
        lines = prove(crowd[0], 5, COUNT, 2, submit, tmp_path)
    assert len(lines) == 3
    assert lines[0].startswith("5 encrypted updates of 3,000 parameters open to their exact sum")


def test_a_sum_that_is_not_exact_is_no_proof(tmp_path: Path) -> None:
    made = federation(tmp_path)

    class Wrong:
        def open_sum(self, aggregate: Path, members: int) -> NDArray[np.int64]:
            return made.opener.open_sum(aggregate, members) + 1

        def open_score(self, score: bytes) -> int:
            raise AssertionError

    wrong = replace(made, opener=Wrong())
    with in_processes(2) as submit, pytest.raises(AssertionError, match="not the exact sum"):
        prove(wrong, 3, COUNT, 2, submit, tmp_path)


def test_the_set_for_ten_thousand_participants_is_exact_at_its_extremes(tmp_path: Path) -> None:
    made = federation(tmp_path)
    count, levels = PACKED_S16K.values_per_polynomial() + 3, made.terms.levels
    weights, parts = (15_998, 1, 1), []
    uploads = []
    for number, weight in enumerate(weights):
        values = np.where(random_values(number, count, levels) < 0, -levels, levels) * weight
        parts.append(values)
        path = tmp_path / f"upload-{number}"
        path.write_bytes(made.member.encrypt(participant(number), 1, weight, values))
        uploads.append(path)
    (tmp_path / "sum").write_bytes(sum_of(made.terms, made.key, uploads))
    opened = made.opener.open_sum(tmp_path / "sum", len(weights))
    assert (opened == sum(parts)).all()
    assert np.abs(opened).max() > levels * 15_990


@pytest.mark.parametrize(
    ("scheme", "members", "expected"),
    [
        ("packed", 1_000, PACKED_S20K),
        ("packed", 10_000, PACKED_S16K),
        ("threshold", 10_000, THRESHOLD_T16K),
    ],
)
def test_the_smallest_set_for_many_members_is_chosen(
    scheme: str, members: int, expected: LatticeParameters
) -> None:
    assert smallest_set(scheme, 32_767 * members, members, 100_000) is expected
