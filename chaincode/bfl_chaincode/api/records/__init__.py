"""The records that the ledger holds, and the views that its queries return.

Every record is frozen and has one canonical JSON form (`to_json`, `from_json`). Moments (`…_at`) are integer
milliseconds since 1970-01-01 UTC, taken from the transaction; digests are SHA-256 in lower-case hex, `""` where
there is none yet; ratios are parts per billion (`…_ppb`); amounts are minor units; decimals are strings.
Fields are only ever added, with a default (`forms.added`), so that old ledgers stay readable.
"""

from __future__ import annotations

from bfl_chaincode.api.records.forms import PPB, from_json, to_json
from bfl_chaincode.api.records.keys import (
    Ceremony,
    CeremonyStatus,
    KeyCommitment,
    KeyComplaint,
    KeyConfirmation,
    KeyEpoch,
    KeyGrant,
    KeyReveal,
)
from bfl_chaincode.api.records.openings import Blame, DecryptionShare, Opening, ShareOffer, ShareSubject
from bfl_chaincode.api.records.parties import (
    Attribute,
    Caller,
    Evaluation,
    Federation,
    Node,
    NodeRole,
    Organization,
    Participant,
    Upgrade,
    UpgradeStatus,
)
from bfl_chaincode.api.records.rewards import Balance, Conservation, Entry, Payout, Reputation, Settlement
from bfl_chaincode.api.records.rounds import (
    Attestation,
    Metrics,
    ModelRecord,
    Phase,
    Receipt,
    Round,
    Score,
    ScoreSheet,
    UpdateCommitment,
)
from bfl_chaincode.api.records.tasks import Progress, Registration, Task, TaskStatus
from bfl_chaincode.api.records.terms import (
    PACKED_SCHEME,
    THRESHOLD_SCHEME,
    CohortTerms,
    DataTerms,
    EncryptionTerms,
    IncentiveTerms,
    ModelTerms,
    RoleTerms,
    ScheduleTerms,
    TaskSpec,
    Tensor,
    TrainingTerms,
    VerificationTerms,
)
from bfl_chaincode.api.records.views import CeremonyView, RoundView

__all__ = [
    "PACKED_SCHEME",
    "PPB",
    "THRESHOLD_SCHEME",
    "Attestation",
    "Attribute",
    "Balance",
    "Blame",
    "Caller",
    "Ceremony",
    "CeremonyStatus",
    "CeremonyView",
    "CohortTerms",
    "Conservation",
    "DataTerms",
    "DecryptionShare",
    "EncryptionTerms",
    "Entry",
    "Evaluation",
    "Federation",
    "IncentiveTerms",
    "KeyCommitment",
    "KeyComplaint",
    "KeyConfirmation",
    "KeyEpoch",
    "KeyGrant",
    "KeyReveal",
    "Metrics",
    "ModelRecord",
    "ModelTerms",
    "Node",
    "NodeRole",
    "Opening",
    "Organization",
    "Participant",
    "Payout",
    "Phase",
    "Progress",
    "Receipt",
    "Registration",
    "Reputation",
    "RoleTerms",
    "Round",
    "RoundView",
    "ScheduleTerms",
    "Score",
    "ScoreSheet",
    "Settlement",
    "ShareOffer",
    "ShareSubject",
    "Task",
    "TaskSpec",
    "TaskStatus",
    "Tensor",
    "TrainingTerms",
    "UpdateCommitment",
    "Upgrade",
    "UpgradeStatus",
    "VerificationTerms",
    "from_json",
    "to_json",
]
