"""How verified rounds were opened by shares: offers, active sets, answers, blame, and what was posted of them.

Decides from the ledger alone that every active set is of members, as many as must answer, and after the first attempt
the one that its offers make, that every attempt after the first had a reason, and that nothing was posted before
exactly that set had answered. What the shares open is left to `shared_rounds`.
"""

from __future__ import annotations

from typing import TypeAlias

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import (
    Blame,
    DecryptionShare,
    Opening,
    Phase,
    Round,
    ScoreSheet,
    ShareOffer,
    ShareSubject,
    Task,
)
from bfl_fabric.audit import attempts
from bfl_fabric.audit.attempts import Standing
from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.audit.history import History, Recorded
from bfl_fabric.audit.phases import name_of
from bfl_fabric.audit.transactions import Transaction

Member: TypeAlias = ShareOffer | DecryptionShare | Blame
"""What a key member states about an attempt."""


def check_openings(history: History, findings: Findings) -> None:
    """Check every attempt to open a round, and every result of one."""
    for offer in history.current(ShareOffer):
        _Statement(history, offer, findings).check_offer(offer.value)
    for opening in history.current(Opening):
        _check_attempt(history, opening, findings)
    for share in history.current(DecryptionShare):
        _Statement(history, share, findings).check_share(share.value)
    for blame in history.current(Blame):
        _Statement(history, blame, findings).check_blame(blame.value)
    for sheet in history.current(ScoreSheet):
        _check_result(history, sheet, sheet.value.round, ShareSubject.SCORES, findings)
    for versions in history.versions(Round):
        for version in versions:
            if version.value.phase is Phase.RELEASED:
                _check_result(history, version, version.value.number, ShareSubject.SUM, findings)


def seed_of(opening: Opening, transaction: Transaction) -> str:
    """Return the seed that the contract draws for an attempt, from the transaction that began it."""
    return canonical.digest(
        {
            "aggregate_digest": opening.aggregate_digest,
            "attempt": opening.attempt,
            "members": list(opening.members),
            "round": opening.round,
            "task_id": opening.task_id,
            "transaction_id": transaction.transaction_id,
        }
    )


# --- what members state ---------------------------------------------------------------------------


class _Statement:
    """Checks one statement of a key member against how the round stood before it."""

    def __init__(
        self,
        history: History,
        recorded: Recorded[ShareOffer] | Recorded[DecryptionShare] | Recorded[Blame],
        findings: Findings,
    ) -> None:
        record: Member = recorded.value
        self._recorded = recorded
        self._findings = findings
        self._at = attempts.standing(history, recorded.order, record.task_id, record.round)
        self._author = record.msp_id
        words = {ShareOffer: "the offer", DecryptionShare: "the share", Blame: "the blame"}[type(record)]
        self._name = f"{words} of {record.msp_id} in attempt {record.attempt} of {_round_name(record)}"
        findings.count(Check.OPENINGS)

    def check_offer(self, offer: ShareOffer) -> None:
        at = self._sound()
        if at is None:
            return
        if self._author in attempts.excluded(at):
            self._fail("came although most others blame it")
        before = attempts.find_opening(at, offer.attempt - 1)
        if before is None or not attempts.failure_of(at, before, self._recorded.transaction.at):
            self._fail("came while the attempt before had not failed")
        if not offer.zero_digest or not offer.zero_bytes:
            self._fail("brings no zero")

    def check_share(self, share: DecryptionShare) -> None:
        at = self._sound()
        opening = None if at is None else attempts.find_opening(at, share.attempt)
        if at is None or opening is None:
            self._fail("answers an attempt that was never begun")
            return
        if self._author not in opening.members:
            self._fail("is from outside the active set")
        if attempts.find_opening(at, share.attempt + 1) is not None:
            self._fail("came after another attempt had begun")
        if share.subject not in attempts.due(at):
            self._fail(f"is for the {share.subject}, which were not due")
        failure = attempts.failure_of(at, opening, self._recorded.transaction.at)
        if failure:
            self._fail(f"came when the attempt had failed: {failure}")

    def check_blame(self, blame: Blame) -> None:
        at = self._sound()
        if at is None:
            return
        posted = {share.msp_id for share in at.shares if share.attempt == blame.attempt}
        if blame.against == self._author or blame.against not in posted:
            self._fail(f"is against {blame.against}, which answered nothing there that it could judge")

    def _sound(self) -> Standing | None:
        """Return how the round stood; None, noted, when it was not verified."""
        if self._author != self._recorded.transaction.msp_id:
            self._fail(f"was signed by {self._recorded.transaction.msp_id}")
        if self._at is None or self._at.round.phase is not Phase.VERIFIED:
            self._fail(
                f"came while {'there was no round' if self._at is None else f'it was {self._at.round.phase}'}"
            )
            return None
        if self._author not in self._at.members:
            self._fail("is from who holds no share of the round's key")
        return self._at

    def _fail(self, problem: str) -> None:
        self._findings.fail(Check.OPENINGS, f"{self._name} {problem}", self._recorded.place)


# --- attempts ---------------------------------------------------------------------------------------


def _check_attempt(history: History, begun: Recorded[Opening], findings: Findings) -> None:
    findings.count(Check.OPENINGS)
    record, place = begun.value, begun.place
    name = f"attempt {record.attempt} of {_round_name(record)}"
    at = attempts.standing(history, begun.order, record.task_id, record.round)
    if at is None or at.round.phase not in (Phase.AGGREGATED, Phase.VERIFIED):
        findings.fail(Check.OPENINGS, f"{name} was begun while there was no aggregate to open", place)
        return
    for problem in (*_set_problems(at, record), *_problems(at, begun)):
        findings.fail(Check.OPENINGS, f"{name} {problem}", place)


def _set_problems(at: Standing, record: Opening) -> list[str]:
    named = f"was begun with {', '.join(record.members)}"
    if record.attempt == 1:
        is_sound = attempts.may_be_active(at, record.members)
        return [] if is_sound else [f"{named}; {at.threshold} of the key's members must answer"]
    expected = attempts.active_set(at, record.attempt)
    if not expected:
        return ["was begun without enough offers that agree"]
    if record.members != expected:
        return [f"{named}; its offers make {', '.join(expected)} active"]
    return []


def _problems(at: Standing, begun: Recorded[Opening]) -> list[str]:
    record, moment = begun.value, begun.transaction.at
    found = []
    if record.aggregate_digest != at.round.aggregate_digest:
        found.append("is for another aggregate than the round's")
    if record.seed != seed_of(record, begun.transaction):
        found.append("has another seed than its transaction draws")
    if record.excluded != attempts.excluded(at):
        found.append("excludes others than those that most blame")
    if record.deadline_at != moment + at.task.spec.schedule.share_seconds * 1000:
        found.append("has another deadline than its task asks for")
    if record.attempt > 1:
        before = attempts.find_opening(at, record.attempt - 1)
        if before is None or not attempts.failure_of(at, before, moment):
            found.append("was begun without a reason: the one before had not failed")
    return found


# --- what was opened --------------------------------------------------------------------------------


def _check_result(
    history: History,
    recorded: Recorded[ScoreSheet] | Recorded[Round],
    number: int,
    subject: ShareSubject,
    findings: Findings,
) -> None:
    task = history.find(Task, recorded.value.task_id)
    if task is None or not task.value.spec.roles.key_members:
        return
    at = attempts.standing(history, recorded.order, recorded.value.task_id, number)
    if at is None:
        return
    findings.count(Check.OPENINGS)
    name = f"the {subject} of {name_of(at.round)}"
    for problem in _result_problems(at, subject, recorded.transaction.msp_id):
        findings.fail(Check.OPENINGS, f"{name} {problem}", recorded.place)


def _result_problems(at: Standing, subject: ShareSubject, sender: str) -> list[str]:
    found = []
    if sender not in at.members:
        found.append(f"was posted by {sender}, which holds no share of the key")
    if not at.openings:
        return [*found, "was posted without any attempt to open it"]
    newest = at.openings[-1]
    late = attempts.missing(at, newest, subject)
    if late:
        found.append(f"was posted without the share of {', '.join(late)}")
    out = [name for name in newest.members if name in attempts.excluded(at)]
    if out:
        found.append(f"was posted from shares of {', '.join(out)}, which most others blame")
    return found


def _round_name(record: ShareOffer | DecryptionShare | Blame | Opening) -> str:
    return f"round {record.round} of task {record.task_id}"
