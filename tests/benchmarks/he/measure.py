"""Turns: every scheme's client, server and open step, one scheme after the other, as often as is asked for.

Decides the inputs (float32, normal with sigma 0.02, clipped at 0.25, ten clients), that schemes take turns so that a
noisy machine disturbs all alike, that medians count, and how errors are taken: against the float64 sum of the float32
inputs. A scheme that fails leaves the round with its reason; the others go on.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from tests.benchmarks.he.candidates import CLIENTS, Candidate, Float64Vector
from tests.benchmarks.he.competitors import Competitor, CompetitorFailed, ForeignProcess
from tests.benchmarks.he.environments import EnvironmentMissing

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Float32Vector

SIGMA, CLIP = 0.02, 0.25
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Opened:
    """A sum that came back. `exact` is None where the scheme rounds by design."""

    milliseconds: float
    total: Float64Vector
    exact: bool | None


class Seat(Protocol):
    """A scheme at the table, in this process or in another. Times are in milliseconds."""

    word: str
    name: str
    parameters: str

    @property
    def note(self) -> str:
        """What the figures leave in or out; asked for at the end."""

    def prepare(self) -> None: ...

    def client(self) -> tuple[float, int]:
        """Return the time and the bytes of one upload."""

    def server(self) -> float: ...

    def open(self) -> Opened: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class Figures:
    """What was measured of one scheme at one number of parameters; `absent` says why nothing was."""

    word: str
    scheme: str
    parameters: str
    count: int
    note: str = ""
    absent: str = ""
    upload_bytes: int = 0
    client_ms: list[float] = field(default_factory=list)
    server_ms: list[float] = field(default_factory=list)
    open_ms: list[float] = field(default_factory=list)
    sum_error: float = 0.0
    exact: bool | None = None

    @property
    def bytes_per_parameter(self) -> float:
        return self.upload_bytes / self.count

    @property
    def mean_error(self) -> float:
        return self.sum_error / CLIENTS

    def medians(self) -> tuple[float, float, float]:
        """Return the medians of client, server and open, in milliseconds."""
        client, server, opened = map(statistics.median, (self.client_ms, self.server_ms, self.open_ms))
        return client, server, opened


class Here:
    """A scheme of ours, in this process."""

    def __init__(self, word: str, candidate: Candidate, values: list[Float32Vector]) -> None:
        self.word, self.name = word, candidate.name
        self.parameters = candidate.parameters
        self._candidate = candidate
        self._values = values
        self._expected: Float64Vector | None = None

    @property
    def note(self) -> str:
        return self._candidate.note

    def prepare(self) -> None:
        self._candidate.prepare(self._values)
        self._expected = self._candidate.exact_sum()

    def client(self) -> tuple[float, int]:
        took, upload = _timed(self._candidate.client)
        return took, len(upload)

    def server(self) -> float:
        return _timed(self._candidate.server)[0]

    def open(self) -> Opened:
        took, total = _timed(self._candidate.open)
        exact = None if self._expected is None else bool(np.array_equal(total, self._expected))
        return Opened(took, total, exact)

    def close(self) -> None:
        self._candidate.close()


class Abroad:
    """A competitor, in a process of its own that times itself."""

    def __init__(self, competitor: Competitor, count: int, values: Path, place: Path) -> None:
        self.word, self.name = competitor.word, competitor.named(count)
        self.parameters = competitor.parameters
        self._note = ""
        self._values = values
        self._opened = place / "opened.npy"
        self._process = ForeignProcess(competitor, count, place)

    @property
    def note(self) -> str:
        return self._note

    def prepare(self) -> None:
        self._note = self._process.ask("prepare", values=str(self._values))["note"]

    def client(self) -> tuple[float, int]:
        answer = self._process.ask("client")
        return answer["ms"], answer["bytes"]

    def server(self) -> float:
        took: float = self._process.ask("server")["ms"]
        return took

    def open(self) -> Opened:
        answer = self._process.ask("open", result=str(self._opened))
        return Opened(answer["ms"], np.load(self._opened, allow_pickle=False), answer["exact"])

    def close(self) -> None:
        self._process.close()


def inputs(count: int) -> list[Float32Vector]:
    """Return the clients' updates, float32[count] each, the same in every run."""
    generator = np.random.default_rng(count)
    drawn = generator.normal(0, SIGMA, (CLIENTS, count)).astype(np.float32)
    return list(np.clip(drawn, -CLIP, CLIP))


def measure(
    count: int,
    repeats: int,
    ours: Mapping[str, Callable[[Path], Candidate]],
    competitors: Sequence[Competitor],
    place: Path,
) -> list[Figures]:
    """Seat everybody, then let them take turns `repeats` times. `place` is an empty directory for their files."""
    values = inputs(count)
    saved = place / "values.npy"
    np.save(saved, np.stack(values), allow_pickle=False)
    exact = np.sum([vector.astype(np.float64) for vector in values], axis=0)
    makers = _makers(count, values, saved, ours, competitors, place)
    with ExitStack() as stack:
        table = [_seated(count, word, name, make, stack) for word, name, make in makers]
        for number in range(repeats):
            for seat, figures in table:
                if seat is not None and not figures.absent:
                    _say(f"{count:,}: turn {number + 1} of {repeats}, {seat.name}")
                    _turn(seat, figures, exact)
        for seat, figures in table:
            if seat is not None and not figures.absent:
                figures.note = seat.note
        return [figures for _, figures in table]


def _makers(
    count: int,
    values: list[Float32Vector],
    saved: Path,
    ours: Mapping[str, Callable[[Path], Candidate]],
    competitors: Sequence[Competitor],
    place: Path,
) -> Iterator[tuple[str, str, Callable[[], Seat]]]:
    for word, maker in ours.items():
        yield word, f"bfl-fabric {word}", lambda m=maker, w=word: Here(w, m(place / w), values)  # type: ignore[misc]
    for one in competitors:
        yield (
            one.word,
            one.named(count),
            lambda c=one: Abroad(c, count, saved, place / c.word),  # type: ignore[misc]
        )


def _seated(
    count: int, word: str, name: str, make: Callable[[], Seat], stack: ExitStack
) -> tuple[Seat | None, Figures]:
    _say(f"{count:,}: making ready {name}")
    figures = Figures(word, name, "", count)
    try:
        seat = make()
    except EnvironmentMissing as missing:
        figures.absent = str(missing)
        return None, figures
    stack.callback(seat.close)
    figures.scheme, figures.parameters = seat.name, seat.parameters
    try:
        seat.prepare()
    except CompetitorFailed as failed:
        figures.absent = f"does not run here: {failed}"
    return seat, figures


def _turn(seat: Seat, figures: Figures, exact: Float64Vector) -> None:
    try:
        client_ms, figures.upload_bytes = seat.client()
        server_ms, opened = seat.server(), seat.open()
    except CompetitorFailed as failed:
        figures.absent = f"failed: {failed}"
        return
    figures.client_ms.append(client_ms)
    figures.server_ms.append(server_ms)
    figures.open_ms.append(opened.milliseconds)
    figures.sum_error = max(figures.sum_error, float(np.abs(opened.total - exact).max()))
    if opened.exact is not None:
        figures.exact = opened.exact and figures.exact is not False


def _timed(step: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = step()
    return (time.perf_counter() - started) * 1000, result


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
