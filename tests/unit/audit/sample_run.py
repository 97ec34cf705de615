"""A run that never was, as the input of report tests: deterministic, with an aborted round and a silo that failed."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

from bfl_chaincode.api.records import Metrics
from bfl_fabric.audit.summary import (
    AttemptSummary,
    AuditSummary,
    Baselines,
    CeremonySummary,
    CountSummary,
    DataSummary,
    FactSummary,
    FederationSummary,
    KeySummary,
    LedgerSummary,
    OrganizationSummary,
    ParticipantSummary,
    PayoutSummary,
    RoundSummary,
    RunSummary,
    TaskSummary,
    TrafficSummary,
    count_names,
)

ORGANIZATIONS = (
    OrganizationSummary("CharitMSP", "Klinikum Nord", "de-north", ("coordinator", "verifier")),
    OrganizationSummary("LimmatMSP", "Limmat Hospital", "ch-zh", ("aggregator",)),
    OrganizationSummary("RhoneMSP", "Centre du Rhône", "fr-ara", ("key-holder", "verifier")),
)


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sample_run(rounds: int = 10, participants: int = 6, aborted: int = 0) -> RunSummary:
    """Return a made-up run; `aborted` is the number of a round that found too few members."""
    source = random.Random(7)
    names = [
        f"clinic-{index // 2 + 1}-{('oncology', 'radiology')[index % 2]}" for index in range(participants)
    ]
    home = {name: ORGANIZATIONS[index // 2 % 3].msp_id for index, name in enumerate(names)}
    reputation = dict.fromkeys(names, 500_000_000)
    balance = dict.fromkeys(names, 0)
    listed = [
        _round(number, names, source, reputation, balance, number == aborted)
        for number in range(1, rounds + 1)
    ]
    return RunSummary(
        version=1,
        finished_at=1_790_000_000_000,
        milliseconds=71_400,
        task=TaskSummary(
            "breast-cancer-1",
            "Breast cancer diagnosis across three hospitals",
            "Tell malignant from benign tumours by thirty measurements of cell nuclei, without moving a record.",
            digest_of("spec"),
            "mlp-30-32-2",
            1_058,
            "ckks-tenseal-1",
            131_204,
            1_000_000,
            digest_of("model 0"),
        ),
        federation=FederationSummary("cancer-research", "Cancer research network", ORGANIZATIONS),
        data=DataSummary(
            "Breast Cancer Wisconsin (scikit-learn)",
            "Dirichlet split with concentration 0.7, seed 1.",
            ("malignant", "benign"),
            114,
        ),
        participants=tuple(
            ParticipantSummary(
                name,
                home[name],
                40 + 13 * index,
                (10 + 9 * index, 30 + 4 * index),
                870_000_000 + 9_000_000 * index,
                balance[name],
                reputation[name],
            )
            for index, name in enumerate(names)
        ),
        baselines=Baselines(973_684_210, 921_052_631),
        initial=Metrics(412_000_000, 702_000_000, 114),
        rounds=tuple(listed),
        ledger=LedgerSummary(
            "embedded ledger",
            138,
            digest_of("genesis"),
            digest_of("tip"),
            count_names(
                {
                    "round:CommitUpdate": 60,
                    "round:AcknowledgeUploads": 120,
                    "round:AttestAggregate": 20,
                    "round:Open": 10,
                    "round:Seal": 10,
                    "round:ProposeAggregate": 10,
                    "round:ConfirmAggregate": 10,
                    "round:PostScores": 9,
                    "round:ReleaseShare": 10,
                    "round:PublishModel": 10,
                    "reward:Settle": 10,
                    "federation:EnrolParticipant": 6,
                    "task:Register": 6,
                    "federation:AnnounceNode": 12,
                    "task:Create": 1,
                    "task:Publish": 1,
                    "task:Start": 1,
                }
            ),
        ),
        audit=AuditSummary(
            True,
            tuple(
                CountSummary(name, count)
                for name, count in {
                    "blocks": 138,
                    "transactions": 306,
                    "signatures": 1_362,
                    "records": 418,
                    "phase_moves": 80,
                    "commitments": 60,
                    "ciphertexts": 60,
                    "aggregates": 10,
                    "sums": 10,
                    "models": 11,
                    "payouts": 60,
                    "account_entries": 75,
                }.items()
            ),
            (),
            (),
            digest_of("report"),
            4_120,
        ),
        verify_command=f"bfl audit verify --genesis {digest_of('genesis')} run/",
        facts=(FactSummary("Aggregator's peak memory", "184 MiB"),),
    )


def _round(
    number: int,
    names: list[str],
    source: random.Random,
    reputation: dict[str, int],
    balance: dict[str, int],
    aborted: bool,
) -> RoundSummary:
    members = tuple(name for index, name in enumerate(names) if not (number % 4 == 0 and index == 2))
    payouts = []
    weights = {name: source.randrange(20, 100) if name in members else 0 for name in names}
    for name in () if aborted else names:
        share = 100_000 * weights[name] // sum(weights.values())
        performance = 1_000_000_000 if name in members and source.random() > 0.15 else 0
        reputation[name] = (900_000_000 * reputation[name] + 100_000_000 * performance) // 1_000_000_000
        balance[name] += share
        payouts.append(PayoutSummary(name, weights[name] * 1_000, share, reputation[name]))
    accuracy = 975_000_000 - int(560_000_000 * 0.58**number) + source.randrange(-4_000_000, 4_000_000)
    return RoundSummary(
        number=number,
        phase="ABORTED" if aborted else "SETTLED",
        opened_at=1_789_999_900_000 + number * 7_000,
        changed_at=1_789_999_906_100 + number * 7_000,
        cohort=tuple(names),
        members=members[:3] if aborted else members,
        total_weight=448,
        aggregate_digest="" if aborted else digest_of(f"aggregate {number}"),
        sum_digest="" if aborted else digest_of(f"sum {number}"),
        model_digest="" if aborted else digest_of(f"model {number}"),
        metrics=None if aborted else Metrics(accuracy, 1_000_000_000 - accuracy, 114),
        payouts=tuple(payouts),
        paid=sum(line.amount for line in payouts),
        traffic=TrafficSummary(len(members) * 131_204, len(names) * 3 * 4_232),
        transactions=29,
        reason="two of six delivered" if aborted else "",
    )


def joint_run() -> RunSummary:
    """Return the made-up run under a joint key: a ceremony failed, a key was retired, a round took two attempts."""
    run, members = sample_run(rounds=3), tuple(line.msp_id for line in ORGANIZATIONS)
    pair = members[:2]
    first = AttemptSummary(1, members, pair, members[:1], (), False)
    second = AttemptSummary(
        2, members, (members[0], members[2]), (members[0], members[2]), (members[0],), True
    )
    keys = (
        KeySummary(2, pair, 2, digest_of("key 2"), 1, retired_at=5, reason="RhoneMSP is back"),
        KeySummary(3, members, 2, digest_of("key 3"), 6),
    )
    failed = CeremonySummary(
        1, "FAILED", members, 2, members, members, members[:1], (f"{members[0]}: {members[2]}",),
        (members[2],), f"complaints about {members[2]}", 1, 2,
    )  # fmt: skip
    closed = CeremonySummary(2, "CLOSED", pair, 2, pair, pair, pair, (), (), "", 3, 4)
    third = CeremonySummary(3, "CLOSED", members, 2, members, members, members, (), (), "", 5, 6)
    rounds = [replace(one, epoch=2, attempts=(replace(second, attempt=1, blamed=()),)) for one in run.rounds]
    rounds[-1] = replace(rounds[-1], epoch=3, attempts=(first, second))
    return replace(run, rounds=tuple(rounds), keys=keys, ceremonies=(failed, closed, third))
