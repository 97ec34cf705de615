"""One ledger directory, one process.

Decides who may open a ledger directory for writing: the process that holds the operating system's lock on its
lock file. The lock ends with the process, however it ends, so a stale file never blocks anybody.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from bfl_fabric.errors import LedgerUnavailable

LOCK_FILE = "lock"


class DirectoryLock:
    """Holds the directory until `release`."""

    def __init__(self, directory: Path) -> None:
        path = directory / LOCK_FILE
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise LedgerUnavailable(
                f"{directory}: the ledger is in use by process {holder}; stop it or use another directory"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Let another process open the directory."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
