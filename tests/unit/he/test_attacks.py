"""Named attacks: each is shown to work where it is known to work, and to find nothing here."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import tenseal
from tenseal import sealapi

from bfl_fabric.errors import KeyHolderRefused, MalformedInput
from bfl_fabric.he import secretfile
from bfl_fabric.he.ckks import CkksOpener, CkksScheme
from bfl_fabric.he.gate import read_message
from bfl_fabric.he.packing import Residues, pack
from bfl_fabric.he.ring import ring
from bfl_fabric.he.seal import SealContext, words_of
from bfl_fabric.he.wire import HEADER_BYTES, Kind
from tests.unit.he.samples import LEVELS, PARAMETERS, Written, name, some_values

RING = ring(PARAMETERS.data_prime, PARAMETERS.degree)


# --- key recovery from what decryption returns ------------------------------------------------------


def test_tenseals_floats_give_away_the_secret_key_after_two_vectors(tmp_path: Path) -> None:
    """The attack, against the parameters that NVFLARE uses: every key word that was looked at is recovered.

    decrypt() returns real parts, and re-encoded at twice the scale they are p + p̄ exactly. In transformed form
    that is one equation in s(ζ) and s(ζ̄) for each vector: two vectors determine both.
    """
    degree, scale = 8192, 2.0**40
    context = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS, degree, -1, [60, 40, 40], tenseal.ENCRYPTION_TYPE.SYMMETRIC
    )
    context.global_scale = scale
    seal = nvflare_context(degree)
    prime = sealapi.CoeffModulus.Create(degree, [60, 40, 40])[1].value()
    equations = []
    for seed in (1, 2):
        secret_values = np.random.default_rng(seed).normal(0, 0.02, degree // 2).tolist()
        vector = tenseal.ckks_vector(context, secret_values)
        shown = vector.decrypt()
        vector.ciphertext()[0].save(str(tmp_path / "ciphertext"))
        cipher, plain = sealapi.Ciphertext(), sealapi.Plaintext()
        cipher.load(seal, str(tmp_path / "ciphertext"))
        sealapi.CKKSEncoder(seal).encode(shown, 2 * scale, plain)
        words = words_of(cipher, 4 * degree).reshape(2, 2, degree)[:, 1]
        equations.append((words, words_of(plain, 2 * degree).reshape(2, degree)[1]))
    context.secret_key().data.save(str(tmp_path / "secret"))
    secret = sealapi.SecretKey()
    secret.load(seal, str(tmp_path / "secret"))
    truth = words_of(secret.data(), 3 * degree).reshape(3, degree)[1]
    recovered = [solve_pair(equations, index, degree, prime) for index in range(0, degree, 16)]
    assert recovered == truth[::16].tolist()


def nvflare_context(degree: int) -> sealapi.SEALContext:
    parameters = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
    parameters.set_poly_modulus_degree(degree)
    parameters.set_coeff_modulus(sealapi.CoeffModulus.Create(degree, [60, 40, 40]))
    return sealapi.SEALContext(parameters, True, sealapi.SEC_LEVEL_TYPE.TC128)


def solve_pair(equations: list[tuple[Residues, Residues]], index: int, degree: int, prime: int) -> int:
    """Return s at one place from c1·s + c1′·s′ = (p + p̄) − c0 − c0′ for two vectors, by Cramer's rule."""
    bits = degree.bit_length() - 1
    power = 2 * int(format(index, f"0{bits}b")[::-1], 2) + 1
    mirrored = int(format((2 * degree - power - 1) // 2, f"0{bits}b")[::-1], 2)
    rows = []
    for words, both in equations:
        right = int(both[index]) - int(words[0, index]) - int(words[0, mirrored])
        rows.append((int(words[1, index]), int(words[1, mirrored]), right))
    (a, b, e), (c, d, f) = rows
    return (e * d - b * f) * pow(a * d - b * c, -1, prime) % prime


def recovered_words(words: Residues, message_transformed: Residues) -> Residues:
    """Return (m − c0)/c1: the secret key, if m is the exact plaintext with its noise."""
    prime = PARAMETERS.data_prime
    guesses = [
        (int(m) - int(c0)) * pow(int(c1), -1, prime) % prime
        for m, c0, c1 in zip(message_transformed, words[0], words[1], strict=True)
    ]
    return np.array(guesses, dtype=np.uint64)


def test_an_opened_sum_gives_away_no_word_of_the_secret_key(
    scheme: CkksScheme, opener: CkksOpener, secret_path: Path, seal: SealContext, written: Written
) -> None:
    """One exact plaintext would be enough here, and its noise is what never leaves: with it the attack works."""
    paths = [written.file(scheme.encrypt(name(who), 1, 3, some_values(4096, 3))) for who in "ab"]
    aggregate = written.file(scheme.aggregate(paths))
    (words,) = read_message(aggregate.read_bytes(), PARAMETERS, Kind.SUM).chunks()
    secret = secretfile.read(secret_path, PARAMETERS).secret

    inside = np.rint(seal.decryptor(secret).coefficients(words) * 2**PARAMETERS.step_bits).astype(np.int64)
    with_noise = recovered_words(words, RING.transform(RING.residues(inside)))
    assert (with_noise == secret[0]).mean() == 1.0

    opened = opener.open_sum(aggregate, 2) << PARAMETERS.step_bits
    without_noise = recovered_words(words, RING.transform(RING.residues(opened)))
    assert (without_noise == secret[0]).mean() == 0.0


def test_the_difference_of_two_opened_sums_gives_away_no_word_either(
    scheme: CkksScheme, opener: CkksOpener, secret_path: Path, written: Written
) -> None:
    secret = secretfile.read(secret_path, PARAMETERS).secret
    found = []
    for first in "ab":
        values = some_values(4096, 3, ord(first))
        paths = [written.file(scheme.encrypt(name(who), 1, 3, values)) for who in (first, "z")]
        aggregate = written.file(scheme.aggregate(paths))
        (words,) = read_message(aggregate.read_bytes(), PARAMETERS, Kind.SUM).chunks()
        found.append((words, opener.open_sum(aggregate, 2)))
    (one, opened_one), (two, opened_two) = found
    words = RING.add(one, RING.residues(np.zeros(1, np.int64)) + np.uint64(PARAMETERS.data_prime) - two)
    difference = (opened_one - opened_two) << PARAMETERS.step_bits
    guess = recovered_words(words, RING.transform(RING.residues(difference)))
    assert (guess == secret[0]).mean() == 0.0


# --- asking again ---------------------------------------------------------------------------------------


def test_a_repeated_query_of_a_changed_sum_gives_the_same_values_and_averages_no_noise_away(
    scheme: CkksScheme,
    opener: CkksOpener,
    seal: SealContext,
    public_key: bytes,
    secret_path: Path,
    written: Written,
) -> None:
    """Whoever adds encryptions of zero to a sum and has it opened again and again would find its noise, were it shown.

    Inside, the mean of 32 answers is nearer to that noise by √32; what is shown are the same integers every time.
    """
    paths = [written.file(scheme.encrypt(name(who), 1, 3, some_values(4096, 3, ord(who)))) for who in "ab"]
    message = scheme.aggregate(paths)
    expected = some_values(4096, 3, ord("a")) + some_values(4096, 3, ord("b"))
    (words,) = read_message(message, PARAMETERS, Kind.SUM).chunks()
    encryptor = seal.encryptor(read_message(public_key, PARAMETERS, Kind.PUBLIC_KEY).public_key())
    decryptor = seal.decryptor(secretfile.read(secret_path, PARAMETERS).secret)
    noise, found, shown = decryptor.coefficients(words) - expected, [], set()
    for number in range(32):
        changed = RING.add(words, encryptor.encrypt(np.zeros(4096, dtype=np.int64)))
        asked = written.file(
            message[:HEADER_BYTES] + pack(changed, PARAMETERS.residue_bits), f"asked-{number}"
        )
        shown.add(opener.open_sum(asked, 2).tobytes())
        found.append(decryptor.coefficients(changed) - expected)
    assert shown == {expected.tobytes()}
    assert np.std(np.mean(found, axis=0) - noise) < np.std(found[0] - noise) / 5


# --- known limits: they hold until uploads carry proofs; docs/encryption.md names them -------------------


def test_known_limit_a_silo_that_shifts_its_mask_reads_the_key_from_the_opened_sum(
    scheme: CkksScheme, opener: CkksOpener, secret_path: Path, written: Written
) -> None:
    """Adding A to the second polynomial adds A·s to the message; a sum with a bound cannot tell it from an update."""
    honest = scheme.encrypt(name("a"), 1, 100, some_values(4096, 100) // 8)
    crafted = scheme.encrypt(name("b"), 1, 100, np.zeros(4096, dtype=np.int64))
    amount = 100 * LEVELS
    (words,) = read_message(crafted, PARAMETERS, Kind.UPDATE).chunks()
    constant = RING.residues(np.array([amount << PARAMETERS.step_bits]))
    shifted = np.stack((words[0], RING.add(words[1], constant)))
    crafted = crafted[:HEADER_BYTES] + pack(shifted, PARAMETERS.residue_bits)
    aggregate = scheme.aggregate([written.file(honest), written.file(crafted)])
    opened = opener.open_sum(written.file(aggregate), 2)
    guess = RING.transform(RING.residues(np.rint(opened / amount).astype(np.int64)))
    assert (guess == secretfile.read(secret_path, PARAMETERS).secret[0]).all()


def test_known_limit_two_sums_that_differ_by_one_update_tell_it(
    scheme: CkksScheme, opener: CkksOpener, written: Written
) -> None:
    """The opener does what it is asked: that a round is opened once, for the sealed set, is the ledger's rule."""
    values = [some_values(100, 3, seed) for seed in range(3)]
    paths = [
        written.file(scheme.encrypt(name(who), 1, 3, part)) for who, part in zip("abc", values, strict=True)
    ]
    whole, part = (written.file(scheme.aggregate(chosen)) for chosen in (paths, paths[:2]))
    assert (opener.open_sum(whole, 3) - opener.open_sum(part, 2) == values[2]).all()
    with pytest.raises(KeyHolderRefused, match="of 2 members, the ledger says 3"):
        opener.open_sum(part, 3)


# --- what an outsider sees ----------------------------------------------------------------------------


def test_an_upload_without_the_key_looks_unrelated_to_its_values(scheme: CkksScheme) -> None:
    values = some_values(4096 * 4, 100)
    data = scheme.encrypt(name(), 1, 100, values)
    polynomials = np.concatenate([chunk[0] for chunk in read_message(data, PARAMETERS, Kind.UPDATE).chunks()])
    assert abs(np.corrcoef(polynomials.astype(np.float64), values)[0, 1]) < 0.05
    assert abs(polynomials.astype(np.float64).mean() / PARAMETERS.data_prime - 0.5) < 0.02


def test_an_aggregator_with_a_silo_sees_noise(
    scheme: CkksScheme, seal: SealContext, secret_path: Path
) -> None:
    """They have all uploads and one of the updates, and make keys of their own: correlation below 0.02.

    The same steps with the key of the task give the other update.
    """
    values = [some_values(4096 * 32, 100, seed) for seed in range(2)]
    victim, own = (
        list(read_message(scheme.encrypt(name(who), 1, 100, part), PARAMETERS, Kind.UPDATE).chunks())
        for who, part in zip("ab", values, strict=True)
    )
    prime = np.uint64(PARAMETERS.data_prime)
    differences = [RING.add(one, (prime - other) % prime) for one, other in zip(victim, own, strict=True)]

    def correlation(secret: Residues) -> float:
        decryptor = seal.decryptor(secret)
        opened = np.concatenate([decryptor.coefficients(words) for words in differences])
        return float(np.corrcoef(opened + values[1], values[0])[0, 1])

    assert correlation(secretfile.read(secret_path, PARAMETERS).secret) > 0.9999
    # 131,072 values: the correlation of noise has a standard deviation of 0.0028
    assert abs(correlation(seal.generate()[0])) < 0.02
    seen = np.concatenate([words[0] for words in differences]).astype(np.float64)
    assert abs(np.corrcoef(seen, values[0])[0, 1]) < 0.02


def test_another_key_opens_nothing(scheme: CkksScheme, seal: SealContext) -> None:
    values = some_values(4096, 100)
    (words,) = read_message(scheme.encrypt(name(), 1, 100, values), PARAMETERS, Kind.UPDATE).chunks()
    secret, _ = seal.generate()
    opened = seal.decryptor(secret).coefficients(words)
    assert abs(np.corrcoef(opened, values)[0, 1]) < 0.1


# --- what a changed bit does ----------------------------------------------------------------------------


def test_a_flipped_bit_is_refused_or_shows_in_the_digest(scheme: CkksScheme, written: Written) -> None:
    """The ledger holds the digest of the committed bytes: whoever compares, which all do, sees every flip."""
    data = scheme.encrypt(name(), 1, 5, some_values(100, 5))
    committed = scheme.inspect(written.file(data)).digest
    chance, refused = random.Random(4), 0
    places = [*range(0, 408 * 8, 7), *(chance.randrange(408 * 8, len(data) * 8) for _ in range(400))]
    for place in places:
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        try:
            assert scheme.inspect(written.file(bytes(changed), "flipped")).digest != committed
        except MalformedInput:
            refused += 1
    assert refused > 300


@pytest.mark.parametrize("field", ["participant", "round", "task"])
def test_an_upload_cannot_be_passed_off_as_another(field: str, scheme: CkksScheme, written: Written) -> None:
    """The name stands in the bytes and hence in the digest: nothing has to be trusted beside it."""
    data = scheme.encrypt(name(), 1, 5, some_values(10, 5))
    place = {"participant": 281, "round": 44, "task": 153}[field]
    renamed = bytearray(data)
    renamed[place] ^= 2
    one, other = scheme.inspect(written.file(data)), scheme.inspect(written.file(bytes(renamed)))
    assert one.name != other.name
    assert one.digest != other.digest
