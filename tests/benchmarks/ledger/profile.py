"""Where the processor time of a transaction goes: every process of the network.

Reads /proc, so it tells nothing on systems without it. The processes are this one and its children.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds() -> Counter[str]:
    """Return the processor time used so far by kind of process, in seconds."""
    spent: Counter[str] = Counter()
    for process_id, parent, seconds in _processes():
        if process_id == os.getpid():
            spent["client"] += seconds
        elif parent == os.getpid():
            spent[_kind(process_id)] += seconds
    return spent


def _processes() -> Iterator[tuple[int, int, float]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text("ascii", "replace").rpartition(")")[2].split()
        except OSError:
            continue
        yield int(path.parent.name), int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS


def _kind(process_id: int) -> str:
    """Return what a child is: the peer that the callers talk to, another one, an orderer, a contract."""
    place = Path("/proc") / str(process_id)
    try:
        home, command = (place / "cwd").readlink().name, (place / "cmdline").read_bytes().decode()
    except OSError:
        return "ended"
    if home.startswith("peer-"):
        return "gateway peer" if home == "peer-st-anna" else "other peers"
    if home.startswith("orderer-"):
        return "orderers"
    return "contract services" if "python_contract" in command else "idle contracts"
