"""Accounts: entries that sum to zero, balances that never go below it.

An account's balance is the sum of its entries; `mint` is the source of all units and the only account that is
ever negative. `org:MSP`, `pool:TASK` and `participant:ID` hold them.
"""

from __future__ import annotations

from collections.abc import Sequence

from bfl_chaincode.api import refusals
from bfl_chaincode.api.records import Balance, Conservation, Entry, Task
from bfl_chaincode.limits import AMOUNT_LIMIT
from bfl_chaincode.rules import callers
from bfl_chaincode.rules.callers import Call
from bfl_chaincode.rules.tasks import UNFINISHED, require_status

MINT = "mint"


def organization(msp_id: str) -> str:
    return f"org:{msp_id}"


def pool(task_id: str) -> str:
    return f"pool:{task_id}"


def participant(participant_id: str) -> str:
    return f"participant:{participant_id}"


def balance(entries: Sequence[Entry]) -> int:
    """Return what an account holds, given all its entries."""
    return sum(entry.amount for entry in entries)


def balances(entries: Sequence[Entry]) -> tuple[Balance, ...]:
    """Return every account's balance, by account."""
    found: dict[str, tuple[int, int]] = {}
    for entry in entries:
        amount, count = found.get(entry.account, (0, 0))
        found[entry.account] = (amount + entry.amount, count + 1)
    return tuple(Balance(account, amount, count) for account, (amount, count) in sorted(found.items()))


def conservation(entries: Sequence[Entry]) -> Conservation:
    """Return minted units against all balances; the difference of an honest ledger is 0."""
    minted = -sum(entry.amount for entry in entries if entry.account == MINT)
    held = sum(entry.amount for entry in entries if entry.account != MINT)
    return Conservation(minted, held, minted - held)


def post(movements: Sequence[tuple[str, int]], kind: str, reference: str, call: Call) -> tuple[Entry, ...]:
    """Return the entries of one transaction, in order. Raises UnbalancedEntries unless they sum to zero."""
    surplus = sum(amount for _, amount in movements)
    if surplus:
        raise refusals.UnbalancedEntries(f"a {kind} would make {surplus} units")
    return tuple(
        Entry(account, call.transaction_id, line, amount, kind, reference, booked_at=call.at)
        for line, (account, amount) in enumerate(movements)
    )


def mint(msp_id: str, amount: int, reference: str, held: Sequence[Entry], call: Call) -> tuple[Entry, ...]:
    """Make units for an organization; its own administrator answers for them."""
    callers.require_admin(call)
    callers.require_organization(call, msp_id)
    _require_room(balance(held), amount, organization(msp_id))
    return post([(MINT, -amount), (organization(msp_id), amount)], "mint", reference, call)


def fund(
    task: Task, amount: int, reference: str, held: tuple[Sequence[Entry], Sequence[Entry]], call: Call
) -> tuple[Entry, ...]:
    """Move units of the coordinator's organization into its task's pool; `held` are the entries of both."""
    callers.require_payer(call, task)
    require_status(task, *UNFINISHED)
    payer, target = organization(task.spec.roles.coordinator), pool(task.spec.task_id)
    available = balance(held[0])
    if amount > available:
        raise refusals.InsufficientBalance(f"{payer} holds {available}, not {amount}")
    _require_room(balance(held[1]), amount, target)
    return post([(payer, -amount), (target, amount)], "fund", reference, call)


def payout(
    task_id: str, amounts: Sequence[tuple[str, int]], held: Sequence[Entry], reference: str, call: Call
) -> tuple[Entry, ...]:
    """Pay participants out of a task's pool; who gets nothing gets no entry."""
    paid = [(participant(name), amount) for name, amount in amounts if amount]
    total, available = sum(amount for _, amount in paid), balance(held)
    if total > available:
        raise refusals.PoolExhausted(f"{pool(task_id)} holds {available}, not {total}")
    return post([(pool(task_id), -total), *paid], "payout", reference, call) if paid else ()


def refund(task: Task, held: Sequence[Entry], call: Call) -> tuple[Entry, ...]:
    """Give what is left in a finished task's pool back to the coordinator's organization."""
    rest, task_id = balance(held), task.spec.task_id
    receiver = organization(task.spec.roles.coordinator)
    return post([(pool(task_id), -rest), (receiver, rest)], "refund", task_id, call) if rest else ()


def statement(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return an account's entries in the order in which they were booked."""
    return tuple(sorted(entries, key=lambda entry: (entry.booked_at, entry.transaction_id, entry.line)))


def _require_room(held: int, amount: int, account: str) -> None:
    if held + amount > AMOUNT_LIMIT:
        raise refusals.BalanceTooLarge(f"{account} holds {held}, {amount} more do not fit")
