"""Opening together: exact for every set, any active set, after drop-outs; and what a holder does not answer."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bfl_fabric.domain.ports import UpdateName
from bfl_fabric.errors import KeyHolderRefused, MalformedInput, NotFound
from bfl_fabric.he import privatefile
from bfl_fabric.he.lattice.messages import HEADER_BYTES
from bfl_fabric.he.lattice.parameters import (
    THRESHOLD_T16,
    THRESHOLD_T20,
    THRESHOLD_WIDE,
    LatticeParameters,
)
from bfl_fabric.he.threshold import memberfile
from bfl_fabric.he.threshold.drill import drill, practice, windows
from bfl_fabric.he.threshold.memberfile import State
from tests.unit.he.threshold.federation import (
    LEVELS,
    TASK,
    Federation,
    Round,
    some_round,
    some_values,
)

COUNTS = {
    "threshold-t16": (1, 7, 40_960 * 8 + 9),
    "threshold-t20": (163_840 + 77,),
    "threshold-wide": (16_385,),
}


@pytest.fixture(scope="module")
def held(three_of_five: Federation, tmp_path_factory: pytest.TempPathFactory) -> Round:
    return some_round(three_of_five, tmp_path_factory.mktemp("held"), number=50)


@pytest.fixture
def fresh(tmp_path: Path) -> Round:
    federation = Federation(tmp_path, tuple("ABC"), 2).hold_ceremony()
    return some_round(federation, tmp_path / "round")


# --- exactness -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters", [THRESHOLD_T16, THRESHOLD_T20, THRESHOLD_WIDE], ids=lambda item: item.name
)
def test_sums_open_exactly_with_every_set(parameters: LatticeParameters, tmp_path: Path) -> None:
    federation = Federation(tmp_path, ("A", "B", "C"), 3, parameters).hold_ceremony()
    for number, count in enumerate(COUNTS[parameters.name], start=1):
        held = some_round(federation, tmp_path / f"round-{number}", count, 3, number)
        assert {path.stat().st_size for path in held.uploads.values()} == {held.scheme.size_bytes(count)}
        opened = held.open(federation.opening("ABC", round_number=number))
        assert opened.dtype == np.int64
        assert (opened == held.total).all()


def test_any_three_of_five_open_the_same_sum(three_of_five: Federation, tmp_path: Path) -> None:
    for number, active in enumerate(itertools.combinations("ABCDE", 3), start=1):
        held = some_round(three_of_five, tmp_path / f"round-{number}", 500, 2, number)
        assert (held.open(three_of_five.opening(active, round_number=number)) == held.total).all()


@pytest.mark.slow
def test_six_of_ten_open_with_first_last_and_mixed_sets(tmp_path: Path) -> None:
    members = tuple(f"org-{index:02}" for index in range(10))
    federation = Federation(tmp_path, members, 6).hold_ceremony()
    for number, active in enumerate((members[:6], members[4:], members[::2] + members[1:2]), start=1):
        held = some_round(federation, tmp_path / f"round-{number}", 500, 2, number)
        opening = federation.opening(sorted(active), round_number=number)
        assert (held.open(opening) == held.total).all()


def test_the_largest_weights_open_exactly(three_of_five: Federation, tmp_path: Path) -> None:
    scheme, values = three_of_five.scheme, np.array([LEVELS, -LEVELS] * 40, dtype=np.int64) * 50
    uploads, masks = [], []
    for name in ("x", "y"):
        upload = tmp_path / name
        upload.write_bytes(scheme.encrypt(UpdateName(TASK, 60, name), 1, 50, values))
        mask = tmp_path / f"mask-{name}"
        mask.write_bytes(scheme.mask(upload))
        uploads.append(upload)
        masks.append(mask)
    aggregate = tmp_path / "sum"
    aggregate.write_bytes(scheme.aggregate(uploads))
    opening, shares = three_of_five.opening("BCD", round_number=60), {}
    for member in "BCD":
        shares[member] = tmp_path / f"share-{member}"
        shares[member].write_bytes(three_of_five.holder(member).sum_share(opening, masks, ()))
    assert (scheme.combine(opening, aggregate, (), shares) == 2 * values).all()


def test_a_sum_of_sums_is_the_flat_sum(held: Round) -> None:
    names = list(held.uploads)
    parts = [
        held.file(f"part-{index}", held.scheme.aggregate([held.uploads[name] for name in chosen]))
        for index, chosen in enumerate((names[:1], names[1:]))
    ]
    assert held.scheme.add_sums(parts[::-1]) == held.aggregate.read_bytes()
    header = held.scheme.inspect_aggregate(held.aggregate)
    assert (header.members, header.total_weight, header.round) == (3, 3, 50)


# --- drop-outs -----------------------------------------------------------------------------------------


def test_another_set_answers_after_a_drop_out_once_zeros_have_changed_the_masks(fresh: Round) -> None:
    federation = fresh.federation
    first = federation.opening("AB")
    fresh.share(first, "A")
    second = federation.opening("AC", attempt=2)
    zeros = fresh.zeros(second)
    masks = list(fresh.masks.values())
    assert fresh.scheme.masks_digest(masks, zeros) != fresh.scheme.masks_digest(masks, ())
    assert (fresh.open(second, zeros) == fresh.total).all()
    third = federation.opening("BC", attempt=3)
    zeros += fresh.zeros(third)
    assert (fresh.open(third, zeros) == fresh.total).all()


def test_another_set_gets_nothing_for_the_same_masks(fresh: Round) -> None:
    """Two shares of one C1 under two sets differ by a known factor: together they average the noise away."""
    federation = fresh.federation
    fresh.share(federation.opening("AB"), "A")
    with pytest.raises(KeyHolderRefused, match="attempt 1 has been answered"):
        fresh.share(federation.opening("AC"), "A")
    with pytest.raises(KeyHolderRefused, match="without a zero of A"):
        fresh.share(federation.opening("AC", attempt=2), "A")


def test_a_retry_whose_zero_is_of_others_only_is_refused(fresh: Round) -> None:
    second = fresh.federation.opening("AC", attempt=2)
    zeros = [path for path in fresh.zeros(second) if path.name.endswith("C")]
    with pytest.raises(KeyHolderRefused, match="without a zero of A"):
        fresh.share(second, "A", zeros)


def test_masks_that_were_answered_for_under_another_name_are_refused(fresh: Round, tmp_path: Path) -> None:
    """What was answered for is C1 itself, whatever the attempt is called: here the journal of attempts is lost."""
    fresh.share(fresh.federation.opening("AB"), "A")
    answers = fresh.federation.secret_path("A").with_name("A.secret.answers")
    for path in answers.glob("attempt-*"):
        path.unlink()
    with pytest.raises(KeyHolderRefused, match="this sum of masks has been answered for"):
        fresh.share(fresh.federation.opening("AC"), "A")


def test_the_sum_of_fewer_updates_of_an_opened_round_is_refused(fresh: Round) -> None:
    """Two sums that differ by one update tell that update."""
    federation = fresh.federation
    fresh.share(federation.opening("AB"), "A")
    second = federation.opening("AB", attempt=2)
    masks = list(fresh.masks.values())[:2]
    with pytest.raises(KeyHolderRefused, match="the sum of other uploads of this round"):
        federation.holder("A").sum_share(second, masks, fresh.zeros(second))


def test_the_same_question_gets_the_same_bytes_even_after_a_restart(fresh: Round) -> None:
    opening = fresh.federation.opening("AB")
    masks = list(fresh.masks.values())
    first = fresh.federation.holder("A").sum_share(opening, masks, ())
    assert fresh.federation.holder("A").sum_share(opening, masks[::-1], ()) == first


def test_two_members_noise_differs_and_two_rounds_do(fresh: Round, tmp_path: Path) -> None:
    opening = fresh.federation.opening("AB")
    shares = {fresh.share(opening, member).read_bytes()[500:] for member in "AB"}
    other = some_round(fresh.federation, tmp_path / "other", number=2)
    shares.add(other.share(fresh.federation.opening("AB", round_number=2), "A").read_bytes()[500:])
    assert len(shares) == 3


# --- what a holder refuses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"epoch": 2}, "it is for key epoch 2"),
        ({"task_id": "other"}, "it is for task other"),
        ({"holders": ("A", "B", "C")}, "its holders or its threshold"),
        ({"threshold": 2}, "its holders or its threshold"),
        ({"active": ("A", "B")}, "the active set has 2 members, the threshold is 3"),
        ({"active": tuple("ABCD")}, "the active set has 4 members"),
        ({"active": ("A", "A", "B")}, "not in ascending order"),
        ({"active": ("C", "B", "A")}, "not in ascending order"),
        ({"active": ("A", "B", "Z")}, "not of holders"),
        ({"active": ("B", "C", "D")}, "A is not in the active set"),
        ({"round": 51}, "the masks are of retinopathy-1 round 50"),
        ({"attempt": 0}, "without attempt"),
    ],
)
def test_an_opening_that_is_not_for_this_share_is_refused(
    changes: dict[str, object], problem: str, held: Round, three_of_five: Federation
) -> None:
    opening = replace(three_of_five.opening("ABC", round_number=50), **changes)  # type: ignore[arg-type]
    with pytest.raises(KeyHolderRefused, match=problem):
        three_of_five.holder("A").sum_share(opening, list(held.masks.values()), ())


def test_one_update_is_never_opened(held: Round, three_of_five: Federation) -> None:
    masks = list(held.masks.values())
    with pytest.raises(KeyHolderRefused, match="a sum of one update is that update"):
        three_of_five.holder("A").sum_share(three_of_five.opening("ABC", round_number=50), masks[:1], ())
    with pytest.raises(MalformedInput, match="second of this participant"):
        three_of_five.holder("A").sum_share(
            three_of_five.opening("ABC", round_number=50), [masks[0], masks[0]], ()
        )


def test_a_mask_of_another_round_key_or_length_is_refused(
    held: Round, three_of_five: Federation, tmp_path: Path
) -> None:
    opening, holder = three_of_five.opening("ABC", round_number=50), three_of_five.holder("A")
    mine = list(held.masks.values())[:2]
    values = {"silo-9": some_values(3_000, 9)}
    other_round = Round(three_of_five, tmp_path / "round", values, 51)
    with pytest.raises(MalformedInput, match="round 51"):
        holder.sum_share(opening, [*mine, *other_round.masks.values()], ())
    other_length = Round(three_of_five, tmp_path / "length", {"silo-9": some_values(2_999, 9)}, 50)
    with pytest.raises(MalformedInput, match="2999 parameters, the others"):
        holder.sum_share(opening, [*mine, *other_length.masks.values()], ())
    federation = Federation(tmp_path, tuple("ABC"), 2).hold_ceremony()
    other_key = Round(federation, tmp_path / "key", values, 50)
    with pytest.raises(MalformedInput, match="under another key"):
        holder.sum_share(opening, [*mine, *other_key.masks.values()], ())


def test_a_copied_or_empty_mask_is_refused(held: Round, three_of_five: Federation, tmp_path: Path) -> None:
    """A copy under another name, and a mask of zeros: neither comes from an honest participant."""
    opening, holder = three_of_five.opening("ABC", round_number=50), three_of_five.holder("A")
    mask = held.masks["silo-0"].read_bytes()
    copy = tmp_path / "copy"
    copy.write_bytes(mask.replace(b"silo-0", b"silo-7"))
    with pytest.raises(MalformedInput, match="repeats another mask"):
        holder.sum_share(opening, [held.masks["silo-0"], copy], ())
    empty = tmp_path / "empty"
    empty.write_bytes(mask[:408].replace(b"silo-0", b"silo-7") + bytes(len(mask) - 408))
    with pytest.raises(MalformedInput, match="all zero"):
        holder.sum_share(opening, [held.masks["silo-1"], empty], ())


def test_an_upload_is_not_a_mask_and_a_mask_not_an_upload(held: Round, three_of_five: Federation) -> None:
    opening, holder = three_of_five.opening("ABC", round_number=50), three_of_five.holder("A")
    with pytest.raises(MalformedInput, match="expected a message MASK, found UPDATE"):
        holder.sum_share(opening, list(held.uploads.values()), ())
    with pytest.raises(MalformedInput, match="expected a message UPDATE, found MASK"):
        held.scheme.inspect(held.masks["silo-0"])


def test_a_file_that_is_missing_is_named(held: Round, three_of_five: Federation, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no file gone"):
        three_of_five.holder("A").sum_share(
            three_of_five.opening("ABC", round_number=50), [tmp_path / "gone"] * 2, ()
        )


def test_zeros_have_no_place_in_a_first_attempt(held: Round, three_of_five: Federation) -> None:
    zeros = held.zeros(three_of_five.opening("ABC", attempt=2, round_number=50))
    with pytest.raises(KeyHolderRefused, match="the first attempt has no zeros"):
        three_of_five.holder("A").sum_share(
            three_of_five.opening("ABC", round_number=50), list(held.masks.values()), zeros
        )


def test_a_share_of_another_joint_key_is_refused(three_of_five: Federation, tmp_path: Path) -> None:
    other = Federation(tmp_path, tuple("ABC"), 2).hold_ceremony()
    other.joint_key = three_of_five.joint_key
    with pytest.raises(KeyHolderRefused, match="another joint key"):
        other.holder("A")


# --- combining ------------------------------------------------------------------------------------------


def test_a_wrong_share_does_not_open(fresh: Round) -> None:
    """Residues of noise primes and of reserved places; what only proofs find is in test_proof.py."""
    opening = fresh.federation.opening("AB")
    shares = {member: fresh.share(opening, member) for member in "AB"}
    for place in (HEADER_BYTES, HEADER_BYTES + 200, HEADER_BYTES + 3_000, HEADER_BYTES + 5_810):
        data = bytearray(shares["B"].read_bytes())
        data[place] ^= 1
        spoiled = fresh.file("spoiled", bytes(data))
        with pytest.raises((KeyHolderRefused, MalformedInput)):
            fresh.scheme.combine(opening, fresh.aggregate, (), {**shares, "B": spoiled})
    assert (fresh.scheme.combine(opening, fresh.aggregate, (), shares) == fresh.total).all()


def test_a_share_of_another_attempt_holder_or_sum_is_refused_by_name(fresh: Round) -> None:
    opening = fresh.federation.opening("AB")
    shares = {member: fresh.share(opening, member) for member in "AB"}
    with pytest.raises(MalformedInput, match="the share of A: its header is not that of an answer"):
        fresh.scheme.combine(replace(opening, attempt=2), fresh.aggregate, (), shares)
    for changes in ({"round": 2}, {"task_id": "other"}):
        with pytest.raises(MalformedInput, match="the sum is of retinopathy-1 round 1"):
            fresh.scheme.combine(replace(opening, **changes), fresh.aggregate, (), shares)  # type: ignore[arg-type]
    with pytest.raises(MalformedInput, match="the share of A"):
        fresh.scheme.combine(opening, fresh.aggregate, (), {"A": shares["B"], "B": shares["A"]})
    zeros = fresh.zeros(fresh.federation.opening("AB", attempt=2))
    with pytest.raises(MalformedInput, match="the share of A"):
        fresh.scheme.combine(opening, fresh.aggregate, zeros, shares)


def test_a_changed_header_of_a_share_or_zero_is_refused(fresh: Round) -> None:
    opening = fresh.federation.opening("AB", attempt=2)
    zeros = fresh.zeros(opening)
    shares = {member: fresh.share(opening, member, zeros) for member in "AB"}
    for place in [*range(0, 120, 7), *range(120, HEADER_BYTES, 31)]:
        data = bytearray(shares["B"].read_bytes())
        data[place] ^= 1
        spoiled = {**shares, "B": fresh.file("spoiled", bytes(data))}
        with pytest.raises(MalformedInput, match="the share of B"):
            fresh.scheme.combine(opening, fresh.aggregate, zeros, spoiled)
        data = bytearray(zeros[1].read_bytes())
        data[place] ^= 1
        with pytest.raises((MalformedInput, KeyHolderRefused)):
            fresh.share(opening, "A", [zeros[0], fresh.file("spoiled", bytes(data))])
    assert (fresh.scheme.combine(opening, fresh.aggregate, zeros, shares) == fresh.total).all()


def test_fewer_shares_than_the_threshold_open_nothing(fresh: Round) -> None:
    opening = fresh.federation.opening("AB")
    shares = {"A": fresh.share(opening, "A")}
    with pytest.raises(KeyHolderRefused, match="the share of B is missing"):
        fresh.scheme.combine(opening, fresh.aggregate, (), shares)
    with pytest.raises(KeyHolderRefused, match="missing"):
        fresh.scheme.combine(replace(opening, active=("A",)), fresh.aggregate, (), shares)


def test_a_truncated_or_longer_share_is_refused_by_name(fresh: Round) -> None:
    opening = fresh.federation.opening("AB")
    shares = {member: fresh.share(opening, member) for member in "AB"}
    whole = shares["B"].read_bytes()
    for data in (whole[:-1], whole + b"\0", whole[:100], b""):
        spoiled = fresh.file("spoiled", data)
        with pytest.raises(MalformedInput, match="the share of B"):
            fresh.scheme.combine(opening, fresh.aggregate, (), {**shares, "B": spoiled})


# --- the state of a member's file --------------------------------------------------------------------------


def test_the_seed_is_gone_once_something_was_opened(fresh: Round) -> None:
    federation = fresh.federation
    path = federation.secret_path("A")
    seed = memberfile.read(path).seed
    fresh.share(federation.opening("AB"), "A")
    file = memberfile.read(path)
    assert file.state is State.IN_USE
    assert file.seed == bytes(32) != seed
    assert seed not in path.read_bytes()
    with pytest.raises(KeyHolderRefused, match="this key epoch has been used"):
        federation.ceremony("A").reveal_seed()
    assert federation.ceremony("A").key_share() == federation.shares["A"]


def test_a_drill_opens_in_every_window_and_leaves_the_seed(tmp_path: Path) -> None:
    federation = Federation(tmp_path, tuple("ABCD"), 3).hold_ceremony()
    holders = {member: federation.holder(member) for member in federation.members}
    for _ in range(2):
        found = drill(federation.scheme, holders, tmp_path)
        assert [(window.members, window.opened) for window in found] == [
            (tuple("ABC"), True),
            (tuple("BCD"), True),
        ]
    assert memberfile.read(federation.secret_path("A")).state is State.FINISHED


def test_a_drill_with_a_wrong_share_names_the_windows_and_the_epoch_can_be_burnt(tmp_path: Path) -> None:
    federation = Federation(tmp_path, tuple("ABC"), 2).hold_ceremony()
    path = federation.secret_path("C")
    file = memberfile.read(path)
    part = len(file.share) // 8
    privatefile.replace(path, replace(file, share=file.share[part:] + file.share[:part]).encode())
    holders = {member: federation.holder(member) for member in federation.members}
    found = drill(federation.scheme, holders, tmp_path)
    assert [(window.members, window.opened) for window in found] == [(("A", "B"), True), (("B", "C"), False)]
    assert found[1].problem == "it does not open to a well-formed sum"
    assert len({federation.ceremony(member).reveal_seed() for member in federation.members}) == 3


def test_a_drill_is_the_same_files_for_every_member(three_of_five: Federation, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    one, two = (practice(three_of_five.scheme, 1, folder) for folder in (tmp_path, tmp_path / "other"))
    assert one.opening == two.opening
    assert [path.read_bytes() for path in one.masks] == [path.read_bytes() for path in two.masks]
    assert one.aggregate.read_bytes() == two.aggregate.read_bytes()
    assert windows(three_of_five.plan) == [tuple("ABC"), tuple("BCD"), tuple("CDE")]
