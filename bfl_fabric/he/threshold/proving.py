"""A member's proof of an answer that it has given, inside the worker process.

Decides that nothing is proven but the answer that the journal names: its noise and its masks follow from the question,
so the same question has one proof.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bfl_fabric.domain.ports import OpeningTerms
from bfl_fabric.errors import KeyHolderRefused
from bfl_fabric.he.lattice.bodies import coefficients
from bfl_fabric.he.lattice.messages import Kind, read_message
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.threshold.answering import Member, OpenedMasks
from bfl_fabric.he.threshold.noise import SPLIT_BITS, residues_of
from bfl_fabric.he.threshold.proof import Statement, noise_shift, prove
from bfl_fabric.he.threshold.wide import Wide


def share_proof(
    member: Member,
    opening: OpeningTerms,
    masks: Sequence[Path],
    zeros: Sequence[Path],
    share: bytes,
    committed: Sequence[Residues],
) -> bytes:
    """Return the SHARE_PROOF message of a member's own share.

    Args:
        member: whose answer it was.
        opening: the attempt that it answered.
        masks: as they were.
        zeros: as they were.
        share: the SUM_SHARE message.
        committed: the member's commitment, from the joint key.

    Raises:
        KeyHolderRefused: it is not what the member answered, or as `Member.sum_share`.
    """
    if member.sum_share(opening, masks, zeros) != share:
        raise KeyHolderRefused("it is not the share that this member gave: nothing is proven about it")
    opened = member.opened(opening, masks, zeros)
    seed = member.noise_seed(member.question_of(opening, opened))
    statement = _statement(member, opening, opened, share, committed, seed)
    noise = _noise(member, opened, seed)
    return prove(statement, member.share, noise, hashlib.shake_256(b"proof" + seed).digest(32))


def _statement(
    member: Member,
    opening: OpeningTerms,
    opened: OpenedMasks,
    share: bytes,
    committed: Sequence[Residues],
    seed: bytes,
) -> Statement:
    parameters, count = member.parameters, opened.question.parameter_count
    reader = read_message(share, parameters, Kind.SUM_SHARE)
    sizes = coefficients(parameters, count)
    weighted = member.share.weighted(opening.active, opened.total)
    group, which = divmod(len(sizes) - 1, parameters.polynomials_per_mask)
    ring, left = parameters.ring, parameters.degree - sizes[-1]
    rest = ring.inverse(ring.times(weighted[group], member.share.factors[which]))[:, sizes[-1] :]
    rest = ring.add(rest, residues_of(ring, *member.share.noise(seed, len(sizes) - 1, left, rest=True)))
    return Statement(
        member.plan, member.name, reader.header, hashlib.sha256(share).digest(), committed, weighted,
        [reader.polynomial(size) for size in sizes], rest,
    )  # fmt: skip


def _noise(member: Member, opened: OpenedMasks, seed: bytes) -> list[Wide]:
    """Return E of every polynomial, whole."""
    parameters = member.parameters
    sizes = coefficients(parameters, opened.question.parameter_count)
    parts = [member.share.noise(seed, number, size) for number, size in enumerate(sizes)]
    last = member.share.noise(seed, len(sizes) - 1, parameters.degree - sizes[-1], rest=True)
    high, low = (np.concatenate(both) for both in zip(parts[-1], last, strict=True))
    parts[-1] = high, low
    return [Wide(high, low, SPLIT_BITS).normal().reshifted(noise_shift(parameters)) for high, low in parts]
