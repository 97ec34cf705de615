"""One key pair and one provider for the whole folder: a worker takes a moment to start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bfl_fabric.he.ckks import CkksOpener, CkksScheme
from bfl_fabric.he.isolation import WorkerProcess
from bfl_fabric.he.provider import EncryptionSchemes
from bfl_fabric.he.seal import SealContext
from tests.unit.he.samples import CHECKED, PARAMETERS, PUBLIC_KEY, TERMS, Written


@pytest.fixture(scope="session")
def schemes() -> Iterator[EncryptionSchemes]:
    made = EncryptionSchemes()
    yield made
    made.close()


@pytest.fixture(scope="session")
def secret_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("key") / "secret"


@pytest.fixture(scope="session")
def public_key(schemes: EncryptionSchemes, secret_path: Path) -> bytes:
    return schemes.create_key(TERMS, 1, secret_path)


@pytest.fixture(scope="session")
def scheme(schemes: EncryptionSchemes, public_key: bytes) -> CkksScheme:
    made = schemes.public(TERMS, public_key)
    assert isinstance(made, CkksScheme)
    return made


@pytest.fixture(scope="session")
def pinned_scheme() -> CkksScheme:
    """The scheme of the pinned public key, for updates whose bodies come from the formula."""
    return CkksScheme(CHECKED, PUBLIC_KEY, WorkerProcess())


@pytest.fixture(scope="session")
def opener(schemes: EncryptionSchemes, public_key: bytes, secret_path: Path) -> Iterator[CkksOpener]:
    made = schemes.secret(TERMS, public_key, secret_path)
    assert isinstance(made, CkksOpener)
    yield made
    made.close()


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


@pytest.fixture(scope="session")
def seal() -> SealContext:
    return SealContext(PARAMETERS)
