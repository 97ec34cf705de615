"""The key holder's secret key of the scheme `ckks` on disk, a private file.

The file also carries the public key, because it cannot be made from
the secret again; its byte form is in docs/wire-format.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bfl_fabric.he import privatefile, wire
from bfl_fabric.he.gate import read_message
from bfl_fabric.he.packing import Residues, pack, packed_bytes, unpack
from bfl_fabric.he.parameters import ParameterSet
from bfl_fabric.he.privatefile import Frame
from bfl_fabric.he.wire import Header, Kind

FRAME = Frame(b"BFLS", 1, "secret key file", "restore it from its backup")


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
    rows = zip(pair.secret, _widths(parameters), strict=True)
    privatefile.create(path, FRAME.around(pair.public_key + b"".join(pack(*row) for row in rows)))


def read(path: Path, parameters: ParameterSet) -> KeyPair:
    """Read the file.

    Raises:
        NotFound: there is no such file.
        KeyHolderRefused: others may read it, it is another user's, or it is not a plain file.
        MalformedInput: it is damaged, or of other parameters.
    """
    content = FRAME.read(path)
    public_size = wire.message_bytes(parameters, Kind.PUBLIC_KEY, 0)
    sizes = [packed_bytes(parameters.degree, width) for width in _widths(parameters)]
    if len(content) != public_size + sum(sizes):
        raise FRAME.damaged(path)
    public_key = content[:public_size]
    message = read_message(public_key, parameters, Kind.PUBLIC_KEY)
    message.public_key()
    return KeyPair(message.header.epoch, public_key, _secret(content[public_size:], parameters))


def _secret(data: bytes, parameters: ParameterSet) -> Residues:
    split = packed_bytes(parameters.degree, parameters.residue_bits)
    halves = (
        unpack(data[:split], parameters.residue_bits),
        unpack(data[split:], parameters.special_residue_bits),
    )
    return np.stack(halves)


def _widths(parameters: ParameterSet) -> tuple[int, int]:
    return parameters.residue_bits, parameters.special_residue_bits
