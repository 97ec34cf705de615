"""The gate against hostile bytes: refused, quickly, in little memory, and never with anything but MalformedInput."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from bfl_fabric.domain.ports import UpdateName
from bfl_fabric.errors import MalformedInput, NotFound
from bfl_fabric.he.ckks import CkksScheme
from bfl_fabric.he.gate import KeyName, Message, open_message, open_upload, read_message
from bfl_fabric.he.provider import EncryptionSchemes
from bfl_fabric.he.wire import HEADER_BYTES, Kind
from tests.unit.he import vectors
from tests.unit.he.samples import (
    KEY,
    PARAMETERS,
    TASK,
    TERMS,
    Written,
    message,
    name,
    some_direction,
    some_values,
)

SECONDS = 0.2
MEMORY_BYTES = 64 << 20
MUTATIONS = 100_000


def read_whole(read: Message) -> str:
    """Read a message to its end as its kind is read, and return its digest."""
    if read.header.kind is Kind.PUBLIC_KEY:
        read.public_key()
    elif read.header.kind is Kind.SCORE:
        read.score()
    else:
        for _ in read.chunks():
            pass
    return read.digest


def read_upload(path: Path, key: KeyName) -> str:
    """Read an upload for this key to its end, and return its digest."""
    with open_upload(path, PARAMETERS, key) as read:
        return read_whole(read)


def refusal_of(reading: Callable[[], object]) -> str:
    """Return the message of the refusal, after holding time and memory against the limits."""
    tracemalloc.start()
    begin = time.thread_time()
    try:
        with pytest.raises(MalformedInput) as refusal:
            reading()
        assert time.thread_time() - begin < SECONDS
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES
    finally:
        tracemalloc.stop()
    return str(refusal.value)


def foreign_blobs() -> dict[str, bytes]:
    """Return what other software calls a ciphertext, and what attackers send instead of one."""
    honest = message()
    return {
        "nothing": b"",
        "one byte": b"B",
        "the magic alone": b"BFLH",
        "a megabyte of zeros": bytes(1 << 20),
        "text": b"GET / HTTP/1.1\r\n\r\n" * 50,
        "json": b'{"weights": [NaN, Infinity, 1e25]}' * 40,
        "a pickle that would run code": b"\x80\x04cposix\ngetcwd\n)R." * 100,
        "the honest message in gzip": gzip.compress(honest),
        "a bomb in gzip": gzip.compress(bytes(64 << 20)),
        "the honest message in zlib": zlib.compress(honest),
        "a SEAL header with zstd": bytes.fromhex("5ea1100403020000") + (1 << 40).to_bytes(8, "little") + bytes(500),
        "a SEAL ciphertext of size 16": bytes.fromhex("5ea1100403000000") + bytes(32) + b"\x01\x10" + bytes(500),
        "a TenSEAL vector of 127 bytes": bytes.fromhex("0a02802012") + bytes(122),
        "an npy array": b"\x93NUMPY\x01\x00v\x00{'descr': '<u8', 'fortran_order': False, 'shape': (99999999,), }" * 9,
        "a zip": b"PK\x03\x04" + bytes(600),
        "two messages": honest + honest,
        "the message backwards": honest[::-1],
        "the header twice": honest[:HEADER_BYTES] + honest,
        "the message in upper-case hex": honest.hex().upper().encode(),
    }  # fmt: skip


FOREIGN = foreign_blobs()


@pytest.mark.parametrize("title", vectors.REFUSED)
def test_an_edited_message_is_refused_for_what_is_wrong_with_it(title: str, written: Written) -> None:
    data, kind, words = vectors.refused(title)
    if kind is Kind.UPDATE:
        path, key = written.file(data), vectors.key_of(vectors.REFUSED[title]["base"])
        assert words in refusal_of(lambda: read_upload(path, key))
    else:
        assert words in refusal_of(lambda: read_whole(read_message(data, PARAMETERS, kind)))


@pytest.mark.parametrize("title", FOREIGN)
def test_foreign_bytes_are_refused(title: str, written: Written) -> None:
    data = FOREIGN[title]
    path = written.file(data)
    in_memory = refusal_of(lambda: read_whole(read_message(data, PARAMETERS, Kind.UPDATE)))
    assert in_memory == refusal_of(lambda: read_upload(path, KEY))


def test_the_catalogue_has_more_than_sixty_kinds() -> None:
    assert len(vectors.REFUSED) + len(FOREIGN) >= 130


@pytest.mark.parametrize("kind", [Kind.PUBLIC_KEY, Kind.SUM, Kind.SCORE])
def test_a_well_formed_message_of_another_kind_is_refused(kind: Kind) -> None:
    words = refusal_of(lambda: read_message(message(kind), PARAMETERS, Kind.UPDATE))
    assert words == f"expected a message of kind UPDATE, found {kind.name}"


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (tmp_path, fifo, Path("/dev/zero")):
        with (
            pytest.raises(MalformedInput, match="is not a regular file"),
            open_message(path, PARAMETERS, Kind.UPDATE),
        ):
            pass


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound), open_message(tmp_path / "none", PARAMETERS, Kind.UPDATE):
        pass


def test_a_sparse_file_of_a_terabyte_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    path.write_bytes(message())
    os.truncate(path, 1 << 40)

    def read_file() -> None:
        with open_message(path, PARAMETERS, Kind.UPDATE):
            pass

    assert "for 10 parameters it is 61848" in refusal_of(read_file)


def test_a_file_that_shrinks_or_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "changing"
    whole = message(parameter_count=5000)
    for change, words in ((whole[:-1], "ended 1 bytes early"), (whole + b"\0", "goes on after its")):
        path.write_bytes(whole)
        with open_message(path, PARAMETERS, Kind.UPDATE) as read:
            chunks = read.chunks()
            next(chunks)
            path.write_bytes(change)
            with pytest.raises(MalformedInput, match=words):
                list(chunks)


def test_reading_takes_the_memory_of_one_ciphertext(written: Written) -> None:
    small, large = (written.file(message(parameter_count=4096 * count)) for count in (2, 60))
    peaks = []
    for path in (small, large):
        tracemalloc.start()
        with open_message(path, PARAMETERS, Kind.UPDATE) as read:
            read_whole(read)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000 < 2_000_000


def test_inspect_returns_the_header_and_the_digest_of_the_bytes(
    written: Written, pinned_scheme: CkksScheme
) -> None:
    data = message(parameter_count=4097, weight=9)
    found = pinned_scheme.inspect(written.file(data))
    assert found.name == UpdateName(TASK, 1, "silo-a")
    assert (found.epoch, found.parameter_count, found.weight, found.size_bytes) == (1, 4097, 9, len(data))
    assert found.digest == hashlib.sha256(data).hexdigest()
    assert pinned_scheme.size_bytes(4097) == len(data)


def test_inspect_refuses_another_epoch_and_too_much_weight(
    written: Written, pinned_scheme: CkksScheme
) -> None:
    with pytest.raises(MalformedInput, match="for key epoch 2, the public key is of epoch 1"):
        pinned_scheme.inspect(written.file(message(epoch=2)))
    with pytest.raises(MalformedInput, match="the weight 32769 is not from 1 to 32768"):
        pinned_scheme.inspect(written.file(message(weight=32_769)))


def test_an_update_names_the_public_key_message_that_the_ledger_names(
    scheme: CkksScheme, public_key: bytes, written: Written
) -> None:
    path = written.file(scheme.encrypt(name(), 1, 1, some_values(10)))
    with open_message(path, PARAMETERS, Kind.UPDATE) as read:
        assert read.header.subject == hashlib.sha256(public_key).digest()
    assert scheme.inspect(path).name == name()


@pytest.mark.parametrize("reader", ["inspect", "aggregate", "score"])
def test_an_update_under_another_key_of_the_same_epoch_is_refused_by_every_reader(
    reader: str, schemes: EncryptionSchemes, scheme: CkksScheme, public_key: bytes, written: Written
) -> None:
    other_key = schemes.create_key(TERMS, 1, written.folder / "other")
    own = written.file(scheme.encrypt(name("silo-a"), 1, 1, some_values(10)))
    foreign = written.file(schemes.public(TERMS, other_key).encrypt(name("silo-b"), 1, 1, some_values(10)))
    readings: dict[str, Callable[[], object]] = {
        "inspect": lambda: scheme.inspect(foreign),
        "aggregate": lambda: scheme.aggregate([own, foreign]),
        "score": lambda: scheme.score(foreign, some_direction(10)),
    }
    found, expected = (hashlib.sha256(key).hexdigest() for key in (other_key, public_key))
    assert refusal_of(readings[reader]) == (
        f"the upload of silo-b was encrypted under another key ({found}), the task's key is {expected}"
    )


def test_a_hundred_thousand_mutated_messages_are_refused_or_read_as_what_they_are() -> None:
    """Every mutation of an honest message either raises MalformedInput or has another digest than the honest one."""
    chance = random.Random(20)
    honest = {kind: message(kind) for kind in Kind}
    known = {hashlib.sha256(data).hexdigest() for data in honest.values()}
    refused = 0
    for _ in range(MUTATIONS):
        kind = chance.choice((Kind.UPDATE, Kind.UPDATE, Kind.SUM, Kind.SCORE, Kind.PUBLIC_KEY))
        data = mutated(honest[kind], chance)
        try:
            digest = read_whole(read_message(data, PARAMETERS, kind))
        except MalformedInput:
            refused += 1
        else:
            assert digest == hashlib.sha256(data).hexdigest()
            assert data == honest[kind] or digest not in known
    assert MUTATIONS * 0.6 < refused < MUTATIONS


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes with one to three changes of a random kind, most of them in the header."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        where = chance.randrange(HEADER_BYTES if chance.random() < 0.75 else max(len(changed), 1))
        choice = chance.randrange(8)
        if choice <= 2 and where < len(changed):
            changed[where] ^= 1 << chance.randrange(8)
        elif choice == 3:
            changed[where : where + 8] = chance.randbytes(8)
        elif choice == 4:
            changed[where : where + 4] = chance.choice((bytes(4), b"\xff" * 4, b"\x01\0\0\0", b"\0\0\0\x80"))
        elif choice == 5:
            del changed[where : where + chance.choice((1, 8, 1000))]
        elif choice == 6:
            changed[where:where] = chance.randbytes(chance.choice((1, 8, 1000)))
        else:
            del changed[chance.randrange(len(changed) + 1) :]
    return bytes(changed)
