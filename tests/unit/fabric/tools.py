"""Fabric's own tools as oracles. They are not needed to run a network, so a machine may have some of them or none."""

from __future__ import annotations

import pytest

from bfl_fabric.errors import ProgramsMissing
from bfl_fabric.network.programs import Programs


def tool(programs: Programs, name: str) -> str:
    """Return the path of one of Fabric's programs; skips the test that asks for one that is not here."""
    try:
        return str(programs.path(name))
    except ProgramsMissing as missing:
        pytest.skip(str(missing))
