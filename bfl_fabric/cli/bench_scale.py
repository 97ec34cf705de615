"""`bfl bench scale`: simulated rounds of thousands of participants, what they took, and a small one that is proven."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bfl_fabric.cli.bench import Figures, show, write_tables
from bfl_fabric.cli.output import JsonFlag, errors

if TYPE_CHECKING:
    from bfl_fabric.he.scale.proof import Federation
    from bfl_fabric.he.scale.simulation import Figures as Measured

COMMAND, NAME = "make bench-scale", "bench-scale"
VALUE_BITS = 16
FEW = 10
"""Participants of the round whose memory the others are held against."""

CASES = ((10_000, 100_000, 1), (10_000, 100_000, 2), (100, 10_000_000, 1))
QUICK_CASES = ((200, 100_000, 1), (200, 100_000, 2), (20, 1_000_000, 1))
THREADS_PARAMETERS, SHARDS = 1_000_000, 3
HEADINGS = (
    "participants",
    "parameters",
    "levels",
    "set",
    "received MB",
    "seconds",
    "processor s",
    "uploads/s",
    "MB/s",
    "peak MiB",
    f"× of {FEW}",
)


def scale(
    quick: Annotated[bool, typer.Option(help="Smaller rounds.")] = False,
    participants: Annotated[
        int, typer.Option(min=0, help="One round of so many participants, instead of the usual ones.")
    ] = 0,
    parameters: Annotated[int, typer.Option(min=1, help="The model of that round.")] = 100_000,
    levels: Annotated[int, typer.Option(min=1, max=2, help="1: one aggregator; 2: sums of sums.")] = 1,
    back_end: Annotated[str, typer.Option(help="Who encrypted the pool: seal or ring.")] = "seal",
    write: Annotated[
        Path | None, typer.Option(help="Page to write the tables into, between its markers.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Simulate rounds of thousands of participants on this machine: time, traffic and memory of the aggregator.

    Example: bfl bench scale --participants 2000 --levels 2
    """
    cases: Sequence[tuple[int, int, int]] = QUICK_CASES if quick else CASES
    if participants:
        cases = ((participants, parameters, levels),)
    with tempfile.TemporaryDirectory(prefix="bfl-scale-") as place:
        tables = [_rounds(cases, back_end, Path(place))]
        if not participants:
            tables.append(_parallel(quick, back_end, Path(place)))
            tables.append(_proof(quick, back_end, Path(place)))
    show(tables, as_json)
    if write is not None:
        write_tables(write, tables, COMMAND, NAME)


def _rounds(cases: Sequence[tuple[int, int, int]], back_end: str, place: Path) -> Figures:
    from bfl_fabric.he.scale.simulation import Case, simulate
    from bfl_fabric.he.scale.uploads import UploadPool

    rows, pools = [], {}
    sizes = dict.fromkeys(parameters for _, parameters, _ in cases)
    for size in sizes:
        wanted = [case for case in cases if case[1] == size]
        most = max(participants for participants, _, _ in wanted)
        with _federation(most, size, back_end, place) as federation:
            pool = UploadPool(federation.member, federation.terms, size)
            pools[size] = pool.size
            base = 0
            for participants, _, levels in ((FEW, size, 1), *wanted):
                errors.print(f"{participants:,} × {size:,}, levels {levels} ...")
                case = Case(participants, size, levels)
                measured = simulate(case, federation.terms, federation.key, pool.write, place)
                base = base or measured.peak_memory_bytes
                rows.append(_row(measured, federation.terms.parameters.name, base))
    made = ", ".join(f"{count} at {size:,} parameters" for size, count in pools.items())
    title = f"Simulated rounds of the scheme packed, {VALUE_BITS}-bit values; real encryptions in the pool: {made}"
    return Figures(title, HEADINGS, tuple(rows))


def _row(measured: Measured, name: str, base: int) -> tuple[str, ...]:
    case, megabytes = measured.case, measured.received_bytes / 1e6
    return (
        f"{case.participants:,}",
        f"{case.parameters:,}",
        str(case.levels),
        f"`{name}`",
        f"{megabytes:,.0f}",
        f"{measured.seconds:.1f}",
        f"{measured.processor_seconds:.1f}",
        f"{case.participants / measured.seconds:.0f}",
        f"{megabytes / measured.seconds:.0f}",
        f"{measured.peak_memory_bytes / 2**20:.1f}",
        f"{measured.peak_memory_bytes / base:.2f}×",
    )


def _parallel(quick: bool, back_end: str, place: Path) -> Figures:
    from bfl_fabric.he.scale.parallel import compare
    from bfl_fabric.he.scale.uploads import UploadPool
    from bfl_fabric.he.sharding import in_processes

    participants, turns = (10, 1) if quick else (20, 5)
    errors.print(f"{participants} × {THREADS_PARAMETERS:,}, {turns} turns ...")
    with (
        _federation(participants, THREADS_PARAMETERS, back_end, place) as federation,
        in_processes(2) as submit,
    ):
        pool = UploadPool(federation.member, federation.terms, THREADS_PARAMETERS)
        files = [place / f"shared-{number}" for number in range(participants)]
        for number, path in enumerate(files):
            pool.write(number, path)
        ways = compare(federation.terms, federation.key, files, submit, turns, place)
        for path in files:
            path.unlink()
    rows = tuple(
        (
            way.of,
            way.how,
            f"{way.seconds:.2f}",
            "–" if math.isnan(way.processor_seconds) else f"{way.processor_seconds:.2f}",
            f"{way.megabytes:.0f}",
            f"{way.ratio:.2f}×",
        )
        for way in ways
    )
    title = f"The same {participants} uploads of {THREADS_PARAMETERS:,} parameters, medians of {turns} turns"
    return Figures(title, ("what", "how", "seconds", "processor s", "MB/s", "× of one processor"), rows)


def _proof(quick: bool, back_end: str, place: Path) -> Figures:
    from bfl_fabric.he.scale.proof import prove
    from bfl_fabric.he.sharding import in_processes

    participants, parameters = (12, 100_000) if quick else (50, 200_000)
    errors.print(f"{participants} real × {parameters:,} ...")
    with _federation(participants, parameters, back_end, place) as federation, in_processes(2) as submit:
        lines = prove(federation, participants, parameters, SHARDS, submit, place)
    return Figures("A round that is real throughout", ("what holds",), tuple((line,) for line in lines))


@contextmanager
def _federation(participants: int, parameters: int, back_end: str, place: Path) -> Iterator[Federation]:
    """Yield a key of the set that the product chooses for such a round, and who holds it."""
    from bfl_chaincode.api.records import EncryptionTerms
    from bfl_fabric.he.lattice.terms import LatticeTerms
    from bfl_fabric.he.packed.backend import BackEndName
    from bfl_fabric.he.packed.groupkey import read_public_key
    from bfl_fabric.he.provider import EncryptionSchemes, choose_parameters
    from bfl_fabric.he.scale.proof import Federation
    from bfl_fabric.he.scale.uploads import EPOCH, WEIGHT

    weight = participants * WEIGHT
    digest = choose_parameters("packed", VALUE_BITS, weight, participants, parameters)
    terms = EncryptionTerms("packed", digest, VALUE_BITS, "0.25", weight)
    secret = place / "secret.key"
    schemes = EncryptionSchemes(back_end=BackEndName(back_end))
    try:
        key = schemes.create_key(terms, EPOCH, secret)
        lattice = LatticeTerms.of(terms)
        yield Federation(
            lattice,
            read_public_key(key, lattice.parameters),
            schemes.member(terms, key, secret),
            schemes.secret(terms, key, secret),
        )
    finally:
        schemes.close()
        secret.unlink(missing_ok=True)
