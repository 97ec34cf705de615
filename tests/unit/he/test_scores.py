"""Scores: the inner product within its stated error, one scalar, and the same bytes from everybody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenseal import sealapi

from bfl_fabric.errors import KeyHolderRefused, MalformedInput
from bfl_fabric.he import embedding, scores, secretfile, wire
from bfl_fabric.he.ckks import CkksOpener, CkksScheme
from bfl_fabric.he.gate import read_message
from bfl_fabric.he.packing import pack
from bfl_fabric.he.ring import ring
from bfl_fabric.he.seal import SealContext, words_of
from bfl_fabric.he.wire import HEADER_BYTES, DirectionTerms, Kind
from tests.unit.he.samples import (
    CHECKED,
    LEVELS,
    PARAMETERS,
    PUBLIC_KEY,
    TERMS,
    Written,
    header,
    message,
    name,
    some_direction,
    some_values,
)

RING = ring(PARAMETERS.data_prime, PARAMETERS.degree)


def upload(scheme: CkksScheme, written: Written, values: np.ndarray, weight: int) -> Path:
    return written.file(scheme.encrypt(name(), 1, weight, values))


def exact(values: np.ndarray, direction: np.ndarray) -> int:
    return int(values @ direction.astype(np.int64))


@pytest.mark.parametrize("count", [1, 100, 4096, 4097, 30_000])
def test_a_score_is_the_inner_product_to_one_percent_of_full_scale(
    count: int, scheme: CkksScheme, opener: CkksOpener, written: Written
) -> None:
    values, direction = some_values(count, 300), some_direction(count)
    path = upload(scheme, written, values, 300)
    for vector in (direction, -direction, some_direction(count, 77)):
        opened = opener.open_score(scheme.score(path, vector))
        full_scale = float(np.linalg.norm(values) * np.linalg.norm(vector.astype(np.int64)))
        assert abs(opened - exact(values, vector)) <= 0.01 * full_scale


def test_an_aligned_update_of_a_hundred_thousand_parameters_scores_its_length(
    scheme: CkksScheme, opener: CkksOpener, written: Written
) -> None:
    direction = some_direction(100_000)
    values = direction.astype(np.int64) * 50 * 200
    opened = opener.open_score(scheme.score(upload(scheme, written, values, 200), direction))
    assert opened == pytest.approx(exact(values, direction), rel=1e-3)


def test_a_score_of_an_uncoarsened_direction_is_exact_to_half_the_grid(
    scheme: CkksScheme, opener: CkksOpener, written: Written
) -> None:
    values, direction = some_values(500, 300), some_direction(500)
    score = scheme.score(upload(scheme, written, values, 300), direction)
    terms = wire.decode(score[:HEADER_BYTES]).direction
    grid = scores.score_grid(PARAMETERS, terms)
    opened = opener.open_score(score)
    assert terms.divisor == 1
    assert opened % grid == 0
    # half the grid for rounding, and the noise, which is below a thousandth of it
    assert abs(opened - exact(values, direction)) <= grid * 0.501


def test_fresh_noise_does_not_change_a_score(
    scheme: CkksScheme, opener: CkksOpener, written: Written
) -> None:
    values, direction = some_values(50, 3), some_direction(50)
    opened = {
        opener.open_score(scheme.score(upload(scheme, written, values, 3), direction)) for _ in range(60)
    }
    assert len(opened) == 1


def test_the_noise_of_a_score_is_far_below_its_grid(
    seal: SealContext, public_key: bytes, secret_path: Path
) -> None:
    """2^16 standard deviations in a grid cell: the rounding is crossed with probability below 2^−16."""
    direction = some_direction(PARAMETERS.degree)
    prepared = scores.prepare_direction(CHECKED, direction)
    decryptor = seal.decryptor(secretfile.read(secret_path, PARAMETERS).secret)
    encryptor = seal.encryptor(read_message(public_key, PARAMETERS, Kind.PUBLIC_KEY).public_key())
    nothing = np.zeros(PARAMETERS.degree, dtype=np.int64)
    noise = [
        decryptor.constant(*scores.score_words(PARAMETERS, [encryptor.encrypt(nothing)], prepared))
        for _ in range(60)
    ]
    ratio = prepared.terms.energy / prepared.terms.overlap / 2**PARAMETERS.step_bits
    assert 2**16 * np.std(noise) * ratio < scores.score_grid(PARAMETERS, prepared.terms)


def test_the_score_is_what_seal_computes(
    seal: SealContext, written: Written, pinned_scheme: CkksScheme
) -> None:
    """SEAL multiplies and adds; of its result the score keeps the constant coefficient and the mask."""
    count = 2 * PARAMETERS.degree
    path, direction = written.file(message(parameter_count=count)), some_direction(count)
    evaluator, total = sealapi.Evaluator(seal.context), None
    score = pinned_scheme.score(path, direction)
    divisor = wire.decode(score[:HEADER_BYTES]).direction.divisor
    wide = direction.astype(np.int64)
    coarse = np.sign(wide) * ((2 * np.abs(wide) + divisor) // (2 * divisor))
    chunks = read_message(path.read_bytes(), PARAMETERS, Kind.UPDATE).chunks()
    for words, g in zip(chunks, coarse.reshape(2, -1), strict=True):
        turned = np.concatenate(([g[0]], -g[:0:-1])).astype(np.float64)
        plain, product = sealapi.Plaintext(), sealapi.Ciphertext()
        seal.encoder.encode(embedding.to_slots(turned).tolist(), 1.0, plain)
        evaluator.multiply_plain(seal.ciphertext(words), plain, product)
        if total is None:
            total = product
        else:
            evaluator.add_inplace(total, product)
    expected = words_of(total, 2 * PARAMETERS.degree).reshape(2, -1)
    constant, mask = read_message(score, PARAMETERS, Kind.SCORE).score()
    assert (mask == expected[1]).all()
    inverse = pow(PARAMETERS.degree, -1, PARAMETERS.data_prime)
    assert constant == sum(expected[0].tolist()) * inverse % PARAMETERS.data_prime


def test_everybody_computes_the_same_score_bytes(schemes, written: Written) -> None:  # type: ignore[no-untyped-def]
    path, direction = written.file(message(parameter_count=9000)), some_direction(9000)
    one, other = (schemes.public(TERMS, PUBLIC_KEY).score(path, direction) for _ in range(2))
    assert one == other
    assert len(one) == schemes.public(TERMS, PUBLIC_KEY).score_size_bytes(9000)


def test_a_score_names_its_upload_and_its_direction(pinned_scheme: CkksScheme, written: Written) -> None:
    path, direction = written.file(message(weight=9)), some_direction(10)
    found = wire.decode(pinned_scheme.score(path, direction)[:HEADER_BYTES])
    assert found.subject.hex() == pinned_scheme.inspect(path).digest
    assert found.direction.digest == scores.direction_digest(direction)
    assert (found.participant_id, found.weight, found.parameter_count) == ("silo-a", 9, 10)
    other = wire.decode(pinned_scheme.score(path, -direction)[:HEADER_BYTES])
    assert other.direction.digest != found.direction.digest


def test_an_update_is_orthogonal_to_a_direction_of_zeros(
    scheme: CkksScheme, opener: CkksOpener, written: Written
) -> None:
    score = scheme.score(upload(scheme, written, some_values(10), 1), np.zeros(10, dtype=np.int8))
    assert opener.open_score(score) == 0


@pytest.mark.parametrize(
    ("direction", "words"),
    [
        (np.zeros(9, dtype=np.int8), "the upload has 10 parameters, the direction 9"),
        (np.full(10, -128, dtype=np.int8), "the direction has −128"),
        (np.zeros(10), "not an int8 vector"),
        (np.zeros((10, 1), dtype=np.int8), "not an int8 vector"),
        (np.zeros(0, dtype=np.int8), "not an int8 vector"),
    ],
)
def test_a_direction_that_is_none_is_refused(
    direction: np.ndarray, words: str, pinned_scheme: CkksScheme, written: Written
) -> None:
    with pytest.raises(MalformedInput, match=words):
        pinned_scheme.score(written.file(message()), direction)


def test_a_direction_that_no_divisor_makes_small_enough_is_refused() -> None:
    with pytest.raises(MalformedInput, match="no score fits"):
        scores.prepare_direction(CHECKED, np.full(40_000, 127, dtype=np.int8))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-127, 127), min_size=1, max_size=60).filter(any))
def test_no_well_formed_update_can_overflow_a_score(entries: list[int]) -> None:
    """The largest inner product leaves room for the noise, and the divisor is the smallest that does."""
    direction = np.array(entries * 500, dtype=np.int8)
    terms = scores.prepare_direction(CHECKED, direction).terms
    wide = np.abs(direction.astype(np.int64))

    def reach(divisor: int) -> int:
        return (
            int(((2 * wide + divisor) // (2 * divisor)).sum()) * CHECKED.largest_sum << PARAMETERS.step_bits
        )

    room = PARAMETERS.data_prime // 2 * (1 - 2**-10)
    assert reach(terms.divisor) <= room
    assert terms.divisor == 1 or reach(terms.divisor - 1) > room
    header(Kind.SCORE, parameter_count=direction.size, direction=terms).encode()


def test_the_largest_update_along_the_direction_does_not_wrap(
    schemes,
    public_key: bytes,
    secret_path: Path,
    written: Written,  # type: ignore[no-untyped-def]
) -> None:
    scheme, opener = schemes.public(TERMS, public_key), schemes.secret(TERMS, public_key, secret_path)
    direction = some_direction(4096 * 3)
    weight = TERMS.max_total_weight
    values = np.sign(direction.astype(np.int64)) * LEVELS * weight
    path = upload(scheme, written, values, weight)
    opened, expected = opener.open_score(scheme.score(path, direction)), exact(values, direction)
    assert opened == pytest.approx(expected, rel=0.2)
    assert opener.open_score(scheme.score(path, -direction)) == -opened
    opener.close()


def test_a_score_of_another_epoch_is_not_opened(opener: CkksOpener) -> None:
    with pytest.raises(KeyHolderRefused, match="for key epoch 2"):
        opener.open_score(message(Kind.SCORE, epoch=2))


@pytest.mark.parametrize("data", [b"", message(), message(Kind.SCORE)[:-1]])
def test_what_is_no_score_is_not_opened(data: bytes, opener: CkksOpener) -> None:
    with pytest.raises(MalformedInput):
        opener.open_score(data)


def test_what_no_update_can_reach_is_cut_off(opener: CkksOpener) -> None:
    """A hostile score opens to something, but never to more than the largest inner product of its header."""
    terms = DirectionTerms(1, 10 * 127**2, 10 * 127**2, bytes([1]) * 32)
    hostile = header(Kind.SCORE, weight=2, direction=terms)
    for constant in (1, PARAMETERS.data_prime // 2, PARAMETERS.data_prime - 1):
        data = hostile.encode() + constant.to_bytes(8, "little") + pack(np.zeros(4096, np.uint64), 60)
        assert abs(opener.open_score(data)) <= 2 * LEVELS * 127 * 10


def test_the_key_holder_learns_one_scalar_and_not_the_other_products(
    seal: SealContext, public_key: bytes, secret_path: Path
) -> None:
    """With the secret in hand, all other coefficients of an opened score are unrelated to the true products."""
    decryptor = seal.decryptor(secretfile.read(secret_path, PARAMETERS).secret)
    encryptor = seal.encryptor(read_message(public_key, PARAMETERS, Kind.PUBLIC_KEY).public_key())
    seen, true = [], []
    for seed in range(40):
        values, direction = some_values(4096, 100, seed), some_direction(4096, seed + 100)
        prepared = scores.prepare_direction(CHECKED, direction)
        words = encryptor.encrypt(values)
        constant, mask = scores.score_words(PARAMETERS, [words], prepared)
        opened = decryptor.coefficients(np.stack((np.full(4096, constant, dtype=np.uint64), mask)))
        whole = decryptor.coefficients(RING.product(words, prepared.rows[0]))
        assert opened[0] == pytest.approx(whole[0], rel=1e-6)
        seen.append(opened[1:])
        true.append(whole[1:])
    assert abs(np.corrcoef(np.concatenate(seen), np.concatenate(true))[0, 1]) < 0.02


def test_the_scores_of_a_round_add_up_to_what_the_opened_sum_says(
    scheme: CkksScheme, opener: CkksOpener, written: Written
) -> None:
    count, members = 600, 5
    direction = some_direction(count)
    total, opened = np.zeros(count, dtype=np.int64), 0
    for number in range(members):
        values = some_values(count, weight=number + 1, seed=number)
        encrypted = written.file(scheme.encrypt(name(f"silo-{number}"), 1, number + 1, values))
        opened += opener.open_score(scheme.score(encrypted, direction))
        total += values
    low, high = scheme.score_bounds(total, direction, members)
    assert low <= opened <= high
    assert high - low < abs(opened) // 20 + 2**20, "the bounds must be narrow enough to mean something"
    assert scheme.score_bounds(total, np.zeros(count, dtype=np.int8), members) == (0, 0)
