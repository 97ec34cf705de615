"""What was answered at the present height.

Decides which answers are kept and for how long: a question that asked for nothing but the committed state has one
answer at each height, whoever asks (ADR 19). Which questions are of that kind the stub knows (`simulator`); who may ask
is checked before, for every caller.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import NamedTuple

from bfl_fabric.fabric.envelopes import Response

KEPT_COUNT = 1000
KEPT_BYTES = 16 * 1024 * 1024
"""Questions and answers together; the oldest go first."""


class Question(NamedTuple):
    """A call of a chaincode at a height; `arguments[0]` is the function's name."""

    height: int
    chaincode: str
    arguments: tuple[bytes, ...]


@dataclass(slots=True)
class Answers:
    """The answers of one height. Safe to use from several threads."""

    _height: int = 0
    _kept: dict[Question, Response] = field(default_factory=dict)
    _size_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, question: Question) -> Response | None:
        """Return the answer to the same question at the same height, None when it is not kept."""
        with self._lock:
            return self._kept.get(question)

    def keep(self, question: Question, response: Response) -> None:
        """Keep an answer until there is a higher one; one of a past height comes too late."""
        with self._lock:
            if question.height < self._height or question in self._kept:
                return
            if question.height > self._height:
                self._kept.clear()
                self._height, self._size_bytes = question.height, 0
            self._kept[question] = response
            self._size_bytes += _size(question, response)
            while len(self._kept) > KEPT_COUNT or self._size_bytes > KEPT_BYTES:
                oldest = next(iter(self._kept))
                self._size_bytes -= _size(oldest, self._kept.pop(oldest))


def _size(question: Question, response: Response) -> int:
    return sum(map(len, question.arguments)) + len(response.payload) + len(response.message)
