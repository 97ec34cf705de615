"""The opened half of a round, computed again: the sum, the model and the direction made of it, the scores' total.

Decides what follows from a released sum. That the sum is what the aggregate encrypts cannot be repeated without the
key holder's secret; the scores, which were opened apart from it, must agree with it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from bfl_chaincode.api.records import Round, ScoreSheet
from bfl_fabric.audit.ciphertexts import Workshop, direction_of
from bfl_fabric.audit.findings import Check
from bfl_fabric.audit.history import Recorded
from bfl_fabric.audit.phases import name_of
from bfl_fabric.domain.ports import AggregationScheme
from bfl_fabric.errors import BflError

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Int64Vector


class RoundResult:
    """Checks what one round opened and published."""

    def __init__(self, shop: Workshop, scheme: AggregationScheme | None, round_: Recorded[Round]) -> None:
        self._shop = shop
        self._scheme = scheme
        self._recorded = round_
        self._round = round_.value
        self._name = name_of(round_.value)

    def check(self) -> None:
        """Check the released sum, and what was published of it."""
        if not self._round.sum_digest:
            return
        total = self._sum()
        if total is None:
            return
        self._shop.findings.count(Check.SUMS)
        self._check_scores(total)
        if self._round.model_digest:
            self._check_model(total)
            self._check_direction(total)

    def _sum(self) -> Int64Vector | None:
        record = self._round
        subject = f"the sum of {self._name}"
        data = self._shop.blobs.read(record.sum_digest, subject, Check.SUMS, self._recorded.place)
        if data is None:
            return None
        if len(data) != record.sum_bytes:
            self._fail(Check.SUMS, f"{subject} has another length than the ledger says", record.sum_digest)
        try:
            return self._shop.arithmetic.unpack_sum(data, self._shop.spec.model.parameter_count)
        except BflError as error:
            self._fail(Check.SUMS, f"{subject}: {error}", record.sum_digest)
            return None

    def _check_scores(self, total: Int64Vector) -> None:
        record = self._round
        sheet = self._shop.history.find(ScoreSheet, record.task_id, record.number)
        if sheet is None or not record.direction_digest or self._scheme is None:
            return
        direction = direction_of(self._shop, self._recorded)
        if direction is None:
            return
        self._shop.findings.count(Check.ALIGNMENTS)
        low, high = self._scheme.score_bounds(total, direction, len(record.members))
        posted = sum(score.alignment for score in sheet.value.scores)
        if not low <= posted <= high:
            text = (
                f"the scores of {self._name} add up to {posted}; with the released sum they must lie from {low} to "
                f"{high}: the key holder opened one of them wrongly"
            )
            self._shop.findings.fail(Check.ALIGNMENTS, text, sheet.place, record.sum_digest)

    def _check_model(self, total: Int64Vector) -> None:
        record, shop = self._round, self._shop
        subject = f"the base model of {self._name}"
        data = shop.blobs.read(record.base_model_digest, subject, Check.MODELS, self._recorded.place)
        if data is None:
            return
        shop.findings.count(Check.MODELS)
        try:
            base = shop.arithmetic.unpack_model(data, shop.spec.model.parameter_count)
            made = shop.arithmetic.apply_sum(shop.spec.encryption, base, total, record.total_weight)
            model = shop.arithmetic.pack_model(made)
        except BflError as error:
            self._fail(
                Check.MODELS, f"the model of {self._name} cannot be made: {error}", record.model_digest
            )
            return
        found = hashlib.sha256(model).hexdigest()
        if (found, len(model)) != (record.model_digest, record.model_bytes):
            text = f"base model and sum of {self._name} make the model {found}, not the published one"
            self._fail(Check.MODELS, text, record.model_digest)
        else:
            shop.blobs.keep(found, model)

    def _check_direction(self, total: Int64Vector) -> None:
        record, shop = self._round, self._shop
        shop.findings.count(Check.DIRECTIONS)
        try:
            direction = shop.arithmetic.pack_direction(shop.arithmetic.direction(total))
        except BflError as error:
            self._fail(
                Check.DIRECTIONS, f"the direction of {self._name} cannot be made: {error}", record.sum_digest
            )
            return
        found = hashlib.sha256(direction).hexdigest()
        if found != record.next_direction_digest:
            text = f"the sum of {self._name} makes the direction {found}, not the published one"
            self._fail(Check.DIRECTIONS, text, record.next_direction_digest)
        else:
            shop.blobs.keep(found, direction)

    def _fail(self, check: Check, message: str, blob: str = "") -> None:
        self._shop.findings.fail(check, message, self._recorded.place, blob)
