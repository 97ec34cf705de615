"""`make bench-rounds`: whole rounds of a federation with each scheme, in turns with the same rounds in the clear.

Five organizations, three of which open together under a shared key; the ledger, the nodes and the silos are processes
that talk over gRPC with mutual TLS, as `bfl demo` starts them, and really train. All schemes run in the same processes,
one after the other, in another order each turn.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bfl_fabric.cli.bench import Figures as Table
from bfl_fabric.cli.bench import write_tables
from bfl_fabric.network.topology import LedgerKind
from tests.benchmarks.rounds.federation import EMBEDDED, LOADS, SILOS, Ledger, Times, measure
from tests.benchmarks.rounds.moments import PHASES, RoundTimes
from tests.benchmarks.rounds.schemes import BASELINE, KINDS

COMMAND, NAME = "make bench-rounds", "bench-rounds"


def main(arguments: Sequence[str]) -> None:
    """Measure, print the tables, and write them into a page if one is named."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.rounds", description=__doc__)
    parser.add_argument("--turns", type=int, default=3, help="tasks of each scheme with each load")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds of each task")
    loads, schemes = (_words(one.word for one in known) for known in (LOADS, KINDS))
    parser.add_argument("--loads", type=loads, default=",".join(load.word for load in LOADS))
    parser.add_argument("--schemes", type=schemes, default=",".join(kind.word for kind in KINDS))
    parser.add_argument("--ledger", type=LedgerKind, default=EMBEDDED.kind, help="embedded, or fabric")
    parser.add_argument("--block-seconds", type=float, default=EMBEDDED.block_seconds)
    parser.add_argument("--silos", type=int, default=SILOS, help="five or more")
    parser.add_argument("--write", type=Path, help="page to write the tables into, between its markers")
    chosen = parser.parse_args(arguments)
    kinds = [kind for kind in KINDS if kind.word in chosen.schemes]
    ledger, tables = Ledger(chosen.ledger, chosen.block_seconds), []
    for load in LOADS:
        if load.word in chosen.loads:
            with tempfile.TemporaryDirectory(prefix="bfl-bench-") as home:
                place = Path(home) / "federation"
                times = asyncio.run(
                    measure(place, load, kinds, chosen.turns, chosen.rounds, ledger, chosen.silos)
                )
            tables.append(table(f"{load.title}, {chosen.silos} silos{ledger.title}", times))
            print(tables[-1].markdown())
    if chosen.write is not None:
        write_tables(chosen.write, tables, COMMAND, NAME)


def _words(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what reads an option with words between commas, and refuses any that is not known."""
    words = tuple(known)

    def read(text: str) -> list[str]:
        unknown = [word for word in text.split(",") if word not in words]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: known are {', '.join(words)}")
        return text.split(",")

    return read


def table(title: str, times: Times) -> Table:
    """Return the medians of each kind, and its round in plain rounds."""
    headings = (
        "scheme",
        "rounds",
        "a round, s",
        "× plain",
        "quartiles, s",
        *(f"{name}, s" for name in PHASES),
    )
    base = _median_seconds(times.get(BASELINE.word, []))
    return Table(
        title,
        headings,
        tuple(_row(word, found, base) for word, found in times.items() if found),
    )


def _row(word: str, found: Sequence[RoundTimes], base: float | None) -> tuple[str, ...]:
    seconds = _median_seconds(found)
    assert seconds is not None
    lower, _, upper = statistics.quantiles([one.seconds for one in found], n=4, method="inclusive")
    return (
        word,
        str(len(found)),
        f"{seconds:.2f}",
        f"{seconds / base:.2f}" if base else "–",
        f"{lower:.2f} to {upper:.2f}",
        *(f"{statistics.median(one.phases[name] for one in found):.2f}" for name in PHASES),
    )


def _median_seconds(found: Sequence[RoundTimes]) -> float | None:
    return statistics.median(one.seconds for one in found) if found else None


if __name__ == "__main__":
    main(sys.argv[1:])
