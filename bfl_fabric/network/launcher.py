"""Starting a foreign program so that it cannot outlive us.

Decides the command line that binds a program to its parent: where the kernel offers it (Linux), a few lines of
Python ask for SIGKILL on the parent's death and then become the program, keeping the process id. Elsewhere the
program runs as it is and `bfl network down` ends it by its id.
"""

from __future__ import annotations

import sys

_BIND = (
    "import ctypes, os, sys\n"
    "parent = int(sys.argv[1])\n"
    "ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)\n"
    "if os.getppid() != parent: os._exit(75)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


def bound_to_parent(program: str) -> list[str]:
    """Return the beginning of a command line that runs `program` as a child that ends with this process."""
    if not sys.platform.startswith("linux"):
        return [program]
    import os

    return [sys.executable, "-I", "-S", "-c", _BIND, str(os.getpid()), program]
