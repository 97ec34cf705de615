"""`bfl audit`: check everything again, offline, trusting nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bfl_fabric.cli.connection import place_of
from bfl_fabric.cli.output import JsonFlag, console, errors
from bfl_fabric.errors import AuditFailed, ConfigurationError

nouns = typer.Typer(help="Audits: check everything again, offline, trusting nobody.", no_args_is_help=True)
Directory = Annotated[
    Path | None,
    typer.Argument(help="Directory of the federation; by default the last demo here.", show_default=False),
]


@nouns.command(epilog="Example: bfl audit verify bfl-demo/latest --genesis 9f2c...")
def verify(
    directory: Directory = None,
    genesis: Annotated[
        str | None,
        typer.Option(
            help="Digest of block 0 as you know it from elsewhere; without it the directory's own is taken."
        ),
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option(help="Report blobs that were not given to you, without failing.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Re-read every block and recompute every commitment, sum, model and payout; exit code 3 when anything differs.

    The only thing believed is the genesis digest. Without --genesis it is read from the directory itself, which
    proves that the records agree with each other, not that they are the right federation's.
    """
    from bfl_fabric.cli.audit_run import audit_directory, print_audit, print_audit_json
    from bfl_fabric.network.directory import genesis_digest

    place = place_of(directory)
    chosen = genesis or genesis_digest(place)
    if len(chosen) != 64 or set(chosen) - set("0123456789abcdef"):
        raise ConfigurationError("--genesis takes 64 lower-case hexadecimal digits")
    if genesis is None:
        errors.print(
            f"taking the directory's own genesis digest {chosen}; pass --genesis to pin it", soft_wrap=True
        )
    report = audit_directory(place, chosen, errors, allow_missing)
    if as_json:
        print_audit_json(report)
    else:
        print_audit(console, report)
    if not report.passed:
        found = len(report.failures) + (0 if allow_missing else len(report.withheld))
        raise AuditFailed(f"the audit failed: {found} findings")


@nouns.command(epilog="Example: bfl audit compare copies/north copies/south")
def compare(
    copies: Annotated[
        list[Path],
        typer.Argument(
            help="Two or more copies of the chain: directories of federations, block files, or directories of "
            "blocks as `peer channel fetch` writes them.",
            show_default=False,
        ),
    ],
    as_json: JsonFlag = False,
) -> None:
    """Hold several peers' copies of the chain against each other; exit code 3 at the first block that differs.

    Compared are headers, data, validation codes and commit hashes. Copies that agree may all be wrong: audit one of
    them with `bfl audit verify`.
    """
    from bfl_fabric.audit.compare import compare as compare_copies
    from bfl_fabric.cli.audit_run import copies_of, print_comparison
    from bfl_fabric.cli.output import print_json

    result = compare_copies(copies_of(copies))
    if as_json:
        print_json(result.to_json())
    else:
        print_comparison(console, result)
    if not result.agreed:
        raise AuditFailed(f"the copies differ: {result.differences[0]}")


@nouns.command("report", epilog="Example: bfl audit report")
def write_again(directory: Directory = None) -> None:
    """Write report.html again from the run's summary, with a fresh audit."""
    import time

    from bfl_chaincode.api import canonical
    from bfl_fabric.audit.summary import RunSummary
    from bfl_fabric.cli.audit_run import SUMMARY, audit_directory, with_audit, write_report
    from bfl_fabric.network.directory import genesis_digest

    place = place_of(directory)
    try:
        summary = RunSummary.from_json(canonical.parse((place / SUMMARY).read_bytes()))
    except OSError as error:
        raise ConfigurationError(f"{place} has no {SUMMARY}; `bfl demo` writes one") from error
    started = time.monotonic()
    report = audit_directory(place, genesis_digest(place), errors)
    milliseconds = int((time.monotonic() - started) * 1000)
    typer.echo(write_report(place, with_audit(summary, report, milliseconds, summary.milliseconds)))
