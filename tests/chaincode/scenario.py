"""A federation of three organizations and its first task, walked from stage to stage through the real contract."""

from __future__ import annotations

import copy
import functools
import hashlib
from typing import Any

from bfl_chaincode.shim.stub import Creator
from tests.chaincode.identities import creator
from tests.chaincode.memory_stub import MemoryLedger

ORGANIZATIONS = ("AlphaMSP", "BetaMSP", "GammaMSP")
COORDINATOR, AGGREGATOR, KEY_HOLDER = "AlphaMSP", "BetaMSP", "GammaMSP"
SILOS = {"alpha-1": "AlphaMSP", "alpha-2": "AlphaMSP", "beta-1": "BetaMSP", "gamma-1": "GammaMSP"}
SAMPLES = {"alpha-1": 100, "alpha-2": 50, "beta-1": 70, "gamma-1": 30}
TASK = "cancer"
MORNING = 1_700_000_000_000
UPLOAD_SECONDS = 60
PARAMETERS = 12


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def spec(**changes: Any) -> dict[str, Any]:
    """Return a task's spec; changes are named like `cohort__minimum`."""
    value: dict[str, Any] = {
        "task_id": TASK,
        "title": "Breast cancer",
        "purpose": "Tell malignant from benign",
        "model": {
            "architecture": "logistic",
            "tensors": [{"name": "weight", "shape": [1, 11]}, {"name": "bias", "shape": [1]}],
            "parameter_count": PARAMETERS,
            "initial_digest": digest("initial model"),
        },
        "training": {
            "learning_rate": "0.05",
            "momentum": "0.9",
            "batch_size": 16,
            "local_epochs": 2,
            "seed": 7,
        },
        "data": {"schema_digest": digest("schema"), "minimum_samples": 10},
        "schedule": {"rounds": 2, "upload_seconds": UPLOAD_SECONDS},
        "cohort": {"minimum": 3, "target": 0},
        "roles": {"coordinator": COORDINATOR, "aggregator": AGGREGATOR, "key_holder": KEY_HOLDER},
        "encryption": {
            "scheme": "ckks",
            "parameters_digest": digest("parameters"),
            "value_bits": 16,
            "clip": "0.25",
            "max_total_weight": 1000,
        },
        "verification": {"attestations": 2, "receipts": 2},
        "incentive": {
            "pool": 2000,
            "per_round": 1000,
            "alpha_ppb": 500_000_000,
            "consistency_window": 4,
            "reputation_lambda_ppb": 800_000_000,
        },
    }
    for path, content in changes.items():
        *parents, last = path.split("__")
        target = value
        for parent in parents:
            target = target[parent]
        target[last] = content
    return value


def admin(msp_id: str) -> Creator:
    return creator(msp_id, "admin", "admin")


def node(msp_id: str, role: str) -> Creator:
    return creator(msp_id, f"{msp_id[:-3].lower()}-{role}", "client", role)


def silo(name: str, msp_id: str = "") -> Creator:
    return creator(msp_id or SILOS[name], name, "client", "participant")


class Scenario:
    """A ledger and a clock; one method for each step, each with usable defaults."""

    organizations: tuple[str, ...] = ORGANIZATIONS

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self.now = MORNING
        self.number = 0

    def copy(self) -> Scenario:
        twin = copy.copy(self)
        twin.ledger = self.ledger.copy()
        return twin

    def submit(self, who: Creator, transaction: str, **request: Any) -> Any:
        self.now += 1000
        return self.ledger.submit(who, transaction, request, self.now)

    def evaluate(self, transaction: str, **request: Any) -> Any:
        return self.ledger.evaluate(admin(COORDINATOR), transaction, request, self.now)

    def view(self) -> Any:
        return self.evaluate("round:GetCurrent", task_id=TASK)

    def in_round(self, who: Creator, transaction: str, **request: Any) -> Any:
        return self.submit(who, transaction, **{"task_id": TASK, "round": self.number, **request})

    # --- before the rounds ----------------------------------------------------------------------

    def found(self) -> None:
        organizations = [
            {"msp_id": name, "name": f"{name} hospital", "region": "EU"} for name in self.organizations
        ]
        self.submit(
            admin("AlphaMSP"),
            "federation:Found",
            federation_id="hospitals",
            name="Hospitals",
            organizations=organizations,
        )

    def enrol(self) -> None:
        for name, msp_id in SILOS.items():
            self.submit(admin(msp_id), "federation:EnrolParticipant", participant_id=name)

    def create(self, **changes: Any) -> Any:
        return self.submit(node(COORDINATOR, "coordinator"), "task:Create", spec=spec(**changes))

    def publish(self) -> None:
        self.submit(node(COORDINATOR, "coordinator"), "task:Publish", task_id=TASK)

    def register(self) -> None:
        for name, samples in SAMPLES.items():
            self.submit(silo(name), "task:Register", task_id=TASK, samples=samples)

    def open_epoch(self, **changes: Any) -> Any:
        request = {
            "task_id": TASK,
            "epoch": 1,
            "parameters_digest": digest("parameters"),
            "public_key_digest": digest("public key"),
            "public_key_bytes": 4096,
        }
        return self.submit(node(KEY_HOLDER, "key-holder"), "key:OpenEpoch", **{**request, **changes})

    def mint(self, amount: int = 5000) -> Any:
        who = admin(COORDINATOR)
        return self.submit(who, "reward:Mint", msp_id=COORDINATOR, amount=amount, reference="grant")

    def fund(self, amount: int = 2000) -> Any:
        who = node(COORDINATOR, "coordinator")
        return self.submit(who, "reward:Fund", task_id=TASK, amount=amount, reference="pool")

    def start(self) -> None:
        self.submit(node(COORDINATOR, "coordinator"), "task:Start", task_id=TASK)

    # --- a round --------------------------------------------------------------------------------

    def open(self) -> Any:
        opened = self.submit(node(COORDINATOR, "coordinator"), "round:Open", task_id=TASK)
        self.number = opened["number"]
        return opened

    def update_digest(self, name: str) -> str:
        return digest(f"update of {name} in round {self.number}")

    def commit(self, name: str, **changes: Any) -> Any:
        request = {"digest": self.update_digest(name), "size_bytes": 800, "weight": SAMPLES[name]}
        return self.in_round(silo(name), "round:CommitUpdate", **{**request, **changes})

    def acknowledge(self, name: str, msp_id: str, **changes: Any) -> Any:
        who = node(msp_id, "aggregator" if msp_id == AGGREGATOR else "verifier")
        held = {"participant_id": name, "digest": self.update_digest(name)}
        return self.in_round(who, "round:AcknowledgeUploads", **{"uploads": [held], **changes})

    def deliver(self, *names: str) -> None:
        for name in names or tuple(SILOS):
            self.commit(name)
            for msp_id in (AGGREGATOR, "AlphaMSP"):
                self.acknowledge(name, msp_id)

    def seal(self) -> Any:
        return self.in_round(node("AlphaMSP", "verifier"), "round:Seal")

    @property
    def scores_digest(self) -> str:
        """Of the list of score ciphertexts that the aggregator proposes and the others attest."""
        return digest(f"scores {self.number}") if self.number > 1 else ""

    def propose(self, **changes: Any) -> Any:
        request = {
            "aggregate_digest": digest(f"aggregate {self.number}"),
            "aggregate_bytes": 900,
            "scores_digest": self.scores_digest,
        }
        who = node(AGGREGATOR, "aggregator")
        return self.in_round(who, "round:ProposeAggregate", **{**request, **changes})

    def attest(self, msp_id: str, **changes: Any) -> Any:
        request = {
            "aggregate_digest": digest(f"aggregate {self.number}"),
            "scores_digest": self.scores_digest,
        }
        return self.in_round(node(msp_id, "verifier"), "round:AttestAggregate", **{**request, **changes})

    def confirm(self) -> Any:
        return self.in_round(node("AlphaMSP", "verifier"), "round:ConfirmAggregate")

    def post_scores(self, alignments: dict[str, int] | None = None) -> Any:
        given = alignments or {name: 1000 * samples for name, samples in SAMPLES.items()}
        scores = [{"participant_id": name, "alignment": value} for name, value in given.items()]
        return self.in_round(node(KEY_HOLDER, "key-holder"), "round:PostScores", scores=scores)

    def release(self, **changes: Any) -> Any:
        request = {
            "aggregate_digest": digest(f"aggregate {self.number}"),
            "sum_digest": digest(f"sum {self.number}"),
            "sum_bytes": 8 * PARAMETERS,
        }
        who = node(KEY_HOLDER, "key-holder")
        return self.in_round(who, "round:ReleaseShare", **{**request, **changes})

    def publish_model(self, **changes: Any) -> Any:
        request = {
            "model_digest": digest(f"model {self.number}"),
            "model_bytes": 4 * PARAMETERS,
            "direction_digest": digest(f"direction {self.number}"),
            "metrics": {"accuracy_ppb": 950_000_000, "loss_ppb": 120_000_000, "samples": 114},
        }
        who = node(COORDINATOR, "coordinator")
        return self.in_round(who, "round:PublishModel", **{**request, **changes})

    def settle(self) -> Any:
        return self.in_round(node("BetaMSP", "verifier"), "reward:Settle")

    def close(self) -> Any:
        return self.submit(node(COORDINATOR, "coordinator"), "task:Close", task_id=TASK)


def _first(stage: str, scenario: Scenario) -> None:
    steps = {
        "empty": lambda: None,
        "founded": scenario.found,
        "enrolled": scenario.enrol,
        "drafted": scenario.create,
        "published": scenario.publish,
        "registered": scenario.register,
        "keyed": scenario.open_epoch,
        "minted": scenario.mint,
        "funded": scenario.fund,
        "running": scenario.start,
    }
    steps[stage]()


def _in_round(stage: str, scenario: Scenario) -> None:
    steps = {
        "collecting": scenario.open,
        "committed": lambda: [scenario.commit(name) for name in SILOS],
        "delivered": lambda: [
            scenario.acknowledge(name, msp_id) for name in SILOS for msp_id in (AGGREGATOR, "AlphaMSP")
        ],
        "sealed": scenario.seal,
        "aggregated": scenario.propose,
        "attested": lambda: scenario.attest("AlphaMSP"),
        "verified": scenario.confirm,
        "scored": lambda: scenario.post_scores() if scenario.number > 1 else None,
        "released": scenario.release,
        "modelled": scenario.publish_model,
        "settled": scenario.settle,
    }
    steps[stage]()


BEFORE = (
    "empty",
    "founded",
    "enrolled",
    "drafted",
    "published",
    "registered",
    "keyed",
    "minted",
    "funded",
    "running",
)
ROUND = (
    "collecting",
    "committed",
    "delivered",
    "sealed",
    "aggregated",
    "attested",
    "verified",
    "scored",
    "released",
    "modelled",
    "settled",
)
STAGES = (*BEFORE, *[f"{stage} {number}" for number in (1, 2) for stage in ROUND], "closed")


@functools.cache
def _kept(stage: str) -> Scenario:
    position = STAGES.index(stage)
    scenario = _kept(STAGES[position - 1]).copy() if position else Scenario()
    if stage in BEFORE:
        _first(stage, scenario)
    elif stage == "closed":
        scenario.close()
    else:
        _in_round(stage.split(" ")[0], scenario)
    return scenario


def at(stage: str) -> Scenario:
    """Return a scenario that has just reached this stage; it is the caller's own."""
    return _kept(stage).copy()
