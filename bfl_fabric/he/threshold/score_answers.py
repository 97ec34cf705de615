"""A member's answers to the score questions of a round, inside the worker process.

Decides that no question is put twice to one update for different active sets: two answers to one question are two
equations about one share. What the questions are and how they are answered is `scoring`'s part.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bfl_chaincode.api import canonical
from bfl_chaincode.api.canonical import Json
from bfl_fabric.domain.ports import OpeningTerms
from bfl_fabric.errors import KeyHolderRefused
from bfl_fabric.he.lattice.bodies import checked
from bfl_fabric.he.lattice.messages import Header, Kind, open_message, require
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.scoring.directions import draw_plan
from bfl_fabric.he.scoring.plan import DirectionPlan
from bfl_fabric.he.scoring.shares import Answerer, encode_share, share_subject
from bfl_fabric.he.threshold.answering import Member
from bfl_fabric.he.threshold.masks import begin_mask, raw_masks

_DOMAIN = "bfl-fabric score share noise v1"


def score_share(
    member: Member, opening: OpeningTerms, direction: NDArray[np.int8], masks: Mapping[str, Path], levels: int
) -> bytes:
    """Return the member's SCORE_SHARE message.

    Args:
        member: whose share answers.
        opening: the attempt, whose seed draws the questions.
        direction: int8[parameter_count].
        masks: the mask message of each participant of the round.
        levels: the largest magnitude of a value of weight 1.

    Raises:
        KeyHolderRefused: a condition is not met, or a question was answered before to another active set.
        MalformedInput: a mask is malformed or not of this round.
    """
    member.require_asked(opening)
    weight = max((_header(member, masks[name]).weight for name in masks), default=0)
    if not weight:
        raise KeyHolderRefused("there are no updates to score")
    plan = draw_plan(member.parameters, levels, weight, direction, opening.seed)
    digests, groups = {}, {}
    for name in sorted(masks):
        digests[name], groups[name] = _mask(member, opening, name, masks[name], direction.size)
    question = _question(member, opening, plan, digests)
    _record(member, opening, question, digests, plan)
    member.begin_use(opening)
    weights = member.plan.interpolation(opening.active, member.name)[:, 0]
    share = [factor.values for factor in member.share.factors]
    answerer = Answerer(plan, share, [int(number) for number in weights], len(masks))
    seed = member.noise_seed(question)
    tables = {
        name: answerer.answer(rows, Stream.derived(_DOMAIN, seed, number))
        for number, (name, rows) in enumerate(groups.items())
    }
    header = Header(
        Kind.SCORE_SHARE, member.parameters.digest, opening.epoch, opening.round, attempt=opening.attempt,
        task_id=opening.task_id, author=member.name,
    )  # fmt: skip
    return encode_share(header, plan, digests, tables)


def _record(
    member: Member, opening: OpeningTerms, question: str, digests: Mapping[str, bytes], plan: DirectionPlan
) -> None:
    """Write down what is about to be answered. Raises KeyHolderRefused when that is not to be."""
    about: dict[str, Json] = {"task_id": opening.task_id, "round": opening.round}
    entry: dict[str, Json] = {
        "attempt": opening.attempt,
        "question": question,
        "masks": [digest.hex() for digest in digests.values()],
        "queries": list(plan.query_digests),
    }
    for earlier in member.journal.entries("scores", about):
        if earlier == entry:
            return
        if not isinstance(earlier, dict) or earlier["attempt"] == opening.attempt:
            raise KeyHolderRefused(f"attempt {opening.attempt} has been answered, for another question")
        if _common(earlier, entry, "masks") and _common(earlier, entry, "queries"):
            raise KeyHolderRefused("a question about one of these updates was answered in another attempt")
    member.journal.append("scores", about, entry)


def _common(earlier: Mapping[str, Json], entry: Mapping[str, Json], name: str) -> bool:
    before, now = earlier[name], entry[name]
    assert isinstance(before, list)
    assert isinstance(now, list)
    return not {str(item) for item in before}.isdisjoint(str(item) for item in now)


def _question(
    member: Member, opening: OpeningTerms, plan: DirectionPlan, digests: Mapping[str, bytes]
) -> str:
    return canonical.digest(
        {
            "subject": "scores",
            "joint_key_digest": member.key.digest,
            "task_id": opening.task_id,
            "round": opening.round,
            "attempt": opening.attempt,
            "active": list(opening.active),
            "asked": share_subject(plan, digests).hex(),
        }
    )


def _header(member: Member, path: Path) -> Header:
    with open_message(path, member.parameters, Kind.MASK) as reader:
        return reader.header


def _mask(
    member: Member, opening: OpeningTerms, name: str, path: Path, parameter_count: int
) -> tuple[bytes, list[Residues]]:
    """Return the digest and the polynomials of a participant's mask message. Raises MalformedInput."""
    with open_message(path, member.parameters, Kind.MASK) as reader:
        header = reader.header
        member.key.require(header)
        begin_mask(reader, member.parameters)
        found = header.task_id, header.round, header.author, header.parameter_count
        expected = opening.task_id, opening.round, name, parameter_count
        require(found == expected, f"the mask of {name} is of another round, author or length")
        rows = [checked(reader, raw) for raw in raw_masks(reader, member.parameters)]
        return bytes.fromhex(reader.digest), rows
