"""The one event of a transaction: ids and digests only. The state is the truth; events only wake."""

from __future__ import annotations

from dataclasses import dataclass

VERSION = 1


@dataclass(frozen=True, slots=True)
class ContractEvent:
    """`name` on the wire is `contract:transaction`; `round` is 0 where no round is meant."""

    v: int
    contract: str
    transaction: str
    task: str
    round: int
    refs: tuple[str, ...]
