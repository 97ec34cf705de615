from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from bfl_fabric.errors import LedgerUnavailable, MalformedInput, WorkerFailed
from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2 as pb
from bfl_fabric.transport.refusals import reason_of
from tests.unit.transport.transfer_site import (
    MIB,
    Site,
    chunk_of,
    chunks_of,
    eventually,
    header_of,
    noise,
    refusal,
    run,
    send,
    update_stub,
)

DATA = noise(3 * MIB + 12_345)
INVALID = grpc.StatusCode.INVALID_ARGUMENT


class Uploader:
    """A participant of BetaMSP with a committed update and no manners."""

    def __init__(self, site: Site, data: bytes = DATA, digest: str = "") -> None:
        self.site = site
        self.data = data
        self.credentials = site.consortium.credentials("BetaMSP", "clinic-1")
        self.name, self.digest = site.admission.commit("BetaMSP", "clinic-1", data, digest)

    def header(self, offset: int = 0) -> pb.UploadRequest:
        return header_of(self.name, self.digest, len(self.data), offset)

    async def send(self, messages: list[pb.UploadRequest]) -> pb.UploadReceipt:
        async with self.site.raw(self.credentials) as channel:
            return await send(channel, messages)

    async def status(self) -> pb.UploadStatus:
        async with self.site.raw(self.credentials) as channel:
            header = self.header().header
            request = pb.UploadStatusRequest(name=header.name, digest=header.digest)
            answer: pb.UploadStatus = await update_stub(channel).GetUploadStatus(request, timeout=5)
            return answer


def test_an_upload_in_order_is_stored_accepted_and_receipted(site: Site) -> None:
    async def body() -> None:
        uploader = Uploader(site)
        async with site.serving():
            assert (await uploader.status()).received_bytes == 0
            receipt = await uploader.send([uploader.header(), *chunks_of(DATA)])
            assert receipt.digest.hex() == uploader.digest
            assert receipt.size_bytes == len(DATA)
            assert receipt.name.participant_id == "clinic-1"
            assert site.store.read(uploader.digest) == DATA
            assert site.admission.accepted == [uploader.digest]
            status = await uploader.status()
            assert (status.received_bytes, status.complete) == (len(DATA), True)

    run(body())


def test_uploading_what_is_complete_is_answered_again_and_changes_nothing(site: Site) -> None:
    async def body() -> None:
        uploader = Uploader(site)
        async with site.serving():
            first = await uploader.send([uploader.header(), *chunks_of(DATA)])
            assert await uploader.send([uploader.header(), *chunks_of(DATA)]) == first
            assert await uploader.send([uploader.header(len(DATA))]) == first
            assert site.admission.accepted == [uploader.digest]

    run(body())


HOSTILE_ORDERS: dict[str, tuple[Callable[[], list[pb.UploadRequest]], str, int]] = {
    "a chunk twice": (
        lambda: [*chunks_of(DATA)[:2], chunks_of(DATA)[1]],
        f"offset {MIB}, expected offset {2 * MIB}",
        2 * MIB,
    ),
    "chunks swapped": (
        lambda: [chunks_of(DATA)[0], chunks_of(DATA)[2], chunks_of(DATA)[1]],
        f"offset {2 * MIB}, expected offset {MIB}",
        MIB,
    ),
    "a chunk left out": (
        lambda: [chunks_of(DATA)[0], *chunks_of(DATA)[2:]],
        f"offset {2 * MIB}, expected offset {MIB}",
        MIB,
    ),
    "a chunk one byte early": (
        lambda: [chunks_of(DATA)[0], chunk_of(MIB - 1, DATA[MIB - 1 : 2 * MIB - 1])],
        f"offset {MIB - 1}, expected offset {MIB}",
        MIB,
    ),
    "the last chunk cut short": (
        lambda: chunks_of(DATA[:-1]),
        f"ended at offset {len(DATA) - 1}, expected {len(DATA)}",
        len(DATA) - 1,
    ),
    "nothing but the header": (list, f"ended at offset 0, expected {len(DATA)}", 0),
    "a byte too much": (
        lambda: [*chunks_of(DATA)[:3], chunk_of(3 * MIB, DATA[3 * MIB :] + b"x")],
        f"ends at {len(DATA) + 1}, beyond the size {len(DATA)}",
        3 * MIB,
    ),
    "a chunk after the last": (
        lambda: [*chunks_of(DATA), chunk_of(len(DATA), bytes(5000))],
        f"beyond the size {len(DATA)}",
        len(DATA),
    ),
    "a chunk above 1 MiB": (
        lambda: [chunk_of(0, DATA[: MIB + 1])],
        f"has {MIB + 1} bytes, at most {MIB}",
        0,
    ),
    "an empty chunk": (lambda: [chunk_of(0, b"")], "has 0 bytes", 0),
    "crumbs": (
        lambda: [chunk_of(0, DATA[:4096]), chunk_of(4096, DATA[4096:4196])],
        "has 100 bytes, at least 4096",
        4096,
    ),
    "an offset beyond all": (
        lambda: [chunk_of(2**64 - 1, bytes(5000))],
        f"offset {2**64 - 1}, expected offset 0",
        0,
    ),
    "a second header": (
        lambda: [chunks_of(DATA)[0], pb.UploadRequest(header=pb.UploadHeader())],
        "only chunks",
        MIB,
    ),
    "an empty message": (lambda: [chunks_of(DATA)[0], pb.UploadRequest()], "only chunks", MIB),
}


@pytest.mark.parametrize("case", HOSTILE_ORDERS)
def test_wrong_chunks_are_refused_by_name_and_what_was_sound_is_resumed(site: Site, case: str) -> None:
    messages, text, kept = HOSTILE_ORDERS[case]

    async def body() -> None:
        uploader = Uploader(site)
        async with site.serving():
            refused = await refusal(uploader.send([uploader.header(), *messages()]))
            assert refused.code() is INVALID
            assert text in (refused.details() or "")
            assert not site.store.has(uploader.digest)
            assert (await uploader.status()).received_bytes == kept
            await uploader.send([uploader.header(kept), *chunks_of(DATA, kept)])
            assert site.store.read(uploader.digest) == DATA

    run(body())


@pytest.mark.parametrize("offset", [1, MIB, len(DATA), 2**64 - 1])
def test_an_upload_that_starts_elsewhere_than_the_server_stands_is_refused(site: Site, offset: int) -> None:
    async def body() -> None:
        uploader = Uploader(site)
        async with site.serving():
            refused = await refusal(uploader.send([uploader.header(offset)]))
            assert refused.code() is INVALID
            assert str(offset) in (refused.details() or "")

    run(body())


def test_bytes_with_another_digest_are_thrown_away_and_it_says_so(site: Site) -> None:
    async def body() -> None:
        uploader = Uploader(site)
        wrong = DATA[:-1] + bytes([DATA[-1] ^ 1])
        async with site.serving():
            refused = await refusal(uploader.send([uploader.header(), *chunks_of(wrong)]))
            assert refused.code() is INVALID
            assert reason_of(refused) == pb.REFUSAL_REASON_WRONG_DIGEST
            assert "thrown away" in (refused.details() or "")
            assert (await uploader.status()).received_bytes == 0
            assert site.admission.accepted == []
            await uploader.send([uploader.header(), *chunks_of(DATA)])
            assert site.store.read(uploader.digest) == DATA

    run(body())


def test_an_update_that_the_gate_refuses_is_not_kept(site: Site) -> None:
    async def gate(path: Path) -> None:
        raise MalformedInput("ciphertext 7: a coefficient beyond the modulus")

    async def body() -> None:
        site.admission.on_accept = gate
        uploader = Uploader(site)
        async with site.serving():
            refused = await refusal(uploader.send([uploader.header(), *chunks_of(DATA)]))
            assert refused.code() is INVALID
            assert "ciphertext 7" in (refused.details() or "")
            assert not site.store.has(uploader.digest)
            assert (await uploader.status()).received_bytes == 0

    run(body())


def test_a_gate_that_crashes_costs_no_bytes_and_tells_no_secrets(site: Site) -> None:
    async def crash(path: Path) -> None:
        site.admission.on_accept = None
        raise WorkerFailed("the worker with /secret/path died of signal 11")

    async def body() -> None:
        site.admission.on_accept = crash
        uploader = Uploader(site)
        async with site.serving():
            refused = await refusal(uploader.send([uploader.header(), *chunks_of(DATA)]))
            assert refused.code() is grpc.StatusCode.INTERNAL
            assert "secret" not in (refused.details() or "")
            status = await uploader.status()
            assert (status.received_bytes, status.complete) == (len(DATA), False)
            await uploader.send([uploader.header(len(DATA))])
            assert site.store.read(uploader.digest) == DATA

    run(body())


def test_a_gate_that_never_ends_is_cut_off(site: Site) -> None:
    async def hang(path: Path) -> None:
        await asyncio.sleep(60)

    async def body() -> None:
        site.admission.on_accept = hang
        uploader = Uploader(site)
        async with site.serving(accept_seconds=0.2):
            refused = await refusal(uploader.send([uploader.header(), *chunks_of(DATA)]))
            assert reason_of(refused) == pb.REFUSAL_REASON_TOO_SLOW

    run(body())


def test_a_ledger_that_does_not_answer_is_no_fault_of_the_caller(site: Site) -> None:
    async def unavailable() -> None:
        raise LedgerUnavailable("no peer answered")

    async def body() -> None:
        site.admission.on_expect = unavailable
        uploader = Uploader(site)
        async with site.serving():
            refused = await refusal(uploader.send([uploader.header()]))
            assert refused.code() is grpc.StatusCode.UNAVAILABLE

    run(body())


def test_an_unexpected_fault_of_the_node_is_not_told_to_the_caller(site: Site) -> None:
    async def fault() -> None:
        raise KeyError("private detail")

    async def body() -> None:
        site.admission.on_expect = fault
        uploader = Uploader(site)
        async with site.serving():
            refused = await refusal(uploader.send([uploader.header()]))
            assert refused.code() is grpc.StatusCode.INTERNAL
            assert "private" not in (refused.details() or "")

    run(body())


def malformed_headers(uploader: Uploader) -> dict[str, pb.UploadRequest]:
    def changed(**fields: Any) -> pb.UploadRequest:
        message = uploader.header()
        for name, value in fields.items():
            setattr(message.header, name, value)
        return message

    def renamed(**fields: Any) -> pb.UploadRequest:
        message = uploader.header()
        for name, value in fields.items():
            setattr(message.header.name, name, value)
        return message

    return {
        "no digest": changed(digest=b""),
        "a short digest": changed(digest=bytes(31)),
        "a long digest": changed(digest=bytes(33)),
        "another size": changed(size_bytes=len(DATA) + 1),
        "no size": changed(size_bytes=0),
        "an enormous size": changed(size_bytes=2**64 - 1),
        "no task": renamed(task_id=""),
        "a long task": renamed(task_id="t" * 129),
        "a task with a line break": renamed(task_id="task\n1"),
        "no name": pb.UploadRequest(header=pb.UploadHeader(digest=bytes(32), size_bytes=1)),
        "no header": chunk_of(0, DATA[:5000]),
        "an empty message": pb.UploadRequest(),
    }


def test_malformed_headers_are_refused_before_anything_is_written(site: Site) -> None:
    async def body() -> None:
        uploader = Uploader(site)
        async with site.serving():
            for case, message in malformed_headers(uploader).items():
                refused = await refusal(uploader.send([message]))
                assert refused.code() in (INVALID, grpc.StatusCode.PERMISSION_DENIED), case
            refused = await refusal(uploader.send([]))
            assert "begins with its header" in (refused.details() or "")
            assert list((site.directory / "node" / "incoming").iterdir()) == []

    run(body())


def test_a_refusal_keeps_its_reason_while_chunks_are_still_being_written(site: Site) -> None:
    """grpc.aio by itself reports INTERNAL for most of these."""

    async def body() -> None:
        uploader = Uploader(site)
        async with site.serving(), site.raw(uploader.credentials) as channel:
            messages = [header_of(uploader.name, "0" * 64, len(DATA)), *chunks_of(DATA)]
            for _ in range(40):
                refused = await refusal(send(channel, messages))
                assert reason_of(refused) == pb.REFUSAL_REASON_NOT_FOUND

    run(body())


def test_an_update_that_nobody_committed_is_not_found(site: Site) -> None:
    async def body() -> None:
        uploader = Uploader(site)
        async with site.serving():
            message = header_of(uploader.name, "0" * 64, len(DATA))
            refused = await refusal(uploader.send([message]))
            assert refused.code() is grpc.StatusCode.NOT_FOUND

    run(body())


def test_the_certificate_of_another_participant_cannot_upload(site: Site) -> None:
    async def body() -> None:
        uploader = Uploader(site)
        uploader.credentials = site.consortium.credentials("BetaMSP", "clinic-2")
        async with site.serving():
            for attempt in (lambda: uploader.send([uploader.header(), *chunks_of(DATA)]), uploader.status):
                refused = await refusal(attempt())
                assert refused.code() is grpc.StatusCode.PERMISSION_DENIED
                assert "clinic-2 cannot upload for clinic-1" in (refused.details() or "")

    run(body())


def test_the_same_name_from_another_organization_cannot_upload(site: Site) -> None:
    async def body() -> None:
        uploader = Uploader(site)
        uploader.credentials = site.consortium.credentials("GammaMSP", "clinic-1")
        async with site.serving():
            refused = await refusal(uploader.send([uploader.header(), *chunks_of(DATA)]))
            assert refused.code() is grpc.StatusCode.NOT_FOUND
            assert "clinic-1 of GammaMSP" in (refused.details() or "")

    run(body())


def test_an_update_has_one_upload_at_a_time(site: Site) -> None:
    async def body() -> None:
        uploader = Uploader(site)
        async with site.serving(), site.raw(uploader.credentials) as channel:
            first = update_stub(channel).Upload(timeout=10)
            await first.write(uploader.header())
            await first.write(chunks_of(DATA)[0])
            await eventually(lambda: any((site.directory / "node" / "incoming").iterdir()))
            refused = await refusal(uploader.send([uploader.header()]))
            assert reason_of(refused) == pb.REFUSAL_REASON_BUSY
            for message in chunks_of(DATA)[1:]:
                await first.write(message)
            await first.done_writing()
            assert (await first).digest.hex() == uploader.digest

    run(body())


def test_a_stream_that_pauses_is_ended_and_its_bytes_are_kept(site: Site) -> None:
    async def body() -> None:
        uploader = Uploader(site)
        async with site.serving(idle_seconds=0.3), site.raw(uploader.credentials) as channel:
            call = update_stub(channel).Upload(timeout=10)
            await call.write(uploader.header())
            await call.write(chunks_of(DATA)[0])
            refused = await refusal(call)
            assert refused.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert reason_of(refused) == pb.REFUSAL_REASON_TOO_SLOW
            assert (await uploader.status()).received_bytes == MIB

    run(body())


def test_a_stream_that_never_pauses_long_but_crawls_meets_its_deadline(site: Site) -> None:
    async def body() -> None:
        uploader = Uploader(site)
        limits = {"idle_seconds": 0.5, "base_seconds": 0.8, "minimum_bytes_per_second": 100 * MIB}
        async with site.serving(**limits), site.raw(uploader.credentials) as channel:
            crumbs = chunks_of(DATA, step=4096)
            refused = await refusal(send(channel, [uploader.header(), *crumbs], pause_seconds=0.1))
            assert reason_of(refused) == pb.REFUSAL_REASON_TOO_SLOW
            assert "the upload took longer" in (refused.details() or "")

    run(body())


def test_a_disk_that_fills_up_in_mid_upload_loses_nothing_else(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[[int, memoryview], int] = os.write
    room = [2 * MIB + 500]

    def write_until_full(descriptor: int, data: memoryview) -> int:
        if not os.readlink(f"/proc/self/fd/{descriptor}").endswith(".part"):
            return real(descriptor, data)
        if room[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(descriptor, data[: room[0]])
        room[0] -= written
        return written

    async def body() -> None:
        kept = site.store.put(b"stored before")
        uploader = Uploader(site)
        async with site.serving():
            with monkeypatch.context() as patched:
                patched.setattr(os, "write", write_until_full)
                refused = await refusal(uploader.send([uploader.header(), *chunks_of(DATA)]))
            assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert reason_of(refused) == pb.REFUSAL_REASON_STORAGE_FULL
            assert list(site.store.digests()) == [kept]
            assert site.store.read(kept) == b"stored before"
            assert (await uploader.status()).received_bytes == 2 * MIB
            await uploader.send([uploader.header(2 * MIB), *chunks_of(DATA, 2 * MIB)])
            assert site.store.read(uploader.digest) == DATA

    run(body())


def test_an_empty_update_needs_no_chunk(site: Site) -> None:
    async def body() -> None:
        uploader = Uploader(site, b"")
        async with site.serving():
            await uploader.send([uploader.header()])
            assert site.store.read(uploader.digest) == b""

    run(body())


def test_a_broken_connection_leaves_its_bytes_and_frees_the_update(site: Site) -> None:
    async def body() -> None:
        uploader = Uploader(site)
        async with site.serving():
            async with site.raw(uploader.credentials) as channel:
                call = update_stub(channel).Upload(timeout=10)
                await call.write(uploader.header())
                await call.write(chunks_of(DATA)[0])
                part = site.directory / "node" / "incoming"
                await eventually(lambda: any(file.stat().st_size == MIB for file in part.iterdir()))
            await asyncio.sleep(0.1)
            assert (await uploader.status()).received_bytes == MIB
            await uploader.send([uploader.header(MIB), *chunks_of(DATA, MIB)])
            assert site.store.read(uploader.digest) == DATA

    run(body())
