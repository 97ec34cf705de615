"""What a round's records prove: pure readings of a RoundView that several roles share.

The contract decides; these readings say in advance what it will find, so that roles do not ask in vain, and they
let the key holder count for itself.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeAlias

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import NodeRole, Round, RoundView, UpdateCommitment

Statement: TypeAlias = tuple[str, str]
"""(aggregate_digest, scores_digest) as one organization states them."""

MODEL_BYTES_PER_PARAMETER = 4
SUM_BYTES_PER_PARAMETER = 8
DIRECTION_BYTES_PER_PARAMETER = 1


def round_of(view: RoundView) -> Round:
    """Return the round of a view that has one."""
    assert view.round is not None
    return view.round


def commitment_of(view: RoundView, participant_id: str) -> UpdateCommitment | None:
    """Return what this participant committed in the round, None when it did not yet."""
    return next((update for update in view.updates if update.participant_id == participant_id), None)


def holders_of(view: RoundView, participant_id: str) -> frozenset[str]:
    """Return the organizations that signed a receipt for exactly the committed update."""
    commitment = commitment_of(view, participant_id)
    if commitment is None:
        return frozenset()
    return frozenset(
        receipt.msp_id
        for receipt in view.receipts
        if receipt.participant_id == participant_id and receipt.digest == commitment.digest
    )


def delivered(view: RoundView) -> frozenset[str]:
    """Return the cohort members whose update enough organizations hold, the aggregator's among them."""
    terms = view.task.spec
    return frozenset(
        member
        for member in round_of(view).cohort
        if terms.roles.aggregator in (held := holders_of(view, member))
        and len(held) >= terms.verification.receipts
    )


def members_updates(view: RoundView) -> tuple[UpdateCommitment, ...]:
    """Return the commitments of the sealed members, sorted by participant id."""
    members = frozenset(round_of(view).members)
    found = [update for update in view.updates if update.participant_id in members]
    return tuple(sorted(found, key=lambda update: update.participant_id))


def statements(view: RoundView) -> dict[str, Statement]:
    """Return what each organization says that the aggregate is; a proposal is its organization's statement."""
    round_ = round_of(view)
    stated = {one.msp_id: (one.aggregate_digest, one.scores_digest) for one in view.attestations}
    if round_.aggregate_digest:
        stated[view.task.spec.roles.aggregator] = proposal(round_)
    return stated


def proposal(round_: Round) -> Statement:
    """Return what the aggregator proposed."""
    return round_.aggregate_digest, round_.scores_digest


def agreed(view: RoundView) -> bool:
    """Say whether enough organizations, one beside the aggregator's among them, state the proposal."""
    return _enough(view, _agreeing(view))


def agreement_possible(view: RoundView, organizations: Collection[str]) -> bool:
    """Say whether the proposal can still be attested by enough of the active organizations."""
    silent = frozenset(organizations) - statements(view).keys()
    return _enough(view, _agreeing(view) | silent)


def holder_role(view: RoundView, msp_id: str) -> NodeRole:
    """Return which node of a holder organization takes uploads and signs receipts."""
    return NodeRole.AGGREGATOR if msp_id == view.task.spec.roles.aggregator else NodeRole.VERIFIER


def scores_sheet(digests: Collection[tuple[str, str]]) -> bytes:
    """Return the canonical bytes whose digest is `scores_digest`: [[participant_id, digest], …], sorted."""
    rows: list[canonical.Json] = [[participant_id, digest] for participant_id, digest in sorted(digests)]
    return _dump(rows)


def scores_sheet_bytes(members: Collection[str]) -> int:
    """Return the length of the sheet of these members: digests are all of one length."""
    return len(scores_sheet([(member, "0" * 64) for member in members]))


def _dump(rows: canonical.Json) -> bytes:
    return canonical.text(rows).encode("utf-8")


def _agreeing(view: RoundView) -> frozenset[str]:
    proposed = proposal(round_of(view))
    return frozenset(msp_id for msp_id, stated in statements(view).items() if stated == proposed)


def _enough(view: RoundView, agreeing: frozenset[str]) -> bool:
    others = agreeing - {view.task.spec.roles.aggregator}
    return bool(others) and len(agreeing) >= view.task.spec.verification.attestations
