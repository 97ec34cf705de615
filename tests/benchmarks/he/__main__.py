"""`make bench-he`: encrypted aggregation beside TenSEAL, NVFLARE, Flower's SecAgg+ and OpenFHE, in one run.

All take turns on the same inputs; the median of the turns counts. Competitors run in processes of their own, in
environments that are made once in the user's cache; one that cannot be had is a line of the report.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bfl_fabric.cli.bench import write_tables
from tests.benchmarks.he import report
from tests.benchmarks.he.candidates import OURS
from tests.benchmarks.he.competitors import COMPETITORS
from tests.benchmarks.he.measure import Figures, measure

COMMAND, NAME = "make bench-he", "bench-he"
WORDS = (*OURS, *(competitor.word for competitor in COMPETITORS))


def main(arguments: Sequence[str]) -> None:
    """Measure, print the tables, and write them into a page if one is named."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.he", description=__doc__)
    parser.add_argument("--sizes", default="100000,1000000", help="numbers of parameters")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each scheme at each size")
    parser.add_argument("--only", default=",".join(WORDS), help=f"some of {', '.join(WORDS)}")
    parser.add_argument("--cores", help="pin everything to these cores, such as 0 or 0,1")
    parser.add_argument("--write", type=Path, help="page to write the tables into, between its markers")
    parser.add_argument("--json", type=Path, help="file to write every turn's figures into")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.only.split(",")) - set(WORDS):
        parser.error(f"--only knows {', '.join(WORDS)}, not {', '.join(sorted(unknown))}")
    if chosen.write is not None and f"<!-- {NAME}:begin -->" not in chosen.write.read_text("utf-8"):
        parser.error(f"{chosen.write} has no marker <!-- {NAME}:begin --> to write after")
    if chosen.cores:
        os.sched_setaffinity(0, {int(core) for core in chosen.cores.split(",")})
    measured = _measured(
        [int(size) for size in chosen.sizes.split(",")], chosen.repeats, chosen.only.split(",")
    )
    tables = report.tables(measured)
    for table in tables:
        print(table.markdown())
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(report.document(measured), indent=1) + "\n", "utf-8")
    if chosen.write is not None:
        write_tables(chosen.write, tables, COMMAND, NAME)


def _measured(sizes: Sequence[int], repeats: int, words: Sequence[str]) -> list[Figures]:
    ours = {word: maker for word, maker in OURS.items() if word in words}
    competitors = [competitor for competitor in COMPETITORS if competitor.word in words]
    measured = []
    for count in sizes:
        with tempfile.TemporaryDirectory(prefix="bfl-bench-") as place:
            measured += measure(count, repeats, ours, competitors, Path(place))
    return measured


if __name__ == "__main__":
    main(sys.argv[1:])
