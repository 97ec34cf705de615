"""The wire format is pinned: rows of tests/vectors/he may be added, never changed."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pytest

from bfl_chaincode.api import canonical
from bfl_fabric.errors import MalformedInput
from bfl_fabric.he import scores, wire
from bfl_fabric.he.ckks import CkksScheme
from bfl_fabric.he.gate import read_message
from bfl_fabric.he.packing import pack, unpack
from bfl_fabric.he.sums import sum_of
from bfl_fabric.he.wire import HEADER_BYTES, Kind
from tests.unit.he import vectors
from tests.unit.he.samples import CHECKED, KEY, PARAMETERS, PUBLIC_KEY, Written, message, residues

COMPOSED = json.loads((vectors.FOLDER / "composed.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("title", vectors.MESSAGES)
def test_a_pinned_message_has_its_bytes(title: str) -> None:
    row, data = vectors.MESSAGES[title], vectors.message_of(title)
    assert vectors.header_of(title).encode().hex() == row["header"]
    assert wire.decode(data[:HEADER_BYTES]) == vectors.header_of(title)
    assert len(data) == row["size_bytes"]
    assert hashlib.sha256(data).hexdigest() == row["digest"]


@pytest.mark.parametrize("title", vectors.MESSAGES)
def test_a_pinned_message_passes_the_gate(title: str) -> None:
    read = read_message(vectors.message_of(title), PARAMETERS, vectors.kind_of(title))
    if read.header.kind is Kind.PUBLIC_KEY:
        read.public_key()
    elif read.header.kind is Kind.SCORE:
        read.score()
    else:
        assert len(list(read.chunks())) == PARAMETERS.chunk_count(read.header.parameter_count)
    assert read.digest == vectors.MESSAGES[title]["digest"]


@pytest.mark.parametrize(
    "title", [title for title in vectors.MESSAGES if vectors.kind_of(title) is Kind.UPDATE]
)
def test_a_pinned_update_names_the_pinned_key_of_its_epoch(title: str) -> None:
    keys = [
        row["digest"]
        for row in vectors.MESSAGES.values()
        if row["fields"]["kind"] == "PUBLIC_KEY" and row["fields"]["epoch"] == vectors.key_of(title).epoch
    ]
    assert keys == [vectors.key_of(title).digest]


def test_the_key_of_the_samples_is_the_pinned_one() -> None:
    assert vectors.message_of("public key") == PUBLIC_KEY
    assert vectors.MESSAGES["public key"]["digest"] == KEY.digest == COMPOSED["public_key_digest"]


def test_the_parameters_of_the_vectors_are_the_default_ones() -> None:
    content = json.loads((vectors.FOLDER / "messages.json").read_text(encoding="utf-8"))
    assert content["parameters_digest"] == PARAMETERS.digest


@pytest.mark.parametrize("row", vectors.rows("packing", "packing"), ids=lambda row: row["packed"][:16])
def test_pinned_residues_have_their_bits(row: dict[str, object]) -> None:
    numbers = [int(text) for text in row["residues"]]  # type: ignore[attr-defined]
    width = row["width"]
    assert isinstance(width, int)
    assert pack(np.array(numbers, dtype=np.uint64), width).hex() == row["packed"]
    assert unpack(bytes.fromhex(str(row["packed"])), width).tolist() == numbers


def composed_updates() -> list[bytes]:
    count, stride = COMPOSED["parameter_count"], COMPOSED["stride"]
    return [
        message(
            Kind.UPDATE,
            row["start"],
            stride,
            participant_id=row["participant_id"],
            weight=row["weight"],
            parameter_count=count,
            subject=bytes.fromhex(COMPOSED["public_key_digest"]),
        )
        for row in COMPOSED["updates"]
    ]


def test_the_pinned_sum_is_the_sum_of_its_residues(written: Written) -> None:
    updates, expected = composed_updates(), COMPOSED["sum"]
    total = sum_of(CHECKED, KEY, [written.file(data) for data in updates])
    assert hashlib.sha256(total).hexdigest() == expected["digest"]
    read = read_message(total, PARAMETERS, Kind.SUM)
    assert (read.header.members, read.header.weight) == (expected["members"], expected["weight"])
    starts = sum(row["start"] for row in COMPOSED["updates"])
    by_formula = residues(starts, 3 * COMPOSED["stride"], 4 * PARAMETERS.degree)
    assert (np.concatenate([chunk.reshape(-1) for chunk in read.chunks()]) == by_formula).all()
    assert [str(word) for word in by_formula[:4]] == expected["first_residues"]


def test_the_subject_of_the_pinned_sum_names_its_uploads_in_order() -> None:
    ordered = sorted(
        zip(COMPOSED["updates"], composed_updates(), strict=True), key=lambda row: row[0]["participant_id"]
    )
    joined = b"".join(hashlib.sha256(data).digest() for _, data in ordered)
    assert hashlib.sha256(joined).hexdigest() == COMPOSED["sum"]["subject"]


def test_the_pinned_scores_have_their_bytes(written: Written, pinned_scheme: CkksScheme) -> None:
    direction = np.array([(37 * i) % 255 - 127 for i in range(COMPOSED["parameter_count"])], dtype=np.int8)
    for data, row in zip(composed_updates(), COMPOSED["scores"], strict=True):
        score = pinned_scheme.score(written.file(data), direction)
        terms = wire.decode(score[:HEADER_BYTES]).direction
        expected = COMPOSED["direction"]
        assert (terms.divisor, terms.energy, terms.overlap) == tuple(
            expected[key] for key in ("divisor", "energy", "overlap")
        )
        assert terms.digest.hex() == expected["digest"]
        assert scores.score_grid(PARAMETERS, terms) == expected["grid"]
        assert int.from_bytes(score[HEADER_BYTES:][:8], "little") == int(row["constant"])
        assert hashlib.sha256(score).hexdigest() == row["digest"]


@pytest.mark.parametrize("field", ["divisor", "energy", "overlap"])
def test_a_header_that_could_not_be_read_is_not_written(field: str) -> None:
    fields = vectors.header_of("update of one chunk")
    broken = dataclasses.replace(fields, direction=wire.DirectionTerms(**{field: 1}))
    with pytest.raises(MalformedInput, match="only a score has direction terms"):
        broken.encode()


def test_the_specification_shows_the_bytes_of_the_vectors() -> None:
    page = (vectors.FOLDER.parents[2] / "docs" / "wire-format.md").read_text(encoding="utf-8")
    data = vectors.message_of("update of one chunk")
    first_version = page[: page.index("## Version 2")]
    shown = [line for line in first_version.splitlines() if line[:4].strip().isdigit() and line[4:6] == "  "]
    assert len(shown) >= 9
    for line in shown:
        at, digits = int(line[:4]), line[6:].split("   ")[0].split(" …")[0]
        assert data[at:].startswith(bytes.fromhex(digits))
    fields = dataclasses.asdict(PARAMETERS)
    assert fields.pop("reserved_coefficients") == 0
    assert canonical.text(fields) in page
    for fact in (
        PARAMETERS.digest,
        hashlib.sha256(data).hexdigest(),
        KEY.digest,
        str(len(data)),
        f"{15_053_208:,}",
    ):
        assert fact in page
    assert wire.message_bytes(PARAMETERS, Kind.UPDATE, 1_000_000) == 15_053_208
