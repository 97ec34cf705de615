"""kill -9 of every kind of process at random moments changes nothing: the models are the same, bit for bit."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from bfl_fabric.errors import BflError
from bfl_fabric.sdk import AsyncTask
from bfl_fabric.sdk.local import LocalFederation
from tests.system.federations import Plan, run_federation

KILLS = 20
PLAN = Plan(rounds=8)
SEED = 20261121


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_kills_of_every_process_kind_leave_every_model_the_same(tmp_path: Path) -> None:
    undisturbed = [record.digest for record in run_federation(tmp_path / "calm", PLAN)]
    killed: list[str] = []

    async def kill_again_and_again(federation: LocalFederation, task: AsyncTask) -> None:
        chosen = random.Random(SEED)
        kinds = ["ledger", "coordinator", "aggregator", "verifier", "key-holder", "silo"]
        for number in range(KILLS):
            kind = kinds[number % len(kinds)]
            names = sorted(federation.process_ids())
            fitting = [
                name
                for name in names
                if name.startswith(kind)
                or (
                    kind == "silo"
                    and not name.startswith(("ledger", "coordinator", "aggregator", "verifier", "key"))
                )
            ]
            name = chosen.choice(fitting)
            await asyncio.sleep(chosen.uniform(0.2, 1.5))
            federation.kill(name)
            killed.append(name)
            # On a machine this fast rounds end quickly: kills must fall into running rounds, not after the task.
            try:
                if (await task.view()).task.status != "RUNNING":
                    break
            except BflError:
                continue

    disturbed = [record.digest for record in run_federation(tmp_path / "kills", PLAN, kill_again_and_again)]
    assert disturbed == undisturbed
    assert len(killed) == KILLS, f"the task ended after {len(killed)} kills: {killed}"
