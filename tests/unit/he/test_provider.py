"""The door to the room: which schemes there are, which terms they take, and what importing it loads."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from bfl_fabric.errors import ConfigurationError, KeyHolderRefused, MalformedInput
from bfl_fabric.he.parameters import CKKS_N4096_R64
from bfl_fabric.he.provider import EncryptionSchemes, parameters_digest
from bfl_fabric.he.wire import Kind
from tests.unit.he.samples import TERMS, message


def test_the_default_parameters_of_ckks_are_the_4096_set_with_reserved_coefficients() -> None:
    assert parameters_digest("ckks") == CKKS_N4096_R64.digest


@pytest.mark.parametrize("scheme", ["paillier", "CKKS", ""])
def test_an_unknown_scheme_is_refused(scheme: str, schemes: EncryptionSchemes, public_key: bytes) -> None:
    with pytest.raises(ConfigurationError, match="this version has ckks"):
        parameters_digest(scheme)
    with pytest.raises(ConfigurationError, match="this version has ckks"):
        schemes.public(dataclasses.replace(TERMS, scheme=scheme), public_key)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parameters_digest": "00" * 32}, "no parameter set has the digest"),
        ({"value_bits": 1}, "value_bits is 1"),
        ({"value_bits": 31}, "value_bits is 31"),
        ({"max_total_weight": 0}, "max_total_weight is 0"),
        ({"max_total_weight": 32_770}, "it must be from 1 to 32769"),
        ({"value_bits": 30, "max_total_weight": 3}, "it must be from 1 to 2"),
    ],
)
def test_terms_that_the_parameters_cannot_carry_are_refused(
    change: dict[str, object], words: str, schemes: EncryptionSchemes, public_key: bytes
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        schemes.public(dataclasses.replace(TERMS, **change), public_key)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data", [b"", message(), message(Kind.PUBLIC_KEY)[:-1], message(Kind.PUBLIC_KEY) + b"\0"]
)
def test_what_is_no_public_key_is_refused(data: bytes, schemes: EncryptionSchemes) -> None:
    with pytest.raises(MalformedInput):
        schemes.public(TERMS, data)


def test_a_secret_of_another_public_key_is_refused(schemes: EncryptionSchemes, secret_path: Path) -> None:
    with pytest.raises(KeyHolderRefused, match="belongs to another public key"):
        schemes.secret(TERMS, message(Kind.PUBLIC_KEY), secret_path)


def test_importing_the_room_loads_no_tenseal() -> None:
    code = (
        "import sys, bfl_fabric.he.provider, bfl_fabric.he.sums, bfl_fabric.he.scores; "
        "sys.exit(any(name.split('.')[0] in ('tenseal', '_sealapi_cpp', 'torch', 'grpc') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
