"""The same uploads added with one processor, with all, and by shards, in turns; and what the machine had to give.

A machine that is shared gives two threads less than two processors. How much less, hashing tells, which needs nothing
but a processor: its ratio is the most that adding could have reached in the same turns.
"""

from __future__ import annotations

import hashlib
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bfl_fabric.he.lattice.bodies import KeyName
from bfl_fabric.he.lattice.terms import LatticeTerms
from bfl_fabric.he.lattice.threads import thread_count
from bfl_fabric.he.scale.simulation import Case, simulate
from bfl_fabric.he.sharding import Submit, sharded_sum

_BLOCK_BYTES = 16 << 20
_BLOCKS = 32
"""As many as take about as long as the adding, because who asks for little is served at once on a busy machine."""


@dataclass(frozen=True, slots=True)
class Way:
    """Medians of one way of doing a thing. `ratio` is the first way's seconds by these; `of` says what was done."""

    of: str
    how: str
    seconds: float
    processor_seconds: float
    megabytes: float
    ratio: float


def compare(
    terms: LatticeTerms, key: KeyName, files: Sequence[Path], submit: Submit, turns: int, place: Path
) -> list[Way]:
    """Return figures for uploads of one round; what an aggregator does is measured in its own process.

    Args:
        terms: the task's.
        key: the key that the uploads are for.
        files: the uploads; they stay.
        submit: starts shards, two of them.
        turns: of which the medians are taken.
        place: a directory of the same file system.
    """

    def link(number: int, path: Path) -> None:
        os.link(files[number], path)

    def aggregated(processors: int) -> tuple[float, float]:
        measured = simulate(Case(len(files), 0, 1, processors), terms, key, link, place)
        return measured.seconds, measured.processor_seconds

    def sharded() -> tuple[float, float]:
        started = time.perf_counter()
        sharded_sum(terms, key, files, 2, submit)
        return time.perf_counter() - started, math.nan

    threads = thread_count()
    size = sum(path.stat().st_size for path in files)
    ways: list[tuple[str, str, int, Callable[[], tuple[float, float]]]] = [
        ("adding", "one processor", size, lambda: aggregated(1)),
        ("adding", f"{threads} processors", size, lambda: aggregated(0)),
        ("adding", "two shards in processes, one check of each upload", size, sharded),
        ("hashing alone", "one processor", _BLOCKS * _BLOCK_BYTES, lambda: _hashing(1)),
        ("hashing alone", f"{threads} processors", _BLOCKS * _BLOCK_BYTES, lambda: _hashing(threads)),
    ]
    sharded()
    taken = [[measure() for _, _, _, measure in ways] for _ in range(turns)]
    seconds = [statistics.median(turn[way][0] for turn in taken) for way in range(len(ways))]
    processor = [statistics.median(turn[way][1] for turn in taken) for way in range(len(ways))]
    first: dict[str, float] = {}
    return [
        Way(of, how, wall, busy, size / 1e6 / wall, first.setdefault(of, wall) / wall)
        for (of, how, size, _), wall, busy in zip(ways, seconds, processor, strict=True)
    ]


def _hashing(threads: int) -> tuple[float, float]:
    data = bytes(_BLOCK_BYTES)
    wall, busy = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: hashlib.sha256(data).digest(), range(_BLOCKS)))
    return time.perf_counter() - wall, time.process_time() - busy
