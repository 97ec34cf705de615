"""Sums are exact, and their bytes depend on what is in them and on nothing else."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bfl_fabric.errors import MalformedInput
from bfl_fabric.he.lattice.bodies import begin_sum
from bfl_fabric.he.lattice.messages import Kind, open_message
from bfl_fabric.he.lattice.parameters import PACKED_SMALL, PACKED_WIDE, LatticeParameters
from bfl_fabric.he.packed.backend import BackEndName
from tests.unit.he.packed.samples import BITS_AND_WEIGHT, SETS, Group, levels, some_values

BACK_ENDS = list(BackEndName)
Crowd: TypeAlias = tuple[Group, list[Path], list[NDArray[np.int64]]]
MEMBERS = 6
COUNT = PACKED_SMALL.values_per_polynomial() + 100


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    """Six uploads of two polynomials each, every other one by SEAL."""
    group = Group(tmp_path_factory.mktemp("crowd"))
    values = [some_values(COUNT, seed=seed) for seed in range(MEMBERS)]
    uploads = [
        group.upload(part, f"silo-{index}", back_end=BACK_ENDS[index % 2])
        for index, part in enumerate(values)
    ]
    return group, uploads, values


@pytest.mark.parametrize("extra", [-1, 0, 1, 9])
@pytest.mark.parametrize("parameters", SETS, ids=lambda item: item.name)
def test_a_weighted_sum_is_exact_for_every_set_and_length(
    parameters: LatticeParameters, extra: int, group_of: Callable[[LatticeParameters], Group]
) -> None:
    group, count = group_of(parameters), parameters.values_per_polynomial() + extra
    weights = (1, BITS_AND_WEIGHT[parameters.name][1] - 2, 1)
    values = [
        some_values(count, weight, seed=seed, parameters=parameters) for seed, weight in enumerate(weights)
    ]
    uploads = [
        group.upload(part, f"silo-{index}", weight, back_end=BACK_ENDS[index % 2])
        for index, (part, weight) in enumerate(zip(values, weights, strict=True))
    ]
    for back_end in BACK_ENDS:
        assert (group.opener(back_end).open_sum(group.sum(uploads), 3) == sum(values)).all()


@pytest.mark.parametrize("parameters", SETS, ids=lambda item: item.name)
def test_the_largest_sum_that_the_terms_allow_is_exact(
    parameters: LatticeParameters, group_of: Callable[[LatticeParameters], Group], back_end: BackEndName
) -> None:
    group, weight = group_of(parameters), BITS_AND_WEIGHT[parameters.name][1]
    top = np.full(parameters.values_per_polynomial(), levels(parameters), dtype=np.int64)
    top[::2] *= -1
    halves = (weight // 2, weight - weight // 2)
    uploads = [
        group.upload(top * half, f"silo-{index}", half, back_end=back_end)
        for index, half in enumerate(halves)
    ]
    assert (group.opener(back_end).open_sum(group.sum(uploads), 2) == top * weight).all()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(MEMBERS)), cuts=st.sets(st.integers(1, MEMBERS - 1)))
def test_any_order_and_any_grouping_give_the_same_bytes(
    crowd: Crowd,
    order: list[int],
    cuts: set[int],
) -> None:
    group, uploads, _ = crowd
    flat = group.scheme.aggregate(uploads)
    shuffled = [uploads[index] for index in order]
    borders = [0, *sorted(cuts), MEMBERS]
    parts = [group.sum(shuffled[start:end]) for start, end in pairwise(borders)]
    assert group.scheme.aggregate(shuffled) == flat
    assert group.scheme.add_sums(parts) == flat
    assert group.scheme.add_sums([group.file(group.scheme.add_sums(parts[:1])), *parts[1:]]) == flat


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.sets(st.integers(0, MEMBERS - 1), min_size=2), back_end=st.sampled_from(BACK_ENDS))
def test_the_sum_of_any_members_opens_to_the_sum_of_their_values(
    crowd: Crowd,
    chosen: set[int],
    back_end: BackEndName,
) -> None:
    group, uploads, values = crowd
    total = group.sum([uploads[index] for index in chosen])
    opened = group.opener(back_end).open_sum(total, len(chosen))
    assert (opened == sum(values[index] for index in chosen)).all()


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("parameters", SETS, ids=lambda item: item.name)
def test_any_members_weights_and_lengths_sum_exactly_in_any_grouping(
    parameters: LatticeParameters, group_of: Callable[[LatticeParameters], Group], data: st.DataObject
) -> None:
    group, per = group_of(parameters), parameters.values_per_polynomial()
    allowed = BITS_AND_WEIGHT[parameters.name][1]
    weights = data.draw(st.lists(st.integers(1, allowed // 4), min_size=2, max_size=4))
    count = data.draw(st.integers(1, 200) | st.integers(per - 40, per + 40))
    values = [
        some_values(count, weight, seed=seed, parameters=parameters) for seed, weight in enumerate(weights)
    ]
    uploads = [
        group.upload(part, f"silo-{index}", weight, back_end=data.draw(st.sampled_from(BACK_ENDS)))
        for index, (part, weight) in enumerate(zip(values, weights, strict=True))
    ]
    cut = data.draw(st.integers(1, len(uploads) - 1))
    order = data.draw(st.permutations(uploads))
    total = group.file(group.scheme.add_sums([group.sum(order[cut:]), group.sum(order[:cut])]))
    assert total.read_bytes() == group.scheme.aggregate(uploads)
    opener = group.opener(data.draw(st.sampled_from(BACK_ENDS)))
    assert (opener.open_sum(total, len(uploads)) == sum(values)).all()


def test_a_sum_names_its_members_in_the_order_of_their_ids(
    crowd: Crowd,
) -> None:
    group, uploads, _ = crowd
    with open_message(group.sum(uploads[::-1]), PACKED_SMALL, Kind.SUM) as reader:
        members = [member for member, _ in begin_sum(reader, PACKED_SMALL)]
    assert [member.participant_id for member in members] == [f"silo-{index}" for index in range(MEMBERS)]
    digests = [group.scheme.inspect(upload).digest for upload in uploads]
    assert [member.digest.hex() for member in members] == digests


def test_an_upload_says_of_itself_what_it_was_made_for(group: Group, back_end: BackEndName) -> None:
    upload = group.upload(some_values(10, 3), "silo-b", 3, round_number=7, back_end=back_end)
    header = group.scheme.inspect(upload)
    assert (header.name.round, header.name.participant_id, header.weight) == (7, "silo-b", 3)
    assert (header.epoch, header.parameter_count) == (1, 10)
    assert header.size_bytes == group.member(back_end).size_bytes(10)


def test_an_aggregate_says_of_itself_what_is_in_it(group: Group) -> None:
    uploads = [group.upload(some_values(10, 2), "silo-a", 2), group.upload(some_values(10, 3), "silo-b", 3)]
    header = group.scheme.inspect_aggregate(group.sum(uploads))
    assert (header.members, header.total_weight, header.parameter_count) == (2, 5, 10)


def test_sums_that_share_a_member_are_not_added(
    crowd: Crowd,
) -> None:
    group, uploads, _ = crowd
    parts = [group.sum(uploads[:3]), group.sum(uploads[2:])]
    with pytest.raises(MalformedInput, match="second of this participant"):
        group.scheme.add_sums(parts)


def test_a_sum_of_nothing_is_refused(group: Group) -> None:
    with pytest.raises(MalformedInput, match="a sum of no uploads"):
        group.scheme.aggregate([])
    with pytest.raises(MalformedInput, match="a sum of no uploads"):
        group.scheme.add_sums([])


def test_wide_weights_are_sample_counts(group_of: Callable[[LatticeParameters], Group]) -> None:
    group = group_of(PACKED_WIDE)
    weights = {"silo-a": 20_011, "silo-b": 7_919, "silo-c": 4_801}
    values = {
        who: some_values(50, weight, seed=weight, parameters=PACKED_WIDE) for who, weight in weights.items()
    }
    uploads = [group.upload(values[who], who, weight) for who, weight in weights.items()]
    assert (group.opener().open_sum(group.sum(uploads), 3) == sum(values.values())).all()
