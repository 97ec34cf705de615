"""Answers that do not open: who proves, who judges, who is blamed.

Decides nothing about what may be opened (`openable`) and makes no answer (`opening`). Whether a proof holds is the
scheme's to say, whose share is found wrong by most others is the contract's to count.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import Opening, RoundView, ShareSubject
from bfl_fabric.errors import MalformedInput, NotFound, TransferFailed
from bfl_fabric.roles import attempts
from bfl_fabric.roles.materials import Materials
from bfl_fabric.roles.openable import (
    ANSWERED,
    JUDGED,
    PROVEN,
    UNOPENED,
    OpenableRounds,
    answer_key,
    attempt_key,
    standing,
)
from bfl_fabric.roles.progress import ProgressKind
from bfl_fabric.roles.proofs import Proofs
from bfl_fabric.roles.schemes import TaskSchemes
from bfl_fabric.roles.share_holders import ShareHolders
from bfl_fabric.roles.turns import PROOF_GRACE_MS, Combine, Judge, OfOpening, OpeningState, Prove
from bfl_fabric.roles.workbench import Workbench

logger = logging.getLogger(__name__)


class UnopenedAttempts:
    """What a member does about attempts whose answers make no sum."""

    def __init__(
        self,
        bench: Workbench,
        schemes: TaskSchemes,
        rounds: OpenableRounds,
        materials: Materials,
        holders: ShareHolders,
        proofs: Proofs,
    ) -> None:
        self._bench = bench
        self._schemes = schemes
        self._rounds = rounds
        self._materials = materials
        self._holders = holders
        self._proofs = proofs

    def completed(self, view: RoundView, state: OpeningState) -> OpeningState:
        """Return the state with what is known of a newest attempt whose answers do not open."""
        if not view.openings:
            return state
        opening, journal = view.openings[-1], self._bench.ports.journal
        key = attempt_key(opening)
        unopened_at = journal.find(UNOPENED, key)
        if unopened_at is None:
            return state
        return replace(
            state,
            unopened_at=int(unopened_at),
            proofs=frozenset(self._proofs.here(opening)),
            has_proven=journal.find(PROVEN, key) is not None,
            has_judged=journal.find(JUDGED, key) is not None,
        )

    def note_unopened(self, opening: Opening) -> None:
        """Write down when it was found that the answers of an attempt make no sum."""
        self._note(UNOPENED, opening, str(self._bench.ports.clock.now_ms()))

    async def blame(self, action: Combine, view: RoundView, error: MalformedInput) -> None:
        """Name the holder of a malformed share, if it is one; the evidence is the share itself, for all to read."""
        posted = attempts.shares_of(view, standing(view, action.attempt), action.subject)
        for name, share in posted.items():
            if f"the share of {name}:" in str(error):
                await self._accuse(action, name, share.digest)

    async def prove(self, action: Prove) -> None:
        """Prove one's own answer for the sum to the others. Raises NotFound when there is none."""
        view = await self._rounds.read(action)
        opening, holder = standing(view, action.attempt), await self._holders.of(view)
        digest = self._bench.ports.journal.find(ANSWERED, answer_key(opening, ShareSubject.SUM))
        if digest is None:
            raise NotFound(f"{action.label}: no answer of this member is written down")
        masks, zeros = (
            await self._materials.masks(action, view),
            await self._materials.zeros(action, view, opening),
        )
        terms, share = attempts.terms_of(view, action.attempt, opening), await self._bench.read(digest)
        proof = await self._bench.work(holder.prove, terms, list(masks.values()), zeros, share)
        try:
            await self._proofs.bring(action, view, opening, proof)
        except TransferFailed:
            found = int(self._bench.ports.journal.find(UNOPENED, attempt_key(opening)) or 0)
            if self._bench.ports.clock.now_ms() < found + PROOF_GRACE_MS:
                raise
        self._note(PROVEN, opening, digest)

    async def judge(self, action: Judge) -> None:
        """Blame every other member of the active set whose share is not proven."""
        view = await self._rounds.read(action)
        opening, scheme = standing(view, action.attempt), await self._schemes.joint(view)
        masks, zeros = (
            await self._materials.masks(action, view),
            await self._materials.zeros(action, view, opening),
        )
        shares = await self._materials.shares(action, view, opening, ShareSubject.SUM)
        proofs = {
            name: self._bench.ports.blobs.path(digest) for name, digest in self._proofs.here(opening).items()
        }
        terms = attempts.terms_of(view, action.attempt, opening)
        wrong = await self._bench.work(
            scheme.wrong_shares, terms, list(masks.values()), zeros, shares, proofs
        )
        if not wrong:
            logger.error(
                "%s: all answers are proven, so a silo's mask is crafted: retire the key", action.label
            )
        for name in wrong:
            evidence = self._proofs.here(opening).get(name) or self._bench.ports.blobs.put(b"no proof")
            await self._accuse(action, name, evidence)
        self._note(JUDGED, opening, ",".join(wrong))

    def _note(self, kind: str, opening: Opening, value: str) -> None:
        """Write down how it stands with an attempt, the first time."""
        if self._bench.ports.journal.find(kind, attempt_key(opening)) is None:
            self._bench.ports.journal.record(kind, attempt_key(opening), value)

    async def _accuse(self, action: OfOpening, name: str, evidence: str) -> None:
        if name == self._bench.identity.msp_id:
            logger.error(
                "%s: one's own share is found wrong; look at this node's disk and memory", action.label
            )
            return
        request: dict[str, Json] = {**action.named, "against": name, "evidence_digest": evidence}
        await self._bench.transact(action, "opening:Blame", request)
        self._bench.report(ProgressKind.BLAMED, action, name, attempt=action.attempt)
