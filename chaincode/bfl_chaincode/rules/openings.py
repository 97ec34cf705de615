"""How a verified aggregate is opened: by the one who holds its key, or by shares of an active set.

Decides who answers in an attempt, when an attempt has failed, and when scores and sum may be posted. Whether a share
is good, the members find out when they combine; the ledger counts whom they blame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bfl_chaincode import commands
from bfl_chaincode.api import canonical, refusals
from bfl_chaincode.api.records import (
    THRESHOLD_SCHEME,
    Blame,
    DecryptionShare,
    KeyEpoch,
    NodeRole,
    Opening,
    Phase,
    Round,
    Score,
    ScoreSheet,
    ShareOffer,
    ShareSubject,
    Task,
)
from bfl_chaincode.rules import callers
from bfl_chaincode.rules.callers import Call
from bfl_chaincode.rules.federation import require_distinct
from bfl_chaincode.rules.rounds import move, require_phase, require_size

BYTES_PER_SUM_ENTRY = 8


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the ledger shows of a round's openings, as far as the transaction needs it.

    Under a single key there is nothing but task, round and scores; attempts come in their order.
    """

    task: Task
    round: Round
    epoch: KeyEpoch | None = None
    scores: ScoreSheet | None = None
    openings: tuple[Opening, ...] = ()
    shares: tuple[DecryptionShare, ...] = ()
    blames: tuple[Blame, ...] = ()

    @property
    def members(self) -> tuple[str, ...]:
        """All that hold a share of the round's key."""
        return self.epoch.members if self.epoch is not None else ()


# --- what the evidence says ---------------------------------------------------------------------


def due(evidence: Evidence) -> tuple[ShareSubject, ...]:
    """Return what the active set answers for: the sum, and the scores while a round with a direction has none."""
    unscored = evidence.round.direction_digest and evidence.scores is None
    return (ShareSubject.SCORES, ShareSubject.SUM) if unscored else (ShareSubject.SUM,)


def due_at(evidence: Evidence, opening: Opening) -> int:
    """Return when answers are late; an attempt may begin before its round is verified, its time does not."""
    step = evidence.task.spec.schedule.share_seconds * 1000
    return max(opening.deadline_at, evidence.round.changed_at + step)


def excluded(evidence: Evidence) -> tuple[str, ...]:
    """Return the members, sorted, that more than half of the others blame in one attempt."""
    accused = [(item.attempt, item.against) for item in evidence.blames]
    others = len(evidence.members) - 1
    found = [name for attempt, name in accused if 2 * accused.count((attempt, name)) > others]
    return tuple(sorted(dict.fromkeys(found)))


def has_failed(evidence: Evidence, opening: Opening, at: int) -> bool:
    """An attempt has failed once an active member is excluded, or a share that is due is late."""
    if any(name in excluded(evidence) for name in opening.members):
        return True
    late = at >= due_at(evidence, opening)
    return late and any(_missing(evidence, opening, subject) for subject in due(evidence))


def _missing(evidence: Evidence, opening: Opening, subject: ShareSubject) -> tuple[str, ...]:
    posted = [
        item.msp_id for item in evidence.shares if item.attempt == opening.attempt and item.subject is subject
    ]
    return tuple(name for name in opening.members if name not in posted)


# --- an attempt ---------------------------------------------------------------------------------


def offer(command: commands.Offer, evidence: Evidence, call: Call) -> ShareOffer:
    """Take a member's offer to answer after an attempt that has failed, the newest in evidence.

    It brings a fresh encryption of zero: a second answer to the same ciphertext would leak.
    """
    callers.require_role(call, NodeRole.KEY_HOLDER)
    callers.require_key_member(call, evidence.members)
    require_phase(evidence.round, Phase.VERIFIED)
    if call.caller.msp_id in excluded(evidence):
        raise refusals.MemberExcluded(f"most others blame {call.caller.msp_id}")
    previous = [item for item in evidence.openings if item.attempt == command.attempt - 1]
    if not previous or not has_failed(evidence, previous[0], call.at):
        raise refusals.AttemptNotDue(f"attempt {command.attempt - 1} has not failed")
    return ShareOffer(
        task_id=command.task_id,
        round=command.round,
        attempt=command.attempt,
        msp_id=call.caller.msp_id,
        mask_digest=command.mask_digest,
        zero_digest=command.zero_digest,
        zero_bytes=command.zero_bytes,
        offered_at=call.at,
    )


def begin(command: commands.Begin, evidence: Evidence, offers: Sequence[ShareOffer], call: Call) -> Opening:
    """Begin an attempt: the first with the members that are named, a later one with those that its offers make active.

    Whom to name, the members find out among themselves: who is named and does not answer costs an attempt. The
    aggregate must be on the ledger, for the seed binds it; answers wait until it is verified.
    """
    task, round_, epoch = evidence.task, evidence.round, evidence.epoch
    callers.require_role(call, NodeRole.KEY_HOLDER)
    if epoch is None or task.spec.encryption.scheme != THRESHOLD_SCHEME:
        raise refusals.WrongScheme(f"task {command.task_id} has a single key")
    callers.require_key_member(call, epoch.members)
    require_phase(round_, Phase.AGGREGATED, Phase.VERIFIED)
    members = _named(command, epoch) if command.attempt == 1 else _offered(command, evidence, epoch, offers)
    return Opening(
        task_id=command.task_id,
        round=command.round,
        attempt=command.attempt,
        members=members,
        aggregate_digest=round_.aggregate_digest,
        seed=seed(command, members, round_.aggregate_digest, call.transaction_id),
        opened_at=call.at,
        deadline_at=call.at + task.spec.schedule.share_seconds * 1000,
        excluded=excluded(evidence),
    )


def _named(command: commands.Begin, epoch: KeyEpoch) -> tuple[str, ...]:
    require_distinct(command.members, "members")
    strangers = [name for name in command.members if name not in epoch.members]
    if strangers or len(command.members) != epoch.threshold:
        raise refusals.ActiveSetMisnamed(
            f"{len(command.members)} are named, {epoch.threshold} members of the key are needed"
        )
    return tuple(sorted(command.members))


def _offered(
    command: commands.Begin, evidence: Evidence, epoch: KeyEpoch, offers: Sequence[ShareOffer]
) -> tuple[str, ...]:
    """Return the active set among those who added the masks up to the same sum, the reliable and early first."""
    if command.members:
        raise refusals.ActiveSetMisnamed(
            f"{', '.join(command.members)} are named for attempt {command.attempt}"
        )
    without = excluded(evidence)
    agreeing = _largest_group([item for item in offers if item.msp_id not in without])
    if len(agreeing) < epoch.threshold:
        raise refusals.OffersMissing(f"{len(agreeing)} agree, {epoch.threshold} are needed")
    ranked = sorted(agreeing, key=lambda item: (_lapses(evidence, item.msp_id), item.offered_at, item.msp_id))
    return tuple(sorted(item.msp_id for item in ranked[: epoch.threshold]))


def seed(command: commands.Begin, members: Sequence[str], aggregate_digest: str, transaction_id: str) -> str:
    """Return the seed of an attempt; nobody knows it before the attempt is begun."""
    return canonical.digest(
        {
            "aggregate_digest": aggregate_digest,
            "attempt": command.attempt,
            "members": list(members),
            "round": command.round,
            "task_id": command.task_id,
            "transaction_id": transaction_id,
        }
    )


def _largest_group(offers: Sequence[ShareOffer]) -> list[ShareOffer]:
    """Return the offers of the sum of masks that most name, ties to the lower digest."""
    groups: dict[str, list[ShareOffer]] = {}
    for item in sorted(offers, key=lambda item: item.mask_digest):
        groups.setdefault(item.mask_digest, []).append(item)
    return max(groups.values(), key=len, default=[])


def _lapses(evidence: Evidence, member: str) -> int:
    """Count the attempts in which this active member answered less than another one."""
    found = 0
    for opening in evidence.openings:
        answered = [item.msp_id for item in evidence.shares if item.attempt == opening.attempt]
        most = max((answered.count(name) for name in opening.members), default=0)
        if member in opening.members and answered.count(member) < most:
            found += 1
    return found


def post_shares(
    command: commands.PostShares, evidence: Evidence, opening: Opening, call: Call
) -> tuple[DecryptionShare, ...]:
    """Take an active member's answers while its attempt stands. Its own shares are missing, so only time, blame and the
    next attempt can have ended it, and it need not read the others' shares."""
    callers.require_role(call, NodeRole.KEY_HOLDER)
    if call.caller.msp_id not in opening.members:
        raise refusals.NotActive(f"attempt {opening.attempt} is {', '.join(opening.members)}'s")
    require_phase(evidence.round, Phase.VERIFIED)
    require_distinct([share.subject for share in command.shares], "shares")
    for share in command.shares:
        if share.subject not in due(evidence):
            raise refusals.ShareNotDue(
                f"a share of the {share.subject} was sent, due is the {', the '.join(due(evidence))}"
            )
    if evidence.openings[-1].attempt != opening.attempt:
        raise refusals.AttemptFailed(
            f"attempt {opening.attempt} ended: attempt {opening.attempt + 1} has begun"
        )
    if has_failed(evidence, opening, call.at):
        raise refusals.AttemptFailed(
            f"it is {call.at}, attempt {opening.attempt} ended at {due_at(evidence, opening)} or by blame"
        )
    return tuple(
        DecryptionShare(
            task_id=command.task_id,
            round=command.round,
            attempt=command.attempt,
            subject=share.subject,
            msp_id=call.caller.msp_id,
            digest=share.digest,
            size_bytes=share.size_bytes,
            posted_at=call.at,
        )
        for share in command.shares
    )


def blame(command: commands.Blame, evidence: Evidence, opening: Opening, call: Call) -> Blame:
    """Note a member's statement that another's share is wrong; the shares in evidence are the other's."""
    callers.require_role(call, NodeRole.KEY_HOLDER)
    callers.require_key_member(call, evidence.members)
    require_phase(evidence.round, Phase.VERIFIED)
    posted = [item.msp_id for item in evidence.shares if item.attempt == opening.attempt]
    if command.against == call.caller.msp_id or command.against not in posted:
        raise refusals.BlameMisplaced(f"{call} blames {command.against} in attempt {opening.attempt}")
    return Blame(
        task_id=command.task_id,
        round=command.round,
        attempt=command.attempt,
        msp_id=call.caller.msp_id,
        against=command.against,
        evidence_digest=command.evidence_digest,
        filed_at=call.at,
    )


# --- the result ---------------------------------------------------------------------------------


def post_scores(command: commands.PostScores, evidence: Evidence, call: Call) -> ScoreSheet:
    """Take the opened scalars, one for each member of the round and nobody else."""
    round_ = evidence.round
    _require_opener(evidence, call)
    require_phase(round_, Phase.VERIFIED)
    if not round_.direction_digest:
        raise refusals.NoDirection(f"round {round_.number} has none")
    _require_answered(evidence, ShareSubject.SCORES)
    scored = sorted(command.scores, key=lambda score: score.participant_id)
    if tuple(score.participant_id for score in scored) != round_.members:
        raise refusals.MembersDiffer(f"{len(scored)} scores were sent for {len(round_.members)} members")
    return ScoreSheet(
        task_id=command.task_id,
        round=command.round,
        direction_digest=round_.direction_digest,
        scores=tuple(Score(score.participant_id, score.alignment) for score in scored),
        posted_at=call.at,
    )


def release(command: commands.ReleaseShare, evidence: Evidence, call: Call) -> Round:
    """Take the digest of the opened sum of exactly the verified aggregate."""
    round_ = evidence.round
    _require_opener(evidence, call)
    require_phase(round_, Phase.VERIFIED)
    if command.aggregate_digest != round_.aggregate_digest:
        raise refusals.DigestDiffers(
            f"{command.aggregate_digest} was opened, {round_.aggregate_digest} was verified"
        )
    if round_.direction_digest and evidence.scores is None:
        raise refusals.ScoresNotPosted(f"round {round_.number} has a direction and no scores")
    _require_answered(evidence, ShareSubject.SUM)
    require_size(command.sum_bytes, BYTES_PER_SUM_ENTRY, evidence.task)
    return move(round_, Phase.RELEASED, call, sum_digest=command.sum_digest, sum_bytes=command.sum_bytes)


def _require_opener(evidence: Evidence, call: Call) -> None:
    """The key holder, or any member that holds a share: everybody can combine the shares again."""
    callers.require_role(call, NodeRole.KEY_HOLDER)
    if evidence.epoch is None:
        callers.require_organization(call, evidence.task.spec.roles.key_holder)
    else:
        callers.require_key_member(call, evidence.members)


def _require_answered(evidence: Evidence, subject: ShareSubject) -> None:
    """Under a shared key: the newest attempt's whole active set has answered, and nobody of it is excluded."""
    if evidence.epoch is None:
        return
    if not evidence.openings:
        raise refusals.SharesMissing("no attempt was begun")
    newest = evidence.openings[-1]
    missing = _missing(evidence, newest, subject)
    if missing:
        raise refusals.SharesMissing(f"attempt {newest.attempt} has none of {', '.join(missing)}")
    blamed = [name for name in newest.members if name in excluded(evidence)]
    if blamed:
        raise refusals.AttemptFailed(f"most others blame {', '.join(blamed)}")
