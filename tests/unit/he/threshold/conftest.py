"""Federations for the whole folder: a ceremony takes a second or two."""

from __future__ import annotations

import pytest

from tests.unit.he.threshold.federation import Federation


@pytest.fixture(scope="session")
def three_of_five(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    return Federation(tmp_path_factory.mktemp("three-of-five"), tuple("ABCDE"), 3).hold_ceremony()
