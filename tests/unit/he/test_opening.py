"""Sums, opened: exact integers of well-formed aggregates, or a refusal that says nothing about the secret."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bfl_fabric.errors import KeyHolderRefused, MalformedInput, NotFound
from bfl_fabric.he import secretfile
from bfl_fabric.he.ckks import CkksOpener, CkksScheme
from bfl_fabric.he.packing import Residues, pack
from bfl_fabric.he.ring import ring
from bfl_fabric.he.seal import SealContext
from bfl_fabric.he.wire import Kind
from tests.unit.he.samples import LEVELS, PARAMETERS, TERMS, Written, header, message, name, some_values

NOT_A_SUM = "the ciphertext does not open to a sum of well-formed updates of this weight"
RING = ring(PARAMETERS.data_prime, PARAMETERS.degree)


def encrypted(
    scheme: CkksScheme, written: Written, weights: list[int], count: int
) -> tuple[list[Path], np.ndarray]:
    values = [some_values(count, weight, seed) for seed, weight in enumerate(weights)]
    paths = [
        written.file(scheme.encrypt(name(f"silo-{index}"), 1, weight, vector))
        for index, (weight, vector) in enumerate(zip(weights, values, strict=True))
    ]
    return paths, np.sum(values, axis=0)


@pytest.mark.parametrize("count", [1, 4095, 4096, 4097, 270_000])
def test_an_opened_sum_is_the_exact_integer_sum(
    count: int, scheme: CkksScheme, opener: CkksOpener, written: Written
) -> None:
    paths, expected = encrypted(scheme, written, [120, 7, 333], count)
    opened = opener.open_sum(written.file(scheme.aggregate(paths)), 3)
    assert opened.dtype == np.int64
    assert (opened == expected).all()


def test_the_largest_sums_are_exact(scheme: CkksScheme, opener: CkksOpener, written: Written) -> None:
    weight = TERMS.max_total_weight // 2
    edge = np.full(4096, weight * LEVELS, dtype=np.int64)
    edge[1::2] *= -1
    paths = [written.file(scheme.encrypt(name(who), 1, weight, edge)) for who in "ab"]
    assert (opener.open_sum(written.file(scheme.aggregate(paths)), 2) == 2 * edge).all()


def test_two_encryptions_of_the_same_values_differ_everywhere(scheme: CkksScheme) -> None:
    values = some_values(100)
    first, second = (scheme.encrypt(name(), 1, 1, values) for _ in range(2))
    assert first[:408] == second[:408]
    same = np.frombuffer(first[408:], np.uint8) == np.frombuffer(second[408:], np.uint8)
    assert same.mean() < 0.01


@pytest.mark.parametrize(
    ("values", "weight", "epoch", "words"),
    [
        (np.array([LEVELS + 1]), 1, 1, "beyond ±32767"),
        (np.array([-(2**63)]), 32_768, 1, "beyond ±1073709056"),
        (np.array([2**63 - 1]), 32_768, 1, "beyond ±1073709056"),
        (np.array([0]), 0, 1, "the weight 0 is not from 1 to 32768"),
        (np.array([0]), 32_769, 1, "the weight 32769 is not from 1 to 32768"),
        (np.array([0]), 1, 2, "for key epoch 2"),
        (np.array([], dtype=np.int64), 1, 1, "not an int64 vector"),
        (np.array([[1]]), 1, 1, "not an int64 vector"),
        (np.array([1.0]), 1, 1, "not an int64 vector"),
        (np.array([np.nan]), 1, 1, "not an int64 vector"),
        (np.array([1], dtype=np.int32), 1, 1, "not an int64 vector"),
    ],
)
def test_values_beyond_the_terms_are_not_encrypted(
    values: np.ndarray, weight: int, epoch: int, words: str, scheme: CkksScheme
) -> None:
    with pytest.raises(MalformedInput, match=words):
        scheme.encrypt(name(), epoch, weight, values)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (2, "of 3 members, the ledger says 2"),
        (4, "of 3 members, the ledger says 4"),
        (0, "the ledger says 0"),
    ],
)
def test_a_sum_of_other_members_than_the_ledgers_is_not_opened(
    members: int, words: str, scheme: CkksScheme, opener: CkksOpener, written: Written
) -> None:
    paths, _ = encrypted(scheme, written, [1, 2, 3], 5)
    with pytest.raises(KeyHolderRefused, match=words):
        opener.open_sum(written.file(scheme.aggregate(paths)), members)


def test_one_update_is_never_opened(scheme: CkksScheme, opener: CkksOpener, written: Written) -> None:
    paths, _ = encrypted(scheme, written, [5], 5)
    with pytest.raises(KeyHolderRefused, match="a sum of one update is that update"):
        opener.open_sum(written.file(scheme.aggregate(paths)), 1)
    with pytest.raises(MalformedInput, match="expected a message of kind SUM, found UPDATE"):
        opener.open_sum(paths[0], 1)


def test_a_sum_of_another_epoch_is_not_opened(opener: CkksOpener, written: Written) -> None:
    with pytest.raises(KeyHolderRefused, match="for key epoch 2, this key is of epoch 1"):
        opener.open_sum(written.file(message(Kind.SUM, epoch=2)), 3)


def test_a_sum_that_is_too_heavy_is_not_opened(opener: CkksOpener, written: Written) -> None:
    with pytest.raises(KeyHolderRefused, match="the sum has weight 32769, the task allows 32768"):
        opener.open_sum(written.file(message(Kind.SUM, weight=32_769)), 3)


def test_a_missing_aggregate_is_not_found(opener: CkksOpener, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        opener.open_sum(tmp_path / "none", 3)


def test_random_residues_do_not_open(opener: CkksOpener, written: Written) -> None:
    with pytest.raises(KeyHolderRefused, match=NOT_A_SUM):
        opener.open_sum(written.file(message(Kind.SUM)), 3)


def sum_message(words: Residues, parameter_count: int, weight: int) -> bytes:
    fields = header(Kind.SUM, parameter_count=parameter_count, weight=weight, members=2)
    return fields.encode() + pack(words, PARAMETERS.residue_bits)


def shifted(words: Residues, coefficient: int, by: int) -> Residues:
    """Add `by` to one coefficient of the message, as anybody can."""
    change = np.zeros(PARAMETERS.degree, dtype=np.int64)
    change[coefficient] = by
    changed = words.copy()
    changed[0] = RING.add(words[0], RING.transform(RING.residues(change)))
    return changed


@pytest.mark.parametrize(
    ("coefficient", "by"),
    [
        (0, 1 << 13),
        (9, (1 << 12) + 600),
        (0, -(1 << 12) - 600),
        (0, (LEVELS * 7 + 1) << 14),
        (3, -((LEVELS * 7 + 1) << 14)),
        (10, 1 << 14),
        (4095, -(1 << 14)),
    ],
)
def test_every_way_of_being_no_sum_has_the_same_refusal(
    coefficient: int, by: int, seal: SealContext, public_key: bytes, opener: CkksOpener, written: Written
) -> None:
    """Off the grid, beyond the weight's bound, or values in the padding: one text, so it hints at nothing."""
    words = encryptor_of(seal, public_key).encrypt(np.zeros(10, dtype=np.int64))
    assert (opener.open_sum(written.file(sum_message(words, 10, 7)), 2) == 0).all()
    with pytest.raises(KeyHolderRefused) as refusal:
        opener.open_sum(written.file(sum_message(shifted(words, coefficient, by), 10, 7)), 2)
    assert str(refusal.value) == NOT_A_SUM


def encryptor_of(seal: SealContext, public_key: bytes):  # type: ignore[no-untyped-def]
    from bfl_fabric.he.gate import read_message

    return seal.encryptor(read_message(public_key, PARAMETERS, Kind.PUBLIC_KEY).public_key())


def test_the_noise_of_one_upload_obeys_the_law(
    seal: SealContext, public_key: bytes, secret_path: Path
) -> None:
    noise = [noise_of(seal, secret_path, encryptor_of(seal, public_key).encrypt(zeros())) for _ in range(40)]
    assert 0.9 < np.std(noise) / PARAMETERS.sum_noise(1) < 1.1


def test_the_noise_of_the_largest_sum_obeys_the_law_and_opens(
    seal: SealContext, public_key: bytes, secret_path: Path, opener: CkksOpener, written: Written
) -> None:
    members = PARAMETERS.max_members
    encryptor, total = encryptor_of(seal, public_key), np.zeros((2, PARAMETERS.degree), dtype=np.uint64)
    for _ in range(members):
        total = RING.add(total, encryptor.encrypt(np.ones(PARAMETERS.degree, dtype=np.int64)))
    noise = noise_of(seal, secret_path, total, members)
    assert 0.9 < np.std(noise) / PARAMETERS.sum_noise(members) < 1.1
    assert np.abs(noise).max() < 6 * PARAMETERS.sum_noise(members)
    fields = header(Kind.SUM, parameter_count=PARAMETERS.degree, weight=members, members=members)
    aggregate = written.file(fields.encode() + pack(total, PARAMETERS.residue_bits))
    assert (opener.open_sum(aggregate, members) == members).all()


def zeros() -> np.ndarray:
    return np.zeros(PARAMETERS.degree, dtype=np.int64)


def noise_of(seal: SealContext, secret_path: Path, words: Residues, value: int = 0) -> np.ndarray:
    """Return the noise of each coefficient, in units of the ciphertext."""
    secret = secretfile.read(secret_path, PARAMETERS).secret
    return (seal.decryptor(secret).coefficients(words) - value) * 2**PARAMETERS.step_bits
