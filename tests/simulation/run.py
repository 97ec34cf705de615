"""Plays simulations by seed: `python -m tests.simulation.run --seed 42`, or `--from 0 --count 10000`."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bfl_chaincode.api.records import Phase, RoundView, TaskStatus
from bfl_fabric.testing.clock import ManualClock
from bfl_fabric.testing.contract import ContractHost
from bfl_fabric.testing.embedded import EmbeddedHost
from bfl_fabric.testing.scheme import SCHEME_NAME
from tests.simulation.invariants import check
from tests.simulation.operations import Plan, plan
from tests.simulation.simulation import Deliverers, Simulation, Stage
from tests.simulation.world import ORGANIZATIONS


@dataclass(frozen=True, slots=True)
class Played:
    """A simulation that ended with all invariants holding."""

    simulation: Simulation
    status: TaskStatus
    rounds: list[RoundView]

    @property
    def deliverers(self) -> dict[int, frozenset[str]]:
        """Whose updates counted in each round; aborted rounds have no entry."""
        settled = [view.round for view in self.rounds if view.round and view.round.phase is Phase.SETTLED]
        return {round_.number: frozenset(round_.members) for round_ in settled}

    @property
    def models(self) -> dict[int, str]:
        """The digest of each round's model."""
        return {view.round.number: view.round.model_digest for view in self.rounds if view.round}

    @property
    def chain(self) -> list[tuple[object, ...]]:
        """Everything that the ledger holds of the rounds but times and transaction ids."""
        return [
            (
                view.round.number,
                view.round.phase,
                view.round.members,
                tuple(update.digest for update in view.updates),
                view.round.aggregate_digest,
                view.round.scores_digest,
                view.round.sum_digest,
                view.round.model_digest,
                view.settlement and view.settlement.payouts,
            )
            for view in self.rounds
            if view.round
        ]


@contextmanager
def contract_stage() -> Iterator[Stage]:
    """The contract in memory: fast."""
    with tempfile.TemporaryDirectory(prefix="bfl-simulation-") as folder:
        yield Stage(ManualClock(), ContractHost(), Path(folder))


@contextmanager
def embedded_stage(chosen: Plan) -> Iterator[Stage]:
    """The embedded ledger in a directory; its chain is verified at the end. Its gateway loses calls, unless the plan
    is one in which nothing goes wrong."""
    with tempfile.TemporaryDirectory(prefix="bfl-simulation-") as folder:
        clock = ManualClock()
        losses = random.Random(chosen.seed) if chosen.operations else None
        host = EmbeddedHost(Path(folder) / "ledger", ORGANIZATIONS, clock, losses)
        try:
            yield Stage(clock, host, Path(folder))
            assert host.verify().transactions >= len(host.history)
        finally:
            host.close()


def play(chosen: Plan, *, embedded: bool = False, deliverers: Deliverers | None = None) -> Played:
    """Play a plan and check its end. Raises AssertionError with the seed in its message."""
    with embedded_stage(chosen) if embedded else contract_stage() as stage:
        simulation = Simulation.create(chosen, stage, deliverers)

        async def whole() -> Played:
            last = await simulation.play()
            return Played(simulation, last.task.status, await check(simulation, last))

        try:
            return asyncio.run(whole())
        except Exception as error:
            where = " --embedded" if embedded else ""
            again = (
                f"python -m tests.simulation.run --seed {chosen.seed} --scheme {chosen.terms.scheme}{where}"
            )
            trace = "\n".join(simulation.trace)
            raise AssertionError(f"seed {chosen.seed} ({again}): {error!r}\n{trace}") from error


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.run", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one and print every operation")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed of many")
    parser.add_argument("--count", type=int, default=1000, help="how many seeds")
    parser.add_argument("--scheme", default=SCHEME_NAME, help="or threshold, or packed")
    parser.add_argument("--embedded", action="store_true", help="on the embedded ledger; ten times slower")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        played = play(plan(chosen.seed, scheme=chosen.scheme), embedded=chosen.embedded)
        print("\n".join([*played.simulation.trace, *map(str, played.chain)]))
        return 0
    return _play_many(
        range(chosen.first, chosen.first + chosen.count), chosen.scheme, embedded=chosen.embedded
    )


def _play_many(seeds: range, scheme: str, *, embedded: bool) -> int:
    started, failed, closed = time.monotonic(), 0, 0
    for seed in seeds:
        try:
            closed += play(plan(seed, scheme=scheme), embedded=embedded).status is TaskStatus.CLOSED
        except AssertionError:
            failed += 1
            traceback.print_exc()
    seconds = time.monotonic() - started
    rate = len(seeds) / seconds
    print(f"{len(seeds)} seeds, {failed} failed, {closed} tasks closed, {rate:.1f} seeds per second")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
