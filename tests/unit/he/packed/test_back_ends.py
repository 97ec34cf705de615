"""SEAL and our own arithmetic write one format, read each other, and make what the noise law promises."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tenseal import sealapi

from bfl_fabric.he.lattice.bits import packed_bytes, unpack
from bfl_fabric.he.lattice.messages import Expansion
from bfl_fabric.he.lattice.modular import Integers
from bfl_fabric.he.lattice.parameters import PACKED_S24, PACKED_SMALL, PACKED_WIDE, LatticeParameters
from bfl_fabric.he.lattice.randomness import ERROR_BOUND, ERROR_VARIANCE
from bfl_fabric.he.packed.backend import BackEnd, BackEndName, Encrypted, Masks, RingBackEnd
from bfl_fabric.he.packed.seal import SealBackEnd, contexts_of
from tests.unit.he.packed import blake2xb
from tests.unit.he.packed.samples import SETS, Group, some_values

BOTH_WAYS = [(one, other) for one in BackEndName for other in BackEndName]


def secret_of(parameters: LatticeParameters, back_end: BackEndName) -> Integers:
    if back_end is BackEndName.SEAL:
        return SealBackEnd.generate(contexts_of(parameters))
    return RingBackEnd.generate(parameters)


def back_end_of(parameters: LatticeParameters, back_end: BackEndName, secret: Integers) -> BackEnd:
    contexts = contexts_of(parameters)
    if back_end is BackEndName.SEAL:
        return SealBackEnd(contexts, secret)
    return RingBackEnd(parameters, secret, contexts.masks)


def errors_of(parameters: LatticeParameters, opener: BackEnd, encrypted: Encrypted) -> Integers:
    """Return the error of an encryption of zeros, row by row int64[L, N]."""
    seal = encrypted.expansion is Expansion.SEAL_BLAKE2XB
    masks = Masks((), (encrypted.body[0],)) if seal else Masks((encrypted.seed,), ())
    data, rows, start = encrypted.body[-1], [], 0
    for width in parameters.widths:
        end = start + packed_bytes(parameters.degree, width)
        rows.append(unpack(data[start:end], width))
        start = end
    opened = opener.opened(0, np.stack(rows), masks).astype(np.int64)
    moduli = parameters.ring.moduli.astype(np.int64)
    return np.where(opened > moduli // 2, opened - moduli, opened)


@pytest.mark.parametrize(("encrypting", "opening"), BOTH_WAYS)
@pytest.mark.parametrize("parameters", SETS, ids=lambda item: item.name)
def test_what_one_back_end_encrypts_the_other_opens(
    encrypting: BackEndName,
    opening: BackEndName,
    parameters: LatticeParameters,
    group_of: Callable[[LatticeParameters], Group],
) -> None:
    group = group_of(parameters)
    first, second = (some_values(1000, seed=seed, parameters=parameters) for seed in (1, 2))
    uploads = [
        group.upload(first, "silo-a", back_end=encrypting), group.upload(second, "silo-b", back_end=encrypting)
    ]  # fmt: skip
    assert (group.opener(opening).open_sum(group.sum(uploads), 2) == first + second).all()


@pytest.mark.parametrize("parameters", [PACKED_SMALL, PACKED_S24], ids=lambda item: item.name)
def test_errors_are_equal_modulo_every_prime_and_as_large_as_promised(
    parameters: LatticeParameters, back_end: BackEndName
) -> None:
    secret = secret_of(parameters, back_end)
    zeros = np.zeros(parameters.values_per_polynomial(), dtype=np.int64)
    made = back_end_of(parameters, back_end, secret).encrypt(zeros)
    for opening in BackEndName:
        errors = errors_of(parameters, back_end_of(parameters, opening, secret), made)
        assert (errors == errors[0]).all()
        assert 0 < np.abs(errors[0]).max() <= ERROR_BOUND
        # 4096 draws: the variance is within a tenth of the law's with a probability of all but 10^-5
        assert abs(errors[0].var() / ERROR_VARIANCE - 1) < 0.12
        assert abs(errors[0].mean()) < 0.3


def test_secrets_are_ternary_and_never_the_same(back_end: BackEndName) -> None:
    one, other = (secret_of(PACKED_SMALL, back_end) for _ in range(2))
    assert set(np.unique(one)) == {-1, 0, 1}
    assert all(1200 < np.count_nonzero(one == digit) < 1540 for digit in (-1, 0, 1))
    assert (one != other).any()


def test_encrypting_twice_gives_other_bytes(back_end: BackEndName, group: Group) -> None:
    values = some_values(8)
    one, other = (group.upload(values, back_end=back_end).read_bytes() for _ in range(2))
    assert one != other
    assert len(one) == len(other)


@pytest.mark.parametrize("parameters", [PACKED_SMALL, PACKED_WIDE], ids=lambda item: item.name)
def test_seal_expands_its_seeds_as_its_specification_says(parameters: LatticeParameters) -> None:
    seeds = [bytes(range(64)), bytes(range(64, 128))]
    expected = sum(blake2xb.mask(seed, parameters.degree, parameters.primes) for seed in seeds)
    assert (contexts_of(parameters).masks(seeds) == expected % parameters.ring.moduli).all()


def test_the_oracle_is_seals_generator() -> None:
    seed = [pow(3, index, 1 << 64) for index in range(100, 108)]
    generator = sealapi.Blake2xbPRNGFactory(seed).create()
    data = b"".join(word.to_bytes(8, "little") for word in seed)
    stream = blake2xb.words(data)
    ours = np.concatenate([next(stream), next(stream)]).view("<u4")
    assert ours.tolist() == [generator.generate() & 0xFFFFFFFF for _ in range(ours.size)]


def test_an_upload_of_seal_carries_one_seed_for_each_polynomial(group: Group) -> None:
    count = 2 * PACKED_SMALL.values_per_polynomial() + 1
    encrypted = back_end_of(
        PACKED_SMALL, BackEndName.SEAL, secret_of(PACKED_SMALL, BackEndName.SEAL)
    ).encrypt(np.zeros(count, dtype=np.int64))
    seeds = encrypted.body[0]
    assert len({seeds[start : start + 64] for start in range(0, len(seeds), 64)}) == 3
    assert len(encrypted.body) == 4
