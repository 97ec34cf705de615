"""Asking nurseries for processes: which nursery forks what, and a handle on each that looks like any child's.

A nursery is started when it is first needed, by itself or forked from the one that has loaded part of it. Signals go
through pidfds, so they hit the right process or none, whatever becomes of the nursery. When a nursery is lost, its
processes run on; what they ended with is then not known (`UNKNOWN_CODE`), and new ones are started from nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from bfl_fabric.network import children
from bfl_fabric.network.children import Child, Preload, ProcessSpec

NURSERY = "bfl_fabric.network.nursery"
MESSAGE_BYTES = 1 << 18
ROOM = " " * 1000
"""Blank argument of a nursery; the command lines of what it forks are written over it."""

IMPORT_SECONDS = 300.0
"""For a nursery to answer its first request; from a cold disk, importing takes long."""

ANSWER_SECONDS = 5.0
UNKNOWN_CODE = 75
"""EX_TEMPFAIL: it may be started again."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a nursery is asked to fork: it runs as `python -m module arguments` would in `directory`."""

    module: str
    arguments: Sequence[str]
    directory: str
    environment: Mapping[str, str]

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> Request:
        return cls(**json.loads(data))


class NurseryLost(Exception):
    """A nursery takes no more requests."""


class ForkedChild:
    """A process that a nursery was asked to fork. What needs its id waits until the nursery has forked it."""

    def __init__(self, owner: Nursery, stdin: IO[bytes] | None) -> None:
        self.stdin = stdin
        self._owner = owner
        self._pid: int | None = None
        self._watched: int | None = None
        self._code: int | None = None

    @property
    def pid(self) -> int | None:
        self._owner.receive_until(lambda: self._pid is not None, IMPORT_SECONDS)
        return self._pid

    def poll(self) -> int | None:
        self._owner.receive()
        if self._code is None and self._is_over():
            self._owner.receive_until(lambda: self._code is not None, ANSWER_SECONDS)
            self.ended(UNKNOWN_CODE)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired("a forked process", timeout or 0.0)
            if self._watched is None:
                self._owner.receive(left)
            else:
                _is_readable(self._watched, left)
        return code

    def send_signal(self, sig: int) -> None:
        if self.pid is not None and self.poll() is None and self._watched is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._watched, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def started(self, process_id: int, watched: int) -> None:
        """Take over the pidfd of the forked process."""
        self._pid, self._watched = process_id, watched

    def ended(self, code: int) -> None:
        """Note what it ended with; the first word counts."""
        if self._code is None:
            self._code = code
        if self._watched is not None:
            os.close(self._watched)
            self._watched = None

    def _is_over(self) -> bool:
        return self._owner.is_lost if self._watched is None else _is_readable(self._watched, 0.0)


class Nursery:
    """Our end of the line to one nursery. Not to be shared by threads."""

    def __init__(self, modules: tuple[str, ...], log: Path, parent: Nursery | None) -> None:
        """Start one, from nothing or forked from `parent`; it imports while we go on. Raises NurseryLost."""
        self.is_lost = False
        self._asked: deque[ForkedChild] = deque()
        self._running: dict[int, ForkedChild] = {}
        self._line, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.setblocking(False)
        with other, log.open("ab") as output:
            try:
                self._process = _start(modules, other, output, parent)
            except NurseryLost:
                self._lose()
                raise

    def fork(self, request: Request, stdin: int, output: int, pipe: IO[bytes] | None = None) -> ForkedChild:
        """Ask for a process; `pipe` is our end of its standard input. Raises NurseryLost."""
        child = ForkedChild(self, pipe)
        while not self.is_lost:
            try:
                socket.send_fds(self._line, [request.to_bytes()], [stdin, output])
            except BlockingIOError:
                # both wait for room when nobody reads
                self.receive(ANSWER_SECONDS)
            except OSError:
                self._lose()
            else:
                self._asked.append(child)
                return child
        raise NurseryLost

    def receive(self, seconds: float | None = 0.0) -> None:
        """Take in what the nursery has to say, waiting at most so long for it to begin; None: for ever."""
        while not self.is_lost and _is_readable(self._line.fileno(), seconds):
            seconds = 0.0
            try:
                data, descriptors, _, _ = socket.recv_fds(
                    self._line, MESSAGE_BYTES, 1, socket.MSG_CMSG_CLOEXEC
                )
            except OSError:
                data, descriptors = b"", []
            answer = json.loads(data or "{}")
            match answer, descriptors:
                case {"started": process_id}, [watched]:
                    self._running[process_id] = self._asked.popleft()
                    self._running[process_id].started(process_id, watched)
                case {"ended": process_id, "code": code}, []:
                    self._running.pop(process_id).ended(code)
                case _:
                    self._lose()

    def receive_until(self, told: Callable[[], bool], seconds: float) -> None:
        """Take in what the nursery says until it has told something; one that is silent for so long is ended."""
        deadline = time.monotonic() + seconds
        while not (told() or self.is_lost):
            left = deadline - time.monotonic()
            if left <= 0:
                self.end()
            else:
                self.receive(left)

    def abandon(self) -> None:
        """Let nothing be forked any more: end the nursery if it has not yet done all that it was asked."""
        self.receive()
        if self._asked:
            self.end()

    def end(self) -> None:
        """End the nursery; what it forked runs on."""
        self._lose()
        self._process.kill()
        self._process.wait()

    def _lose(self) -> None:
        self.is_lost = True
        self._line.close()


class Nurseries:
    """The nurseries of one supervisor, by what they have loaded. Not to be shared by threads."""

    def __init__(self) -> None:
        self._by_preload: dict[Preload, Nursery] = {}

    def start(self, spec: ProcessSpec) -> Child:
        """Start a process: forked where that can be done, else from nothing."""
        if spec.program is None and spec.preload is not None and _can_fork():
            with contextlib.suppress(NurseryLost):
                return self._fork(spec, self._nursery(spec.preload, spec.log.with_name("nursery.log")))
        return children.start(spec)

    def abandon(self) -> None:
        """Let nothing be forked any more."""
        for each in self._by_preload.values():
            each.abandon()

    def end(self) -> None:
        """End every nursery, those first that were forked from others."""
        for each in reversed(self._by_preload.values()):
            each.end()
        self._by_preload.clear()

    def _nursery(self, preload: Preload, log: Path) -> Nursery:
        if preload not in self._by_preload:
            parent = None if preload.after is None else self._nursery(preload.after, log)
            log.parent.mkdir(parents=True, exist_ok=True)
            self._by_preload[preload] = Nursery(preload.modules, log, parent)
        return self._by_preload[preload]

    def _fork(self, spec: ProcessSpec, owner: Nursery) -> ForkedChild:
        directory = str((spec.directory or Path()).absolute())
        request = Request(children.OWN_MODULE, spec.arguments, directory, spec.environment)
        read, write = os.pipe()
        pipe = open(write, "wb", buffering=0)  # noqa: SIM115 (the child's handle keeps it)
        try:
            with children.open_log(spec) as output:
                return owner.fork(request, read, output.fileno(), pipe)
        except NurseryLost:
            pipe.close()
            raise
        finally:
            os.close(read)


def _start(modules: tuple[str, ...], line: socket.socket, output: IO[bytes], parent: Nursery | None) -> Child:
    if parent is not None:
        request = Request(NURSERY, modules, str(Path().absolute()), {})
        return parent.fork(request, line.fileno(), output.fileno())
    return subprocess.Popen(  # noqa: S603 (our own interpreter, our own code)
        [sys.executable, "-m", NURSERY, ROOM, *modules],
        stdin=line.fileno(),
        stdout=output,
        stderr=output,
        env=children.inherited_environment(),
        start_new_session=True,
    )


def _can_fork() -> bool:
    """Linux with pidfds; elsewhere forking without exec is not safe, or a signal could hit a reused process id."""
    if sys.platform != "linux":
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def _is_readable(descriptor: int, seconds: float | None) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if seconds is None else max(0, int(seconds * 1000))))
