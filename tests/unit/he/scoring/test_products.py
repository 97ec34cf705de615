"""Products of encrypted vectors: on the grid, whatever the noise; the bound refuses what would not fit."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from bfl_fabric.errors import ConfigurationError, MalformedInput
from bfl_fabric.he.scoring.products import (
    ProductBound,
    ProductOpener,
    ProductScheme,
    generate,
    gram_matrix,
    squared_distance,
)
from tests.unit.he.scoring.samples import some_values

COUNT, LARGEST = 10_000, 2**12 - 1
BOUND = ProductBound(COUNT, LARGEST)


@pytest.fixture(scope="module")
def made() -> tuple[ProductScheme, ProductOpener]:
    return generate()


def test_norms_products_and_distances_are_exact_to_half_a_grid_step(
    made: tuple[ProductScheme, ProductOpener],
) -> None:
    scheme, opener = made
    vectors = [some_values(COUNT, LARGEST, number) for number in range(3)]
    vectors += [-vectors[0], np.full(COUNT, LARGEST), np.zeros(COUNT, dtype=np.int64)]
    found = gram_matrix(scheme, opener, BOUND, [scheme.encrypt(BOUND, vector) for vector in vectors])
    for row, left in enumerate(vectors):
        for column, right in enumerate(vectors):
            assert found[row][column] % BOUND.grid == 0
            # half a step for rounding, and the noise, which is far below a thousandth of a step
            assert abs(found[row][column] - int(left @ right)) <= BOUND.grid * 0.501
    assert found[0][3] == -found[0][0]
    distance = int((vectors[0] - vectors[1]) @ (vectors[0] - vectors[1]))
    assert abs(squared_distance(found, 0, 1) - distance) <= 2.01 * BOUND.grid


def test_the_grid_is_a_small_part_of_a_product_and_noise_does_not_show(
    made: tuple[ProductScheme, ProductOpener],
) -> None:
    scheme, opener = made
    vector = some_values(COUNT, LARGEST)
    exact = int(vector @ vector)
    assert BOUND.grid < exact / 2**10
    # a vector whose product is in the middle of a grid cell: fresh noise never crosses its edge
    found = set()
    for _ in range(5):
        encrypted = scheme.turned(scheme.encrypt(BOUND, vector))
        found.add(opener.open(BOUND, scheme.product(encrypted, encrypted)))
    nearest = (2 * exact + BOUND.grid) // (2 * BOUND.grid) * BOUND.grid
    assert found == {nearest}


def test_the_noise_is_below_what_the_grid_is_made_for(made: tuple[ProductScheme, ProductOpener]) -> None:
    """Opened on a grid of 1 in place of its own, the products of fresh encryptions scatter less than promised."""
    scheme, opener = made

    class Fine(ProductBound):
        grid = 1  # type: ignore[assignment]

    largest = 2**15 - 1
    bound, fine = ProductBound(COUNT, largest), Fine(COUNT, largest)
    for vector in (np.full(COUNT, largest), largest * np.sign(some_values(COUNT, largest))):
        encrypted = scheme.turned(scheme.encrypt(bound, vector))
        error = opener.open(fine, scheme.product(encrypted, encrypted)) - int(vector @ vector)
        # a bias of one key is one Gaussian number: four of its standard deviations
        assert abs(error) < 4 * bound.grid / 2**16


def test_what_is_beyond_the_bound_is_refused(made: tuple[ProductScheme, ProductOpener]) -> None:
    scheme, _ = made
    for values in (
        np.full(COUNT, LARGEST + 1),
        np.full(COUNT, -LARGEST - 1),
        np.zeros(COUNT - 1, dtype=np.int64),
        np.zeros(COUNT, dtype=np.int32),
    ):
        with pytest.raises(MalformedInput):
            scheme.encrypt(BOUND, values)
    for count, largest in ((1 << 72, 1 << 20), (10, 1 << 60), (0, 1), (1, 0)):
        with pytest.raises(ConfigurationError):
            ProductBound(count, largest)


def test_an_opener_never_prints_its_secret(made: tuple[ProductScheme, ProductOpener]) -> None:
    assert "Decryptor" not in repr(made[1])


def test_only_products_load_tenseal() -> None:
    code = (
        "import sys; import bfl_fabric.he.scoring.shares, bfl_fabric.he.scoring.messages, "
        "bfl_fabric.he.scoring.sketches; sys.exit('tenseal' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
