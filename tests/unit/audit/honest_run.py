"""A small run through the real contract with real blobs, and the means to lie about any part of it.

The contract runs in memory; ciphertexts are of the scheme without secrecy; sums, models and directions are exact. A
lie is a record rewritten after the contract wrote it, as endorsers with another contract could have written it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import TaskSpec, from_json, to_json
from bfl_chaincode.shim.stub import Creator
from bfl_fabric.audit.blobs import DirectoryFinder
from bfl_fabric.audit.findings import Findings
from bfl_fabric.audit.history import History
from bfl_fabric.audit.layout import LAYOUT, Writes, type_of, types_of
from bfl_fabric.audit.requests import check_request
from bfl_fabric.audit.transactions import Sender, Transaction
from bfl_fabric.audit.verify import LEDGER_CHECKS, check_history
from bfl_fabric.domain.ports import UpdateName
from bfl_fabric.fabric.identity import Identity
from bfl_fabric.learning.arithmetic import ExactArithmetic
from bfl_fabric.testing.scheme import SCHEME_NAME, PlainProvider, plain_parameters_digest
from tests.chaincode.identities import creator
from tests.chaincode.memory_stub import MemoryLedger, Simulation
from tests.chaincode.scenario import AGGREGATOR, COORDINATOR, KEY_HOLDER, MORNING, SAMPLES, SILOS, TASK, spec

PARAMETERS = 12
ARITHMETIC = ExactArithmetic()
PER_BLOCK = 3


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def admin(msp_id: str) -> Creator:
    return creator(msp_id, "admin", "admin")


def node(msp_id: str, role: str) -> Creator:
    return creator(msp_id, f"{msp_id[:-3].lower()}-{role}", "client", role)


def silo(name: str) -> Creator:
    return creator(SILOS[name], name, "client", "participant")


class HonestRun:
    """Walks a task to its end; every step leaves its blobs in `store`."""

    organizations: tuple[str, ...] = ("AlphaMSP", "BetaMSP", "GammaMSP")
    releaser = KEY_HOLDER

    def __init__(self, store: Path, **changes: Any) -> None:
        self.store = store
        self.ledger = MemoryLedger()
        self.provider: Any = PlainProvider("audit")
        self.epoch = 1
        self.now = MORNING
        self.number = 0
        self.model = np.linspace(-1, 1, PARAMETERS, dtype=np.float32)
        self.direction: Any = None
        self.opener: Any = None
        self.uploads: dict[tuple[int, str], str] = {}
        self.spec: TaskSpec = from_json(TaskSpec, spec(**{**self._changes(), **changes}))

    def _changes(self) -> dict[str, Any]:
        return {
            "model__initial_digest": self.put(ARITHMETIC.pack_model(self.model)),
            "incentive__pool": 2500,
            "encryption__scheme": SCHEME_NAME,
            "encryption__parameters_digest": plain_parameters_digest(16, "0.25", 1000),
        }

    def put(self, data: bytes) -> str:
        digest = sha256(data)
        place = self.path(digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        return digest

    def path(self, digest: str) -> Path:
        return self.store / "blobs" / digest[:2] / digest

    def submit(self, who: Creator, transaction: str, **request: Any) -> Any:
        self.now += 1000
        return self.ledger.submit(who, transaction, request, self.now)

    def ask(self, transaction: str, **request: Any) -> Any:
        """Ask for something about the task."""
        return self.ledger.evaluate(admin(COORDINATOR), transaction, {"task_id": TASK, **request}, self.now)

    # --- before the rounds ----------------------------------------------------------------------

    def begin(self) -> None:
        organizations = [{"msp_id": name, "name": name, "region": "EU"} for name in self.organizations]
        self.submit(
            admin("AlphaMSP"),
            "federation:Found",
            federation_id="hospitals",
            name="Hospitals",
            organizations=organizations,
        )
        for name, msp_id in SILOS.items():
            self.submit(admin(msp_id), "federation:EnrolParticipant", participant_id=name)
        for msp_id, role in (
            ("AlphaMSP", "coordinator"),
            ("BetaMSP", "aggregator"),
            ("GammaMSP", "key-holder"),
        ):
            who = node(msp_id, role)
            name = f"{msp_id[:-3].lower()}-{role}"
            self.submit(who, "federation:AnnounceNode", role=role, node_id=name, address="127.0.0.1:7000")
        coordinator = node(COORDINATOR, "coordinator")
        self.submit(coordinator, "task:Create", spec=to_json(self.spec))
        self.submit(coordinator, "task:Publish", task_id=TASK)
        for name in SAMPLES:
            self._register(name)
        self.submit(silo("alpha-2"), "task:Withdraw", task_id=TASK)
        self._register("alpha-2")
        self._open_key()
        self.submit(admin(COORDINATOR), "reward:Mint", msp_id=COORDINATOR, amount=5000, reference="grant")
        self.submit(
            coordinator, "reward:Fund", task_id=TASK, amount=self.spec.incentive.pool, reference="pool"
        )
        self.submit(coordinator, "task:Start", task_id=TASK)

    def _register(self, name: str, **more: Any) -> None:
        self.submit(silo(name), "task:Register", task_id=TASK, samples=SAMPLES[name], **more)

    def _open_key(self) -> None:
        self.secret = self.store / "secret"
        blob = self.provider.create_key(self.spec.encryption, 1, self.secret)
        self.scheme = self.provider.public(self.spec.encryption, blob)
        self.opener = self.provider.secret(self.spec.encryption, blob, self.secret)
        self.submit(
            node(KEY_HOLDER, "key-holder"),
            "key:OpenEpoch",
            task_id=TASK,
            epoch=1,
            parameters_digest=self.scheme.parameters_digest,
            public_key_digest=self.put(blob),
            public_key_bytes=len(blob),
        )

    # --- a round --------------------------------------------------------------------------------

    def in_round(self, who: Creator, transaction: str, **request: Any) -> Any:
        return self.submit(who, transaction, task_id=TASK, round=self.number, **request)

    def collect(self, *missing: str) -> tuple[str, ...]:
        """Open a round and deliver everybody's update but those of `missing`; seal it."""
        opened = self.submit(node(COORDINATOR, "coordinator"), "round:Open", task_id=TASK)
        self.number = opened["number"]
        for name in opened["cohort"]:
            self._commit(name, delivers=name not in missing)
        if missing:
            self.now += 3_600_000
        sealed = self.in_round(node("AlphaMSP", "verifier"), "round:Seal")
        return tuple(sealed["members"])

    def _commit(self, name: str, *, delivers: bool) -> None:
        source = np.random.default_rng([self.number, *name.encode()])
        delta = source.normal(0.05, 0.05, PARAMETERS).astype(np.float32)
        values = ARITHMETIC.quantize(self.spec.encryption, delta, SAMPLES[name])
        update = UpdateName(TASK, self.number, name)
        wire = self.scheme.encrypt(update, self.epoch, SAMPLES[name], values)
        digest = self.put(wire) if delivers else sha256(wire)
        self.uploads[self.number, name] = digest
        committed = {"digest": digest, "size_bytes": len(wire), "weight": SAMPLES[name]}
        self.in_round(silo(name), "round:CommitUpdate", **committed, **self._beside(name, wire))
        for msp_id, role in (("BetaMSP", "aggregator"), ("AlphaMSP", "verifier")) if delivers else ():
            who = node(msp_id, role)
            self.in_round(
                who, "round:AcknowledgeUploads", uploads=[{"participant_id": name, "digest": digest}]
            )

    def _beside(self, name: str, wire: bytes) -> dict[str, Any]:
        """Return what else is committed beside an update."""
        return {}

    def agree(self, members: tuple[str, ...]) -> bytes:
        """Propose, attest and confirm the aggregate; return its bytes."""
        paths = self.paths(members)
        aggregate: bytes = self.scheme.aggregate([paths[name] for name in members])
        stated = {"aggregate_digest": self.put(aggregate), "scores_digest": self._score(paths)}
        proposal = {**stated, "aggregate_bytes": len(aggregate)}
        self.in_round(node(AGGREGATOR, "aggregator"), "round:ProposeAggregate", **proposal)
        for msp_id in ("AlphaMSP", "GammaMSP"):
            self.in_round(node(msp_id, "verifier"), "round:AttestAggregate", **stated)
        self.in_round(node("AlphaMSP", "verifier"), "round:ConfirmAggregate")
        return aggregate

    def paths(self, members: tuple[str, ...]) -> dict[str, Path]:
        """Return the members' uploads in this round."""
        return {name: self.path(self.uploads[self.number, name]) for name in members}

    def _score(self, paths: dict[str, Path]) -> str:
        """Make the score ciphertexts and return the digest of their sheet, "" without a direction."""
        self.scores = {}
        if self.direction is None:
            return ""
        self.scores = {name: self.scheme.score(path, self.direction) for name, path in paths.items()}
        rows: list[canonical.Json] = [[name, self.put(score)] for name, score in self.scores.items()]
        return self.put(canonical.text(rows).encode())

    def post_scores(self, opened: dict[str, int]) -> None:
        scores = [{"participant_id": name, "alignment": value} for name, value in opened.items()]
        self.in_round(node(self.releaser, "key-holder"), "round:PostScores", scores=scores)

    def opened(self, members: tuple[str, ...], aggregate: bytes) -> Any:
        """Post the scores and return the opened sum."""
        if self.scores:
            self.post_scores({name: self.opener.open_score(score) for name, score in self.scores.items()})
        return self.opener.open_sum(self.path(sha256(aggregate)), len(members))

    def finish(self, members: tuple[str, ...], aggregate: bytes) -> None:
        """Open, publish and settle."""
        total = self.opened(members, aggregate)
        data = ARITHMETIC.pack_sum(total)
        release = {
            "aggregate_digest": sha256(aggregate),
            "sum_digest": self.put(data),
            "sum_bytes": len(data),
        }
        self.in_round(node(self.releaser, "key-holder"), "round:ReleaseShare", **release)
        weight = sum(SAMPLES[name] for name in members)
        self.model = ARITHMETIC.apply_sum(self.spec.encryption, self.model, total, weight)
        self.direction = ARITHMETIC.direction(total)
        model = ARITHMETIC.pack_model(self.model)
        self.in_round(
            node(COORDINATOR, "coordinator"),
            "round:PublishModel",
            model_digest=self.put(model),
            model_bytes=len(model),
            direction_digest=self.put(ARITHMETIC.pack_direction(self.direction)),
            metrics={"accuracy_ppb": 900_000_000, "loss_ppb": 100_000_000, "samples": 100},
        )
        self.in_round(node("BetaMSP", "verifier"), "reward:Settle")

    def round(self, *missing: str) -> None:
        members = self.collect(*missing)
        self.finish(members, self.agree(members))

    def close(self) -> None:
        self.submit(node(COORDINATOR, "coordinator"), "task:Close", task_id=TASK)
        self.submit(
            creator("GammaMSP", "gamma-auditor", "client", "auditor"),
            "audit:RecordEvaluation",
            task_id=TASK,
            report_digest=sha256(b"report"),
            passed=True,
            block_height=2,
        )
        self.submit(silo("alpha-2"), "federation:Leave", participant_id="alpha-2")
        self.submit(admin("AlphaMSP"), "federation:SuspendOrganization", msp_id="GammaMSP")
        again = {"msp_id": "GammaMSP", "name": "Gamma again", "region": "CH"}
        self.submit(admin("BetaMSP"), "federation:AdmitOrganization", **again)

    def whole(self) -> HonestRun:
        """Two rounds, one that aborts below the minimum between them, the second without a silo."""
        self.begin()
        self.round()
        self.collect("alpha-1", "alpha-2", "beta-1")
        self.round("gamma-1")
        self.close()
        return self

    # --- lies -------------------------------------------------------------------------------------

    def rewrite(self, transaction: str, kind: type, change: Callable[[Any], Any], which: int = -1) -> None:
        """Change a record of this kind in a transaction's writes; the last such transaction by default."""
        simulation = [one for one in self.ledger.committed if one.proposal.name == transaction][which]
        for key, value in simulation.effects.writes.items():
            object_type = type_of(key)
            if object_type in LAYOUT and LAYOUT[object_type][0] is kind and value:
                changed = change(from_json(kind, canonical.parse(value)))
                simulation.effects.writes[key] = canonical.dump(to_json(changed))

    def alter(self, transaction: str, kind: type, which: int = -1, **changes: Any) -> None:
        """Change fields of the records of this kind in a transaction's writes."""
        self.rewrite(transaction, kind, lambda record: replace(record, **changes), which)

    def reask(self, transaction: str, which: int = -1, first_of: str = "", **changes: Any) -> None:
        """Change what the sender of a transaction asked for, or the first of what it lists under `first_of`."""
        found = [i for i, one in enumerate(self.ledger.committed) if one.proposal.name == transaction][which]
        simulation = self.ledger.committed[found]
        request = json.loads(simulation.proposal.arguments[0])
        (request[first_of][0] if first_of else request).update(changes)
        proposal = replace(simulation.proposal, arguments=(json.dumps(request),))
        self.ledger.committed[found] = replace(simulation, proposal=proposal)

    def commit_number(self, number: int, name: str) -> int:
        """Return the how-manieth commitment is that of this participant in this round."""
        digest = self.uploads[number, name].encode()
        commits = [one for one in self.ledger.committed if one.proposal.name == "round:CommitUpdate"]
        return next(i for i, one in enumerate(commits) if digest in b"".join(one.effects.writes.values()))

    def copy(self) -> HonestRun:
        """Return a run with its own ledger; the blobs are shared."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.ledger = self.ledger.copy()
        twin.ledger.committed = [_own(simulation) for simulation in self.ledger.committed]
        return twin

    def history(self, findings: Findings | None = None) -> History:
        """Read the ledger as an audit does, with the checks that it makes while reading."""
        history, found = History(), findings or Findings()
        for order, simulation in enumerate(self.ledger.committed):
            writes = [(key, value or None) for key, value in simulation.effects.writes.items()]
            request = simulation.proposal.arguments[0].encode()
            transaction = _transaction(order, simulation, writes)
            written = history.apply(transaction, request, writes, found)
            check_request(transaction, canonical.parse(request), written, found)
        return history

    def audit_ledger(self) -> Findings:
        """Make every check that needs records alone."""
        findings = Findings()
        history = self.history(findings)
        for check in LEDGER_CHECKS:
            check(history, findings)
        return findings

    def audit(self) -> Findings:
        """Make every check but those of the chain."""
        findings = Findings()
        history = self.history(findings)
        check_history(history, DirectoryFinder([self.store]), self.provider, ARITHMETIC, findings)
        return findings


def _own(simulation: Simulation) -> Simulation:
    effects = replace(simulation.effects, writes=dict(simulation.effects.writes))
    return replace(simulation, effects=effects)


def _transaction(order: int, simulation: Simulation, writes: Writes) -> Transaction:
    proposal = simulation.proposal
    identity = Identity.of(proposal.creator["mspid"], proposal.creator["idBytes"])
    return Transaction(
        order=order,
        transaction_id=proposal.tx_id,
        block=order // PER_BLOCK + 1,
        name=proposal.name,
        at=proposal.at,
        sender=Sender(
            identity.msp_id,
            identity.common_name,
            identity.organizational_units[0],
            identity.attributes.get("bfl.role", ""),
        ),
        types=types_of(writes),
    )
