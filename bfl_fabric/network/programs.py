"""Where Hyperledger Fabric's own programs are, when they are on this machine.

Looked for in the directory that BFL_FABRIC_BIN names, then in the user's data directory under
`bfl/fabric/VERSION/bin`, then on PATH. Nothing that bfl needs for itself depends on them.
"""

from __future__ import annotations

import os
import shutil
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


def find_programs(
    version: str = "", environment: Mapping[str, str] | None = None, data_directory: Path | None = None
) -> Programs:
    """Return Fabric's programs: of a version, or of the newest that is there. Raises ProgramsMissing.

    A directory that BFL_FABRIC_BIN names is taken whatever version it holds.
    """
    variables = os.environ if environment is None else environment
    candidates = [Programs(Path(variables[VARIABLE]))] if variables.get(VARIABLE) else []
    candidates += [Programs(path) for path in _installed(version, data_directory)]
    if not version:
        candidates.append(Programs(None))
    for programs in candidates:
        if programs.has("peer"):
            return programs
    wanted = f"Hyperledger Fabric {version}".strip()
    raise ProgramsMissing(
        f"the programs of {wanted} are not on this machine: unpack a release archive of Fabric and name its bin "
        f"directory in {VARIABLE}"
    )


def _installed(version: str, data_directory: Path | None) -> Iterator[Path]:
    """Yield the bin directories under the user's data directory, the newest version first."""
    home = data_directory or Path(platformdirs.user_data_dir("bfl", appauthor=False))
    if version:
        yield home / "fabric" / version / "bin"
        return
    yield from sorted((home / "fabric").glob("*/bin"), key=_version_key, reverse=True)


def _version_key(path: Path) -> tuple[int, ...]:
    parts = path.parent.name.split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else (0,)
