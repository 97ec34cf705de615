"""Signature checks in worker processes, one per core, for chains long enough to be worth it.

Decides when workers are started, which of them gets a batch, and that a lost worker is an error and never a good
signature. A thousand signatures are checked on the spot first, so that a short chain starts no process. Every
answer is waited for before anything that depends on it is decided.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import bfl_chaincode
from bfl_fabric import errors
from bfl_fabric.errors import WorkerFailed
from bfl_fabric.fabric.signature_worker import LONGEST_SIGNATURE, NO_KEY, READY, pack_batch
from bfl_fabric.fabric.signatures import Answers, ChecksOnTheSpot, Signature, SignatureChecks, public_key_of

START_AFTER = 1_000
"""Signatures; to check so many takes about as long as to start the workers."""

BATCH = 256
"""Signatures in one batch."""

AHEAD_PER_WORKER = 4 * BATCH
WAITING_PER_WORKER = 16 * BATCH
"""Signatures that a worker may have before its answers are read: they must fit into the pipe, else both would wait."""

PATIENCE_SECONDS = 120.0
_PIPE_BYTES = 1 << 20
_START = (
    "import sys; sys.path.extend(sys.argv[1:]); from bfl_fabric.fabric.signature_worker import main; main()"
)


@contextmanager
def signature_checks(workers: int | None = None, start_after: int = START_AFTER) -> Iterator[SignatureChecks]:
    """Check signatures in so many processes, by default one per core; with less than two cores in this one."""
    count = len(os.sched_getaffinity(0)) if workers is None else workers
    if count < 1 or (workers is None and count < 2):
        yield ChecksOnTheSpot()
        return
    pool = SignatureWorkers(count, start_after)
    try:
        yield pool
    finally:
        pool.close()


class SignatureWorkers:
    """A pool of worker processes that starts once it has been asked about enough signatures."""

    def __init__(self, count: int, start_after: int = START_AFTER) -> None:
        self._count = count
        self._start_after = start_after
        self._asked = 0
        self._workers: list[_Worker] = []

    @property
    def ahead(self) -> int:
        return AHEAD_PER_WORKER * self._count if self._workers else 0

    @property
    def process_ids(self) -> tuple[int, ...]:
        """The ids of the running processes, none before they are needed."""
        return tuple(worker.process.pid for worker in self._workers)

    def begin(self, signatures: Sequence[Signature]) -> Answers | None:
        """Hand the signatures out in batches. Raises WorkerFailed when a worker cannot take one."""
        self._asked += len(signatures)
        if self._asked <= self._start_after:
            return None
        if not self._workers:
            for _ in range(self._count):
                self._workers.append(_Worker())
        parts = []
        for start in range(0, len(signatures), BATCH):
            worker = min(self._workers, key=lambda one: one.waiting)
            parts.append(worker.begin(signatures[start : start + BATCH]))
        return _Joined(parts)

    def close(self) -> None:
        """End the processes; what was begun is lost."""
        for worker in self._workers:
            worker.close()
        self._workers.clear()


@dataclass(slots=True)
class _Part:
    """A batch that a worker has; `answer` is there once the worker was read so far."""

    worker: _Worker
    count: int
    answer: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Joined:
    parts: Sequence[_Part]

    def get(self) -> bytes:
        return b"".join(part.worker.answer(part) for part in self.parts)


@dataclass(slots=True)
class _Worker:
    """One process: batches go in and answers come out in the same order."""

    process: subprocess.Popen[bytes] = field(default_factory=lambda: _started())
    waiting: int = 0
    _numbers: dict[bytes, int] = field(default_factory=dict)
    _parts: deque[_Part] = field(default_factory=deque)
    _is_ready: bool = False

    def begin(self, signatures: Sequence[Signature]) -> _Part:
        self._require_running()
        while self.waiting > WAITING_PER_WORKER:
            self._take_answer()
        fresh: list[bytes] = []
        claims = []
        for one in signatures:
            key = public_key_of(one.creator)
            if not key or len(one.signature) > LONGEST_SIGNATURE:
                claims.append((NO_KEY, one.digest, b""))
                continue
            number = self._numbers.get(key)
            if number is None:
                number = self._numbers[key] = len(self._numbers)
                fresh.append(key)
            claims.append((number, one.digest, one.signature))
        try:
            _write(self.process, pack_batch(fresh, claims))
        except OSError as error:
            raise self._lost() from error
        part = _Part(self, len(signatures))
        self._parts.append(part)
        self.waiting += part.count
        return part

    def answer(self, part: _Part) -> bytes:
        """Wait for an answer; those of earlier batches come before it."""
        while part.answer is None:
            self._take_answer()
        return part.answer

    def _take_answer(self) -> None:
        self._require_running()
        if not self._is_ready and self._read(len(READY)) != READY:
            raise self._lost()
        self._is_ready = True
        first = self._parts.popleft()
        first.answer = self._read(first.count)
        self.waiting -= first.count

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                _pipe(pipe).close()

    def _read(self, count: int) -> bytes:
        pipe, found, end = _pipe(self.process.stdout).fileno(), b"", time.monotonic() + PATIENCE_SECONDS
        while len(found) < count:
            ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise WorkerFailed(f"a signature worker gave no answer for {PATIENCE_SECONDS:g} s")
            more = os.read(pipe, count - len(found))
            if not more:
                raise self._lost()
            found += more
        return found

    def _require_running(self) -> None:
        """A worker that was lost stays lost: what it had cannot be known any more."""
        if _pipe(self.process.stdin).closed:
            raise self._lost()

    def _lost(self) -> WorkerFailed:
        self.close()
        return WorkerFailed(
            f"a signature worker ended with status {self.process.returncode}; nothing after the last verified block "
            "is known to be good: run the audit again"
        )


def _started() -> subprocess.Popen[bytes]:
    roots = [str(Path(module.__file__ or "").parents[1]) for module in (errors, bfl_chaincode)]
    try:
        process = subprocess.Popen(  # noqa: S603  (our own interpreter, our own code)
            [sys.executable, "-I", "-c", _START, *roots],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
    except OSError as error:
        raise WorkerFailed(f"a signature worker could not be started: {error.strerror}") from error
    _widen(_pipe(process.stdin))
    return process


def _write(process: subprocess.Popen[bytes], data: bytes) -> None:
    descriptor, rest = _pipe(process.stdin).fileno(), memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _widen(pipe: IO[bytes]) -> None:
    """Let batches wait in the pipe while the worker is busy; where that is not possible, writing waits instead."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
