"""One sum on several nodes: each adds a range of polynomials of all uploads; together they are the sum of one node.

A *shard* is a range of polynomial groups, masks included; it checks and adds what it reads of each upload, and its
memory is its part of the model. The node that puts the results together reads every upload for its digest and decides
which belong together. Decides how polynomials are divided; where shards run is the caller's choice: `in_processes` on
this machine, `on_ray` on a Ray cluster (extra `ray`) whose nodes see the same files.

Ray moves calls and results between its nodes in a serialization of its own that trusts whoever can reach the
cluster. So one operator's nodes may form a cluster, nodes of several organizations never.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import TypeAlias

import numpy as np

from bfl_fabric.errors import ConfigurationError, MalformedInput
from bfl_fabric.he.lattice import bodies, columns
from bfl_fabric.he.lattice.bodies import KeyName, RawPolynomial
from bfl_fabric.he.lattice.membership import Membership
from bfl_fabric.he.lattice.messages import (
    HEADER_BYTES,
    Header,
    Kind,
    Reader,
    encode_polynomial,
    open_message,
    polynomial_bytes,
)
from bfl_fabric.he.lattice.parameters import LatticeParameters, parameters_named
from bfl_fabric.he.lattice.terms import LatticeTerms
from bfl_fabric.he.lattice.threads import do_each

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Shard:
    """Which part of which uploads to add: masks and polynomials by number, masks counted first."""

    parameters_digest: str
    parameter_count: int
    numbers: tuple[int, ...]
    uploads: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class ShardSum:
    """The wire bytes of each of a shard's numbers, and the SHA-256 of the masks of each upload, in its order."""

    polynomials: dict[int, bytes]
    masks: tuple[tuple[bytes, ...], ...]


Submit: TypeAlias = Callable[[Shard], "Future[ShardSum]"]


def sharded_sum(
    terms: LatticeTerms, key: KeyName, uploads: Sequence[Path], shards: int, submit: Submit
) -> bytes:
    """Return the wire bytes of the sum of distinct uploads, the same as `lattice.sums.sum_of`.

    Args:
        terms: the task's.
        key: the public key that all uploads are for.
        uploads: their files; every shard must see them under these paths.
        shards: into how many parts to divide; no more than there are groups of polynomials are made.
        submit: starts a shard somewhere; `in_processes` or `on_ray`.

    Raises:
        MalformedInput: an upload is not well-formed, or they do not belong together.
        ConfigurationError: fewer than one shard.
    """
    if not uploads:
        raise MalformedInput("a sum of no uploads")
    parameters = terms.parameters
    with open_message(uploads[0], parameters, Kind.UPDATE) as reader:
        count = reader.header.parameter_count
    paths = tuple(path.absolute() for path in uploads)
    pending = [
        submit(Shard(parameters.digest, count, numbers, paths))
        for numbers in divided(parameters, count, shards)
    ]
    try:
        membership = Membership(terms, key)
        authors = [_admitted(membership, key, path).author for path in paths]
        done = [future.result() for future in pending]
    finally:
        for future in pending:
            future.cancel()
    for result in done:
        for author, masks in zip(authors, result.masks, strict=True):
            for digest in masks:
                membership.require_fresh_mask(digest, f"the upload of {author}")
    polynomials = {number: data for result in done for number, data in result.polynomials.items()}
    return b"".join([*membership.parts(), *(polynomials[number] for number in sorted(polynomials))])


def divided(parameters: LatticeParameters, parameter_count: int, shards: int) -> list[tuple[int, ...]]:
    """Return the numbers of each shard: whole groups (a mask and its polynomials) in ranges as even as can be.

    Raises:
        ConfigurationError: fewer than one shard.
    """
    if shards < 1:
        raise ConfigurationError(f"{shards} shards; at least 1 must add")
    masks = bodies.mask_count(parameters, parameter_count)
    count, per_group = parameters.polynomial_count(parameter_count), parameters.polynomials_per_mask
    groups = -(-count // per_group)
    cuts = [groups * index // shards for index in range(shards + 1)]
    ranges = [range(first, last) for first, last in pairwise(cuts) if first < last]
    return [
        (
            *(part if masks else ()),
            *range(masks + part.start * per_group, masks + min(count, part.stop * per_group)),
        )
        for part in ranges
    ]


def add_shard(shard: Shard) -> ShardSum:
    """Check and add a shard's part of every upload. Raises MalformedInput, NotFound."""
    parameters = parameters_named(shard.parameters_digest)
    sizes = bodies.sizes(parameters, shard.parameter_count)
    totals = {number: columns.zero(parameters, sizes[number]) for number in shard.numbers}

    def add_upload(path: Path) -> tuple[bytes, ...]:
        masks: dict[int, bytes] = {}

        def add(raw: RawPolynomial) -> None:
            if raw.is_mask:
                masks[raw.number] = hashlib.sha256(raw.data).digest()
            total = totals[raw.number]
            np.add(total, columns.checked_columns(parameters, raw), out=total)

        with open_message(path, parameters, Kind.UPDATE) as reader:
            do_each(add, _parts(reader, parameters, shard, path))
        return tuple(masks[number] for number in sorted(masks))

    masks = tuple(add_upload(path) for path in shard.uploads)
    reduced = {
        number: parameters.ring.reduce(columns.rows(parameters, total)) for number, total in totals.items()
    }
    return ShardSum({number: encode_polynomial(parameters, rows) for number, rows in reduced.items()}, masks)


@contextmanager
def in_processes(processes: int) -> Iterator[Submit]:
    """Yield how shards are started in processes of this machine."""
    # a fork would copy locks of this process's threads
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as executor:
        yield lambda shard: executor.submit(add_shard, shard)


@contextmanager
def on_ray(address: str | None = None) -> Iterator[Submit]:
    """Yield how shards are started on a Ray cluster; without an address on one that this call starts here.

    Raises:
        ConfigurationError: Ray is not installed.
    """
    try:
        ray = import_module("ray")
    except ImportError as error:
        raise ConfigurationError("Ray is not installed: pip install 'bfl-fabric[ray]'") from error
    ray.init(address=address, include_dashboard=False, log_to_driver=False)
    try:
        remote = ray.remote(add_shard)
        yield lambda shard: remote.remote(shard).future()
    finally:
        ray.shutdown()


def _admitted(membership: Membership, key: KeyName, path: Path) -> Header:
    """Enter an upload whose polynomials the shards check; its digest is that of the whole file."""
    parameters = membership.terms.parameters
    with open_message(path, parameters, Kind.UPDATE) as reader:
        key.require(reader.header)
        seeds = bodies.begin_upload(reader, parameters)
        membership.require_alike(reader.header, f"the upload of {reader.header.author}")
        left = bodies.polynomials_bytes(parameters, reader.header.parameter_count)
        while left:
            left -= len(reader.bytes(min(left, _CHUNK_BYTES)))
        reader.require_end()
        membership.admit_upload(reader, seeds)
        return reader.header


def _parts(
    reader: Reader, parameters: LatticeParameters, shard: Shard, path: Path
) -> Iterator[RawPolynomial]:
    """Yield a shard's masks and polynomials of one upload, unchecked. Raises MalformedInput."""
    header = reader.header
    bodies.begin_upload(reader, parameters)
    if header.parameter_count != shard.parameter_count:
        raise MalformedInput(
            f"the upload of {header.author} has {header.parameter_count} parameters, the others {shard.parameter_count}"
        )
    masks = bodies.mask_count(parameters, header.parameter_count)
    sizes = bodies.sizes(parameters, header.parameter_count)
    offset = HEADER_BYTES + bodies.seeds_bytes(parameters, header.parameter_count, header.expansion)
    wanted = set(shard.numbers)
    with path.open("rb") as body:
        for number, size in enumerate(sizes):
            length = polynomial_bytes(parameters, size)
            if number in wanted:
                body.seek(offset)
                data = body.read(length)
                if len(data) != length:
                    raise MalformedInput(f"the upload of {header.author} ended early")
                yield RawPolynomial(number, number < masks, size, data)
            offset += length
