"""Reserved coefficients of the default set: exact results as before, and a crafted mask spoils its sum, not the key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import AggregationScheme, SecretOpener
from bfl_fabric.errors import KeyHolderRefused
from bfl_fabric.he.gate import read_message
from bfl_fabric.he.packing import pack
from bfl_fabric.he.parameters import CKKS_N4096_R64
from bfl_fabric.he.provider import EncryptionSchemes, parameters_digest
from bfl_fabric.he.ring import ring
from bfl_fabric.he.wire import HEADER_BYTES, Kind
from tests.unit.he.samples import name

TERMS = EncryptionTerms("ckks", CKKS_N4096_R64.digest, 16, "0.5", 32_768)
LEVELS = 2**15 - 1
RING = ring(CKKS_N4096_R64.data_prime, CKKS_N4096_R64.degree)
COUNT = 2 * CKKS_N4096_R64.values_per_chunk + 17


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AggregationScheme, SecretOpener]]:
    secret, schemes = tmp_path_factory.mktemp("keys") / "secret.key", EncryptionSchemes()
    key = schemes.create_key(TERMS, 1, secret)
    opener = schemes.secret(TERMS, key, secret)
    yield schemes.public(TERMS, key), opener
    opener.close()  # type: ignore[attr-defined]
    schemes.close()


def values(seed: int, weight: int = 100) -> np.ndarray:
    return np.random.default_rng(seed).integers(-LEVELS, LEVELS + 1, COUNT, dtype=np.int64) * weight


def test_new_tasks_use_the_set_with_reserved_coefficients() -> None:
    assert parameters_digest("ckks") == CKKS_N4096_R64.digest


def test_sums_and_scores_are_exact(pair: tuple[AggregationScheme, SecretOpener], tmp_path: Path) -> None:
    scheme, opener = pair
    parts = {letter: values(seed) for seed, letter in enumerate("abc")}
    for letter, part in parts.items():
        (tmp_path / letter).write_bytes(scheme.encrypt(name(letter), 1, 100, part))
        assert (tmp_path / letter).stat().st_size == scheme.size_bytes(COUNT)
    (tmp_path / "sum").write_bytes(scheme.aggregate([tmp_path / letter for letter in parts]))
    total = opener.open_sum(tmp_path / "sum", 3)
    assert (total == sum(parts.values())).all()
    direction = np.random.default_rng(9).integers(-1, 2, COUNT).astype(np.int8)
    opened = [opener.open_score(scheme.score(tmp_path / letter, direction)) for letter in parts]
    low, high = scheme.score_bounds(total, direction, 3)
    assert low <= sum(opened) <= high
    for score, part in zip(opened, parts.values(), strict=True):
        assert abs(score - int(part @ direction.astype(np.int64))) < 2**24


@pytest.mark.parametrize("amount", [1 << 1, 100, 100 * LEVELS])
def test_a_silo_that_shifts_its_mask_spoils_its_sum_and_learns_nothing(
    pair: tuple[AggregationScheme, SecretOpener], tmp_path: Path, amount: int
) -> None:
    """The attack that `ckks-n4096` is open to: A·s shows in the reserved coefficients, and the sum stays closed."""
    scheme, opener = pair
    (tmp_path / "a").write_bytes(scheme.encrypt(name("a"), 1, 100, values(1) // 8))
    crafted = scheme.encrypt(name("b"), 1, 100, np.zeros(COUNT, dtype=np.int64))
    chunks = list(read_message(crafted, CKKS_N4096_R64, Kind.UPDATE).chunks())
    constant = RING.residues(np.array([amount << CKKS_N4096_R64.step_bits]))
    chunks[0][1] = RING.add(chunks[0][1], constant)
    body = b"".join(pack(words, CKKS_N4096_R64.residue_bits) for words in chunks)
    (tmp_path / "b").write_bytes(crafted[:HEADER_BYTES] + body)
    (tmp_path / "sum").write_bytes(scheme.aggregate([tmp_path / "a", tmp_path / "b"]))
    with pytest.raises(KeyHolderRefused, match="does not open to a sum"):
        opener.open_sum(tmp_path / "sum", 2)
