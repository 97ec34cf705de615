"""What a supervisor may start, and how its children look alike: a handle for each, however it came to be.

Decides the command line, the environment and the descriptors of a process that is started from nothing. Forking one
from a process that has imported what it needs is left to `nurseries`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from bfl_fabric.network.launcher import bound_to_parent

OWN_MODULE = "bfl_fabric"
# Fabric's programs take any of their settings from such variables; what a test sets is for the test alone.
_INHERITED_BY_NOBODY = ("BFL_TEST_", "CORE_", "ORDERER_", "CHAINCODE_")


@dataclass(frozen=True, slots=True)
class Preload:
    """Modules that several processes need, by name, and what is loaded before them.

    They may be loaded once and shared by forking. So importing them must start no thread, open nothing, read no
    secret and draw no randomness that is kept.
    """

    modules: tuple[str, ...]
    after: Preload | None = None


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process: a unique name, the arguments of `bfl`, and where its output goes.

    With a `program` the arguments are that program's; it runs in `directory` with `environment` laid over ours.
    A process of our own with a `preload` may be forked from one that has loaded it.
    """

    name: str
    arguments: tuple[str, ...]
    log: Path
    program: Path | None = None
    directory: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    preload: Preload | None = None


class Child(Protocol):
    """The part of `subprocess.Popen` that a supervisor uses, with its meaning there."""

    @property
    def pid(self) -> int | None:
        """The process id; None when it turned out that no process could be started."""

    @property
    def stdin(self) -> IO[bytes] | None:
        """The write end of its standard input, which no other process holds."""

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. Raises subprocess.TimeoutExpired when it still runs after so many seconds."""

    def send_signal(self, sig: int) -> None:
        """Signal it unless it has ended; a reused process id is never hit."""

    def kill(self) -> None:
        """Send SIGKILL."""


def inherited_environment() -> dict[str, str]:
    """Return what a child gets of our environment."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(_INHERITED_BY_NOBODY)
    }
    # One thread per process: the cores are shared by many, and training must not depend on how many there are.
    return environment | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def start(spec: ProcessSpec) -> subprocess.Popen[bytes]:
    """Start a process from nothing."""
    own = spec.program is None
    command = [sys.executable, "-m", OWN_MODULE] if own else bound_to_parent(str(spec.program))
    with open_log(spec) as log:
        return subprocess.Popen(  # noqa: S603 (our own interpreter or Fabric's programs, arguments of our own making)
            [*command, *spec.arguments],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=spec.directory,
            env=inherited_environment() | dict(spec.environment),
            start_new_session=True,
        )


def open_log(spec: ProcessSpec) -> IO[bytes]:
    """Open the log of a process for appending; makes its directory."""
    spec.log.parent.mkdir(parents=True, exist_ok=True)
    return spec.log.open("ab")
