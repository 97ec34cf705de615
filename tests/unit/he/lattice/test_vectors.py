"""What both sides compute alike, and the bytes on the wire, are pinned: rows may be added, never changed."""

from __future__ import annotations

import hashlib
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bfl_fabric.errors import MalformedInput
from bfl_fabric.he.lattice.bits import pack, unpack
from bfl_fabric.he.lattice.bodies import begin_sum, begin_upload, polynomials
from bfl_fabric.he.lattice.expansion import uniform_polynomial
from bfl_fabric.he.lattice.messages import (
    HEADER_BYTES,
    Kind,
    Member,
    decode_header,
    encode_polynomial,
    name_field,
    read_message,
    read_name,
)
from bfl_fabric.he.lattice.parameters import LatticeParameters, parameters_named
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.lattice.ring import Residues, Ring, ring_of
from tests.unit.he.lattice import vectors
from tests.unit.he.lattice.vectors import formula_row, rows_of

DOCUMENTATION = Path(__file__).parents[4] / "docs" / "wire-format.md"


def words_digest(row: Residues) -> str:
    return hashlib.sha256(row.astype("<u8").tobytes()).hexdigest()


def read_whole(data: bytes, parameters: LatticeParameters, kind: Kind) -> tuple[list[Member], list[Residues]]:
    """Read an upload or a sum as its receiver does."""
    reader = read_message(data, parameters, kind)
    members: list[Member] = []
    if kind is Kind.SUM:
        members = [member for member, _ in begin_sum(reader, parameters)]
    else:
        begin_upload(reader, parameters)
    return members, list(polynomials(reader, parameters))


@pytest.mark.parametrize(
    "row", rows_of("transforms.json", "transforms"), ids=lambda row: f"{row['degree']}-{row['prime']}"
)
def test_a_pinned_transform_has_its_values(row: dict[str, Any]) -> None:
    ring = Ring(row["degree"], (row["prime"],))
    coefficients = formula_row(row["prime"], row["degree"], row["start"], row["stride"])[None]
    values = ring.transform(coefficients)
    assert values[0, :4].tolist() == row["first_values"]
    assert words_digest(values[0]) == row["digest"]
    assert (ring.inverse(values) == coefficients).all()
    assert words_digest(ring.inverse(coefficients)[0]) == row["inverse_digest"]


@pytest.mark.parametrize("row", rows_of("uniform.json", "rows"), ids=lambda row: str(row["limits"]))
def test_pinned_uniform_rows_have_their_numbers(row: dict[str, Any]) -> None:
    stream = Stream.derived(row["domain"], bytes.fromhex(row["seed"]), *row["numbers"])
    assert stream.uniform_rows(row["limits"], row["count"]).tolist() == row["rows"]
    assert stream.bytes(16).hex() == row["next_bytes"]


@pytest.mark.parametrize(
    "row", rows_of("uniform.json", "polynomials"), ids=lambda row: f"{row['parameters']}-{row['number']}"
)
def test_a_pinned_public_polynomial_has_its_residues(row: dict[str, Any]) -> None:
    ring = ring_of(row["degree"], tuple(row["primes"]))
    rows = uniform_polynomial(ring, bytes.fromhex(row["seed"]), row["number"])
    assert rows[:, :3].tolist() == row["first_residues"]
    assert words_digest(rows) == row["digest"]


@pytest.mark.parametrize("row", rows_of("bits.json", "packed"), ids=lambda row: str(row["width"]))
def test_pinned_numbers_have_their_bits(row: dict[str, Any]) -> None:
    numbers = np.array(row["numbers"], dtype=np.uint64)
    assert pack(numbers, row["width"]).hex() == row["packed"]
    assert unpack(bytes.fromhex(row["packed"]), row["width"]).tolist() == row["numbers"]


@pytest.mark.parametrize("row", rows_of("headers.json", "headers"), ids=lambda row: row["title"])
def test_a_pinned_header_has_its_bytes(row: dict[str, Any]) -> None:
    header = vectors.header_of(row["fields"])
    assert header.encode().hex() == row["header"]
    assert decode_header(bytes.fromhex(row["header"])) == header


@pytest.mark.parametrize("title", vectors.MESSAGES)
def test_a_pinned_message_has_its_bytes_and_is_read(title: str) -> None:
    row, data, parameters = vectors.MESSAGES[title], vectors.message_of(title), vectors.parameters_of(title)
    header = vectors.header_of(row["fields"])
    assert header.encode().hex() == row["header"]
    assert hashlib.sha256(data).hexdigest() == row["digest"]
    members, rows = read_whole(data, parameters, header.kind)
    assert members == [vectors.member_of(fields) for fields in row["members"]]
    assert b"".join(member.encode() for member in members).hex() == row["table"]
    assert [part.tolist() for part in rows] == row["residues"]
    assert b"".join(encode_polynomial(parameters, part) for part in rows).hex() == row["polynomials"]


def test_the_worked_example_in_the_documentation_is_the_vector() -> None:
    section = DOCUMENTATION.read_text(encoding="utf-8").split("## Version 2: the lattice schemes")[1]
    section = section.split("### Worked example of an answer")[0]
    data, seen = vectors.message_of("update"), bytearray(len(vectors.message_of("update")))
    lines = re.findall(r"^ *(\d+)  ((?:[0-9a-f]{2} ?)+)", section, re.MULTILINE)
    for offset, words in lines:
        found, start = bytes.fromhex(words), int(offset)
        assert data[start : start + len(found)] == found
        seen[start : start + len(found)] = found
    # what the example leaves out is zeros
    assert bytes(seen) == data
    assert f"{len(data)} bytes; SHA-256 {hashlib.sha256(data).hexdigest()}" in section


@pytest.mark.parametrize("title", vectors.REFUSED)
def test_a_pinned_message_that_is_edited_is_refused(title: str) -> None:
    data, parameters, kind, words = vectors.refused(title)
    with pytest.raises(MalformedInput) as refusal:
        read_whole(data, parameters, kind)
    assert words in str(refusal.value)


def test_every_byte_of_a_header_is_read() -> None:
    """Whatever single bit of a header is turned, the message is refused or its header is another one."""
    for title in vectors.MESSAGES:
        data, parameters = vectors.message_of(title), vectors.parameters_of(title)
        kind = Kind[vectors.MESSAGES[title]["fields"]["kind"]]
        header = decode_header(data[:HEADER_BYTES])
        for position, bit in itertools.product(range(HEADER_BYTES), range(8)):
            turned = bytearray(data)
            turned[position] ^= 1 << bit
            try:
                changed = read_message(bytes(turned), parameters, kind).header
            except MalformedInput:
                continue
            assert changed != header
            assert changed.encode() == bytes(turned[:HEADER_BYTES])


def test_a_message_cut_off_anywhere_is_refused() -> None:
    for title in vectors.MESSAGES:
        data, parameters = vectors.message_of(title), vectors.parameters_of(title)
        kind = Kind[vectors.MESSAGES[title]["fields"]["kind"]]
        for size in [*range(0, HEADER_BYTES, 31), *range(HEADER_BYTES, len(data), 7), len(data) - 1]:
            with pytest.raises(MalformedInput):
                read_whole(data[:size], parameters, kind)
        with pytest.raises(MalformedInput):
            read_whole(data + b"\0", parameters, kind)


@pytest.mark.parametrize("name", ["", "a", "silo-a", "Universitätsklinikum", "病院", "x" * 127, "ü" * 63])
def test_a_name_comes_back(name: str) -> None:
    field = name_field(name)
    assert len(field) == 128
    assert read_name(field, "name") == name


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (b"\x80" + bytes(127), "room for 127"),
        (b"\xff" * 128, "room for 127"),
        (b"\x01a" + bytes(125) + b"\1", "after its end"),
        (b"\x00a" + bytes(126), "after its end"),
        (b"\x02\xc0\x80" + bytes(125), "not UTF-8"),
        (b"\x03\xed\xa0\x80" + bytes(124), "not UTF-8"),
        (b"\x01\xff" + bytes(126), "not UTF-8"),
        (b"\x01\x00" + bytes(126), "do not print"),
        (b"\x01\n" + bytes(126), "do not print"),
        (b"\x03\xe2\x80\x8b" + bytes(124), "do not print"),
    ],
)
def test_a_name_that_is_not_in_its_one_form_is_refused(field: bytes, words: str) -> None:
    assert len(field) == 128
    with pytest.raises(MalformedInput, match=words):
        read_name(field, "name")


@pytest.mark.parametrize("name", ["x" * 128, "ü" * 64, "line\nbreak", "\u200b"])
def test_a_name_that_has_no_form_is_not_written(name: str) -> None:
    with pytest.raises(MalformedInput):
        name_field(name)


def test_parameters_of_messages_are_known() -> None:
    for title in vectors.MESSAGES:
        assert parameters_named(
            vectors.MESSAGES[title]["fields"]["parameters_digest"]
        ) is vectors.parameters_of(title)
