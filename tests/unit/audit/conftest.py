"""One honest run for all tests; each test lies about a copy of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.audit.chain_run import ChainRun
from tests.unit.audit.honest_run import HonestRun
from tests.unit.audit.shared_run import PackedRun, SharedRun


@pytest.fixture(scope="session")
def told_truth(tmp_path_factory: pytest.TempPathFactory) -> HonestRun:
    return HonestRun(tmp_path_factory.mktemp("honest")).whole()


@pytest.fixture
def run(told_truth: HonestRun) -> HonestRun:
    """A run whose records may be rewritten; its blobs are everybody's."""
    return told_truth.copy()


@pytest.fixture(scope="session")
def shared_truth(tmp_path_factory: pytest.TempPathFactory) -> SharedRun:
    return SharedRun(tmp_path_factory.mktemp("shared")).whole()


@pytest.fixture
def shared(shared_truth: SharedRun) -> HonestRun:
    """A run under a joint key whose records may be rewritten."""
    return shared_truth.copy()


@pytest.fixture(scope="session")
def packed_truth(tmp_path_factory: pytest.TempPathFactory) -> HonestRun:
    return PackedRun(tmp_path_factory.mktemp("packed")).whole()


@pytest.fixture
def packed(packed_truth: HonestRun) -> HonestRun:
    """A run under a packed key whose records may be rewritten."""
    return packed_truth.copy()


@pytest.fixture
def own_shared(tmp_path: Path) -> SharedRun:
    """A run under a joint key whose blobs may be changed too."""
    return SharedRun(tmp_path).whole()


@pytest.fixture
def own_run(tmp_path: Path) -> HonestRun:
    """A run whose blobs may be changed too."""
    return HonestRun(tmp_path).whole()


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChainRun]:
    """The honest run on a real chain. Its files are everybody's."""
    run = ChainRun(tmp_path_factory.mktemp("chain"))
    run.whole()
    yield run
    run.embedded.close()
