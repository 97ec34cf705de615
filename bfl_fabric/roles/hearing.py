"""Which transactions of others a role need not hear of: they never make anything due for it.

A loop that wakes for each transaction reads the ledger as often as everybody together writes to it. What a role is deaf
to must not make anything due; if it did, the loop's timer would find it, later.
"""

from __future__ import annotations

from bfl_chaincode.api.records import NodeRole

_COMMITMENTS = frozenset({"round:CommitUpdate"})
_RECEIPTS = frozenset({"round:AcknowledgeUploads"})
_SUM = frozenset({"round:ProposeAggregate", "round:AttestAggregate", "round:ConfirmAggregate"})
_RESULTS = frozenset({"round:PostScores", "round:ReleaseShare"})
_SETTLED = frozenset({"reward:Settle"})
_OPENINGS = frozenset({"opening:Offer", "opening:Begin", "opening:PostShares", "opening:Blame"})
_CEREMONIES = frozenset(
    {"key:OpenCeremony", "key:CommitKeyShare", "key:RevealKeyShare", "key:ConfirmKey", "key:Complain"}
)

DEAF_TO: dict[NodeRole, frozenset[str]] = {
    NodeRole.PARTICIPANT: frozenset(
        {*_COMMITMENTS, *_RECEIPTS, "round:Seal", *_SUM, *_RESULTS, *_SETTLED, *_OPENINGS, *_CEREMONIES}
    ),
    NodeRole.VERIFIER: frozenset(
        {
            *_COMMITMENTS,
            *_RECEIPTS,
            "round:AttestAggregate",
            "round:ConfirmAggregate",
            *_RESULTS,
            *_SETTLED,
            *_OPENINGS,
            *_CEREMONIES,
        }
    ),
    NodeRole.AGGREGATOR: frozenset(
        {
            "round:Open",
            *_COMMITMENTS,
            *_RECEIPTS,
            *_SUM,
            *_RESULTS,
            "round:PublishModel",
            *_SETTLED,
            *_OPENINGS,
            *_CEREMONIES,
        }
    ),
    NodeRole.COORDINATOR: frozenset(
        {
            "round:Open",
            *_COMMITMENTS,
            "round:Seal",
            "round:ProposeAggregate",
            "round:ConfirmAggregate",
            "round:PostScores",
            *_OPENINGS,
            *_CEREMONIES,
        }
    ),
    NodeRole.KEY_HOLDER: frozenset(
        {
            "round:Open",
            *_COMMITMENTS,
            *_RECEIPTS,
            "round:AttestAggregate",
            "round:PublishModel",
            *_SETTLED,
        }
    ),
}
"""By role; uploads that arrive stir a node by themselves."""
