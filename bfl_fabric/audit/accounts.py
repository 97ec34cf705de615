"""Every movement on every account, recomputed from what its transaction had to move.

Decides that each transaction booked exactly its entries and no others, that these sum to zero, and that at no
moment an account but `mint` was below zero. Then all units that were ever minted are still there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import Entry, Settlement, Task
from bfl_fabric.audit.authority import field_of
from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.audit.history import History, Recorded, Transaction

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
    booked: dict[int, list[Recorded[Entry]]] = defaultdict(list)
    for entry in history.current(Entry):
        booked[entry.order].append(entry)
    balances: dict[str, int] = defaultdict(int)
    for transaction in history.transactions:
        entries = booked.get(transaction.order, [])
        if not entries and transaction.name not in KINDS:
            continue
        request = history.request(transaction)
        _check_form(entries, transaction, request, findings)
        expected = _expected(history, transaction, request, balances)
        _check_movement(transaction, entries, expected, findings)
        for entry in entries:
            balances[entry.value.account] += entry.value.amount
        for account in sorted({entry.value.account for entry in entries} - {MINT}):
            if balances[account] < 0:
                text = f"account {account} stands at {balances[account]} after {transaction.name}"
                findings.fail(Check.ENTRIES, text, transaction.place)


def _check_form(
    entries: Sequence[Recorded[Entry]], transaction: Transaction, request: Json, findings: Findings
) -> None:
    findings.count(Check.ENTRIES, len(entries))
    if not entries:
        return
    records = [entry.value for entry in entries]
    if any(
        (one.transaction_id, one.booked_at) != (transaction.transaction_id, transaction.at) for one in records
    ):
        findings.fail(Check.ENTRIES, "an entry names another transaction or moment", transaction.place)
    reference = _reference(transaction, request)
    if any((one.kind, one.reference) != (KINDS.get(transaction.name), reference) for one in records):
        text = f"an entry is not booked as {KINDS.get(transaction.name)} for {reference!r}"
        findings.fail(Check.ENTRIES, text, transaction.place)
    lines = sorted(one.line for one in records)
    if lines != list(range(len(lines))):
        findings.fail(Check.ENTRIES, "the lines of the entries have gaps", transaction.place)
    if sum(one.amount for one in records) != 0:
        text = f"the entries sum to {sum(one.amount for one in records)}, not to zero"
        findings.fail(Check.ENTRIES, text, transaction.place)


def _check_movement(
    transaction: Transaction,
    entries: Sequence[Recorded[Entry]],
    expected: Mapping[str, int],
    findings: Findings,
) -> None:
    found: dict[str, int] = defaultdict(int)
    for entry in entries:
        found[entry.value.account] += entry.value.amount
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
    for settlement in history.current(Settlement, task_id):
        if settlement.transaction is transaction:
            for line in settlement.value.payouts:
                moved[f"participant:{line.participant_id}"] += line.amount
                moved[pool] -= line.amount
    return moved


def _payer(history: History, task_id: str) -> str:
    task = history.find(Task, task_id)
    return "" if task is None else task.value.spec.roles.coordinator


def _amount(request: Json) -> int:
    value = request.get("amount") if isinstance(request, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
