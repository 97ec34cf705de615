"""Which uploads belong together in one sum, and the front of the sum's message: header, table of members, seeds.

Decides that all are for one task, round and length, that no participant and no seed or mask comes twice, and that
numbers and weights are within the task's. What is in the polynomials is left to `sums`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock

from bfl_fabric.errors import MalformedInput
from bfl_fabric.he.lattice.bodies import SEAL_SEED_BYTES, KeyName
from bfl_fabric.he.lattice.messages import (
    MEMBER_BYTES,
    MEMBER_DIGEST,
    Expansion,
    Header,
    Kind,
    Member,
    Reader,
    sum_subject,
)
from bfl_fabric.he.lattice.terms import LatticeTerms

_SHORT_BYTES = 16
_BUCKETS = 1 << 10


class Seen:
    """Values that were seen, by 16 bytes of their SHA-256 each: a dictionary of them would take ten times as much.

    Finding a second value for a digest of that length takes 2^128 trials.
    """

    def __init__(self) -> None:
        self._buckets = [bytearray() for _ in range(_BUCKETS)]

    def add(self, value: bytes) -> bool:
        """Remember a value; say whether it is new."""
        digest = hashlib.sha256(value).digest()
        short, bucket = digest[:_SHORT_BYTES], self._buckets[int.from_bytes(digest[-2:]) % _BUCKETS]
        found = bucket.find(short)
        while found % _SHORT_BYTES and found >= 0:
            found = bucket.find(short, found + 1)
        if found < 0:
            bucket += short
        return found < 0


@dataclass(slots=True)
class Membership:
    """The members so far: for each its row of the table, SEAL's seeds, and short digests of what must be fresh.

    That is less than a kilobyte for each, so ten thousand of them are little beside a model.
    """

    terms: LatticeTerms
    key: KeyName
    _first: Header | None = None
    _members: dict[str, bytes] = field(default_factory=dict)
    _seen: Seen = field(default_factory=Seen)
    _lock: Lock = field(default_factory=Lock)
    _weight: int = 0

    @property
    def parameter_count(self) -> int:
        """The length of all updates. Raises MalformedInput when there is none yet."""
        return self._some().parameter_count

    def require_alike(self, header: Header, what: str) -> None:
        """Raises MalformedInput unless an upload or a sum belongs to those before."""
        if self._first is None:
            self._first = header
        first = self._first
        _require(header.task_id == first.task_id, what, f"is for task {header.task_id}")
        _require(header.round == first.round, what, f"is for round {header.round}, not {first.round}")
        _require(
            header.parameter_count == first.parameter_count,
            what,
            f"has {header.parameter_count} parameters, the others {first.parameter_count}",
        )
        _require(header.author not in self._members, what, "is the second of this participant")

    def admit_upload(self, reader: Reader, seeds: bytes) -> None:
        """Enter an upload that has been read to its end. Raises MalformedInput."""
        header, digest = reader.header, bytes.fromhex(reader.digest)
        self.admit(Member(header.author, digest, header.weight, header.expansion, header.seed), seeds)

    def admit(self, member: Member, seeds: bytes) -> None:
        """Enter a member, unless it brings what a fresh upload cannot bring. Raises MalformedInput."""
        what = f"the upload of {member.participant_id}"
        _require(member.participant_id not in self._members, what, "is the second of this participant")
        limit = self.terms.parameters.max_members
        _require(len(self._members) < limit, what, f"is one more than the {limit} that a sum may have")
        self._weight += member.weight
        _require(
            self._weight <= self.terms.max_total_weight,
            what,
            f"brings the weight to {self._weight}; the task allows {self.terms.max_total_weight}",
        )
        for seed in _seeds_of(member, seeds):
            self._require_fresh(seed, what, "repeats a seed of another upload: it tells both in the clear")
        self._members[member.participant_id] = member.encode() + seeds

    def require_fresh_mask(self, digest: bytes, what: str) -> None:
        """Raises MalformedInput for a mask that was seen before; may be called in several threads."""
        self._require_fresh(digest, what, "repeats the mask of another upload: it is a copy")

    def parts(self) -> Iterator[bytes]:
        """Yield the front of the sum's message in pieces. Raises MalformedInput when there is no member."""
        first = self._some()
        members = [self._members[name] for name in sorted(self._members)]
        header = Header(
            Kind.SUM,
            self.terms.parameters.digest,
            self.key.epoch,
            first.round,
            first.parameter_count,
            self._weight,
            len(members),
            subject=sum_subject(member[MEMBER_DIGEST] for member in members),
            task_id=first.task_id,
        )
        yield header.encode()
        yield from (member[:MEMBER_BYTES] for member in members)
        yield from (member[MEMBER_BYTES:] for member in members)

    def _some(self) -> Header:
        if self._first is None:
            raise MalformedInput("a sum of no uploads")
        return self._first

    def _require_fresh(self, value: bytes, what: str, problem: str) -> None:
        """Refuse what was seen before: drawn by an honest participant, it never comes twice."""
        with self._lock:
            _require(self._seen.add(value), what, problem)


def _seeds_of(member: Member, seeds: bytes) -> list[bytes]:
    if member.expansion is Expansion.NONE:
        return []
    if not seeds:
        return [member.seed]
    return [seeds[start : start + SEAL_SEED_BYTES] for start in range(0, len(seeds), SEAL_SEED_BYTES)]


def _require(holds: bool, what: str, problem: str) -> None:
    if not holds:
        raise MalformedInput(f"{what} {problem}")
