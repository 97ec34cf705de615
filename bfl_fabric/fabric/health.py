"""The health of a peer or orderer, asked at its operations port.

Decides what /healthz answers mean. What to do about a sick process is left to whoever runs it.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
from dataclasses import dataclass

from bfl_fabric.fabric.trust import Endpoint

_ANSWER_LIMIT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a process says that it is well, and the reason when it is not."""

    ok: bool
    reason: str


async def health(address: str, tls: ssl.SSLContext | None = None, deadline_seconds: float = 3.0) -> Health:
    """Ask the operations port at host:port; a port that does not answer is not well."""
    return await asyncio.to_thread(_ask, address, tls, deadline_seconds)


def _ask(address: str, tls: ssl.SSLContext | None, deadline_seconds: float) -> Health:
    endpoint = Endpoint.parse(address)
    connection = (
        http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=deadline_seconds)
        if tls is None
        else http.client.HTTPSConnection(endpoint.host, endpoint.port, timeout=deadline_seconds, context=tls)
    )
    try:
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        return _read(response.status, response.read(_ANSWER_LIMIT_BYTES))
    except (OSError, http.client.HTTPException) as error:
        return Health(False, f"the operations port {address} does not answer: {error}")
    finally:
        connection.close()


def _read(status: int, raw: bytes) -> Health:
    if status == http.HTTPStatus.OK:
        return Health(True, "")
    try:
        failed = json.loads(raw).get("failed_checks") or []
        reasons = [f"{item.get('component', '?')}: {item.get('reason', '?')}" for item in failed]
    except (ValueError, AttributeError):
        reasons = []
    return Health(False, "; ".join(reasons) or f"status {status}")
