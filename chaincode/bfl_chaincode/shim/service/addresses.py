"""Addresses as operators write them: host:port, IPv6 hosts in brackets."""

from __future__ import annotations


def host_and_port(address: str) -> tuple[str, int]:
    """Return the two parts. Raises ValueError saying what an address looks like."""
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address!r} is no address: write host:port, like 127.0.0.1:9999")
    return host.removeprefix("[").removesuffix("]"), int(port)
