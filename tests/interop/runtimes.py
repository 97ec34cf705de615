"""Foreign runtimes and what our small programs need in them, installed once into the user's cache.

Decides where an installation lives (outside the repository, named by the digest of the files that describe it, so
that a second run finds it) and what counts as missing: a runtime that is not on PATH, a registry that does not
answer. Tests then skip and benchmarks leave a row out, with the reason. What the programs do is left to them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import platformdirs

HERE = Path(__file__).parent
INSTALL_SECONDS = 240
_DONE = ".installed"
_UNREACHED = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ERR_SOCKET_TIMEOUT|\bE[45]\d\d\b"
    r"|Could not (transfer|resolve|find artifact)|PluginResolutionException|UnknownHostException"
    r"|No matching distribution|Could not fetch|NewConnectionError|Temporary failure in name resolution"
)
"""How npm, mvn and pip say that a registry was not reached or lacks something; all else is a fault of ours."""


class RuntimeMissing(Exception):
    """A foreign program cannot be run here; the message says what is missing."""


def require(*programs: str) -> None:
    """Raise RuntimeMissing when a program is not on PATH."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise RuntimeMissing(f"{' and '.join(missing)} not on PATH")


def node_program(source: Path) -> Path:
    """Return a copy of a Node program's directory with its packages beside it. Raises RuntimeMissing."""
    require("node", "npm")
    command = [
        "npm",
        "ci",
        "--ignore-scripts",
        "--omit=optional",
        "--prefer-offline",
        "--no-audit",
        "--no-fund",
    ]
    return installed(source, lambda place: _run(command, place))


def java_program(source: Path) -> Path:
    """Return a copy of a Maven project's directory, built, with its libraries in `target/lib`.

    Raises RuntimeMissing.
    """
    require("java", "mvn")
    command = ["mvn", "--quiet", "--batch-mode", "-Dstyle.color=never", "compile"]
    return installed(source, lambda place: _run(command, place))


def python_environment(source: Path) -> Path:
    """Return a virtual environment with exactly what a directory's `requirements.txt` names. Raises RuntimeMissing."""

    def install(place: Path) -> None:
        _run([sys.executable, "-m", "venv", str(place / "environment")], place)
        pip = [str(place / "environment" / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        _run([*pip, "install", "--quiet", "--no-deps", "-r", "requirements.txt"], place)

    return installed(source, install) / "environment"


def installed(source: Path, install: Callable[[Path], None]) -> Path:
    """Copy a program's directory into the cache and install there what it needs, unless that was done before."""
    place = cache_directory() / f"{source.name}-{_digest(source)}"
    with _locked(place.with_suffix(".lock")):
        if not (place / _DONE).exists():
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(source, place)
            install(place)
            (place / _DONE).touch()
    return place


def cache_directory() -> Path:
    place = Path(platformdirs.user_cache_dir("bfl", appauthor=False)) / "interop"
    place.mkdir(parents=True, exist_ok=True)
    return place


def _run(command: Sequence[str], place: Path) -> None:
    name = f"{Path(command[0]).name} {' '.join(command[1:3])}"
    try:
        result = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise RuntimeMissing(f"{name}: no answer from the registry within {INSTALL_SECONDS} s") from error
    if result.returncode:
        told = result.stderr + result.stdout
        said = " | ".join([line for line in told.splitlines() if line.strip()][:5])
        if _UNREACHED.search(told):
            raise RuntimeMissing(f"{name} could not install {place.name}: {said}")
        raise RuntimeError(f"{name} failed in {place}: {said}")


def _digest(source: Path) -> str:
    content = hashlib.sha256()
    for path in _files(source):
        content.update(f"{path.relative_to(source)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return content.hexdigest()[:16]


def _files(source: Path) -> list[Path]:
    return sorted(path for path in source.rglob("*") if path.is_file())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other test processes out while something is installed."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def environment() -> dict[str, str]:
    """Return the environment for a foreign program: without what would change how it speaks."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CORE_", "ORDERER_", "GRPC_"))
    }
