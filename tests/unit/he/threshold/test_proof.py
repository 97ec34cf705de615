"""Who sent a wrong share is found: honest members prove theirs, nobody proves a wrong one."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bfl_fabric.errors import KeyHolderRefused, MalformedInput
from bfl_fabric.he import privatefile
from bfl_fabric.he.lattice.bodies import coefficients
from bfl_fabric.he.lattice.messages import HEADER_BYTES, Kind, encode_polynomial, read_message
from bfl_fabric.he.lattice.parameters import THRESHOLD_T16, THRESHOLD_T20, THRESHOLD_WIDE
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.lattice.ring import ring_of
from bfl_fabric.he.threshold import memberfile
from bfl_fabric.he.threshold.answering import Member
from bfl_fabric.he.threshold.plan import KeyPlan
from bfl_fabric.he.threshold.proof import ranges, slack_bits
from bfl_fabric.he.threshold.wide import CHALLENGE_WEIGHT, Challenge, Wide
from tests.unit.he.threshold.federation import TASK, Federation, Round, some_round


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Round:
    folder = tmp_path_factory.mktemp("proof")
    federation = Federation(folder, tuple("ABC"), 2).hold_ceremony()
    return some_round(federation, folder / "round", THRESHOLD_T16.values_per_polynomial() + 1_000, 2)


def proof(held: Round, member: str, share: Path) -> Path:
    opening = held.federation.opening("AB")
    holder = held.federation.holder(member)
    data = holder.prove(opening, list(held.masks.values()), (), share.read_bytes())
    return held.file(f"proof-{member}", data)


@pytest.fixture(scope="module")
def shares(held: Round) -> dict[str, Path]:
    opening = held.federation.opening("AB")
    return {member: held.share(opening, member) for member in "AB"}


@pytest.fixture(scope="module")
def proofs(held: Round, shares: dict[str, Path]) -> dict[str, Path]:
    return {member: proof(held, member, shares[member]) for member in "AB"}


def wrong(held: Round, shares: dict[str, Path], proofs: dict[str, Path]) -> tuple[str, ...]:
    opening = held.federation.opening("AB")
    return held.scheme.wrong_shares(opening, list(held.masks.values()), (), shares, proofs)


def test_honest_shares_are_proven(held: Round, shares: dict[str, Path], proofs: dict[str, Path]) -> None:
    assert wrong(held, shares, proofs) == ()


def test_a_member_without_a_proof_or_share_is_named(
    held: Round, shares: dict[str, Path], proofs: dict[str, Path], tmp_path: Path
) -> None:
    assert wrong(held, shares, {"A": proofs["A"]}) == ("B",)
    assert wrong(held, {"B": shares["B"]}, proofs) == ("A",)
    assert wrong(held, shares, {**proofs, "A": tmp_path / "gone"}) == ("A",)
    assert wrong(held, shares, {}) == ("A", "B")


def test_another_share_with_the_proof_of_the_right_one_is_named(
    held: Round, shares: dict[str, Path], proofs: dict[str, Path]
) -> None:
    data = bytearray(shares["B"].read_bytes())
    data[HEADER_BYTES + 10] ^= 1
    assert wrong(held, {**shares, "B": held.file("wrong", bytes(data))}, proofs) == ("B",)


@pytest.mark.parametrize("place", [30, HEADER_BYTES + 3, 200_000, 1_900_000, 2_400_000, -5, -2_000_000])
def test_a_proof_with_a_changed_byte_proves_nothing(
    place: int, held: Round, shares: dict[str, Path], proofs: dict[str, Path]
) -> None:
    data = bytearray(proofs["A"].read_bytes())
    data[place] ^= 1
    assert wrong(held, shares, {**proofs, "A": held.file("changed", bytes(data))}) == ("A",)


def test_a_truncated_or_longer_proof_proves_nothing(
    held: Round, shares: dict[str, Path], proofs: dict[str, Path]
) -> None:
    data = proofs["A"].read_bytes()
    for changed in (data[:-1], data + b"\0", data[:HEADER_BYTES], b""):
        assert wrong(held, shares, {**proofs, "A": held.file("cut", changed)}) == ("A",)


def test_a_member_proves_nothing_but_its_own_answer(held: Round, shares: dict[str, Path]) -> None:
    with pytest.raises(KeyHolderRefused, match="it is not the share that this member gave"):
        proof(held, "A", shares["B"])


def test_a_proof_is_the_same_bytes_again(
    held: Round, shares: dict[str, Path], proofs: dict[str, Path]
) -> None:
    """The same masks under two challenges would give the share away: like the noise they follow from the question."""
    first = proofs["A"].read_bytes()
    assert proof(held, "A", shares["A"]).read_bytes() == first


def test_known_limit_a_member_that_shifts_a_value_is_found_by_proofs_alone(
    held: Round, shares: dict[str, Path], proofs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A residue of a payload prime has no redundancy: shifted by little it opens to another sum in range.

    So a sum that matters is believed when each share of it has its proof.
    """
    data = shares["A"].read_bytes()
    rows = read_message(data, THRESHOLD_T16, Kind.SUM_SHARE).polynomial(8192)
    rows[3, 100] = (rows[3, 100] + np.uint64(1)) % np.uint64(THRESHOLD_T16.primes[3])
    packed = encode_polynomial(THRESHOLD_T16, rows)
    shifted = data[:HEADER_BYTES] + packed + data[HEADER_BYTES + len(packed) :]
    spoiled = {**shares, "A": held.file("shifted", shifted)}
    opening = held.federation.opening("AB")
    opened = held.scheme.combine(opening, held.aggregate, (), spoiled) - held.total
    assert (np.flatnonzero(opened).tolist(), opened.sum()) == ([(100 - 64) * 5], 1)

    monkeypatch.setattr(Member, "sum_share", lambda *_: shifted)
    assert wrong(held, spoiled, {**proofs, "A": proof(held, "A", spoiled["A"])}) == ("A",)
    assert wrong(held, spoiled, proofs) == ("A",)


def test_who_answered_wrongly_finds_no_proof_with_the_honest_steps(
    held: Round, shares: dict[str, Path], proofs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal's refusal is switched off; what is left is that the equations do not hold."""
    data = bytearray(shares["A"].read_bytes())
    data[HEADER_BYTES + 10] ^= 1
    spoiled = held.file("spoiled", bytes(data))
    monkeypatch.setattr(Member, "sum_share", lambda *_: bytes(data))
    attempt = proof(held, "A", spoiled)
    assert wrong(held, {**shares, "A": spoiled}, {**proofs, "A": attempt}) == ("A",)


def test_a_member_whose_share_is_not_the_committed_one_proves_nothing(tmp_path: Path) -> None:
    federation = Federation(tmp_path, ("A", "B"), 2).hold_ceremony()
    path = federation.secret_path("A")
    file = memberfile.read(path)
    part = len(file.share) // 8
    privatefile.replace(path, replace(file, share=file.share[part:] + file.share[:part]).encode())
    held = some_round(federation, tmp_path / "round", 100, 2)
    opening = federation.opening("AB")
    shares = {member: held.share(opening, member) for member in "AB"}
    with pytest.raises(KeyHolderRefused, match="it does not open"):
        held.scheme.combine(opening, held.aggregate, (), shares)
    with pytest.raises(KeyHolderRefused, match="not the one that the joint key commits it to"):
        proof(held, "A", shares["A"])
    proofs = {"B": proof(held, "B", shares["B"])}
    assert wrong(held, shares, proofs) == ("A",)


def test_proofs_hold_with_zeros_and_with_the_large_ring(tmp_path: Path) -> None:
    federation = Federation(tmp_path, ("A", "B"), 2, THRESHOLD_T20).hold_ceremony()
    held = some_round(federation, tmp_path / "round", 1_000, 2)
    opening = federation.opening("AB", attempt=2)
    zeros, masks = held.zeros(opening), list(held.masks.values())
    shares = {member: held.share(opening, member, zeros) for member in "AB"}
    proofs = {
        member: held.file(
            f"proof-{member}",
            federation.holder(member).prove(opening, masks, zeros, shares[member].read_bytes()),
        )
        for member in "AB"
    }
    assert held.scheme.wrong_shares(opening, masks, zeros, shares, proofs) == ()
    assert held.scheme.wrong_shares(opening, masks, zeros[:1], shares, proofs) == ("A", "B")


# --- arithmetic ------------------------------------------------------------------------------------------


def test_wide_integers_add_multiply_and_reduce_as_python_integers_do() -> None:
    ring, stream = ring_of(8192, THRESHOLD_T16.primes), Stream(bytes(32))
    numbers = Wide.uniform(stream, 1 << 50, 8192, 40)
    exact = [int(h) * (1 << 40) + int(v) for h, v in zip(numbers.high, numbers.low, strict=True)]
    challenge = Challenge.drawn(Stream(bytes(32)), 8192)
    assert len(set(challenge.places)) == CHALLENGE_WEIGHT
    product = [0] * 8192
    for place, sign in zip(challenge.places, challenge.signs, strict=True):
        for index, number in enumerate(exact):
            where, turn = (index + place) % 8192, -1 if index + place >= 8192 else 1
            product[where] += sign * turn * number
    found = challenge.times(numbers).normal()
    assert [int(h) * (1 << 40) + int(v) for h, v in zip(found.high, found.low, strict=True)] == product
    for row, prime in enumerate(ring.primes):
        assert found.residues(ring)[row, :50].tolist() == [number % prime for number in product[:50]]
    assert Wide.of(product, 40).encode() == found.encode()
    assert Wide.decode(found.encode(), 40).encode() == found.encode()
    assert found.reshifted(54).normal().residues(ring).tolist() == found.residues(ring).tolist()


def test_a_wide_integer_has_one_form() -> None:
    data = np.array([1, -1], dtype="<i8").tobytes()
    with pytest.raises(MalformedInput, match="one form"):
        Wide.decode(data, 40)
    with pytest.raises(MalformedInput, match="one form"):
        Wide.decode(np.array([0, 1 << 40], dtype="<i8").tobytes(), 40)


@pytest.mark.parametrize(
    "parameters", [THRESHOLD_T16, THRESHOLD_T20, THRESHOLD_WIDE], ids=lambda item: item.name
)
def test_ranges_leave_room_in_words_and_moduli_and_the_slack_is_what_is_said(parameters) -> None:  # type: ignore[no-untyped-def]
    for members, threshold, count in ((3, 2, 1_000), (16, 16, 100_000_000)):
        plan = KeyPlan(parameters, TASK, 1, tuple(f"M{index:02}" for index in range(members)), threshold)
        polynomials = len(coefficients(parameters, count))
        for item in ranges(plan, polynomials):
            assert item.limit <= 1 << 61
            assert 0.85 * item.limit < item.kept < item.limit
            assert math.log2(item.limit) + item.shift < math.log2(math.prod(parameters.primes)) - 40
        assert 15 < slack_bits(plan, polynomials) < 50


def test_answers_are_spread_evenly_over_their_range(held: Round, proofs: dict[str, Path]) -> None:
    """Nothing of c·E shows in them: halves, quarters and the edge are as full as they must be."""
    plan, polynomials = held.federation.plan, 2
    _, wide = ranges(plan, polynomials)
    size = 8192 * 16
    data = proofs["A"].read_bytes()[-polynomials * size :]
    highs = np.concatenate(
        [np.frombuffer(data[start : start + size // 2], dtype="<i8") for start in range(0, len(data), size)]
    )
    counts, _ = np.histogram(highs, bins=16, range=(-wide.limit, wide.limit))
    expected = highs.size / 16
    assert ((counts - expected) ** 2 / expected).sum() < 50
