"""The key ceremony: everybody makes the same key, nobody makes it alone, and what is wrong is refused by name."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bfl_fabric.domain.ports import CeremonyPlan
from bfl_fabric.errors import ConfigurationError, DealingRefused, KeyHolderRefused, MalformedInput
from bfl_fabric.he import transportkey
from bfl_fabric.he.lattice.messages import HEADER_BYTES, encode_polynomial
from bfl_fabric.he.lattice.parameters import THRESHOLD_T16
from bfl_fabric.he.lattice.randomness import ERROR_BOUND
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.threshold import blame, keymessages, memberfile
from bfl_fabric.he.threshold.commitments import commitment, error_bounds, require_committed
from bfl_fabric.he.threshold.material import Material
from bfl_fabric.he.threshold.memberfile import State
from bfl_fabric.he.threshold.plan import KeyPlan
from tests.unit.he.threshold.federation import TASK, Federation

RING = THRESHOLD_T16.ring


def combined(federation: Federation, active: tuple[str, ...]) -> list[Residues]:
    """Return the secrets of the joint key, which nobody ever makes outside of this test."""
    total = np.zeros((8, len(RING.primes), RING.degree), dtype=np.uint64)
    for member in active:
        file = memberfile.read(federation.secret_path(member))
        share = np.stack(keymessages.read_private_share(federation.plan, file.share))
        weight = federation.plan.interpolation(active, member)
        total += np.stack([RING.product(part, weight) for part in share])
    return [RING.reduce(part) for part in total]


def signed(residues: Residues) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    prime = RING.primes[0]
    row = RING.inverse(residues)[0].astype(np.int64)
    return np.where(row > prime // 2, row - prime, row)


def test_any_t_members_have_the_same_secret_and_it_is_the_joint_keys(three_of_five: Federation) -> None:
    secrets = combined(three_of_five, ("A", "B", "C"))
    for active in itertools.combinations("ABCDE", 3):
        assert all(
            (one == two).all() for one, two in zip(combined(three_of_five, active), secrets, strict=True)
        )
    key = three_of_five.scheme.joint_key
    for secret, public in zip(secrets, key.polynomials, strict=True):
        assert np.abs(signed(secret)).max() <= 5
        noise = RING.add(public, RING.product(key.plan.public_polynomial, secret))
        assert 0 < np.abs(signed(noise)).max() <= 5 * ERROR_BOUND


def test_two_members_of_three_have_nothing_of_the_secret(three_of_five: Federation) -> None:
    """With any third share at hand every secret is possible; what they add up to alone is not small."""
    plan = three_of_five.plan
    share = memberfile.read(three_of_five.secret_path("A")).share
    (part, *_) = keymessages.read_private_share(plan, share)
    guess = RING.product(part, plan.interpolation(("A", "B"), "A"))
    assert np.abs(signed(guess)).max() > RING.primes[0] // 4


def test_every_step_gives_the_same_bytes_again(tmp_path: Path) -> None:
    federation = Federation(tmp_path, ("A", "B"), 2).hold_ceremony()
    again = federation.ceremony("B")
    assert again.key_share() == federation.shares["B"]
    assert again.deal(federation.shares) == federation.dealings["B"]
    assert again.finish(federation.shares, federation.dealings) == federation.joint_key
    assert memberfile.read(federation.secret_path("B")).state is State.FINISHED


def test_the_secret_file_is_private_and_prints_no_secret(three_of_five: Federation) -> None:
    path = three_of_five.secret_path("A")
    file = memberfile.read(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert file.seed.hex() not in repr(file)
    assert "share=" not in repr(file)
    assert "seed=" not in repr(file)


def test_a_secret_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    federation = Federation(tmp_path, ("A", "B"), 2).hold_ceremony()
    federation.secret_path("A").chmod(0o640)
    with pytest.raises(KeyHolderRefused, match="mode 0640"):
        federation.holder("A")


def test_a_damaged_secret_file_is_refused(tmp_path: Path) -> None:
    federation = Federation(tmp_path, ("A", "B"), 2).hold_ceremony()
    path = federation.secret_path("A")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(MalformedInput, match="damaged"):
        federation.holder("A")


@pytest.mark.parametrize(
    ("members", "threshold", "problem"),
    [
        (("B", "A"), 2, "ascending"),
        (("A", "A"), 2, "ascending"),
        (("A", "B"), 1, "threshold 1"),
        (("A", "B"), 3, "threshold 3"),
        (tuple(f"M{index:02}" for index in range(17)), 9, "17 members"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(members: tuple[str, ...], threshold: int, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        KeyPlan(THRESHOLD_T16, TASK, 1, members, threshold)


def test_a_stranger_takes_no_part() -> None:
    with pytest.raises(ConfigurationError, match="no member"):
        KeyPlan.of(THRESHOLD_T16, CeremonyPlan(TASK, 1, ("A", "B"), 2, "C"))


def test_the_public_polynomial_follows_from_the_plan_and_nothing_else(three_of_five: Federation) -> None:
    plan = three_of_five.plan
    assert (replace(plan).public_polynomial == plan.public_polynomial).all()
    others = [
        replace(plan, epoch=2),
        replace(plan, task_id="other"),
        replace(plan, threshold=4),
        replace(plan, members=tuple("ABCDF")),
    ]
    assert len({plan.public_seed, *(other.public_seed for other in others)}) == 5


# --- messages ------------------------------------------------------------------------------------------


def test_a_key_share_under_another_name_or_epoch_is_refused(three_of_five: Federation) -> None:
    plan, share = three_of_five.plan, three_of_five.shares["A"]
    with pytest.raises(MalformedInput, match="the key share of B"):
        keymessages.read_key_share(plan, "B", share)
    with pytest.raises(MalformedInput, match="the key share of A"):
        keymessages.read_key_share(replace(plan, epoch=2), "A", share)


@pytest.mark.parametrize("cut", [-1, 0, 1])
def test_a_key_share_of_another_length_is_refused(cut: int, three_of_five: Federation) -> None:
    share = three_of_five.shares["A"]
    data = share + bytes(cut) if cut >= 0 else share[:cut]
    if cut == 0:
        assert keymessages.read_key_share(three_of_five.plan, "A", data).author == "A"
        return
    with pytest.raises(MalformedInput, match="its header implies"):
        keymessages.read_key_share(three_of_five.plan, "A", data)


def test_a_joint_key_with_a_changed_byte_is_refused_or_another_key(three_of_five: Federation) -> None:
    key = three_of_five.scheme.joint_key
    for place in range(0, HEADER_BYTES + 4 + 5 * 160, 37):
        data = bytearray(three_of_five.joint_key)
        data[place] ^= 1
        try:
            changed = keymessages.read_joint_key(THRESHOLD_T16, bytes(data))
        except MalformedInput:
            continue
        assert changed.digest != key.digest


def test_the_joint_key_names_the_key_shares_that_it_was_made_of(three_of_five: Federation) -> None:
    key = three_of_five.scheme.joint_key
    assert key.share_digests == {
        member: keymessages.digest_of(share) for member, share in three_of_five.shares.items()
    }


# --- dealings that are refused -------------------------------------------------------------------------


def test_a_dealing_that_cannot_be_decrypted_names_the_dealer(tmp_path: Path) -> None:
    federation = begun(tmp_path)
    spoiled = bytearray(federation.dealings["B"])
    spoiled[-1] ^= 1
    with pytest.raises(
        DealingRefused, match="what B dealt to C is refused: it cannot be decrypted"
    ) as refusal:
        federation.ceremony("C").finish(federation.shares, {**federation.dealings, "B": bytes(spoiled)})
    assert refusal.value.dealer == "B"
    assert refusal.value.evidence.hex() == keymessages.digest_of(bytes(spoiled))
    assert memberfile.read(federation.secret_path("C")).state is State.OPEN


def test_a_dealing_with_a_malformed_share_shows_it_as_evidence(tmp_path: Path) -> None:
    federation = begun(tmp_path)
    plan = federation.plan
    share = bytearray(keymessages.encode_private_share(plan, np.zeros((8, 8, 8192), dtype=np.uint64)))
    share[:4] = b"\xff\xff\xff\xff"
    with pytest.raises(DealingRefused, match="a residue is not below its prime") as refusal:
        federation.ceremony("C").finish(federation.shares, with_row(federation, "B", "C", bytes(share)))
    assert refusal.value.evidence == bytes(share)


def test_a_dealing_of_another_length_is_refused(tmp_path: Path) -> None:
    federation = begun(tmp_path)
    dealings = {**federation.dealings, "A": federation.dealings["A"] + b"\0"}
    with pytest.raises(DealingRefused, match="the dealing of A") as refusal:
        federation.ceremony("C").finish(federation.shares, dealings)
    assert refusal.value.dealer == "A"


def test_a_dealing_for_one_member_cannot_be_passed_on_to_another(tmp_path: Path) -> None:
    """The ciphertext is bound to dealer and recipient, and encrypted to the recipient's key alone."""
    federation = begun(tmp_path)
    digests = {member: keymessages.digest_of(share) for member, share in federation.shares.items()}
    rows = keymessages.read_dealing(federation.plan, "B", digests["B"], federation.dealings["B"])
    swapped = {"A": rows["C"], "C": rows["A"]}
    dealing = keymessages.encode_dealing(federation.plan, "B", digests["B"], swapped)
    with pytest.raises(DealingRefused, match="cannot be decrypted"):
        federation.ceremony("C").finish(federation.shares, {**federation.dealings, "B": dealing})


def test_a_member_deals_once(tmp_path: Path) -> None:
    """Another transport key in the place of a member's would get that member's share."""
    federation = begun(tmp_path)
    thief = Material(federation.plan, "C", bytes(32))
    other = key_share_of(thief)
    with pytest.raises(KeyHolderRefused, match="has dealt for other key shares"):
        federation.ceremony("A").deal({**federation.shares, "C": other})


def test_a_missing_message_is_named(tmp_path: Path) -> None:
    federation = begun(tmp_path)
    without = {member: share for member, share in federation.shares.items() if member != "B"}
    with pytest.raises(MalformedInput, match="the key share of B is missing"):
        federation.ceremony("A").deal(without)
    missing = {member: dealing for member, dealing in federation.dealings.items() if member != "B"}
    with pytest.raises(MalformedInput, match="the dealing of B is missing"):
        federation.ceremony("A").finish(federation.shares, missing)


def test_a_share_that_is_not_on_the_dealers_polynomial_is_refused_at_once(tmp_path: Path) -> None:
    """One residue of one polynomial is enough, and so is the share of another member."""
    federation = begun(tmp_path)
    dealer = Material(federation.plan, "B", memberfile.read(federation.secret_path("B")).seed)
    changed = dealer.private_share("C")
    changed[7, 2, 100] = (changed[7, 2, 100] + np.uint64(1)) % np.uint64(RING.primes[2])
    for share in (changed, dealer.private_share("A")):
        dealings = with_row(federation, "B", "C", keymessages.encode_private_share(federation.plan, share))
        with pytest.raises(DealingRefused, match="not the one that the dealer is committed to") as refusal:
            federation.ceremony("C").finish(federation.shares, dealings)
        assert refusal.value.dealer == "B"
        assert refusal.value.evidence == keymessages.encode_private_share(federation.plan, share)
    federation.ceremony("C").finish(federation.shares, federation.dealings)


def test_every_point_of_every_members_polynomial_is_committed_to(three_of_five: Federation) -> None:
    plan = three_of_five.plan
    joint = three_of_five.scheme.joint_key
    for member in plan.members:
        file = memberfile.read(three_of_five.secret_path(member))
        share, committed = keymessages.read_private_share(plan, file.share), joint.commitment(member)
        for secret, part in zip(share, committed[:8], strict=True):
            error = RING.subtract(part, RING.product(plan.public_polynomial, secret))
            assert 0 < np.abs(signed(error)).max() <= 5 * error_bounds(plan, plan.point(member))[0]


def test_commitments_for_the_largest_committee_fit(tmp_path: Path) -> None:
    """9 of 16: powers of 16 up to the eighth make the errors 2^40, which the noise primes still tell apart."""
    plan = KeyPlan(THRESHOLD_T16, TASK, 1, tuple(f"M{index:02}" for index in range(16)), 9)
    dealer = Material(plan, "M00", bytes(32))
    committed = commitment(plan, dealer.public_share(), dealer.checks(), 16)
    require_committed(plan, list(dealer.private_share("M15")), committed, 16)
    with pytest.raises(MalformedInput, match="not the one"):
        require_committed(plan, list(dealer.private_share("M14")), committed, 16)


# --- burning an epoch to find who dealt wrongly ----------------------------------------------------------


def test_a_revealed_seed_explains_every_message(tmp_path: Path) -> None:
    federation = begun(tmp_path)
    seeds = {member: federation.ceremony(member).reveal_seed() for member in federation.members}
    assert blame.explain(federation.plan, seeds, federation.shares, federation.dealings) == {}


def test_who_dealt_a_wrong_share_is_found(tmp_path: Path) -> None:
    federation = begun(tmp_path)
    wrong = np.ones((8, 8, 8192), dtype=np.uint64)
    dealings = with_row(federation, "B", "C", keymessages.encode_private_share(federation.plan, wrong))
    seeds = {member: federation.ceremony(member).reveal_seed() for member in federation.members}
    found = blame.explain(federation.plan, seeds, federation.shares, dealings)
    assert found == {"B": "what B dealt to C is not what its seed gives"}


def test_who_shows_no_seed_or_another_one_is_found(tmp_path: Path) -> None:
    federation = begun(tmp_path)
    seeds = {"A": federation.ceremony("A").reveal_seed(), "C": bytes(32)}
    found = blame.explain(federation.plan, seeds, federation.shares, federation.dealings)
    assert found == {"B": "B shows no seed", "C": "the key share of C is not what its seed gives"}


def test_a_burnt_epoch_has_no_share_any_more(tmp_path: Path) -> None:
    federation = Federation(tmp_path, ("A", "B"), 2).hold_ceremony()
    federation.ceremony("A").reveal_seed()
    assert memberfile.read(federation.secret_path("A")).share == b""
    with pytest.raises(KeyHolderRefused, match="it is burnt"):
        federation.holder("A")
    with pytest.raises(KeyHolderRefused, match="its seed has been shown"):
        federation.ceremony("A").finish(federation.shares, federation.dealings)


# --- transport -----------------------------------------------------------------------------------------


def test_transport_is_bound_to_its_purpose_and_its_recipient() -> None:
    key, other = (transportkey.TransportKey.from_bytes(bytes([byte]) * 96) for byte in (1, 2))
    data = transportkey.encrypt(b"share", key.public, b"from A to B")
    assert len(data) == len(b"share") + transportkey.OVERHEAD_BYTES
    assert key.decrypt(data, b"from A to B") == b"share"
    for who, purpose in ((other, b"from A to B"), (key, b"from A to C")):
        with pytest.raises(MalformedInput, match="cannot be decrypted"):
            who.decrypt(data, purpose)
    for hostile in (b"", data[:10], bytes(len(data))):
        with pytest.raises(MalformedInput, match="cannot be decrypted"):
            key.decrypt(hostile, b"from A to B")


def test_a_transport_key_that_is_none_is_refused() -> None:
    for hostile in (b"", bytes(10), b"\xff" * transportkey.PUBLIC_BYTES):
        with pytest.raises(MalformedInput, match="transport key"):
            transportkey.public_key(hostile)


def key_share_of(material: Material) -> bytes:
    return keymessages.encode_key_share(
        material.plan,
        material.member,
        material.transport.public,
        material.public_share(),
        material.checks(),
    )


def begun(folder: Path) -> Federation:
    """Return three members who have dealt and not finished."""
    federation = Federation(folder, ("A", "B", "C"), 2)
    parts = {member: federation.ceremony(member) for member in federation.members}
    federation.shares = {member: part.key_share() for member, part in parts.items()}
    federation.dealings = {member: part.deal(federation.shares) for member, part in parts.items()}
    return federation


def with_row(federation: Federation, dealer: str, recipient: str, plaintext: bytes) -> dict[str, bytes]:
    """Return the dealings in which the dealer's ciphertext for the recipient holds other bytes."""
    plan = federation.plan
    read = {
        member: keymessages.read_key_share(plan, member, share) for member, share in federation.shares.items()
    }
    rows = keymessages.read_dealing(plan, dealer, read[dealer].digest, federation.dealings[dealer])
    binding = keymessages.share_binding(plan, dealer, recipient, read[dealer].digest, read[recipient].digest)
    rows[recipient] = transportkey.encrypt(plaintext, read[recipient].transport, binding)
    dealing = keymessages.encode_dealing(plan, dealer, read[dealer].digest, rows)
    return {**federation.dealings, dealer: dealing}


def test_encoded_polynomials_are_what_they_were(three_of_five: Federation) -> None:
    (first, *_) = three_of_five.scheme.joint_key.polynomials
    assert encode_polynomial(THRESHOLD_T16, first) in three_of_five.joint_key
