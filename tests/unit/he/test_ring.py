"""The numpy ring against SEAL and against Python's integers."""

from __future__ import annotations

import os

import numpy as np
import pytest
from tenseal import sealapi

from bfl_fabric.he import embedding
from bfl_fabric.he.ring import Ring, ring
from bfl_fabric.he.seal import SealContext, words_of
from tests.unit.he.samples import PARAMETERS

RING = ring(PARAMETERS.data_prime, PARAMETERS.degree)
PRIME = PARAMETERS.data_prime
EDGES = np.array(
    [0, 1, 2, PRIME // 2, PRIME // 2 + 1, PRIME - 2, PRIME - 1, 2**32, 2**32 - 1], dtype=np.uint64
)


def random_residues(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, PRIME, shape, dtype=np.uint64)


def test_products_and_sums_equal_pythons_integers() -> None:
    left = np.concatenate([np.repeat(EDGES, EDGES.size), random_residues(1, 20_000)])
    right = np.concatenate([np.tile(EDGES, EDGES.size), random_residues(2, 20_000)])
    product, total = RING.product(left, RING.montgomery(right)), RING.add(left, right)
    for index, (a, b) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        assert int(product[index]) == a * b % PRIME
        assert int(total[index]) == (a + b) % PRIME
    assert RING.sum(left) == sum(left.tolist()) % PRIME


def test_the_transform_equals_seals(seal: SealContext) -> None:
    polynomials = np.random.default_rng(3).integers(-127, 128, (5, PARAMETERS.degree))
    transformed = RING.transform(RING.residues(polynomials))
    for polynomial, row in zip(polynomials, transformed, strict=True):
        plain = sealapi.Plaintext()
        seal.encoder.encode(embedding.to_slots(polynomial.astype(np.float64)).tolist(), 1.0, plain)
        assert (words_of(plain, PARAMETERS.degree) == row).all()


def test_the_product_of_transforms_is_seals_multiply_plain(seal: SealContext) -> None:
    words = random_residues(4, 2, PARAMETERS.degree)
    polynomial = np.random.default_rng(5).integers(-127, 128, PARAMETERS.degree)
    plain, result = sealapi.Plaintext(), sealapi.Ciphertext()
    seal.encoder.encode(embedding.to_slots(polynomial.astype(np.float64)).tolist(), 1.0, plain)
    sealapi.Evaluator(seal.context).multiply_plain(seal.ciphertext(words), plain, result)
    ours = RING.product(words, RING.montgomery(RING.transform(RING.residues(polynomial))))
    assert (words_of(result, words.size).reshape(words.shape) == ours).all()


def test_addition_is_seals_addition(seal: SealContext) -> None:
    left, right = random_residues(6, 2, PARAMETERS.degree), random_residues(7, 2, PARAMETERS.degree)
    result = sealapi.Ciphertext()
    sealapi.Evaluator(seal.context).add(seal.ciphertext(left), seal.ciphertext(right), result)
    assert (words_of(result, left.size).reshape(left.shape) == RING.add(left, right)).all()


def test_the_constant_coefficient_is_the_mean_of_the_transform() -> None:
    small = Ring(PRIME, 16)
    coefficients = random_residues(8, 16)
    assert small.constant_coefficient(small.sum(small.transform(coefficients))) == int(coefficients[0])


def test_a_product_of_transforms_is_negacyclic() -> None:
    small = Ring(PRIME, 8)
    left, right = random_residues(9, 8), random_residues(10, 8)
    expected = [0] * 8
    for i, a in enumerate(left.tolist()):
        for j, b in enumerate(right.tolist()):
            sign = 1 if i + j < 8 else -1
            expected[(i + j) % 8] = (expected[(i + j) % 8] + sign * a * b) % PRIME
    product = small.product(small.transform(left), small.montgomery(small.transform(right)))
    assert (small.transform(np.array(expected, dtype=np.uint64)) == product).all()


def test_residues_are_centred_both_ways() -> None:
    integers = np.array([0, 1, -1, PRIME // 2, -(PRIME // 2)], dtype=np.int64)
    assert [RING.centered(int(word)) for word in RING.residues(integers)] == integers.tolist()


def test_coefficients_survive_the_slots() -> None:
    coefficients = np.random.default_rng(11).integers(-(2**30), 2**30, PARAMETERS.degree).astype(np.float64)
    there_and_back = embedding.to_coefficients(embedding.to_slots(coefficients))
    assert np.abs(there_and_back - coefficients).max() < 1e-5


def test_the_encoder_puts_exact_integers_into_the_coefficients(seal: SealContext) -> None:
    values = np.random.default_rng(12).integers(-(2**30) + 1, 2**30, PARAMETERS.degree)
    plain = sealapi.Plaintext()
    seal.encoder.encode(embedding.to_slots(values.astype(np.float64)).tolist(), seal.scale, plain)
    exact = RING.transform(RING.residues(values << PARAMETERS.step_bits))
    assert (words_of(plain, PARAMETERS.degree) == exact).all()


def test_without_memory_files_seal_is_fed_through_a_private_file(
    seal: SealContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = random_residues(13, 2, PARAMETERS.degree)
    monkeypatch.delattr(os, "memfd_create", raising=False)
    assert (words_of(seal.ciphertext(words), words.size).reshape(words.shape) == words).all()
