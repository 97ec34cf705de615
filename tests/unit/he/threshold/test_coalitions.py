"""What readers of opened sums, aggregators, curious silos and too few key holders see: nothing but noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bfl_fabric.he.lattice.bodies import begin_sum, begin_upload, polynomials
from bfl_fabric.he.lattice.channels import message_polynomial
from bfl_fabric.he.lattice.messages import Kind, open_message
from bfl_fabric.he.lattice.parameters import THRESHOLD_T16
from bfl_fabric.he.lattice.ring import Residues
from tests.unit.he.lattice.inverses import inverse_of
from tests.unit.he.threshold.federation import Federation, Round, some_round
from tests.unit.he.threshold.test_ceremony import combined


def test_key_recovery_from_an_opened_joint_sum_finds_no_word(
    three_of_five: Federation, tmp_path: Path
) -> None:
    held = some_round(three_of_five, tmp_path, 3_000, 2, 91)
    total, ring = held.open(three_of_five.opening("ABC", round_number=91)), THRESHOLD_T16.ring
    with open_message(held.aggregate, THRESHOLD_T16, Kind.SUM) as reader:
        begin_sum(reader, THRESHOLD_T16)
        mask, rows = polynomials(reader, THRESHOLD_T16)
    whole = np.zeros_like(mask)
    whole[:, : rows.shape[1]] = rows
    known = ring.subtract(message_polynomial(THRESHOLD_T16, total, 0), whole)
    guess = ring.product(ring.transform(known), inverse_of(mask, ring))
    secret = combined(three_of_five, ("A", "B", "C"))[0]
    assert (guess[3:] == secret[3:]).sum() == 0


@pytest.mark.parametrize("held_shares", [0, 1, 2])
def test_an_aggregator_with_a_silo_and_too_few_holders_sees_noise(
    three_of_five: Federation, tmp_path: Path, held_shares: int
) -> None:
    """They have every upload, one silo's update and fewer shares than the threshold: correlation below 0.02."""
    count = THRESHOLD_T16.values_per_polynomial()
    held = some_round(three_of_five, tmp_path, count, 2, 92 + held_shares)
    opening = three_of_five.opening("ABC", round_number=92 + held_shares)
    ring = THRESHOLD_T16.ring
    with open_message(held.uploads["silo-0"], THRESHOLD_T16, Kind.UPDATE) as reader:
        begin_upload(reader, THRESHOLD_T16)
        _, seen = polynomials(reader, THRESHOLD_T16)
    for member in opening.active[:held_shares]:
        with open_message(held.share(opening, member), THRESHOLD_T16, Kind.SUM_SHARE) as reader:
            seen = ring.add(seen, reader.polynomial(ring.degree))
    assert correlation(held, seen) < 0.02


def correlation(held: Round, rows: Residues) -> float:
    """Return the largest correlation of any payload row, read as values, with the update of silo-0."""
    ring, reserved = THRESHOLD_T16.ring, THRESHOLD_T16.reserved_coefficients
    truth = held.values["silo-0"].reshape(-1, len(THRESHOLD_T16.slots)).astype(np.float64)
    found = []
    for slot, (row,) in enumerate(THRESHOLD_T16.slots):
        centred = rows[row, reserved:].astype(np.int64)
        centred = np.where(centred > ring.primes[row] // 2, centred - ring.primes[row], centred)
        found.append(np.corrcoef(centred, truth[:, slot])[0, 1])
    # five rows of 8,128 values: the mean of their correlations has a standard deviation of 0.005
    return abs(float(np.mean(found)))
