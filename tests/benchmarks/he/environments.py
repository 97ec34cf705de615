"""The competitors' Python environments, made once in the user's cache from pinned versions.

Decides where an environment lives (outside the repository, named by the digest of what it holds, so that a second run
finds it), which interpreter it gets (a wheel may hold one CPython build only) and what counts as missing: no such
interpreter, or packages that cannot be installed. The report then says so in the competitor's row.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

REQUIREMENTS = Path(__file__).parent / "foreign" / "requirements"
INSTALL_SECONDS = 600
_DONE = ".installed"


class EnvironmentMissing(Exception):
    """A competitor cannot be run here; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The packages of `foreign/requirements/NAME.txt` on one CPython release, such as "3.10"."""

    name: str
    python: str


def interpreter_of(environment: Environment) -> Path:
    """Return the environment's interpreter, making the environment if need be. Raises EnvironmentMissing."""
    requirements = REQUIREMENTS / f"{environment.name}.txt"
    digest = hashlib.sha256(environment.python.encode() + requirements.read_bytes()).hexdigest()[:16]
    root = platformdirs.user_cache_path("bfl", appauthor=False) / "bench-he"
    root.mkdir(parents=True, exist_ok=True)
    place = root / f"{environment.name}-{digest}"
    interpreter = place / "bin" / "python"
    with (root / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / _DONE).exists():
            shutil.rmtree(place, ignore_errors=True)
            _run([str(_python(environment.python)), "-m", "venv", str(place)])
            pip = [str(interpreter), "-m", "pip", "--disable-pip-version-check", "--quiet"]
            _run([*pip, "install", "--no-deps", "-r", str(requirements)])
            (place / _DONE).touch()
    return interpreter


def _python(version: str) -> Path:
    """Return an interpreter of this release. Raises EnvironmentMissing."""
    for candidate in _interpreters(version):
        if candidate.exists() and _release(candidate) == version:
            return candidate
    raise EnvironmentMissing(f"needs Python {version}, which is not on PATH, with pyenv or with uv")


def _interpreters(version: str) -> Iterator[Path]:
    yield Path(sys.executable)
    if on_path := shutil.which(f"python{version}"):
        yield Path(on_path)
    yield from sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    beside = Path(sys.executable).with_name("uv")
    if uv := (str(beside) if beside.exists() else shutil.which("uv")):
        found = _output([uv, "python", "find", "--no-python-downloads", "--no-project", version])
        if found:
            yield Path(found)


def _release(interpreter: Path) -> str:
    return _output([str(interpreter), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])


def _output(command: list[str]) -> str:
    """Return what a program prints, nothing where it fails."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return "" if result.returncode else result.stdout.strip()


def _run(command: list[str]) -> None:
    name = f"{Path(command[0]).name} {' '.join(command[1:3])}"
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise EnvironmentMissing(f"{name} took more than {INSTALL_SECONDS} s") from error
    if result.returncode:
        said = [line for line in result.stderr.splitlines() if line.strip()] or ["no reason given"]
        raise EnvironmentMissing(f"{name} failed: {said[-1]}")
