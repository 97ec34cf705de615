"""The scheme behind the one door of the room, with real worker processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import GroupKeys
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.he.lattice.parameters import (
    PACKED_S16,
    PACKED_S24,
    PACKED_SMALL,
    PACKED_WIDE,
    THRESHOLD_T20,
    THRESHOLD_WIDE,
)
from bfl_fabric.he.packed.backend import BackEndName
from bfl_fabric.he.packed.scheme import PackedMember, PackedOpener, PackedScheme
from bfl_fabric.he.provider import EncryptionSchemes, choose_parameters, parameters_digest
from tests.unit.he.packed.samples import name, some_values, terms


@pytest.fixture
def schemes(back_end: BackEndName) -> Iterator[EncryptionSchemes]:
    made = EncryptionSchemes(back_end=back_end)
    yield made
    made.close()


def test_a_round_from_the_group_key_to_the_opened_sum(schemes: EncryptionSchemes, tmp_path: Path) -> None:
    holder, mine = tmp_path / "holder", tmp_path / "mine"
    public_key = schemes.create_key(terms(), 1, holder)
    keys: GroupKeys = schemes
    grant = keys.grant(terms(), public_key, holder, keys.transport_key(tmp_path / "transport"))
    keys.accept(terms(), public_key, grant, tmp_path / "transport", mine)
    member, opener = keys.member(terms(), public_key, mine), schemes.secret(terms(), public_key, holder)
    scheme = schemes.public(terms(), public_key)
    assert isinstance(member, PackedMember)
    assert isinstance(opener, PackedOpener)
    try:
        values, uploads = some_values(20_000), []
        for index in range(3):
            uploads.append(tmp_path / f"upload-{index}")
            uploads[-1].write_bytes(member.encrypt(name(f"silo-{index}"), 1, 2, 2 * values))
            assert uploads[-1].stat().st_size == scheme.size_bytes(values.size)
        aggregate = tmp_path / "aggregate"
        aggregate.write_bytes(scheme.aggregate(uploads))
        assert (opener.open_sum(aggregate, 3) == 6 * values).all()
    finally:
        member.close()
        opener.close()


def test_new_tasks_take_weights_that_are_sample_counts() -> None:
    assert parameters_digest("packed") == PACKED_WIDE.digest


@pytest.mark.parametrize(
    ("bits", "weight", "members", "count", "chosen"),
    [
        (16, 10, 10, 1_000_000, PACKED_S16),
        (24, 10, 10, 1_000_000, PACKED_S24),
        (16, 32_768, 100, 1_000_000, PACKED_WIDE),
        (18, 10, 10, 10_000, PACKED_SMALL),
    ],
)
def test_the_smallest_set_that_carries_the_task_is_chosen(
    bits: int, weight: int, members: int, count: int, chosen: object
) -> None:
    assert choose_parameters("packed", bits, weight, members, count) == chosen.digest  # type: ignore[attr-defined]


def test_who_could_have_uploads_half_as_large_is_told_how(caplog: pytest.LogCaptureFixture) -> None:
    assert choose_parameters("threshold", 16, 32_768, 10, 1_000_000) == THRESHOLD_WIDE.digest
    (told,) = caplog.messages
    assert told.startswith(
        "max_total_weight 32768 takes 13.5 bytes a parameter (threshold-wide); with 5446 or less"
    )
    caplog.clear()
    assert choose_parameters("threshold", 16, 5446, 10, 1_000_000) == THRESHOLD_T20.digest
    assert choose_parameters("threshold", 16, 32_768, 10, 10_000) == THRESHOLD_WIDE.digest
    assert choose_parameters("packed", 16, 32_768, 10, 1_000_000) == PACKED_WIDE.digest
    assert not caplog.messages


def test_no_set_carries_everything() -> None:
    with pytest.raises(ConfigurationError, match="lower value_bits or max_total_weight"):
        choose_parameters("packed", 24, 1 << 20, 10, 1000)


@pytest.mark.parametrize(
    ("bits", "weight", "words"),
    [
        (1, 10, "value_bits is 1"),
        (30, 1, "value_bits is 30"),
        (18, 0, "must be from 1 to 10"),
        (18, 11, "must be from 1 to 10"),
    ],
)
def test_terms_whose_sums_could_wrap_are_refused(
    bits: int, weight: int, words: str, schemes: EncryptionSchemes, tmp_path: Path
) -> None:
    wrong = EncryptionTerms("packed", PACKED_SMALL.digest, bits, "0.5", weight)
    with pytest.raises(ConfigurationError, match=words):
        schemes.create_key(wrong, 1, tmp_path / "key")


def test_who_adds_and_checks_never_loads_tenseal(tmp_path: Path) -> None:
    schemes = EncryptionSchemes(back_end=BackEndName.RING)
    blob = tmp_path / "blob"
    blob.write_bytes(schemes.create_key(terms(), 1, tmp_path / "key"))
    code = (
        "import sys; from pathlib import Path; from bfl_fabric.he.provider import EncryptionSchemes; "
        "from tests.unit.he.packed.samples import terms; "
        f"EncryptionSchemes().public(terms(), Path({str(blob)!r}).read_bytes()); "
        "sys.exit('tenseal' in sys.modules)"
    )
    root = Path(__file__).parents[4]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_the_public_side_is_the_same_for_both_back_ends(tmp_path: Path) -> None:
    made = [EncryptionSchemes(back_end=back_end) for back_end in BackEndName]
    public_key = made[0].create_key(terms(), 1, tmp_path / "key")
    sizes = set()
    for schemes in made:
        scheme = schemes.public(terms(), public_key)
        assert isinstance(scheme, PackedScheme)
        sizes.add(scheme.size_bytes(PACKED_SMALL.values_per_polynomial()))
    assert max(sizes) - min(sizes) == 64
