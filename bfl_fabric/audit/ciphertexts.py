"""The encrypted half of a round, computed again: the gate for every update, the aggregate, the score ciphertexts.

Decides what must be bit for bit the same, with public material only. Under a joint key there are no score ciphertexts.
What came out of the opening is left to `opened`, and to `shared_rounds`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import EncryptionTerms, KeyEpoch, Phase, Round, TaskSpec, UpdateCommitment
from bfl_fabric.audit.blobs import Blobs
from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.audit.history import History, Recorded
from bfl_fabric.audit.phases import name_of
from bfl_fabric.domain.ports import AggregationScheme, Arithmetic, SchemeProvider, UpdateHeader, UpdateName
from bfl_fabric.errors import BflError

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Int8Vector

S = TypeVar("S", bound=AggregationScheme)

AGREED = frozenset({Phase.VERIFIED, Phase.RELEASED, Phase.PUBLISHED, Phase.SETTLED})
"""Phases that a round reaches only with an agreed aggregate. An aborted round may hold a wrong proposal."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What one task is computed again with."""

    history: History
    spec: TaskSpec
    blobs: Blobs
    schemes: SchemeProvider
    arithmetic: Arithmetic
    findings: Findings


@dataclass(frozen=True, slots=True)
class Sound:
    """What of a round's ciphertexts passed: the members' uploads by participant id, and the bytes of their sum, None
    where it is not the agreed one or cannot be made."""

    uploads: Mapping[str, Path]
    aggregate: bytes | None


def scheme_of(shop: Workshop, epoch: Recorded[KeyEpoch]) -> AggregationScheme | None:
    """Return the scheme of a key epoch, made from its public key blob; None when that is not to be had."""
    return made_of(shop, epoch, shop.schemes.public)


def made_of(
    shop: Workshop, epoch: Recorded[KeyEpoch], make: Callable[[EncryptionTerms, bytes], S]
) -> S | None:
    """Return what `make` makes of a key epoch's blob; None, noted, when there is no sound blob."""
    record, terms = epoch.value, shop.spec.encryption
    subject = f"the public key of task {record.task_id}, epoch {record.epoch}"
    public_key = shop.blobs.read(record.public_key_digest, subject, Check.CIPHERTEXTS, epoch.place)
    if public_key is None:
        return None
    problem = "" if len(public_key) == record.public_key_bytes else "has another length than the ledger says"
    try:
        scheme = make(terms, public_key)
    except BflError as error:
        problem = f"is refused: {error}"
    else:
        if scheme.parameters_digest == terms.parameters_digest and not problem:
            return scheme
        problem = problem or "has other parameters than the task"
    shop.findings.fail(Check.CIPHERTEXTS, f"{subject} {problem}", epoch.place, record.public_key_digest)
    return None


class RoundCiphertexts:
    """Checks the ciphertexts of one round."""

    def __init__(self, shop: Workshop, scheme: AggregationScheme, round_: Recorded[Round]) -> None:
        self._shop = shop
        self._scheme = scheme
        self._recorded = round_
        self._round = round_.value
        self._name = name_of(round_.value)

    def check(self) -> Sound:
        """Check the updates; where the aggregate was agreed on, make it and the scores again."""
        uploads = self._uploads()
        aggregate = None
        if self._round.phase in AGREED and set(uploads) == set(self._round.members):
            aggregate = self._check_aggregate(uploads)
            self._check_scores(uploads)
        return Sound(uploads, aggregate)

    def _uploads(self) -> Mapping[str, Path]:
        """Return the sound uploads of the members. Of others an update may be missing, but not be wrong."""
        uploads = {}
        for update in self._shop.history.current(UpdateCommitment, self._round.task_id, self._round.number):
            required = update.value.participant_id in self._round.members
            if not required and not self._shop.blobs.has(update.value.digest):
                continue
            path = self._upload(update)
            if path is not None and required:
                uploads[update.value.participant_id] = path
        return uploads

    def _upload(self, update: Recorded[UpdateCommitment]) -> Path | None:
        record, shop = update.value, self._shop
        subject = f"the update of {record.participant_id} in {self._name}"
        path = shop.blobs.locate(record.digest, subject, Check.CIPHERTEXTS, update.place)
        if path is None:
            return None
        shop.findings.count(Check.CIPHERTEXTS)
        try:
            header = self._scheme.inspect(path)
        except BflError as error:
            problem = f"{subject} is refused: {error}"
        else:
            if header == self._expected_header(record):
                return path
            problem = f"{subject} says {header}, committed was {self._expected_header(record)}"
        shop.findings.fail(Check.CIPHERTEXTS, problem, update.place, record.digest)
        return None

    def _expected_header(self, update: UpdateCommitment) -> UpdateHeader:
        return UpdateHeader(
            UpdateName(update.task_id, update.round, update.participant_id),
            self._round.epoch,
            self._shop.spec.encryption.parameters_digest,
            self._shop.spec.model.parameter_count,
            update.weight,
            update.digest,
            update.size_bytes,
        )

    def _check_aggregate(self, uploads: Mapping[str, Path]) -> bytes | None:
        record = self._round
        self._shop.findings.count(Check.AGGREGATES)
        try:
            aggregate = self._scheme.aggregate([uploads[member] for member in record.members])
        except BflError as error:
            self._fail(Check.AGGREGATES, f"the aggregate of {self._name} cannot be made: {error}")
            return None
        found = hashlib.sha256(aggregate).hexdigest()
        if (found, len(aggregate)) == (record.aggregate_digest, record.aggregate_bytes):
            return aggregate
        text = f"the members' updates of {self._name} add up to {found}, not to the agreed aggregate"
        self._fail(Check.AGGREGATES, text, record.aggregate_digest)
        return None

    def _check_scores(self, uploads: Mapping[str, Path]) -> None:
        record = self._round
        if not record.direction_digest or self._shop.spec.roles.key_members:
            return
        direction = direction_of(self._shop, self._recorded)
        if direction is None:
            return
        rows: list[canonical.Json] = []
        try:
            for member in sorted(uploads):
                score = self._scheme.score(uploads[member], direction)
                rows.append([member, hashlib.sha256(score).hexdigest()])
                self._shop.findings.count(Check.SCORES)
        except BflError as error:
            self._fail(Check.SCORES, f"the scores of {self._name} cannot be made: {error}")
            return
        found = hashlib.sha256(canonical.text(rows).encode("utf-8")).hexdigest()
        if found != record.scores_digest:
            text = f"the score ciphertexts of {self._name} are {found}, not the agreed ones"
            self._fail(Check.SCORES, text, record.scores_digest)

    def _fail(self, check: Check, message: str, blob: str = "") -> None:
        self._shop.findings.fail(check, message, self._recorded.place, blob)


def direction_of(shop: Workshop, round_: Recorded[Round]) -> Int8Vector | None:
    """Return the direction that a round scores against; None when it is not to be had."""
    record = round_.value
    subject = f"the direction of {name_of(record)}"
    data = shop.blobs.read(record.direction_digest, subject, Check.DIRECTIONS, round_.place)
    if data is None:
        return None
    try:
        return shop.arithmetic.unpack_direction(data, shop.spec.model.parameter_count)
    except BflError as error:
        shop.findings.fail(Check.DIRECTIONS, f"{subject}: {error}", round_.place, record.direction_digest)
        return None
