"""One group for each parameter set: making one takes a moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bfl_fabric.he.lattice.parameters import LatticeParameters
from bfl_fabric.he.packed.backend import BackEndName
from tests.unit.he.packed.samples import Group


@pytest.fixture(scope="session")
def group_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[LatticeParameters], Group]:
    made: dict[str, Group] = {}

    def of(parameters: LatticeParameters) -> Group:
        if parameters.name not in made:
            made[parameters.name] = Group(tmp_path_factory.mktemp(parameters.name), parameters)
        return made[parameters.name]

    return of


@pytest.fixture
def group(tmp_path: Path) -> Group:
    """The key of a small ring, made by the back end in numpy."""
    return Group(tmp_path)


@pytest.fixture(params=list(BackEndName))
def back_end(request: pytest.FixtureRequest) -> BackEndName:
    chosen: BackEndName = request.param
    return chosen
