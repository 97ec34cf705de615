"""A fresh ledger for each test that wants one, copied from a template to save time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.embedded.workbench import Bench, create, reopen


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("template") / "ledger"
    create(directory).ledger.close()
    return directory


@pytest.fixture
def directory(template: Path, tmp_path: Path) -> Path:
    """The directory of a ledger with two blocks that nobody has open."""
    return Path(shutil.copytree(template, tmp_path / "ledger"))


@pytest.fixture
def bench(directory: Path) -> Iterator[Bench]:
    opened = reopen(directory)
    yield opened
    opened.ledger.close()
