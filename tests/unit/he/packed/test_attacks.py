"""Attacks on a group's key and its uploads: carried out where they are known to work, and then against this scheme."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bfl_fabric.errors import KeyHolderRefused, MalformedInput
from bfl_fabric.he.lattice.bits import pack, packed_bytes, unpack
from bfl_fabric.he.lattice.bodies import begin_sum, begin_upload, polynomials
from bfl_fabric.he.lattice.expansion import uniform_polynomial
from bfl_fabric.he.lattice.messages import HEADER_BYTES, Expansion, Header, Kind, decode_header, open_message
from bfl_fabric.he.lattice.modular import Integers
from bfl_fabric.he.lattice.parameters import PACKED_SMALL
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.packed import groupkey
from bfl_fabric.he.packed.backend import BackEndName, encrypted_polynomials, secret_factor
from tests.unit.he.packed.samples import TASK, Group, some_values
from tests.unit.he.test_worker import LINUX, memory_hits

RING = PACKED_SMALL.ring
PER = PACKED_SMALL.values_per_polynomial()
PAYLOAD = slice(len(PACKED_SMALL.noise_primes), None)


def rows_of(upload: Path) -> list[Residues]:
    """Return the polynomials c0 of an upload, each uint64[L, N]."""
    with open_message(upload, PACKED_SMALL, Kind.UPDATE) as reader:
        begin_upload(reader, PACKED_SMALL)
        return list(polynomials(reader, PACKED_SMALL))


def carried(rows: list[Residues]) -> NDArray[np.int64]:
    """Return what payload rows hold, centred, int64[…, slots − 1]: message plus error where nothing hides them."""
    moduli = np.array(PACKED_SMALL.payload_primes, dtype=np.int64)[:, None]
    parts = [part[PAYLOAD].astype(np.int64) for part in rows]
    return np.concatenate([np.where(part > moduli // 2, part - moduli, part).T for part in parts])


def in_payload(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return those of an update's values that stand in payload rows, as `carried` has them."""
    return values.reshape(-1, len(PACKED_SMALL.slots))[:, 1:]


# --- who sees uploads -------------------------------------------------------------------------------------


def test_an_aggregator_without_the_key_sees_noise(group: Group) -> None:
    """It has every upload with its seed: correlation below 0.02 with what the key opens to the last value."""
    values = some_values(16 * PER, seed=3)
    upload = group.upload(values)
    seen = carried(rows_of(upload))
    # 196,608 values: the correlation of noise has a standard deviation of 0.0023
    assert abs(np.corrcoef(seen.reshape(-1), in_payload(values).reshape(-1))[0, 1]) < 0.02
    with_key = carried(opened_with_the_key(group, [seed_of(upload)], rows_of(upload)))
    assert np.abs(with_key - in_payload(values)).max() <= 21


def test_known_limit_an_aggregator_with_one_silo_reads_every_upload(group: Group) -> None:
    """Every silo has the key: correlation 1 with an upload that it gets hold of. `threshold` is there against it."""
    values = some_values(4 * PER, seed=4)
    upload = group.upload(values, "victim")
    seen = carried(opened_with_the_key(group, [seed_of(upload)], rows_of(upload)))
    assert np.corrcoef(seen.reshape(-1), in_payload(values).reshape(-1))[0, 1] > 0.999999


def opened_with_the_key(group: Group, seeds: list[bytes], rows: list[Residues]) -> list[Residues]:
    """Return message plus error of every polynomial of an upload or a sum, as any silo can compute it."""
    secret = groupkey.read(group.secret_path, PACKED_SMALL).secret
    factor = RING.factor(RING.transform(RING.small_residues(secret)))
    opened = []
    for number, part in enumerate(rows):
        masks = [uniform_polynomial(RING, seed, number) for seed in seeds]
        mask = RING.reduce(np.sum(masks, axis=0, dtype=np.uint64))
        opened.append(RING.add(part, RING.inverse(RING.times(mask, factor))))
    return opened


def seed_of(upload: Path) -> bytes:
    return decode_header(upload.read_bytes()[:HEADER_BYTES]).seed


# --- crafted masks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("back_end", BackEndName)
def test_a_crafted_mask_cannot_be_said(back_end: BackEndName, group: Group) -> None:
    """What adds A to c1 under other schemes has no bytes here: a mask is what its seed gives, or there is no upload.

    A seed that gives the mask a + A is a preimage; another seed spoils the sum, and a mask in the body is one too many.
    """
    upload = group.upload(some_values(10), "silo-a", back_end=back_end).read_bytes()
    mask = uniform_polynomial(RING, bytes(range(32)), 0)
    packed = b"".join(pack(row, width) for row, width in zip(mask, PACKED_SMALL.widths, strict=True))
    with pytest.raises(MalformedInput, match="its header implies"):
        group.scheme.inspect(group.file(upload[:HEADER_BYTES] + packed + upload[HEADER_BYTES:]))
    seed = bytearray(upload)
    seed[76] ^= 1
    edited, other = group.file(bytes(seed)), group.upload(some_values(10), "silo-b")
    with pytest.raises((MalformedInput, KeyHolderRefused)):
        group.opener().open_sum(group.sum([edited, other]), 2)


# --- randomness that comes twice --------------------------------------------------------------------------


def test_a_replayed_seed_tells_the_difference_of_two_updates_and_is_refused(group: Group) -> None:
    """c0 − c0′ = M − M′ + e − e′ under one seed: exact to within 42. The sum refuses the second upload of a seed."""
    secret = secret_factor(PACKED_SMALL, groupkey.read(group.secret_path, PACKED_SMALL).secret)
    values, seed = [some_values(PER, seed=number) for number in (1, 2)], bytes(range(32))
    uploads = [replayed(group, secret, part, seed, f"silo-{index}") for index, part in enumerate(values)]
    (one,), (other,) = (rows_of(upload) for upload in uploads)
    difference = carried([RING.subtract(one, other)])
    assert np.abs(difference - in_payload(values[0] - values[1])).max() <= 42
    with pytest.raises(MalformedInput, match="silo-1 repeats a seed of another upload"):
        group.scheme.aggregate(uploads)


def replayed(group: Group, secret: object, values: Integers, seed: bytes, participant_id: str) -> Path:
    key = groupkey.read_public_key(group.public_key, PACKED_SMALL)
    header = Header(
        Kind.UPDATE, PACKED_SMALL.digest, 1, 1, values.size, 1, 1, expansion=Expansion.AES_CTR, seed=seed,
        subject=bytes.fromhex(key.digest), task_id=TASK, author=participant_id,
    )  # fmt: skip
    body = encrypted_polynomials(PACKED_SMALL, secret, values, seed, lambda _: Stream.fresh())  # type: ignore[arg-type]
    return group.file(b"".join([header.encode(), *body]))


# --- asking again -----------------------------------------------------------------------------------------


def test_a_repeated_query_of_a_changed_sum_gives_the_same_values_and_averages_no_noise_away(
    group: Group, back_end: BackEndName
) -> None:
    """Whoever adds fresh errors to a sum and has it opened again and again would find its error, were it shown.

    Inside, the mean of 32 answers is nearer to that error by √32; what is shown are the same integers every time.
    """
    values = [some_values(PER, seed=seed) for seed in range(2)]
    total = group.sum([group.upload(part, f"silo-{index}") for index, part in enumerate(values)])
    expected, message = values[0] + values[1], total.read_bytes()
    with open_message(total, PACKED_SMALL, Kind.SUM) as reader:
        seeds = [member.seed for member, _ in begin_sum(reader, PACKED_SMALL)]
        (rows,) = polynomials(reader, PACKED_SMALL)
    error = carried(opened_with_the_key(group, seeds, [rows])) - in_payload(expected)
    packed = sum(packed_bytes(PACKED_SMALL.degree, width) for width in PACKED_SMALL.widths)
    found, shown = [], set()
    for number in range(32):
        fresh = RING.small_residues(Stream.derived("asked again", bytes(32), number).error(RING.degree))
        changed = RING.add(rows, fresh)
        body = b"".join(pack(row, width) for row, width in zip(changed, PACKED_SMALL.widths, strict=True))
        shown.add(group.opener(back_end).open_sum(group.file(message[:-packed] + body), 2).tobytes())
        found.append(carried(opened_with_the_key(group, seeds, [changed])) - in_payload(expected))
    assert shown == {expected.tobytes()}
    assert np.std(np.mean(found, axis=0) - error) < np.std(found[0] - error) / 5


def test_known_limit_two_sums_that_differ_by_one_update_tell_it(group: Group) -> None:
    """The opener does what it is asked: that a round is opened once, for the sealed set, is the ledger's rule."""
    values = [some_values(10, seed=seed) for seed in range(3)]
    uploads = [group.upload(part, f"silo-{index}") for index, part in enumerate(values)]
    opened = group.opener().open_sum(group.sum(uploads), 3) - group.opener().open_sum(
        group.sum(uploads[:2]), 2
    )
    assert (opened == values[2]).all()
    with pytest.raises(KeyHolderRefused, match="of 2 members, the ledger says 3"):
        group.opener().open_sum(group.sum(uploads[:2]), 3)


def test_a_sum_or_an_upload_for_another_epoch_is_refused_and_opens_nothing(
    group: Group, tmp_path: Path
) -> None:
    (tmp_path / "next").mkdir()
    after = Group(tmp_path / "next", epoch=2)
    uploads = [group.upload(some_values(10), f"silo-{index}") for index in range(2)]
    old = group.sum(uploads)
    with pytest.raises(MalformedInput, match="is for key epoch 1, the public key is of epoch 2"):
        after.scheme.aggregate([after.file(path.read_bytes()) for path in uploads])
    with pytest.raises((KeyHolderRefused, MalformedInput), match="epoch"):
        after.opener().open_sum(old, 2)
    renamed = bytearray(old.read_bytes())
    renamed[44] = 2
    with pytest.raises(KeyHolderRefused, match="does not open"):
        after.opener().open_sum(after.file(bytes(renamed)), 2)


# --- secrets in memory ------------------------------------------------------------------------------------

NODES = """
import sys
from pathlib import Path
import numpy as np
from bfl_fabric.domain.ports import UpdateName
from bfl_fabric.he.packed.backend import BackEndName
from bfl_fabric.he.provider import EncryptionSchemes
from tests.unit.he.packed.samples import terms

folder = Path(sys.argv[1])
schemes = EncryptionSchemes(back_end=BackEndName(sys.argv[2]))
holder, mine, transport = (folder / name for name in ("holder", "mine", "transport"))
public_key = schemes.create_key(terms(), 1, holder)
grant = schemes.grant(terms(), public_key, holder, schemes.transport_key(transport))
schemes.accept(terms(), public_key, grant, transport, mine)
member, opener = schemes.member(terms(), public_key, mine), schemes.secret(terms(), public_key, holder)
scheme, uploads = schemes.public(terms(), public_key), []
for who in "abc":
    uploads.append(folder / f"upload-{who}")
    uploads[-1].write_bytes(member.encrypt(UpdateName("t", 1, who), 1, 1, np.arange(500)))
(folder / "sum").write_bytes(scheme.aggregate(uploads))
assert (opener.open_sum(folder / "sum", 3) == 3 * np.arange(500)).all()
assert not any(name.startswith("tenseal") for name in sys.modules)
print("done", flush=True)
sys.stdin.read()
"""


@LINUX
@pytest.mark.parametrize("back_end", BackEndName)
def test_no_word_of_the_groups_secret_is_in_the_memory_of_a_node(
    back_end: BackEndName, tmp_path: Path
) -> None:
    """That process made the key, was granted it, encrypted and opened: the key never left its workers."""
    node = subprocess.Popen(
        [sys.executable, "-c", NODES, str(tmp_path), back_end.value],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[4],
    )  # fmt: skip
    try:
        assert node.stdout is not None
        assert node.stdout.readline() == b"done\n"
        patterns = secret_patterns(tmp_path / "holder")
        assert memory_hits(node.pid, patterns) == 0
    finally:
        node.communicate()
    # the scan does find words where they are: this process has just read them
    assert memory_hits(os.getpid(), patterns) == len(patterns)


def secret_patterns(path: Path) -> list[bytes]:
    """Return parts of the secret as it is packed in its file, as numbers, and of its transform."""
    data, secret = path.read_bytes(), groupkey.read(path, PACKED_SMALL).secret
    packed = [data[-32 - at : -32 - at + 24] for at in (1024, 500, 100)]
    assert (unpack(data[-1024 - 32 : -32], 2).astype(np.int64) - 1 == secret).all()
    transformed = RING.transform(RING.small_residues(secret))
    return [
        *packed,
        *(secret[at : at + 64].astype("<i8").tobytes() for at in (0, 2_000)),
        *(transformed[row, at : at + 4].astype("<u8").tobytes() for row, at in ((0, 0), (4, 1_000))),
    ]
