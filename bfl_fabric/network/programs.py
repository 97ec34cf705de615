"""Where Hyperledger Fabric's own programs are, when they are on this machine.

Looked for in the directory that BFL_FABRIC_BIN names, then in the user's data directory under
`bfl/fabric/VERSION/bin`, then on PATH. Nothing that bfl needs for itself depends on them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from bfl_fabric.errors import ProgramsMissing

VARIABLE = "BFL_FABRIC_BIN"
PROGRAMS = ("peer", "orderer", "configtxgen", "configtxlator", "cryptogen", "osnadmin")


@dataclass(frozen=True, slots=True)
class Programs:
    """A directory with Fabric's programs, or PATH when `directory` is None."""

    directory: Path | None

    def path(self, program: str) -> Path:
        """Return where a program is. Raises ProgramsMissing."""
        found = shutil.which(program, path=None if self.directory is None else str(self.directory))
        if found is None:
            place = "PATH" if self.directory is None else self.directory
            raise ProgramsMissing(f"{program} of Hyperledger Fabric is not in {place}; set {VARIABLE}")
        return Path(found)

    def has(self, program: str) -> bool:
        try:
            self.path(program)
        except ProgramsMissing:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Found:
    """A place where Fabric's programs are: its version as `peer version` tells it, and which of them are there."""

    directory: str
    version: str
    programs: tuple[str, ...]


MISSING = """\
Hyperledger Fabric's own programs, `peer` and `orderer`, are needed for this and are not on this machine.

  With containers   nothing to install: docker compose -f docker-compose.fabric.yml up
  Without           take a release archive of Fabric {versions} for your system from the project's releases
                    (github.com/hyperledger/fabric, hyperledger-fabric-SYSTEM-VERSION.tar.gz) and unpack it, so that
                    its programs are in {place}/VERSION/bin
  Elsewhere         name the directory that holds them: export {variable}=/path/to/fabric/bin

Only `peer` and `orderer` are used. Look again with `bfl network programs`.
`bfl demo` and everything on the embedded ledger work without them."""


def missing_programs(version: str = "", data_directory: Path | None = None) -> ProgramsMissing:
    """Return the error that tells a newcomer what to install and where to put it."""
    place = _home(data_directory) / "fabric"
    return ProgramsMissing(MISSING.format(versions=version or "3.1 or 2.5", place=place, variable=VARIABLE))


def list_programs(
    environment: Mapping[str, str] | None = None, data_directory: Path | None = None
) -> list[Found]:
    """Return every place that holds `peer` and `orderer`, in the order in which `find_programs` takes them."""
    found = []
    for programs in _candidates("", os.environ if environment is None else environment, data_directory):
        present = tuple(name for name in PROGRAMS if programs.has(name))
        if {"peer", "orderer"} <= set(present):
            place = "PATH" if programs.directory is None else str(programs.directory)
            found.append(Found(place, program_version(programs.path("peer")), present))
    return found


def program_version(program: Path) -> str:
    """Return the version that one of Fabric's programs says of itself, "unknown" when it says none."""
    try:
        said = subprocess.run(  # noqa: S603 (a program that was looked for by name)
            [str(program), "version"], capture_output=True, text=True, timeout=20, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    match = re.search(r"^\s*Version: v?(\S+)", said, re.MULTILINE)
    return match.group(1) if match else "unknown"


def find_programs(
    version: str = "", environment: Mapping[str, str] | None = None, data_directory: Path | None = None
) -> Programs:
    """Return Fabric's programs: of a version, or of the newest that is there. Raises ProgramsMissing.

    A directory that BFL_FABRIC_BIN names is taken whatever version it holds.
    """
    variables = os.environ if environment is None else environment
    for programs in _candidates(version, variables, data_directory):
        if programs.has("peer") and programs.has("orderer"):
            return programs
    raise missing_programs(version, data_directory)


def _candidates(
    version: str, variables: Mapping[str, str], data_directory: Path | None
) -> Iterator[Programs]:
    if variables.get(VARIABLE):
        yield Programs(Path(variables[VARIABLE]))
    for path in _installed(version, data_directory):
        yield Programs(path)
    if not version:
        yield Programs(None)


def _installed(version: str, data_directory: Path | None) -> Iterator[Path]:
    """Yield the bin directories under the user's data directory, the newest version first.

    A version may be given in part: 3.1 is the newest 3.1 that is there.
    """
    home = _home(data_directory) / "fabric"
    paths = sorted(home.glob("*/bin"), key=_version_key, reverse=True)
    yield from (path for path in paths if f"{path.parent.name}.".startswith(f"{version}.") or not version)


def _home(data_directory: Path | None) -> Path:
    return data_directory or Path(platformdirs.user_data_dir("bfl", appauthor=False))


def _version_key(path: Path) -> tuple[int, ...]:
    parts = path.parent.name.split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else (0,)
