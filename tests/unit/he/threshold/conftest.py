"""Federations for the whole folder: a ceremony takes a second or two."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bfl_fabric.he.lattice.parameters import PARAMETER_SETS
from tests.unit.he.threshold.federation import SMALL, Federation


@pytest.fixture(scope="session")
def three_of_five(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    return Federation(tmp_path_factory.mktemp("three-of-five"), tuple("ABCDE"), 3).hold_ceremony()


@pytest.fixture(scope="module")
def small_set() -> Iterator[None]:
    """Lets secret files and terms name the set `SMALL`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PARAMETER_SETS, SMALL.digest, SMALL)
        yield
