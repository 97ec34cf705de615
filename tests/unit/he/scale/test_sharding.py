"""Shards add up to the bytes of one node, and refuse what one node refuses."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bfl_fabric.errors import ConfigurationError, MalformedInput
from bfl_fabric.he import sharding
from bfl_fabric.he.lattice.bodies import mask_count
from bfl_fabric.he.lattice.parameters import PACKED_SMALL, THRESHOLD_WIDE, LatticeParameters, upload_bits
from bfl_fabric.he.lattice.sums import sum_of
from bfl_fabric.he.sharding import Shard, ShardSum, add_shard, divided, in_processes, on_ray, sharded_sum
from tests.unit.he.scale.samples import KEY, Uploads

POLYNOMIALS = 10
SETS = (PACKED_SMALL, THRESHOLD_WIDE)


def here(shard: Shard) -> Future[ShardSum]:
    """A shard that runs at once, in the process of the test."""
    future: Future[ShardSum] = Future()
    try:
        future.set_result(add_shard(shard))
    except MalformedInput as error:
        future.set_exception(error)
    return future


def some_uploads(folder: Path, parameters: LatticeParameters) -> Uploads:
    return Uploads(folder, parameters, (POLYNOMIALS - 1) * parameters.values_per_polynomial() + 5)


@pytest.fixture(params=SETS, ids=lambda item: item.name)
def uploads(request: pytest.FixtureRequest, tmp_path: Path) -> Uploads:
    return some_uploads(tmp_path, request.param)


@pytest.mark.parametrize("shards", [1, 2, 3, 50])
def test_shards_give_the_bytes_of_one_node(uploads: Uploads, shards: int) -> None:
    paths = uploads.several(4)
    assert sharded_sum(uploads.terms, KEY, paths, shards, here) == sum_of(uploads.terms, KEY, paths)


def test_shards_in_processes_give_the_bytes_of_one_node(uploads: Uploads) -> None:
    paths = uploads.several(3)
    with in_processes(2) as submit:
        assert sharded_sum(uploads.terms, KEY, paths, 2, submit) == sum_of(uploads.terms, KEY, paths)


def test_shards_in_processes_refuse_with_the_reason_of_one_node(uploads: Uploads) -> None:
    polynomials = uploads.polynomials()
    polynomials[-1] = b"\xff" * len(polynomials[-1])
    paths = [*uploads.several(2), uploads.written("silo-bad", polynomials)]
    with in_processes(2) as submit, pytest.raises(MalformedInput, match="is not below its prime"):
        sharded_sum(uploads.terms, KEY, paths, 2, submit)


def test_shards_on_ray_give_the_bytes_of_one_node_and_refuse_with_its_reason(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    with on_ray() as submit:
        for parameters in SETS:
            folder = tmp_path / parameters.name
            folder.mkdir()
            uploads = some_uploads(folder, parameters)
            paths = uploads.several(3)
            polynomials = uploads.polynomials()
            polynomials[0] = b"\xff" * len(polynomials[0])
            bad = uploads.written("silo-bad", polynomials)
            assert sharded_sum(uploads.terms, KEY, paths, 3, submit) == sum_of(uploads.terms, KEY, paths)
            with pytest.raises(MalformedInput, match="is not below its prime"):
                sharded_sum(uploads.terms, KEY, [*paths, bad], 3, submit)


def test_without_ray_the_refusal_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(sharding, "import_module", missing)
    with pytest.raises(ConfigurationError, match=r"bfl-fabric\[ray\]"), on_ray():
        pass


@given(
    count=st.integers(1, 3_000_000),
    shards=st.integers(1, 40),
    parameters=st.sampled_from([*SETS]),
)
@settings(max_examples=200)
def test_every_polynomial_is_in_exactly_one_shard_with_its_mask(
    count: int, shards: int, parameters: LatticeParameters
) -> None:
    masks, polynomials = mask_count(parameters, count), parameters.polynomial_count(count)
    parts = divided(parameters, count, shards)
    assert sorted(number for part in parts for number in part) == list(range(masks + polynomials))
    assert len(parts) <= shards
    for part in parts:
        groups = {(number - masks) // parameters.polynomials_per_mask for number in part if number >= masks}
        assert {number for number in part if number < masks} == (groups if masks else set())


def test_shards_of_a_large_model_are_of_even_size() -> None:
    sizes = [len(part) for part in divided(PACKED_SMALL, 10_000_000, 7)]
    assert max(sizes) - min(sizes) <= 1
    assert upload_bits(PACKED_SMALL, 10_000_000) > 0


@pytest.mark.parametrize("position", [0, 5, -1])
def test_a_residue_that_is_too_large_is_refused_in_whichever_shard(uploads: Uploads, position: int) -> None:
    polynomials = uploads.polynomials()
    polynomials[position] = b"\xff" * len(polynomials[position])
    paths = [*uploads.several(2), uploads.written("silo-bad", polynomials)]
    with pytest.raises(MalformedInput, match="is not below its prime"):
        sharded_sum(uploads.terms, KEY, paths, 3, here)


def test_a_mask_of_zeros_is_refused(tmp_path: Path) -> None:
    uploads = some_uploads(tmp_path, THRESHOLD_WIDE)
    polynomials = uploads.polynomials()
    polynomials[1] = bytes(len(polynomials[1]))
    with pytest.raises(MalformedInput, match="is all zero"):
        sharded_sum(uploads.terms, KEY, [uploads.written("silo-zero", polynomials)], 2, here)


def test_a_mask_that_is_a_copy_of_one_in_another_shard_is_refused(tmp_path: Path) -> None:
    uploads = some_uploads(tmp_path, THRESHOLD_WIDE)
    first, second = uploads.polynomials(), uploads.polynomials()
    assert mask_count(THRESHOLD_WIDE, uploads.parameter_count) == 2
    second[1] = first[0]
    paths = [uploads.written("silo-a", first), uploads.written("silo-b", second)]
    with pytest.raises(MalformedInput, match="silo-b repeats the mask"):
        sharded_sum(uploads.terms, KEY, paths, 2, here)


def test_a_participant_that_comes_twice_is_refused(uploads: Uploads) -> None:
    path = uploads.several(1)[0]
    with pytest.raises(MalformedInput, match="second of this participant"):
        sharded_sum(uploads.terms, KEY, [path, path], 2, here)


def test_an_upload_of_another_length_is_refused(uploads: Uploads, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Uploads(tmp_path / "other", uploads.parameters, uploads.parameter_count - 1)
    stranger = other.written("silo-other", other.polynomials())
    with pytest.raises(MalformedInput, match="parameters, the others"):
        sharded_sum(uploads.terms, KEY, [*uploads.several(1), stranger], 2, here)


@pytest.mark.parametrize("change", [-1, 1])
def test_an_upload_that_is_too_short_or_too_long_is_refused(uploads: Uploads, change: int) -> None:
    paths = uploads.several(2)
    data = paths[1].read_bytes()
    paths[1].write_bytes(data[:change] if change < 0 else data + b"\0")
    with pytest.raises(MalformedInput, match="its header implies"):
        sharded_sum(uploads.terms, KEY, paths, 2, here)


def test_a_sum_of_nothing_and_a_division_into_nothing_are_refused(uploads: Uploads) -> None:
    with pytest.raises(MalformedInput, match="a sum of no uploads"):
        sharded_sum(uploads.terms, KEY, [], 2, here)
    with pytest.raises(ConfigurationError, match="at least 1"):
        sharded_sum(uploads.terms, KEY, uploads.several(1), 0, here)
