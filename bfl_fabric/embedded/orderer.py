"""The ordering service: one orderer that cuts blocks and signs them.

Decides, by the channel's batch size and timeout as Fabric's block cutter applies them, which transactions go into a
block together, and what an orderer adds to it. Which transactions it takes is left to `access`, what becomes of them
to `validation`. Nothing here is durable: a transaction is promised to nobody before its block is stored.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fabric_protos.orderer.etcdraft import metadata_pb2

from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric.blocks import build_header, last_config_slot, signed_block_metadata
from bfl_fabric.fabric.identity import Signer
from bfl_fabric.fabric.proposal import NONCE_BYTES
from bfl_fabric.fabric.trust import OrderingTerms
from bfl_fabric.fabric.wire import write

CONFIG_BLOCK = 0
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_MILLISECONDS = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0}


@dataclass(frozen=True, slots=True)
class Ordered:
    """A transaction that waits for its block: the serialized envelope and the size that counts for a batch."""

    transaction_id: str
    entry: bytes
    size_bytes: int


class BlockCutter:
    """Collects transactions into batches in the order in which they come."""

    def __init__(self, terms: OrderingTerms) -> None:
        self._terms = terms
        self._timeout_ms = duration_ms(terms.timeout)
        self._pending: list[Ordered] = []
        self._pending_bytes = 0
        self._began_at_ms = 0
        self._ready: deque[tuple[Ordered, ...]] = deque()

    def add(self, ordered: Ordered, now_ms: int) -> None:
        """Put a transaction into the pending batch; full batches become ready."""
        if self._pending and self._pending_bytes + ordered.size_bytes > self._terms.preferred_max_bytes:
            self._cut()
        if not self._pending:
            self._began_at_ms = now_ms
        self._pending.append(ordered)
        self._pending_bytes += ordered.size_bytes
        is_large = self._pending_bytes > self._terms.preferred_max_bytes
        if is_large or len(self._pending) >= self._terms.max_message_count:
            self._cut()

    def due_at_ms(self) -> int | None:
        """Return when there will be a batch to take, 0 for now, None while nothing waits."""
        if self._ready:
            return 0
        return self._began_at_ms + self._timeout_ms if self._pending else None

    def cut_due(self, now_ms: int, *, force: bool = False) -> None:
        """Make the pending batch ready once its time is over, or now."""
        if self._pending and (force or now_ms >= self._began_at_ms + self._timeout_ms):
            self._cut()

    def first(self) -> tuple[Ordered, ...] | None:
        """Return the next batch, which stays until `drop_first`, so that nothing is lost if it cannot be stored."""
        return self._ready[0] if self._ready else None

    def drop_first(self) -> None:
        self._ready.popleft()

    def __len__(self) -> int:
        """Return how many transactions wait."""
        return len(self._pending) + sum(len(batch) for batch in self._ready)

    def _cut(self) -> None:
        self._ready.append(tuple(self._pending))
        self._pending, self._pending_bytes = [], 0


class BlockMaker:
    """Makes the orderer's part of a block: header, signature, pointer to the configuration (Raft's form)."""

    def __init__(self, signer: Signer, msp_id: str) -> None:
        self._signer = signer
        self.msp_id = msp_id

    def make(self, number: int, previous_hash: bytes, entries: Sequence[bytes]) -> tuple[Any, list[bytes]]:
        """Return the `common.BlockHeader` and the first two metadata slots."""
        header = build_header(number, previous_hash, entries)
        raft = metadata_pb2.BlockMetadata(consenter_ids=[1], next_consenter_id=2, raft_index=number + 1)
        nonce = os.urandom(NONCE_BYTES)
        signatures = signed_block_metadata(header, CONFIG_BLOCK, self._signer, nonce, write(raft))
        return header, [signatures, last_config_slot(CONFIG_BLOCK)]


def duration_ms(text: str) -> int:
    """Read Go's notation of a duration, like 1m30s or 50ms. Raises MalformedInput."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise MalformedInput(f"the batch timeout {text!r} is not a duration")
    return max(1, round(sum(float(number) * _MILLISECONDS[unit] for number, unit in parts)))
