"""Starts the trivial contract (`Put(key, value)`, `Get(key)`) in a process, in one of three languages.

Decides how each is launched and when it listens; which peer it belongs to says the package id. What each language
needs is installed into the user's cache (`tests.interop.runtimes`).
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.interop import runtimes

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
READY_SECONDS = 30.0
QUIET = {"CORE_CHAINCODE_LOGGING_LEVEL": "WARNING", "CORE_CHAINCODE_LOGGING_SHIM": "WARNING"}
"""Both foreign shims write a line per transaction otherwise; ours writes none."""


class Kind(StrEnum):
    """Whose shim the contract runs on."""

    PYTHON = "python"
    NODE = "node"
    JAVA = "java"


@dataclass(frozen=True)
class TlsFiles:
    """The server's key and certificate, and the authorities of the peers' client certificates, PEM."""

    key: Path
    certificate: Path
    client_roots: Path


@dataclass(frozen=True)
class ContractProcess:
    """A contract that listens. `stop` ends it."""

    kind: Kind
    address: str
    process: subprocess.Popen[bytes]
    workplace: tempfile.TemporaryDirectory[str]

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.workplace.cleanup()


def prepare(kind: Kind) -> None:
    """Install what a language needs, so that `start` is quick. Raises RuntimeMissing."""
    if kind is Kind.NODE:
        runtimes.node_program(HERE / "node")
    elif kind is Kind.JAVA:
        runtimes.java_program(HERE / "java")


def start(kind: Kind, package_id: str, address: str, tls: TlsFiles | None) -> ContractProcess:
    """Start a contract at host:port and return once it listens. Raises RuntimeMissing, RuntimeError."""
    workplace = tempfile.TemporaryDirectory(prefix="bfl-contract-")
    log = Path(workplace.name) / "contract.log"
    command = _command(kind, package_id, address, tls, Path(workplace.name))
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**runtimes.environment(), **QUIET},
        )
    started = ContractProcess(kind, address, process, workplace)
    try:
        _wait(started)
    except RuntimeError as error:
        said = log.read_text(errors="replace")[-2000:]
        started.stop()
        raise RuntimeError(f"{error}: {said}") from None
    return started


@contextlib.contextmanager
def running(kind: Kind, package_id: str, address: str, tls: TlsFiles | None) -> Iterator[ContractProcess]:
    """The same as a context manager."""
    started = start(kind, package_id, address, tls)
    try:
        yield started
    finally:
        started.stop()


def _command(kind: Kind, package_id: str, address: str, tls: TlsFiles | None, workplace: Path) -> list[str]:
    files = (
        {}
        if tls is None
        else {"key": str(tls.key), "certificate": str(tls.certificate), "client_roots": str(tls.client_roots)}
    )
    if kind is Kind.JAVA:
        target = runtimes.java_program(HERE / "java") / "target"
        host, _, port = address.rpartition(":")
        classpath = f"{target}/classes:{target}/lib/*"
        return ["java", "-cp", classpath, "bench.KeyValue", package_id, host, port, *files.values()]
    settings = workplace / "settings.json"
    settings.write_text(json.dumps({"package_id": package_id, "address": address, **files}))
    if kind is Kind.NODE:
        return ["node", str(runtimes.node_program(HERE / "node") / "contract.js"), str(settings)]
    return [sys.executable, "-m", "tests.benchmarks.ledger.python_contract", str(settings)]


def _wait(started: ContractProcess) -> None:
    host, _, port = started.address.rpartition(":")
    deadline = time.monotonic() + READY_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        if started.process.poll() is not None:
            raise RuntimeError(f"the {started.kind} contract ended by itself")
        if time.monotonic() > deadline:
            raise RuntimeError(f"the {started.kind} contract does not listen at {started.address}")
        time.sleep(0.05)
