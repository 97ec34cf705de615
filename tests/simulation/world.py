"""A whole federation in one process: three organizations, their nodes, five silos, one ledger, one manual clock.

Each actor has what is durable (blobs, journal, secret keys) and a process, which is everything else; a crash
throws the process away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import (
    PACKED_SCHEME,
    THRESHOLD_SCHEME,
    CohortTerms,
    DataTerms,
    EncryptionTerms,
    IncentiveTerms,
    ModelTerms,
    NodeRole,
    RoleTerms,
    ScheduleTerms,
    TaskSpec,
    Tensor,
    TrainingTerms,
    VerificationTerms,
    to_json,
)
from bfl_fabric.domain.ports import Clock, Ledger, LedgerEvent, TransferCaller
from bfl_fabric.errors import BflError
from bfl_fabric.learning.arithmetic import ExactArithmetic
from bfl_fabric.roles.actions import Action, Role
from bfl_fabric.roles.admission import NodeAdmission
from bfl_fabric.roles.aggregator import AggregatorRole
from bfl_fabric.roles.coordinator import CoordinatorRole, Patience
from bfl_fabric.roles.fetching import Fetcher
from bfl_fabric.roles.key_holder import KeyHolderRole
from bfl_fabric.roles.participant import ParticipantRole
from bfl_fabric.roles.progress import ignore
from bfl_fabric.roles.proofs import KeyHolderAdmission
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.schemes import TaskSchemes, UploadChecks
from bfl_fabric.roles.verifier import VerifierRole
from bfl_fabric.roles.workbench import Identity, Ports, Workbench
from bfl_fabric.testing.clock import ManualClock, SkewedClock
from bfl_fabric.testing.compute import InlineCompute
from bfl_fabric.testing.contract import Member
from bfl_fabric.testing.crashing import CrashingBlobs, CrashingJournal, FaultyLedger
from bfl_fabric.testing.faults import Crashed, CrashSwitch, FaultPlan
from bfl_fabric.testing.network import FakeChannel, FakeNetwork, Server
from bfl_fabric.testing.scheme import SCHEME_NAME, plain_parameters_digest
from bfl_fabric.testing.storage import MemoryBlobStore, MemoryJournal
from bfl_fabric.testing.training import DigestEvaluator, UniqueTrainer, unique_parameter_count
from tests.simulation.watch import WatchedProvider

TASK = "unique"
ALPHA, BETA, GAMMA = "AlphaMSP", "BetaMSP", "GammaMSP"
ORGANIZATIONS = (ALPHA, BETA, GAMMA)
SILOS = {"silo-a1": ALPHA, "silo-a2": ALPHA, "silo-b1": BETA, "silo-b2": BETA, "silo-c1": GAMMA}
SAMPLES = {name: 11 + 17 * index for index, name in enumerate(SILOS)}
NODES = {
    "coordinator-a": (ALPHA, NodeRole.COORDINATOR),
    "verifier-a": (ALPHA, NodeRole.VERIFIER),
    "aggregator-b": (BETA, NodeRole.AGGREGATOR),
    "key-holder-c": (GAMMA, NodeRole.KEY_HOLDER),
    "verifier-c": (GAMMA, NodeRole.VERIFIER),
}
SHARE_NODES = {"key-holder-a": (ALPHA, NodeRole.KEY_HOLDER), "key-holder-b": (BETA, NodeRole.KEY_HOLDER)}
"""The further nodes of a task whose key every organization holds a share of."""

ACTORS = (*NODES, *SILOS)
THRESHOLD = 2
UPLOAD_SECONDS = 60
PATIENCE = Patience(stage_seconds=300, aborts_in_a_row=3)
VALUE_BITS, CLIP, MAX_TOTAL_WEIGHT = 20, "1", 1000
POOL, PER_ROUND = 9_001, 1_777


class Host(Protocol):
    """Where the contract runs; gives each member its connection."""

    def ledger(self, member: Member, clock: Clock) -> Ledger: ...

    def reliable_ledger(self, member: Member, clock: Clock) -> Ledger:
        """Return a connection that loses nothing, for whoever only watches."""

    def crash(self) -> None:
        """End the ledger's process and start it again with its files."""

    @property
    def history(self) -> Sequence[LedgerEvent]:
        """The events of all transactions so far."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What differs between the tasks of two simulations."""

    rounds: int = 3
    minimum: int = 3
    target: int = 0
    scheme: str = SCHEME_NAME
    parameters_digest: str = plain_parameters_digest(VALUE_BITS, CLIP, MAX_TOTAL_WEIGHT)

    @property
    def nodes(self) -> dict[str, tuple[str, NodeRole]]:
        """The organizations' nodes by name."""
        return {**NODES, **SHARE_NODES} if self.scheme == THRESHOLD_SCHEME else NODES

    @property
    def actors(self) -> tuple[str, ...]:
        """Everybody, in the order in which they act."""
        return (*self.nodes, *SILOS)


def task_spec(terms: Terms, initial_digest: str) -> TaskSpec:
    count, shared = unique_parameter_count(tuple(SILOS)), terms.scheme == THRESHOLD_SCHEME
    return TaskSpec(
        task_id=TASK,
        title="Unique measurements",
        purpose="every sum shows who is in it, and how often",
        model=ModelTerms("flat", (Tensor("w", (count,)),), count, initial_digest),
        training=TrainingTerms("0.1", "0", 1, 1, 7),
        data=DataTerms(hashlib.sha256(b"schema").hexdigest(), 1),
        schedule=ScheduleTerms(terms.rounds, UPLOAD_SECONDS),
        cohort=CohortTerms(terms.minimum, terms.target),
        roles=RoleTerms(ALPHA, BETA, "", ORGANIZATIONS) if shared else RoleTerms(ALPHA, BETA, GAMMA),
        encryption=EncryptionTerms(
            terms.scheme,
            terms.parameters_digest,
            VALUE_BITS,
            CLIP,
            MAX_TOTAL_WEIGHT,
            THRESHOLD if shared else 0,
        ),
        verification=VerificationTerms(attestations=2, receipts=2),
        incentive=IncentiveTerms(POOL, PER_ROUND, 250_000_000, 3, 900_000_000),
    )


@dataclass(frozen=True, slots=True)
class Process:
    """What a crash destroys."""

    role: Role
    bench: Workbench


@dataclass(slots=True)
class Actor:
    """One participant or node."""

    name: str
    msp_id: str
    node_role: NodeRole
    address: str
    blobs: MemoryBlobStore
    journal: MemoryJournal
    keys: Path
    clock: SkewedClock
    faults: FaultPlan
    switch: CrashSwitch
    process: Process | None = None
    surveyed: list[Action] = field(default_factory=list)
    silent_in_round: int = 0

    @property
    def member(self) -> Member:
        return Member(self.msp_id, self.name, "client", self.node_role.value)


class World:
    """The federation and what happened in it so far."""

    def __init__(self, clock: ManualClock, host: Host, folder: Path, seed: int, terms: Terms) -> None:
        self.clock = clock
        self.host = host
        self.terms = terms
        self.folder = folder
        self.network = FakeNetwork(self.clock, folder)
        self.provider = WatchedProvider(f"simulation {seed}")
        self.actors = {name: self._actor(name, index) for index, name in enumerate(terms.actors)}
        self.reader = LedgerReader(self.ledger(Member(ALPHA, "reader")))

    def ledger(self, member: Member) -> Ledger:
        """Return a connection of somebody who is no actor."""
        return self.host.reliable_ledger(member, self.clock)

    def history(self) -> list[tuple[str, str, int]]:
        """Return (transaction, task, round) of everything that was committed."""
        return [(event.name, event.event.task, event.event.round) for event in self.host.history]

    def _actor(self, name: str, index: int) -> Actor:
        msp_id, role = self.terms.nodes.get(name) or (SILOS[name], NodeRole.PARTICIPANT)
        folder = self.folder / name
        (folder / "keys").mkdir(parents=True)
        return Actor(
            name=name,
            msp_id=msp_id,
            node_role=role,
            address=f"127.0.0.1:{7000 + index}",
            blobs=MemoryBlobStore(folder),
            journal=MemoryJournal(),
            keys=folder / "keys",
            clock=SkewedClock(self.clock),
            faults=FaultPlan(),
            switch=CrashSwitch(name),
        )

    # --- processes ------------------------------------------------------------------------------

    def start(self, actor: Actor) -> None:
        """Start the actor's process with nothing but what is durable."""
        ledger = self.host.ledger(actor.member, actor.clock)
        caller = TransferCaller(actor.msp_id, actor.name)
        blobs = CrashingBlobs(actor.blobs, actor.switch)
        ports = Ports(
            FaultyLedger(ledger, actor.clock, actor.faults, actor.switch),
            actor.clock,
            blobs,
            FakeChannel(self.network, caller, actor.faults),
            CrashingJournal(actor.journal, actor.switch),
            self.provider,
            ExactArithmetic(),
        )
        bench = Workbench(Identity(actor.msp_id, actor.name), ports, InlineCompute(), ignore)
        schemes = TaskSchemes(bench, Fetcher(bench, LedgerReader(ports.ledger)))
        checks = UploadChecks(bench, schemes)
        actor.process = Process(self._role(actor, bench, schemes, checks), bench)
        if actor.node_role is not NodeRole.PARTICIPANT:
            kind = KeyHolderAdmission if actor.node_role is NodeRole.KEY_HOLDER else NodeAdmission
            admission = kind(bench, checks, actor.node_role)
            self.network.listen(actor.address, Server(actor.msp_id, admission, blobs))

    def _role(self, actor: Actor, bench: Workbench, schemes: TaskSchemes, checks: UploadChecks) -> Role:
        match actor.node_role:
            case NodeRole.COORDINATOR:
                return CoordinatorRole(bench, DigestEvaluator(), PATIENCE)
            case NodeRole.AGGREGATOR:
                return AggregatorRole(bench, checks, schemes)
            case NodeRole.VERIFIER:
                return VerifierRole(bench, checks, schemes)
            case NodeRole.KEY_HOLDER:
                return KeyHolderRole(bench, schemes, actor.keys)
            case _:
                trainer = UniqueTrainer(tuple(SILOS), actor.name, SAMPLES[actor.name])
                return ParticipantRole(
                    bench, trainer, lambda spec: spec.task_id == TASK, actor.keys, joins=True
                )

    def stop(self, actor: Actor) -> None:
        """Throw the process away."""
        actor.process = None
        actor.surveyed = []
        actor.switch.disarm()
        self.network.hang_up(actor.address)

    def bury(self) -> list[str]:
        """Stop the servers that crashed while others called them; return their names."""
        names = list(self.network.died)
        self.network.died.clear()
        for name in names:
            self.stop(self.actors[name])
        return names

    async def step(self, actor: Actor, pick: int, *, fresh: bool = True) -> str:
        """Let the actor do one due thing, of a new survey or of an old one; return what came of it."""
        if actor.process is None:
            return "down"
        try:
            return await self._step(actor, actor.process.role, pick, fresh)
        except Crashed:
            self.stop(actor)
            return "crashed"

    async def _step(self, actor: Actor, role: Role, pick: int, fresh: bool) -> str:
        if fresh or not actor.surveyed:
            try:
                actor.surveyed = await role.survey()
            except BflError as error:
                return f"survey failed: {type(error).__name__}"
        due = [
            action for action in actor.surveyed if action.round != actor.silent_in_round or not action.round
        ]
        if not due:
            return "nothing due"
        action = due[pick % len(due)]
        actor.surveyed = [other for other in actor.surveyed if other != action]
        try:
            await role.perform(action)
        except BflError as error:
            return f"{action.label}: {type(error).__name__}: {error}"
        return f"{action.label}: done"

    # --- the beginning --------------------------------------------------------------------------

    async def begin(self) -> None:
        """Found the federation, publish and fund the task, make its key, register everybody, start."""
        await self.publish()
        for actor in self.actors.values():
            self.start(actor)
        while not await self.is_ready():
            for actor in self.actors.values():
                while await self.step(actor, 0) != "nothing due":
                    continue
        await self.ledger(self.actors["coordinator-a"].member).submit("task:Start", {"task_id": TASK})

    async def publish(self) -> None:
        """Found the federation, publish and fund the task."""
        await self._found()
        spec = task_spec(self.terms, self._initial_model())
        coordinator = self.ledger(self.actors["coordinator-a"].member)
        admin = self.ledger(Member(ALPHA, "admin-a", "admin"))
        await coordinator.submit("task:Create", {"spec": to_json(spec)})
        await coordinator.submit("task:Publish", {"task_id": TASK})
        await admin.submit("reward:Mint", {"msp_id": ALPHA, "amount": POOL, "reference": "a grant"})
        await admin.submit("reward:Fund", {"task_id": TASK, "amount": POOL, "reference": "the pool"})

    async def is_ready(self) -> bool:
        """Say whether the task can start: everybody is registered and has the key that it needs."""
        view = await self.reader.current(TASK)
        granted = len(SILOS) if self.terms.scheme == PACKED_SCHEME else 0
        return (
            view.key_epoch is not None
            and len(view.registrations) == len(SILOS)
            and len(view.grants) == granted
        )

    async def _found(self) -> None:
        organizations: list[Json] = [
            {"msp_id": msp_id, "name": msp_id, "region": "eu"} for msp_id in ORGANIZATIONS
        ]
        request: dict[str, Json] = {"federation_id": "fed", "name": "Fed", "organizations": organizations}
        await self.ledger(Member(ALPHA, "admin-a", "admin")).submit("federation:Found", request)
        for name, msp_id in SILOS.items():
            admin = self.ledger(Member(msp_id, f"admin-{msp_id[0].lower()}", "admin"))
            await admin.submit("federation:EnrolParticipant", {"participant_id": name})
        for name, (_, role) in self.terms.nodes.items():
            actor = self.actors[name]
            announcement: dict[str, Json] = {"role": role.value, "node_id": name, "address": actor.address}
            await self.ledger(actor.member).submit("federation:AnnounceNode", announcement)

    def _initial_model(self) -> str:
        count = unique_parameter_count(tuple(SILOS))
        initial = np.linspace(-0.5, 0.5, count, dtype=np.float32)
        return self.actors["coordinator-a"].blobs.put(ExactArithmetic().pack_model(initial))
