"""A measured federation: five organizations in processes of their own, one task after the other, schemes in turns."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bfl_chaincode.api.records import THRESHOLD_SCHEME, TaskStatus
from bfl_fabric import wiring
from bfl_fabric.audit.source import read_copy
from bfl_fabric.cli.demo import DemoChoice
from bfl_fabric.cli.demo_data import DemoData, prepare_data
from bfl_fabric.network.children import Preload, ProcessSpec
from bfl_fabric.network.topology import LedgerKind, OrderingPlan, Topology, generated
from bfl_fabric.sdk import AsyncFederation, TaskTerms, connect_async
from bfl_fabric.sdk.local import LocalFederation
from tests.benchmarks.rounds import wide
from tests.benchmarks.rounds.moments import Moment, RoundTimes, moments, round_times
from tests.benchmarks.rounds.schemes import Kind, parameters_of

ROOT = Path(__file__).parents[3]
ORGANIZATIONS = 5
SILOS = 10
"""As many as `bfl demo --organizations 5` has."""

ENDOWMENT = 10_000_000
WARM_UP_ROUNDS = 4
"""After so many every member of the shared key has been among the first in a round with scores: its worker is warm."""

LOOK_SECONDS = 0.5
SEED = 1


@dataclass(frozen=True)
class Ledger:
    """What the federation stands on. A block is cut so long after its first transaction."""

    kind: LedgerKind = LedgerKind.EMBEDDED
    block_seconds: float = OrderingPlan().block_seconds

    @property
    def title(self) -> str:
        """What a table says of it, nothing for the usual one."""
        if self == EMBEDDED:
            return ""
        name = "real Fabric" if self.kind is LedgerKind.FABRIC else "embedded ledger"
        return f", {name}, blocks cut after {self.block_seconds:g} s"

    def under(self, topology: Topology) -> Topology:
        """Return the topology with this ledger."""
        ordering = topology.ordering.model_copy(update={"block_seconds": self.block_seconds})
        return topology.model_copy(update={"ledger": self.kind, "ordering": ordering})


EMBEDDED = Ledger()


@dataclass(frozen=True)
class Load:
    """What is trained: a data set with its own profile, or with some of it replaced."""

    word: str
    title: str
    data: str
    changes: Mapping[str, Any]


LOADS = (
    Load("breast-cancer", "Breast cancer, 530 parameters", "breast-cancer", {}),
    Load("digits", "Digits, 2,410 parameters", "digits", {}),
    Load(
        "wide",
        "Digits with a wide model, 994,570 parameters",
        "digits",
        {"architecture": wide.WIDE, "local_epochs": 1, "batch_size": 64},
    ),
)

Times = dict[str, list[RoundTimes]]
"""By the word of a kind: every measured round."""


class MeasuredFederation(LocalFederation):
    """A local federation whose processes are the benchmark's."""

    def _spec(self, name: str, arguments: tuple[str, ...], preload: Preload) -> ProcessSpec:
        spec = super()._spec(name, arguments, preload)
        command = ("-m", "tests.benchmarks.rounds.process", *spec.arguments)
        return replace(spec, arguments=command, program=Path(sys.executable), directory=ROOT)


async def measure(
    place: Path,
    load: Load,
    kinds: Sequence[Kind],
    turns: int,
    rounds: int,
    ledger: Ledger = EMBEDDED,
    silos: int = SILOS,
) -> Times:
    """Run so many rounds of each kind in each turn, in another order each time; the first of each task warm up."""
    topology = ledger.under(generated(ORGANIZATIONS, silos, THRESHOLD_SCHEME))
    wide.register()
    data = _data(place, load, silos)
    MeasuredFederation.create(place, topology)
    data.hand_out(place, topology)
    with MeasuredFederation(place) as processes:
        processes.start_all()
        await processes.ledger_ready()
        await processes.found(ENDOWMENT)
        async with connect_async(place) as client:
            for turn in range(turns):
                for kind in [*kinds[turn % len(kinds) :], *kinds[: turn % len(kinds)]]:
                    print(f"{load.word}: turn {turn + 1} of {turns}, {kind.word}", file=sys.stderr)
                    await _run(client, data, kind, f"{kind.word}-{turn + 1}", rounds + WARM_UP_ROUNDS, silos)
        copies = await wiring.fetch_blocks(place)
    found = list(moments(read_copy(copies[topology.organizations[0].msp_id])))
    return _times(found, kinds)


def _data(place: Path, load: Load, silos: int) -> DemoData:
    choice = DemoChoice(load.data, None, ORGANIZATIONS, silos, SEED, place, as_json=False)
    data = prepare_data(choice, generated(ORGANIZATIONS, silos))
    return replace(data, profile=replace(data.profile, **load.changes))


async def _run(
    client: AsyncFederation, data: DemoData, kind: Kind, task_id: str, rounds: int, silos: int
) -> None:
    profile = data.profile
    terms = TaskTerms(
        task_id=task_id,
        title=kind.word,
        rounds=rounds,
        upload_seconds=600,
        learning_rate=profile.learning_rate,
        momentum=profile.momentum,
        batch_size=profile.batch_size,
        local_epochs=profile.local_epochs,
        seed=SEED,
        clip=profile.clip,
        value_bits=profile.value_bits,
        max_total_weight=profile.max_total_weight,
        pool=1_000 * rounds,
        scheme=kind.scheme,
    )
    with parameters_of(kind, terms):
        task = await client.publish(terms, *data.describe(SEED))
    await task.start(silos)
    while (view := await task.view()).task.status is TaskStatus.RUNNING:
        await task.pause(LOOK_SECONDS)
    assert view.task.status is TaskStatus.CLOSED, view.task.reason


def _times(found: Sequence[Moment], kinds: Sequence[Kind]) -> Times:
    by_round: dict[tuple[str, int], list[Moment]] = defaultdict(list)
    for moment in found:
        if moment.round > WARM_UP_ROUNDS:
            by_round[moment.task_id, moment.round].append(moment)
    times: Times = {kind.word: [] for kind in kinds}
    for (task_id, _), of_round in by_round.items():
        times[task_id.rpartition("-")[0]].append(round_times(of_round))
    return times
