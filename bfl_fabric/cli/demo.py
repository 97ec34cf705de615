"""`bfl demo`: the whole story on this machine, with real processes, sockets, certificates and data."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import shutil
from pathlib import Path
from typing import Annotated

import typer

from bfl_fabric.cli.connection import DEMO
from bfl_fabric.cli.output import JsonFlag, console, errors
from bfl_fabric.errors import ConfigurationError


@dataclasses.dataclass(frozen=True, slots=True)
class DemoChoice:
    """What was asked for on the command line."""

    data: str
    rounds: int | None
    organizations: int
    participants: int
    seed: int
    directory: Path
    as_json: bool
    ledger: str = "embedded"
    consensus: str | None = None
    scheme: str = "ckks"


def demo(
    data: Annotated[
        str, typer.Option(help="Data set: breast-cancer or digits; both ship with scikit-learn.")
    ] = ("breast-cancer"),
    rounds: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Rounds; by default the data set's own.")
    ] = None,
    organizations: Annotated[int, typer.Option(min=2, max=26, help="Organizations.")] = 3,
    participants: Annotated[
        int | None, typer.Option(min=4, max=100, help="Silos in all; two each by default.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Seed of the split and of training.")] = 1,
    directory: Annotated[
        Path | None, typer.Option(help="Where to put everything; by default a new directory in ./bfl-demo.")
    ] = None,
    ledger: Annotated[
        str, typer.Option(help="embedded, or fabric: real peers and orderers, whose programs must be here.")
    ] = "embedded",
    consensus: Annotated[
        str | None, typer.Option(help="With --ledger fabric: raft (one orderer) or bft (four).")
    ] = None,
    scheme: Annotated[
        str,
        typer.Option(
            help="Encryption: ckks (one key holder), packed (silos share the key), threshold (nobody has it)."
        ),
    ] = "ckks",
    as_json: JsonFlag = False,
) -> None:
    """Found a federation, train together on encrypted updates, settle, pay and audit: about a minute.

    Each silo, the aggregator, the key holder, the verifiers, the coordinator and the ledger are processes of their
    own that talk over gRPC with mutual TLS. Everything is kept in one directory; nothing listens beyond 127.0.0.1.

    Examples: bfl demo; bfl demo --data digits --rounds 30 --participants 12; bfl demo --organizations 5 --json;
    bfl demo --ledger fabric --consensus bft; bfl demo --scheme threshold --organizations 5
    """
    from bfl_fabric.cli.demo_run import DemoRun
    from bfl_fabric.network.programs import find_programs
    from bfl_fabric.sdk.terms import require_scheme

    require_scheme(scheme)
    if ledger == "fabric":
        find_programs()
    choice = DemoChoice(
        data=data,
        rounds=rounds,
        organizations=organizations,
        participants=participants or 2 * organizations,
        seed=seed,
        directory=directory or _fresh_directory(),
        as_json=as_json,
        ledger=ledger,
        consensus=consensus,
        scheme=scheme,
    )
    if choice.directory.exists() and any(choice.directory.iterdir()):
        raise ConfigurationError(f"{choice.directory} is not empty; choose another --directory")
    asyncio.run(DemoRun(choice, errors if as_json else console).run())
    if directory is None:
        _point_latest(choice.directory)


def _fresh_directory() -> Path:
    moment = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    for attempt in range(100):
        candidate = DEMO / (moment if attempt == 0 else f"{moment}-{attempt}")
        if not candidate.exists():
            candidate.mkdir(parents=True)
            return candidate
    raise ConfigurationError(f"too many demonstrations at once in {DEMO}")


def _point_latest(directory: Path) -> None:
    latest = DEMO / "latest"
    aside = DEMO / f".latest-{directory.name}"
    aside.symlink_to(directory.name)
    aside.replace(latest)
    kept = sorted(path for path in DEMO.iterdir() if path.is_dir() and not path.is_symlink())
    for old in kept[:-5]:
        shutil.rmtree(old, ignore_errors=True)
