"""The memory of a verification: the state and the ids that were seen, whatever the length of the chain."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bfl_fabric.embedded.blockfile import BlockFile
from bfl_fabric.fabric.seen import SeenTransactions
from tests.unit.fabric.chain_builder import Call, ChainBuilder, put
from tests.unit.fabric.organizations import federation

VALUE_BYTES = 20_000
SHORT, LONG = 60, 600
TOLERANCE_KB = 3_000
MEASURE = """
import sys
from pathlib import Path
from bfl_fabric.audit.source import read_block_file
from bfl_fabric.fabric.signature_workers import signature_checks
from bfl_fabric.fabric.verifier import ChainVerifier
import bfl_fabric.fabric.verifier as module

module.MAXIMUM_AHEAD_BYTES = 1 << 20
with signature_checks(int(sys.argv[3]), start_after=0) as checks:
    for _ in ChainVerifier(sys.argv[2], checks).verify(read_block_file(Path(sys.argv[1]))):
        pass
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """A short and a ten times longer block file of one chain, in which one large value is written again and again."""
    parties = federation()
    alpha, beta, _ = parties.organizations
    chain = ChainBuilder(parties)
    chain.define_chaincode()
    for number in range(LONG):
        value = number.to_bytes(4, "big") * (VALUE_BYTES // 4)
        chain.add_calls(Call(alpha.client, [alpha.peer, beta.peer], [put("a", value, reads=False)]))
    place = tmp_path_factory.mktemp("chains")
    for name, count in (("short", SHORT), ("long", LONG)):
        file = BlockFile(place / name)
        for raw in chain.blocks[:count]:
            file.append(raw)
        file.close()
    return place / "short", place / "long", chain.genesis_digest


def peak_kb(path: Path, digest: str, workers: int) -> int:
    command = [sys.executable, "-c", MEASURE, str(path), digest, str(workers)]
    return int(subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs the kernel's own measure, /proc")
@pytest.mark.parametrize("workers", [0, 2])
def test_ten_times_the_blocks_take_no_more_memory(files: tuple[Path, Path, str], workers: int) -> None:
    short, long, digest = files
    assert long.stat().st_size - short.stat().st_size > 3 * TOLERANCE_KB * 1000
    grown = peak_kb(long, digest, workers) - peak_kb(short, digest, workers)
    assert grown < TOLERANCE_KB


def test_an_id_is_known_as_it_is_spelled_and_nothing_else_is_taken_for_it() -> None:
    seen = SeenTransactions()
    given = ["ab" * 32, "no id", "AB" * 32, "cd" * 32 + " ", "00" * 32, ""]
    assert not any(one in seen for one in given)
    seen.update(given)
    assert all(one in seen for one in given)
    assert "cd" * 32 not in seen
    assert "00" * 31 not in seen
    assert bytes.fromhex("ab" * 32) not in seen


def test_two_ids_side_by_side_make_no_third() -> None:
    seen = SeenTransactions()
    first, second = "00" * 16 + "11" * 16, "0000" + "22" * 30
    seen.update([first, second])
    assert first in seen
    assert second in seen
    for shift in range(2, 64, 2):
        assert (first + second)[shift : shift + 64] not in seen
    overlapping = "00" * 32
    seen.update([overlapping])
    assert overlapping in seen
