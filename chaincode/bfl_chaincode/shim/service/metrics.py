"""What the service counts, as Prometheus text: names, results, durations and numbers, never a key or a value.

A function's name is the caller's first argument, so it becomes a label only once a transaction of that name was
answered, and only so many names do. Everything else is counted as `other`.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
NAMES = 256
OTHER = "other"
PREFIX = "bfl_contract"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}", re.ASCII)


class Metrics:
    """Counters of one service; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: set[str] = set()
        self._transactions: Counter[tuple[str, str]] = Counter()
        self._requests: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._gauges: Counter[str] = Counter()
        self._durations = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0

    def completed(self, name: str, result: str, seconds: float, requests: Counter[str]) -> str:
        """Count a transaction with its state requests; return the label that its function has."""
        with self._lock:
            label = self._label(name, result == "ok")
            self._transactions[label, result] += 1
            self._requests.update(requests)
            self._durations[bisect_left(BUCKETS, seconds)] += 1
            self._seconds += seconds
        return label

    def refused(self, why: str) -> None:
        """Count a message of a peer that could not be taken."""
        with self._lock:
            self._refused[why] += 1

    def change(self, gauge: str, by: int) -> None:
        """Move `running`, `stuck` or `streams`."""
        with self._lock:
            self._gauges[gauge] += by

    def value(self, gauge: str) -> int:
        with self._lock:
            return self._gauges[gauge]

    def text(self) -> str:
        with self._lock:
            return "\n".join([*self._lines(), ""])

    def _label(self, name: str, answered: bool) -> str:
        if name not in self._names:
            if not answered or len(self._names) >= NAMES or not _NAME.fullmatch(name):
                return OTHER
            self._names.add(name)
        return name

    def _lines(self) -> Iterator[str]:
        yield from _head("transactions_total", "counter", "Transactions that were answered.")
        for (name, result), count in sorted(self._transactions.items()):
            yield f'{PREFIX}_transactions_total{{function="{name}",result="{result}"}} {count}'
        yield from _head("transaction_duration_seconds", "histogram", "From a transaction to its answer.")
        total = 0
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self._durations, strict=True):
            total += count
            yield f'{PREFIX}_transaction_duration_seconds_bucket{{le="{bound}"}} {total}'
        yield f"{PREFIX}_transaction_duration_seconds_sum {self._seconds:.6f}"
        yield f"{PREFIX}_transaction_duration_seconds_count {total}"
        yield from _head("state_requests_total", "counter", "Requests to the peers, by their kind.")
        for kind, count in sorted(self._requests.items()):
            yield f'{PREFIX}_state_requests_total{{kind="{kind}"}} {count}'
        yield from _head("messages_refused_total", "counter", "Messages of peers that were not taken.")
        for why, count in sorted(self._refused.items()):
            yield f'{PREFIX}_messages_refused_total{{reason="{why}"}} {count}'
        for gauge, text in _GAUGES.items():
            yield from _head(gauge, "gauge", text)
            yield f"{PREFIX}_{gauge} {self._gauges[gauge]}"


_GAUGES = {
    "running": "Transactions that were begun and not answered.",
    "stuck": "Functions that hold a thread of their own because a step takes too long.",
    "streams": "Peers connected.",
}


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {PREFIX}_{name} {text}", f"# TYPE {PREFIX}_{name} {kind}"]
