"""Simulated rounds: makes upload after upload, has processes add them, and reports what it took.

Uploads are files in `place` that exist while they are added. Decides how a hierarchy of aggregators is cut: √n
aggregators of √n participants each under one that adds their sums.
"""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

from bfl_fabric.errors import ConfigurationError, WorkerFailed
from bfl_fabric.he.lattice.bodies import KeyName
from bfl_fabric.he.lattice.terms import LatticeTerms

Source: TypeAlias = Callable[[int, Path], None]
"""Makes the file of an upload, given the participant's number and where the file is to be."""

_AHEAD = 2
"""Files that exist at a time: one is added while the next is written."""

_ENDED = "the aggregator process ended early; its traceback is on the error stream"


@dataclass(frozen=True, slots=True)
class Case:
    """One simulated round. `processors` is how many the aggregators may use, 0 for all; `levels` is 1 or 2."""

    participants: int
    parameters: int
    levels: int = 1
    processors: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """What a round took. `seconds` is the aggregators' own time: gate, addition, writing the sum; not the waiting.

    `peak_memory_bytes` is that of the largest aggregator process, `received_bytes` of the participants' uploads.
    """

    case: Case
    received_bytes: int
    seconds: float
    processor_seconds: float
    peak_memory_bytes: int
    sum_bytes: int
    sum_digest: str


def simulate(case: Case, terms: LatticeTerms, key: KeyName, source: Source, place: Path) -> Figures:
    """Run a round and leave its sum in `place`/sum.

    Raises:
        ConfigurationError: neither one nor two levels.
        WorkerFailed: an aggregator process ended early.
    """
    if case.levels not in (1, 2):
        raise ConfigurationError(f"{case.levels} levels of aggregators; there can be 1 or 2")
    numbers, target = range(case.participants), place / "sum"
    aggregator = _Settings(terms, key, case.processors)
    if case.levels == 1:
        counts = [_added(aggregator, target, "upload", _files(source, numbers, place))]
    else:
        counts, fan = [], math.isqrt(case.participants - 1) + 1

        def sums() -> Iterator[Path]:
            for first in range(0, case.participants, fan):
                below = place / f"sum-{first}"
                part = numbers[first : first + fan]
                counts.append(_added(aggregator, below, "upload", _files(source, part, place)))
                yield below

        top = _added(aggregator, target, "sum", sums())
        counts.append({**top, "received_bytes": 0})
    return Figures(
        case,
        sum(item["received_bytes"] for item in counts),
        sum(item["seconds"] for item in counts),
        sum(item["processor_seconds"] for item in counts),
        max(item["peak_memory_bytes"] for item in counts),
        target.stat().st_size,
        _digest(target),
    )


@dataclass(frozen=True, slots=True)
class _Settings:
    terms: LatticeTerms
    key: KeyName
    processors: int

    def line(self, output: Path) -> str:
        return json.dumps(
            {
                "parameters_digest": self.terms.parameters.digest,
                "levels": self.terms.levels,
                "max_total_weight": self.terms.max_total_weight,
                "epoch": self.key.epoch,
                "key_digest": self.key.digest,
                "processors": self.processors,
                "output": str(output),
            }
        )


def _added(settings: _Settings, output: Path, kind: str, files: Iterable[Path]) -> dict[str, Any]:
    """Have a fresh process add files, which it deletes, and return its figures."""
    with _process() as (requests, answers):
        print(settings.line(output), file=requests, flush=True)
        waiting = 0
        for path in files:
            print(json.dumps({kind: str(path)}), file=requests, flush=True)
            waiting += 1
            if waiting == _AHEAD:
                _answer(answers)
                waiting -= 1
        for _ in range(waiting):
            _answer(answers)
        requests.close()
        return _answer(answers)


def _files(source: Source, numbers: Iterable[int], place: Path) -> Iterator[Path]:
    for number in numbers:
        path = place / f"upload-{number}"
        source(number, path)
        yield path


@contextmanager
def _process() -> Iterator[tuple[IO[str], IO[str]]]:
    command = [sys.executable, "-m", "bfl_fabric.he.scale.aggregator"]
    process = subprocess.Popen(  # noqa: S603 (our own interpreter, our own code)
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield cast(IO[str], process.stdin), cast(IO[str], process.stdout)
    except BrokenPipeError as error:
        raise WorkerFailed(_ENDED) from error
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            cast(IO[str], pipe).close()


def _answer(answers: IO[str]) -> dict[str, Any]:
    line = answers.readline()
    if not line:
        raise WorkerFailed(_ENDED)
    answer: dict[str, Any] = json.loads(line)
    return answer


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
