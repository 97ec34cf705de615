"""The worker process: what it costs when it dies, and what its parent never sees."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bfl_fabric.errors import MalformedInput, WorkerFailed
from bfl_fabric.he import frames, secretfile
from bfl_fabric.he.ckks import CkksProvider, CkksScheme
from bfl_fabric.he.frames import BrokenFrame
from bfl_fabric.he.isolation import WorkerLimits, WorkerProcess
from bfl_fabric.he.packing import pack
from tests.unit.he.samples import CHECKED, PARAMETERS, TERMS, name, some_values

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which only Linux has")


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    made = WorkerProcess()
    yield made
    made.close()


def running(worker: WorkerProcess) -> int:
    assert worker.process_id is not None
    return worker.process_id


def test_a_killed_worker_is_replaced_for_the_next_request(worker: WorkerProcess, public_key: bytes) -> None:
    scheme = CkksScheme(CHECKED, public_key, worker)
    scheme.encrypt(name(), 1, 1, some_values(10))
    first = running(worker)
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert len(scheme.encrypt(name(), 1, 1, some_values(10))) == scheme.size_bytes(10)
    assert running(worker) != first


def test_a_worker_that_dies_at_work_fails_one_request_only(worker: WorkerProcess, public_key: bytes) -> None:
    scheme = CkksScheme(CHECKED, public_key, worker)
    scheme.encrypt(name(), 1, 1, some_values(10))
    victim = running(worker)
    os.kill(victim, signal.SIGSTOP)
    killer = threading.Timer(0.2, os.kill, (victim, signal.SIGKILL))
    killer.start()
    with pytest.raises(WorkerFailed, match="ended with status -9; only it was lost"):
        scheme.encrypt(name(), 1, 1, some_values(200_000))
    killer.join()
    assert scheme.encrypt(name(), 1, 1, some_values(10))


def test_a_worker_that_hangs_is_given_up_at_its_deadline(public_key: bytes) -> None:
    worker = WorkerProcess()
    scheme = CkksScheme(CHECKED, public_key, worker)
    scheme.encrypt(name(), 1, 1, some_values(10))
    worker._limits = WorkerLimits(seconds=1)
    stopped = running(worker)
    os.kill(stopped, signal.SIGSTOP)
    begin = time.monotonic()
    with pytest.raises(WorkerFailed, match="took more than 1 s"):
        scheme.encrypt(name(), 1, 1, some_values(10))
    assert time.monotonic() - begin < 30
    with pytest.raises(ProcessLookupError):
        os.kill(stopped, 0)
    worker.close()


def test_a_worker_without_memory_is_a_failed_worker(public_key: bytes) -> None:
    worker = WorkerProcess(WorkerLimits(memory_bytes=64 << 20))
    with pytest.raises(WorkerFailed, match="ended with status"):
        CkksScheme(CHECKED, public_key, worker).encrypt(name(), 1, 1, some_values(10))
    worker.close()


@LINUX
def test_a_worker_cannot_take_more_memory_than_its_limit(worker: WorkerProcess, public_key: bytes) -> None:
    CkksScheme(CHECKED, public_key, worker).encrypt(name(), 1, 1, some_values(10))
    limits = Path(f"/proc/{running(worker)}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max address space")]
    assert line.split()[3] == str(WorkerLimits().memory_bytes)
    (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core.split()[4] == "0"


def test_a_worker_ends_when_its_parent_closes_it(worker: WorkerProcess, public_key: bytes) -> None:
    CkksScheme(CHECKED, public_key, worker).encrypt(name(), 1, 1, some_values(10))
    process_id = running(worker)
    worker.close()
    assert worker.process_id is None
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)


def test_a_worker_serves_many_threads(worker: WorkerProcess, public_key: bytes) -> None:
    scheme = CkksScheme(CHECKED, public_key, worker)
    with ThreadPoolExecutor(4) as pool:
        made = list(
            pool.map(lambda index: scheme.encrypt(name(f"p{index}"), 1, 1, some_values(10)), range(12))
        )
    assert len(set(made)) == 12


def test_a_worker_holds_values_against_the_ring_by_itself(worker: WorkerProcess, public_key: bytes) -> None:
    """The parent checks the tighter bound of the terms; the worker trusts nobody."""
    head = {"operation": "encrypt", "parameters_digest": PARAMETERS.digest, "key_bytes": len(public_key)}
    for value in (1 << 30, -(1 << 30), -(1 << 63)):
        with pytest.raises(MalformedInput, match="beyond 30 bits"):
            worker.ask(head, public_key + np.array([value], dtype="<i8").tobytes())


@LINUX
def test_the_worker_keeps_secrets_out_of_its_arguments_and_environment(opener, secret_path: Path) -> None:  # type: ignore[no-untyped-def]
    process_id = running(opener._worker)
    arguments = Path(f"/proc/{process_id}/cmdline").read_bytes()
    environment = Path(f"/proc/{process_id}/environ").read_bytes()
    for pattern in secret_patterns(secret_path):
        assert pattern not in arguments + environment
    assert str(secret_path).encode() not in arguments


KEY_HOLDER = """
import sys
from pathlib import Path
from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import UpdateName
from bfl_fabric.he.parameters import CKKS_N4096
from bfl_fabric.he.provider import EncryptionSchemes
import numpy as np

folder = Path(sys.argv[1])
terms = EncryptionTerms("ckks", CKKS_N4096.digest, 16, "0.5", 100)
schemes = EncryptionSchemes()
public_key = schemes.create_key(terms, 1, folder / "secret")
scheme, opener = schemes.public(terms, public_key), schemes.secret(terms, public_key, folder / "secret")
paths = []
for who in "abc":
    paths.append(folder / who)
    paths[-1].write_bytes(scheme.encrypt(UpdateName("t", 1, who), 1, 5, np.arange(50)))
(folder / "sum").write_bytes(scheme.aggregate(paths))
assert (opener.open_sum(folder / "sum", 3) == 3 * np.arange(50)).all()
opener.open_score(scheme.score(paths[0], np.arange(50).astype(np.int8)))
assert not any(name.startswith("tenseal") for name in sys.modules)
print("done", flush=True)
sys.stdin.read()
"""


@LINUX
def test_no_word_of_the_secret_key_is_in_the_memory_of_the_key_holders_process(tmp_path: Path) -> None:
    """It made the key and opened a sum and a score; the key never left the worker process."""
    holder = subprocess.Popen(
        [sys.executable, "-c", KEY_HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"done\n"
        patterns = secret_patterns(tmp_path / "secret")
        assert memory_hits(holder.pid, patterns) == 0
    finally:
        holder.communicate()
    # the scan does find words where they are: this process has just read them
    assert memory_hits(os.getpid(), patterns) > 0


def secret_patterns(path: Path) -> list[bytes]:
    """Return byte forms of a few words of the secret: as numbers in memory and as packed in the file."""
    words = secretfile.read(path, PARAMETERS).secret[0]
    picked = words[np.array([0, 1000, 2001, 4094])]
    pairs = [pack(words[at : at + 2], PARAMETERS.residue_bits) for at in (0, 1000, 4094)]
    return [int(word).to_bytes(8, "little") for word in picked] + pairs


def memory_hits(process_id: int, patterns: list[bytes]) -> int:
    """Return how many patterns occur in the writable memory of a process."""
    left = set(patterns)
    with open(f"/proc/{process_id}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{process_id}/maps").read_text().splitlines():
            area, rights, *rest = line.split()
            if "w" not in rights or (len(rest) > 3 and rest[3] in ("[vvar]", "[vsyscall]")):
                continue
            begin, end = (int(bound, 16) for bound in area.split("-"))
            try:
                memory.seek(begin)
                content = memory.read(end - begin)
            except OSError:
                continue
            left -= {pattern for pattern in left if pattern in content}
            if not left:
                break
    return len(set(patterns) - left)


def test_the_parent_process_never_loads_tenseal_to_open_or_encrypt(tmp_path: Path) -> None:
    holder = subprocess.run(
        [sys.executable, "-c", KEY_HOLDER, str(tmp_path)], input=b"", capture_output=True, check=False
    )
    assert (holder.returncode, holder.stdout) == (0, b"done\n"), holder.stderr.decode()


def test_a_refused_secret_leaves_no_worker_behind(tmp_path: Path, public_key: bytes) -> None:
    provider = CkksProvider(WorkerLimits())
    before = children()
    with pytest.raises(Exception, match="there is no secret file"):
        provider.secret(TERMS, public_key, tmp_path / "none")
    assert children() == before


def children() -> set[int]:
    task = Path(f"/proc/{os.getpid()}/task")
    return {int(child) for path in task.glob("*/children") for child in path.read_text().split()}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        bytes(11),
        (5).to_bytes(4, "little") + bytes(8) + b"{}",
        (2).to_bytes(4, "little") + (9).to_bytes(8, "little") + b"{}",
        (1 << 20).to_bytes(4, "little") + bytes(8),
        (2).to_bytes(4, "little") + (1 << 63).to_bytes(8, "little") + b"{}",
        (2).to_bytes(4, "little") + bytes(8) + b"[]",
        (2).to_bytes(4, "little") + bytes(8) + b"{1",
        (9).to_bytes(4, "little") + bytes(8) + b'{"a":0.5}',
    ],
)
def test_a_frame_that_is_none_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenFrame):
        frames.receive(io.BytesIO(data))


def test_a_frame_is_read_as_it_was_sent() -> None:
    stream = io.BytesIO()
    frames.send(stream, {"operation": "x", "n": 3}, b"payload")
    stream.seek(0)
    assert frames.receive(stream) == ({"operation": "x", "n": 3}, b"payload")
