"""Data sets, schemas, splits and the files of the silos."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bfl_fabric.errors import ConfigurationError, MalformedInput, StorageFull
from bfl_fabric.training.datasets import load_data
from bfl_fabric.training.profiles import PROFILES, profile
from bfl_fabric.training.samples import load_samples, samples_of
from bfl_fabric.training.schemas import SCHEMAS, schema
from bfl_fabric.training.splits import dirichlet_split, format_summaries, hold_out, summaries
from bfl_fabric.training.tables import Table, load_table, save_table

NAMES = ("breast-cancer", "digits")


def numbered(labels: list[int]) -> Table:
    """A table whose only feature is the row's number, so that every row can be found again."""
    return Table(
        "", np.arange(len(labels), dtype=np.float64).reshape(-1, 1), np.array(labels, dtype=np.int64)
    )


@pytest.mark.parametrize(("name", "samples", "features"), [("breast-cancer", 569, 30), ("digits", 1797, 64)])
def test_the_data_sets_have_their_published_size(name: str, samples: int, features: int) -> None:
    table = load_data(name)
    assert table.features.shape == (samples, features)
    assert set(table.labels.tolist()) == set(range(len(schema(name).classes)))


@pytest.mark.parametrize("name", NAMES)
def test_the_data_lie_in_the_published_ranges(name: str) -> None:
    """The ranges are printed with three digits, so the last digit may be rounded."""
    features = load_data(name).features
    for column, feature in enumerate(schema(name).features):
        low, high = float(feature.low), float(feature.high)
        slack = 0.05 * (high - low)
        assert low - slack <= features[:, column].min() <= features[:, column].max() <= high + slack


@pytest.mark.parametrize("name", NAMES)
def test_the_public_transform_gives_inputs_of_ordinary_size(name: str) -> None:
    inputs = samples_of(load_data(name)).inputs
    assert abs(float(inputs.mean())) < 1
    assert 0.3 < float(inputs.std()) < 3


def test_a_schema_names_its_transform_in_its_document() -> None:
    document = json.loads(schema("breast-cancer").document)
    assert document["features"][0] == ["radius (mean)", "6.981", "28.11"]
    assert set(document) == {"name", "features", "classes", "transform"}
    assert len({known.document for known in SCHEMAS.values()}) == len(SCHEMAS)


def test_a_table_of_another_width_or_class_is_refused() -> None:
    with pytest.raises(MalformedInput, match="30 features"):
        samples_of(Table("breast-cancer", np.zeros((2, 29)), np.zeros(2, dtype=np.int64)))
    with pytest.raises(MalformedInput, match="2 classes, found the label 2"):
        samples_of(Table("breast-cancer", np.zeros((2, 30)), np.array([0, 2])))


def test_an_unknown_data_set_is_refused_with_the_known_ones() -> None:
    for ask in (load_data, schema, profile):
        with pytest.raises(ConfigurationError, match="unknown data 'iris'; known are breast-cancer, digits"):
            ask("iris")


@given(st.lists(st.integers(0, 3), min_size=5, max_size=80), st.integers(1, 60), st.integers(0, 10))
def test_holding_out_takes_the_percentage_of_every_class_but_never_all_of_it(
    labels: list[int], percent: int, seed: int
) -> None:
    counts = np.bincount(labels)
    rest, held = hold_out(numbered(labels), percent, seed)
    assert sorted([*rest.features[:, 0], *held.features[:, 0]]) == list(range(len(labels)))
    for label in np.flatnonzero(counts):
        assert (held.labels == label).sum() == min(-(-counts[label] * percent // 100), counts[label] - 1)


@given(
    st.lists(st.integers(0, 3), min_size=20, max_size=80),
    st.integers(1, 6),
    st.sampled_from([0.01, 0.5, 100.0]),
    st.integers(1, 3),
    st.integers(0, 10),
)
def test_a_split_gives_every_row_to_one_silo_and_enough_to_each(
    labels: list[int], silos: int, alpha: float, minimum: int, seed: int
) -> None:
    shares = dirichlet_split(numbered(labels), silos, alpha, minimum, seed)
    assert len(shares) == silos
    assert min(share.samples for share in shares) >= minimum
    rows = [int(row) for share in shares for row in share.features[:, 0]]
    assert sorted(rows) == list(range(len(labels)))
    assert all(
        labels[int(row)] == label
        for share in shares
        for row, label in zip(share.features[:, 0], share.labels, strict=True)
    )


def test_a_split_is_a_function_of_the_seed() -> None:
    table = load_data("breast-cancer")
    first, second, other = (dirichlet_split(table, 6, 0.5, 16, seed) for seed in (1, 1, 2))
    assert all((a.features == b.features).all() for a, b in zip(first, second, strict=True))
    assert [share.samples for share in first] != [share.samples for share in other]


def test_a_small_alpha_gives_less_alike_shares_than_a_large_one() -> None:
    table = load_data("digits")

    def spread(alpha: float) -> float:
        rows = summaries([str(n) for n in range(8)], dirichlet_split(table, 8, alpha, 1, 1), 10)
        return float(np.mean([np.std(np.array(row.per_class) / row.samples) for row in rows]))

    assert spread(0.1) > 1.5 * spread(1) > 2 * spread(100)


@pytest.mark.parametrize(
    ("silos", "alpha", "minimum"),
    [(0, 0.5, 1), (2, 0, 1), (2, -1, 1), (2, 0.5, 0), (2, float("nan"), 1), (4, 0.5, 6)],
)
def test_a_split_that_cannot_be_is_refused(silos: int, alpha: float, minimum: int) -> None:
    with pytest.raises(ConfigurationError):
        dirichlet_split(numbered([0, 1] * 10), silos, alpha, minimum, 1)


@pytest.mark.parametrize("percent", [0, 91, -5])
def test_a_held_out_set_of_nothing_or_nearly_all_is_refused(percent: int) -> None:
    with pytest.raises(ConfigurationError):
        hold_out(numbered([0, 1] * 10), percent, 1)


@pytest.mark.parametrize("silos", [2, 12, 20])
@pytest.mark.parametrize("name", NAMES)
def test_the_profiles_can_be_divided_among_more_and_fewer_silos(name: str, silos: int) -> None:
    shares, held_out = PROFILES[name].divide(load_data(name), silos)
    assert sum(share.samples for share in shares) + held_out.samples == load_data(name).samples
    assert min(share.samples for share in shares) >= PROFILES[name].minimum_samples


def test_the_table_of_a_split_counts_classes_by_silo() -> None:
    rows = summaries(["north", "south"], [numbered([0, 0, 2]), numbered([1])], 3)
    assert format_summaries(rows, ("a", "b", "c")).splitlines() == [
        "silo   a  b  c  samples",
        "north  2  0  1        3",
        "south  0  1  0        1",
        "all    2  1  1        4",
    ]


def test_a_table_comes_back_from_its_file_and_equal_tables_are_equal_files(tmp_path: Path) -> None:
    table = load_data("breast-cancer").rows(np.arange(40))
    save_table(tmp_path / "one", table)
    save_table(tmp_path / "two", table)
    found = load_table(tmp_path / "one")
    assert (found.schema, found.samples) == ("breast-cancer", 40)
    assert (found.features == table.features).all()
    assert (found.labels == table.labels).all()
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_samples_of_a_file_are_scaled_by_the_files_schema(tmp_path: Path) -> None:
    table = load_data("digits").rows(np.arange(10))
    save_table(tmp_path / "share", table)
    assert (load_samples(tmp_path / "share").inputs == samples_of(table).inputs).all()


def test_samples_of_an_unknown_schema_are_refused(tmp_path: Path) -> None:
    save_table(tmp_path / "share", numbered([0, 1]))
    with pytest.raises(ConfigurationError, match="unknown data"):
        load_samples(tmp_path / "share")


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, dtype=np.int64), "n labels"),
        (np.zeros((3, 0)), np.zeros(3, dtype=np.int64), "n labels"),
        (np.zeros(3), np.zeros(3, dtype=np.int64), "n labels"),
        (np.zeros((3, 1)), np.zeros(2, dtype=np.int64), "n labels"),
        (np.zeros((1, 1), dtype=np.float32), np.zeros(1, dtype=np.int64), "float64 and int64"),
        (np.array([[0.0], [np.nan]]), np.zeros(2, dtype=np.int64), "sample 1 has a feature"),
        (np.array([[0.0], [np.inf]]), np.zeros(2, dtype=np.int64), "sample 1 has a feature"),
        (np.zeros((1, 1)), np.array([-1]), "negative"),
    ],
)
def test_a_table_without_sense_is_refused(features: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(MalformedInput, match=message):
        Table("digits", features, labels)


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_table(tmp_path / "absent")


def test_a_table_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageFull, match="taken"):
        save_table(tmp_path / "taken", numbered([0, 1]))
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_what_divides_data_loads_neither_torch_nor_scikit_learn() -> None:
    script = (
        "import sys, bfl_fabric.training.profiles, bfl_fabric.training.splits, bfl_fabric.training.export; "
        "print(sorted({'torch', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
