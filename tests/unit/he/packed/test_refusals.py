"""What does not belong into a sum, is not for this key or is not well-formed is refused, with its reason."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bfl_fabric.errors import ConfigurationError, KeyHolderRefused, MalformedInput, NotFound
from bfl_fabric.he.lattice.bits import pack, packed_bytes, unpack
from bfl_fabric.he.lattice.messages import HEADER_BYTES, MEMBER_BYTES, Header, Kind, decode_header
from bfl_fabric.he.lattice.parameters import PACKED_SMALL, THRESHOLD_T16
from bfl_fabric.he.packed.backend import BackEndName
from bfl_fabric.he.packed.operations import REFUSAL
from tests.unit.he.packed.samples import Group, name, some_values, terms

# where the fields of a header stand, and another value for each; the words are those of the refusal
FIELDS = {
    "magic": (0, b"BFLX", "begin with BFLH"),
    "version": (4, b"\x01", "format version 1"),
    "kind": (5, b"\x08", "expected a message UPDATE, found MASK"),
    "unknown kind": (5, b"\xff", "unknown kind"),
    "no expansion": (6, b"\x00", "do not go together"),
    "unknown expansion": (6, b"\x02", "expansion 2 is unknown"),
    "other expansion": (6, b"\x03", "header implies|not those that their digest names"),
    "reserved": (7, b"\x01", "reserved byte"),
    "header length": (8, b"\x00", "the header claims"),
    "parameters": (12, b"\xff" * 32, "message is for parameters"),
    "epoch": (44, b"\x02", "for key epoch 2"),
    "round": (48, b"\x02", "is for round 2, not 1"),
    "no round": (48, b"\x00", "without round"),
    "parameter count": (52, b"\x0b", "has 11 parameters, the others 10"),
    "parameter count beyond the file": (52, b"\xff\xff", "its header implies"),
    "parameter count beyond all": (52, b"\xff" * 8, "parameter count is out of range"),
    "no weight": (60, b"\x00", "without weight"),
    "weight": (60, b"\x09", "brings the weight to 11; the task allows 10"),
    "weight beyond all": (60, b"\xff" * 8, "weight .* out of range"),
    "members": (68, b"\x02", "upload of 2 members"),
    "attempt": (72, b"\x01", "update with an attempt"),
    "no seed": (76, bytes(32), "do not go together"),
    "subject": (108, b"\xff" * 32, "encrypted under another key"),
    "no subject": (108, bytes(32), "without task or subject"),
    "task": (140 + 1, b"X", "is for task Xetinopathy-1"),
    "no task": (140, b"\x00", "bytes after its end"),
    "author": (268 + 6, b"b", "second of this participant"),
    "long author": (268, b"\xff", "claims 255 bytes"),
}


def patched(data: bytes, at: int, patch: bytes) -> bytes:
    return data[:at] + patch + data[at + len(patch) :]


@pytest.mark.parametrize("field", FIELDS)
def test_no_field_of_an_upload_can_be_another(field: str, group: Group) -> None:
    at, patch, words = FIELDS[field]
    honest = [group.upload(some_values(10, seed=2), who) for who in ("silo-b", "silo-c")]
    edited = group.file(patched(group.upload(some_values(10), "silo-a").read_bytes(), at, patch))
    with pytest.raises(MalformedInput, match=words):
        group.scheme.aggregate([*honest, edited])


@pytest.mark.parametrize("back_end", BackEndName)
def test_another_seed_is_refused_at_once_or_when_the_sum_is_opened(
    back_end: BackEndName, group: Group
) -> None:
    honest = group.upload(some_values(10), "silo-b")
    upload = group.upload(some_values(10), "silo-a", back_end=back_end).read_bytes()
    edited = group.file(patched(upload, 76, b"\xff" * 32))
    with pytest.raises((MalformedInput, KeyHolderRefused)) as refusal:
        group.opener().open_sum(group.sum([honest, edited]), 2)
    seal = back_end is BackEndName.SEAL
    assert str(refusal.value) == ("the seeds are not those that their digest names" if seal else REFUSAL)


def test_the_fields_of_the_header_are_where_the_edits_expect_them(group: Group) -> None:
    data = group.upload(some_values(10)).read_bytes()
    assert data[76:108] == decode_header(data[:HEADER_BYTES]).seed
    assert data[108:140] == hashlib.sha256(group.public_key).digest()
    assert (data[140:154], data[268:275]) == (b"\x0dretinopathy-1", b"\x06silo-a")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"round": 2}, "is for round 2"),
        ({"parameter_count": 11}, "has 11 parameters"),
        ({"task_id": "another"}, "is for task another"),
        ({"epoch": 2}, "for key epoch 2"),
        ({"weight": 3}, "weights do not add up"),
        ({"members": 1}, "weights do not add up|header implies"),
        ({"members": 4}, "too few for its 4 members"),
        ({"members": 13}, "13 members are more than 12"),
        ({"attempt": 1}, "with an attempt"),
        ({"subject": bytes(31) + b"\x01"}, "not the digest of the members"),
    ],
    ids=str,
)
def test_no_field_of_a_sum_can_be_another(change: dict[str, object], words: str, group: Group) -> None:
    honest = group.sum([group.upload(some_values(10), f"silo-{who}") for who in "ab"])
    data = group.sum([group.upload(some_values(10), f"silo-{who}") for who in "cd"]).read_bytes()
    header: Header = dataclasses.replace(decode_header(data[:HEADER_BYTES]), **change)  # type: ignore[arg-type]
    edited = group.file(header.encode() + data[HEADER_BYTES:])
    with pytest.raises(MalformedInput, match=words):
        group.scheme.add_sums([honest, edited])


@pytest.mark.parametrize("missing", [1, HEADER_BYTES])
def test_a_sum_without_its_last_bytes_is_refused_before_its_table_is_read(missing: int, group: Group) -> None:
    data = group.sum([group.upload(some_values(10), f"silo-{who}") for who in "ab"]).read_bytes()
    with pytest.raises(MalformedInput, match="too few for its 2 members"):
        group.scheme.inspect_aggregate(group.file(data[:-missing]))


@pytest.mark.parametrize(
    ("offset", "patch", "words"),
    [
        (1, b"z", "ascending order"),
        (1, b"\n", "do not print"),
        (128, b"\xff" * 32, "not the digest of the members"),
        (160, b"\x02", "weights do not add up"),
        (168, b"\x00", "do not go together"),
        (168, b"\x02", "expansion 2 is unknown"),
        (169, bytes(32), "do not go together"),
    ],
)
def test_no_field_of_a_member_can_be_another(offset: int, patch: bytes, words: str, group: Group) -> None:
    uploads = [group.upload(some_values(10, seed=seed), f"silo-{seed}") for seed in range(3)]
    edited = group.file(patched(group.sum(uploads).read_bytes(), HEADER_BYTES + offset, patch))
    for refused in (group.scheme.inspect_aggregate, lambda path: group.opener().open_sum(path, 3)):
        with pytest.raises(MalformedInput, match=words):
            refused(edited)


def test_a_swapped_seed_in_the_table_is_refused_when_opening(group: Group) -> None:
    total = group.sum([group.upload(some_values(10, seed=seed), f"silo-{seed}") for seed in range(3)])
    edited = group.file(patched(total.read_bytes(), HEADER_BYTES + MEMBER_BYTES + 169, b"\x01" * 32))
    with pytest.raises(KeyHolderRefused, match=REFUSAL):
        group.opener().open_sum(edited, 3)


@pytest.mark.parametrize("back_end", BackEndName)
def test_a_replayed_seed_is_refused(back_end: BackEndName, group: Group) -> None:
    upload = group.upload(some_values(10), "silo-a", back_end=back_end)
    copy = group.file(patched(upload.read_bytes(), 268 + 6, b"b"))
    with pytest.raises(MalformedInput, match="silo-b repeats a seed of another upload"):
        group.scheme.aggregate([upload, copy])
    with pytest.raises(MalformedInput, match="silo-b repeats a seed of another upload"):
        group.scheme.add_sums([group.sum([upload]), group.sum([copy])])


def test_one_replayed_seed_of_many_is_refused(group: Group) -> None:
    count = PACKED_SMALL.values_per_polynomial() + 1
    one, other = (
        group.upload(some_values(count), who, back_end=BackEndName.SEAL).read_bytes()
        for who in ("silo-a", "silo-b")
    )
    seeds = other[HEADER_BYTES:][:64] + one[HEADER_BYTES:][:64]
    header = dataclasses.replace(
        decode_header(other[:HEADER_BYTES]), seed=hashlib.sha256(seeds).digest()
    ).encode()
    edited = header + seeds + other[HEADER_BYTES + 128 :]
    with pytest.raises(MalformedInput, match="silo-b repeats a seed"):
        group.scheme.aggregate([group.file(one), group.file(edited)])


def test_a_participant_comes_once(group: Group) -> None:
    uploads = [group.upload(some_values(10), "silo-a") for _ in range(2)]
    with pytest.raises(MalformedInput, match="silo-a is the second of this participant"):
        group.scheme.aggregate(uploads)


def test_uploads_of_another_group_are_refused(group: Group, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    other = Group(folder)
    upload = other.upload(some_values(10))
    for refused in (group.scheme.inspect, lambda path: group.scheme.aggregate([path])):
        with pytest.raises(MalformedInput, match="encrypted under another key"):
            refused(upload)


def test_a_sum_of_another_group_does_not_open(group: Group, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    other = Group(folder)
    total = other.sum([other.upload(some_values(10), who) for who in ("silo-a", "silo-b")])
    for back_end in BackEndName:
        with pytest.raises(KeyHolderRefused, match=REFUSAL):
            group.opener(back_end).open_sum(total, 2)


def test_the_total_weight_is_the_tasks_at_most(group: Group) -> None:
    uploads = [group.upload(some_values(10, weight), f"silo-{weight}", weight) for weight in (4, 7)]
    with pytest.raises(MalformedInput, match="brings the weight to 11; the task allows 10"):
        group.scheme.aggregate(uploads)


def test_a_sum_of_one_is_never_opened(group: Group, back_end: BackEndName) -> None:
    total = group.sum([group.upload(some_values(10), back_end=back_end)])
    with pytest.raises(KeyHolderRefused, match="a sum of one update is that update"):
        group.opener(back_end).open_sum(total, 1)


def test_a_sum_of_other_than_the_ledgers_members_is_not_opened(group: Group) -> None:
    total = group.sum([group.upload(some_values(10), f"silo-{who}") for who in "abc"])
    for members in (1, 2, 4):
        with pytest.raises(KeyHolderRefused, match=f"of 3 members, the ledger says {members}"):
            group.opener().open_sum(total, members)


def test_an_update_is_not_opened_as_a_sum(group: Group) -> None:
    with pytest.raises(MalformedInput, match="expected a message SUM, found UPDATE"):
        group.opener().open_sum(group.upload(some_values(10)), 2)


def test_a_member_that_goes_beyond_the_grid_spoils_the_sum(group: Group) -> None:
    top = some_values(10)
    with pytest.raises(MalformedInput, match="a value is beyond"):
        group.upload(top * 2)
    lying = group.upload(top * 2, "silo-a", 2).read_bytes()
    edited = group.file(patched(lying, 60, b"\x01"))
    with pytest.raises(KeyHolderRefused, match=REFUSAL):
        group.opener().open_sum(group.sum([edited, group.upload(top, "silo-b")]), 2)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_wrong_residue_anywhere_is_refused_or_shows_in_the_values(
    data: st.DataObject, group: Group
) -> None:
    values = [some_values(40, seed=seed) for seed in range(2)]
    message = group.sum(
        [group.upload(part, f"silo-{index}") for index, part in enumerate(values)]
    ).read_bytes()
    row = data.draw(st.integers(0, len(PACKED_SMALL.primes) - 1))
    coefficients = PACKED_SMALL.coefficients_in(0, 40)
    place = data.draw(st.integers(0, coefficients - 1))
    prime = PACKED_SMALL.primes[row]
    start = HEADER_BYTES + 2 * MEMBER_BYTES
    start += sum(packed_bytes(coefficients, width) for width in PACKED_SMALL.widths[:row])
    end = start + packed_bytes(coefficients, PACKED_SMALL.widths[row])
    residues = unpack(message[start:end], PACKED_SMALL.widths[row])
    residues[place] = (residues[place] + np.uint64(data.draw(st.integers(1, prime - 1)))) % np.uint64(prime)
    edited = group.file(message[:start] + pack(residues, PACKED_SMALL.widths[row]) + message[end:])
    assert group.scheme.inspect_aggregate(edited).digest != hashlib.sha256(message).hexdigest()
    try:
        opened = group.opener().open_sum(edited, 2)
    except KeyHolderRefused:
        pass
    else:
        assert (opened != sum(values)).any()


def test_a_wrong_residue_among_the_noise_rows_is_refused(group: Group) -> None:
    """Modulo several noise primes error and value must agree: one residue alone can hardly be changed."""
    total = group.sum([group.upload(some_values(40, seed=seed), f"silo-{seed}") for seed in range(2)])
    message, start, width = total.read_bytes(), HEADER_BYTES + 2 * MEMBER_BYTES, PACKED_SMALL.widths[0]
    refused = 0
    for step in range(1, 200, 10):
        residues = unpack(message[start : start + packed_bytes(16, width)], width)
        residues[3] = (residues[3] + np.uint64(step)) % np.uint64(PACKED_SMALL.primes[0])
        edited = group.file(
            message[:start] + pack(residues, width) + message[start + packed_bytes(16, width) :]
        )
        try:
            group.opener().open_sum(edited, 2)
        except KeyHolderRefused:
            refused += 1
    assert refused >= 15


@pytest.mark.parametrize("row", range(len(PACKED_SMALL.primes)))
def test_a_residue_that_is_not_below_its_prime_is_refused(row: int, group: Group) -> None:
    data = group.upload(some_values(40)).read_bytes()
    coefficients = PACKED_SMALL.coefficients_in(0, 40)
    start = HEADER_BYTES + sum(packed_bytes(coefficients, width) for width in PACKED_SMALL.widths[:row])
    residues = unpack(
        data[start:][: packed_bytes(coefficients, PACKED_SMALL.widths[row])], PACKED_SMALL.widths[row]
    )
    residues[-1] = PACKED_SMALL.primes[row]
    edited = group.file(patched(data, start, pack(residues, PACKED_SMALL.widths[row])))
    for refused in (group.scheme.inspect, lambda path: group.scheme.aggregate([path])):
        with pytest.raises(MalformedInput, match=f"not below its prime {PACKED_SMALL.primes[row]}"):
            refused(edited)


@pytest.mark.parametrize("back_end", BackEndName)
@pytest.mark.parametrize(
    "edit",
    [
        lambda data: b"",
        lambda data: data[: HEADER_BYTES - 1],
        lambda data: data[:HEADER_BYTES],
        lambda data: data[: HEADER_BYTES + 63],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data * 2,
    ],
)
def test_a_message_of_another_length_is_refused(
    edit: Callable[[bytes], bytes], back_end: BackEndName, group: Group
) -> None:
    uploads = [group.upload(some_values(10), f"silo-{who}", back_end=back_end) for who in "ab"]
    for message, refused in (
        (uploads[0], group.scheme.inspect),
        (group.sum(uploads), group.scheme.inspect_aggregate),
        (group.sum(uploads), lambda path: group.opener().open_sum(path, 2)),
    ):
        edited = group.file(edit(message.read_bytes()))
        with pytest.raises(MalformedInput, match="bytes"):
            refused(edited)


def test_a_claimed_length_costs_no_memory(group: Group) -> None:
    header = dataclasses.replace(
        decode_header(group.upload(some_values(10)).read_bytes()[:HEADER_BYTES]), parameter_count=1 << 32
    )
    with pytest.raises(MalformedInput, match="its header implies"):
        group.scheme.aggregate([group.file(header.encode() + bytes(1000))])


def test_what_is_no_file_of_ours_is_refused(group: Group, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        group.scheme.inspect(tmp_path / "none")
    with pytest.raises(MalformedInput, match="not a regular file"):
        group.scheme.inspect(tmp_path)


@pytest.mark.parametrize(
    ("values", "weight", "epoch", "words"),
    [
        (some_values(10), 0, 1, "weight 0"),
        (some_values(10), 11, 1, "weight 11"),
        (some_values(10), 1, 2, "key epoch 2"),
        (some_values(10).astype(np.int32), 1, 1, "int32"),
        (some_values(10).reshape(2, 5), 1, 1, "shape"),
        (some_values(0), 1, 1, "shape"),
        (some_values(10, 2), 1, 1, "beyond"),
    ],
)
def test_what_is_no_update_is_not_encrypted(
    values: np.ndarray,
    weight: int,
    epoch: int,
    words: str,
    group: Group,
) -> None:
    with pytest.raises(MalformedInput, match=words):
        group.member().encrypt(name(), epoch, weight, values)


def test_who_has_no_key_cannot_encrypt(group: Group) -> None:
    with pytest.raises(ConfigurationError, match="only who holds the group's key can encrypt"):
        group.scheme.encrypt(name(), 1, 1, some_values(10))


def test_terms_of_another_scheme_are_refused(group: Group) -> None:
    changed = dataclasses.replace(terms(), parameters_digest=THRESHOLD_T16.digest)
    with pytest.raises(ConfigurationError, match="is of threshold, not packed"):
        group.provider(BackEndName.RING).public(changed, group.public_key)


def test_an_upload_without_a_seed_is_none_of_this_scheme(group: Group) -> None:
    header = decode_header(group.upload(some_values(10)).read_bytes()[:HEADER_BYTES])
    data = dataclasses.replace(header, expansion=type(header.expansion).NONE, seed=bytes(32)).encode()
    with pytest.raises(MalformedInput, match="whose seed expansion is NONE"):
        group.scheme.inspect(group.file(data + bytes(1000)))


def test_the_kinds_are_those_of_the_wire() -> None:
    assert (Kind.GROUP_KEY, Kind.UPDATE, Kind.SUM) == (5, 6, 7)
