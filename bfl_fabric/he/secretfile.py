"""The key holder's secret key on disk: one file, mode 0600, whole or absent.

Read and written by the worker process only. The file also carries the public key, because it cannot be made from
the secret again; its byte form is in docs/wire-format.md.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bfl_fabric.errors import KeyHolderRefused, MalformedInput, NotFound
from bfl_fabric.he import wire
from bfl_fabric.he.gate import read_message
from bfl_fabric.he.packing import Residues, pack, packed_bytes, unpack
from bfl_fabric.he.parameters import ParameterSet
from bfl_fabric.he.wire import Header, Kind

MAGIC = b"BFLS"
VERSION = 1
_PREFIX = struct.Struct("<4sI")
_CHECKSUM_BYTES = 32


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key pair: the public key's wire bytes and the secret uint64[2, degree], which never prints."""

    epoch: int
    public_key: bytes
    secret: Residues = field(repr=False)


def public_key_bytes(parameters: ParameterSet, epoch: int, public: Residues) -> bytes:
    """Return the wire bytes of a public key uint64[2, 2, degree]."""
    header = Header(Kind.PUBLIC_KEY, parameters.digest, epoch)
    data = pack(public[:, 0], parameters.residue_bits)
    return header.encode() + data + pack(public[:, 1], parameters.special_residue_bits)


def write(path: Path, parameters: ParameterSet, pair: KeyPair) -> None:
    """Create the file. When this returns it is durable; raises FileExistsError when there is one already."""
    data = _PREFIX.pack(MAGIC, VERSION) + pair.public_key
    data += pack(pair.secret[0], parameters.residue_bits) + pack(
        pair.secret[1], parameters.special_residue_bits
    )
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(data + hashlib.sha256(data).digest())
            stream.flush()
            os.fsync(descriptor)
        # a link never replaces a file: of two who create the key at once, one wins
        os.link(unfinished, path)
    finally:
        os.unlink(unfinished)
    _sync_directory(path.parent)


def read(path: Path, parameters: ParameterSet) -> KeyPair:
    """Read the file.

    Raises:
        NotFound: there is no such file.
        KeyHolderRefused: others may read it, it is another user's, or it is not a plain file.
        MalformedInput: it is damaged, or of other parameters.
    """
    data = _private_bytes(path)
    body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    public_size = wire.message_bytes(parameters, Kind.PUBLIC_KEY, 0)
    sizes = [packed_bytes(parameters.degree, width) for width in _widths(parameters)]
    if len(body) != _PREFIX.size + public_size + sum(sizes) or hashlib.sha256(body).digest() != checksum:
        raise MalformedInput(f"the secret key file {path.name} is damaged; restore it from its backup")
    if _PREFIX.unpack_from(body) != (MAGIC, VERSION):
        raise MalformedInput(f"{path.name} is no secret key file of this version")
    public_key = body[_PREFIX.size :][:public_size]
    secret = _secret(body[_PREFIX.size + public_size :], parameters)
    message = read_message(public_key, parameters, Kind.PUBLIC_KEY)
    message.public_key()
    return KeyPair(message.header.epoch, public_key, secret)


def _secret(data: bytes, parameters: ParameterSet) -> Residues:
    split = packed_bytes(parameters.degree, parameters.residue_bits)
    halves = (
        unpack(data[:split], parameters.residue_bits),
        unpack(data[split:], parameters.special_residue_bits),
    )
    return np.stack(halves)


def _widths(parameters: ParameterSet) -> tuple[int, int]:
    return parameters.residue_bits, parameters.special_residue_bits


def _private_bytes(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound(f"there is no secret key file {path}") from error
    except OSError as error:
        raise KeyHolderRefused(f"the secret key file {path} cannot be opened: {error.strerror}") from error
    try:
        _require_private(path, os.fstat(descriptor))
    except KeyHolderRefused:
        os.close(descriptor)
        raise
    with open(descriptor, "rb") as stream:
        return stream.read()


def _require_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyHolderRefused(f"the secret key file {path} is not a plain file")
    if status.st_uid != os.geteuid():
        raise KeyHolderRefused(f"the secret key file {path} belongs to another user")
    if status.st_mode & 0o077:
        raise KeyHolderRefused(
            f"the secret key file {path} has mode {stat.S_IMODE(status.st_mode):04o}: others may have read it; "
            "make a new key epoch"
        )


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
