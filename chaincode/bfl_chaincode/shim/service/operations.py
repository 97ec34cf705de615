"""A small HTTP endpoint for those who operate the service: `/healthz` and `/metrics`, nothing that changes anything.

Decides the shapes, which are those of Fabric's own operations service. What is healthy is left to the server.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bfl_chaincode.shim.service.addresses import host_and_port
from bfl_chaincode.shim.service.metrics import Metrics

FailedChecks = Callable[[], dict[str, str]]
"""Returns the reason by component; empty when all is well."""


class Operations:
    """The endpoint, listening from the moment that it is made."""

    def __init__(self, address: str, metrics: Metrics, failed_checks: FailedChecks) -> None:
        """Listen at host:port. Raises OSError naming the address."""
        handler = type(
            "Handler", (_Handler,), {"metrics": metrics, "failed_checks": staticmethod(failed_checks)}
        )
        host, port = host_and_port(address)
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            raise OSError(f"cannot listen at {address} for operations: {error.strerror}") from error
        self._server.daemon_threads = True
        self.address = f"{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="operations", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    metrics: Metrics
    failed_checks: FailedChecks
    timeout = 10
    server_version = "bfl-contract"
    sys_version = ""

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self._health()
        elif self.path == "/metrics":
            self._send(200, "text/plain; version=0.0.4; charset=utf-8", self.metrics.text())
        else:
            self._send(404, "text/plain; charset=utf-8", "here are /healthz and /metrics\n")

    def _health(self) -> None:
        failed = self.failed_checks()
        content: dict[str, object] = {
            "status": "Service Unavailable" if failed else "OK",
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        if failed:
            content["failed_checks"] = [{"component": name, "reason": text} for name, text in failed.items()]
        self._send(503 if failed else 200, "application/json", json.dumps(content) + "\n")

    def _send(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class says so)
        """Health checks come every few seconds; they are nothing to tell."""
