"""Plays simulations by seed: `python -m tests.simulation.run --seed 42`, or `--from 0 --count 10000`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import traceback
from pathlib import Path

from bfl_fabric.testing.contract import ContractHost
from tests.simulation.invariants import check
from tests.simulation.operations import Plan, plan
from tests.simulation.simulation import Simulation


def play(chosen: Plan) -> Simulation:
    """Play a plan and check its end. Raises AssertionError with the seed in its message."""
    with tempfile.TemporaryDirectory() as folder:
        simulation = Simulation.create(chosen, ContractHost(), Path(folder))

        async def whole() -> None:
            await check(simulation.world, await simulation.play())

        try:
            asyncio.run(whole())
        except Exception as error:
            again = f"python -m tests.simulation.run --seed {chosen.seed}"
            trace = "\n".join(simulation.trace)
            raise AssertionError(f"seed {chosen.seed} ({again}): {error!r}\n{trace}") from error
    return simulation


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.run", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one and print every operation")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed of many")
    parser.add_argument("--count", type=int, default=1000, help="how many seeds")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        print("\n".join(play(plan(chosen.seed)).trace))
        return 0
    return _play_many(range(chosen.first, chosen.first + chosen.count))


def _play_many(seeds: range) -> int:
    started, failed = time.monotonic(), 0
    for seed in seeds:
        try:
            play(plan(seed))
        except AssertionError:
            failed += 1
            traceback.print_exc()
    seconds = time.monotonic() - started
    print(f"{len(seeds)} seeds, {failed} failed, {len(seeds) / seconds:.1f} per second")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
