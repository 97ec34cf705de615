"""A scheme provider that notes everything that is ever opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import AggregateHeader, OpeningTerms
from bfl_fabric.testing.scheme import PlainOpener, PlainProvider, PlainScheme
from bfl_fabric.testing.threshold import PlainJointScheme

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Int64Vector


class WatchedOpener:
    """An opener that notes each aggregate before it opens it."""

    def __init__(self, inner: PlainOpener, scheme: PlainScheme, opened: list[AggregateHeader]) -> None:
        self._inner = inner
        self._scheme = scheme
        self._opened = opened

    def open_sum(self, aggregate: Path, members: int) -> Int64Vector:
        self._opened.append(self._scheme.inspect_aggregate(aggregate))
        return self._inner.open_sum(aggregate, members)

    def open_score(self, score: bytes) -> int:
        return self._inner.open_score(score)


class WatchedJointScheme(PlainJointScheme):
    """A scheme under a joint key that notes each aggregate when its shares are combined."""

    opened: list[AggregateHeader]

    def combine(
        self, opening: OpeningTerms, aggregate: Path, zeros: Sequence[Path], shares: Mapping[str, Path]
    ) -> Int64Vector:
        total = super().combine(opening, aggregate, zeros, shares)
        self.opened.append(self.inspect_aggregate(aggregate))
        return total


class WatchedProvider(PlainProvider):
    """A plain provider; `opened` holds the header of every aggregate that was opened, in order."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.opened: list[AggregateHeader] = []

    def secret(self, terms: EncryptionTerms, public_key: bytes, secret_path: Path) -> WatchedOpener:  # type: ignore[override]
        inner = super().secret(terms, public_key, secret_path)
        return WatchedOpener(inner, self.public(terms, public_key), self.opened)

    def joint(self, terms: EncryptionTerms, joint_key: bytes) -> WatchedJointScheme:
        scheme = WatchedJointScheme(terms, joint_key, self._nonces)
        scheme.opened = self.opened
        return scheme
