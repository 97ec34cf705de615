from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2 as pb
from bfl_fabric.transport.limits import CHUNK_BYTES
from bfl_fabric.transport.refusals import reason_of
from tests.unit.transport.transfer_site import MIB, Site, blob_stub, noise, refusal, run

BLOB = noise(2 * MIB + 777, "model")


async def fetch(channel: Any, digest: str, offset: int = 0) -> list[pb.DownloadChunk]:
    call = blob_stub(channel).Download(
        pb.DownloadRequest(digest=bytes.fromhex(digest), offset=offset), timeout=10
    )
    return [chunk async for chunk in call]


@pytest.mark.parametrize("offset", [0, 1, MIB, len(BLOB) - 1])
def test_a_blob_comes_in_ordered_chunks_from_the_offset(site: Site, offset: int) -> None:
    async def body() -> None:
        digest = site.store.put(BLOB)
        reader = site.consortium.credentials("GammaMSP", "verifier.gamma")
        async with site.serving(), site.raw(reader) as channel:
            chunks = await fetch(channel, digest, offset)
        assert b"".join(chunk.data for chunk in chunks) == BLOB[offset:]
        assert [chunk.offset for chunk in chunks] == list(range(offset, len(BLOB), CHUNK_BYTES))
        assert all(len(chunk.data) <= CHUNK_BYTES for chunk in chunks)

    run(body())


def test_the_end_of_a_blob_and_an_empty_blob_are_no_chunks(site: Site) -> None:
    async def body() -> None:
        digest, empty = site.store.put(BLOB), site.store.put(b"")
        reader = site.consortium.credentials("GammaMSP", "verifier.gamma")
        async with site.serving(), site.raw(reader) as channel:
            assert await fetch(channel, digest, len(BLOB)) == []
            assert await fetch(channel, empty) == []

    run(body())


def test_what_is_absent_forbidden_or_malformed_is_refused(site: Site) -> None:
    async def body() -> None:
        digest = site.store.put(BLOB)
        site.admission.readers = {"BetaMSP"}
        reader = site.consortium.credentials("BetaMSP", "verifier.beta")
        stranger = site.consortium.credentials("GammaMSP", "verifier.gamma")
        async with site.serving():
            async with site.raw(reader) as channel:
                absent = await refusal(fetch(channel, "0" * 64))
                assert absent.code() is grpc.StatusCode.NOT_FOUND
                beyond = await refusal(fetch(channel, digest, len(BLOB) + 1))
                assert reason_of(beyond) == pb.REFUSAL_REASON_WRONG_OFFSET
                malformed = await refusal(fetch(channel, "00" * 31))
                assert malformed.code() is grpc.StatusCode.INVALID_ARGUMENT
            async with site.raw(stranger) as channel:
                forbidden = await refusal(fetch(channel, digest))
                assert forbidden.code() is grpc.StatusCode.PERMISSION_DENIED

    run(body())


def test_a_reader_that_takes_nothing_is_ended(site: Site) -> None:
    async def body() -> None:
        digest = site.store.put(noise(24 * MIB, "large"))
        reader = site.consortium.credentials("GammaMSP", "verifier.gamma")
        async with site.serving(idle_seconds=0.3), site.raw(reader) as channel:
            call = blob_stub(channel).Download(pb.DownloadRequest(digest=bytes.fromhex(digest)), timeout=20)
            await asyncio.sleep(1)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in call:
                    pass
            assert reason_of(caught.value) == pb.REFUSAL_REASON_TOO_SLOW

    run(body())
