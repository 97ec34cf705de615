"""Which processes of a network run, as files, so that other commands can find, end and hold them.

    run/NAME.json    process id and start time of a running process
    run/NAME.held    it is to stay down until this file is gone

Decides what is believed of a process id: only one whose start time is still the noted one is ours; a reused id is
never signalled. Starting and watching is the supervisor's.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class RunningProcess:
    """A process as noted; `started` is the kernel's clock tick of its start, 0 where that is not to be had."""

    name: str
    process_id: int
    started: int

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        try:
            os.kill(self.process_id, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return self.started == 0 or _start_tick(self.process_id) == self.started

    def signal(self, number: signal.Signals) -> None:
        """Signal the process when it is still this one."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process_id, number)

    def wait(self, seconds: float) -> bool:
        """Wait until the process is gone; say whether it is."""
        deadline = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True


class RunFiles:
    """The run directory of one network."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, name: str, process_id: int) -> None:
        """Note a process that was just started."""
        self.directory.mkdir(parents=True, exist_ok=True)
        aside = self.directory / f"{name}.new"
        aside.write_text(json.dumps({"pid": process_id, "started": _start_tick(process_id)}), "ascii")
        aside.replace(self._file(name))

    def remove(self, name: str) -> None:
        self._file(name).unlink(missing_ok=True)

    def find(self, name: str) -> RunningProcess | None:
        """Return the noted process when it still runs."""
        try:
            noted = json.loads(self._file(name).read_text("ascii"))
            process = RunningProcess(name, int(noted["pid"]), int(noted["started"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return process if process.alive else None

    def running(self) -> Iterator[RunningProcess]:
        """Yield every noted process that still runs."""
        for path in sorted(self.directory.glob("*.json")):
            process = self.find(path.stem)
            if process is not None:
                yield process

    def hold(self, name: str) -> None:
        """Say that a process is to stay down once it has ended."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._marker(name).touch()

    def release(self, name: str) -> None:
        self._marker(name).unlink(missing_ok=True)

    def is_held(self, name: str) -> bool:
        return self._marker(name).exists()

    def _file(self, name: str) -> Path:
        return self.directory / f"{name}.json"

    def _marker(self, name: str) -> Path:
        return self.directory / f"{name}.held"


def _start_tick(process_id: int) -> int:
    """Return when a process started, in the kernel's ticks; 0 where /proc does not tell."""
    try:
        text = Path(f"/proc/{process_id}/stat").read_text("ascii", "replace")
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])
