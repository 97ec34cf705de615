"""Whatever is drawn: sums open to the exact integers, and one wrong residue anywhere is refused or seen.

The ring is the smallest one that there is; every set that tasks can name is held once, at the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count as counting
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bfl_fabric.errors import KeyHolderRefused, MalformedInput
from bfl_fabric.he.lattice.bits import pack, packed_bytes, unpack
from bfl_fabric.he.lattice.bodies import sizes
from bfl_fabric.he.lattice.messages import HEADER_BYTES, MEMBER_BYTES
from bfl_fabric.he.lattice.parameters import PARAMETER_SETS, LatticeParameters
from tests.unit.he.threshold.federation import (
    LEVELS,
    SMALL,
    WEIGHT,
    Federation,
    Round,
    some_round,
    some_values,
)

pytestmark = pytest.mark.usefixtures("small_set")

PER = SMALL.values_per_polynomial()
ROUNDS = counting(1)
SETS = [item for item in PARAMETER_SETS.values() if item.scheme == "threshold"]
drawing = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def federation(small_set: None, tmp_path_factory: pytest.TempPathFactory) -> Federation:
    return Federation(tmp_path_factory.mktemp("properties"), tuple("ABCDE"), 3, SMALL).hold_ceremony()


def some_crowd(federation: Federation, weights: Sequence[int], count: int, seed: int) -> Round:
    """Return a round of silos with these weights and their values, the ends of the range among them."""
    values = {
        f"silo-{index}": weight * some_values(count, seed + index) for index, weight in enumerate(weights)
    }
    number = next(ROUNDS)
    named = dict(zip(values, weights, strict=True))
    return Round(federation, federation.folder / f"round-{number}", values, number, named)


COUNTS = st.integers(1, 100) | st.integers(PER - 20, PER + 20) | st.integers(2 * PER - 5, 3 * PER)
"""In one polynomial, at the border of the second, and at that of the second mask."""

WEIGHTS = st.lists(st.integers(1, WEIGHT // 6), min_size=2, max_size=6)


@settings(drawing, max_examples=30)
@given(data=st.data())
def test_any_members_weights_lengths_orders_and_groupings_open_exactly(
    federation: Federation, data: st.DataObject
) -> None:
    held = some_crowd(federation, data.draw(WEIGHTS), data.draw(COUNTS), data.draw(st.integers(0, 9)))
    order = data.draw(st.permutations(list(held.uploads.values())))
    cuts = data.draw(st.sets(st.integers(1, len(order) - 1)))
    parts = [
        held.file(f"part-{start}", held.scheme.aggregate(order[start:end]))
        for start, end in pairwise([0, *sorted(cuts), len(order)])
    ]
    grouped = held.file("grouped", held.scheme.add_sums(parts[:1]))
    assert held.scheme.add_sums([*parts[1:], grouped]) == held.aggregate.read_bytes()
    active = sorted(data.draw(st.permutations("ABCDE"))[:3])
    assert (held.open(federation.opening(active, round_number=held.number)) == held.total).all()


@settings(drawing, max_examples=15)
@given(data=st.data())
def test_any_drop_outs_that_leave_the_threshold_open_exactly(
    federation: Federation, data: st.DataObject
) -> None:
    """In each attempt somebody of the active set says nothing, up to the last; zeros of all attempts add up."""
    held = some_crowd(federation, data.draw(WEIGHTS), data.draw(COUNTS), 0)
    zeros: list[Path] = []
    attempts = data.draw(st.integers(2, 4))
    for attempt in range(1, attempts + 1):
        active = sorted(data.draw(st.permutations("ABCDE"))[:3])
        opening = federation.opening(active, attempt, held.number)
        if attempt > 1:
            zeros += held.zeros(opening)
        if attempt < attempts:
            for member in active[: data.draw(st.integers(0, 2))]:
                held.share(opening, member, zeros)
    assert (held.open(opening, zeros) == held.total).all()


# --- one wrong residue --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wrong:
    """A residue of a message that becomes another one below its prime: in which polynomial, row and place."""

    polynomial: int
    row: int
    place: int
    add: int

    @classmethod
    def drawn(cls, data: st.DataObject, coefficients: Sequence[int]) -> Wrong:
        polynomial = data.draw(st.integers(0, len(coefficients) - 1))
        row = data.draw(st.integers(0, len(SMALL.primes) - 1))
        place = data.draw(st.integers(0, coefficients[polynomial] - 1))
        return cls(polynomial, row, place, data.draw(st.integers(1, SMALL.primes[row] - 1)))

    def put_into(self, message: bytes, start: int, coefficients: Sequence[int]) -> bytes:
        """Return the message whose polynomials begin at byte `start`, with this residue wrong."""
        for size in coefficients[: self.polynomial]:
            start += sum(packed_bytes(size, width) for width in SMALL.widths)
        size, width = coefficients[self.polynomial], SMALL.widths[self.row]
        start += sum(packed_bytes(size, before) for before in SMALL.widths[: self.row])
        end = start + packed_bytes(size, width)
        residues, prime = unpack(message[start:end], width), np.uint64(SMALL.primes[self.row])
        residues[self.place] = (residues[self.place] + np.uint64(self.add)) % prime
        return message[:start] + pack(residues, width) + message[end:]


COUNT = 50


@pytest.fixture(scope="module")
def retried(federation: Federation) -> Round:
    """A round whose second attempt was answered, so that zeros are in it as well."""
    held = some_round(federation, federation.folder / "retried", COUNT, 3, 1_000)
    opening = federation.opening("ABC", 2, 1_000)
    held.zeros(opening)
    for member in opening.active:
        held.share(opening, member, zeros_of(held))
    return held


def zeros_of(held: Round) -> list[Path]:
    return [held.folder / f"zero-2-{member}" for member in "ABC"]


def opened(
    held: Round, aggregate: Path, zeros: Sequence[Path], shares: Mapping[str, Path]
) -> NDArray[np.int64] | None:
    """Return what the second attempt opens to, None when it is refused."""
    paths = {member: held.folder / f"share-2-{member}" for member in "ABC"} | dict(shares)
    try:
        return held.scheme.combine(held.federation.opening("ABC", 2, held.number), aggregate, zeros, paths)
    except (KeyHolderRefused, MalformedInput):
        return None


def is_wrong(held: Round, found: NDArray[np.int64] | None) -> bool:
    return found is None or bool((found != held.total).any())


def test_the_round_of_these_tests_opens(retried: Round) -> None:
    assert not is_wrong(retried, opened(retried, retried.aggregate, zeros_of(retried), {}))


@settings(drawing, max_examples=40)
@given(data=st.data())
def test_a_wrong_residue_of_an_upload_changes_its_digest_and_the_sum(
    retried: Round, data: st.DataObject
) -> None:
    coefficients, message = sizes(SMALL, COUNT), retried.uploads["silo-1"].read_bytes()
    wrong = Wrong.drawn(data, coefficients)
    edited = retried.file("edited", wrong.put_into(message, HEADER_BYTES, coefficients))
    assert retried.scheme.inspect(edited).digest != hashlib.sha256(message).hexdigest()
    changed = retried.scheme.aggregate([retried.uploads["silo-0"], edited, retried.uploads["silo-2"]])
    found = opened(retried, retried.file("changed", changed), zeros_of(retried), {})
    assert is_wrong(retried, found)
    if wrong.polynomial == 0:
        # the mask of the sum is then not the one that the members answered for
        assert found is None


@settings(drawing, max_examples=20)
@given(data=st.data())
def test_a_wrong_residue_of_a_mask_makes_another_question(retried: Round, data: st.DataObject) -> None:
    coefficients, message = sizes(SMALL, COUNT)[:1], retried.masks["silo-1"].read_bytes()
    edited = retried.file(
        "edited", Wrong.drawn(data, coefficients).put_into(message, HEADER_BYTES, coefficients)
    )
    assert retried.scheme.inspect_mask(edited).digest != hashlib.sha256(message).hexdigest()
    masks, zeros = [edited, retried.masks["silo-0"], retried.masks["silo-2"]], zeros_of(retried)
    honest = retried.scheme.masks_digest(list(retried.masks.values()), zeros)
    assert retried.scheme.masks_digest(masks, zeros) != honest
    with pytest.raises(KeyHolderRefused, match="the sum of other uploads of this round"):
        retried.federation.holder("A").sum_share(
            retried.federation.opening("ABC", 2, retried.number), masks, zeros
        )


@settings(drawing, max_examples=30)
@given(data=st.data())
def test_a_wrong_residue_of_a_zero_does_not_open_to_the_sum(retried: Round, data: st.DataObject) -> None:
    coefficients, zeros = sizes(SMALL, COUNT), zeros_of(retried)
    wrong = Wrong.drawn(data, coefficients)
    zeros[1] = retried.file("edited", wrong.put_into(zeros[1].read_bytes(), HEADER_BYTES, coefficients))
    found = opened(retried, retried.aggregate, zeros, {})
    assert is_wrong(retried, found)
    if wrong.polynomial == 0:
        assert found is None


@settings(drawing, max_examples=30)
@given(data=st.data())
def test_a_wrong_residue_of_an_aggregate_changes_its_digest_and_does_not_open_to_the_sum(
    retried: Round, data: st.DataObject
) -> None:
    coefficients, message = sizes(SMALL, COUNT), retried.aggregate.read_bytes()
    start = HEADER_BYTES + 3 * MEMBER_BYTES
    edited = retried.file("edited", Wrong.drawn(data, coefficients).put_into(message, start, coefficients))
    assert retried.scheme.inspect_aggregate(edited).digest != hashlib.sha256(message).hexdigest()
    assert is_wrong(retried, opened(retried, edited, zeros_of(retried), {}))


@settings(drawing, max_examples=30)
@given(data=st.data())
def test_a_wrong_residue_of_a_share_does_not_open_to_the_sum_and_has_no_proof(
    retried: Round, data: st.DataObject
) -> None:
    """In a place that carries nothing it is refused; a payload residue of a value shifts that value and no other.

    That limit is stated by `test_known_limit_a_member_that_shifts_a_value_is_found_by_proofs_alone`. No honest proof
    fits the changed share either way.
    """
    coefficients, path = sizes(SMALL, COUNT)[1:], retried.folder / "share-2-B"
    wrong = Wrong.drawn(data, coefficients)
    edited = retried.file("edited", wrong.put_into(path.read_bytes(), HEADER_BYTES, coefficients))
    found = opened(retried, retried.aggregate, zeros_of(retried), {"B": edited})
    assert is_wrong(retried, found)
    values = slice(SMALL.reserved_coefficients, SMALL.reserved_coefficients + COUNT // len(SMALL.slots))
    if wrong.row >= len(SMALL.noise_primes):
        carries = values.start <= wrong.place < values.stop
        assert found is None or (carries and (found != retried.total).sum() == 1)
    opening = retried.federation.opening("ABC", 2, retried.number)
    shares = {member: retried.folder / f"share-2-{member}" for member in "ABC"}
    proofs = {"B": proof_of(retried, "B", shares["B"])}
    masks, zeros = list(retried.masks.values()), zeros_of(retried)
    assert "B" in retried.scheme.wrong_shares(opening, masks, zeros, {**shares, "B": edited}, proofs)


def proof_of(held: Round, member: str, share: Path) -> Path:
    """Return a member's proof of its answer, made once."""
    path = held.folder / f"proof-{member}"
    if not path.exists():
        opening = held.federation.opening("ABC", 2, held.number)
        masks = list(held.masks.values())
        path.write_bytes(
            held.federation.holder(member).prove(opening, masks, zeros_of(held), share.read_bytes())
        )
    return path


# --- every set ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", SETS, ids=lambda item: item.name)
def test_every_set_opens_exactly_in_any_grouping_after_a_drop_out(
    parameters: LatticeParameters, tmp_path: Path
) -> None:
    federation = Federation(tmp_path, tuple("ABC"), 2, parameters).hold_ceremony()
    count = parameters.values_per_polynomial() + 3
    held = some_round(federation, tmp_path / "round", count, 3)
    assert np.abs(held.total).max() <= 3 * LEVELS
    first, *others = held.uploads.values()
    parts = [
        held.file("one", held.scheme.aggregate([first])),
        held.file("rest", held.scheme.aggregate(others)),
    ]
    assert held.scheme.add_sums(parts[::-1]) == held.aggregate.read_bytes()
    held.share(federation.opening("AB"), "A")
    opening = federation.opening("BC", attempt=2)
    assert (held.open(opening, held.zeros(opening)) == held.total).all()
