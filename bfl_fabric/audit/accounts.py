"""Every movement on every account, recomputed from what its transaction had to move.

Decides that each transaction booked exactly its entries and no others, that these sum to zero, and that at no
moment an account but `mint` was below zero. Then all units that were ever minted are still there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import Entry, Settlement, Task
from bfl_fabric.audit.authority import field_of
from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.audit.history import History
from bfl_fabric.audit.record_bytes import record_of
from bfl_fabric.audit.transactions import Transaction

T = TypeVar("T")

MINT = "mint"
KINDS: Mapping[str, str] = {
    "reward:Mint": "mint",
    "reward:Fund": "fund",
    "reward:Settle": "payout",
    "task:Close": "refund",
    "task:Abandon": "refund",
}


def check_accounts(history: History, findings: Findings) -> None:
    """Recompute the entries of every transaction and follow all balances."""
    balances: dict[str, int] = defaultdict(int)
    for transaction in history.transactions.select(lambda name, types: name in KINDS or "entry" in types):
        entries = _written(history, transaction, Entry)
        if not entries and transaction.name not in KINDS:
            continue
        request = history.request(transaction)
        _check_form(entries, transaction, request, findings)
        expected = _expected(history, transaction, request, balances)
        _check_movement(transaction, entries, expected, findings)
        for entry in entries:
            balances[entry.account] += entry.amount
        for account in sorted({entry.account for entry in entries} - {MINT}):
            if balances[account] < 0:
                text = f"account {account} stands at {balances[account]} after {transaction.name}"
                findings.fail(Check.ENTRIES, text, transaction.place)


def _check_form(
    entries: Sequence[Entry], transaction: Transaction, request: Json, findings: Findings
) -> None:
    findings.count(Check.ENTRIES, len(entries))
    if not entries:
        return
    if any(
        (one.transaction_id, one.booked_at) != (transaction.transaction_id, transaction.at) for one in entries
    ):
        findings.fail(Check.ENTRIES, "an entry names another transaction or moment", transaction.place)
    reference = _reference(transaction, request)
    if any((one.kind, one.reference) != (KINDS.get(transaction.name), reference) for one in entries):
        text = f"an entry is not booked as {KINDS.get(transaction.name)} for {reference!r}"
        findings.fail(Check.ENTRIES, text, transaction.place)
    lines = sorted(one.line for one in entries)
    if lines != list(range(len(lines))):
        findings.fail(Check.ENTRIES, "the lines of the entries have gaps", transaction.place)
    if sum(one.amount for one in entries) != 0:
        text = f"the entries sum to {sum(one.amount for one in entries)}, not to zero"
        findings.fail(Check.ENTRIES, text, transaction.place)


def _check_movement(
    transaction: Transaction,
    entries: Sequence[Entry],
    expected: Mapping[str, int],
    findings: Findings,
) -> None:
    found: dict[str, int] = defaultdict(int)
    for entry in entries:
        found[entry.account] += entry.amount
    for account in sorted(expected.keys() | found.keys()):
        if expected.get(account, 0) != found.get(account, 0):
            text = (
                f"{transaction.name} moved {found.get(account, 0)} on account {account}, "
                f"due were {expected.get(account, 0)}"
            )
            findings.fail(Check.ENTRIES, text, transaction.place)


def _expected(
    history: History, transaction: Transaction, request: Json, balances: Mapping[str, int]
) -> Mapping[str, int]:
    task_id, amount = field_of(request, "task_id"), _amount(request)
    pool = f"pool:{task_id}"
    match transaction.name:
        case "reward:Mint":
            return {MINT: -amount, f"org:{field_of(request, 'msp_id')}": amount}
        case "reward:Fund":
            return {f"org:{_payer(history, task_id)}": -amount, pool: amount}
        case "reward:Settle":
            return _paid(history, transaction, task_id)
        case "task:Close" | "task:Abandon":
            left = balances.get(pool, 0)
            return {pool: -left, f"org:{_payer(history, task_id)}": left} if left else {}
        case _:
            return {}


def _reference(transaction: Transaction, request: Json) -> str:
    """Return what the entries of a transaction refer to."""
    if transaction.name == "reward:Settle" and isinstance(request, dict):
        return f"round {request.get('round')}"
    if transaction.name in ("task:Close", "task:Abandon"):
        return field_of(request, "task_id")
    return field_of(request, "reference")


def _paid(history: History, transaction: Transaction, task_id: str) -> Mapping[str, int]:
    moved: dict[str, int] = defaultdict(int)
    pool = f"pool:{task_id}"
    for settlement in _written(history, transaction, Settlement):
        if settlement.task_id == task_id:
            for line in settlement.payouts:
                moved[f"participant:{line.participant_id}"] += line.amount
                moved[pool] -= line.amount
    return moved


def _written(history: History, transaction: Transaction, kind: type[T]) -> list[T]:
    """Return the records of one kind that a transaction wrote."""
    return [record_of(kind, fields) for found, fields in history.written(transaction) if found is kind]


def _payer(history: History, task_id: str) -> str:
    task = history.find(Task, task_id)
    return "" if task is None else task.value.spec.roles.coordinator


def _amount(request: Json) -> int:
    value = request.get("amount") if isinstance(request, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
