"""The group's key: in files of mode 0600 and in grants, tied to the blob on the ledger."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bfl_fabric.errors import ConfigurationError, KeyHolderRefused, MalformedInput, NotFound
from bfl_fabric.he.isolation import WorkerLimits
from bfl_fabric.he.lattice.messages import HEADER_BYTES, decode_header
from bfl_fabric.he.lattice.parameters import PACKED_S24, PACKED_SMALL
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.packed import groupkey, transportfile
from bfl_fabric.he.packed.backend import BackEndName, RingBackEnd
from bfl_fabric.he.packed.groupkey import GroupKey
from bfl_fabric.he.packed.scheme import PackedProvider
from tests.unit.he.packed.samples import Group, InProcess, name, some_values, terms


@pytest.fixture
def provider(back_end: BackEndName) -> PackedProvider:
    return PackedProvider(WorkerLimits(), back_end, InProcess)


def granted(provider: PackedProvider, group: Group, folder: Path) -> bytes:
    """Return the grant of the group's key to the silo of `folder`."""
    return provider.grant(
        terms(), group.public_key, group.secret_path, provider.transport_key(folder / "transport")
    )


def test_a_silo_works_with_the_key_that_it_was_granted(
    provider: PackedProvider, group: Group, tmp_path: Path
) -> None:
    grant = granted(provider, group, tmp_path)
    mine = tmp_path / "granted"
    provider.accept(terms(), group.public_key, grant, tmp_path / "transport", mine)
    assert stat.S_IMODE(mine.stat().st_mode) == 0o600
    assert mine.read_bytes() == group.secret_path.read_bytes()
    values = some_values(10)
    member = provider.member(terms(), group.public_key, mine)
    uploads = [
        group.file(member.encrypt(name(participant), 1, 1, values)) for participant in ("silo-a", "silo-b")
    ]
    assert (group.opener().open_sum(group.sum(uploads), 2) == 2 * values).all()


def test_a_grant_differs_each_time_and_shows_nothing_of_the_secret(
    provider: PackedProvider, group: Group, tmp_path: Path
) -> None:
    one, other = (granted(provider, group, tmp_path) for _ in range(2))
    secret = group.secret_path.read_bytes()[-1024 - 32 : -32]
    assert one != other
    assert len(one) == len(other) == len(secret) + 1136
    assert secret[:16] not in one


def test_a_grant_to_another_silo_is_of_no_use(provider: PackedProvider, group: Group, tmp_path: Path) -> None:
    grant = granted(provider, group, tmp_path)
    provider.transport_key(tmp_path / "mine")
    with pytest.raises(MalformedInput, match="transport key"):
        provider.accept(terms(), group.public_key, grant, tmp_path / "mine", tmp_path / "granted")
    assert not (tmp_path / "granted").exists()


def test_a_grant_is_bound_to_the_blob_on_the_ledger(
    provider: PackedProvider, group: Group, tmp_path: Path
) -> None:
    grant = granted(provider, group, tmp_path)
    other = provider.create_key(terms(), 1, tmp_path / "other")
    next_epoch = group.public_key[:44] + b"\x02" + group.public_key[45:]
    for blob in (other, next_epoch, group.public_key[:-1] + bytes([group.public_key[-1] ^ 1])):
        with pytest.raises(MalformedInput, match="transport key"):
            provider.accept(terms(), blob, grant, tmp_path / "transport", tmp_path / "granted")


def test_a_granted_secret_that_the_blob_does_not_commit_to_is_refused(group: Group, tmp_path: Path) -> None:
    """Who grants could encrypt anything: the commitment on the ledger decides."""
    pair = transportfile.made(tmp_path / "transport")
    wrong = GroupKey(1, group.public_key, RingBackEnd.generate(PACKED_SMALL))
    grant = groupkey.grant(wrong, pair.public)
    with pytest.raises(MalformedInput, match="not the one that the public key commits to"):
        groupkey.accept(PACKED_SMALL, group.public_key, grant, pair)


@pytest.mark.parametrize(("count", "digit"), [(4096, 3), (4088, 0)])
def test_a_committed_secret_that_is_not_ternary_is_refused(count: int, digit: int, tmp_path: Path) -> None:
    secret = np.full(count, digit - 1, dtype=np.int64)
    key = GroupKey.of(PACKED_SMALL, 1, secret)
    pair = transportfile.made(tmp_path / "transport")
    with pytest.raises(MalformedInput, match=r"a secret (of another length|with a coefficient other)"):
        groupkey.accept(PACKED_SMALL, key.public_key, groupkey.grant(key, pair.public), pair)


@pytest.mark.parametrize("key", ["", "00", "zz", "ff" * 1215, "ff" * 1216, "ff" * 1217])
def test_what_is_no_transport_key_is_granted_nothing(
    key: str, provider: PackedProvider, group: Group
) -> None:
    with pytest.raises(MalformedInput, match="transport key"):
        provider.grant(terms(), group.public_key, group.secret_path, key)


def test_accepting_again_changes_nothing_and_never_replaces_a_key(
    provider: PackedProvider, group: Group, tmp_path: Path
) -> None:
    grant = granted(provider, group, tmp_path)
    for _ in range(2):
        provider.accept(terms(), group.public_key, grant, tmp_path / "transport", tmp_path / "granted")
    provider.create_key(terms(), 1, tmp_path / "other")
    before = (tmp_path / "other").read_bytes()
    with pytest.raises(KeyHolderRefused, match="belongs to another public key"):
        provider.accept(terms(), group.public_key, grant, tmp_path / "transport", tmp_path / "other")
    assert (tmp_path / "other").read_bytes() == before


def test_making_a_key_twice_gives_the_same_key(provider: PackedProvider, tmp_path: Path) -> None:
    one, other = (provider.create_key(terms(), 1, tmp_path / "key") for _ in range(2))
    assert one == other
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key"]
    with pytest.raises(KeyHolderRefused, match="is of epoch 1, not of 2"):
        provider.create_key(terms(), 2, tmp_path / "key")


def test_making_a_transport_key_twice_gives_the_same_key(provider: PackedProvider, tmp_path: Path) -> None:
    one, other = (provider.transport_key(tmp_path / "key") for _ in range(2))
    assert one == other
    assert len(bytes.fromhex(one)) == 1216
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_secret_of_another_public_key_is_refused(
    provider: PackedProvider, group: Group, tmp_path: Path
) -> None:
    other = provider.create_key(terms(), 1, tmp_path / "other")
    for use in (provider.secret, provider.member):
        with pytest.raises(KeyHolderRefused, match="belongs to another public key"):
            use(terms(), other, group.secret_path)
    with pytest.raises(KeyHolderRefused, match="belongs to another public key"):
        provider.grant(terms(), other, group.secret_path, provider.transport_key(tmp_path / "transport"))


@pytest.mark.parametrize("at", [0, 4, 8, 100, 500, -1057, -1, -40])
def test_a_damaged_key_file_is_refused(at: int, group: Group) -> None:
    data = bytearray(group.secret_path.read_bytes())
    data[at] ^= 1
    group.secret_path.write_bytes(data)
    with pytest.raises(MalformedInput, match="damaged"):
        groupkey.read(group.secret_path, PACKED_SMALL)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda body: b"BFLX" + body[4:], "no group key file of this version"),
        (lambda body: body[:4] + b"\x02" + body[5:], "no group key file of this version"),
        (lambda body: body[:-1] + bytes([body[-1] ^ 1]), "not the one that the public key commits to"),
        (lambda body: body[:100] + b"\x01" + body[101:], "seed and expansion do not go together"),
        (lambda body: body[:-1], "damaged"),
        (lambda body: body + b"\0", "damaged"),
        (lambda body: b"", "damaged"),
    ],
)
def test_a_wrong_key_file_with_a_right_checksum_is_refused(
    edit: Callable[[bytes], bytes], words: str, group: Group
) -> None:
    body = edit(group.secret_path.read_bytes()[:-32])
    group.secret_path.write_bytes(body + hashlib.sha256(body).digest())
    with pytest.raises(MalformedInput, match=words):
        groupkey.read(group.secret_path, PACKED_SMALL)


def test_a_key_file_that_others_can_read_is_refused(group: Group, tmp_path: Path) -> None:
    transport = tmp_path / "transport"
    transportfile.made(transport)
    for path, read in (
        (group.secret_path, lambda path: groupkey.read(path, PACKED_SMALL)),
        (transport, transportfile.read),
    ):
        path.chmod(0o640)
        with pytest.raises(KeyHolderRefused, match="others may have read it"):
            read(path)
        link = path.with_name(f"{path.name}-link")
        os.symlink(path, link)
        with pytest.raises(KeyHolderRefused, match="cannot be opened"):
            read(link)
        with pytest.raises(NotFound):
            read(tmp_path / "none")


def test_a_damaged_transport_file_is_refused(tmp_path: Path) -> None:
    transportfile.made(tmp_path / "key")
    data = bytearray((tmp_path / "key").read_bytes())
    data[20] ^= 1
    (tmp_path / "key").write_bytes(data)
    with pytest.raises(MalformedInput, match="the transport key file key is damaged"):
        transportfile.read(tmp_path / "key")


@pytest.mark.parametrize(
    "change",
    [
        {"round": 1}, {"parameter_count": 1}, {"weight": 1}, {"members": 1}, {"attempt": 1}, {"task_id": "t"},
        {"author": "a"}, {"subject": b"\x01" * 32},
    ],
    ids=str,
)  # fmt: skip
def test_a_blob_with_another_field_is_no_group_key(change: dict[str, object], group: Group) -> None:
    header = decode_header(group.public_key[:HEADER_BYTES])
    blob = replace(header, **change).encode() + group.public_key[HEADER_BYTES:]  # type: ignore[arg-type]
    with pytest.raises(MalformedInput, match="fields that are not its own"):
        group.provider(BackEndName.RING).public(terms(), blob)


@pytest.mark.parametrize(
    "edit", [lambda blob: blob[:-1], lambda blob: blob + b"\0", lambda blob: b"", lambda blob: blob[:200]]
)
def test_a_blob_of_another_length_is_no_group_key(edit: Callable[[bytes], bytes], group: Group) -> None:
    with pytest.raises(MalformedInput, match="bytes"):
        group.provider(BackEndName.RING).public(terms(), edit(group.public_key))


def test_a_key_of_other_parameters_is_refused(group: Group) -> None:
    with pytest.raises(MalformedInput, match="message is for parameters"):
        group.provider(BackEndName.RING).public(terms(PACKED_S24), group.public_key)


def test_no_secret_prints(group: Group, tmp_path: Path) -> None:
    key = groupkey.read(group.secret_path, PACKED_SMALL)
    back_end = RingBackEnd(PACKED_SMALL, key.secret, lambda seeds: key.secret.astype(np.uint64))
    pair = transportfile.made(tmp_path / "transport")
    shown = " ".join(map(repr, (key, back_end, pair, group.member(), group.opener(), Stream.fresh())))
    assert "secret" not in shown
    assert "private" not in shown.lower()
    assert "array(" not in shown


def test_a_folder_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    """Through a real worker process, which translates what the file system says."""
    with pytest.raises(ConfigurationError, match="No such file"):
        PackedProvider(WorkerLimits(), BackEndName.RING).create_key(terms(), 1, tmp_path / "none" / "key")
