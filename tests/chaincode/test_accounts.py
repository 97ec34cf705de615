"""Accounts by the pure rules alone: ten thousand random sequences conserve every unit."""

from __future__ import annotations

import random

from bfl_chaincode.api.errors import Refusal
from bfl_chaincode.api.records import Caller, Entry, Task, TaskSpec, TaskStatus, from_json
from bfl_chaincode.rules import accounts, rewards
from bfl_chaincode.rules.callers import Call
from tests.chaincode.scenario import COORDINATOR, spec

ADMIN = Caller(COORDINATOR, "admin", "admin", (), "0" * 64)
TASK = Task(from_json(TaskSpec, spec()), "0" * 64, TaskStatus.RUNNING, created_at=1, changed_at=1)
SEQUENCES = 10_000


def test_ten_thousand_random_sequences_of_movements_conserve_every_unit() -> None:
    source = random.Random(20240229)
    for _ in range(SEQUENCES):
        booked = _sequence(source)
        found = accounts.conservation(booked)
        assert found.difference == 0
        assert found.minted == found.balances
        assert all(row.amount >= 0 for row in accounts.balances(booked) if row.account != accounts.MINT)


def _sequence(source: random.Random) -> list[Entry]:
    first = Call(ADMIN, at=0, transaction_id="0" * 64)
    booked = list(accounts.mint(COORDINATOR, source.randrange(1, 10**6), "x", [], first))
    for number in range(1, source.randrange(2, 10)):
        call = Call(ADMIN, at=number, transaction_id=f"{number:064x}")
        pool = [entry for entry in booked if entry.account == "pool:cancer"]
        payer = [entry for entry in booked if entry.account == f"org:{COORDINATOR}"]
        amount = source.choice([1, 7, 1000, 10**6, 10**12])
        try:
            match source.randrange(4):
                case 0:
                    booked += accounts.mint(COORDINATOR, amount, "x", payer, call)
                case 1:
                    booked += accounts.fund(TASK, amount, "x", (payer, pool), call)
                case 2:
                    shares = {name: source.randrange(5) for name in "abcde"}
                    amounts = rewards.largest_remainder(source.randrange(2000), shares)
                    booked += accounts.payout("cancer", sorted(amounts.items()), pool, "x", call)
                case _:
                    booked += accounts.refund(TASK, pool, call)
        except Refusal:
            continue
    return booked
