"""Ports to keys that several hold: joint keys (scheme `threshold`) and group keys (scheme `packed`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports.encryption import AggregationScheme, UpdateHeader

if TYPE_CHECKING:
    from bfl_fabric.domain.ports.vectors import Int8Vector, Int64Vector


@dataclass(frozen=True, slots=True)
class CeremonyPlan:
    """Who makes a joint key: `members` are MSP ids in ascending order, `threshold` of them open; `me` is one."""

    task_id: str
    epoch: int
    members: tuple[str, ...]
    threshold: int
    me: str


@dataclass(frozen=True, slots=True)
class OpeningTerms:
    """One attempt to open a round: the active set answers, in ascending order, each once for this attempt.

    `holders` are the members of the key epoch; `seed` is drawn by the contract (hex) and fixes score directions.
    """

    task_id: str
    round: int
    attempt: int
    epoch: int
    holders: tuple[str, ...]
    threshold: int
    active: tuple[str, ...]
    seed: str


class KeyCeremony(Protocol):
    """One member's part in making a joint key whose secret never exists anywhere.

    All of it follows from one seed in a file of mode 0600, so every call may be repeated: same bytes. Secrets stay
    in the worker process. Raises DealingRefused, MalformedInput, WorkerFailed.
    """

    def key_share(self) -> bytes:
        """Return the member's public share, its transport key in it; make the seed when there is none yet."""

    def deal(self, shares: Mapping[str, bytes]) -> bytes:
        """Return the member's dealing: for each member a private share, encrypted to its transport key.

        `shares` are all members' public shares by MSP id, each checked against its commitment by the caller.
        """

    def finish(self, shares: Mapping[str, bytes], dealings: Mapping[str, bytes]) -> bytes:
        """Check every dealing, keep the combined private share, return the joint key's blob.

        Raises DealingRefused, which names the dealer and carries evidence that others can check.
        """

    def close(self) -> None: ...


class ShareHolder(Protocol):
    """What a member does with its share of a joint key. Nothing but the documented answers leaves it.

    It answers once for each (C1, active set) and refuses a second, different question of the same attempt; the
    caller has read the ledger and hands over masks that it checked against the commitments.
    Raises KeyHolderRefused, MalformedInput, WorkerFailed.
    """

    def sum_share(self, opening: OpeningTerms, masks: Sequence[Path], zeros: Sequence[Path]) -> bytes:
        """Return the partial decryption of the sum whose masks are these, each zero's mask added."""

    def score_share(self, opening: OpeningTerms, direction: Int8Vector, masks: Mapping[str, Path]) -> bytes:
        """Return for each participant's mask one scalar for each drawn direction and prime."""

    def prove(
        self, opening: OpeningTerms, masks: Sequence[Path], zeros: Sequence[Path], share: bytes
    ) -> bytes:
        """Return a proof that `share` was computed with the member's share of this epoch."""

    def close(self) -> None: ...


class ThresholdScheme(AggregationScheme, Protocol):
    """What anybody can do under a joint key, besides encrypting and adding. An update has a mask part (c1)."""

    def mask(self, upload: Path) -> bytes:
        """Return the mask part of a checked upload, a message of its own whose digest is committed beside it."""

    def inspect_mask(self, path: Path) -> UpdateHeader:
        """Check a mask message completely and return its header."""

    def masks_digest(self, masks: Sequence[Path], zeros: Sequence[Path]) -> str:
        """Return the digest of the sum of these masks: what key holders agree on before they answer."""

    def zero(self, opening: OpeningTerms, author: str, parameter_count: int) -> bytes:
        """Return a fresh encryption of zero, which changes the mask of a sum before another set answers."""

    def combine(
        self, opening: OpeningTerms, aggregate: Path, zeros: Sequence[Path], shares: Mapping[str, Path]
    ) -> Int64Vector:
        """Return the exact sum int64[parameter_count] from the active set's shares.

        Raises MalformedInput naming the holder of a malformed share, KeyHolderRefused when they do not open.
        """

    def combine_scores(
        self,
        opening: OpeningTerms,
        direction: Int8Vector,
        uploads: Mapping[str, Path],
        shares: Mapping[str, Path],
    ) -> dict[str, int]:
        """Return each participant's score, in the units of ⟨values, direction⟩, from the active set's shares."""

    def wrong_shares(
        self,
        opening: OpeningTerms,
        masks: Sequence[Path],
        zeros: Sequence[Path],
        shares: Mapping[str, Path],
        proofs: Mapping[str, Path],
    ) -> tuple[str, ...]:
        """Return the holders whose share does not have a valid proof."""


class ThresholdKeys(Protocol):
    """The door to joint keys, part of the scheme provider."""

    def ceremony(self, terms: EncryptionTerms, plan: CeremonyPlan, secret_path: Path) -> KeyCeremony: ...

    def joint_key(self, terms: EncryptionTerms, plan: CeremonyPlan, shares: Mapping[str, bytes]) -> bytes:
        """Return the joint key of these public shares by MSP id: whoever adds them up gets the same bytes.

        `plan.me` is of no matter. Raises MalformedInput naming the member whose share is malformed.
        """

    def joint(self, terms: EncryptionTerms, joint_key: bytes) -> ThresholdScheme:
        """Raises MalformedInput when the blob is not a joint key of these terms."""

    def holder(self, terms: EncryptionTerms, joint_key: bytes, secret_path: Path) -> ShareHolder:
        """Raises KeyHolderRefused, MalformedInput or NotFound when the file is no share of that joint key."""


class GroupKeys(Protocol):
    """The door to keys that every silo shares (scheme `packed`), part of the scheme provider."""

    def transport_key(self, secret_path: Path) -> str:
        """Return the public key (hex) to which others encrypt for this silo; make the pair when there is none."""

    def grant(
        self, terms: EncryptionTerms, public_key: bytes, secret_path: Path, transport_key: str
    ) -> bytes:
        """Return the group's secret key encrypted to a silo's transport key."""

    def accept(
        self, terms: EncryptionTerms, public_key: bytes, grant: bytes, transport_path: Path, secret_path: Path
    ) -> None:
        """Decrypt a grant into a secret file of mode 0600. Raises MalformedInput when it is not the public key's."""

    def member(self, terms: EncryptionTerms, public_key: bytes, secret_path: Path) -> AggregationScheme:
        """Return a scheme that can encrypt, in a worker process that holds the group's secret."""
