"""A deliberate break of what meets real networks is noticed by a replay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.replay.mutations import MUTATIONS
from tests.replay.performances import perform

ROOT = Path(__file__).parents[2]
WORKERS = 2
pytestmark = pytest.mark.slow


def test_there_are_enough_breaks_and_none_stands_twice() -> None:
    assert len(MUTATIONS) >= 60
    assert len({(item.module, item.old, item.new, item.performance) for item in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.parametrize("performance", sorted({item.performance for item in MUTATIONS}))
def test_what_a_break_turns_red_is_green_without_it(performance: str) -> None:
    perform(performance)


@pytest.mark.timeout(600)
def test_every_break_turns_a_replay_red() -> None:
    command = [sys.executable, "-m", "tests.replay.mutation_worker"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    workers = [
        subprocess.Popen(
            [*command, str(first), str(WORKERS)], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment
        )
        for first in range(WORKERS)
    ]
    results = [json.loads(line) for worker in workers for line in worker.communicate()[0].splitlines()]
    assert len(results) == len(MUTATIONS), "a worker ended early"
    missed = [
        f"{item['result']}: {item['performance']}: {item['name']}"
        for item in results
        if item["result"] != "caught"
    ]
    assert not missed, "\n".join(missed)
