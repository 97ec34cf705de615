"""The bytes of the scheme are pinned: rows of tests/vectors/he/lattice/threshold.json may be added, never changed."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest

from bfl_fabric.errors import KeyHolderRefused, MalformedInput
from bfl_fabric.he.lattice.bits import packed_bytes, unpack
from bfl_fabric.he.lattice.messages import HEADER_BYTES, Kind, decode_header
from bfl_fabric.he.lattice.parameters import parameters_named
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.scoring.directions import draw_plan
from bfl_fabric.he.threshold import keymessages
from tests.unit.he.threshold import vectors
from tests.unit.he.threshold.vectors import PINNED, Scene

PAGE = Path(__file__).parents[4] / "docs" / "wire-format.md"
OWN_KINDS = set(Kind) - {Kind.GROUP_KEY, Kind.SCORE}
"""All but those of the scheme `packed` alone."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("vectors"))


NOISY_KINDS = {Kind.SUM_SHARE, Kind.SCORE_SHARE, Kind.SHARE_PROOF}
GAUSSIAN = hashlib.sha256(Stream(bytes(32)).gaussian(4096).tobytes()).hexdigest()


@pytest.mark.parametrize("title", vectors.MESSAGES)
def test_a_pinned_message_is_made_again_and_says_what_it_said(title: str, scene: Scene) -> None:
    row, data = vectors.MESSAGES[title], scene.message(title)
    assert scene.read(title, data) == row["says"]
    if Kind[row["kind"]] in NOISY_KINDS and PINNED["gaussian"] != GAUSSIAN:
        pytest.skip("the logarithms and cosines of this machine round otherwise, and so does the noise")
    assert len(data) == row["size_bytes"]
    assert data[:HEADER_BYTES].hex() == row["header"]
    assert data[HEADER_BYTES:][:48].hex() == row["body_begins"]
    assert data[-32:].hex() == row["body_ends"]
    assert hashlib.sha256(data).hexdigest() == row["digest"]
    assert decode_header(data[:HEADER_BYTES]).kind is Kind[row["kind"]]


@pytest.mark.parametrize("title", [title for title, row in vectors.MESSAGES.items() if "message" in row])
def test_a_recorded_answer_is_read_on_every_machine(title: str, scene: Scene) -> None:
    row = vectors.MESSAGES[title]
    data = bytes.fromhex(row["message"])
    assert hashlib.sha256(data).hexdigest() == row["digest"]
    assert scene.read(title, data) == row["says"]


@pytest.mark.parametrize("title", vectors.REFUSED)
def test_a_pinned_message_that_is_edited_is_refused(title: str, scene: Scene) -> None:
    row = vectors.REFUSED[title]
    with pytest.raises((MalformedInput, KeyHolderRefused)) as refusal:
        scene.read(row["base"], vectors.refused(scene, title))
    assert row["refusal"] in str(refusal.value)


def test_every_kind_is_pinned_and_refused_in_many_ways() -> None:
    assert {Kind[row["kind"]] for row in vectors.MESSAGES.values()} == OWN_KINDS
    assert len(vectors.REFUSED) == len(PINNED["refused"])
    ways = Counter(vectors.MESSAGES[row["base"]]["kind"] for row in vectors.REFUSED.values())
    assert all(ways[kind.name] >= 18 for kind in OWN_KINDS)


def test_the_pinned_plan_has_its_seed_and_the_pinned_members_deal_their_shares(scene: Scene) -> None:
    assert scene.plan.public_seed.hex() == PINNED["public_seed"]
    for dealer, row in PINNED["private_shares"].items():
        share = scene.materials[dealer].private_share(row["private_share_to"])
        packed = keymessages.encode_private_share(scene.plan, share)
        assert keymessages.digest_of(packed) == row["digest"]


def test_the_recorded_ciphertext_is_decrypted_with_the_transport_key_of_the_seed(scene: Scene) -> None:
    row = PINNED["transport"]
    pair = scene.materials[row["recipient"]].transport
    assert hashlib.sha256(pair.public).hexdigest() == row["transport_key_digest"]
    digests = scene.share_digests
    binding = keymessages.share_binding(
        scene.plan, row["dealer"], row["recipient"], digests[row["dealer"]], digests[row["recipient"]]
    )
    assert binding.decode() == row["binding"]
    ciphertext = bytes.fromhex(row["ciphertext"])
    assert pair.decrypt(ciphertext, binding).hex() == row["plaintext"]
    for at in (0, 1_088, 1_120, len(ciphertext) - 1):
        changed = bytearray(ciphertext)
        changed[at] ^= 1
        with pytest.raises(MalformedInput, match="cannot be decrypted"):
            pair.decrypt(bytes(changed), binding)
    with pytest.raises(MalformedInput, match="cannot be decrypted"):
        scene.materials["GammaMSP"].transport.decrypt(ciphertext, binding)


def test_the_pinned_round_opens_to_its_values_and_scores(scene: Scene) -> None:
    total = sum(scene.values(silo) for silo in PINNED["uploads"])
    assert vectors.MESSAGES["sum share of AlphaMSP"]["says"] == {"opened": total.tolist()}  # type: ignore[union-attr]
    plan = draw_plan(scene.parameters, scene.scheme.levels, 11, scene.direction, scene.opening.seed)
    scores = {silo: plan.score(plan.answers_of(scene.values(silo))) for silo in PINNED["uploads"]}
    assert vectors.MESSAGES["score share of AlphaMSP"]["says"] == scores


def test_the_worked_example_of_an_answer_is_the_vector() -> None:
    section = PAGE.read_text(encoding="utf-8").split("### Worked example of an answer")[1]
    row = vectors.MESSAGES["sum share of AlphaMSP"]
    data, parameters = bytes.fromhex(row["message"]), parameters_named(PINNED["parameters_digest"])
    seen, shown = set[int](), {}
    for offset, words, more in re.findall(r"^ *(\d+)  ((?:[0-9a-f]{2} ?)+)(.*)$", section, re.MULTILINE):
        found, start = bytes.fromhex(words), int(offset)
        assert data[start : start + len(found)] == found
        seen |= set(range(start, start + len(found)))
        shown[start] = more
    start, left = HEADER_BYTES, parameters.coefficients_in(0, 10)
    for number, width in enumerate(parameters.widths):
        size = packed_bytes(left, width)
        residues = unpack(data[start : start + size], width)[:3]
        assert f"row {number}, {size} bytes: {', '.join(map(str, residues))}, …" in shown[start]
        start += size
    # what the example leaves out of the header is zeros
    assert not any(data[place] for place in set(range(HEADER_BYTES)) - seen)
    assert f"{len(data)} bytes; SHA-256 {row['digest']}" in section


def test_the_sizes_on_the_page_are_those_of_the_vectors() -> None:
    page = PAGE.read_text(encoding="utf-8").split("## Version 2: the lattice schemes")[1]
    for kind in OWN_KINDS - {Kind.SCORE_SHARE}:
        sizes = {row["size_bytes"] for row in vectors.MESSAGES.values() if row["kind"] == kind.name}
        (size,) = sizes
        name = kind.name.replace("_", " ").lower()
        assert re.search(rf"^\| {name} \| .*\({size - HEADER_BYTES:,}\) \|$", page, re.MULTILINE), name
