"""Which federation and which identity a command means."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from bfl_fabric.errors import ConfigurationError

DEMO = Path("bfl-demo")

Place = Annotated[
    Path | None,
    typer.Option(
        "--federation",
        "-f",
        envvar="BFL_FEDERATION",
        help="Directory of the federation, or a client's TOML file; by default the last demo here.",
        show_default=False,
    ),
]
As = Annotated[str, typer.Option("--as", help="Identity to act with, one of the federation's clients.")]
APPLICATION = "application"


def command() -> str:
    """Return how this `bfl` is called from here: by its name where the shell finds it, else by its path."""
    own = Path(sys.executable).parent / "bfl"
    if shutil.which("bfl") == str(own):
        return "bfl"
    return shlex.quote(str(own.relative_to(Path.cwd())) if own.is_relative_to(Path.cwd()) else str(own))


def place_of(place: Path | None) -> Path:
    """Return the federation that was named, else the last demo's. Raises ConfigurationError when there is none."""
    if place is not None:
        if not place.exists():
            raise ConfigurationError(
                f"there is no federation at {place}; make one with `bfl federation create`"
            )
        return place
    latest = DEMO / "latest"
    if latest.exists():
        return latest.resolve()
    raise ConfigurationError(
        "no federation named: pass --federation DIRECTORY or set BFL_FEDERATION "
        "(`bfl demo` makes one in ./bfl-demo, `bfl federation create` an empty one)"
    )
