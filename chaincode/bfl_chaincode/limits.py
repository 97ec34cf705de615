"""What a single value may look like: grammars, ranges, lengths and counts, each with its refusal.

Decides nothing about how values belong together; that is the rules'.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Protocol, TypeAlias

from bfl_chaincode.api import refusals
from bfl_chaincode.api.records import PPB
from bfl_chaincode.api.refusals import RuleRefusal

AMOUNT_LIMIT = 10**12
# share = alignment x (1 + alpha) stays within 64 bits: 2^60 x 5 < 2^63
ALIGNMENT_LIMIT = 2**60
ALPHA_LIMIT_PPB = 4 * PPB
SUM_LIMIT = 2**30
COHORT_LIMIT = 10_000
# of receipts in one transaction, which so stays short: each reads two keys
RECEIPTS_LIMIT = 100
SHARES_LIMIT = 2
LAST_ROUND = 99_999_999
MOST_MEMBERS = 32


class Limit(Protocol):
    """A check of one field; `path` names it in the refusal."""

    @property
    def refusal(self) -> type[RuleRefusal]: ...

    def check(self, value: object, path: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Grammar:
    """The whole text matches a regular expression."""

    expression: str
    refusal: type[RuleRefusal]

    def check(self, value: object, path: str) -> None:
        assert isinstance(value, str)
        if re.fullmatch(self.expression, value) is None:
            raise self.refusal(f"{path} is {_shown(value)}")


@dataclass(frozen=True, slots=True)
class Span:
    """A number from `low` to `high`, both included."""

    low: int
    high: int
    refusal: type[RuleRefusal] = refusals.OutOfRange

    def check(self, value: object, path: str) -> None:
        assert isinstance(value, int)
        if not self.low <= value <= self.high:
            raise self.refusal(f"{path} is {value}, not in {self.low}..{self.high}")


@dataclass(frozen=True, slots=True)
class Length:
    """A text of `low` to `high` characters, none of them a control character."""

    low: int
    high: int
    refusal: type[RuleRefusal] = refusals.MalformedText

    def check(self, value: object, path: str) -> None:
        assert isinstance(value, str)
        if not self.low <= len(value) <= self.high:
            raise self.refusal(f"{path} has {len(value)} characters, not {self.low}..{self.high}")
        if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in value):
            raise self.refusal(f"{path} contains a control character")


@dataclass(frozen=True, slots=True)
class Count:
    """A list of `low` to `high` items."""

    low: int
    high: int
    refusal: type[RuleRefusal] = refusals.WrongCount

    def check(self, value: object, path: str) -> None:
        assert isinstance(value, tuple)
        if not self.low <= len(value) <= self.high:
            raise self.refusal(f"{path} has {len(value)} items, not {self.low}..{self.high}")


@dataclass(frozen=True, slots=True)
class Address:
    """host:port, the host a name, an IPv4 or a bracketed IPv6 address."""

    refusal: type[RuleRefusal] = refusals.MalformedAddress

    def check(self, value: object, path: str) -> None:
        assert isinstance(value, str)
        found = re.fullmatch(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([1-9][0-9]{0,4})", value)
        if found is None or int(found.group(2)) > 65535:
            raise self.refusal(f"{path} is {_shown(value)}")


ID = r"[a-z0-9][a-z0-9-]{0,62}"
MSP_ID = r"[A-Za-z][A-Za-z0-9.-]{0,63}"
DIGEST = r"[0-9a-f]{64}"
VERSION = r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}"

Id: TypeAlias = Annotated[str, Grammar(ID, refusals.MalformedIdentifier)]
MspId: TypeAlias = Annotated[str, Grammar(MSP_ID, refusals.MalformedMspId)]
Digest: TypeAlias = Annotated[str, Grammar(DIGEST, refusals.MalformedDigest)]
DigestOrNone: TypeAlias = Annotated[str, Grammar(f"({DIGEST})?", refusals.MalformedDigest)]
Account: TypeAlias = Annotated[
    str, Grammar(f"mint|org:{MSP_ID}|pool:{ID}|participant:{ID}", refusals.MalformedAccount)
]
TransportKey: TypeAlias = Annotated[str, Grammar(r"(([0-9a-f]{2}){32,2048})?", refusals.MalformedKey)]
HostPort: TypeAlias = Annotated[str, Address()]
Amount: TypeAlias = Annotated[int, Span(1, AMOUNT_LIMIT)]
SizeBytes: TypeAlias = Annotated[int, Span(1, 2**40)]
SizeOrNone: TypeAlias = Annotated[int, Span(0, 2**40)]
Attempt: TypeAlias = Annotated[int, Span(1, LAST_ROUND)]
# milliseconds since 1970-01-01 UTC, 0 for never
Expiry: TypeAlias = Annotated[int, Span(0, 2**53)]
Weight: TypeAlias = Annotated[int, Span(1, SUM_LIMIT)]
RoundNumber: TypeAlias = Annotated[int, Span(1, LAST_ROUND)]
Epoch: TypeAlias = Annotated[int, Span(1, LAST_ROUND)]
Sequence: TypeAlias = Annotated[int, Span(2, LAST_ROUND)]
Ratio: TypeAlias = Annotated[int, Span(0, PPB)]
Height: TypeAlias = Annotated[int, Span(0, 2**53)]
Name: TypeAlias = Annotated[str, Length(1, 200)]
Region: TypeAlias = Annotated[str, Length(1, 64)]
Version: TypeAlias = Annotated[str, Grammar(VERSION, refusals.MalformedIdentifier)]
Reason: TypeAlias = Annotated[str, Length(1, 500)]
Reference: TypeAlias = Annotated[str, Length(1, 200)]

_DECIMAL = Grammar(r"(0|[1-9][0-9]{0,8})(\.[0-9]{1,18})?", refusals.MalformedDecimal)
_MSP = Grammar(MSP_ID, refusals.MalformedMspId)
_DIGEST = Grammar(DIGEST, refusals.MalformedDigest)
_PARTS = Span(1, 10**9)

# The fields of a task's spec, whose records carry no limits themselves; "tensors[]" is each item of tensors.
SPEC_LIMITS: dict[str, Limit] = {
    "task_id": Grammar(ID, refusals.MalformedIdentifier),
    "title": Length(1, 200),
    "purpose": Length(0, 2000),
    "model.architecture": Length(1, 200),
    "model.tensors": Count(1, 1024),
    "model.tensors[].name": Length(1, 200),
    "model.tensors[].shape": Count(0, 8),
    "model.tensors[].shape[]": _PARTS,
    "model.parameter_count": _PARTS,
    "model.initial_digest": _DIGEST,
    "training.learning_rate": _DECIMAL,
    "training.momentum": _DECIMAL,
    "training.batch_size": Span(1, 10**6),
    "training.local_epochs": Span(1, 1000),
    "training.seed": Span(0, 2**63 - 1),
    "data.schema_digest": _DIGEST,
    "data.minimum_samples": Span(1, SUM_LIMIT),
    "schedule.rounds": Span(1, 10_000),
    "schedule.upload_seconds": Span(1, 30 * 24 * 3600),
    "schedule.share_seconds": Span(1, 24 * 3600),
    "cohort.minimum": Span(2, COHORT_LIMIT),
    "cohort.target": Span(0, COHORT_LIMIT),
    "roles.coordinator": _MSP,
    "roles.aggregator": _MSP,
    "roles.key_holder": Grammar(f"({MSP_ID})?", refusals.MalformedMspId),
    "roles.key_members": Count(0, MOST_MEMBERS),
    "roles.key_members[]": _MSP,
    "encryption.scheme": Length(1, 64),
    "encryption.parameters_digest": _DIGEST,
    "encryption.value_bits": Span(2, 31),
    "encryption.clip": _DECIMAL,
    "encryption.max_total_weight": Span(1, SUM_LIMIT),
    "encryption.threshold": Span(0, MOST_MEMBERS),
    "verification.attestations": Span(2, 64),
    "verification.receipts": Span(1, 64),
    "incentive.pool": Span(0, AMOUNT_LIMIT),
    "incentive.per_round": Span(0, AMOUNT_LIMIT),
    "incentive.alpha_ppb": Span(0, ALPHA_LIMIT_PPB),
    "incentive.consistency_window": Span(1, 10_000),
    "incentive.reputation_lambda_ppb": Span(0, PPB),
}


def _shown(value: str) -> str:
    return repr(value if len(value) <= 80 else value[:77] + "...")
