"""A joint key that nobody needs: the form of a threshold scheme on numbers in the clear. For simulations only.

Commitments, dealings, masks, zeros and shares are there, bound to each other as in the real scheme, with the same
refusals: a share answers one question, the same question gets the same bytes, another one in the same attempt or
about the same masks is refused.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bfl_chaincode.api import canonical
from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import EncryptionTerms, from_json, to_json
from bfl_fabric.domain.ports import AggregateHeader, CeremonyPlan, OpeningTerms, UpdateHeader, UpdateName
from bfl_fabric.errors import DealingRefused, KeyHolderRefused, MalformedInput, NotFound
from bfl_fabric.testing.scheme import (
    NONCE_BITS,
    SCHEME_NAME,
    AggregateBody,
    Body,
    PlainKey,
    PlainScheme,
    UpdateBody,
    common,
    plain_parameters_digest,
    sha256,
    write,
)

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Int8Vector, Int64Vector

NOTHING = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class JointKey:
    """The joint key's blob."""

    scheme: str
    parameters_digest: str
    key_digest: str
    task_id: str
    epoch: int
    members: tuple[str, ...]
    threshold: int


@dataclass(frozen=True, slots=True)
class MaskBody(Body):
    participant_id: str
    weight: int
    nonce: str


@dataclass(frozen=True, slots=True)
class JointAggregateBody(AggregateBody):
    masks: str


@dataclass(frozen=True, slots=True)
class ZeroBody(Body):
    author: str
    attempt: int
    nonce: str


@dataclass(frozen=True, slots=True)
class ShareBody(Body):
    author: str
    attempt: int
    question: str
    shift: int


@dataclass(frozen=True, slots=True)
class ProofBody(Body):
    author: str
    share: str


class PlainCeremony:
    """The port KeyCeremony: a member's share is a digest, a dealing names who gets what."""

    def __init__(self, terms: EncryptionTerms, plan: CeremonyPlan, secret_path: Path, seed: str) -> None:
        self._terms = terms
        self._plan = plan
        self._path = secret_path
        self._secret = sha256(f"{seed} {plan.me} {plan.task_id} {plan.epoch}".encode())

    def key_share(self) -> bytes:
        if not self._path.exists():
            self._path.touch(mode=0o600)
            self._path.write_bytes(canonical.dump({"member": self._plan.me, "joint_key": ""}))
        return canonical.dump({"member": self._plan.me, "share": sha256(self._secret.encode())})

    def deal(self, shares: Mapping[str, bytes]) -> bytes:
        rows: dict[str, Json] = {
            name: _row(self._plan.me, shares[self._plan.me], name) for name in self._plan.members
        }
        return canonical.dump({"member": self._plan.me, "rows": rows})

    def finish(self, shares: Mapping[str, bytes], dealings: Mapping[str, bytes]) -> bytes:
        for dealer in self._plan.members:
            match canonical.parse(dealings[dealer]):
                case {"member": str(author), "rows": dict(rows)} if author == dealer:
                    if rows.get(self._plan.me) == _row(dealer, shares[dealer], self._plan.me):
                        continue
            raise DealingRefused(f"the dealing of {dealer} does not fit its share", dealer, dealings[dealer])
        plan, blob = self._plan, joint_key_of(self._terms, self._plan, shares)
        self._path.write_bytes(canonical.dump({"member": plan.me, "joint_key": sha256(blob)}))
        return blob

    def close(self) -> None:
        """There is nothing to end."""


def joint_key_of(terms: EncryptionTerms, plan: CeremonyPlan, shares: Mapping[str, bytes]) -> bytes:
    """Return the joint key of these public shares."""
    joint = JointKey(
        SCHEME_NAME,
        plain_parameters_digest(terms.value_bits, terms.clip, terms.max_total_weight),
        sha256(b"".join(shares[name] for name in plan.members)),
        plan.task_id,
        plan.epoch,
        plan.members,
        plan.threshold,
    )
    return canonical.dump(to_json(joint))


class PlainJointScheme(PlainScheme):
    """The port ThresholdScheme on numbers in the clear."""

    def __init__(self, terms: EncryptionTerms, joint_key: bytes, nonces: random.Random) -> None:
        self.joint_key = _read_joint(terms, joint_key)
        self.joint_key_digest = sha256(joint_key)
        key = PlainKey(SCHEME_NAME, self.joint_key.parameters_digest, self.joint_key.key_digest)
        super().__init__(terms, key, nonces)

    def mask(self, upload: Path) -> bytes:
        body, _ = self.read(UpdateBody, "update", upload.read_bytes())
        return write(MaskBody("mask", *common(body), body.participant_id, body.weight, body.nonce), NOTHING)

    def inspect_mask(self, path: Path) -> UpdateHeader:
        data = path.read_bytes()
        body, _ = self.read(MaskBody, "mask", data)
        name = UpdateName(body.task_id, body.round, body.participant_id)
        return UpdateHeader(
            name,
            body.epoch,
            body.parameters_digest,
            body.parameter_count,
            body.weight,
            sha256(data),
            len(data),
        )

    def masks_digest(self, masks: Sequence[Path], zeros: Sequence[Path]) -> str:
        bodies = [self.read(MaskBody, "mask", path.read_bytes())[0] for path in masks]
        return self._question(_masks(bodies), zeros)

    def zero(self, opening: OpeningTerms, author: str, parameter_count: int) -> bytes:
        key, nonce = self.joint_key, f"{self._nonces.getrandbits(NONCE_BITS):016x}"
        about = (opening.task_id, opening.round, opening.epoch, key.parameters_digest, key.key_digest)
        return write(ZeroBody("zero", *about, parameter_count, author, opening.attempt, nonce), NOTHING)

    def aggregate(self, uploads: Iterable[Path]) -> bytes:
        paths = list(uploads)
        body, total = self.read(AggregateBody, "aggregate", super().aggregate(paths))
        masks = _masks([self.read(UpdateBody, "update", path.read_bytes())[0] for path in paths])
        joint = JointAggregateBody("aggregate", *common(body), body.members, body.total_weight, masks)
        return write(joint, total)

    def inspect_aggregate(self, path: Path) -> AggregateHeader:
        data = path.read_bytes()
        body, _ = self.read(JointAggregateBody, "aggregate", data)
        return AggregateHeader(
            body.task_id,
            body.round,
            body.epoch,
            body.parameters_digest,
            body.parameter_count,
            body.members,
            body.total_weight,
            sha256(data),
            len(data),
        )

    def combine(
        self, opening: OpeningTerms, aggregate: Path, zeros: Sequence[Path], shares: Mapping[str, Path]
    ) -> Int64Vector:
        body, total = self.read(JointAggregateBody, "aggregate", aggregate.read_bytes())
        shift = self._verify_shares("sum-share", opening, shares, self._question(body.masks, zeros))
        if shift:
            raise KeyHolderRefused("it does not open to a well-formed sum")
        return total

    def combine_scores(
        self,
        opening: OpeningTerms,
        direction: Int8Vector,
        uploads: Mapping[str, Path],
        shares: Mapping[str, Path],
    ) -> dict[str, int]:
        read = {name: self.read(UpdateBody, "update", path.read_bytes()) for name, path in uploads.items()}
        masks = _masks([body for body, _ in read.values()])
        self._verify_shares("score-share", opening, shares, self._score_question(opening, direction, masks))
        wide = direction.astype(np.int64)
        return {name: int(values @ wide) for name, (_, values) in read.items()}

    def wrong_shares(
        self,
        opening: OpeningTerms,
        masks: Sequence[Path],
        zeros: Sequence[Path],
        shares: Mapping[str, Path],
        proofs: Mapping[str, Path],
    ) -> tuple[str, ...]:
        wrong = []
        for name in opening.active:
            try:
                share, _ = self.read(ShareBody, "sum-share", shares[name].read_bytes())
                proof, _ = self.read(ProofBody, "proof", proofs[name].read_bytes())
                if (proof.author, proof.share, share.shift) != (name, sha256(shares[name].read_bytes()), 0):
                    raise MalformedInput("the proof is not of this share")
            except (MalformedInput, KeyError):
                wrong.append(name)
        return tuple(wrong)

    def _score_question(self, opening: OpeningTerms, direction: Int8Vector, masks: str) -> str:
        return sha256(f"{opening.seed} {masks} {sha256(direction.tobytes())}".encode())

    def _question(self, masks: str, zeros: Sequence[Path]) -> str:
        read = [self.read(ZeroBody, "zero", path.read_bytes())[0] for path in zeros]
        rows = sorted(f"{body.author} {body.attempt} {body.nonce}" for body in read)
        return sha256(" ".join([masks, *rows]).encode())

    def _verify_shares(
        self, kind: str, opening: OpeningTerms, shares: Mapping[str, Path], question: str
    ) -> int:
        """Return by how much the shares together are off; raises MalformedInput naming a malformed one's holder."""
        shift = 0
        if tuple(shares) != opening.active or len(opening.active) != self.joint_key.threshold:
            raise KeyHolderRefused("the share of part of the active set is missing")
        for name, path in shares.items():
            try:
                body, _ = self.read(ShareBody, kind, path.read_bytes())
                if (body.author, body.attempt, body.question) != (name, opening.attempt, question):
                    raise MalformedInput("it answers something else")
            except MalformedInput as error:
                raise MalformedInput(f"the share of {name}: {error}") from error
            shift += body.shift
        return shift


class PlainShareHolder:
    """The port ShareHolder of one member; its answers are written down in a file beside the secret.

    `shift` is by how much its answers for a sum are wrong: 0 but for liars.
    """

    shift = 0

    def __init__(self, scheme: PlainJointScheme, secret_path: Path) -> None:
        if not secret_path.exists():
            raise NotFound(f"no share at {secret_path}")
        match canonical.parse(secret_path.read_bytes()):
            case {"member": str(me), "joint_key": str(digest)} if digest == scheme.joint_key_digest:
                self._me = me
            case _:
                raise KeyHolderRefused(f"the file at {secret_path} is no share of that joint key")
        self._scheme = scheme
        self._answers = secret_path.with_suffix(".answers")

    def sum_share(self, opening: OpeningTerms, masks: Sequence[Path], zeros: Sequence[Path]) -> bytes:
        if opening.attempt > 1 and not zeros:
            raise KeyHolderRefused("a retry without a zero")
        question = self._scheme.masks_digest(masks, zeros)
        return self._answer("sum-share", opening, question, masks)

    def score_share(self, opening: OpeningTerms, direction: Int8Vector, masks: Mapping[str, Path]) -> bytes:
        bodies = [self._scheme.read(MaskBody, "mask", path.read_bytes())[0] for path in masks.values()]
        question = self._scheme._score_question(opening, direction, _masks(bodies))
        return self._answer("score-share", opening, question, list(masks.values()))

    def prove(
        self, opening: OpeningTerms, masks: Sequence[Path], zeros: Sequence[Path], share: bytes
    ) -> bytes:
        body, _ = self._scheme.read(ShareBody, "sum-share", share)
        return write(ProofBody("proof", *common(body), self._me, sha256(share)), NOTHING)

    def close(self) -> None:
        """There is nothing to end."""

    def _answer(self, kind: str, opening: OpeningTerms, question: str, masks: Sequence[Path]) -> bytes:
        key = self._scheme.joint_key
        if (opening.holders, opening.threshold, opening.epoch) != (key.members, key.threshold, key.epoch):
            raise KeyHolderRefused("the opening is of another key")
        if self._me not in opening.active or len(set(opening.active)) != key.threshold or len(masks) < 2:
            raise KeyHolderRefused("the active set or the masks are not what this member answers to")
        self._remember(f"{opening.task_id}/{opening.round}/{opening.attempt}/{kind}", question)
        self._remember(f"question {question}", " ".join(opening.active))
        body, _ = self._scheme.read(MaskBody, "mask", masks[0].read_bytes())
        return write(ShareBody(kind, *common(body), self._me, opening.attempt, question, self.shift), NOTHING)

    def _remember(self, about: str, fact: str) -> None:
        lines = self._answers.read_text().splitlines() if self._answers.exists() else []
        known = dict(line.split("\t") for line in lines)
        if known.setdefault(about, fact) != fact:
            raise KeyHolderRefused(f"{self._me} has answered another question: {about}")
        self._answers.write_text("".join(f"{key}\t{value}\n" for key, value in known.items()))


def _masks(bodies: Sequence[MaskBody | UpdateBody]) -> str:
    names = [body.participant_id for body in bodies]
    if len(frozenset(names)) != len(names) or len({common(body) for body in bodies}) > 1:
        raise MalformedInput("the masks are of two rounds, or a participant stands twice")
    return sha256(" ".join(sorted(f"{body.participant_id} {body.nonce}" for body in bodies)).encode())


def _row(dealer: str, share: bytes, recipient: str) -> str:
    return sha256(f"{dealer} {sha256(share)} {recipient}".encode())


def _read_joint(terms: EncryptionTerms, blob: bytes) -> JointKey:
    try:
        key = from_json(JointKey, canonical.parse(blob))
    except canonical.NotCanonical as error:
        raise MalformedInput(f"no joint key of {SCHEME_NAME}: {error}") from error
    if key.parameters_digest != plain_parameters_digest(
        terms.value_bits, terms.clip, terms.max_total_weight
    ) or key.threshold not in range(2, len(key.members) + 1):
        raise MalformedInput("the joint key is of other parameters")
    return key
