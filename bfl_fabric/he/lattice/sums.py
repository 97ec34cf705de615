"""Adding uploads, and sums of uploads: streaming, exact, the same bytes in any order and any grouping.

Which uploads belong together is `membership`'s question, whether one is well-formed `messages`' and `bodies`', and
whether it is the one that was committed the caller's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from bfl_fabric.domain.ports import AggregateHeader, UpdateHeader, UpdateName
from bfl_fabric.errors import MalformedInput
from bfl_fabric.he.lattice.bodies import (
    KeyName,
    RawPolynomial,
    begin_sum,
    begin_upload,
    raw_polynomials,
)
from bfl_fabric.he.lattice.columns import check_polynomials, checked_columns, rows, zeros
from bfl_fabric.he.lattice.membership import Membership
from bfl_fabric.he.lattice.messages import Kind, Reader, encode_polynomial, open_message
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.lattice.terms import LatticeTerms
from bfl_fabric.he.lattice.threads import do_each, each


class RunningSum:
    """The sum so far. Its memory is one accumulator of the model's size, whatever the number of uploads.

    After any refusal the sum is of no use.
    """

    def __init__(self, terms: LatticeTerms, key: KeyName) -> None:
        self._parameters = terms.parameters
        self._key = key
        self._membership = Membership(terms, key)
        self._columns: list[Residues] = []

    def add(self, upload: Path) -> None:
        """Check and add one upload. Raises MalformedInput."""
        with open_message(upload, self._parameters, Kind.UPDATE) as reader:
            self._key.require(reader.header)
            seeds = begin_upload(reader, self._parameters)
            what = f"the upload of {reader.header.author}"
            self._membership.require_alike(reader.header, what)
            self._add_polynomials(reader, what)
            self._membership.admit_upload(reader, seeds)

    def add_sum(self, path: Path) -> None:
        """Check and add a sum of other members' uploads. Raises MalformedInput."""
        with open_message(path, self._parameters, Kind.SUM) as reader:
            if reader.header.epoch != self._key.epoch:
                raise MalformedInput(
                    f"the sum is for key epoch {reader.header.epoch}, the public key is of epoch {self._key.epoch}"
                )
            members = begin_sum(reader, self._parameters)
            self._membership.require_alike(reader.header, f"the sum {path.name}")
            for member, seeds in members:
                self._membership.admit(member, seeds)
            self._add_polynomials(reader, "")

    def encode(self) -> bytes:
        """Return the wire bytes of the sum. Raises MalformedInput when nothing was added."""
        return b"".join(self.parts())

    def parts(self) -> Iterator[bytes]:
        """Yield the wire bytes of the sum in pieces, as `encode`, for whoever writes them to a file."""
        yield from self._membership.parts()
        yield from each(self._encoded, self._columns)

    def _encoded(self, total: Residues) -> bytes:
        return encode_polynomial(
            self._parameters, self._parameters.ring.reduce(rows(self._parameters, total))
        )

    def _add_polynomials(self, reader: Reader, upload: str) -> None:
        """Add what the reader has; reading is in order, checking and adding is not."""
        self._columns = self._columns or zeros(self._parameters, reader.header.parameter_count)

        def add(raw: RawPolynomial) -> None:
            if raw.is_mask and upload:
                self._membership.require_fresh_mask(hashlib.sha256(raw.data).digest(), upload)
            total = self._columns[raw.number]
            np.add(total, checked_columns(self._parameters, raw), out=total)

        do_each(add, raw_polynomials(reader, self._parameters))


def sum_of(terms: LatticeTerms, key: KeyName, uploads: Iterable[Path]) -> bytes:
    """Return the wire bytes of the sum of distinct uploads of one round, all for this key. Raises MalformedInput."""
    running = RunningSum(terms, key)
    for path in uploads:
        running.add(path)
    return running.encode()


def sum_of_sums(terms: LatticeTerms, key: KeyName, sums: Iterable[Path]) -> bytes:
    """Return the wire bytes of the sum of sums that share no member: those of `sum_of` over all their uploads.

    Raises:
        MalformedInput: a sum is not well-formed, or they do not belong together. The table of a sum is believed:
            that it is the sum of the uploads that it names, somebody who has them must check.
    """
    running = RunningSum(terms, key)
    for path in sums:
        running.add_sum(path)
    return running.encode()


def inspected_upload(terms: LatticeTerms, key: KeyName, path: Path) -> UpdateHeader:
    """Check an upload completely and return its header. Raises MalformedInput, NotFound."""
    with open_message(path, terms.parameters, Kind.UPDATE) as reader:
        key.require(reader.header)
        terms.require_weight(reader.header.weight)
        begin_upload(reader, terms.parameters)
        check_polynomials(terms.parameters, raw_polynomials(reader, terms.parameters))
        return upload_header(reader)


def inspected_sum(terms: LatticeTerms, key: KeyName, path: Path) -> AggregateHeader:
    """Check a sum completely and return its header. Raises MalformedInput, NotFound."""
    with open_message(path, terms.parameters, Kind.SUM) as reader:
        header = reader.header
        if header.epoch != key.epoch:
            raise MalformedInput(
                f"it is for key epoch {header.epoch}, the public key is of epoch {key.epoch}"
            )
        terms.require_weight(header.weight)
        begin_sum(reader, terms.parameters)
        check_polynomials(terms.parameters, raw_polynomials(reader, terms.parameters))
        return AggregateHeader(
            header.task_id,
            header.round,
            header.epoch,
            header.parameters_digest,
            header.parameter_count,
            header.members,
            header.weight,
            reader.digest,
            reader.size_bytes,
        )


def upload_header(reader: Reader) -> UpdateHeader:
    """Return what an update or a mask that has been read to its end says about itself."""
    header = reader.header
    return UpdateHeader(
        UpdateName(header.task_id, header.round, header.author),
        header.epoch,
        header.parameters_digest,
        header.parameter_count,
        header.weight,
        reader.digest,
        reader.size_bytes,
    )
