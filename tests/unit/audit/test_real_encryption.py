"""The audit with the product's own encryption: what the scheme without secrecy stands in for elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bfl_fabric.audit.findings import Check
from bfl_fabric.he.provider import EncryptionSchemes, parameters_digest
from tests.unit.audit.honest_run import HonestRun


class EncryptedRun(HonestRun):
    """The small run under CKKS."""

    def __init__(self, store: Path, schemes: EncryptionSchemes) -> None:
        super().__init__(store, encryption__scheme="ckks", encryption__parameters_digest=parameters_digest())
        self.provider: Any = schemes


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EncryptedRun]:
    schemes = EncryptionSchemes()
    run = EncryptedRun(tmp_path_factory.mktemp("encrypted"), schemes)
    run.whole()
    yield run
    run.opener.close()
    schemes.close()


def test_a_run_under_real_encryption_passes(encrypted: EncryptedRun) -> None:
    findings = encrypted.audit()
    assert findings.failures == []
    assert findings.withheld == {}
    assert findings.counts[Check.CIPHERTEXTS] == 8
    assert findings.counts[Check.SCORES] == 3
    assert findings.counts[Check.AGGREGATES] == 2


def test_a_flipped_bit_of_a_real_ciphertext_is_found(encrypted: EncryptedRun) -> None:
    path = encrypted.path(encrypted.uploads[1, "beta-1"])
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        failures = encrypted.audit().failures
    finally:
        path.write_bytes(whole)
    assert {failure.blob for failure in failures} == {path.name}
    assert {failure.check for failure in failures} == {Check.CIPHERTEXTS, Check.BLOBS}
