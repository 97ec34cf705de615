"""One well-formed request for every transaction: what generic tests and the fuzzer start from."""

from __future__ import annotations

from typing import Any

from tests.chaincode.scenario import AGGREGATOR, COORDINATOR, TASK, digest, spec

_ROUND: dict[str, Any] = {"task_id": TASK, "round": 1}
_EPOCH: dict[str, Any] = {"task_id": TASK, "epoch": 1}
_ATTEMPT: dict[str, Any] = {**_ROUND, "attempt": 1}
SHARE = {"subject": "sum", "digest": digest("share"), "size_bytes": 500}
_BETA = {"msp_id": "BetaMSP", "name": "Beta", "region": "EU"}
_ALPHA = {"msp_id": "AlphaMSP", "name": "Alpha", "region": "EU"}

REQUESTS: dict[str, dict[str, Any]] = {
    "federation:Found": {"federation_id": "hospitals", "name": "Hospitals", "organizations": [_ALPHA, _BETA]},
    "federation:AdmitOrganization": {"msp_id": "DeltaMSP", "name": "Delta", "region": "EU"},
    "federation:SuspendOrganization": {"msp_id": "GammaMSP"},
    "federation:EnrolParticipant": {"participant_id": "alpha-9"},
    "federation:Leave": {"participant_id": "alpha-1"},
    "federation:AnnounceNode": {
        "role": "verifier",
        "node_id": "alpha-verifier",
        "address": "127.0.0.1:7051",
    },
    "federation:GetFederation": {},
    "federation:ListOrganizations": {},
    "federation:ListParticipants": {},
    "federation:ListNodes": {},
    "federation:WhoAmI": {},
    "key:OpenEpoch": {
        "task_id": TASK,
        "epoch": 1,
        "parameters_digest": digest("parameters"),
        "public_key_digest": digest("public key"),
        "public_key_bytes": 4096,
    },
    "key:OpenCeremony": {**_EPOCH, "expires_at": 0},
    "key:CommitKeyShare": {**_EPOCH, "share_digest": digest("share"), "share_bytes": 4000},
    "key:RevealKeyShare": {
        **_EPOCH,
        "share_digest": digest("share"),
        "dealing_digest": digest("dealing"),
        "dealing_bytes": 9000,
    },
    "key:ConfirmKey": {**_EPOCH, "joint_key_digest": digest("joint key"), "joint_key_bytes": 8000},
    "key:Complain": {
        **_EPOCH,
        "against": "BetaMSP",
        "reason": "a wrong share",
        "evidence_digest": digest("the share"),
    },
    "key:CloseCeremony": _EPOCH,
    "key:RetireEpoch": {**_EPOCH, "reason": "rotation"},
    "key:GrantKey": {**_EPOCH, "participant_id": "alpha-1", "digest": digest("key"), "size_bytes": 300},
    "key:Get": _EPOCH,
    "key:List": {"task_id": TASK},
    "key:GetCeremony": _EPOCH,
    "key:ListCeremonies": {"task_id": TASK},
    "opening:Offer": {
        **_ATTEMPT,
        "mask_digest": digest("masks"),
        "zero_digest": digest("zero"),
        "zero_bytes": 1,
    },
    "opening:Begin": _ATTEMPT,
    "opening:PostShares": {**_ATTEMPT, "shares": [SHARE]},
    "opening:Blame": {**_ATTEMPT, "against": "BetaMSP", "evidence_digest": digest("share")},
    "task:Create": {"spec": spec()},
    "task:Publish": {"task_id": TASK},
    "task:Register": {"task_id": TASK, "samples": 100},
    "task:Withdraw": {"task_id": TASK},
    "task:Start": {"task_id": TASK},
    "task:Close": {"task_id": TASK},
    "task:Abandon": {"task_id": TASK, "reason": "the data were recalled"},
    "task:Get": {"task_id": TASK},
    "task:List": {},
    "task:ListRegistrations": {"task_id": TASK},
    "round:Open": {"task_id": TASK},
    "round:CommitUpdate": {**_ROUND, "digest": digest("update"), "size_bytes": 800, "weight": 100},
    "round:AcknowledgeUploads": {
        **_ROUND,
        "uploads": [{"participant_id": "alpha-1", "digest": digest("update")}],
    },
    "round:Seal": _ROUND,
    "round:ProposeAggregate": {
        **_ROUND,
        "aggregate_digest": digest("aggregate"),
        "aggregate_bytes": 900,
        "scores_digest": "",
    },
    "round:AttestAggregate": {**_ROUND, "aggregate_digest": digest("aggregate"), "scores_digest": ""},
    "round:ConfirmAggregate": _ROUND,
    "round:PostScores": {**_ROUND, "scores": [{"participant_id": "alpha-1", "alignment": -5}]},
    "round:ReleaseShare": {
        **_ROUND,
        "aggregate_digest": digest("aggregate"),
        "sum_digest": digest("sum"),
        "sum_bytes": 96,
    },
    "round:PublishModel": {
        **_ROUND,
        "model_digest": digest("model"),
        "model_bytes": 48,
        "direction_digest": digest("direction"),
        "metrics": {"accuracy_ppb": 1, "loss_ppb": 2, "samples": 3},
    },
    "round:Abort": {**_ROUND, "reason": "a verifier disagreed"},
    "round:Get": _ROUND,
    "round:GetCurrent": {"task_id": TASK},
    "reward:Mint": {"msp_id": COORDINATOR, "amount": 10, "reference": "grant"},
    "reward:Fund": {"task_id": TASK, "amount": 10, "reference": "pool"},
    "reward:Settle": _ROUND,
    "reward:ListAccounts": {},
    "reward:Statement": {"account": f"org:{AGGREGATOR}"},
    "reward:GetSettlement": _ROUND,
    "reward:Conservation": {},
    "reputation:List": {"task_id": TASK},
    "reputation:Get": {"task_id": TASK, "participant_id": "alpha-1"},
    "model:Get": _ROUND,
    "model:Lineage": {"task_id": TASK},
    "audit:RecordEvaluation": {
        "task_id": TASK,
        "report_digest": digest("report"),
        "passed": True,
        "block_height": 40,
    },
    "audit:ListEvaluations": {"task_id": TASK},
    "governance:ProposeUpgrade": {"sequence": 2, "version": "2", "source_digest": digest("source")},
    "governance:ApproveUpgrade": {"sequence": 2, "version": "2", "source_digest": digest("source")},
    "governance:GetUpgrade": {"sequence": 2, "version": "2"},
    "governance:ListUpgrades": {},
}
