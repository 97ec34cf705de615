"""What can happen in a simulation, and how a seed becomes a list of it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from bfl_fabric.testing.faults import Fault
from bfl_fabric.testing.scheme import SCHEME_NAME
from tests.simulation.world import SILOS, Terms


@dataclass(frozen=True, slots=True)
class Step:
    """An actor does one due thing; `fresh` reads the ledger first, otherwise what it read earlier holds."""

    actor: str
    pick: int
    fresh: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Time passes."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Meet:
    """The actor's next transfer or transaction meets this fault."""

    actor: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class DieAt:
    """The actor's process dies at its `steps`-th persisted step from now, before or after the effect."""

    actor: str
    steps: int
    after_effect: bool


@dataclass(frozen=True, slots=True)
class Kill:
    """The actor's process dies now."""

    actor: str


@dataclass(frozen=True, slots=True)
class Restart:
    """The actor's process is started again, if it is down."""

    actor: str


@dataclass(frozen=True, slots=True)
class Skew:
    """The actor's wall clock is wrong by so much from now on."""

    actor: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Silence:
    """A silo does nothing more in the current round."""

    actor: str


@dataclass(frozen=True, slots=True)
class Deliver:
    """Somebody delivers an update again that was delivered before, as `caller`, to any node."""

    pick: int
    caller: str
    node: str


@dataclass(frozen=True, slots=True)
class Snoop:
    """An actor asks a node for a ciphertext or an aggregate, whatever the rules of the door say."""

    actor: str
    pick: int
    node: str


@dataclass(frozen=True, slots=True)
class CrashLedger:
    """The ledger's process dies and is started again with its files."""


Operation = Snoop | CrashLedger | Step | Wait | Meet | DieAt | Kill | Restart | Skew | Silence | Deliver

WEIGHTS = {
    Step: 800,
    Wait: 30,
    Meet: 60,
    DieAt: 40,
    Kill: 6,
    Restart: 40,
    Skew: 8,
    Silence: 6,
    Deliver: 20,
    CrashLedger: 5,
    Snoop: 20,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A simulation: the task's terms and the operations in order."""

    seed: int
    terms: Terms
    operations: tuple[Operation, ...]


def plan(seed: int, shortest: int = 40, longest: int = 260, scheme: str = SCHEME_NAME) -> Plan:
    """Return the plan of a seed; the same for ever as long as this module stays as it is."""
    draw = random.Random(seed)
    rounds, minimum, target = draw.choice((2, 3)), draw.choice((2, 3)), draw.choice((0, 0, 4))
    terms = Terms(rounds, minimum, target, scheme)
    count = draw.randint(shortest, longest)
    kinds = draw.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count)
    return Plan(seed, terms, tuple(_operation(kind, draw, terms) for kind in kinds))


def _operation(kind: type, draw: random.Random, terms: Terms) -> Operation:
    actor = draw.choice(terms.actors)
    if kind is Step:
        return Step(actor, draw.randrange(12), draw.random() < 0.7)
    if kind is Wait:
        return Wait(draw.choice((1, 5, 20, 61)))
    if kind is Meet:
        return Meet(actor, draw.choice(list(Fault)))
    if kind is DieAt:
        return DieAt(actor, draw.randint(1, 4), draw.random() < 0.5)
    if kind is Kill:
        return Kill(actor)
    if kind is Restart:
        return Restart(actor)
    if kind is Skew:
        return Skew(actor, draw.choice((-20, -3, 0, 3, 20)))
    if kind is Snoop:
        return Snoop(actor, draw.randrange(1000), draw.choice(list(terms.nodes)))
    if kind is CrashLedger:
        return CrashLedger()
    if kind is Silence:
        return Silence(draw.choice(list(SILOS)))
    return Deliver(draw.randrange(1000), draw.choice(terms.actors), draw.choice(list(terms.nodes)))
