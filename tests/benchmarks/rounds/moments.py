"""When what was done in a round, by the moments of the transactions that are on the ledger.

A transaction's moment is when its sender proposed it, so a phase is the work and the waiting before the transaction
that ends it, the commit of the one before included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bfl_chaincode.api import canonical
from bfl_chaincode.api.events import ContractEvent
from bfl_chaincode.api.records import from_json
from bfl_fabric.fabric.blocks import ValidationCode, parse_block, parse_envelope

OPENED, RELEASED = "round:Open", "round:ReleaseShare"

PHASES: Mapping[str, str] = {
    "collect": "round:Seal",
    "add up": "round:ProposeAggregate",
    "verify": "round:ConfirmAggregate",
    "offer, begin": "opening:Begin",
    "scores": "round:PostScores",
    "sum": RELEASED,
    "publish, settle": "reward:Settle",
}
"""The last transaction of each phase; a phase that a round does not have takes no time. An attempt may begin before the
aggregate is confirmed: then "offer, begin" is negative, and the phase after it the longer."""


@dataclass(frozen=True)
class Moment:
    """A valid transaction about a round; `at_ms` is its own moment."""

    name: str
    task_id: str
    round: int
    at_ms: int


@dataclass(frozen=True)
class RoundTimes:
    """How long a round took in seconds: from its opening to its released sum, and each of its phases."""

    seconds: float
    phases: Mapping[str, float]


def moments(blocks: Iterable[bytes]) -> Iterator[Moment]:
    """Yield the valid transactions of serialized blocks that are about rounds, in the ledger's order."""
    for raw in blocks:
        block = parse_block(raw)
        for entry, code in zip(block.entries, block.flags, strict=True):
            if block.number and code == ValidationCode.VALID:
                transaction = parse_envelope(entry)
                event = transaction.action().event
                if event is not None:
                    about = from_json(ContractEvent, canonical.parse(event.payload))
                    if about.round:
                        yield Moment(event.name, about.task, about.round, transaction.timestamp_ms)


def round_times(found: Sequence[Moment]) -> RoundTimes:
    """Return the times of one settled round. Raises ValueError when its opening or its release is missing."""
    at = {moment.name: moment.at_ms for moment in found}
    if OPENED not in at or RELEASED not in at:
        raise ValueError(f"no whole round: {sorted(at)}")
    since, phases = at[OPENED], {}
    for phase, last in PHASES.items():
        until = at.get(last, since)
        phases[phase] = (until - since) / 1000
        since = until
    return RoundTimes((at[RELEASED] - at[OPENED]) / 1000, phases)
