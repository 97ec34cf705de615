"""One real Raft network for all modules here, founded, and served in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bfl_fabric.errors import ProgramsMissing
from bfl_fabric.network.programs import find_programs
from bfl_fabric.network.topology import sample
from tests.fabric_operations.running import found, network


@pytest.fixture(scope="session")
def programs() -> None:
    """Skip where Fabric 3.1 is not at hand."""
    try:
        find_programs("3.1")
    except ProgramsMissing as missing:
        pytest.skip(str(missing).splitlines()[0])


@pytest.fixture(scope="session")
def place(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a running network of three organizations, in its original state as to who is a member."""
    with network(tmp_path_factory.mktemp("raft") / "network", sample().on("fabric", "raft")) as directory:
        found(directory)
        yield directory
