"""What a member answers with its share, inside the worker process: the conditions, the journal, the answer.

Decides by itself what it can tell from bytes: who asks for which attempt, that C1 is the sum of the masks it is shown,
that nothing was answered differently before. Its node has read the ledger and checked the masks' digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bfl_chaincode.api import canonical
from bfl_chaincode.api.canonical import Json
from bfl_fabric.domain.ports import OpeningTerms
from bfl_fabric.errors import KeyHolderRefused
from bfl_fabric.he import privatefile
from bfl_fabric.he.lattice.bodies import KeyName
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.threshold import keymessages, memberfile
from bfl_fabric.he.threshold.journal import AnswerJournal
from bfl_fabric.he.threshold.masks import FIRST_RETRY, MaskSum, Question
from bfl_fabric.he.threshold.memberfile import State
from bfl_fabric.he.threshold.shares import PrivateShare, share_header

DRILL_TASK = "drill"
"""The task id of practice openings: they do not count as use of the key."""

LEAST_MASKS = 2


@dataclass(frozen=True, slots=True)
class OpenedMasks:
    """C1 of one question, added up here, and its digest."""

    question: Question
    total: list[Residues]
    digest: str
    round_digest: str


class Member:
    """One member's share of one joint key, loaded from its file."""

    def __init__(self, path: Path, joint_key_digest: str) -> None:
        """Raises KeyHolderRefused, MalformedInput or NotFound when the file is no share of that joint key."""
        self._path = path
        self._file = memberfile.read(path)
        if self._file.state not in (State.FINISHED, State.IN_USE):
            raise KeyHolderRefused(f"the secret file {path.name} holds no share: it is {self._file.state}")
        if self._file.joint_key_digest != joint_key_digest:
            raise KeyHolderRefused("the secret file is of another joint key than the one on the ledger")
        self.plan, self.name = self._file.plan, self._file.member
        self.parameters = self.plan.parameters
        self.key = KeyName(self.plan.epoch, joint_key_digest)
        rows = keymessages.read_private_share(self.plan, self._file.share)
        self.share = PrivateShare(self.plan, self.name, [self.parameters.ring.factor(row) for row in rows])
        self.journal = AnswerJournal(path.with_name(f"{path.name}.answers"))

    def sum_share(self, opening: OpeningTerms, masks: Sequence[Path], zeros: Sequence[Path]) -> bytes:
        """Return the member's SUM_SHARE for the sum of these uploads.

        Raises:
            KeyHolderRefused: a condition is not met, or another question was answered before.
            MalformedInput: a mask or zero is malformed or does not belong to the others.
        """
        self.require_asked(opening)
        opened = self.opened(opening, masks, zeros)
        question = self._question("sum", opening, opened.digest, opened.question.parameter_count)
        named: dict[str, Json] = {"task_id": opening.task_id, "round": opening.round}
        self.journal.record(
            "round", named, opened.round_digest, "the sum of other uploads of this round was answered for"
        )
        self.journal.record(
            "attempt",
            {**named, "attempt": opening.attempt, "subject": "sum"},
            question,
            f"attempt {opening.attempt} has been answered, for another question",
        )
        self.journal.record(
            "masks",
            {"masks_digest": opened.digest},
            question,
            "this sum of masks has been answered for in another attempt or to another active set",
        )
        self.begin_use(opening)
        header = share_header(
            self.parameters, opening, self.name, opened.question.parameter_count, opened.digest
        )
        answer = self.share.answer(header, opening.active, opened.total, self.noise_seed(question))
        self.journal.record(
            "answer",
            {"question": question},
            hashlib.sha256(answer).hexdigest(),
            "this question was answered with other bytes, by another version of this program",
        )
        return answer

    def require_asked(self, opening: OpeningTerms) -> None:
        """Check that this member is asked, for this epoch, in an active set of the right size."""
        plan = self.plan
        _require(
            opening.epoch == plan.epoch, f"it is for key epoch {opening.epoch}, this share of {plan.epoch}"
        )
        _require(
            opening.task_id in (plan.task_id, DRILL_TASK),
            f"it is for task {opening.task_id}, this key is of {plan.task_id}",
        )
        _require(
            opening.holders == plan.members and opening.threshold == plan.threshold,
            "its holders or its threshold are not those of the key",
        )
        _require(
            opening.active == tuple(sorted(set(opening.active))) and set(opening.active) <= set(plan.members),
            "the active set is not in ascending order, or not of holders",
        )
        _require(
            len(opening.active) == plan.threshold,
            f"the active set has {len(opening.active)} members, the threshold is {plan.threshold}",
        )
        _require(self.name in opening.active, f"{self.name} is not in the active set")
        _require(opening.attempt >= 1 and opening.round >= 1, "an opening without attempt or round")

    def opened(self, opening: OpeningTerms, masks: Sequence[Path], zeros: Sequence[Path]) -> OpenedMasks:
        """Add up the masks of an opening and check that they are of it. Raises KeyHolderRefused, MalformedInput."""
        if len(masks) < LEAST_MASKS:
            raise KeyHolderRefused("a sum of one update is that update: it is never opened")
        running = MaskSum(self.parameters, self.key)
        for mask in masks:
            running.add(mask)
        uploads = canonical.digest({"masks": list[Json](sorted(running.message_digests))})
        for zero in zeros:
            running.add_zero(zero)
        total, question = running.total(), running.question
        assert question is not None
        _require(
            (question.task_id, question.round) == (opening.task_id, opening.round),
            f"the masks are of {question.task_id} round {question.round}",
        )
        self._require_zeros(opening, running.zeros)
        return OpenedMasks(question, total, running.digest(total), uploads)

    def noise_seed(self, question: str) -> bytes:
        """Return the seed of the noise in the answer to this question: a secret."""
        return hashlib.shake_256(self._file.noise_key + bytes.fromhex(question)).digest(32)

    def question_of(self, opening: OpeningTerms, opened: OpenedMasks) -> str:
        """Return the digest of the question that such an opening asks for its sum."""
        return self._question("sum", opening, opened.digest, opened.question.parameter_count)

    def _require_zeros(self, opening: OpeningTerms, zeros: Sequence[tuple[int, str]]) -> None:
        if opening.attempt < FIRST_RETRY:
            _require(not zeros, "the first attempt has no zeros")
            return
        _require(
            (opening.attempt, self.name) in zeros,
            f"attempt {opening.attempt} without a zero of {self.name}: another set may have answered for this sum",
        )
        _require(
            all(attempt <= opening.attempt and author in self.plan.members for attempt, author in zeros),
            "a zero is of a later attempt or of no holder",
        )

    def begin_use(self, opening: OpeningTerms) -> None:
        """Forget the ceremony's seed before anything is opened that matters."""
        if opening.task_id != DRILL_TASK and self._file.state is State.FINISHED:
            self._file = self._file.in_use()
            privatefile.replace(self._path, self._file.encode())

    def _question(self, subject: str, opening: OpeningTerms, masks_digest: str, parameter_count: int) -> str:
        fields: Mapping[str, Json] = {
            "subject": subject,
            "joint_key_digest": self.key.digest,
            "task_id": opening.task_id,
            "round": opening.round,
            "attempt": opening.attempt,
            "active": list(opening.active),
            "seed": opening.seed,
            "masks_digest": masks_digest,
            "parameter_count": parameter_count,
        }
        return canonical.digest(fields)


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise KeyHolderRefused(problem)
