"""The score of the scheme `packed`: what the aggregator computes of one upload, and what the key holder makes of it.

A score message has the questions, the residues ⟨c0, g⟩ of their answers and the upload's seeds: all of it public, the
same bytes from everybody, of a length that only the task and the parameter count decide. The key holder's worker adds
⟨a·s, g⟩; the error is then known exactly and drops out, so the answers are exact integers that depend on no noise, and
their score needs no grid. Only the score leaves the worker.

    header (SCORE: subject = upload digest, author, weight, expansion and seed of the upload)
    direction digest (32), energy (u64), for each slot mass (u64) and overlap (i64)
    for each polynomial a 64-byte seed, zeros unless the expansion has seeds of its own for each polynomial
    for each slot its questions, for each question its units (u32): 2·place + 1 for a minus, ascending, then 2^32 − 1
    for each question the residues of its answer (u32)

Decides this form. Whether direction and upload are the right ones is told by comparing bytes with one's own.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from bfl_fabric.he.lattice.messages import (
    HEADER_BYTES,
    Header,
    Kind,
    read_message,
    require,
)
from bfl_fabric.he.lattice.modular import Integers
from bfl_fabric.he.lattice.parameters import LatticeParameters
from bfl_fabric.he.lattice.ring import Factor, Residues
from bfl_fabric.he.scoring.directions import (
    queries_per_slot,
    terms_per_query,
)
from bfl_fabric.he.scoring.plan import DirectionPlan, SlotQuestions, table_width
from bfl_fabric.he.scoring.scalars import (
    add_part,
    empty_table,
    exact_answers,
    reduced,
    require_table,
)

SEED_BYTES = 64
_FRONT = struct.Struct("<32sQ")
_SLOT = struct.Struct("<Qq")
_NOTHING = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class ScoreForm:
    """The lengths of a task's score messages. `largest_value` is levels times the task's largest total weight.

    Raises:
        ConfigurationError: `of` found no room for scores.
    """

    parameters: LatticeParameters
    largest_value: int
    parameter_count: int
    room: int
    queries: int

    @classmethod
    def of(cls, parameters: LatticeParameters, largest_value: int, parameter_count: int) -> ScoreForm:
        room = terms_per_query(parameters, largest_value)
        each = queries_per_slot(parameters, room, parameter_count)
        return cls(parameters, largest_value, parameter_count, room, each)

    @property
    def slots(self) -> int:
        return len(self.parameters.slots)

    @property
    def seeds_bytes(self) -> int:
        return SEED_BYTES * self.parameters.polynomial_count(self.parameter_count)

    @property
    def body_bytes(self) -> int:
        residues = self.room + table_width(self.parameters)
        return (
            _FRONT.size
            + self.slots * _SLOT.size
            + self.seeds_bytes
            + 4 * self.slots * self.queries * residues
        )


def score_size_bytes(parameters: LatticeParameters, largest_value: int, parameter_count: int) -> int:
    """Return the exact wire length of a score. Raises ConfigurationError when the terms leave no room for scores."""
    return HEADER_BYTES + ScoreForm.of(parameters, largest_value, parameter_count).body_bytes


def encode_score(
    plan: DirectionPlan, upload: Header, upload_digest: str, seeds: bytes, base: Residues
) -> bytes:
    """Return the wire bytes of the score of an upload.

    Args:
        plan: drawn for the task's largest total weight with `fixed_seed`.
        upload: the upload's header.
        upload_digest: the SHA-256 of the upload's bytes, hex.
        seeds: those of each polynomial, b"" when the one in the header stands for all.
        base: `scalars.base_scalars` of the upload.
    """
    form = ScoreForm.of(plan.parameters, plan.largest_value, plan.parameter_count)
    require(upload.parameter_count == plan.parameter_count, _count_problem(upload, plan))
    require(len(seeds) in (0, form.seeds_bytes), "seeds for another number of polynomials")
    require_table(plan, base)
    header = replace(upload, kind=Kind.SCORE, subject=bytes.fromhex(upload_digest))
    return header.encode() + _questions(form, plan, seeds) + _residues(form, plan, base)


@dataclass(frozen=True, slots=True)
class Score:
    """A checked score message. `seeds` is zeros where the header's seed stands for all polynomials."""

    header: Header
    plan: DirectionPlan
    seeds: bytes
    base: Residues
    digest: str


def read_score(data: bytes, parameters: LatticeParameters, largest_value: int) -> Score:
    """Read a score strictly. Raises MalformedInput, ConfigurationError when the terms leave no room for scores."""
    message = read_message(data, parameters, Kind.SCORE)
    header = message.header
    require(header.task_id != "" and header.author != "", "a score without task or author")
    require(header.round >= 1 and header.weight >= 1 and header.members == 1, "a score is of one update")
    require(
        header.parameter_count >= 1 and header.attempt == 0, "a score without parameters or with an attempt"
    )
    form = ScoreForm.of(parameters, largest_value, header.parameter_count)
    message.require_body(form.body_bytes)
    direction, energy = _FRONT.unpack(message.bytes(_FRONT.size))
    scales = [_SLOT.unpack(message.bytes(_SLOT.size)) for _ in range(form.slots)]
    seeds = message.bytes(form.seeds_bytes)
    count = form.slots * form.queries
    units = np.frombuffer(message.bytes(4 * count * form.room), dtype="<u4").astype(np.int64)
    words = np.frombuffer(message.bytes(4 * count * table_width(parameters)), dtype="<u4").astype(np.uint64)
    message.require_end()
    slots = _slots(form, scales, units.reshape(form.slots, form.queries, form.room))
    plan = DirectionPlan(
        parameters, header.parameter_count, largest_value, energy, direction.hex(), "", tuple(slots)
    )
    base = _table(form, plan, words.reshape(form.slots, form.queries, -1))
    require_table(plan, base)
    written = _questions(form, plan, seeds) + _residues(form, plan, base)
    require(data[HEADER_BYTES:] == written, "the score's questions are not in their one form")
    return Score(header, plan, seeds, base, message.digest)


def open_score(score: Score, levels: int, expand: Callable[[int], Residues], secret: Factor) -> int:
    """Return the score of a message: an exact function of the update's values, whatever the noise was.

    For the key holder's worker. The answers and the error stay in this call.

    Args:
        score: a checked message.
        levels: the largest magnitude of a value of weight 1.
        expand: gives the upload's mask polynomial of that number, transformed, uint64[L, N].
        secret: the key, transformed, as a factor.

    Raises:
        MalformedInput: the weight is beyond the task's.
        KeyHolderRefused: it does not open to answers of a well-formed update.
    """
    plan, largest = score.plan, levels * score.header.weight
    require(largest <= plan.largest_value, "the weight is beyond the task's largest")
    ring, table = plan.parameters.ring, empty_table(plan)
    done, opened = -1, np.zeros((0, 0), dtype=np.uint64)
    for part in plan.parts:
        if part.polynomial != done:
            opened, done = ring.inverse(ring.times(expand(part.polynomial), secret)), part.polynomial
        add_part(plan, part, opened, table)
    return plan.score(exact_answers(plan, reduced(plan, table + score.base), largest))


def _questions(form: ScoreForm, plan: DirectionPlan, seeds: bytes) -> bytes:
    scales = {item.slot: _SLOT.pack(item.mass, item.overlap) for item in plan.slots}
    units = np.full((form.slots, form.queries, form.room), _NOTHING, dtype="<u4")
    for item in plan.slots:
        repeated = np.abs(item.factors)
        codes = np.repeat(2 * item.places + (item.factors < 0), repeated)
        rows = np.repeat(item.queries - item.first, repeated)
        units[item.slot, rows, np.arange(rows.size) - np.searchsorted(rows, rows)] = codes
    front = [_FRONT.pack(bytes.fromhex(plan.direction_digest), plan.energy)]
    front += [scales.get(slot, _SLOT.pack(0, 0)) for slot in range(form.slots)]
    return b"".join([*front, seeds.ljust(form.seeds_bytes, b"\0"), units.tobytes()])


def _residues(form: ScoreForm, plan: DirectionPlan, base: Residues) -> bytes:
    words = np.zeros((form.slots, form.queries, table_width(form.parameters)), dtype="<u4")
    for item in plan.slots:
        words[item.slot, : item.count] = base[item.first : item.first + item.count]
    return words.tobytes()


def _table(form: ScoreForm, plan: DirectionPlan, words: Residues) -> Residues:
    rows = [words[item.slot, : item.count] for item in plan.slots]
    return np.concatenate(rows) if rows else np.zeros((0, table_width(form.parameters)), dtype=np.uint64)


def _slots(
    form: ScoreForm,
    scales: list[tuple[int, int]],
    units: Integers,
) -> list[SlotQuestions]:
    """Return the questions that these units are; what is not their one form is noticed by writing them again."""
    slots: list[SlotQuestions] = []
    first = 0
    for slot, ((mass, overlap), rows) in enumerate(zip(scales, units, strict=True)):
        numbers, columns = np.nonzero(rows != _NOTHING)
        codes = rows[numbers, columns]
        if codes.size == 0:
            continue
        require(bool((numbers[1:] - numbers[:-1] <= 1).all()) and numbers[0] == 0, "a question is left out")
        keys, counts = np.unique(np.stack((numbers, codes)), axis=1, return_counts=True)
        queries, places = keys[0], keys[1] >> 1
        require(
            int(places.max()) * form.slots + slot < form.parameter_count,
            "a question reaches beyond the update",
        )
        require(mass >= codes.size, "a sample that is larger than what it is drawn from")
        factors = np.where(keys[1] & 1, -counts, counts)
        count = int(numbers[-1]) + 1
        slots.append(
            SlotQuestions(
                slot,
                first,
                count,
                queries + first,
                places,
                factors,
                mass,
                codes.size,
                overlap,
                np.zeros((count, 0), dtype=np.int64),
            )
        )
        first += count
    return slots


def _count_problem(upload: Header, plan: DirectionPlan) -> str:
    return f"the upload has {upload.parameter_count} parameters, the direction {plan.parameter_count}"
