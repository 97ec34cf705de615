"""A contract package for a new version: the same connection under another label, so another package id.

The bytes follow from the present package and the label alone, so that a repeated upgrade makes the same package.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from typing import Any

from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric.packages import ChaincodePackage, Connection, ConnectionTls, service_package

_LONGEST_BYTES = 1 << 20


def label_of(chaincode: str, version: str) -> str:
    """Return the label of a version's package. Raises ConfigurationError for a version that cannot be in one."""
    label = f"{chaincode}_{version}"
    if re.fullmatch(r"[a-zA-Z0-9]+([.+_-][a-zA-Z0-9]+)*", label) is None or len(version) > 64:
        raise ConfigurationError(
            f"version {version!r}: write letters and digits, with single . + - _ between them"
        )
    return label


def relabelled(content: bytes, label: str) -> ChaincodePackage:
    """Return the package with the connection of another one. Raises ConfigurationError when it holds none."""
    try:
        code = _member(content, "code.tar.gz")
        connection = json.loads(_member(code, "connection.json"))
        return service_package(label, _connection(connection))
    except (tarfile.TarError, KeyError, ValueError, OSError) as error:
        raise ConfigurationError(f"the contract's present package cannot be read: {error}") from error


def _connection(values: dict[str, Any]) -> Connection:
    tls = ConnectionTls(
        values["root_cert"].encode(), values["client_cert"].encode(), values["client_key"].encode()
    )
    seconds = int(values["dial_timeout"].removesuffix("s"))
    return Connection(values["address"], tls if values["tls_required"] else None, seconds)


def _member(content: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        file = archive.extractfile(name)
        if file is None:
            raise KeyError(f"{name} is no file")
        return file.read(_LONGEST_BYTES)
