"""The competitors: what is run, in which environment, and how their processes are spoken to.

Decides who is compared. What each does is in `foreign/`, how its environment comes about in `environments`.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from tests.benchmarks.he.environments import Environment, interpreter_of

ANSWER_SECONDS = 600
REPOSITORY = Path(__file__).resolve().parents[3]
LARGE = 1_000_000
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""For OpenFHE: its threads wait for each other spinning, and on a busy machine of two cores that costs it fourfold."""

NVFLARE = Environment("nvflare", "3.11")
FLOWER = Environment("flwr", "3.11")
OPENFHE = Environment("openfhe", "3.10")


@dataclass(frozen=True, slots=True)
class Competitor:
    """A program in `foreign/` and its arguments at a number of parameters. No environment: our own has its packages."""

    word: str
    name: str
    parameters: str
    module: str
    environment: Environment | None
    arguments: Callable[[int], tuple[str, ...]] = lambda _: ()

    def named(self, count: int) -> str:
        """Return the row's name at this number of parameters."""
        return self.name.format(layers=_layers(count))


def _layers(count: int) -> int:
    return 60 if count >= LARGE else 20


_CKKS_SET = "N = 8192, 60/40/40, 2^40"
BASELINE = "tenseal-symmetric"
COMPETITORS = (
    Competitor(
        BASELINE,
        f"TenSEAL {version('tenseal')}, symmetric",
        _CKKS_SET,
        "tenseal_vectors",
        None,
        lambda _: ("symmetric",),
    ),
    Competitor(
        "tenseal-public",
        f"TenSEAL {version('tenseal')}, public key",
        _CKKS_SET,
        "tenseal_vectors",
        None,
        lambda _: ("public",),
    ),
    Competitor(
        "nvflare-flat", "NVFLARE 2.9.0, 1 layer", _CKKS_SET, "nvflare_filters", NVFLARE, lambda _: ("1",)
    ),
    Competitor(
        "nvflare-layers",
        "NVFLARE 2.9.0, {layers} layers",
        _CKKS_SET,
        "nvflare_filters",
        NVFLARE,
        lambda count: (str(_layers(count)),),
    ),
    Competitor(
        "flower",
        "Flower 1.42.0 SecAgg+ (masks, no encryption)",
        "22 bit, mod 2^32, clip 0.25",
        "flower_secaggplus",
        FLOWER,
    ),
    Competitor(
        "openfhe",
        "OpenFHE 1.6.1, threshold CKKS, 3 parties",
        "N = 8192, 60/50, depth 0",
        "openfhe_threshold",
        OPENFHE,
    ),
)


class CompetitorFailed(Exception):
    """A competitor's process ended or did not answer; the message has the last line that it wrote."""


class ForeignProcess:
    """A competitor's process, started with the first parameters to measure and ended by `close`."""

    def __init__(self, competitor: Competitor, count: int, place: Path) -> None:
        """Start it. Raises EnvironmentMissing."""
        environment = competitor.environment
        interpreter = Path(sys.executable) if environment is None else interpreter_of(environment)
        place.mkdir(parents=True)
        self._said = place / "stderr"
        module = f"{__package__}.foreign.{competitor.module}"
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [str(interpreter), "-m", module, *competitor.arguments(count)],
                cwd=REPOSITORY,
                env=os.environ | ONE_THREAD,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
            )

    def ask(self, operation: str, **request: str) -> dict[str, Any]:
        """Return the answer to one request (see `foreign.serve`). Raises CompetitorFailed."""
        to, answers = self._pipes()
        try:
            to.write(json.dumps({"op": operation, **request}).encode() + b"\n")
            to.flush()
        except BrokenPipeError as error:
            raise CompetitorFailed(self._last_words()) from error
        ready, _, _ = select.select([answers], [], [], ANSWER_SECONDS)
        line = answers.readline() if ready else b""
        if not ready:
            raise CompetitorFailed(f"{operation} took more than {ANSWER_SECONDS} s")
        if not line:
            self._process.wait()
            raise CompetitorFailed(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        for pipe in self._pipes():
            pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout

    def _last_words(self) -> str:
        lines = self._said.read_text("utf-8", "replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "ended without a word")
