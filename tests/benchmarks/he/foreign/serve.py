"""The far side of the benchmark: a competitor in a process of its own, asked in JSON lines.

Decides how a step is timed there: inside the process, around the step alone, so that the pipe costs nobody anything.
Libraries print what they like; file descriptor 1 is moved away before, so that only answers reach the pipe. Runs on
Python 3.10 and later and needs numpy only; what a step does is left to the competitor.

One request a line, one answer a line:

    {"op": "prepare", "values": path.npy}     -> {"ms": ..., "note": text}     float32[clients, parameters]
    {"op": "client"}                          -> {"ms": ..., "bytes": ...}     one upload
    {"op": "server"}                          -> {"ms": ...}                   all uploads to their sum
    {"op": "open", "result": path.npy}        -> {"ms": ..., "exact": true, false or null}   float64[parameters]
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Float32Vector = NDArray[np.float32]
Float64Vector = NDArray[np.float64]


class Competitor(Protocol):
    """What a competitor's program offers. `note` says in a few words what its figures leave in or out."""

    note: str

    def prepare(self, values: list[Float32Vector]) -> None:
        """Make keys and one upload per client; none of it is counted."""

    def client(self) -> bytes | int:
        """Do one client's work from its float32 array on; return the upload, or how many bytes it sends."""

    def server(self) -> None:
        """Bring all uploads from bytes to their sum and keep it."""

    def open(self) -> Float64Vector:
        """Open the last sum; return it as float64[parameters]."""

    def is_exact(self) -> bool | None:
        """Say whether the last sum was, bit for bit, the sum of the quantized inputs; None where nothing is."""


def serve(competitor: Competitor) -> None:
    """Answer requests until standard input ends."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            answers.write(json.dumps(_answer(competitor, json.loads(line))) + "\n")
            answers.flush()


def _answer(competitor: Competitor, request: dict[str, str]) -> dict[str, Any]:
    operation = request["op"]
    if operation == "prepare":
        values = list(np.load(request["values"], allow_pickle=False))
        return {"ms": _timed(lambda: competitor.prepare(values))[0], "note": competitor.note}
    if operation == "client":
        took, upload = _timed(competitor.client)
        return {"ms": took, "bytes": upload if isinstance(upload, int) else len(upload)}
    if operation == "server":
        return {"ms": _timed(competitor.server)[0]}
    took, opened = _timed(competitor.open)
    np.save(request["result"], np.asarray(opened, dtype=np.float64), allow_pickle=False)
    return {"ms": took, "exact": competitor.is_exact()}


def _timed(step: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    result = step()
    return (time.perf_counter() - started) * 1000, result
