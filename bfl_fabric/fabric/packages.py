"""Chaincode packages for chaincode that runs as a service of its own.

Decides a package's bytes, always the same for the same arguments, and with them its package id, so that nobody has
to ask a peer for it. How peers take a package is left to `bfl_fabric.fabric.deployment`.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bfl_fabric.errors import ConfigurationError

_LABEL = re.compile(r"[a-zA-Z0-9]+([.+_-][a-zA-Z0-9]+)*")
_KIND = "ccaas"
_GZIP_HEADER = bytes.fromhex("1f8b08000000000000ff")
_STORED_BYTES = 0xFFFF


@dataclass(frozen=True, slots=True)
class ConnectionTls:
    """What a peer needs for mutual TLS with the chaincode's service, all PEM. The key does not print."""

    root_certificates: bytes
    client_certificate: bytes
    client_key: bytes

    def __repr__(self) -> str:
        return "ConnectionTls(…)"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a peer finds the chaincode's service: host:port. Without `tls` the connection is in the clear."""

    address: str
    tls: ConnectionTls | None
    dial_timeout_seconds: int = 10


@dataclass(frozen=True, slots=True)
class ChaincodePackage:
    """A package as peers install it. With TLS it holds the peer's client key: keep it as secret as that."""

    label: str
    content: bytes

    @property
    def package_id(self) -> str:
        """What peers will call the package: the label and the SHA-256 of its bytes."""
        return f"{self.label}:{hashlib.sha256(self.content).hexdigest()}"

    def __repr__(self) -> str:
        return f"ChaincodePackage({self.package_id})"


def service_package(label: str, connection: Connection) -> ChaincodePackage:
    """Return the package that tells a peer where the service is. Raises ConfigurationError for a bad label."""
    if not _LABEL.fullmatch(label):
        raise ConfigurationError(
            f"{label!r} is not a package label: letters and digits, with single '.', '+', '_', '-' in between"
        )
    code = archive({"connection.json": _json(_connection(connection))})
    metadata = _json({"type": _KIND, "label": label})
    return ChaincodePackage(label, archive({"metadata.json": metadata, "code.tar.gz": code}))


def _connection(connection: Connection) -> dict[str, Any]:
    plain = {
        "address": connection.address,
        "dial_timeout": f"{connection.dial_timeout_seconds}s",
        "tls_required": connection.tls is not None,
    }
    if connection.tls is None:
        return plain
    return plain | {
        "client_auth_required": True,
        "client_key": connection.tls.client_key.decode(),
        "client_cert": connection.tls.client_certificate.decode(),
        "root_cert": connection.tls.root_certificates.decode(),
    }


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return a gzipped tar without times, owners or anything else of this machine."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return _gzip(raw.getvalue())


def _gzip(content: bytes) -> bytes:
    """Return a gzip file whose content is stored, not squeezed: every version of zlib squeezes differently."""
    pieces = [content[start : start + _STORED_BYTES] for start in range(0, len(content), _STORED_BYTES)] or [
        b""
    ]
    blocks = [
        struct.pack("<BHH", index + 1 == len(pieces), len(piece), len(piece) ^ 0xFFFF) + piece
        for index, piece in enumerate(pieces)
    ]
    return (
        _GZIP_HEADER + b"".join(blocks) + struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF)
    )


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
