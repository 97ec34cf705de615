"""Recorded transactions come out the same in processes with other hash seeds, locales, time zones and clocks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bfl_fabric.embedded.blockfile import read_blocks
from bfl_fabric.embedded.reexecute import reexecute
from tests.conformance.probe import Probe, unique
from tests.conformance.probe_contract import ProbeContract
from tests.conformance.recorded_rounds import record_two_rounds

ROOT = Path(__file__).parents[2]
SHIFTED_CLOCK = """
import sys, time
shift = float(sys.argv[1])
for name, unit in (("time", 1), ("monotonic", 1), ("time_ns", 10**9), ("monotonic_ns", 10**9)):
    original = getattr(time, name)
    setattr(time, name, lambda original=original, unit=unit: original() + type(original())(shift * unit))
from bfl_fabric.embedded.reexecute import main
sys.exit(main(sys.argv[2:]))
"""
# Python 3.11 cannot start from a folder with a name beyond ASCII in the plain C locale: it reads its own .pth files
# in the locale's encoding.
PLAIN = "C" if str(ROOT).isascii() else "C.UTF-8"
# A locale that is not installed is the plain C locale.
TURKISH = {"LC_ALL": "tr_TR.UTF-8"} | ({} if str(ROOT).isascii() else {"PYTHONUTF8": "1"})
SURROUNDINGS = {
    "seed 0": ({"PYTHONHASHSEED": "0"}, "0"),
    "seed 1, C, Tokyo, a year ago": (
        {"PYTHONHASHSEED": "1", "LC_ALL": PLAIN, "TZ": "Asia/Tokyo", "PYTHONOPTIMIZE": "1"},
        "-31536000",
    ),
    "seed 4711, Turkish, Chatham, in ten years": (
        {"PYTHONHASHSEED": "4711", **TURKISH, "TZ": "Pacific/Chatham"},
        "315360000",
    ),
}


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recorded") / "ledger"
    record_two_rounds(directory)
    return directory / "blocks.bin"


def run_again(blocks: Path, surroundings: str) -> list[str]:
    environment, shift = SURROUNDINGS[surroundings]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "chaincode")])
    finished = subprocess.run(
        [sys.executable, "-c", SHIFTED_CLOCK, shift, str(blocks)],
        env={**environment, "PATH": os.environ["PATH"], "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr or finished.stdout
    return finished.stdout.splitlines()


def test_every_recorded_transaction_is_the_same_in_every_surroundings(recording: Path) -> None:
    first, *others = (run_again(recording, name) for name in SURROUNDINGS)
    assert len(first) > 50
    assert all(line.endswith(" same") for line in first)
    assert all(other == first for other in others)
    functions = {line.split()[1] for line in first}
    assert {"round:CommitUpdate", "round:PostScores", "reward:Settle", "task:Close"} <= functions


def test_what_the_probe_contract_did_comes_out_the_same_again(probe: Probe) -> None:
    key = unique("again")
    probe.submit("put", key, "a")
    probe.submit("append", key, "b")
    probe.submit("range_then_put", key, key + "~", unique("count"))
    submitted = probe.submit("history", key)
    executions = {one.transaction_id: one for one in reexecute(probe.blocks(), ProbeContract)}
    assert executions[submitted.transaction_id].function == "history"
    assert [one for one in executions.values() if not one.is_same] == []


class ChangedContract(ProbeContract):
    async def do_append(self, stub, key, value):  # type: ignore[no-untyped-def]
        return await super().do_append(stub, key, value + "!")


def test_a_contract_that_decides_otherwise_is_found(probe: Probe) -> None:
    submitted = probe.submit("append", unique("other"), "x")
    different = {one.transaction_id for one in reexecute(probe.blocks(), ChangedContract) if not one.is_same}
    assert submitted.transaction_id in different


def test_the_recorded_file_is_what_is_run(recording: Path) -> None:
    assert len(list(read_blocks(recording))) > 50
