"""`bfl bench`: measure, side by side with what it must beat, and write the tables down."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bfl_fabric.cli.output import JsonFlag, console, print_json
from bfl_fabric.errors import AuditFailed, ConfigurationError

if TYPE_CHECKING:
    from bfl_fabric.testing.long_chain import LongChain

nouns = typer.Typer(invoke_without_command=True)
COMMAND = "make bench"


@dataclass(frozen=True, slots=True)
class Figures:
    """A table of measurements."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [f"### {self.title}", "", _row(self.headings), _row(["---"] * len(self.headings))]
        return "\n".join([*lines, *(_row(row) for row in self.rows)]) + "\n"


@nouns.callback()
def bench(
    context: typer.Context,
    quick: Annotated[bool, typer.Option(help="Smaller sizes and fewer repeats.")] = False,
    write: Annotated[
        Path | None, typer.Option(help="Page to write the tables into, between its markers.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure the ledger, the audit and the encryption on this machine; medians and ratios.

    Example: bfl bench --write docs/benchmarks.md
    """
    if context.invoked_subcommand is not None:
        return
    sizes = [1_000, 100_000] if quick else [1_000, 100_000, 1_000_000]
    tables = [_ledger(quick), _verification(500 if quick else 10_000), _encryption(sizes, quick)]
    show(tables, as_json)
    if write is not None:
        write_tables(write, tables, COMMAND, "bench")


def show(tables: Sequence[Figures], as_json: bool) -> None:
    """Print tables, as Markdown or as one JSON document."""
    if as_json:
        print_json(
            [
                {"title": t.title, "rows": [dict(zip(t.headings, r, strict=True)) for r in t.rows]}
                for t in tables
            ]
        )
        return
    for table in tables:
        console.print(table.markdown(), markup=False, soft_wrap=True)


def _ledger(quick: bool) -> Figures:
    with tempfile.TemporaryDirectory() as place:
        figures = asyncio.run(_ledger_figures(Path(place), 3 if quick else 10))
    return Figures("Ledger: embedded, 3 organizations, a majority endorses, blocks synced to disk", *figures)


async def _ledger_figures(place: Path, repeats: int) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    from bfl_fabric.fabric.verifier import ChainVerifier
    from bfl_fabric.testing.rehearsal import TASK, rehearsal

    async with rehearsal(place, 100) as federation:
        silos = await federation.open_round()
        before = federation.embedded.height
        started = time.perf_counter()
        commits = await federation.commit_all(silos)
        burst = time.perf_counter() - started
        blocks = federation.embedded.height - before
        one = next(iter(silos.values()))
        single = []
        for number in range(repeats):
            started = time.perf_counter()
            organization = federation.topology.organizations[0]
            admin = federation.client(organization.msp_id, f"admin-{organization.slug}")
            request = {"msp_id": organization.msp_id, "amount": 1, "reference": f"bench {number}"}
            await admin.submit("reward:Mint", request)  # type: ignore[arg-type]
            single.append((time.perf_counter() - started) * 1000)
        count = 100 * repeats
        started = time.perf_counter()
        await asyncio.gather(*(one.evaluate("task:Get", {"task_id": TASK}) for _ in range(count)))
        evaluated = time.perf_counter() - started
        raw = [federation.embedded.raw_block(number) for number in range(federation.embedded.height)]
        started = time.perf_counter()
        transactions = sum(len(block.transactions) for block in ChainVerifier(_digest(raw[0])).verify(raw))
        verified = time.perf_counter() - started
    rows = (
        ("100 participants commit at once", f"{len(commits)} valid, 0 tried again, {blocks} blocks"),
        ("  transactions per second", f"{len(commits) / burst:.0f}"),
        ("submit to commit, one caller (block cut after 50 ms)", f"{statistics.median(single):.0f} ms"),
        ("evaluate, all the same question", f"{count / evaluated:.0f} per second"),
        ("offline verification of the chain", f"{transactions / verified:.0f} transactions per second"),
    )
    return ("what", "figure"), rows


def _verification(transactions: int) -> Figures:
    """Measure the block verifier and the audit of records on a long chain of commitments and receipts.

    Both alone and with a worker per core, beside what n cores could do if they did nothing but check signatures.
    """
    from bfl_fabric.testing.long_chain import make_long_chain

    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as place:
        chain = asyncio.run(make_long_chain(Path(place), transactions))
        rows = tuple(
            (f"{what}, {how}", *_checked(check, chain, workers))
            for what, check in (("verifier", _verify), ("verifier and audit of the records", _audit))
            for how, workers in (("in process", 0), (f"{cores} workers", cores))
        )
    headings = (
        "what",
        "transactions",
        "transactions per second",
        "signatures per second",
        "µs per signature check",
        "of what the cores could do",
    )
    return Figures("Offline verification", headings, rows)


def _checked(
    check: Callable[[LongChain, int], tuple[int, int]], chain: LongChain, workers: int
) -> tuple[str, ...]:
    """Time one check, and a single signature check before and after it, because other work slows both."""
    before = signature_check_us()
    started = time.perf_counter()
    transactions, signatures = check(chain, workers)
    seconds = time.perf_counter() - started
    check_us = (before + signature_check_us()) / 2
    ceiling = max(workers, 1) * 1e6 / check_us
    return (
        f"{transactions:,}",
        f"{transactions / seconds:.0f}",
        f"{signatures / seconds:.0f}",
        f"{check_us:.0f}",
        f"{signatures / seconds / ceiling:.0%}",
    )


def _verify(chain: LongChain, workers: int) -> tuple[int, int]:
    from bfl_fabric.audit.source import read_block_file
    from bfl_fabric.fabric.collector import rare_collections
    from bfl_fabric.fabric.signature_workers import signature_checks
    from bfl_fabric.fabric.verifier import ChainVerifier

    with rare_collections(), signature_checks(workers) as checks:
        verifier = ChainVerifier(chain.genesis_digest, checks)
        for _ in verifier.verify(read_block_file(chain.blocks)):
            pass
    return verifier.counts.transactions, verifier.counts.signatures


def _audit(chain: LongChain, workers: int) -> tuple[int, int]:
    from bfl_fabric.audit.chain import read_chain
    from bfl_fabric.audit.findings import Check, Findings
    from bfl_fabric.audit.source import read_block_file
    from bfl_fabric.audit.verify import LEDGER_CHECKS
    from bfl_fabric.fabric.collector import rare_collections

    findings = Findings()
    with rare_collections():
        found = read_chain(read_block_file(chain.blocks), chain.genesis_digest, "bfl", findings, workers)
        for check in LEDGER_CHECKS:
            check(found.history, findings)
    if findings.failures:
        raise AuditFailed(f"the chain of the benchmark is not sound: {findings.failures[0]}")
    return findings.counts[Check.TRANSACTIONS], findings.counts[Check.SIGNATURES]


def signature_check_us(repeats: int = 2000) -> float:
    """Return how long one check of a signature takes on this machine now: the unit of everything above."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key, algorithm = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())
    signature, public = key.sign(b"x", algorithm), key.public_key()
    started = time.perf_counter()
    for _ in range(repeats):
        public.verify(signature, b"x", algorithm)
    return (time.perf_counter() - started) / repeats * 1e6


def _digest(raw: bytes) -> str:
    from bfl_fabric.fabric.blocks import parse_block

    return parse_block(raw).hash.hex()


def _encryption(sizes: Sequence[int], quick: bool) -> Figures:
    from bfl_fabric.he.benchmark import measure

    rows = []
    for parameters in sizes:
        measured = measure(parameters, 3 if quick or parameters >= 1_000_000 else 5)
        base = measured[1]
        rows += [
            (
                f"{parameters:,}",
                item.scheme,
                f"{item.bytes_per_parameter:.1f}",
                f"{base.bytes_per_parameter / item.bytes_per_parameter:.1f}×",
                f"{item.client_ms:.1f}",
                f"{base.client_ms / item.client_ms:.1f}×",
                f"{item.server_ms:.1f}",
                f"{base.server_ms / item.server_ms:.1f}×",
                f"{item.open_ms:.1f}",
            )
            for item in measured
        ]
    headings = (
        "parameters",
        "scheme",
        "B/param",
        "×",
        "client ms",
        "×",
        "server ms, 10 uploads",
        "×",
        "open ms",
    )
    title = "Encryption: ten uploads; × is TenSEAL's symmetric mode divided by the row"
    return Figures(title, headings, tuple(rows))


def write_tables(path: Path, tables: Sequence[Figures], command: str, name: str) -> None:
    """Put tables between a page's markers NAME:begin and NAME:end, and say what made them and where."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    page = path.read_text("utf-8")
    if begin not in page or end not in page:
        raise ConfigurationError(f"{path} has no markers {begin} and {end} to write between")
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    content = "\n".join(
        [f"Made by `{command}` on {machine}, shared with other work.", "", *(t.markdown() for t in tables)]
    )
    made = re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n{content}\n{end}", page, flags=re.DOTALL)
    path.write_text(made, "utf-8")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
