"""Who earned what: settlements, reputations, and the accounts that units move on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Payout:
    """One participant's line of a settlement, with everything that its recomputation needs.

    share = max(0, alignment)·(PPB + alpha_ppb·consistency_ppb//PPB)//PPB; amount = per_round divided by largest
    remainder over the shares, ties by participant id; nothing is paid when all shares are 0. There is a line for
    every member of the cohort: who did not deliver has alignment 0, and without a direction (first round) the
    alignment of a member is its weight. (The last //PPB keeps a share within 64 bits, as JSON numbers must be.)
    """

    participant_id: str
    alignment: int
    consistency_ppb: int
    share: int
    amount: int
    reputation_before_ppb: int
    reputation_after_ppb: int


@dataclass(frozen=True, slots=True)
class Settlement:
    task_id: str
    round: int
    per_round: int
    paid: int
    payouts: tuple[Payout, ...]
    settled_at: int


@dataclass(frozen=True, slots=True)
class Reputation:
    """`streak` counts consecutive valid rounds of the task up to the consistency window; a round is valid for
    who delivered and had an alignment above 0. It starts with score PPB//2 and streak 0."""

    task_id: str
    participant_id: str
    score_ppb: int
    streak: int
    rounds: int
    changed_at: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A movement on an account, in minor units, negative when it leaves. An account's balance is the sum of
    its entries; the entries of one transaction sum to zero, with `mint` as the source of all units."""

    account: str
    transaction_id: str
    line: int
    amount: int
    kind: str
    reference: str
    booked_at: int


@dataclass(frozen=True, slots=True)
class Balance:
    account: str
    amount: int
    entries: int


@dataclass(frozen=True, slots=True)
class Conservation:
    """All units that were ever minted, all that stand on accounts, and their difference, which must be 0."""

    minted: int
    balances: int
    difference: int
