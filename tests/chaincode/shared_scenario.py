"""Two more federations walked through the real contract: five organizations that share a key, 3 of 5, and three with
a packed key that its holder gives to every silo."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tests.chaincode.scenario import (
    COORDINATOR,
    KEY_HOLDER,
    SAMPLES,
    SILOS,
    TASK,
    Scenario,
    digest,
    node,
    silo,
)

MEMBERS = ("AlphaMSP", "BetaMSP", "DeltaMSP", "EpsilonMSP", "GammaMSP")
THRESHOLD = 3
ACTIVE = MEMBERS[:THRESHOLD]
SHARE_SECONDS = 90
SHARED_TERMS: dict[str, Any] = {
    "roles__key_holder": "",
    "roles__key_members": list(MEMBERS),
    "encryption__scheme": "threshold",
    "encryption__threshold": THRESHOLD,
    "schedule__share_seconds": SHARE_SECONDS,
}


def holder(msp_id: str) -> Any:
    return node(msp_id, "key-holder")


class Shared(Scenario):
    """Five organizations, each with a share of the key."""

    organizations = MEMBERS

    def create(self, **changes: Any) -> Any:
        return super().create(**{**SHARED_TERMS, **changes})

    def commit(self, name: str, **changes: Any) -> Any:
        mask = {"mask_digest": digest(f"mask of {name} in round {self.number}"), "mask_bytes": 600}
        return super().commit(name, **{**mask, **changes})

    @property
    def scores_digest(self) -> str:
        """Directions are drawn when the round is opened: there is nothing to attest."""
        return ""

    def late(self, seconds: int = 3 * SHARE_SECONDS) -> None:
        self.now += seconds * 1000

    # --- a ceremony -----------------------------------------------------------------------------

    def of_key(self, who: Any, transaction: str, **request: Any) -> Any:
        return self.submit(who, transaction, **{"task_id": TASK, "epoch": 1, **request})

    def open_ceremony(self, msp_id: str = "AlphaMSP", **changes: Any) -> Any:
        return self.of_key(holder(msp_id), "key:OpenCeremony", **{"expires_at": 0, **changes})

    def commit_share(self, msp_id: str, **changes: Any) -> Any:
        request = {"share_digest": digest(f"share of {msp_id}"), "share_bytes": 4000}
        return self.of_key(holder(msp_id), "key:CommitKeyShare", **{**request, **changes})

    def reveal_share(self, msp_id: str, **changes: Any) -> Any:
        request = {
            "share_digest": digest(f"share of {msp_id}"),
            "dealing_digest": digest(f"dealing of {msp_id}"),
            "dealing_bytes": 9000,
        }
        return self.of_key(holder(msp_id), "key:RevealKeyShare", **{**request, **changes})

    def confirm_key(self, msp_id: str, **changes: Any) -> Any:
        request = {"joint_key_digest": digest("joint key"), "joint_key_bytes": 8000}
        return self.of_key(holder(msp_id), "key:ConfirmKey", **{**request, **changes})

    def complain(self, msp_id: str, against: str, **changes: Any) -> Any:
        request = {"against": against, "reason": "a wrong share", "evidence_digest": digest("the share")}
        return self.of_key(holder(msp_id), "key:Complain", **{**request, **changes})

    def close_ceremony(self, msp_id: str = "AlphaMSP", **changes: Any) -> Any:
        return self.of_key(holder(msp_id), "key:CloseCeremony", **changes)

    def hold_ceremony(self, *members: str, **changes: Any) -> Any:
        """Hold a whole ceremony; `changes` are those of the epoch's number alone."""
        self.open_ceremony(**changes)
        for step in (self.commit_share, self.reveal_share, self.confirm_key):
            for msp_id in members or MEMBERS:
                step(msp_id, **changes)
        return self.close_ceremony(**changes)

    # --- an opening -----------------------------------------------------------------------------

    def offer(self, msp_id: str, attempt: int = 2, **changes: Any) -> Any:
        request = {
            "attempt": attempt,
            "mask_digest": digest(f"masks {attempt}"),
            "zero_digest": digest(f"zero of {msp_id}"),
            "zero_bytes": 700,
        }
        return self.in_round(holder(msp_id), "opening:Offer", **{**request, **changes})

    def begin(self, attempt: int = 1, msp_id: str = "AlphaMSP", **changes: Any) -> Any:
        named = {"members": list(ACTIVE)} if attempt == 1 else {}
        return self.in_round(holder(msp_id), "opening:Begin", **{"attempt": attempt, **named, **changes})

    def post_share(self, msp_id: str, subject: str = "sum", attempt: int = 1, **changes: Any) -> Any:
        return self.post_shares(msp_id, subject, attempt=attempt, **changes)

    def post_shares(self, msp_id: str, *subjects: str, attempt: int = 1, **changes: Any) -> Any:
        shares = [
            {"subject": one, "digest": digest(f"{one} share of {msp_id}"), "size_bytes": 500}
            for one in subjects
        ]
        request = {"attempt": attempt, "shares": shares, **changes}
        return self.in_round(holder(msp_id), "opening:PostShares", **request)

    def blame(self, msp_id: str, against: str, attempt: int = 1, **changes: Any) -> Any:
        request = {"attempt": attempt, "against": against, "evidence_digest": digest("bad share")}
        return self.in_round(holder(msp_id), "opening:Blame", **{**request, **changes})

    def answer(self, subject: str = "sum", attempt: int = 1, members: tuple[str, ...] = ACTIVE) -> None:
        for msp_id in members:
            self.post_share(msp_id, subject, attempt)


class Packed(Scenario):
    """A single key holder that grants silos the packed key."""

    def create(self, **changes: Any) -> Any:
        return super().create(**{"encryption__scheme": "packed", **changes})

    def register(self) -> None:
        for name, samples in SAMPLES.items():
            request = {"samples": samples, "transport_key": digest(f"transport key of {name}")}
            self.submit(silo(name), "task:Register", task_id=TASK, **request)

    def grant(self, name: str, who: Any = None, **changes: Any) -> Any:
        request = {
            "task_id": TASK,
            "epoch": 1,
            "participant_id": name,
            "digest": digest(f"key for {name}"),
            "size_bytes": 300,
        }
        return self.submit(who or holder(KEY_HOLDER), "key:GrantKey", **{**request, **changes})


def _each(step: Callable[..., Any], names: tuple[str, ...]) -> Callable[[], None]:
    def act() -> None:
        for name in names:
            step(name)

    return act


def _until_verified(scenario: Scenario) -> None:
    _until_sealed(scenario)
    _verified(scenario)


def _until_sealed(scenario: Scenario) -> None:
    for step in (scenario.open, scenario.deliver, scenario.seal):
        step()


def _verified(scenario: Scenario) -> None:
    scenario.propose()
    scenario.attest("AlphaMSP")
    scenario.confirm()


Step = Callable[[Any], Any]


def _before(scenario: Any) -> None:
    for step in (scenario.found, scenario.enrol, scenario.create, scenario.publish, scenario.register):
        step()


SHARED: list[tuple[str, Step]] = [
    ("shared registered", _before),
    ("ceremony open", lambda s: s.open_ceremony()),
    ("shares committed", lambda s: _each(s.commit_share, MEMBERS)()),
    ("shares revealed", lambda s: _each(s.reveal_share, MEMBERS)()),
    ("key confirmed", lambda s: _each(s.confirm_key, MEMBERS)()),
    ("ceremony closed", lambda s: s.close_ceremony()),
    ("shared running", lambda s: [s.mint(), s.fund(), s.start()]),
    ("shared verified 1", _until_verified),
    ("begun 1", lambda s: s.begin()),
    ("sum answered 1", lambda s: s.answer()),
    ("shared released 1", lambda s: s.release()),
    ("shared settled 1", lambda s: [s.publish_model(), s.settle()]),
    ("shared sealed 2", _until_sealed),
    ("shared verified 2", _verified),
    ("begun 2", lambda s: s.begin()),
    ("scores answered 2", lambda s: s.answer("scores")),
    ("shared scored 2", lambda s: s.post_scores()),
    ("sum answered 2", lambda s: s.answer()),
    ("shared released 2", lambda s: s.release()),
    ("shared settled 2", lambda s: [s.publish_model(), s.settle()]),
    ("shared closed", lambda s: s.close()),
]

PACKED: list[tuple[str, Step]] = [
    ("packed published", lambda s: [s.found(), s.enrol(), s.create(), s.publish()]),
    ("packed keyed", lambda s: [s.register(), s.open_epoch()]),
    ("packed granted", lambda s: _each(s.grant, tuple(SILOS))()),
    ("packed running", lambda s: [s.mint(), s.fund(), s.start()]),
    ("packed settled 1", lambda s: [_until_verified(s), s.release(), s.publish_model(), s.settle()]),
]


@functools.cache
def _kept(stage: str) -> Scenario:
    line, kind = (SHARED, Shared) if stage in dict(SHARED) else (PACKED, Packed)
    names = [name for name, _ in line]
    position = names.index(stage)
    scenario = _kept(names[position - 1]).copy() if position else kind()
    line[position][1](scenario)
    return scenario


STAGES = tuple(name for name, _ in (*SHARED, *PACKED))


def at(stage: str) -> Any:
    """Return a Shared or Packed scenario that has just reached this stage; it is the caller's own."""
    return _kept(stage).copy()


def abort(scenario: Scenario) -> Any:
    who = node(COORDINATOR, "coordinator")
    return scenario.in_round(who, "round:Abort", reason="enough")
