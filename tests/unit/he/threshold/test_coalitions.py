"""What readers of opened sums, aggregators, curious silos and too few key holders see: nothing but noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bfl_fabric.domain.ports import OpeningTerms
from bfl_fabric.he.lattice.bodies import begin_sum, polynomials
from bfl_fabric.he.lattice.channels import message_polynomial
from bfl_fabric.he.lattice.messages import Kind, open_message
from bfl_fabric.he.lattice.parameters import THRESHOLD_T16
from bfl_fabric.he.lattice.ring import Residues
from tests.unit.he.lattice.inverses import inverse_of
from tests.unit.he.threshold.federation import Federation, Round, some_round
from tests.unit.he.threshold.test_ceremony import combined
from tests.unit.he.threshold.test_noise import joined

RING = THRESHOLD_T16.ring
PER = THRESHOLD_T16.values_per_polynomial()
PAYLOAD = slice(len(THRESHOLD_T16.noise_primes), None)


def test_key_recovery_from_an_opened_joint_sum_finds_no_word(
    three_of_five: Federation, tmp_path: Path
) -> None:
    """(M + e − C0)/C1 is the key to the last word; from M alone, or from all answers added up, it is none of it."""
    held = some_round(three_of_five, tmp_path, PER, 2, 91)
    opening = three_of_five.opening("ABC", round_number=91)
    total = held.open(opening)
    mask, rows = sum_of(held)
    secret = combined(three_of_five, ("A", "B", "C"))[0]
    inverse, invertible = inverse_of(mask, RING), mask[PAYLOAD] != 0

    def words_found(known: Residues) -> float:
        """Return the part of the key's payload words that are right when `known` is taken for the plaintext."""
        guess = RING.product(RING.transform(RING.subtract(known, rows)), inverse)
        return float((guess[PAYLOAD] == secret[PAYLOAD])[invertible].mean())

    with_error = RING.add(rows, RING.inverse(RING.product(mask, secret)))
    assert words_found(with_error) == 1.0
    # a word of 25 bits is met by chance once in 2^25: two of 40,960 in one run of a million
    assert words_found(message_polynomial(THRESHOLD_T16, total, 0)) < 2 / mask[PAYLOAD].size
    answers = [share_of(held, opening, member)[0] for member in opening.active]
    added_up = RING.reduce(np.sum([rows, *answers], axis=0, dtype=np.uint64))
    assert words_found(added_up) < 2 / mask[PAYLOAD].size


@pytest.mark.parametrize("shares", [0, 1, 2, 3])
def test_an_aggregator_with_a_silo_and_too_few_holders_sees_noise(
    three_of_five: Federation, tmp_path: Path, shares: int
) -> None:
    """They have the sum, one of its two updates and fewer shares than the threshold: correlation below 0.02.

    With as many shares as the threshold the same steps give the other update exactly.
    """
    number = 92 + shares
    held = some_round(three_of_five, tmp_path, 4 * PER, 2, number)
    opening = three_of_five.opening("ABC", round_number=number)
    _, *seen = sum_of(held)
    for member in opening.active[:shares]:
        answers = share_of(held, opening, member)
        seen = [RING.add(part, answer) for part, answer in zip(seen, answers, strict=True)]
    guess = np.concatenate([values_without_error(part) for part in seen]) - held.values["silo-1"]
    if shares == three_of_five.threshold:
        assert (guess == held.values["silo-0"]).all()
    else:
        # 162,560 values: the correlation of noise has a standard deviation of 0.0025
        assert abs(np.corrcoef(guess, held.values["silo-0"])[0, 1]) < 0.02


def sum_of(held: Round) -> list[Residues]:
    """Return mask and polynomials of the round's aggregate."""
    with open_message(held.aggregate, THRESHOLD_T16, Kind.SUM) as reader:
        begin_sum(reader, THRESHOLD_T16)
        return list(polynomials(reader, THRESHOLD_T16))


def share_of(held: Round, opening: OpeningTerms, member: str) -> list[Residues]:
    """Return the polynomials of a member's answer, all of them whole."""
    with open_message(held.share(opening, member), THRESHOLD_T16, Kind.SUM_SHARE) as reader:
        return [reader.polynomial(RING.degree) for _ in range(held.total.size // PER)]


def values_without_error(rows: Residues) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return what the payload rows carry once what the noise rows say has been taken off, int64[PER]."""
    reserved = THRESHOLD_T16.reserved_coefficients
    error = np.array(joined(rows[: PAYLOAD.start, reserved:]), dtype=object)
    moduli = np.array(THRESHOLD_T16.payload_primes, dtype=object)[:, None]
    left = ((rows[PAYLOAD, reserved:].astype(object) - error) % moduli).astype(np.int64)
    centred = np.where(left > moduli.astype(np.int64) // 2, left - moduli.astype(np.int64), left)
    return np.ascontiguousarray(centred.T).reshape(-1)
