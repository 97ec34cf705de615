"""The port `ThresholdScheme`: what anybody can do under a joint key. Nothing here knows a secret of the key.

Decides what is checked of messages under the key, and that what was opened is a sum that well-formed updates can have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.domain.ports import AggregateHeader, OpeningTerms, UpdateHeader, UpdateName
from bfl_fabric.errors import ConfigurationError, KeyHolderRefused, MalformedInput, NotFound
from bfl_fabric.he.lattice.bodies import (
    KeyName,
    RawPolynomial,
    begin_sum,
    begin_upload,
    checked,
    mask_count,
    polynomials_bytes,
    raw_polynomials,
)
from bfl_fabric.he.lattice.channels import message_polynomial
from bfl_fabric.he.lattice.columns import check_polynomials, checked_columns
from bfl_fabric.he.lattice.messages import (
    HEADER_BYTES,
    Header,
    Kind,
    Reader,
    open_message,
    require,
)
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.lattice.sums import inspected_sum, sum_of, sum_of_sums, upload_header
from bfl_fabric.he.lattice.terms import LatticeTerms
from bfl_fabric.he.lattice.threads import do_each, each
from bfl_fabric.he.scoring.directions import draw_plan
from bfl_fabric.he.scoring.plan import DirectionPlan
from bfl_fabric.he.scoring.scalars import base_scalars
from bfl_fabric.he.scoring.shares import ScoreShare, combine, read_share
from bfl_fabric.he.threshold import keymessages, masks
from bfl_fabric.he.threshold.combination import opened_sum
from bfl_fabric.he.threshold.encryption import JointEncryptor
from bfl_fabric.he.threshold.masks import MaskSum
from bfl_fabric.he.threshold.proof import Statement, read_rest, verify
from bfl_fabric.he.threshold.shares import read_share as read_sum_share
from bfl_fabric.he.threshold.shares import share_header


class JointScheme:
    """The scheme under one joint key.

    Raises:
        MalformedInput: the blob is not a joint key of these terms.
    """

    def __init__(self, terms: LatticeTerms, joint_key: bytes) -> None:
        self._terms, self._parameters, self._ring = terms, terms.parameters, terms.parameters.ring
        self.joint_key = keymessages.read_joint_key(terms.parameters, joint_key)
        self._key = KeyName(self.joint_key.plan.epoch, self.joint_key.digest)
        self._encryptor = JointEncryptor(self.joint_key)

    @property
    def parameters_digest(self) -> str:
        return self._parameters.digest

    @property
    def levels(self) -> int:
        """The largest magnitude of a coordinate of weight 1."""
        return self._terms.levels

    def size_bytes(self, parameter_count: int) -> int:
        return HEADER_BYTES + polynomials_bytes(self._parameters, parameter_count)

    def encrypt(self, name: UpdateName, epoch: int, weight: int, values: NDArray[np.int64]) -> bytes:
        """Return the wire bytes of a fresh encryption; twice the same values give different bytes.

        Raises:
            MalformedInput: another epoch than the key's, a weight or a value beyond the task's terms.
        """
        self._require_epoch(epoch)
        self._terms.require_values(weight, values)
        header = Header(
            Kind.UPDATE, self.parameters_digest, epoch, name.round, values.size, weight, 1,
            subject=bytes.fromhex(self._key.digest), task_id=name.task_id, author=name.participant_id,
        )  # fmt: skip
        return self.encoded(header, lambda number: message_polynomial(self._parameters, values, number))

    def zero(self, opening: OpeningTerms, author: str, parameter_count: int) -> bytes:
        """Return a fresh encryption of zero by a holder. Raises MalformedInput for another epoch's opening."""
        self._require_epoch(opening.epoch)
        header = Header(
            Kind.ZERO, self.parameters_digest, opening.epoch, opening.round, parameter_count, attempt=opening.attempt,
            subject=bytes.fromhex(self._key.digest), task_id=opening.task_id, author=author,
        )  # fmt: skip
        return self.encoded(header, None)

    def encoded(
        self,
        header: Header,
        message: Callable[[int], Residues] | None,
        stream: Callable[[int], Stream] = lambda _: Stream.fresh(),
    ) -> bytes:
        """Return a message of header, masks and polynomials. Only a drill, which hides nothing, names a stream."""
        return b"".join([header.encode(), *self._encryptor.encrypt(header.parameter_count, message, stream)])

    def inspect(self, path: Path) -> UpdateHeader:
        """Check an upload completely: for this key, no mask of zeros, no mask twice. Raises MalformedInput."""
        with open_message(path, self._parameters, Kind.UPDATE) as reader:
            self._begin(reader)
            begin_upload(reader, self._parameters)
            self._check(reader, raw_polynomials(reader, self._parameters))
            return upload_header(reader)

    def _check(self, reader: Reader, raw: Iterable[RawPolynomial]) -> list[bytes]:
        """Check the masks and polynomials of an upload and return its masks, which are all different."""
        found: dict[int, bytes] = {}

        def check(one: RawPolynomial) -> None:
            checked_columns(self._parameters, one)
            if one.is_mask:
                found[one.number] = one.data

        do_each(check, raw)
        if len(set(found.values())) != mask_count(self._parameters, reader.header.parameter_count):
            raise MalformedInput(f"the upload of {reader.header.author} repeats one of its masks")
        return [found[number] for number in sorted(found)]

    def mask(self, upload: Path) -> bytes:
        """Return the mask message of an upload that `inspect` has passed: its header and its masks."""
        with open_message(upload, self._parameters, Kind.UPDATE) as reader:
            self._begin(reader)
            begin_upload(reader, self._parameters)
            size = masks.masks_bytes(self._parameters, reader.header.parameter_count)
            return _mask_header(reader.header).encode() + reader.bytes(size)

    def inspect_mask(self, path: Path) -> UpdateHeader:
        """Check a mask message completely and return its header. Raises MalformedInput."""
        with open_message(path, self._parameters, Kind.MASK) as reader:
            self._begin(reader)
            masks.begin_mask(reader, self._parameters)
            check_polynomials(self._parameters, masks.raw_masks(reader, self._parameters))
            return upload_header(reader)

    def aggregate(self, uploads: Iterable[Path]) -> bytes:
        """Return the wire bytes of the sum; each upload passes the gate while it is added. Raises MalformedInput."""
        return sum_of(self._terms, self._key, uploads)

    def add_sums(self, sums: Iterable[Path]) -> bytes:
        """Return the sum of sums without a common member: the bytes of the flat sum. Raises MalformedInput."""
        return sum_of_sums(self._terms, self._key, sums)

    def inspect_aggregate(self, path: Path) -> AggregateHeader:
        """Check an aggregate completely and return its header. Raises MalformedInput."""
        return inspected_sum(self._terms, self._key, path)

    def masks_digest(self, masks: Sequence[Path], zeros: Sequence[Path]) -> str:
        """Return the digest of the sum of these masks and those of the zeros. Raises MalformedInput."""
        running = MaskSum(self._parameters, self._key)
        for mask in masks:
            running.add(mask)
        for zero in zeros:
            running.add_zero(zero)
        return running.digest(running.total())

    def combine(
        self, opening: OpeningTerms, aggregate: Path, zeros: Sequence[Path], shares: Mapping[str, Path]
    ) -> NDArray[np.int64]:
        """Return the exact sum int64[parameter_count], or nothing of it.

        Raises:
            MalformedInput: an aggregate, zero or share is malformed; of a share the text names the holder.
            KeyHolderRefused: a share of the active set is missing, or they do not open to a well-formed sum.
        """
        self._require_epoch(opening.epoch)
        self._require_active(opening, shares)
        with open_message(aggregate, self._parameters, Kind.SUM, digested=False) as reader:
            self._begin(reader)
            begin_sum(reader, self._parameters)
            header = reader.header
            require(
                (header.task_id, header.round) == (opening.task_id, opening.round),
                f"the sum is of {header.task_id} round {header.round}",
            )
            values = opened_sum(self._parameters, self._key, opening, reader, zeros, shares)
        bound = header.weight * self._terms.levels
        if values.max() > bound or values.min() < -bound:
            raise KeyHolderRefused("it does not open to a well-formed sum")
        return values

    def score(self, upload: Path, direction: NDArray[np.int8]) -> bytes:
        """A threshold scheme has no score ciphertexts: members answer on the masks (`score_share`)."""
        raise ConfigurationError("the scheme threshold has no score ciphertexts; holders answer on masks")

    def score_bounds(
        self, total: NDArray[np.int64], direction: NDArray[np.int8], members: int
    ) -> tuple[int, int]:
        """As `score`."""
        raise ConfigurationError("the scheme threshold has no score ciphertexts; holders answer on masks")

    def score_size_bytes(self, parameter_count: int) -> int:
        """As `score`."""
        raise ConfigurationError("the scheme threshold has no score ciphertexts; holders answer on masks")

    def combine_scores(
        self,
        opening: OpeningTerms,
        direction: NDArray[np.int8],
        uploads: Mapping[str, Path],
        shares: Mapping[str, Path],
    ) -> dict[str, int]:
        """Return each participant's score from the active set's score shares.

        Raises:
            MalformedInput: an upload or a share is malformed; of a share the text names the holder.
            KeyHolderRefused: a share is missing, or the answers are not those of well-formed updates.
        """
        self._require_active(opening, shares)
        headers = {name: self._header(uploads[name]) for name in sorted(uploads)}
        weight = max((header.weight for header in headers.values()), default=0)
        if not weight:
            raise KeyHolderRefused("there are no updates to score")
        plan = draw_plan(self._parameters, self.levels, weight, direction, opening.seed)
        asked = {name: self._asked(plan, uploads[name]) for name in headers}
        masks = {name: digest for name, (digest, _) in asked.items()}
        read = [self._score_share(opening, plan, member, shares[member], masks) for member in opening.active]
        scores = {}
        for name, (_, base) in asked.items():
            tables = [share.tables[name] for share in read]
            scores[name] = plan.score(combine(plan, self.levels, headers[name].weight, base, tables))
        return scores

    def wrong_shares(
        self,
        opening: OpeningTerms,
        masks: Sequence[Path],
        zeros: Sequence[Path],
        shares: Mapping[str, Path],
        proofs: Mapping[str, Path],
    ) -> tuple[str, ...]:
        """Return the holders of the active set whose share does not have a valid proof, in order.

        What a valid proof leaves open is said in `proof`. Raises MalformedInput for a mask or zero.
        """
        self._require_epoch(opening.epoch)
        running = MaskSum(self._parameters, self._key)
        for path in masks:
            running.add(path)
        for path in zeros:
            running.add_zero(path)
        total, question = running.total(), running.question
        assert question is not None
        digest = running.digest(total)
        wrong = []
        for member in opening.active:
            header = share_header(self._parameters, opening, member, question.parameter_count, digest)
            try:
                if member not in shares or member not in proofs:
                    raise MalformedInput(f"{member} has no share, or no proof of it")
                self._require_proven(opening, header, total, shares[member], proofs[member])
            except (MalformedInput, NotFound):
                wrong.append(member)
        return tuple(wrong)

    def _score_share(
        self, opening: OpeningTerms, plan: DirectionPlan, member: str, path: Path, masks: Mapping[str, bytes]
    ) -> ScoreShare:
        try:
            share = read_share(path, plan)
            found, key = share.header, self.joint_key.plan
            require(
                (found.task_id, found.round, found.attempt, found.epoch, found.author)
                == (opening.task_id, opening.round, opening.attempt, key.epoch, member),
                "its header is not that of an answer in this attempt",
            )
            require(share.masks == masks, "it is about other updates")
        except MalformedInput as error:
            raise MalformedInput(f"the share of {member}: {error}") from error
        return share

    def _require_proven(
        self, opening: OpeningTerms, header: Header, total: Sequence[Residues], share: Path, proof: Path
    ) -> None:
        """Raises MalformedInput unless the proof is one of this share."""
        plan, member = self.joint_key.plan, header.author
        rows = read_sum_share(self._parameters, share, header)
        weight = plan.interpolation(opening.active, member)
        statement = Statement(
            plan, member, header, hashlib.sha256(share.read_bytes()).digest(), self.joint_key.commitment(member),
            [self._ring.product(mask, weight) for mask in total], rows, rows[-1][:, :0],
        )  # fmt: skip
        with open_message(proof, self._parameters, Kind.SHARE_PROOF) as reader:
            rest = read_rest(reader, plan, statement.proof_header())
            verify(replace(statement, rest=rest), reader)

    def _header(self, upload: Path) -> Header:
        with open_message(upload, self._parameters, Kind.UPDATE, digested=False) as reader:
            self._begin(reader)
            return reader.header

    def _asked(self, plan: DirectionPlan, upload: Path) -> tuple[bytes, Residues]:
        """Return the digest of an upload's mask message, and ⟨c0, g⟩ for each question; all of it is checked."""
        with open_message(upload, self._parameters, Kind.UPDATE, digested=False) as reader:
            begin_upload(reader, self._parameters)
            header, raw = reader.header, raw_polynomials(reader, self._parameters)
            found = self._check(reader, islice(raw, mask_count(self._parameters, header.parameter_count)))
            digest = hashlib.sha256(b"".join([_mask_header(header).encode(), *found])).digest()
            return digest, base_scalars(plan, each(partial(checked, reader), raw))

    def _require_active(self, opening: OpeningTerms, shares: Mapping[str, Path]) -> None:
        missing = [member for member in opening.active if member not in shares]
        if missing or len(opening.active) != self.joint_key.plan.threshold:
            raise KeyHolderRefused(
                f"the share of {', '.join(missing) or 'part of the active set'} is missing"
            )

    def _begin(self, reader: Reader) -> None:
        if reader.header.kind is Kind.SUM:
            self._require_epoch(reader.header.epoch)
        else:
            self._key.require(reader.header)
        self._terms.require_weight(reader.header.weight)

    def _require_epoch(self, epoch: int) -> None:
        if epoch != self._key.epoch:
            raise MalformedInput(f"it is for key epoch {epoch}, the joint key is of epoch {self._key.epoch}")


def _mask_header(header: Header) -> Header:
    """Return the header of the mask message of the upload with this header."""
    return Header(
        Kind.MASK, header.parameters_digest, header.epoch, header.round, header.parameter_count,
        header.weight, 1, subject=header.subject, task_id=header.task_id, author=header.author,
    )  # fmt: skip
