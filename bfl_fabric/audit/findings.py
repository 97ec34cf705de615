"""What an audit finds: counts of what was checked, failures that name the culprit, and the report of both.

Decides the form of findings and of `AuditReport`. What is checked is left to the other modules of this room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from bfl_chaincode.api import canonical, records
from bfl_chaincode.api.canonical import Json

REPORT_VERSION = 1
_SHORT = 16


class Check(StrEnum):
    """What is counted; a report lists them in this order."""

    BLOCKS = "blocks"
    TRANSACTIONS = "transactions"
    SIGNATURES = "signatures"
    RECORDS = "records"
    AUTHORITY = "authorizations"
    REQUESTS = "requests"
    SPECS = "task_specs"
    CEREMONIES = "key_ceremonies"
    JOINT_KEYS = "joint_keys"
    GRANTS = "key_grants"
    PHASES = "phase_moves"
    COHORTS = "cohorts"
    COMMITMENTS = "commitments"
    RECEIPTS = "receipts"
    SEALED_SETS = "sealed_sets"
    CIPHERTEXTS = "ciphertexts"
    MASKS = "masks"
    AGGREGATES = "aggregates"
    SCORES = "score_ciphertexts"
    ATTESTATIONS = "attestations"
    OPENINGS = "openings"
    SHARES = "decryption_shares"
    SUMS = "sums"
    ALIGNMENTS = "score_sheets"
    MODELS = "models"
    DIRECTIONS = "directions"
    LINEAGE = "lineage_links"
    PAYOUTS = "payouts"
    REPUTATIONS = "reputations"
    ENTRIES = "account_entries"
    EVALUATIONS = "evaluations"
    BLOBS = "blobs"
    STATE_ROWS = "state_rows"


@dataclass(frozen=True, slots=True)
class Place:
    """Where on the ledger something was written. `block` is −1 where no block is meant."""

    block: int = -1
    transaction_id: str = ""

    def __str__(self) -> str:
        if self.block < 0:
            return ""
        if not self.transaction_id:
            return f"block {self.block}"
        return f"block {self.block}, transaction {self.transaction_id[:_SHORT]}"


NOWHERE = Place()


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that is not what it must be, and the block, transaction or blob that shows it."""

    check: Check
    message: str
    block: int = -1
    transaction_id: str = ""
    blob: str = ""

    def __str__(self) -> str:
        parts = [
            str(Place(self.block, self.transaction_id)),
            f"blob {self.blob[:_SHORT]}" if self.blob else "",
        ]
        where = "; ".join(part for part in parts if part)
        return f"{where}: {self.message}" if where else self.message


@dataclass(frozen=True, slots=True)
class Withheld:
    """A blob that the ledger names and nobody gave to the auditor."""

    digest: str
    subject: str

    def __str__(self) -> str:
        return f"{self.subject}: no file with digest {self.digest} was given to this audit"


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The result of an audit, a function of chain and blobs alone: two auditors who saw the same get the same.

    `passed` is true when there is no failure, and no withheld blob unless those were allowed. `counts` has every
    check that looked at something. `genesis_digest` is what the auditor was given to trust; `tip_digest` is the
    header hash of the last verified block, `height` the number of verified blocks.
    """

    version: int
    passed: bool
    height: int
    genesis_digest: str
    tip_digest: str
    allow_missing: bool
    counts: tuple[tuple[str, int], ...]
    failures: tuple[Failure, ...]
    withheld: tuple[Withheld, ...]

    def count(self, check: Check) -> int:
        """Return how many things this check looked at."""
        return dict(self.counts).get(check.value, 0)

    def to_json(self) -> dict[str, Json]:
        """Return the canonical JSON object."""
        return {
            "version": self.version,
            "passed": self.passed,
            "height": self.height,
            "genesis_digest": self.genesis_digest,
            "tip_digest": self.tip_digest,
            "allow_missing": self.allow_missing,
            "counts": dict(self.counts),
            "failures": [records.to_json(failure) for failure in self.failures],
            "withheld": [records.to_json(blob) for blob in self.withheld],
        }

    @property
    def digest(self) -> str:
        """The SHA-256 of the canonical JSON: what `audit:RecordEvaluation` puts on the ledger."""
        return canonical.digest(self.to_json())


@dataclass(slots=True)
class Findings:
    """Collects while an audit runs; nothing here stops a check."""

    progress: Callable[[Check, int], None] | None = None
    counts: Counter[Check] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    withheld: dict[str, Withheld] = field(default_factory=dict)

    def count(self, check: Check, number: int = 1) -> None:
        """Note that `number` more things were looked at."""
        self.counts[check] += number
        if self.progress is not None and number:
            self.progress(check, self.counts[check])

    def fail(self, check: Check, message: str, place: Place = NOWHERE, blob: str = "") -> None:
        """Note a failure once, however many checks run into it."""
        failure = Failure(check, message, place.block, place.transaction_id, blob)
        if failure not in self.failures:
            self.failures.append(failure)

    def miss(self, digest: str, subject: str) -> None:
        """Note a blob that nobody gave to the auditor, under its first subject."""
        self.withheld.setdefault(digest, Withheld(digest, subject))

    def counted(self) -> tuple[tuple[str, int], ...]:
        """Return the counts of every check that looked at something, in the order of `Check`."""
        return tuple((check.value, self.counts[check]) for check in Check if self.counts[check])
