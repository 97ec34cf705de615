"""Real processes: killed with -9 while they commit under load, and left without room on the disk."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bfl_fabric
from bfl_fabric.clock import SystemClock
from bfl_fabric.embedded.ledger import EmbeddedLedger
from bfl_fabric.fabric.envelopes import ValidationCode
from tests.conformance.federation import CHAINCODE, Federation, found
from tests.conformance.probe_contract import ProbeContract
from tests.unit.embedded.workbench import verify

ROOT = Path(bfl_fabric.__file__).parents[1]
KILLS = 4


@pytest.fixture
def site(tmp_path: Path) -> tuple[Path, Path, Federation]:
    """The directory of a ledger, the file with its federation, and the federation."""
    federation = found()
    directory, saved = tmp_path / "ledger", tmp_path / "federation.json"
    EmbeddedLedger.create(
        directory,
        federation.genesis,
        federation.peers,
        federation.orderer,
        CHAINCODE,
        ProbeContract,
        SystemClock(),
        administrator=federation.clients[0],
    ).close()
    federation.save(saved)
    return directory, saved, federation


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.unit.embedded.committing_process", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "chaincode")])},
    )


def acknowledged_until_killed(process: subprocess.Popen[str], seconds: float) -> list[str]:
    """Let it work for so long, kill it with -9, and return what it had acknowledged."""
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n", process.communicate()[1]
    time.sleep(seconds)
    process.kill()
    output, _ = process.communicate(timeout=10)
    lines = output.splitlines(keepends=True)
    return [line.strip() for line in lines if line.endswith("\n")]


def test_kill_9_under_load_loses_nothing_that_was_acknowledged(
    site: tuple[Path, Path, Federation],
) -> None:
    directory, saved, federation = site
    seed = random.randrange(1 << 32)
    moments = random.Random(seed)
    acknowledged: list[str] = []
    for _ in range(KILLS):
        process = start("load", str(directory), str(saved))
        acknowledged += acknowledged_until_killed(process, moments.uniform(0.05, 0.9))
    ledger = EmbeddedLedger.open(
        directory, federation.peers, federation.orderer, ProbeContract, SystemClock()
    )
    try:
        places = [ledger.transaction_status(transaction) for transaction in acknowledged]
        assert acknowledged, f"seed {seed}"
        assert {place and place.code for place in places} == {ValidationCode.VALID}, f"seed {seed}"
        blocks = [ledger.raw_block(number) for number in range(ledger.height)]
        counts = verify(blocks, ledger.genesis_digest).counts
        assert counts.transactions >= len(acknowledged)
    finally:
        ledger.close()


@pytest.mark.parametrize("room", [1_000, 60_000])
def test_a_full_disk_loses_nothing_and_the_ledger_goes_on_when_there_is_room(
    site: tuple[Path, Path, Federation], room: int
) -> None:
    directory, saved, federation = site
    process = start("full", str(directory), str(saved), str(room))
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    lines = output.splitlines()
    (problem,) = [line for line in lines if line.startswith("full: ")]
    assert "no room to write" in problem
    assert lines[-1] == "closed"
    committed = [line for line in lines if not line.startswith("full: ")][:-1]
    ledger = EmbeddedLedger.open(
        directory, federation.peers, federation.orderer, ProbeContract, SystemClock()
    )
    try:
        assert all(ledger.transaction_status(transaction) for transaction in committed)
        blocks = [ledger.raw_block(number) for number in range(ledger.height)]
        assert verify(blocks, ledger.genesis_digest).counts.by_code["VALID"] == len(committed) + 2
    finally:
        ledger.close()
