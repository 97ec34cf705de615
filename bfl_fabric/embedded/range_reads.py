"""Range queries: reading them as Fabric's peer does, and what they leave in a read set.

Decides how far a range is read ahead, and that its rows stand one by one in the read set or, when there are more
than MAXIMUM_DEGREE, as a hash tree. The phantom check at commit is `bfl_fabric.fabric.read_checks`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from bfl_chaincode.shim.stub import KeyValue, Page
from bfl_fabric.embedded.snapshot import Row
from bfl_fabric.fabric.read_checks import range_summary
from bfl_fabric.fabric.rwsets import RangeQuery, Read

MAXIMUM_DEGREE = 50

BATCH_ROWS = 100
"""So many rows of a range the peer reads ahead and hands over at once."""

TOTAL_ROWS = 100_000
"""`ledger.state.totalQueryLimit`: a query ends after so many rows, without saying so."""


class OpenRange:
    """A range query of a transaction: hands out rows and remembers what was read, which may be more."""

    def __init__(self, rows: Iterator[Row], start_key: str, end_key: str) -> None:
        self._rows = rows
        self._start_key = start_key
        self._end_key = end_key
        self._last_key = ""
        self._is_exhausted = False
        self._reads: list[Read] = []
        self._ready: list[KeyValue] = []
        self._pending: list[KeyValue] = []
        self._has_more = False
        self._total = 0

    def read_ahead(self) -> None:
        """Fetch the next batch: up to BATCH_ROWS rows and the one that shows that there are more."""
        self._ready, self._has_more = [], False
        while self._total < TOTAL_ROWS:
            row = self._next()
            if row is None:
                break
            self._total += 1
            if len(self._pending) == BATCH_ROWS:
                self._ready, self._pending, self._has_more = self._pending, [row], True
                return
            self._pending.append(row)
        self._ready, self._pending = self._pending, []

    async def stream(self) -> AsyncIterator[KeyValue]:
        """Yield the rows; further batches are fetched when the first is used up."""
        while True:
            for row in self._ready:
                yield row
            if not self._has_more:
                return
            self.read_ahead()

    def page(self, page_size: int) -> Page:
        """Return one page; beyond it only the key of the next row is looked at, which is the bookmark."""
        limit = min(page_size or TOTAL_ROWS, TOTAL_ROWS)
        rows: list[KeyValue] = []
        while len(rows) < limit:
            row = self._next()
            if row is None:
                break
            rows.append(row)
        following = next(self._rows, None)
        return Page(tuple(rows), following.key if following else "")

    def query(self) -> RangeQuery:
        """Return what the read set says about this range."""
        summary = range_summary(self._reads, MAXIMUM_DEGREE)
        return RangeQuery(
            start=self._start_key,
            end=self._end_key if self._is_exhausted else self._last_key,
            exhausted=self._is_exhausted,
            reads=() if summary else tuple(self._reads),
            summary=summary,
        )

    def _next(self) -> KeyValue | None:
        row = next(self._rows, None)
        if row is None:
            self._is_exhausted = True
            return None
        self._reads.append(Read(row.key, row.height))
        self._last_key = row.key
        return KeyValue(row.key, row.value)
