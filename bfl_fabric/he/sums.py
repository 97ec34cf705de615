"""Adding uploads: streaming, exact, the same bytes in any order.

Decides which uploads belong together; whether an upload is well-formed is the gate's question, and whether it is
the one that was committed is the caller's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bfl_fabric.errors import MalformedInput
from bfl_fabric.he.gate import KeyName, Message, open_upload
from bfl_fabric.he.packing import Residues, pack
from bfl_fabric.he.ring import ring
from bfl_fabric.he.terms import CheckedTerms
from bfl_fabric.he.wire import Header, Kind


@dataclass(slots=True)
class RunningSum:
    """The sum so far. Its memory is one accumulator of the model's size, whatever the number of uploads."""

    terms: CheckedTerms
    key: KeyName
    first: Header | None = None
    total: Residues = field(default_factory=lambda: np.zeros((0, 2, 0), dtype=np.uint64))
    digests: dict[str, bytes] = field(default_factory=dict)
    masks: set[bytes] = field(default_factory=set)
    weight: int = 0

    def add(self, path: Path) -> None:
        """Check and add one upload. Raises MalformedInput; the sum is of no use after that."""
        with open_upload(path, self.terms.parameters, self.key) as message:
            self._admit(message.header)
            self._add_chunks(message)
            self.digests[message.header.participant_id] = bytes.fromhex(message.digest)

    def encode(self) -> bytes:
        """Return the wire bytes of the sum. Raises MalformedInput when nothing was added."""
        if self.first is None:
            raise MalformedInput("a sum of no uploads")
        subject = hashlib.sha256(b"".join(self.digests[name] for name in sorted(self.digests))).digest()
        header = Header(
            Kind.SUM,
            self.terms.parameters.digest,
            self.key.epoch,
            self.first.round,
            self.first.parameter_count,
            self.weight,
            len(self.digests),
            self.first.task_id,
            subject=subject,
        )
        width = self.terms.parameters.residue_bits
        return b"".join([header.encode(), *(pack(words, width) for words in self.total)])

    def _admit(self, header: Header) -> None:
        if self.first is None:
            self.first = header
            count = self.terms.parameters.chunk_count(header.parameter_count)
            self.total = np.zeros((count, 2, self.terms.parameters.degree), dtype=np.uint64)
        _require(header.task_id == self.first.task_id, header, f"is for task {header.task_id}")
        _require(
            header.round == self.first.round, header, f"is for round {header.round}, not {self.first.round}"
        )
        _require(
            header.parameter_count == self.first.parameter_count,
            header,
            f"has {header.parameter_count} parameters, the others {self.first.parameter_count}",
        )
        _require(header.participant_id not in self.digests, header, "is the second of this participant")
        limit = self.terms.parameters.max_members
        _require(len(self.digests) < limit, header, f"is one more than the {limit} that a sum may have")
        self.weight += header.weight
        _require(
            self.weight <= self.terms.max_total_weight,
            header,
            f"brings the weight to {self.weight}; the task allows {self.terms.max_total_weight}",
        )

    def _add_chunks(self, message: Message) -> None:
        arithmetic = ring(self.terms.parameters.data_prime, self.terms.parameters.degree)
        for index, words in enumerate(message.chunks()):
            if index == 0:
                self._require_new_mask(message.header, words[1])
            self.total[index] = arithmetic.add(self.total[index], words)

    def _require_new_mask(self, header: Header, mask: Residues) -> None:
        """Refuse a ciphertext that was copied under another name: a fresh mask never comes twice."""
        digest = hashlib.sha256(mask.tobytes()).digest()
        _require(digest not in self.masks, header, "repeats the mask of another upload: it is a copy")
        self.masks.add(digest)


def sum_of(terms: CheckedTerms, key: KeyName, uploads: Iterable[Path]) -> bytes:
    """Return the wire bytes of the sum of distinct uploads of one round, all for this key. Raises MalformedInput."""
    running = RunningSum(terms, key)
    for path in uploads:
        running.add(path)
    return running.encode()


def _require(holds: bool, header: Header, problem: str) -> None:
    if not holds:
        raise MalformedInput(f"the upload of {header.participant_id} {problem}")
