"""The parent's side of the worker process: start it, ask it, give it up when it crashes or overruns.

An unknown crash in a library costs one worker and not the node: the request fails with WorkerFailed and the next
one gets a fresh process. Decides limits and deadlines; what is asked is `ckks`'s.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, TypeAlias, cast

import bfl_chaincode
from bfl_fabric import errors
from bfl_fabric.he import frames
from bfl_fabric.he.frames import BrokenFrame, Head

_START = (
    "import sys; sys.path.extend(sys.argv[2:]); from bfl_fabric.he.worker import main; main(int(sys.argv[1]))"
)
_ENVIRONMENT = {
    # threads are those of `lattice.threads`
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # glibc keeps what numpy frees: giving it back and clearing it again takes longer than the arithmetic in between
    "MALLOC_TRIM_THRESHOLD_": str(1 << 28),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 25),
}


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """`memory_bytes` of address space for the process, `seconds` for one request, its start included."""

    memory_bytes: int = 3 << 30
    seconds: float = 120.0


StartWorker: TypeAlias = "Callable[[WorkerLimits], WorkerProcess]"
"""How providers make their workers."""


class WorkerProcess:
    """A worker process that is started when first asked and again after it was lost. Safe to share by threads."""

    def __init__(self, limits: WorkerLimits | None = None) -> None:
        self._limits = limits or WorkerLimits()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._end: Callable[[], object] = bool

    @property
    def process_id(self) -> int | None:
        """The id of the running process, None when there is none."""
        return self._process.pid if self._process else None

    def ask(self, head: Head, payload: bytes = b"") -> tuple[Head, bytes]:
        """Return the reply. Raises what the worker refused with, and WorkerFailed when it was lost."""
        with self._lock:
            reply, data = self._exchange(head, payload)
        if "error" in reply:
            raise _refusal(reply)
        return reply, data

    def close(self) -> None:
        """End the process; a later request starts another."""
        with self._lock:
            self._drop()

    def _exchange(self, head: Head, payload: bytes) -> tuple[Head, bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._drop()
        process = self._process or self._started()
        overrun = threading.Event()
        timer = threading.Timer(self._limits.seconds, _kill, (process, overrun))
        timer.daemon = True
        timer.start()
        try:
            if self._process is None:
                frames.receive(_pipe(process.stdout))
                self._process = process
            frames.send(_pipe(process.stdin), head, payload)
            return frames.receive(_pipe(process.stdout))
        except (BrokenFrame, OSError) as error:
            raise self._lost(process, overrun) from error
        except BaseException:
            # half a frame may be on its way: this process cannot be asked again
            self._drop()
            raise
        finally:
            timer.cancel()

    def _started(self) -> subprocess.Popen[bytes]:
        roots = [str(Path(module.__file__ or "").parents[1]) for module in (errors, bfl_chaincode)]
        command = [sys.executable, "-I", "-c", _START, str(self._limits.memory_bytes), *roots]
        try:
            process = subprocess.Popen(  # noqa: S603  (our own interpreter, our own code)
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **_ENVIRONMENT},
            )
        except OSError as error:
            raise errors.WorkerFailed(
                f"the ciphertext worker could not be started: {error.strerror}"
            ) from error
        self._end = weakref.finalize(self, _end, process)
        return process

    def _lost(self, process: subprocess.Popen[bytes], overrun: threading.Event) -> errors.WorkerFailed:
        self._drop()
        if overrun.is_set():
            return errors.WorkerFailed(f"the ciphertext worker took more than {self._limits.seconds:g} s")
        return errors.WorkerFailed(
            f"the ciphertext worker ended with status {process.returncode}; only it was lost"
        )

    def _drop(self) -> None:
        self._end()
        self._process = None


def _pipe(stream: IO[bytes] | None) -> BinaryIO:
    assert stream is not None
    return cast("BinaryIO", stream)


def _kill(process: subprocess.Popen[bytes], overrun: threading.Event) -> None:
    overrun.set()
    process.kill()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _refusal(reply: Head) -> errors.BflError:
    kind = getattr(errors, str(reply["error"]), errors.WorkerFailed)
    refusal: errors.BflError = kind(str(reply.get("message", "")))
    return refusal
