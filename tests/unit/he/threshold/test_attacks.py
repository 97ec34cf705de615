"""Attacks on a joint key that the rules stop: each is carried out where its rule is switched off, and then refused."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bfl_fabric.domain.ports import UpdateName
from bfl_fabric.errors import KeyHolderRefused, MalformedInput
from bfl_fabric.he.lattice.bodies import begin_upload, polynomials
from bfl_fabric.he.lattice.channels import message_polynomial, opened_values
from bfl_fabric.he.lattice.messages import HEADER_BYTES, Header, Kind, decode_header, open_message
from bfl_fabric.he.lattice.parameters import THRESHOLD_T16
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.threshold import keymessages
from bfl_fabric.he.threshold.answering import Member
from bfl_fabric.he.threshold.commitments import commitment, require_committed
from bfl_fabric.he.threshold.masks import MaskSum
from bfl_fabric.he.threshold.material import Material
from bfl_fabric.he.threshold.scheme import JointScheme
from tests.unit.he.lattice.inverses import inverse_of
from tests.unit.he.threshold.federation import LEVELS, SMALL, TASK, Federation, Round, some_round, some_values
from tests.unit.he.threshold.test_ceremony import begun, key_share_of

RING, LARGE = SMALL.ring, THRESHOLD_T16.ring
PER = SMALL.values_per_polynomial()
MODULI = np.tile(np.array(SMALL.payload_primes), PER // len(SMALL.payload_primes))
"""Modulo which prime value v of a polynomial stands."""


pytestmark = pytest.mark.usefixtures("small_set")


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation(tmp_path, tuple("ABC"), 2, SMALL).hold_ceremony()


@pytest.fixture
def held(federation: Federation, tmp_path: Path) -> Round:
    return some_round(federation, tmp_path / "round", PER, 3)


def forget(federation: Federation, members: Sequence[str]) -> None:
    """Take away what members wrote down of their answers, as a restored backup would."""
    for member in members:
        path = federation.secret_path(member)
        shutil.rmtree(path.with_name(f"{path.name}.answers"))


# --- the same question twice ---------------------------------------------------------------------------


def test_a_repeated_query_gives_the_share_away_under_the_same_noise_and_nothing_here(held: Round) -> None:
    """Two answers for one C1 to two sets differ by (λ − λ′)·C1·S if their noise is the same one.

    It is another for another question, so the difference gives no word; and the second question gets no answer.
    """
    federation = held.federation
    one, two = federation.opening("AB"), federation.opening("AC")
    member = Member(federation.secret_path("A"), federation.scheme.joint_key.digest)
    opened = member.opened(one, list(held.masks.values()), ())
    weights = [federation.plan.interpolation(opening.active, "A") for opening in (one, two)]
    divisor = inverse_of(RING.product(opened.total[0], RING.subtract(*weights)), RING)

    def words_found(first: bytes, second: bytes) -> float:
        (answer,), (other,) = (
            member.share.decrypt(opening.active, opened.total, PER, seed)
            for opening, seed in ((one, first), (two, second))
        )
        guess = RING.product(RING.transform(RING.subtract(answer, other)), divisor)
        return float((guess == member.share.factors[0].values)[divisor != 0].mean())

    assert words_found(bytes(32), bytes(32)) == 1.0
    seeds = [member.noise_seed(member.question_of(opening, opened)) for opening in (one, two)]
    # a word of 24 bits is met by chance once in 2^24: three of 16,384 hardly ever
    assert words_found(*seeds) < 3 / divisor.size
    held.share(one, "A")
    with pytest.raises(KeyHolderRefused, match="attempt 1 has been answered, for another question"):
        held.share(two, "A")


def test_differencing_two_sums_gives_an_update_to_members_without_memory_and_is_refused(held: Round) -> None:
    federation = held.federation
    opening = federation.opening("AB")
    whole = held.open(opening)
    names = ["silo-0", "silo-1"]
    part = copy(held)
    part.masks = {name: held.masks[name] for name in names}
    part.aggregate = held.file("part", held.scheme.aggregate([held.uploads[name] for name in names]))
    with pytest.raises(KeyHolderRefused, match="the sum of other uploads of this round"):
        part.open(replace(opening, attempt=2), held.zeros(replace(opening, attempt=2)))
    forget(federation, opening.active)
    assert (whole - part.open(opening) == held.values["silo-2"]).all()


# --- what an aggregator makes up -------------------------------------------------------------------------


def test_shares_are_not_combined_with_another_sum_of_masks(held: Round) -> None:
    """Members add up C1 themselves: who combines their answers with a C1 of its own is refused by its digest."""
    opening, scheme = held.federation.opening("AB"), held.scheme
    shares = {member: held.share(opening, member) for member in opening.active}
    crafted = bytearray(held.aggregate.read_bytes())
    crafted[-len(crafted) // 2] ^= 1
    other = scheme.aggregate([held.uploads[name] for name in ("silo-0", "silo-1")])
    for aggregate in (bytes(crafted), other):
        with pytest.raises((MalformedInput, KeyHolderRefused)):
            scheme.combine(opening, held.file("crafted", aggregate), (), shares)
    assert (scheme.combine(opening, held.aggregate, (), shares) == held.total).all()


def test_a_mask_under_other_digests_makes_another_question(held: Round) -> None:
    """A crafted mask cannot be slipped under an answered question: the digest of C1 and the noise are others."""
    federation, masks = held.federation, list(held.masks.values())
    member = Member(federation.secret_path("A"), federation.scheme.joint_key.digest)
    opening = federation.opening("AB")
    crafted = bytearray(masks[0].read_bytes())
    crafted[HEADER_BYTES + 1_000] ^= 1
    found = [
        member.opened(opening, each, ()) for each in (masks, [held.file("m", bytes(crafted)), *masks[1:]])
    ]
    assert found[0].digest != found[1].digest
    assert found[0].round_digest != found[1].round_digest
    held.share(opening, "A")
    with pytest.raises(KeyHolderRefused, match="the sum of other uploads of this round"):
        federation.holder("A").sum_share(opening, [held.folder / "m", *masks[1:]], ())


# --- randomness that comes twice ---------------------------------------------------------------------------


def test_a_replayed_mask_tells_the_difference_of_two_updates_and_is_refused(
    federation: Federation, tmp_path: Path
) -> None:
    """Whoever draws the same numbers twice shows M − M′; the copy of a mask is refused when it is added."""
    scheme, files, rows = federation.scheme, [], []
    values = [some_values(PER, seed) for seed in (1, 2)]
    for index, part in enumerate(values):
        header = Header(
            Kind.UPDATE, SMALL.digest, 1, 1, PER, 1, 1, subject=bytes.fromhex(scheme.joint_key.digest), task_id=TASK,
            author=f"silo-{index}",
        )  # fmt: skip
        data = scheme.encoded(
            header,
            lambda number, part=part: message_polynomial(SMALL, part, number),  # type: ignore[misc]
            lambda number: Stream.derived("replayed", bytes(32), number),
        )
        files.append(tmp_path / f"upload-{index}")
        files[-1].write_bytes(data)
        rows.append(upload_rows(files[-1]))
    # u, e0 and e1 come again together, so even the errors cancel
    difference = (rows[0] - rows[1]).T.reshape(-1)
    assert (difference % MODULI == (values[0] - values[1]) % MODULI).all()
    with pytest.raises(MalformedInput, match="silo-1 repeats the mask of another upload: it is a copy"):
        scheme.aggregate(files)
    masks = []
    for path in files:
        masks.append(path.with_suffix(".mask"))
        masks[-1].write_bytes(scheme.mask(path))
    running = MaskSum(SMALL, scheme._key)
    running.add(masks[0])
    with pytest.raises(MalformedInput, match="the mask of silo-1 repeats another mask"):
        running.add(masks[1])


def upload_rows(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return what the payload rows of an upload's c0 carry, as if nothing hid it, int64[PER]."""
    with open_message(path, SMALL, Kind.UPDATE) as reader:
        begin_upload(reader, SMALL)
        _, rows = polynomials(reader, SMALL)
    return rows[2:, SMALL.reserved_coefficients :].astype(np.int64)


def test_a_replayed_ceremony_seed_gives_another_epoch_no_common_secret(federation: Federation) -> None:
    """A member whose generator repeats itself: what it draws depends on the plan too, which names the epoch."""
    plan = federation.plan
    drawn = [Material(each, "A", bytes(32)) for each in (plan, replace(plan, epoch=2))]
    for one, other in zip(*(material.secrets for material in drawn), strict=True):
        assert (one == other).mean() < 0.001
    assert drawn[0].transport.public != drawn[1].transport.public


# --- answers and messages of another epoch ---------------------------------------------------------------------


def test_a_share_for_another_epoch_is_refused_and_under_a_false_name_opens_nothing(
    federation: Federation, tmp_path: Path
) -> None:
    """The same members, the same round and attempt; only the key is the next one."""
    (tmp_path / "next").mkdir()
    after = Federation(tmp_path / "next", tuple("ABC"), 2, SMALL, epoch=2).hold_ceremony()
    held, later = (some_round(each, each.folder / "round", PER, 2) for each in (federation, after))
    opening = after.opening("AB")
    with pytest.raises(KeyHolderRefused, match="it is for key epoch 2, this share of 1"):
        federation.holder("A").sum_share(opening, list(later.masks.values()), ())
    old = held.share(federation.opening("AB"), "A").read_bytes()
    shares = {"A": later.file("old", old), "B": later.share(opening, "B")}
    with pytest.raises(MalformedInput, match="the share of A: its header is not that of an answer"):
        later.scheme.combine(opening, later.aggregate, (), shares)
    own = decode_header(later.share(opening, "A").read_bytes()[:HEADER_BYTES])
    shares["A"] = later.file("renamed", own.encode() + old[HEADER_BYTES:])
    with pytest.raises(KeyHolderRefused, match="it does not open to a well-formed sum"):
        later.scheme.combine(opening, later.aggregate, (), shares)
    shares["A"] = later.share(opening, "A")
    assert (later.scheme.combine(opening, later.aggregate, (), shares) == later.total).all()


def test_an_upload_for_another_epoch_is_in_no_sum(federation: Federation, tmp_path: Path) -> None:
    (tmp_path / "next").mkdir()
    after = Federation(tmp_path / "next", tuple("ABC"), 2, SMALL, epoch=2).hold_ceremony()
    upload = tmp_path / "upload"
    upload.write_bytes(federation.scheme.encrypt(UpdateName(TASK, 1, "silo-0"), 1, 1, some_values(PER, 1)))
    with pytest.raises(MalformedInput, match="is for key epoch 1, the public key is of epoch 2"):
        after.scheme.aggregate([upload])


# --- a rogue key -------------------------------------------------------------------------------------


def test_a_last_mover_who_sees_the_others_makes_the_key_its_own_and_a_commitment_stops_it(
    tmp_path: Path,
) -> None:
    """B publishes b* minus the others' sum: the joint key is b*, whose secret B knows alone, and B opens uploads alone.

    Nothing in the key share's bytes tells. What stops it is the digest that B must have committed before it saw any
    share: the ledger refuses a reveal that differs from it. Besides, B knows no secret that it could deal.
    """
    federation = begun(tmp_path)
    plan = federation.plan
    mine = Material(plan, "B", bytes(32))
    committed = key_share_of(mine)
    read = {
        member: keymessages.read_key_share(plan, member, federation.shares[member]) for member in ("A", "C")
    }
    rogue = [
        LARGE.subtract(own, LARGE.add(read["A"].polynomials[number], read["C"].polynomials[number]))
        for number, own in enumerate(mine.public_share())
    ]
    revealed = keymessages.encode_key_share(plan, "B", mine.transport.public, rogue, mine.checks())
    joint = keymessages.encode_joint_key(plan, {**read, "B": keymessages.read_key_share(plan, "B", revealed)})
    taken = JointScheme(federation.terms, joint)

    values = np.arange(THRESHOLD_T16.values_per_polynomial(), dtype=np.int64) % LEVELS
    upload = tmp_path / "upload"
    upload.write_bytes(taken.encrypt(UpdateName(TASK, 1, "silo-a"), 1, 1, values))
    with open_message(upload, THRESHOLD_T16, Kind.UPDATE) as reader:
        begin_upload(reader, THRESHOLD_T16)
        mask, rows = polynomials(reader, THRESHOLD_T16)
    opened = LARGE.add(rows, LARGE.inverse(LARGE.product(mask, mine.secrets[0])))
    assert (opened_values(THRESHOLD_T16, opened, THRESHOLD_T16.noise_bound, values.size) == values).all()

    assert keymessages.digest_of(revealed) != keymessages.digest_of(committed)
    public = keymessages.read_key_share(plan, "B", revealed)
    dealt = commitment(plan, public.polynomials, public.checks, plan.point("A"))
    with pytest.raises(MalformedInput, match="not the one that the dealer is committed to"):
        require_committed(plan, list(mine.private_share("A")), dealt, plan.point("A"))
