"""The service's settings as its process is told them: a mapping of names and texts in, checked settings out.

Decides the names, the defaults and that plain text is served only to those who ask for it in so many words. Key,
certificate and authority are named by files. Reading the process's environment is left to `bfl_chaincode.main`.

| name | meaning |
|---|---|
| CHAINCODE_ID | the package id that the peers gave the installed package |
| CHAINCODE_ID_FILE | a file that holds it, where it is not known before the process's home is made |
| CHAINCODE_SERVER_ADDRESS | host:port to listen at |
| CHAINCODE_TLS_KEY_FILE, CHAINCODE_TLS_CERT_FILE | the server's key and certificate, PEM |
| CHAINCODE_CLIENT_CA_CERT_FILE | the authority of the peers' client certificates, PEM |
| CHAINCODE_TLS_DISABLED | `true` serves without TLS, and then the three files are not named |
| CHAINCODE_OPERATIONS_ADDRESS | where /healthz and /metrics are; a port alone means 127.0.0.1; unset: nowhere |
| CHAINCODE_STOP_WITH_STDIN | `true` ends the process when its standard input ends |
| CHAINCODE_LOGGING_LEVEL | debug, info (default), warning or error |
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bfl_chaincode.shim.service.addresses import host_and_port
from bfl_chaincode.shim.service.settings import ServiceSettings, ServiceTls

ID, ID_FILE, ADDRESS = "CHAINCODE_ID", "CHAINCODE_ID_FILE", "CHAINCODE_SERVER_ADDRESS"
KEY, CERTIFICATE = "CHAINCODE_TLS_KEY_FILE", "CHAINCODE_TLS_CERT_FILE"
AUTHORITY, NO_TLS = "CHAINCODE_CLIENT_CA_CERT_FILE", "CHAINCODE_TLS_DISABLED"
OPERATIONS, STDIN, LEVEL = (
    "CHAINCODE_OPERATIONS_ADDRESS",
    "CHAINCODE_STOP_WITH_STDIN",
    "CHAINCODE_LOGGING_LEVEL",
)
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_TRUTHS = {"true": True, "1": True, "false": False, "0": False, "": False}


class SettingsError(ValueError):
    """A setting is missing or wrong; the message is one line and says what to do."""


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """What the process is told."""

    service: ServiceSettings
    stop_with_stdin: bool
    logging_level: int


def read_settings(environment: Mapping[str, str]) -> ProcessSettings:
    """Check the settings and read the files that they name. Raises SettingsError."""
    service = ServiceSettings(
        _package_id(environment),
        _address(ADDRESS, _required(environment, ADDRESS, "host:port to listen at")),
        _tls(environment),
        _operations(environment.get(OPERATIONS, "")),
    )
    level = environment.get(LEVEL, "").lower() or "info"
    if level not in _LEVELS:
        raise SettingsError(f"{LEVEL} is {level!r}; write {', '.join(_LEVELS)}")
    return ProcessSettings(service, _truth(environment, STDIN), _LEVELS[level])


def _required(environment: Mapping[str, str], name: str, what: str) -> str:
    if not environment.get(name):
        raise SettingsError(f"{name} is not set; it is {what}")
    return environment[name]


def _package_id(environment: Mapping[str, str]) -> str:
    if not environment.get(ID_FILE):
        return _required(
            environment, ID, f"the package id, label:digest; or name a file that holds it in {ID_FILE}"
        )
    if environment.get(ID):
        raise SettingsError(f"{ID} and {ID_FILE} are both set: take one of them away")
    found = _read(ID_FILE, environment[ID_FILE]).decode("utf-8", "replace").strip()
    if not found:
        raise SettingsError(
            f"{ID_FILE}: {environment[ID_FILE]} is empty; it holds the package id, label:digest"
        )
    return found


def _address(name: str, text: str) -> str:
    try:
        host_and_port(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from error
    return text


def _operations(text: str) -> str | None:
    if text.isascii() and text.isdigit():
        text = f"127.0.0.1:{text}"
    return _address(OPERATIONS, text) if text else None


def _truth(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "").lower()
    if text not in _TRUTHS:
        raise SettingsError(f"{name} is {text!r}; write true or false")
    return _TRUTHS[text]


def _tls(environment: Mapping[str, str]) -> ServiceTls | None:
    names = [name for name in (KEY, CERTIFICATE, AUTHORITY) if environment.get(name)]
    if _truth(environment, NO_TLS):
        if names:
            raise SettingsError(f"{NO_TLS} is true and {', '.join(names)} set: take one of them away")
        return None
    missing = [name for name in (KEY, CERTIFICATE, AUTHORITY) if name not in names]
    if missing:
        raise SettingsError(
            f"{', '.join(missing)} not set: name the PEM files, or set {NO_TLS}=true to serve in plain text"
        )
    key, certificate, authority = (environment[name] for name in (KEY, CERTIFICATE, AUTHORITY))
    tls = ServiceTls(_read(KEY, key), _read(CERTIFICATE, certificate), _read(AUTHORITY, authority))
    _require_pair(key, certificate, authority)
    return tls


def _read(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SettingsError(f"{name}: cannot read {path}: {error.strerror}") from error


def _require_pair(key: str, certificate: str, authority: str) -> None:
    """gRPC would take a wrong pair and then refuse every peer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        raise SettingsError(
            f"{KEY} and {CERTIFICATE}: not an unencrypted PEM key and the PEM certificate for it"
        ) from error
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError as error:
        raise SettingsError(f"{AUTHORITY}: no PEM certificate in {authority}") from error
