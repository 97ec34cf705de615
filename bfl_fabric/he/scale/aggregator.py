"""The process that is measured: an aggregator that is given uploads, or sums, one file at a time.

It does with them what a node does: the gate when an upload arrives, the gate and the addition when it is summed. A
file is gone when its answer is written, so there are never more of them than are under way.

    input:  a line of settings, then a line {"upload": path} or {"sum": path} for each file
    output: a line for each file, and at the end of the input a line of figures
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from bfl_fabric.he.lattice.bodies import KeyName
from bfl_fabric.he.lattice.parameters import parameters_named
from bfl_fabric.he.lattice.sums import RunningSum, inspected_sum, inspected_upload
from bfl_fabric.he.lattice.terms import LatticeTerms


def main(lines: Iterable[str], output: TextIO) -> None:
    """Serve one sum. A refusal ends the process with its traceback: no input of this process is hostile."""
    source, begun = iter(lines), time.process_time()
    settings = json.loads(next(source))
    if settings["processors"]:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: settings["processors"]])
    terms = LatticeTerms(
        parameters_named(settings["parameters_digest"]), settings["levels"], settings["max_total_weight"]
    )
    key = KeyName(settings["epoch"], settings["key_digest"])
    running, received, seconds = RunningSum(terms, key), 0, 0.0
    for line in source:
        request = json.loads(line)
        path = Path(request.get("upload") or request["sum"])
        received += path.stat().st_size
        started = time.perf_counter()
        if "upload" in request:
            inspected_upload(terms, key, path)
            running.add(path)
        else:
            inspected_sum(terms, key, path)
            running.add_sum(path)
        seconds += time.perf_counter() - started
        path.unlink()
        _say(output, {"added": path.name})
    started = time.perf_counter()
    with Path(settings["output"]).open("wb") as target:
        target.writelines(running.parts())
    seconds += time.perf_counter() - started
    _say(
        output,
        {
            "received_bytes": received,
            "seconds": seconds,
            "processor_seconds": time.process_time() - begun,
            "peak_memory_bytes": peak_memory_bytes(),
        },
    )


def peak_memory_bytes() -> int:
    """Return the largest resident memory of this process since its program began.

    Linux counts for `getrusage` also what the parent had when it forked, so its own figure is preferred.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    unit = 1 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _say(output: TextIO, answer: dict[str, Any]) -> None:
    output.write(json.dumps(answer) + "\n")
    output.flush()


if __name__ == "__main__":
    main(sys.stdin, sys.stdout)
