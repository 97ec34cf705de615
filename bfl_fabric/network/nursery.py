"""The nursery: a program that imports what many processes of ours need, once, and forks them on request.

    python -m bfl_fabric.network.nursery ROOM MODULE...

Standard input is a Unix socket (SOCK_SEQPACKET) to the process that asks, `nurseries`. A request is one message, the
JSON form of `Request`, with two descriptors: the new process's standard input and its output. The answers are
{"started": process id} with a pidfd, in the order of the requests, and {"ended": process id, "code": exit code}. The
nursery ends when the asker is gone.

It decides that a forked process is as one started from nothing: in a session of its own, with no descriptor of ours or
of its siblings, no shared random state, the command line that others see. It holds no secret, and forks only while it
has one thread (docs/adr/0016-local-nodes-are-forked-from-a-nursery.md).
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import socket
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bfl_fabric.network.nurseries import MESSAGE_BYTES, NURSERY, Request

_ARGUMENT_FIELDS = slice(45, 47)
"""Of /proc/PID/stat behind the program's name: where the arguments begin and end in memory (proc(5))."""


def main(modules: Sequence[str]) -> None:
    """Serve until the asker is gone. In a forked process this runs the module that was asked for instead."""
    line = socket.socket(fileno=0)
    _show([sys.executable, "-m", NURSERY, *modules])
    for name in modules:
        importlib.import_module(name)
    # What is there stays: a collection in a forked process would touch, and so copy, the pages of all of it.
    gc.collect()
    gc.freeze()
    request = _serve(line)
    if request is not None:
        sys.argv[1:] = request.arguments
        runpy.run_module(request.module, run_name="__main__", alter_sys=True)


def _serve(line: socket.socket) -> Request | None:
    """Fork what is asked for. Returns None here when the asker is gone, and in each forked process its request."""
    running: dict[int, int] = {}
    poll = select.poll()
    poll.register(line, select.POLLIN)
    while True:
        for descriptor, event in poll.poll():
            if descriptor != line.fileno():
                poll.unregister(descriptor)
                _tell_end(line, descriptor, running.pop(descriptor))
            elif event & (select.POLLHUP | select.POLLERR):
                return None
            else:
                data, streams, _, _ = socket.recv_fds(line, MESSAGE_BYTES, 2, socket.MSG_CMSG_CLOEXEC)
                request, (standard_input, output) = Request.from_bytes(data), streams
                _require_one_thread()
                process_id = os.fork()
                if process_id == 0:
                    _close([line.detach(), *running])
                    _become(request, standard_input, output)
                    return request
                _close(streams)
                watched = os.pidfd_open(process_id)
                running[watched] = process_id
                poll.register(watched, select.POLLIN)
                socket.send_fds(line, [_message(started=process_id)], [watched])


def _tell_end(line: socket.socket, watched: int, process_id: int) -> None:
    os.close(watched)
    code = os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1])
    line.send(_message(ended=process_id, code=code))


def _message(**fields: int) -> bytes:
    return json.dumps(fields).encode("ascii")


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _require_one_thread() -> None:
    """A lock that another thread holds at the moment of a fork stays locked for ever in the forked process."""
    threads = os.listdir("/proc/self/task")
    if len(threads) != 1:
        raise RuntimeError(f"{len(threads)} threads run: one of the preloaded modules starts some")


def _become(request: Request, standard_input: int, output: int) -> None:
    """Turn this forked process into the one that was asked for, up to running its module."""
    os.setsid()
    os.dup2(standard_input, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    _close([standard_input, output])
    os.chdir(request.directory)
    os.environ.update(request.environment)
    _show([sys.executable, "-m", request.module, *request.arguments])
    # numpy's old global generator was seeded when it was imported; `random` seeds itself anew after a fork, and the
    # operating system's randomness is never kept in a process
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def _show(command: Sequence[str]) -> None:
    """Let others (`ps`, /proc) see a command line, cut where our own ended."""
    fields = Path("/proc/self/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    begin, end = (int(field) for field in fields[_ARGUMENT_FIELDS])
    words = b"\0".join(os.fsencode(word) for word in command if word)
    if end > begin > 0:
        ctypes.memmove(begin, words[: end - begin - 1].ljust(end - begin, b"\0"), end - begin)


if __name__ == "__main__":
    main([name for name in sys.argv[1:] if name.strip()])
