"""The door to this room: from a task's terms to its scheme.

`EncryptionSchemes` is the port `SchemeProvider`; it asks the provider that is registered under the scheme's word.
Importing it loads numpy and nothing of TenSEAL.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import AggregationScheme, SchemeProvider, SecretOpener
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.he.ckks import CkksProvider
from bfl_fabric.he.isolation import WorkerLimits
from bfl_fabric.he.parameters import CKKS_N4096_R64


class ClosingProvider(SchemeProvider, Protocol):
    """What a scheme registers: a provider that ends its worker processes when told."""

    def close(self) -> None: ...


_PROVIDERS: dict[str, Callable[[WorkerLimits], ClosingProvider]] = {"ckks": CkksProvider}
_DEFAULT_PARAMETERS = {"ckks": CKKS_N4096_R64}


def parameters_digest(scheme: str = "ckks") -> str:
    """Return the digest of the parameter set that new tasks of this scheme use. Raises ConfigurationError."""
    _require_known(scheme)
    return _DEFAULT_PARAMETERS[scheme].digest


class EncryptionSchemes:
    """The port `SchemeProvider` over every scheme of this version. Worker processes end with this object."""

    def __init__(self, limits: WorkerLimits | None = None) -> None:
        self._limits = limits or WorkerLimits()
        self._made: dict[str, ClosingProvider] = {}

    def create_key(self, terms: EncryptionTerms, epoch: int, secret_path: Path) -> bytes:
        """Make a key pair, keep the secret in a file of mode 0600, return the public key blob.

        When this returns the file is durable. When it existed already, nothing is made.

        Raises:
            ConfigurationError: the terms are not usable, or the file's directory is not.
            KeyHolderRefused: an existing file is readable by others, or of another epoch.
        """
        return self._provider(terms).create_key(terms, epoch, secret_path)

    def public(self, terms: EncryptionTerms, public_key: bytes) -> AggregationScheme:
        """Raises MalformedInput when the blob is not a well-formed public key of these terms."""
        return self._provider(terms).public(terms, public_key)

    def secret(self, terms: EncryptionTerms, public_key: bytes, secret_path: Path) -> SecretOpener:
        """Raises KeyHolderRefused, MalformedInput or NotFound when the file is not that public key's secret."""
        return self._provider(terms).secret(terms, public_key, secret_path)

    def close(self) -> None:
        """End the worker processes that hold no secret; an opener's ends with the opener."""
        for provider in self._made.values():
            provider.close()

    def _provider(self, terms: EncryptionTerms) -> SchemeProvider:
        _require_known(terms.scheme)
        if terms.scheme not in self._made:
            self._made[terms.scheme] = _PROVIDERS[terms.scheme](self._limits)
        return self._made[terms.scheme]


def _require_known(scheme: str) -> None:
    if scheme not in _PROVIDERS:
        raise ConfigurationError(
            f"no scheme is called {scheme!r}; this version has {', '.join(sorted(_PROVIDERS))}"
        )
