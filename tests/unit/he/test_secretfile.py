"""The secret key file: private, whole or absent, and never printed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from bfl_fabric.errors import ConfigurationError, KeyHolderRefused, MalformedInput, NotFound
from bfl_fabric.he import secretfile
from bfl_fabric.he.provider import EncryptionSchemes
from bfl_fabric.he.secretfile import KeyPair
from tests.unit.he.samples import PARAMETERS, TERMS, residues


def some_pair(epoch: int = 1) -> KeyPair:
    special = residues(1, 7, 8192, PARAMETERS.special_prime)
    public = np.stack((residues(1, 7, 8192).reshape(2, -1), special.reshape(2, -1)), axis=1)
    secret = np.stack((residues(2**59 + 5, 11, 4096), residues(5, 11, 4096, PARAMETERS.special_prime)))
    return KeyPair(epoch, secretfile.public_key_bytes(PARAMETERS, epoch, public), secret)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path, pair = tmp_path / "secret", some_pair(9)
    secretfile.write(path, PARAMETERS, pair)
    found = secretfile.read(path, PARAMETERS)
    assert (found.epoch, found.public_key) == (9, pair.public_key)
    assert (found.secret == pair.secret).all()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["secret"]


def test_a_wide_umask_does_not_open_the_file(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        secretfile.write(tmp_path / "secret", PARAMETERS, some_pair())
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_an_existing_file_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secretfile.write(path, PARAMETERS, some_pair(1))
    with pytest.raises(FileExistsError):
        secretfile.write(path, PARAMETERS, some_pair(2))
    assert secretfile.read(path, PARAMETERS).epoch == 1
    assert os.listdir(tmp_path) == ["secret"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o601])
def test_a_file_that_others_may_touch_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secretfile.write(path, PARAMETERS, some_pair())
    path.chmod(mode)
    with pytest.raises(KeyHolderRefused, match=f"has mode {mode:04o}"):
        secretfile.read(path, PARAMETERS)


def test_a_link_or_a_folder_is_refused(tmp_path: Path) -> None:
    secretfile.write(tmp_path / "secret", PARAMETERS, some_pair())
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(KeyHolderRefused, match="cannot be opened"):
        secretfile.read(tmp_path / "link", PARAMETERS)
    with pytest.raises(KeyHolderRefused, match="is not a plain file"):
        secretfile.read(tmp_path, PARAMETERS)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        secretfile.read(tmp_path / "none", PARAMETERS)


def test_any_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secretfile.write(path, PARAMETERS, some_pair())
    whole = path.read_bytes()
    places = np.random.default_rng(0).integers(0, len(whole), 60)
    flipped = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in places]
    damaged = [b"", whole[:-1], whole + b"\0", whole[:40], bytes(len(whole)), *flipped]
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(MalformedInput, match="is damaged"):
            secretfile.read(path, PARAMETERS)


def test_a_key_pair_does_not_print_its_secret() -> None:
    pair = some_pair()
    assert "secret=" not in repr(pair)
    assert str(int(pair.secret[0, 0])) not in repr(pair)


def test_making_a_key_twice_gives_the_same_key(schemes: EncryptionSchemes, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    first = schemes.create_key(TERMS, 3, path)
    kept = path.read_bytes()
    assert schemes.create_key(TERMS, 3, path) == first
    assert path.read_bytes() == kept
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_another_epoch_does_not_get_the_key_of_this_one(schemes: EncryptionSchemes, tmp_path: Path) -> None:
    schemes.create_key(TERMS, 3, tmp_path / "secret")
    with pytest.raises(KeyHolderRefused, match="is of epoch 3, not of 4"):
        schemes.create_key(TERMS, 4, tmp_path / "secret")


def test_a_key_without_a_folder_is_a_configuration_error(schemes: EncryptionSchemes, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file or directory"):
        schemes.create_key(TERMS, 1, tmp_path / "none" / "secret")
