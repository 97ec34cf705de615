"""Puts the nouns together. Each noun is imported here and nowhere else; none of them loads torch or tenseal."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from bfl_fabric import __version__
from bfl_fabric.cli import (
    audit,
    bench,
    bench_scale,
    demo,
    doctor,
    federation,
    key,
    ledger,
    model,
    network,
    node,
    participant,
    reward,
    task,
)
from bfl_fabric.cli import (
    round as rounds,
)

application = typer.Typer(
    name="bfl",
    help="Federated learning whose rules, sums and payouts are settled on a permissioned ledger.",
    epilog="Start with `bfl demo`. Exit codes: 0 done, 2 wrong setting or argument, 3 the audit failed, "
    "4 malformed input, 5 ledger, 6 a rule of the contract refused, 7 transfer, 8 not found, 9 key holder refused, "
    "10 worker, 11 disk full, 12 programs missing, 130 stopped.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"bfl-fabric {__version__}")
        raise typer.Exit


@application.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    log_level: Annotated[
        str,
        typer.Option(help="Log level of this process: debug, info, warning, error.", envvar="BFL_LOG_LEVEL"),
    ] = "warning",
) -> None:
    logging.basicConfig(
        level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )


application.command("demo")(demo.demo)
application.add_typer(federation.nouns, name="federation")
application.add_typer(task.nouns, name="task")
application.add_typer(rounds.nouns, name="round")
application.add_typer(key.nouns, name="key")
application.add_typer(participant.nouns, name="participant")
application.add_typer(node.nouns, name="node")
application.add_typer(ledger.nouns, name="ledger")
application.add_typer(network.nouns, name="network")
application.add_typer(audit.nouns, name="audit")
application.add_typer(model.nouns, name="model")
application.add_typer(reward.nouns, name="reward")
application.command("doctor")(doctor.doctor)
application.add_typer(bench.nouns, name="bench")
bench.nouns.command("scale")(bench_scale.scale)
