"""Lies about packed keys, which are granted: how each is told, which check finds it, in which words.

The run that they are told about is `shared_run.PackedRun`.
"""

from __future__ import annotations

import hashlib

from bfl_chaincode.api.records import (
    Ceremony,
    CeremonyStatus,
    DecryptionShare,
    KeyEpoch,
    KeyGrant,
    Registration,
    ShareSubject,
    UpdateCommitment,
)
from bfl_fabric.audit.findings import Check
from tests.chaincode.scenario import TASK
from tests.chaincode.shared_scenario import SHARE_SECONDS
from tests.unit.audit.lying import (
    Lie,
    all_of,
    alter,
    forged,
    reasked,
    sender,
    terms,
    written,
)
from tests.unit.audit.shared_run import holder

FOREIGN = hashlib.sha256(b"foreign").hexdigest()
LATE = 10 * SHARE_SECONDS * 1000

LIES: dict[str, tuple[Lie, Check, str]] = {
    "a grant by another organization": (
        sender("key:GrantKey", holder("AlphaMSP")),
        Check.AUTHORITY,
        "not the organization",
    ),
    "a grant to who had not registered": (
        forged("key:GrantKey", KeyGrant, holder("GammaMSP"), participant_id="sybil"),
        Check.GRANTS,
        "to nobody who had registered",
    ),
    "a grant of a key that is not there": (
        forged("key:GrantKey", KeyGrant, holder("GammaMSP"), epoch=2),
        Check.GRANTS,
        "before there was that key",
    ),
    "a grant of other bytes": (
        alter("key:GrantKey", KeyGrant, digest=FOREIGN),
        Check.REQUESTS,
        "digest is not the one",
    ),
    "a grant of another length": (
        all_of(alter("key:GrantKey", KeyGrant, size_bytes=5), reasked("key:GrantKey", size_bytes=5)),
        Check.GRANTS,
        "has another length",
    ),
    "a grant of a scheme that has none": (terms(scheme="ckks"), Check.GRANTS, "gives silos no key"),
    "a registration without a transport key": (
        all_of(
            alter("task:Register", Registration, transport_key=""), reasked("task:Register", transport_key="")
        ),
        Check.COHORTS,
        "no key that the task's could be granted to",
    ),
    "a transport key that the silo did not send": (
        alter("task:Register", Registration, transport_key="ab" * 32),
        Check.REQUESTS,
        "transport_key is not the one",
    ),
    "a second grant to the same silo": (
        written("key:GrantKey", lambda _: KeyGrant(TASK, 1, "alpha-1", FOREIGN, 3, 0)),
        Check.RECORDS,
        "a KeyGrant is written once",
    ),
    "a packed key with members": (
        alter("key:OpenEpoch", KeyEpoch, members=("AlphaMSP", "GammaMSP"), threshold=2),
        Check.SPECS,
        "not as a single key is opened",
    ),
    "a mask under a single key": (
        alter("round:CommitUpdate", UpdateCommitment, mask_digest=FOREIGN, mask_bytes=9),
        Check.COMMITMENTS,
        "has a mask where none belongs",
    ),
    "a mask that was not asked for": (
        alter("round:CommitUpdate", UpdateCommitment, mask_digest=FOREIGN, mask_bytes=9),
        Check.REQUESTS,
        "mask_digest was not asked for",
    ),
    "a ceremony for a single key": (
        written(
            "key:GrantKey",
            lambda run: Ceremony(
                TASK, 2, ("AlphaMSP",), 1, FOREIGN, CeremonyStatus.OPEN, "AlphaMSP", 0, 0, 0
            ),
        ),
        Check.CEREMONIES,
        "fewer members than open anything",
    ),
    "a share under a single key": (
        written(
            "round:ReleaseShare",
            lambda _: DecryptionShare(TASK, 3, 1, ShareSubject.SUM, "GammaMSP", FOREIGN, 9, 0),
        ),
        Check.OPENINGS,
        "holds no share of the round's key",
    ),
}
