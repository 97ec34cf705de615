"""The administration port of orderers and the operations port of both: requests, answers, refusals."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bfl_fabric.errors import ConfigurationError, LedgerError, LedgerUnavailable, MalformedInput, NotFound
from bfl_fabric.fabric.health import Health, health
from bfl_fabric.fabric.participation import OrdererChannel, Participation
from bfl_fabric.fabric.wire import write
from tests.unit.fabric.organizations import CHANNEL, Organization, federation

CHANNEL_URL = f"/participation/v1/channels/{CHANNEL}"
INFO = {
    "name": CHANNEL,
    "url": CHANNEL_URL,
    "consensusRelation": "consenter",
    "status": "active",
    "height": 4,
}
JOINED = OrdererChannel(CHANNEL, "active", "consenter", 4)


@dataclass
class Port:
    """What the port answers to a method and path, and what it was asked."""

    answers: dict[tuple[str, str], tuple[int, bytes]]
    requests: list[tuple[str, str, bytes, str]] = field(default_factory=list)
    address: str = ""


@contextmanager
def serving(port: Port, tls: ssl.SSLContext | None = None) -> Iterator[Port]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            port.requests.append((self.command, self.path, body, self.headers.get("Content-Type", "")))
            status, content = port.answers.get((self.command, self.path), (500, b"unexpected"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _answer

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    port.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def tls_files(organization: Organization, name: str, folder: Path) -> tuple[Path, Path]:
    issued = organization.tls_authority.issue_tls(name)
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    for path, content in zip(paths, (issued.certificate_pem, issued.key_pem), strict=True):
        path.write_bytes(content)
    return paths


@contextmanager
def orderer(
    answers: dict[tuple[str, str], tuple[int, bytes]], folder: Path
) -> Iterator[tuple[Port, Participation]]:
    """An administration port that takes only clients of its own organization's TLS authority."""
    organization = federation().orderer
    roots = organization.tls_authority.certificate_pem
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*tls_files(organization, "server", folder))
    context.load_verify_locations(cadata=roots.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    certificate, key = tls_files(organization, "admin", folder)
    with serving(Port(answers), context) as port:
        yield port, Participation(port.address, roots, certificate, key, 3.0)


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_joining_sends_the_block_as_the_one_part_of_a_form(tmp_path: Path) -> None:
    block = write(federation().genesis())
    answers = {("POST", "/participation/v1/channels"): (201, text(INFO))}
    with orderer(answers, tmp_path) as (port, client):
        assert asyncio.run(client.join(block)) == JOINED
    ((method, path, body, content_type),) = port.requests
    assert (method, path) == ("POST", "/participation/v1/channels")
    form = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    (part,) = form.get_payload()
    assert part.get_param("name", header="content-disposition") == "config-block"
    assert part.get_filename()
    assert part.get_payload(decode=True) == block


def test_a_channel_that_is_there_already_is_left_as_it_is(tmp_path: Path) -> None:
    refused = (405, text({"error": "cannot join: channel already exists"}))
    answers = {("POST", "/participation/v1/channels"): refused, ("GET", CHANNEL_URL): (200, text(INFO))}
    with orderer(answers, tmp_path) as (_, client):
        assert asyncio.run(client.join(write(federation().genesis()))) == JOINED


def test_a_refusal_keeps_status_and_words(tmp_path: Path) -> None:
    answers = {
        ("POST", "/participation/v1/channels"): (400, text({"error": "cannot join: bad block"})),
        ("DELETE", CHANNEL_URL): (409, text({"error": "cannot remove: pending removal"})),
        ("GET", "/participation/v1/channels"): (503, b"<html>busy</html>"),
        ("GET", CHANNEL_URL): (200, text({"name": CHANNEL})),
    }
    with orderer(answers, tmp_path) as (port, client):
        with pytest.raises(LedgerError, match=rf"{port.address}.*status 400: cannot join: bad block"):
            asyncio.run(client.join(write(federation().genesis())))
        with pytest.raises(LedgerError, match="status 409: cannot remove: pending removal"):
            asyncio.run(client.remove(CHANNEL))
        with pytest.raises(LedgerError, match="status 503: <html>busy"):
            asyncio.run(client.channels())
        with pytest.raises(MalformedInput, match="does not describe a channel"):
            asyncio.run(client.info(CHANNEL))


def test_channels_are_listed_and_removed(tmp_path: Path) -> None:
    listed = {"systemChannel": None, "channels": [{"name": "b"}, {"name": "a"}]}
    answers = {
        ("GET", "/participation/v1/channels"): (200, text(listed)),
        ("DELETE", CHANNEL_URL): (204, b""),
        ("DELETE", "/participation/v1/channels/a%2Fb"): (404, text({"error": "not there"})),
        ("GET", "/participation/v1/channels/absent"): (404, text({"error": "not there"})),
    }
    with orderer(answers, tmp_path) as (port, client):
        assert asyncio.run(client.channels()) == ("a", "b")
        asyncio.run(client.remove(CHANNEL))
        with pytest.raises(NotFound, match="no channel a/b"):
            asyncio.run(client.remove("a/b"))
        with pytest.raises(NotFound, match="no channel absent"):
            asyncio.run(client.info("absent"))
        port.answers["GET", "/participation/v1/channels"] = (200, text({"channels": None}))
        assert asyncio.run(client.channels()) == ()


def test_neither_side_talks_to_a_stranger(tmp_path: Path) -> None:
    with orderer({}, tmp_path) as (port, client):
        certificate, key = tls_files(federation().organizations[0], "stranger", tmp_path)
        stranger = replace(client, certificate_path=certificate, key_path=key)
        with pytest.raises(LedgerUnavailable, match="authority that it accepts"):
            asyncio.run(stranger.channels())
        roots = federation().organizations[0].tls_authority.certificate_pem
        with pytest.raises(LedgerUnavailable, match="does not answer"):
            asyncio.run(replace(client, server_roots=roots).channels())
        assert not port.requests
    with pytest.raises(ConfigurationError, match="no usable TLS certificate"):
        asyncio.run(replace(client, key_path=tmp_path / "absent").channels())
    with pytest.raises(LedgerUnavailable, match="does not answer"):
        asyncio.run(client.channels())


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (200, b'{"status":"OK"}', Health(True, "")),
        (
            503,
            b'{"status":"Service Unavailable","failed_checks":[{"component":"couchdb","reason":"gone"}]}',
            Health(False, "couchdb: gone"),
        ),
        (503, b"[]", Health(False, "status 503")),
        (404, b"not found", Health(False, "status 404")),
    ],
)
def test_health_is_what_the_operations_port_says(status: int, content: bytes, expected: Health) -> None:
    with serving(Port({("GET", "/healthz"): (status, content)})) as port:
        assert asyncio.run(health(port.address)) == expected


def test_health_of_a_port_with_tls_is_asked_over_tls(tmp_path: Path) -> None:
    organization = federation().orderer
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*tls_files(organization, "operations", tmp_path))
    trust = ssl.create_default_context(cadata=organization.tls_authority.certificate_pem.decode())
    with serving(Port({("GET", "/healthz"): (200, b"{}")}), context) as port:
        assert asyncio.run(health(port.address, trust)).ok


def test_a_port_that_does_not_answer_is_not_well() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        found = asyncio.run(health(f"127.0.0.1:{silent.getsockname()[1]}", deadline_seconds=0.2))
    assert not found.ok
    assert "does not answer" in found.reason
