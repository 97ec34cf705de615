"""The stream against NIST's vectors, and each distribution against its own law, from fixed seeds."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from bfl_fabric.he.lattice.expansion import uniform_polynomial
from bfl_fabric.he.lattice.parameters import PACKED_S16, PACKED_SMALL, THRESHOLD_T20
from bfl_fabric.he.lattice.randomness import BINOMIAL_BITS, ERROR_BOUND, ERROR_VARIANCE, Stream

COUNT = 200_000


def stream(name: str) -> Stream:
    return Stream.derived("test", hashlib.sha256(name.encode()).digest())


def chi_square(observed: np.ndarray, expected: np.ndarray) -> float:
    """Return the statistic in standard deviations above its mean: beyond 6 is as good as never."""
    statistic = float(((observed - expected) ** 2 / expected).sum())
    freedom = observed.size - 1
    return (statistic - freedom) / math.sqrt(2 * freedom)


def reference_uniform(source: Stream, limits: list[int], count: int) -> list[list[int]]:
    """Write the definition in `uniform_rows` down once more, one number at a time."""

    def word() -> int:
        return int.from_bytes(source.bytes(4), "little")

    numbers = [[0] * count for _ in limits]
    left = [(row, place) for row in range(len(limits)) for place in range(count)]
    while left:
        again = []
        for row, place in left:
            product = word() * limits[row]
            numbers[row][place] = product >> 32
            if product % (1 << 32) < (1 << 32) % limits[row]:
                again.append((row, place))
        left = again
    return numbers


def test_the_stream_is_aes_256_in_counter_mode_from_zero() -> None:
    # AES-256 under the zero key of the counters 0, 1, 2: H, tag and ciphertext of GCM's test cases 13 and 14
    blocks = (
        "dc95c078a2408989ad48a21492842087530f8afbc74536b9a963b4f1c4cb738bcea7403d4d606b6e074ec5d3baf39d18"
    )
    source = Stream(bytes(32))
    assert (source.bytes(5) + source.bytes(43)).hex() == blocks
    assert Stream(bytes(32)).words(2).tolist() == [
        int.from_bytes(bytes.fromhex(blocks)[:8], "little"),
        int.from_bytes(bytes.fromhex(blocks)[8:16], "little"),
    ]


def test_a_derived_stream_is_keyed_by_shake256_of_domain_seed_and_numbers() -> None:
    seed = bytes(range(32))
    material = b"domain\0" + seed + (7).to_bytes(8, "little") + (1 << 40).to_bytes(8, "little")
    key = hashlib.shake_256(material).digest(32)
    assert Stream.derived("domain", seed, 7, 1 << 40).bytes(100) == Stream(key).bytes(100)


def test_streams_of_other_purposes_seeds_or_numbers_are_others() -> None:
    seed, other = bytes(32), bytes(31) + b"\1"
    streams = [
        Stream.derived("a", seed, 1), Stream.derived("b", seed, 1), Stream.derived("a", other, 1),
        Stream.derived("a", seed, 2), Stream.derived("a", seed), Stream.derived("a", seed, 1, 0),
        Stream.fresh(), Stream.fresh(),
    ]  # fmt: skip
    assert len({item.bytes(32) for item in streams}) == len(streams)


def test_a_stream_does_not_print_its_key() -> None:
    key = bytes(range(1, 33))
    assert key.hex() not in repr(Stream(key))
    assert repr(key)[2:20] not in repr(Stream(key))


@pytest.mark.parametrize(
    "limits", [[3], [1 << 31], [(1 << 32) - 5], [(1 << 31) + 1], [1], [671137793, 167772161, 737281, 3]]
)
def test_uniform_numbers_are_those_of_their_definition(limits: list[int]) -> None:
    ours, again = stream("definition"), stream("definition")
    assert ours.uniform_rows(limits, 500).tolist() == reference_uniform(again, limits, 500)
    # and the stream goes on at the same place
    assert ours.bytes(8) == again.bytes(8)


@pytest.mark.parametrize("limit", [2, 3, 7, 97, 1000])
def test_small_limits_are_uniform(limit: int) -> None:
    numbers = stream(f"uniform {limit}").uniform(limit, COUNT)
    observed = np.bincount(numbers.astype(np.int64), minlength=limit)
    assert observed.size == limit
    assert chi_square(observed, np.full(limit, COUNT / limit)) < 6


@pytest.mark.parametrize("prime", [671137793, 1073643521, 167772161, 114689, (1 << 31) + 1])
def test_large_limits_are_uniform_from_end_to_end(prime: int) -> None:
    numbers = stream(f"uniform {prime}").uniform(prime, COUNT)
    assert numbers.max() < prime
    pieces = 256
    observed = np.bincount(
        (numbers * np.uint64(pieces) // np.uint64(prime)).astype(np.int64), minlength=pieces
    )
    sizes = np.array(
        [-(-(piece + 1) * prime // pieces) - -(-piece * prime // pieces) for piece in range(pieces)]
    )
    assert chi_square(observed, COUNT * sizes / prime) < 6
    low = np.bincount((numbers % np.uint64(17)).astype(np.int64), minlength=17)
    assert chi_square(low, np.full(17, COUNT / 17)) < 6


def test_ternary_numbers_are_uniform_and_independent_of_their_neighbours() -> None:
    numbers = stream("ternary").ternary(COUNT)
    assert set(numbers.tolist()) == {-1, 0, 1}
    pairs = (numbers[::2] + 1) * 3 + numbers[1::2] + 1
    assert chi_square(np.bincount(pairs, minlength=9), np.full(9, COUNT / 18)) < 6


def test_errors_are_centred_binomial() -> None:
    numbers = stream("error").error(COUNT)
    assert np.abs(numbers).max() <= ERROR_BOUND
    assert abs(numbers.mean()) < 6 * math.sqrt(ERROR_VARIANCE / COUNT)
    assert abs(numbers.var() / ERROR_VARIANCE - 1) < 0.03
    middle = np.arange(-11, 12)
    expected = (
        np.array([math.comb(2 * BINOMIAL_BITS, int(k) + BINOMIAL_BITS) for k in middle]) / 4**BINOMIAL_BITS
    )
    observed = np.array([(numbers == k).sum() for k in middle])
    rest = COUNT - observed.sum()
    probabilities = np.append(expected, 1 - expected.sum())
    assert chi_square(np.append(observed, rest), COUNT * probabilities) < 6


def test_the_largest_error_is_its_bound_and_its_variance_is_that_of_the_coins() -> None:
    weights = [math.comb(2 * BINOMIAL_BITS, k) for k in range(2 * BINOMIAL_BITS + 1)]
    variance = sum(weight * (k - BINOMIAL_BITS) ** 2 for k, weight in enumerate(weights)) / 4**BINOMIAL_BITS
    assert variance == ERROR_VARIANCE
    assert ERROR_BOUND == BINOMIAL_BITS


@pytest.mark.parametrize("count", [COUNT, COUNT + 1])
def test_gaussians_are_standard_normal(count: int) -> None:
    numbers = stream(f"gaussian {count}").gaussian(count)
    assert numbers.shape == (count,)
    for power, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((numbers**power).mean() - moment) < 6 * math.sqrt(spread / count)
    edges = np.linspace(-3, 3, 41)
    observed = np.histogram(numbers, bins=[-np.inf, *edges, np.inf])[0]
    law = np.array([math.erf(edge / math.sqrt(2)) / 2 + 0.5 for edge in edges])
    assert chi_square(observed, count * np.diff([0.0, *law, 1.0])) < 6
    assert abs(np.corrcoef(numbers[: count // 2], numbers[-(count // 2) :])[0, 1]) < 6 / math.sqrt(count / 2)


@pytest.mark.parametrize("parameters", [PACKED_S16, PACKED_SMALL, THRESHOLD_T20], ids=lambda item: item.name)
def test_a_public_polynomial_is_uniform_in_every_row(parameters: object) -> None:
    assert isinstance(parameters, type(PACKED_S16))
    rows = uniform_polynomial(parameters.ring, bytes(range(32)), 0)
    assert rows.shape == (len(parameters.primes), parameters.degree)
    for row, prime in zip(rows, parameters.primes, strict=True):
        observed = np.bincount((row * np.uint64(64) // np.uint64(prime)).astype(np.int64), minlength=64)
        assert chi_square(observed, np.full(64, parameters.degree / 64)) < 6


def test_public_polynomials_of_other_seeds_or_numbers_are_others() -> None:
    ring = PACKED_SMALL.ring
    polynomials = [
        uniform_polynomial(ring, seed, number).tobytes()
        for seed in (bytes(32), bytes(31) + b"\1")
        for number in (0, 1)
    ]
    assert len(set(polynomials)) == 4
    assert uniform_polynomial(ring, bytes(32), 1).tobytes() == polynomials[1]
