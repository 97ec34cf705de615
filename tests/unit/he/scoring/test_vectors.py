"""Pinned bytes: plans, answers and messages that other versions must reproduce. Vectors are added, never changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bfl_fabric.he.lattice.messages import Expansion, Header, Kind
from bfl_fabric.he.lattice.parameters import PARAMETER_SETS, LatticeParameters
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.scoring.directions import draw_plan
from bfl_fabric.he.scoring.messages import encode_score
from bfl_fabric.he.scoring.norms import NormTerms, draw_norm_plan, norm_squared
from bfl_fabric.he.scoring.plan import DirectionPlan
from bfl_fabric.he.scoring.scalars import base_scalars
from bfl_fabric.he.scoring.shares import Answerer, encode_share
from bfl_fabric.he.scoring.sketches import SketchTerms, alignment_plan, check_plan, make_sketch

VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text())


def drawn(what: str, number: int, count: int, limit: int) -> np.ndarray:
    """Return integers in −limit..limit that depend on nothing but these arguments and SHAKE256 and AES."""
    stream = Stream(hashlib.shake_256(f"{what} {number}".encode()).digest(32))
    return (stream.words(count) % np.uint64(2 * limit + 1)).astype(np.int64) - limit


def polynomial(parameters: LatticeParameters, what: str, number: int) -> Residues:
    rows = [
        np.abs(drawn(f"{what} {row}", number, parameters.degree, prime - 1)).astype(np.uint64)
        for row, prime in enumerate(parameters.primes)
    ]
    return np.stack(rows)


def plan_of(vector: dict[str, Any]) -> DirectionPlan:
    parameters = next(item for item in PARAMETER_SETS.values() if item.name == vector["parameters"])
    direction = drawn("direction", vector["count"], vector["count"], 127).astype(np.int8)
    return draw_plan(parameters, vector["levels"], vector["weight"], direction, vector["seed"])


@pytest.mark.parametrize("vector", VECTORS["plans"], ids=lambda item: f"{item['parameters']}-{item['count']}")
def test_a_plan_is_the_pinned_one(vector: dict[str, Any]) -> None:
    plan = plan_of(vector)
    answers = plan.answers_of(drawn("values", vector["count"], vector["count"], vector["levels"]))
    assert [plan.digest, plan.revealed, plan.score(answers)] == [
        vector["digest"],
        vector["revealed"],
        vector["score"],
    ]
    assert plan.query_digests[-1] == vector["last_query_digest"]


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda item: item["parameters"])
def test_a_score_message_is_the_pinned_one(vector: dict[str, Any]) -> None:
    plan = plan_of(vector)
    parameters = plan.parameters
    count = parameters.polynomial_count(vector["count"])
    base = base_scalars(plan, [polynomial(parameters, "polynomial", index) for index in range(count)])
    if parameters.scheme == "packed":
        header = Header(
            Kind.UPDATE, parameters.digest, 1, 2, vector["count"], 1, 1, expansion=Expansion.AES_CTR,
            seed=bytes([7] * 32), subject=bytes([8] * 32), task_id="task", author="ann",
        )  # fmt: skip
        data = encode_score(plan, header, "ab" * 32, b"", base)
    else:
        share = [polynomial(parameters, "share", index) for index in range(parameters.polynomials_per_mask)]
        masks = [polynomial(parameters, "mask", index) for index in range(-(-count // len(share)))]
        table = Answerer(plan, share, [3] * len(parameters.primes)).answer(masks, Stream(bytes(32)))
        header = Header(
            Kind.SCORE_SHARE, parameters.digest, 1, 2, attempt=1, task_id="task", author="Org1MSP"
        )
        data = encode_share(header, plan, {"ann": bytes([9] * 32)}, {"ann": table})
    assert [len(data), hashlib.sha256(data).hexdigest()] == [vector["bytes"], vector["message"]]


@pytest.mark.parametrize("vector", VECTORS["sketches"], ids=lambda item: item["parameters"])
def test_a_sketch_is_the_pinned_one(vector: dict[str, Any]) -> None:
    parameters = next(item for item in PARAMETER_SETS.values() if item.name == vector["parameters"])
    count, weight, levels = vector["count"], vector["weight"], vector["levels"]
    terms = SketchTerms(parameters, count, vector["buckets"], levels, vector["limit"], vector["seed"])
    values = weight * drawn("values", count, count, levels)
    direction = drawn("direction", count, count, 127).astype(np.int8)
    whole = make_sketch(terms, values, weight)
    found = [
        hashlib.sha256(whole.astype("<i8").tobytes()).hexdigest(),
        alignment_plan(terms, direction, weight, vector["seed"])[0].digest,
        check_plan(terms, weight, vector["seed"]).digest,
        terms.shift,
    ]
    assert found == [vector["values"], vector["alignment"], vector["checks"], vector["shift"]]


@pytest.mark.parametrize("vector", VECTORS["norms"], ids=lambda item: item["parameters"])
def test_a_norm_is_the_pinned_one(vector: dict[str, Any]) -> None:
    parameters = next(item for item in PARAMETER_SETS.values() if item.name == vector["parameters"])
    count, weight, levels = vector["count"], vector["weight"], vector["levels"]
    terms = NormTerms(parameters, count, levels, vector["questions"])
    plan = draw_norm_plan(terms, weight, vector["seed"], vector["attempt_seed"])
    found = norm_squared(plan, plan.answers_of(weight * drawn("values", count, count, levels)))
    assert [plan.digest, plan.revealed, found] == [
        vector["digest"],
        vector["revealed"],
        vector["norm_squared"],
    ]
    assert plan.query_digests[-1] == vector["last_query_digest"]
