"""Starts, watches and kills a node that serves transfers in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from bfl_fabric.transport.credentials import NodeCredentials
from tests.unit.transport.throwaway_tls import Consortium, pem
from tests.unit.transport.transfer_site import sha256

SCRIPTS = Path(__file__).parent


class NodeProcess:
    """A node of AlphaMSP; `commitments` may grow while it runs."""

    def __init__(self, directory: Path, **limits: float) -> None:
        self.directory = directory
        self.consortium = Consortium(directory)
        self.store = directory / "node"
        self.commitments: dict[str, int] = {}
        self.limits = limits
        self.address = "127.0.0.1:0"
        self.certificate, self.key = self.consortium.files(
            self.consortium.authorities["AlphaMSP"], "aggregator.alpha"
        )
        self._process: subprocess.Popen[str] | None = None
        self._write_commitments()

    def __enter__(self) -> NodeProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def trust_texts(self) -> dict[str, str]:
        authorities = self.consortium.authorities.items()
        return {msp_id: pem(authority.certificate).decode() for msp_id, authority in authorities}

    def commit(self, data: bytes) -> str:
        digest = sha256(data)
        self.commitments[digest] = len(data)
        self._write_commitments()
        return digest

    def start(self) -> None:
        """Listen where it listened before, if it did."""
        configuration = self.directory / "configuration.json"
        configuration.write_text(
            json.dumps(
                {
                    "address": self.address,
                    "certificate": str(self.certificate),
                    "key": str(self.key),
                    "trust": self.trust_texts,
                    "store": str(self.store),
                    "commitments": str(self.directory / "commitments.json"),
                    "limits": self.limits,
                }
            )
        )
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPTS / "serving_process.py"), str(configuration)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        assert self.address.startswith("127.0.0.1:")

    def kill(self) -> None:
        """End it with kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    @property
    def proc(self) -> Path:
        assert self._process is not None
        return Path("/proc") / str(self._process.pid)

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def descriptors(self) -> int:
        return len(list((self.proc / "fd").iterdir()))

    def forget_peak(self) -> int:
        """Begin to measure the peak of resident memory anew; return what is resident now, in bytes."""
        (self.proc / "clear_refs").write_text("5")
        return self._status("VmRSS")

    def peak_bytes(self) -> int:
        return self._status("VmHWM")

    def received_bytes(self) -> int:
        """Return the size of the largest partial file."""
        parts = (self.store / "incoming").glob("*.part")
        return max((part.stat().st_size for part in parts), default=0)

    def credentials(self, msp_id: str, common_name: str) -> NodeCredentials:
        return self.consortium.credentials(msp_id, common_name)

    def _status(self, field: str) -> int:
        for line in (self.proc / "status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {field}")

    def _write_commitments(self) -> None:
        path = self.directory / "commitments.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(self.commitments))
        fresh.replace(path)
