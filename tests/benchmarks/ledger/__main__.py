"""`make bench-ledger`: the ledger's latency and throughput, and the same trivial contract in three languages.

Embedded ledger, Fabric with Raft and Fabric with BFT orderers, each with three organizations, two of which must
endorse. On Fabric the contract runs in Python (our shim), Node and Java (the official shims) on the same network in
the same run; they take turns, so that a noisy machine disturbs all alike, and the median of the rounds counts. The
callers, the peers, the orderers and the contracts share this machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bfl_fabric.cli.bench import Figures as Table
from bfl_fabric.cli.bench import signature_check_us, write_tables
from bfl_fabric.clock import SystemClock
from bfl_fabric.errors import LedgerError, ProgramsMissing
from bfl_fabric.network import directory as directories
from bfl_fabric.network.bringup import Site, bring_up
from bfl_fabric.network.native import NativeNetwork
from bfl_fabric.network.programs import find_programs
from bfl_fabric.network.topology import sample
from bfl_fabric.sdk.gateway import AsyncContract, connect_async
from tests.benchmarks.ledger import contracts, deployment, load, profile
from tests.benchmarks.ledger.contracts import Kind
from tests.benchmarks.ledger.embedded import embedded_contract
from tests.benchmarks.ledger.load import Figures
from tests.interop.runtimes import RuntimeMissing

COMMAND = "make bench-ledger"
READY_SECONDS = 30


@dataclass(frozen=True)
class Options:
    """How much is measured."""

    callers: tuple[int, ...]
    rounds: int
    seconds: float
    ledgers: tuple[str, ...]


Profile = dict[str, dict[str, float]]
"""By ledger: processor time per submitted transaction by kind of process, in milliseconds."""
Measured = dict[tuple[str, str, int], dict[Kind, list[Figures]]]
"""By ledger, submit or evaluate, and number of callers: what each round of each language gave."""


def main(arguments: Sequence[str]) -> None:
    """Measure, print the tables, and write them into a page if one is named."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.ledger", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--callers", default="1,20,50,100")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ledgers", default="embedded,raft,bft")
    parser.add_argument("--write", type=Path, help="page to write the tables into, between its markers")
    chosen = parser.parse_args(arguments)
    options = Options(
        tuple(int(number) for number in chosen.callers.split(",")),
        chosen.rounds,
        chosen.seconds,
        tuple(chosen.ledgers.split(",")),
    )
    kinds = [kind for kind in Kind if _is_there(kind)]
    tables = asyncio.run(_measure_all(options, kinds))
    for table in tables:
        print(table.markdown())
    if chosen.write is not None:
        write_tables(chosen.write, tables, COMMAND, "bench-ledger")


def _is_there(kind: Kind) -> bool:
    try:
        contracts.prepare(kind)
    except RuntimeMissing as missing:
        print(f"{kind} left out: {missing}", file=sys.stderr)
        return False
    return True


async def _measure_all(options: Options, kinds: Sequence[Kind]) -> list[Table]:
    measured: Measured = defaultdict(lambda: defaultdict(list))
    profiles: Profile = {}
    for ledger in options.ledgers:
        async with AsyncExitStack() as stack:
            try:
                places = await stack.enter_async_context(
                    _embedded() if ledger == "embedded" else _fabric(ledger, kinds)
                )
            except ProgramsMissing as missing:
                print(f"{ledger} left out: {missing}", file=sys.stderr)
                continue
            await _measure(ledger, places, options, measured)
            if ledger != "embedded":
                profiles[ledger] = await _profile(places[Kind.PYTHON], options)
    return [*_tables(measured), _profile_table(profiles)]


@asynccontextmanager
async def _embedded() -> AsyncIterator[dict[Kind, AsyncContract]]:
    with tempfile.TemporaryDirectory(prefix="bfl-bench-") as home:
        async with embedded_contract(Path(home) / "federation") as contract:
            yield {Kind.PYTHON: contract}


@asynccontextmanager
async def _fabric(consensus: str, kinds: Sequence[Kind]) -> AsyncIterator[dict[Kind, AsyncContract]]:
    programs = find_programs("3.1")
    with tempfile.TemporaryDirectory(prefix="bfl-bench-") as home, ExitStack() as stack:
        place = Path(home) / "network"
        directories.create(place, sample().on("fabric", consensus))
        network = stack.enter_context(NativeNetwork(place, programs))
        network.start_all()
        site = Site(place, network.topology, network.plan, SystemClock())
        await bring_up(site, lambda _: None)
        names = {kind: await deployment.deploy(site, kind, stack) for kind in kinds}
        first = network.topology.organizations[0]
        server = site.peer_server(network.plan.peer_of(first.msp_id))
        signer = site.administrator(first).signer
        async with connect_async(server.address, signer, tls_roots=server.tls.root_certificates) as gateway:
            found = {
                kind: gateway.network(network.topology.channel).contract(name) for kind, name in names.items()
            }
            for contract in found.values():
                await _ready(contract)
            yield found


async def _ready(contract: AsyncContract) -> None:
    """Wait until the peers know the contract and the contract answers."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            await contract.submit("Put", "ready", "yes")
            return
        except LedgerError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


async def _measure(
    ledger: str, places: dict[Kind, AsyncContract], options: Options, measured: Measured
) -> None:
    for contract in places.values():
        await contract.submit("Put", "ready", "yes")
    for number, count in itertools.product(range(options.rounds), options.callers):
        for kind, contract in places.items():
            print(f"{ledger}: round {number + 1}, {count} callers, {kind}", file=sys.stderr)
            submitted = await load.submits(contract, count, options.seconds, f"{kind}{number}c{count}")
            measured[ledger, "submit", count][kind].append(submitted)
            evaluated = await load.evaluates(contract, count, options.seconds / 2, "ready")
            measured[ledger, "evaluate", count][kind].append(evaluated)


async def _profile(contract: AsyncContract, options: Options) -> dict[str, float]:
    """Let the most callers submit once more and see who uses the processor meanwhile."""
    before = profile.cpu_seconds()
    figures = await load.submits(contract, max(options.callers), options.seconds, "profile")
    spent = profile.cpu_seconds()
    spent.subtract(before)
    share = options.seconds / (options.seconds + load.WARM_UP_SECONDS)
    count = max(1.0, figures.per_second * options.seconds)
    return {kind: seconds * share * 1000 / count for kind, seconds in spent.items()}


def _profile_table(profiles: Profile) -> Table:
    kinds = ("client", "gateway peer", "other peers", "orderers", "contract services")
    rows = [
        (ledger, *(f"{spent.get(kind, 0):.1f}" for kind in kinds), f"{sum(spent.values()):.1f}")
        for ledger, spent in profiles.items()
    ]
    unit = signature_check_us()
    title = (
        f"Processor time of one submitted transaction, ms; one P-256 signature check takes {unit:.0f} µs here"
    )
    return Table(title, ("ledger", *kinds, "in all"), tuple(rows))


def _tables(measured: Measured) -> list[Table]:
    return [_table(measured, "submit", "Submit to commit"), _table(measured, "evaluate", "Evaluate")]


def _table(measured: Measured, what: str, title: str) -> Table:
    rows = []
    for (ledger, measure, callers), by_kind in measured.items():
        if measure == what:
            rows.append((ledger, str(callers), *_cells(by_kind)))
    headings = ("ledger", "callers", "Python, ours", "median, p95 ms", "Node", "Java", "ours / faster one")
    return Table(f"{title}: calls per second, a trivial contract, 2 of 3 endorse", headings, tuple(rows))


def _cells(by_kind: dict[Kind, list[Figures]]) -> tuple[str, ...]:
    ours = by_kind[Kind.PYTHON]
    rates = {kind: statistics.median(item.per_second for item in found) for kind, found in by_kind.items()}
    middle = sorted(ours, key=lambda item: item.per_second)[len(ours) // 2]
    others = [rates[kind] for kind in (Kind.NODE, Kind.JAVA) if kind in rates]
    failed = sum(item.failed for found in by_kind.values() for item in found)
    return (
        f"{rates[Kind.PYTHON]:.0f}" + (f" ({failed} failed)" if failed else ""),
        f"{middle.median_ms:.0f}, {middle.p95_ms:.0f}",
        *(f"{rates[kind]:.0f}" if kind in rates else "–" for kind in (Kind.NODE, Kind.JAVA)),
        f"{rates[Kind.PYTHON] / max(others):.2f}" if others else "–",
    )


if __name__ == "__main__":
    main(sys.argv[1:])
