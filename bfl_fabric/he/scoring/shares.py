"""A key member's answers to the questions of a round: for each update one scalar for each question and prime.

A member's secret never leaves `Answerer`, which belongs in its worker process; what does leave is each question's
⟨λ·c1·s, g⟩ plus one fresh wide integer, the same modulo all primes. Decides that noise and the message that carries
the answers. That a question is answered once is the caller's journal's work (`DirectionPlan.query_digests` are the
keys for it); that the masks are those which the ledger committed is the caller's too.

Smudging: a Gaussian integer of σ = 2^smudge_bits (2^62 or 2^76) over errors ⟨e,g⟩ of σ = 2^10.4·‖g‖ (N = 8192, 16
holders). `smudging_ratio_bits` is the ratio: 2^35 for a direction of a million entries of ±127 under threshold-wide,
the worst of any direction, and more for drawn questions. Error and noise fit the noise primes (`scalars.error_bound`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bfl_fabric.errors import MalformedInput
from bfl_fabric.he.lattice.messages import (
    ABSENT,
    HEADER_BYTES,
    Header,
    Kind,
    Reader,
    name_field,
    open_message,
    read_name,
    require,
)
from bfl_fabric.he.lattice.modular import Integers
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.lattice.ring import Factor, Residues, ring_of
from bfl_fabric.he.scoring.plan import DirectionPlan, Part, answer_rows, table_width
from bfl_fabric.he.scoring.scalars import (
    add_part,
    empty_table,
    exact_answers,
    reduced,
    require_table,
)
from bfl_fabric.he.threshold.noise import residues_of, wide_integers

RESIDUE_BYTES = 4
_LOW_BITS = np.uint64(15)
_LOW = np.uint64((1 << 15) - 1)


class Answerer:
    """A member's share, prepared for the questions of one plan. It holds secrets and never prints."""

    def __init__(
        self,
        plan: DirectionPlan,
        share: Sequence[Residues],
        lagrange: Sequence[int],
        participants: int = 1,
    ) -> None:
        """Prepare the answers.

        Args:
            plan: the questions.
            share: the member's K share polynomials in transformed form, each uint64[L, N]; polynomial p of an update
                is under number p mod K.
            lagrange: the member's Lagrange coefficient in the active set, modulo each prime (1 in an n-of-n key).
            participants: how many updates will be asked, which decides what is worth preparing.
        """
        self._plan = plan
        ring = plan.parameters.ring
        factors = np.array([number % prime for number, prime in zip(lagrange, ring.primes, strict=True)])
        spread = np.broadcast_to(factors.astype(np.uint64)[:, None], (len(ring.primes), ring.degree))
        used = {part.polynomial % plan.parameters.polynomials_per_mask for part in plan.parts}
        self._share = {number: ring.factor(ring.product(share[number], spread)) for number in used}
        polynomials = len({part.polynomial for part in plan.parts})
        prepared = sum(part.numbers.size for part in plan.parts)
        # measured: to prepare a question takes a transform, to answer a prepared one a twentieth, a polynomial 1.2
        pays = prepared * (1 + 0.05 * participants) <= 1.2 * participants * polynomials
        self._prepared = [self._prepare(part) for part in plan.parts] if pays else None

    def answer(self, groups: Sequence[Residues], stream: Stream | None = None) -> Residues:
        """Return the table of one update's answers, uint64[queries, W].

        Args:
            groups: the update's mask polynomials c1 in order, transformed, each uint64[L, N].
            stream: of the smudging, secret and used for nothing else; by default fresh. A member whose noise is a
                function of the question gives the same bytes again.
        """
        plan, table = self._plan, empty_table(self._plan)
        if plan.parts:
            require(
                len(groups)
                > max(part.polynomial for part in plan.parts) // plan.parameters.polynomials_per_mask,
                "the mask has fewer polynomials than the direction reaches",
            )
        if self._prepared is None:
            self._add_by_polynomial(groups, table)
        else:
            self._add_prepared(groups, table)
        return _smudged(plan, reduced(plan, table), stream or Stream.fresh())

    def _add_by_polynomial(self, groups: Sequence[Residues], table: Residues) -> None:
        """One inverse transform for each polynomial, whatever the number of questions."""
        ring, done, opened = self._plan.parameters.ring, -1, np.zeros((0, 0), dtype=np.uint64)
        for part in self._plan.parts:
            if part.polynomial != done:
                group, number = divmod(part.polynomial, self._plan.parameters.polynomials_per_mask)
                opened, done = ring.inverse(ring.times(groups[group], self._share[number])), part.polynomial
            add_part(self._plan, part, opened, table)

    def _add_prepared(self, groups: Sequence[Residues], table: Residues) -> None:
        """No transform at all: a dot product of transformed polynomials for each part and question."""
        assert self._prepared is not None
        for part, prepared in zip(self._plan.parts, self._prepared, strict=True):
            chosen = answer_rows(self._plan.parameters, part.slot)
            mask = groups[part.polynomial // self._plan.parameters.polynomials_per_mask][chosen]
            for number, (high, low) in zip(part.numbers, prepared, strict=True):
                # 30 bits times 15 bits, 2^14 times: below 2^60, so it is reduced before parts add up
                moduli = self._plan.moduli[number, : len(chosen)]
                sums = np.einsum("ln,ln->l", mask, high) % moduli
                table[number, : len(chosen)] += (
                    (sums << _LOW_BITS) + np.einsum("ln,ln->l", mask, low)
                ) % moduli

    def _prepare(self, part: Part) -> list[tuple[Residues, Residues]]:
        """Return for each question the high and the low bits of ω = N^(−1)·transform(g reversed)·s.

        ⟨c1·s, g⟩ is the sum of the values of c1·ω.
        """
        parameters = self._plan.parameters
        chosen = answer_rows(parameters, part.slot)
        ring = ring_of(parameters.degree, tuple(parameters.primes[row] for row in chosen))
        secret = self._share[part.polynomial % parameters.polynomials_per_mask]
        own = Factor(secret.values[chosen], secret.quotients[chosen])
        shrink = np.array([[pow(parameters.degree, -1, prime)] for prime in ring.primes], dtype=np.uint64)
        ends = [*part.starts[1:], part.factors.size]
        prepared = []
        for start, end in zip(part.starts, ends, strict=True):
            spread = np.zeros(parameters.degree, dtype=np.int64)
            spread[part.coefficients[start:end]] = part.factors[start:end]
            turned = ring.transform(ring.residues(_reversed(spread)))
            values = ring.times(ring.product(turned, np.broadcast_to(shrink, turned.shape)), own)
            prepared.append((values >> _LOW_BITS, values & _LOW))
        return prepared


@dataclass(frozen=True, slots=True)
class ScoreShare:
    """A member's answers about all updates, by participant id; each comes with the digest of the mask it is about."""

    header: Header
    masks: Mapping[str, bytes]
    tables: Mapping[str, Residues]
    digest: str


def share_subject(plan: DirectionPlan, masks: Mapping[str, bytes]) -> bytes:
    """Return the subject of a score share: the digest of the question, plan and masks by participant id.

    It names what a member has answered: the key for its journal.
    """
    rows = [name_field(name) + masks[name] for name in sorted(masks)]
    return hashlib.sha256(bytes.fromhex(plan.digest) + b"".join(rows)).digest()


def share_size_bytes(plan: DirectionPlan, participants: int) -> int:
    """Return the exact wire length of a score share."""
    return HEADER_BYTES + participants * _row_bytes(plan)


def encode_share(
    header: Header, plan: DirectionPlan, masks: Mapping[str, bytes], tables: Mapping[str, Residues]
) -> bytes:
    """Return the wire bytes of a score share.

    Args:
        header: task, round, epoch, attempt and author; the other fields are filled in here.
        plan: the questions.
        masks: SHA-256 of each participant's mask message, 32 bytes.
        tables: the answers for the same participants.
    """
    assert masks.keys() == tables.keys()
    filled = replace(
        header,
        kind=Kind.SCORE_SHARE,
        parameters_digest=plan.parameters.digest,
        parameter_count=plan.parameter_count,
        members=len(masks),
        subject=share_subject(plan, masks),
    )
    rows = [name_field(name) + masks[name] + tables[name].astype("<u4").tobytes() for name in sorted(masks)]
    return filled.encode() + b"".join(rows)


def read_share(path: Path, plan: DirectionPlan) -> ScoreShare:
    """Read a score share strictly. Raises MalformedInput, NotFound.

    Who the author is, which attempt it is for and whether the masks are the committed ones is left to the caller.
    """
    with open_message(path, plan.parameters, Kind.SCORE_SHARE) as message:
        return read_share_message(message, plan)


def read_share_message(message: Reader, plan: DirectionPlan) -> ScoreShare:
    """As `read_share`, from an open message."""
    header = message.header
    require(header.author != "" and header.task_id != "", "a score share without author or task")
    require(header.parameter_count == plan.parameter_count, "a score share for another number of parameters")
    require(header.weight == 0 and header.seed == ABSENT, "a score share with a weight or a seed")
    message.require_body(header.members * _row_bytes(plan))
    masks: dict[str, bytes] = {}
    tables: dict[str, Residues] = {}
    for _ in range(header.members):
        name = read_name(message.bytes(128), "participant id")
        require(
            name > max(masks, default=""), "the participants are not in ascending order, or one stands twice"
        )
        masks[name] = message.bytes(32)
        words = message.bytes(_row_bytes(plan) - 160)
        tables[name] = np.frombuffer(words, dtype="<u4").astype(np.uint64).reshape(empty_table(plan).shape)
        require_table(plan, tables[name])
    message.require_end()
    require(
        header.subject == share_subject(plan, masks), "the subject is not the digest of directions and masks"
    )
    return ScoreShare(header, masks, tables, message.digest)


def combine(
    plan: DirectionPlan, levels: int, weight: int, base: Residues, tables: Sequence[Residues]
) -> list[int]:
    """Return one update's exact answers; `plan.score` or `norms.norm_squared` makes a score of them.

    Args:
        plan: the questions.
        levels: the largest magnitude of a value of weight 1.
        weight: of this update.
        base: `scalars.base_scalars` of its upload.
        tables: the active members' answers about it.

    Raises:
        MalformedInput: a table is not one of this plan, or the weight is beyond the plan's.
        KeyHolderRefused: the answers are not those of a well-formed update. A wrong share is noticed here with a
            probability that grows with the number of questions; a lying member is found by its proof alone.
    """
    if levels * weight > plan.largest_value:
        raise MalformedInput(f"the weight {weight} is beyond the one for which the directions were drawn")
    for table in (base, *tables):
        require_table(plan, table)
    total = base + np.sum(np.stack([*tables]), axis=0, dtype=np.uint64) if tables else base
    return exact_answers(plan, reduced(plan, total), levels * weight, len(tables))


def smudging_ratio_bits(plan: DirectionPlan) -> float:
    """Return log2 of σ of one answer's wide noise over the standard deviation of the largest question's error."""
    squares = np.zeros(plan.queries)
    for part in plan.parts:
        squares[part.numbers] += np.add.reduceat(part.factors.astype(np.float64) ** 2, part.starts)
    sigma = math.sqrt(plan.parameters.noise_variance) * math.sqrt(squares.max(initial=1.0))
    return plan.parameters.smudge_bits - math.log2(sigma)


def _smudged(plan: DirectionPlan, table: Residues, stream: Stream) -> Residues:
    """Add to each answer one wide integer, the same modulo all its primes."""
    parameters, moduli = plan.parameters, plan.moduli
    noise = residues_of(parameters.ring, *wide_integers(stream, plan.queries, parameters.smudge_bits))
    noisy = table.copy()
    for item in plan.asked:
        own = slice(item.first, item.first + item.count)
        noisy[own] += noise[answer_rows(parameters, item.slot), own].T
    return noisy % moduli


def _reversed(
    factors: Integers,
) -> Integers:
    """Return g^rev, g_0 − Σ g_j·X^(N−j)."""
    turned = -np.roll(factors[::-1], 1)
    turned[0] = factors[0]
    return turned


def _row_bytes(plan: DirectionPlan) -> int:
    return 128 + 32 + plan.queries * table_width(plan.parameters) * RESIDUE_BYTES
