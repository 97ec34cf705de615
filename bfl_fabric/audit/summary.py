"""What a run was, in plain values: the input of the report and the answer to `--json`.

Decides the form. Collecting the values from the ledger, the traffic counters and the baselines is left to the
caller; `round_summary`, `key_summaries`, `ceremony_summaries` and `audit_summary` make the parts that records and
audit reports already hold. Ratios are parts per billion, amounts minor units, moments milliseconds since 1970-01-01
UTC, like everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bfl_chaincode.api import canonical, records
from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import (
    CeremonyView,
    KeyEpoch,
    KeyGrant,
    Metrics,
    Opening,
    RoundView,
)
from bfl_chaincode.api.records.forms import added
from bfl_fabric.audit.findings import AuditReport


@dataclass(frozen=True, slots=True)
class OrganizationSummary:
    """A member of the federation; `roles` are what its nodes do in this task."""

    msp_id: str
    name: str
    region: str
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FederationSummary:
    federation_id: str
    name: str
    organizations: tuple[OrganizationSummary, ...]


@dataclass(frozen=True, slots=True)
class DataSummary:
    """The data set: `split` says in words how it was shared out, `classes` name the columns of the shares."""

    name: str
    split: str
    classes: tuple[str, ...]
    held_out_samples: int


@dataclass(frozen=True, slots=True)
class ParticipantSummary:
    """A silo: its share of the data, the accuracy that it reaches alone, and what it has at the end."""

    participant_id: str
    msp_id: str
    samples: int
    class_counts: tuple[int, ...]
    alone_accuracy_ppb: int
    balance: int
    reputation_ppb: int


@dataclass(frozen=True, slots=True)
class Baselines:
    """The same model trained centrally on all data, and by each silo alone (the mean over the silos)."""

    centralized_accuracy_ppb: int
    alone_accuracy_ppb: int


@dataclass(frozen=True, slots=True)
class TrafficSummary:
    """Bytes that went over the sockets: uploads of updates, and downloads of models, keys and blobs."""

    up_bytes: int = 0
    down_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PayoutSummary:
    participant_id: str
    alignment: int
    amount: int
    reputation_ppb: int


@dataclass(frozen=True, slots=True)
class KeySummary:
    """A key epoch: the organizations that hold the key, of which `threshold` open something together, 1 where one holds
    it alone. `granted` are the silos that were given a packed key. Moments are 0 where there is none."""

    epoch: int
    holders: tuple[str, ...]
    threshold: int
    digest: str
    opened_at: int
    expires_at: int = 0
    retired_at: int = 0
    reason: str = ""
    granted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CeremonySummary:
    """A key ceremony: who did which step, who complained about whom ("accuser: accused"), and what came of it."""

    epoch: int
    status: str
    members: tuple[str, ...]
    threshold: int
    committed: tuple[str, ...]
    revealed: tuple[str, ...]
    confirmed: tuple[str, ...]
    complaints: tuple[str, ...]
    excluded: tuple[str, ...]
    reason: str
    opened_at: int
    changed_at: int


@dataclass(frozen=True, slots=True)
class AttemptSummary:
    """An attempt to open a round by shares: who offered, who was asked, who of these answered as often as any, and
    whom somebody blames. `opened` says that the round's sum came of it."""

    attempt: int
    offered: tuple[str, ...]
    active: tuple[str, ...]
    answered: tuple[str, ...]
    blamed: tuple[str, ...]
    opened: bool


@dataclass(frozen=True, slots=True)
class RoundSummary:
    """One round as the ledger has it; digests are "" and metrics None where the round did not get there. `epoch` is its
    key's, `attempts` those to open it, where several hold the key."""

    number: int
    phase: str
    opened_at: int
    changed_at: int
    cohort: tuple[str, ...]
    members: tuple[str, ...]
    total_weight: int
    aggregate_digest: str
    sum_digest: str
    model_digest: str
    metrics: Metrics | None
    payouts: tuple[PayoutSummary, ...]
    paid: int
    traffic: TrafficSummary
    transactions: int
    reason: str = ""
    epoch: int = added(0)
    attempts: tuple[AttemptSummary, ...] = added(())


@dataclass(frozen=True, slots=True)
class CountSummary:
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class LedgerSummary:
    """`transactions` counts the valid ones by name, `contract:Name`, most frequent first."""

    kind: str
    height: int
    genesis_digest: str
    tip_digest: str
    transactions: tuple[CountSummary, ...]


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """What the audit counted and found; `failures` are its findings in full sentences."""

    passed: bool
    counts: tuple[CountSummary, ...]
    failures: tuple[str, ...]
    withheld: tuple[str, ...]
    report_digest: str
    milliseconds: int = 0


@dataclass(frozen=True, slots=True)
class TaskSummary:
    task_id: str
    title: str
    purpose: str
    spec_digest: str
    architecture: str
    parameter_count: int
    scheme: str
    update_bytes: int
    pool: int
    initial_digest: str


@dataclass(frozen=True, slots=True)
class FactSummary:
    """Something measured that has no place of its own, such as the aggregator's peak memory."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A whole run. `initial` are the metrics of the initial model; `facts` are further lines (label, text)."""

    version: int
    finished_at: int
    milliseconds: int
    task: TaskSummary
    federation: FederationSummary
    data: DataSummary
    participants: tuple[ParticipantSummary, ...]
    baselines: Baselines
    initial: Metrics
    rounds: tuple[RoundSummary, ...]
    ledger: LedgerSummary
    audit: AuditSummary | None
    verify_command: str
    facts: tuple[FactSummary, ...] = ()
    keys: tuple[KeySummary, ...] = added(())
    ceremonies: tuple[CeremonySummary, ...] = added(())

    @property
    def final_metrics(self) -> Metrics:
        """The metrics of the last published model, of the initial one when no round got that far."""
        published = [round_.metrics for round_ in self.rounds if round_.metrics is not None]
        return published[-1] if published else self.initial

    def to_json(self) -> dict[str, Json]:
        """Return the canonical JSON object, integers only."""
        return records.to_json(self)

    @staticmethod
    def from_json(value: Json) -> RunSummary:
        """Read it back strictly. Raises `NotCanonical`."""
        return records.from_json(RunSummary, value)


def round_summary(
    view: RoundView, metrics: Metrics | None, traffic: TrafficSummary, transactions: int
) -> RoundSummary:
    """Return the summary of the round in `view`. Raises ValueError when the view holds none."""
    round_ = view.round
    if round_ is None:
        raise ValueError("the view holds no round")
    settlement = view.settlement
    payouts = () if settlement is None else settlement.payouts
    return RoundSummary(
        number=round_.number,
        phase=round_.phase.value,
        opened_at=round_.opened_at,
        changed_at=round_.changed_at,
        cohort=round_.cohort,
        members=round_.members,
        total_weight=round_.total_weight,
        aggregate_digest=round_.aggregate_digest,
        sum_digest=round_.sum_digest,
        model_digest=round_.model_digest,
        metrics=metrics,
        payouts=tuple(
            PayoutSummary(line.participant_id, line.alignment, line.amount, line.reputation_after_ppb)
            for line in payouts
        ),
        paid=0 if settlement is None else settlement.paid,
        traffic=traffic,
        transactions=transactions,
        reason=round_.reason,
        epoch=round_.epoch,
        attempts=tuple(_attempt(view, opening) for opening in view.openings),
    )


def _attempt(view: RoundView, opening: Opening) -> AttemptSummary:
    number, round_ = opening.attempt, view.round
    answers = Counter(share.msp_id for share in view.shares if share.attempt == number)
    most = max(answers.values(), default=0)
    return AttemptSummary(
        attempt=number,
        offered=tuple(offer.msp_id for offer in view.offers if offer.attempt == number),
        active=opening.members,
        answered=tuple(name for name in opening.members if answers[name] == most > 0),
        blamed=tuple(sorted({blame.against for blame in view.blames if blame.attempt == number})),
        opened=round_ is not None and bool(round_.sum_digest) and opening == view.openings[-1],
    )


def key_summaries(epochs: Sequence[KeyEpoch], grants: Sequence[KeyGrant] = ()) -> tuple[KeySummary, ...]:
    """Return the summaries of a task's key epochs; `grants` are those of any of them."""
    return tuple(
        KeySummary(
            epoch=one.epoch,
            holders=one.members or (one.msp_id,),
            threshold=one.threshold or 1,
            digest=one.public_key_digest,
            opened_at=one.opened_at,
            expires_at=one.expires_at,
            retired_at=one.retired_at,
            reason=one.reason,
            granted=tuple(grant.participant_id for grant in grants if grant.epoch == one.epoch),
        )
        for one in epochs
    )


def ceremony_summaries(views: Sequence[CeremonyView]) -> tuple[CeremonySummary, ...]:
    """Return the summaries of a task's ceremonies."""
    return tuple(
        CeremonySummary(
            epoch=view.ceremony.epoch,
            status=view.ceremony.status.value,
            members=view.ceremony.members,
            threshold=view.ceremony.threshold,
            committed=tuple(one.msp_id for one in view.commitments),
            revealed=tuple(one.msp_id for one in view.reveals),
            confirmed=tuple(one.msp_id for one in view.confirmations),
            complaints=tuple(f"{one.msp_id}: {one.against}" for one in view.complaints),
            excluded=view.ceremony.excluded,
            reason=view.ceremony.reason,
            opened_at=view.ceremony.opened_at,
            changed_at=view.ceremony.changed_at,
        )
        for view in views
    )


def audit_summary(report: AuditReport, milliseconds: int = 0) -> AuditSummary:
    """Return what the run report shows of an audit."""
    return AuditSummary(
        passed=report.passed,
        counts=tuple(CountSummary(name, count) for name, count in report.counts),
        failures=tuple(str(failure) for failure in report.failures),
        withheld=tuple(str(blob) for blob in report.withheld),
        report_digest=report.digest,
        milliseconds=milliseconds,
    )


def count_names(counts: Mapping[str, int]) -> tuple[CountSummary, ...]:
    """Return the counts, most frequent first, ties by name."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(CountSummary(name, count) for name, count in ordered)


def text(summary: RunSummary) -> str:
    """Return the canonical JSON text of the summary."""
    return canonical.text(summary.to_json())
