"""What readers of opened sums get out of them about the group's key: nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bfl_fabric.he.lattice.bodies import begin_sum, polynomials
from bfl_fabric.he.lattice.channels import message_polynomial
from bfl_fabric.he.lattice.expansion import uniform_polynomial
from bfl_fabric.he.lattice.messages import Kind, open_message
from bfl_fabric.he.lattice.parameters import PACKED_S24
from bfl_fabric.he.packed import groupkey
from tests.unit.he.lattice.inverses import inverse_of
from tests.unit.he.packed.samples import Group, some_values

PER = PACKED_S24.values_per_polynomial()
PAYLOAD = slice(len(PACKED_S24.noise_primes), None)


def test_key_recovery_from_opened_packed_aggregates_finds_no_word(tmp_path: Path) -> None:
    """The equations that give TenSEAL's key away, fed with two aggregates and their exact results.

    Whoever knows C0, the seeds and the message has A·s = −INTT(C0 − M) but for the error, which no result carries:
    with the error the key comes out whole.
    """
    group, ring = Group(tmp_path, PACKED_S24), PACKED_S24.ring
    secret = ring.transform(ring.small_residues(groupkey.read(group.secret_path, PACKED_S24).secret))
    guesses = []
    for number in (1, 2):
        uploads = [
            group.upload(
                some_values(PER, 1, 10 * number + index, PACKED_S24), f"silo-{index}", round_number=number
            )
            for index in range(2)
        ]
        aggregate = group.sum(uploads)
        total = group.opener().open_sum(aggregate, 2)
        with open_message(aggregate, PACKED_S24, Kind.SUM) as reader:
            members = [member for member, _ in begin_sum(reader, PACKED_S24)]
            (rows,) = polynomials(reader, PACKED_S24)
        masks = ring.reduce(np.sum([uniform_polynomial(ring, member.seed, 0) for member in members], axis=0))
        inverse = inverse_of(masks, ring)
        with_error = ring.add(rows, ring.inverse(ring.product(masks, secret)))
        for known, part_of_words in (
            (with_error, 1.0),
            (message_polynomial(PACKED_S24, total, 0), 0.0),
        ):
            guess = ring.product(ring.transform(ring.subtract(known, rows)), inverse)[PAYLOAD]
            # a word of 27 bits is met by chance once in 2^27, and as often has no inverse: one of 49,152 now and then
            assert abs((guess == secret[PAYLOAD]).mean() - part_of_words) < 2 / guess.size
        guesses.append(guess)
    assert (guesses[0] == guesses[1]).sum() < 2
