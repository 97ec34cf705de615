"""Rounds under a joint key, opened again: masks of the committed uploads, and shares that give scores and sum.

Decides with public material only, and from the shares of exactly the attempt that the ledger's result stands on. With
the updates and these shares everybody can make the opened sum; nobody can open anything else.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bfl_chaincode.api.records import (
    DecryptionShare,
    KeyGrant,
    Opening,
    Phase,
    Round,
    ScoreSheet,
    ShareOffer,
    ShareSubject,
    UpdateCommitment,
)
from bfl_fabric.audit import attempts
from bfl_fabric.audit.attempts import Standing
from bfl_fabric.audit.ciphertexts import Sound, Workshop, direction_of
from bfl_fabric.audit.findings import Check, Place
from bfl_fabric.audit.history import Recorded
from bfl_fabric.audit.phases import name_of
from bfl_fabric.domain.ports import OpeningTerms, ThresholdScheme
from bfl_fabric.errors import BflError


class SharedRound:
    """Checks what key members made of one round. `sound` are its ciphertexts that passed."""

    def __init__(
        self, shop: Workshop, scheme: ThresholdScheme, round_: Recorded[Round], sound: Sound
    ) -> None:
        self._shop = shop
        self._scheme = scheme
        self._recorded = round_
        self._round = round_.value
        self._sound = sound
        self._name = name_of(round_.value)

    def check(self) -> None:
        """Check masks and agreed questions, given shares, the scores and the sum."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bfl-audit-")))
            masks = self._masks(folder)
            if masks and masks.keys() == frozenset(self._round.members):
                self._check_questions([masks[name] for name in self._round.members])
            self._check_given()
            self._check_scores()
            self._check_sum(folder)

    # --- masks ----------------------------------------------------------------------------------

    def _masks(self, folder: Path) -> Mapping[str, Path]:
        """Return the members' masks, taken out of their uploads; each is the committed one."""
        masks = {}
        for update in self._shop.history.current(UpdateCommitment, self._round.task_id, self._round.number):
            record, upload = update.value, self._sound.uploads.get(update.value.participant_id)
            if upload is None:
                continue
            self._shop.findings.count(Check.MASKS)
            subject = f"the mask of {record.participant_id} in {self._name}"
            try:
                mask = self._scheme.mask(upload)
            except BflError as error:
                self._fail(Check.MASKS, f"{subject} cannot be taken: {error}", update.place, record.digest)
                continue
            if (hashlib.sha256(mask).hexdigest(), len(mask)) != (record.mask_digest, record.mask_bytes):
                text = f"{subject} that was committed is not that of the committed update"
                self._fail(Check.MASKS, text, update.place, record.mask_digest)
                continue
            masks[record.participant_id] = folder / record.mask_digest
            masks[record.participant_id].write_bytes(mask)
        return masks

    def _check_questions(self, masks: Sequence[Path]) -> None:
        """The sum of masks that an active set answered for is that of the committed ones."""
        openings = list(self._shop.history.current(Opening, self._round.task_id, self._round.number))
        if not openings:
            return
        self._shop.findings.count(Check.MASKS)
        try:
            found = self._scheme.masks_digest(masks, ())
        except BflError as error:
            self._fail(Check.MASKS, f"the masks of {self._name} cannot be added up: {error}")
            return
        for opening in openings:
            for offer in self._offers(opening.value):
                if offer.value.mask_digest != found:
                    text = (
                        f"{offer.value.msp_id} answered in attempt {offer.value.attempt} of {self._name} for "
                        f"other masks than those that were committed, which add up to {found}"
                    )
                    self._fail(Check.MASKS, text, offer.place, offer.value.mask_digest)

    # --- shares ---------------------------------------------------------------------------------

    def _check_given(self) -> None:
        """Of attempts that led to nothing, shares and zeros may be missing, but not be wrong."""
        for share in self._shop.history.current(DecryptionShare, self._round.task_id, self._round.number):
            if self._shop.blobs.has(share.value.digest):
                self._located(share, share.value.digest, share.value.size_bytes, _words(share.value))
        for offer in self._shop.history.current(ShareOffer, self._round.task_id, self._round.number):
            if offer.value.zero_digest and self._shop.blobs.has(offer.value.zero_digest):
                self._zero(offer)

    def _check_scores(self) -> None:
        sheet = self._shop.history.find(ScoreSheet, self._round.task_id, self._round.number)
        at = None if sheet is None else self._standing(sheet.order)
        if sheet is None or at is None or not at.openings or not self._is_complete():
            return
        shares = self._shares(at.openings[-1], ShareSubject.SCORES)
        direction = direction_of(self._shop, self._recorded) if shares else None
        if not shares or direction is None:
            return
        self._shop.findings.count(Check.SHARES)
        terms = _terms(at, at.openings[-1])
        try:
            scores = self._scheme.combine_scores(terms, direction, self._sound.uploads, shares)
        except BflError as error:
            self._fail(
                Check.SHARES, f"the shares do not open the scores of {self._name}: {error}", sheet.place
            )
            return
        for score in sheet.value.scores:
            if scores.get(score.participant_id) != score.alignment:
                text = (
                    f"the score of {score.participant_id} in {self._name} was posted as {score.alignment}, the "
                    f"shares open {scores.get(score.participant_id)}"
                )
                self._fail(Check.SHARES, text, sheet.place)

    def _check_sum(self, folder: Path) -> None:
        released = self._released()
        at = None if released is None else self._standing(released.order)
        if released is None or at is None or not at.openings:
            return
        opening = at.openings[-1]
        shares, zeros = self._shares(opening, ShareSubject.SUM), self._zeros(opening)
        aggregate = self._aggregate(folder) if shares and zeros is not None else None
        if not shares or zeros is None or aggregate is None:
            return
        self._shop.findings.count(Check.SHARES)
        place, digest = released.place, released.value.sum_digest
        try:
            total = self._scheme.combine(_terms(at, opening), aggregate, zeros, shares)
            packed = self._shop.arithmetic.pack_sum(total)
        except BflError as error:
            text = f"the shares do not open the sum of {self._name}: {error}"
            self._fail(Check.SHARES, text, place, digest)
            return
        found = hashlib.sha256(packed).hexdigest()
        if (found, len(packed)) != (digest, released.value.sum_bytes):
            text = f"the shares open the sum {found} of {self._name}, not the released one"
            self._fail(Check.SHARES, text, place, digest)
            return
        self._shop.blobs.keep(found, packed)

    def _aggregate(self, folder: Path) -> Path | None:
        digest = self._round.aggregate_digest
        if self._sound.aggregate is None:
            subject = f"the aggregate of {self._name}"
            return self._shop.blobs.locate(digest, subject, Check.AGGREGATES, self._recorded.place)
        path = folder / digest
        path.write_bytes(self._sound.aggregate)
        return path

    def _shares(self, opening: Opening, subject: ShareSubject) -> Mapping[str, Path]:
        """Return the active set's shares by MSP id, ascending; nothing unless all are there."""
        found = {}
        key = (opening.task_id, opening.round, opening.attempt, subject.value)
        for share in self._shop.history.current(DecryptionShare, *key):
            if share.value.msp_id in opening.members:
                path = self._located(share, share.value.digest, share.value.size_bytes, _words(share.value))
                if path is not None:
                    found[share.value.msp_id] = path
        return found if tuple(found) == opening.members else {}

    def _zeros(self, opening: Opening) -> Sequence[Path] | None:
        """Return the zeros that the active set added in this attempt; None unless all are there."""
        offers = [offer for offer in self._offers(opening) if offer.value.zero_digest]
        paths = [self._zero(offer) for offer in offers]
        sound = [path for path in paths if path is not None]
        return sound if len(sound) == len(paths) else None

    def _zero(self, offer: Recorded[ShareOffer]) -> Path | None:
        record = offer.value
        words = f"the zero of {record.msp_id} in attempt {record.attempt}"
        return self._located(offer, record.zero_digest, record.zero_bytes, words)

    def _offers(self, opening: Opening) -> list[Recorded[ShareOffer]]:
        """Return the offers of an attempt's active set, by MSP id."""
        key = (opening.task_id, opening.round, opening.attempt)
        found = self._shop.history.current(ShareOffer, *key)
        return [offer for offer in found if offer.value.msp_id in opening.members]

    def _located(
        self,
        recorded: Recorded[DecryptionShare] | Recorded[ShareOffer],
        digest: str,
        size_bytes: int,
        words: str,
    ) -> Path | None:
        subject = f"{words} of {self._name}"
        path = self._shop.blobs.locate(digest, subject, Check.SHARES, recorded.place)
        if path is None or path.stat().st_size == size_bytes:
            return path
        self._fail(Check.SHARES, f"{subject} has another length than the ledger says", recorded.place, digest)
        return None

    # --- readings -------------------------------------------------------------------------------

    def _is_complete(self) -> bool:
        return self._sound.uploads.keys() == frozenset(self._round.members)

    def _standing(self, order: int) -> Standing | None:
        found = attempts.standing(self._shop.history, order, self._round.task_id, self._round.number)
        return None if found is None or found.epoch is None else found

    def _released(self) -> Recorded[Round] | None:
        for versions in self._shop.history.versions(Round, self._round.task_id, self._round.number):
            for version in versions:
                if version.value.phase is Phase.RELEASED:
                    return version
        return None

    def _fail(self, check: Check, message: str, place: Place | None = None, blob: str = "") -> None:
        self._shop.findings.fail(check, message, self._recorded.place if place is None else place, blob)


def check_grants(shop: Workshop) -> None:
    """Hold given grants of a packed key against the ledger. Only their silos can open them, so they may be missing."""
    for grant in shop.history.current(KeyGrant, shop.spec.task_id):
        record = grant.value
        if not shop.blobs.has(record.digest):
            continue
        subject = f"the grant of key {record.epoch} of task {record.task_id} to {record.participant_id}"
        path = shop.blobs.locate(record.digest, subject, Check.GRANTS, grant.place)
        if path is not None and path.stat().st_size != record.size_bytes:
            text = f"{subject} has another length than the ledger says"
            shop.findings.fail(Check.GRANTS, text, grant.place, record.digest)


def _words(share: DecryptionShare) -> str:
    return f"the {share.subject} share of {share.msp_id} in attempt {share.attempt}"


def _terms(at: Standing, opening: Opening) -> OpeningTerms:
    assert at.epoch is not None
    return OpeningTerms(
        task_id=opening.task_id,
        round=opening.round,
        attempt=opening.attempt,
        epoch=at.epoch.epoch,
        holders=at.epoch.members,
        threshold=at.epoch.threshold,
        active=opening.members,
        seed=opening.seed,
    )
