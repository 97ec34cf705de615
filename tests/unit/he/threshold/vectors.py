"""The messages of tests/vectors/he/lattice/threshold.json, made again from their fixed seeds by the code of the room.

What is drawn by the operating system elsewhere is named here: the members' seeds and noise keys stand in their files,
the streams of uploads and zeros are derived. A ciphertext of HPKE cannot be made again; in a dealing, whose reader
does not decrypt, a stream stands in its place, and one ciphertext was recorded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.domain.ports import OpeningTerms
from bfl_fabric.he import privatefile
from bfl_fabric.he.lattice.bodies import KeyName
from bfl_fabric.he.lattice.channels import message_polynomial
from bfl_fabric.he.lattice.messages import Header, Kind
from bfl_fabric.he.lattice.parameters import LatticeParameters, parameters_named
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.lattice.terms import LatticeTerms
from bfl_fabric.he.threshold import keymessages
from bfl_fabric.he.threshold.answering import Member
from bfl_fabric.he.threshold.masks import MaskSum
from bfl_fabric.he.threshold.material import Material
from bfl_fabric.he.threshold.memberfile import MemberFile
from bfl_fabric.he.threshold.plan import KeyPlan
from bfl_fabric.he.threshold.proving import share_proof
from bfl_fabric.he.threshold.scheme import JointScheme
from bfl_fabric.he.threshold.score_answers import score_share
from bfl_fabric.he.threshold.shares import share_header
from tests.unit.he.lattice.vectors import FOLDER, edited
from tests.unit.he.threshold.federation import terms_of

PINNED: dict[str, Any] = json.loads((FOLDER / "threshold.json").read_text(encoding="utf-8"))
MESSAGES: dict[str, dict[str, Any]] = {row["title"]: row for row in PINNED["messages"]}
REFUSED: dict[str, dict[str, Any]] = {row["title"]: row for row in PINNED["refused"]}
DOMAIN = "bfl-fabric vectors v1"


@dataclass(frozen=True)
class Scene:
    """One ceremony and one round, each message in a file of `folder`; everything follows from the seeds of the file."""

    folder: Path

    @property
    def parameters(self) -> LatticeParameters:
        return parameters_named(PINNED["parameters_digest"])

    @cached_property
    def plan(self) -> KeyPlan:
        fields = PINNED["plan"]
        return KeyPlan(
            self.parameters, fields["task_id"], fields["epoch"], tuple(fields["members"]), fields["threshold"]
        )

    @cached_property
    def materials(self) -> dict[str, Material]:
        seeds = PINNED["member_seeds"]
        return {name: Material(self.plan, name, bytes.fromhex(seeds[name])) for name in self.plan.members}

    @cached_property
    def key_shares(self) -> dict[str, bytes]:
        return {
            name: keymessages.encode_key_share(
                self.plan, name, made.transport.public, made.public_share(), made.checks()
            )
            for name, made in self.materials.items()
        }

    @cached_property
    def share_digests(self) -> dict[str, str]:
        return {name: keymessages.digest_of(share) for name, share in self.key_shares.items()}

    def dealing(self, dealer: str) -> bytes:
        """Return a dealing in which bytes of a stream stand for the ciphertexts."""
        ciphertexts = {
            name: Stream.derived(DOMAIN, bytes(32), 100 + number).bytes(
                keymessages.ciphertext_bytes(self.plan)
            )
            for number, name in enumerate(self.plan.members)
            if name != dealer
        }
        return keymessages.encode_dealing(self.plan, dealer, self.share_digests[dealer], ciphertexts)

    @cached_property
    def joint_key(self) -> bytes:
        shares = {
            name: keymessages.read_key_share(self.plan, name, share)
            for name, share in self.key_shares.items()
        }
        return keymessages.encode_joint_key(self.plan, shares)

    @cached_property
    def scheme(self) -> JointScheme:
        return JointScheme(LatticeTerms.of(terms_of(self.parameters, self.plan.threshold)), self.joint_key)

    @property
    def opening(self) -> OpeningTerms:
        fields = PINNED["opening"]
        return OpeningTerms(
            self.plan.task_id, fields["round"], fields["attempt"], self.plan.epoch, self.plan.members,
            self.plan.threshold, tuple(fields["active"]), fields["seed"],
        )  # fmt: skip

    @property
    def direction(self) -> NDArray[np.int8]:
        return np.array(PINNED["direction"], dtype=np.int8)

    def values(self, silo: str) -> NDArray[np.int64]:
        return np.array(PINNED["uploads"][silo]["values"], dtype=np.int64)

    @cached_property
    def uploads(self) -> dict[str, Path]:
        return {silo: self.file(f"update of {silo}", self._upload(silo)) for silo in PINNED["uploads"]}

    @cached_property
    def masks(self) -> dict[str, Path]:
        return {
            silo: self.file(f"mask of {silo}", self.scheme.mask(path)) for silo, path in self.uploads.items()
        }

    @cached_property
    def zeros(self) -> list[Path]:
        return [self.file(f"zero of {name}", self._zero(name)) for name in self.opening.active]

    @cached_property
    def aggregate(self) -> Path:
        return self.file("sum", self.scheme.aggregate(self.uploads.values()))

    @cached_property
    def holders(self) -> dict[str, Member]:
        """The active members, each with a file as the ceremony leaves it."""
        return {name: self._holder(name) for name in self.opening.active}

    @cached_property
    def sum_shares(self) -> dict[str, Path]:
        masks = list(self.masks.values())
        return {
            name: self.file(f"share of {name}", holder.sum_share(self.opening, masks, self.zeros))
            for name, holder in self.holders.items()
        }

    @cached_property
    def score_shares(self) -> dict[str, Path]:
        levels = self.scheme.levels
        return {
            name: self.file(
                f"score share of {name}",
                score_share(holder, self.opening, self.direction, self.masks, levels),
            )
            for name, holder in self.holders.items()
        }

    @cached_property
    def proofs(self) -> dict[str, Path]:
        masks = list(self.masks.values())
        return {
            name: self.file(
                f"proof of {name}",
                share_proof(
                    holder, self.opening, masks, self.zeros, self.sum_shares[name].read_bytes(),
                    self.scheme.joint_key.commitment(name),
                ),
            )
            for name, holder in self.holders.items()
        }  # fmt: skip

    def message(self, title: str) -> bytes:
        """Return the message of a row."""
        kind, whose = Kind[MESSAGES[title]["kind"]], MESSAGES[title].get("of", "")
        made: dict[Kind, Callable[[], bytes]] = {
            Kind.KEY_SHARE: lambda: self.key_shares[whose],
            Kind.DEALING: lambda: self.dealing(whose),
            Kind.JOINT_KEY: lambda: self.joint_key,
            Kind.UPDATE: lambda: self.uploads[whose].read_bytes(),
            Kind.MASK: lambda: self.masks[whose].read_bytes(),
            Kind.ZERO: lambda: dict(zip(self.opening.active, self.zeros, strict=True))[whose].read_bytes(),
            Kind.SUM: lambda: self.aggregate.read_bytes(),
            Kind.SUM_SHARE: lambda: self.sum_shares[whose].read_bytes(),
            Kind.SCORE_SHARE: lambda: self.score_shares[whose].read_bytes(),
            Kind.SHARE_PROOF: lambda: self.proofs[whose].read_bytes(),
        }
        return made[kind]()

    def read(self, title: str, data: bytes) -> Any:
        """Read a message as its receiver does; return what it says, as the row has it. Raises MalformedInput."""
        kind, whose = Kind[MESSAGES[title]["kind"]], MESSAGES[title].get("of", "")
        match kind:
            case Kind.KEY_SHARE:
                share = keymessages.read_key_share(self.plan, whose, data)
                return {"polynomials": len(share.polynomials), "commitments": len(share.checks)}
            case Kind.DEALING:
                rows = keymessages.read_dealing(self.plan, whose, self.share_digests[whose], data)
                return {name: keymessages.digest_of(row) for name, row in rows.items()}
            case Kind.JOINT_KEY:
                key = keymessages.read_joint_key(self.parameters, data)
                return {"threshold": key.plan.threshold, "key_shares": dict(key.share_digests)}
            case Kind.SCORE_SHARE:
                shares = {**self.score_shares, whose: self.file("read", data)}
                return self.scheme.combine_scores(self.opening, self.direction, self.uploads, shares)
            case Kind.SHARE_PROOF:
                return self._prove(whose, self.file("read", data))
        return self._read_polynomials(kind, whose, self.file("read", data))

    def _read_polynomials(self, kind: Kind, whose: str, path: Path) -> Any:
        match kind:
            case Kind.SUM:
                header = self.scheme.inspect_aggregate(path)
                return {"members": header.members, "weight": header.total_weight}
            case Kind.ZERO:
                running = self._running()
                running.add_zero(path)
                ((attempt, author),) = running.zeros
                return {"attempt": attempt, "author": author}
            case Kind.SUM_SHARE:
                shares = {**self.sum_shares, whose: path}
                total = self.scheme.combine(self.opening, self.aggregate, self.zeros, shares)
                return {"opened": total.tolist()}
        header = self.scheme.inspect(path) if kind is Kind.UPDATE else self.scheme.inspect_mask(path)
        return {"author": header.name.participant_id, "round": header.name.round, "weight": header.weight}

    def _prove(self, member: str, proof: Path) -> Any:
        running = self._running()
        for path in self.masks.values():
            running.add(path)
        for path in self.zeros:
            running.add_zero(path)
        total, count = running.total(), self.direction.size
        header = share_header(self.parameters, self.opening, member, count, running.digest(total))
        self.scheme._require_proven(self.opening, header, total, self.sum_shares[member], proof)
        return {"proven": header.author, "masks_digest": running.digest(total)}

    def file(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def _running(self) -> MaskSum:
        return MaskSum(self.parameters, KeyName(self.plan.epoch, self.scheme.joint_key.digest))

    def _upload(self, silo: str) -> bytes:
        row, values = PINNED["uploads"][silo], self.values(silo)
        header = Header(
            Kind.UPDATE, self.parameters.digest, self.plan.epoch, self.opening.round, values.size, row["weight"], 1,
            subject=bytes.fromhex(self.scheme.joint_key.digest), task_id=self.plan.task_id, author=silo,
        )  # fmt: skip
        seed = bytes.fromhex(row["stream"])
        return self.scheme.encoded(
            header,
            lambda number: message_polynomial(self.parameters, values, number),
            lambda number: Stream.derived(DOMAIN, seed, number),
        )

    def _zero(self, member: str) -> bytes:
        opening, seed = self.opening, bytes.fromhex(PINNED["zero_streams"][member])
        header = Header(
            Kind.ZERO, self.parameters.digest, opening.epoch, opening.round, self.direction.size,
            attempt=opening.attempt, subject=bytes.fromhex(self.scheme.joint_key.digest), task_id=opening.task_id,
            author=member,
        )  # fmt: skip
        return self.scheme.encoded(header, None, lambda number: Stream.derived(DOMAIN, seed, number))

    def _holder(self, member: str) -> Member:
        path = self.folder / f"{member}.secret"
        parts = [made.private_share(member) for made in self.materials.values()]
        combined = [self.parameters.ring.reduce(part) for part in np.sum(parts, axis=0, dtype=np.uint64)]
        file = MemberFile(
            self.plan, member, seed=self.materials[member].seed,
            noise_key=bytes.fromhex(PINNED["noise_keys"][member]),
        )  # fmt: skip
        share = keymessages.encode_private_share(self.plan, combined)
        privatefile.create(path, file.finished(share, self.scheme.joint_key.digest).encode())
        return Member(path, self.scheme.joint_key.digest)


def refused(scene: Scene, title: str) -> bytes:
    """Return the message of a row, edited."""
    row = REFUSED[title]
    data = scene.message(row["base"])
    for edit in row["edits"]:
        data = edited(data, edit)
    return data
