"""The bytes of the scheme are pinned: rows of tests/vectors/he/lattice/packed.json may be added, never changed.

Our own uploads are made again from fixed streams; SEAL's uploads and the grant were recorded, because whoever made
them drew what they are made of.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bfl_fabric.he.lattice.messages import HEADER_BYTES, Expansion, Header, Kind, decode_header
from bfl_fabric.he.lattice.modular import Integers
from bfl_fabric.he.lattice.parameters import PACKED_SMALL
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.packed import groupkey
from bfl_fabric.he.packed.backend import BackEndName, encrypted_polynomials, secret_factor
from bfl_fabric.he.packed.groupkey import GroupKey
from bfl_fabric.he.packed.scheme import PackedScheme
from bfl_fabric.he.transportkey import TransportKey
from tests.unit.he.packed.samples import Group, terms

FILE = Path(__file__).parents[3] / "vectors" / "he" / "lattice" / "packed.json"
PINNED: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
UPLOADS: list[dict[str, Any]] = PINNED["uploads"]


def secret() -> Integers:
    return Stream(bytes.fromhex(PINNED["secret_stream"])).ternary(PACKED_SMALL.degree)


def key() -> GroupKey:
    return GroupKey.of(PACKED_SMALL, PINNED["epoch"], secret())


def values_of(row: dict[str, Any]) -> Integers:
    return np.array(row["values"], dtype=np.int64)


def made(row: dict[str, Any]) -> bytes:
    """Return one of our uploads, made again."""
    seed, errors = bytes.fromhex(row["seed"]), bytes.fromhex(row["errors_stream"])
    values = values_of(row)
    header = Header(
        Kind.UPDATE, PACKED_SMALL.digest, PINNED["epoch"], row["round"], values.size, row["weight"], 1,
        expansion=Expansion.AES_CTR, seed=seed, subject=hashlib.sha256(key().public_key).digest(),
        task_id=row["task_id"], author=row["participant_id"],
    )  # fmt: skip
    body = encrypted_polynomials(
        PACKED_SMALL, secret_factor(PACKED_SMALL, secret()), values, seed, lambda _: Stream(errors)
    )
    return b"".join([header.encode(), *body])


@pytest.fixture
def pinned_group(tmp_path: Path) -> Group:
    groupkey.write(tmp_path / f"{PACKED_SMALL.name}-{PINNED['epoch']}", key())
    return Group(tmp_path, epoch=PINNED["epoch"])


def test_the_pinned_public_key_has_its_bytes(pinned_group: Group) -> None:
    assert pinned_group.public_key.hex() == PINNED["public_key"]
    assert (
        pinned_group.public_key[:HEADER_BYTES]
        == Header(Kind.GROUP_KEY, PINNED["parameters_digest"], PINNED["epoch"]).encode()
    )


@pytest.mark.parametrize(
    "row", [row for row in UPLOADS if "errors_stream" in row], ids=lambda row: row["participant_id"]
)
def test_a_pinned_upload_of_ours_is_made_again(row: dict[str, Any]) -> None:
    assert made(row).hex() == row["message"]


@pytest.mark.parametrize("row", UPLOADS, ids=lambda row: row["participant_id"])
def test_a_pinned_upload_passes_the_gate(row: dict[str, Any], pinned_group: Group) -> None:
    data = bytes.fromhex(row["message"])
    header = pinned_group.scheme.inspect(pinned_group.file(data))
    assert (header.name.task_id, header.name.round, header.name.participant_id, header.weight) == (
        row["task_id"], row["round"], row["participant_id"], row["weight"],
    )  # fmt: skip
    assert header.digest == row["digest"] == hashlib.sha256(data).hexdigest()
    assert decode_header(data[:HEADER_BYTES]).expansion == row["expansion"]


def test_the_pinned_sum_has_its_bytes_and_opens_to_its_values(pinned_group: Group) -> None:
    uploads = [pinned_group.file(bytes.fromhex(row["message"])) for row in UPLOADS]
    total = pinned_group.scheme.aggregate(reversed(uploads))
    assert total.hex() == PINNED["sum"]["message"]
    expected = sum(values_of(row) for row in UPLOADS)
    assert expected.tolist() == PINNED["sum"]["values"]  # type: ignore[union-attr]
    for back_end in BackEndName:
        opened = pinned_group.opener(back_end).open_sum(pinned_group.file(total), len(UPLOADS))
        assert (opened == expected).all()


def test_the_pinned_grant_is_accepted() -> None:
    pair = TransportKey.from_bytes(bytes.fromhex(PINNED["grant"]["transport_material"]))
    assert hashlib.sha256(pair.public).hexdigest() == PINNED["grant"]["transport_key_digest"]
    granted = bytes.fromhex(PINNED["grant"]["message"])
    accepted = groupkey.accept(PACKED_SMALL, bytes.fromhex(PINNED["public_key"]), granted, pair)
    assert (accepted.secret == secret()).all()


def test_the_public_key_of_the_vectors_is_one_of_these_terms() -> None:
    scheme = Group.provider(BackEndName.RING).public(terms(), bytes.fromhex(PINNED["public_key"]))
    assert isinstance(scheme, PackedScheme)
    assert scheme.parameters_digest == PINNED["parameters_digest"]
