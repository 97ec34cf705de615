"""Uploads of many participants out of a pool of few real encryptions.

An upload of the pool is encrypted by the scheme itself. As participant n's it gets another name and fresh seeds in
place of its own, and everything else stays: so the aggregator has the same checks and the same sums to do as for so
many encryptions, which would take hours to make. What is added up does not open, because the seeds are not those of
the polynomials; `proof` is for that.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.domain.ports import AggregationScheme, UpdateName
from bfl_fabric.he.lattice.bodies import seeds_bytes, seeds_digest
from bfl_fabric.he.lattice.messages import HEADER_BYTES, Expansion, Header, Kind, read_message
from bfl_fabric.he.lattice.parameters import LatticeParameters
from bfl_fabric.he.lattice.randomness import SEED_BYTES
from bfl_fabric.he.lattice.terms import LatticeTerms

TASK, ROUND, EPOCH, WEIGHT = "scale", 1, 1, 1
POOL = 64
POOL_BYTES = 256 << 20
"""The pool has fewer uploads where so many would need more memory than this."""


class UploadPool:
    """A pool of real encryptions that stand for any number of participants' uploads, of the scheme `packed`."""

    def __init__(self, scheme: AggregationScheme, terms: LatticeTerms, parameter_count: int) -> None:
        """Encrypt random updates of that many parameters."""
        self._parameters = terms.parameters
        size = min(POOL, max(2, POOL_BYTES // scheme.size_bytes(parameter_count)))
        self._uploads = [
            scheme.encrypt(
                participant(number), EPOCH, WEIGHT, random_values(number, parameter_count, terms.levels)
            )
            for number in range(size)
        ]
        self._headers = [_header(self._parameters, upload) for upload in self._uploads]
        self._run = os.urandom(SEED_BYTES)

    @property
    def size(self) -> int:
        """How many real encryptions there are."""
        return len(self._uploads)

    def write(self, number: int, path: Path) -> None:
        """Write participant `number`'s upload."""
        with path.open("wb") as file:
            file.writelines(self.upload(number))

    def upload(self, number: int) -> Iterator[bytes | memoryview]:
        """Yield the bytes of participant `number`'s upload in pieces; the same in every call."""
        template = number % self.size
        header, body = self._headers[template], memoryview(self._uploads[template])[HEADER_BYTES:]
        length = seeds_bytes(self._parameters, header.parameter_count, header.expansion)
        seeds = hashlib.shake_256(self._run + number.to_bytes(8, "little")).digest(length or SEED_BYTES)
        in_body = header.expansion is Expansion.SEAL_BLAKE2XB
        yield replace(
            header,
            author=participant(number).participant_id,
            seed=seeds_digest(seeds) if in_body else seeds,
        ).encode()
        yield seeds[:length]
        yield body[length:]


def participant(number: int) -> UpdateName:
    """Return how participant `number`'s update is called."""
    return UpdateName(TASK, ROUND, f"silo-{number:06}")


def random_values(number: int, parameter_count: int, levels: int) -> NDArray[np.int64]:
    """Return an update anywhere on the grid, int64[parameter_count]; for one number always the same."""
    return np.random.default_rng(number).integers(-levels, levels + 1, parameter_count) * WEIGHT


def _header(parameters: LatticeParameters, upload: bytes) -> Header:
    return read_message(upload, parameters, Kind.UPDATE).header
