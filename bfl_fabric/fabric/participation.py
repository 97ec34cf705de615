"""The channels of an orderer, through its administration port: REST over mutual TLS.

Decides requests and what the answers mean. The port takes only clients with a certificate of an authority that the
orderer was told; it is another port than the one for transactions.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import secrets
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from bfl_fabric.errors import ConfigurationError, LedgerError, LedgerUnavailable, MalformedInput, NotFound
from bfl_fabric.fabric.blocks import parse_block
from bfl_fabric.fabric.channel import config_envelope
from bfl_fabric.fabric.trust import Endpoint

_BASE = "/participation/v1/channels"
_FIELD = "config-block"
_ANSWER_LIMIT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class OrdererChannel:
    """What an orderer has of a channel; `status` and `consensus_relation` are Fabric's words."""

    name: str
    status: str
    consensus_relation: str
    height: int


@dataclass(frozen=True, slots=True)
class Participation:
    """The administration port of one orderer. `address` is host:port; the client's key stays in its file."""

    address: str
    server_roots: bytes
    certificate_path: Path
    key_path: Path
    deadline_seconds: float = 10.0

    async def join(self, config_block: bytes) -> OrdererChannel:
        """Let the orderer join the channel of a configuration block; one that it has already is left as it is.

        Raises LedgerUnavailable, LedgerError, MalformedInput when the block holds no configuration.
        """
        channel_id, _ = config_envelope(parse_block(config_block))
        boundary = secrets.token_hex(16)
        body = _form(boundary, config_block)
        content_type = f"multipart/form-data; boundary={boundary}"
        status, answer = await self._ask("POST", _BASE, body, content_type)
        if status == http.HTTPStatus.METHOD_NOT_ALLOWED:
            return await self.info(channel_id)
        if status != http.HTTPStatus.CREATED:
            self._refuse(f"joining channel {channel_id}", status, answer)
        return self._channel(answer)

    async def channels(self) -> tuple[str, ...]:
        """Return the names of the orderer's channels, sorted."""
        status, answer = await self._ask("GET", _BASE)
        if status != http.HTTPStatus.OK:
            self._refuse("listing channels", status, answer)
        return tuple(sorted(str(item["name"]) for item in answer.get("channels") or ()))

    async def info(self, channel_id: str) -> OrdererChannel:
        """Return what the orderer has of a channel. Raises NotFound."""
        status, answer = await self._ask("GET", _path(channel_id))
        if status == http.HTTPStatus.NOT_FOUND:
            raise NotFound(f"orderer {self.address} has no channel {channel_id}; let it join first")
        if status != http.HTTPStatus.OK:
            self._refuse(f"asking for channel {channel_id}", status, answer)
        return self._channel(answer)

    async def remove(self, channel_id: str) -> None:
        """Let the orderer leave a channel and drop its blocks. Raises NotFound when it has no such channel."""
        status, answer = await self._ask("DELETE", _path(channel_id))
        if status == http.HTTPStatus.NOT_FOUND:
            raise NotFound(f"orderer {self.address} has no channel {channel_id}")
        if status != http.HTTPStatus.NO_CONTENT:
            self._refuse(f"removing channel {channel_id}", status, answer)

    async def _ask(
        self, method: str, path: str, body: bytes = b"", content_type: str = ""
    ) -> tuple[int, dict[str, Any]]:
        return await asyncio.to_thread(self._request, method, path, body, content_type)

    def _request(self, method: str, path: str, body: bytes, content_type: str) -> tuple[int, dict[str, Any]]:
        endpoint = Endpoint.parse(self.address)
        connection = http.client.HTTPSConnection(
            endpoint.host, endpoint.port, timeout=self.deadline_seconds, context=self._tls()
        )
        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if content_type else {})
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            return response.status, _json(response.read(_ANSWER_LIMIT_BYTES))
        except (OSError, http.client.HTTPException) as error:
            raise LedgerUnavailable(
                f"the administration port {self.address} of an orderer does not answer: {error}; is the orderer "
                f"running, and is {self.certificate_path} of an authority that it accepts?"
            ) from error
        finally:
            connection.close()

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cadata=self.server_roots.decode())
            context.load_cert_chain(self.certificate_path, self.key_path)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{self.certificate_path}: no usable TLS certificate and key for an administrator: {error}"
            ) from error
        return context

    def _channel(self, answer: dict[str, Any]) -> OrdererChannel:
        try:
            return OrdererChannel(
                str(answer["name"]),
                str(answer["status"]),
                str(answer["consensusRelation"]),
                int(answer["height"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedInput(f"orderer {self.address}: its answer does not describe a channel") from error

    def _refuse(self, what: str, status: int, answer: dict[str, Any]) -> NoReturn:
        raise LedgerError(
            f"orderer {self.address}: {what} was refused with status {status}: {answer.get('error', '')}"
        )


def _path(channel_id: str) -> str:
    return f"{_BASE}/{quote(channel_id, safe='')}"


def _form(boundary: str, block: bytes) -> bytes:
    """Return the one-part form that the service expects."""
    disposition = f'Content-Disposition: form-data; name="{_FIELD}"; filename="config.block"'
    head = f"--{boundary}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n"
    return head.encode() + block + f"\r\n--{boundary}--\r\n".encode()


def _json(raw: bytes) -> dict[str, Any]:
    """Return the object that an answer holds, an empty one when it holds none."""
    try:
        answer = json.loads(raw) if raw.strip() else {}
    except ValueError:
        return {"error": raw[:200].decode("utf-8", "replace")}
    return answer if isinstance(answer, dict) else {}
