"""Several small blobs in one call, from nodes that tell the truth, that refuse, and that lie."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from bfl_fabric.errors import MalformedInput, NotFound, TransferFailed
from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2 as pb
from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2_grpc
from bfl_fabric.transport.limits import CHUNK_BYTES, TOGETHER_BLOBS, ClientLimits
from bfl_fabric.transport.refusals import reason_of
from tests.unit.transport.lying import LyingService, lying
from tests.unit.transport.transfer_site import Site, blob_stub, noise, refusal, run, sha256

READER = ("BetaMSP", "verifier.beta")
BLOBS = [noise(size, f"small {size}") for size in (0, 1, 5_000, CHUNK_BYTES)]
LARGE = noise(CHUNK_BYTES + 1, "large")
PAIR = BLOBS[1:3]


def sizes_of(blobs: list[bytes]) -> dict[str, int]:
    return {sha256(blob): len(blob) for blob in blobs}


async def ask(channel: Any, digests: list[bytes]) -> list[bytes]:
    call = blob_stub(channel).DownloadTogether(pb.DownloadTogetherRequest(digests=digests), timeout=10)
    return [blob.data async for blob in call]


def test_small_blobs_come_together_and_large_ones_stay_out(site: Site) -> None:
    async def body() -> None:
        for blob in [*BLOBS, LARGE]:
            site.store.put(blob)
        mine = site.store_of("verifier.beta")
        async with site.serving(), site.client(*READER) as client:
            await client.download_together(site.address, sizes_of([*BLOBS, LARGE]), mine)
            assert client.stats.downloaded_bytes == sum(map(len, BLOBS))
        assert sorted(mine.digests()) == sorted(sizes_of(BLOBS))

    run(body())


def test_more_than_one_call_holds_are_fetched_in_several(site: Site) -> None:
    async def body() -> None:
        many = [noise(10, f"blob {number}") for number in range(2 * TOGETHER_BLOBS + 1)]
        for blob in many:
            site.store.put(blob)
        mine = site.store_of("verifier.beta")
        async with site.serving(), site.client(*READER) as client:
            await client.download_together(site.address, sizes_of(many), mine)
        assert sorted(mine.digests()) == sorted(sizes_of(many))

    run(body())


def test_what_came_before_a_missing_blob_stays(site: Site) -> None:
    async def body() -> None:
        for blob in PAIR:
            site.store.put(blob)
        mine, wanted = site.store_of("verifier.beta"), [PAIR[0], b"nobody has this", PAIR[1]]
        async with site.serving(), site.client(*READER) as client:
            with pytest.raises(NotFound):
                await client.download_together(site.address, sizes_of(wanted), mine)
        assert list(mine.digests()) == [sha256(PAIR[0])]

    run(body())


def test_every_blob_needs_permission(site: Site) -> None:
    async def body() -> None:
        site.store.put(BLOBS[1])
        site.admission.readers = {"AlphaMSP"}
        async with site.serving(), site.client(*READER) as client:
            with pytest.raises(TransferFailed, match="may not read"):
                await client.download_together(site.address, sizes_of(BLOBS[1:2]), site.store_of("mine"))

    run(body())


def test_what_is_asked_for_is_bounded(site: Site) -> None:
    async def body() -> None:
        large = bytes.fromhex(site.store.put(LARGE))
        reader = site.consortium.credentials(*READER)
        async with site.serving(), site.raw(reader) as channel:
            for digests in ([], [large] * (TOGETHER_BLOBS + 1), [b"short"], [large]):
                refused = await refusal(ask(channel, digests))
                assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert reason_of(refused) == pb.REFUSAL_REASON_MALFORMED

    run(body())


@pytest.mark.parametrize(
    "lie",
    [
        [PAIR[0], bytes(len(PAIR[1]))],
        [PAIR[1], PAIR[0]],
        [PAIR[0]],
        [*PAIR, b"more"],
        [PAIR[0], PAIR[1] + b"x"],
    ],
    ids=["other bytes", "another order", "too few", "too many", "too long"],
)
def test_a_node_that_lies_is_found_and_none_of_its_lies_is_kept(site: Site, lie: list[bytes]) -> None:
    async def body() -> None:
        mine, service = site.store_of("verifier.beta"), LyingService([], wholes=lie)
        async with lying(site, service) as address, site.client(*READER) as client:
            with pytest.raises(MalformedInput, match=address):
                await client.download_together(address, sizes_of(PAIR), mine)
        assert set(mine.digests()) <= set(sizes_of(PAIR))
        assert service.calls == 1

    run(body())


def test_a_node_that_falls_silent_is_given_up(site: Site) -> None:
    async def body() -> None:
        limits, service = ClientLimits(idle_seconds=0.3), LyingService([], 30, wholes=PAIR[:1])
        async with lying(site, service) as address, site.client(*READER, limits) as client:
            with pytest.raises(TransferFailed, match=r"sent nothing for 0\.3 s"):
                await client.download_together(address, sizes_of(PAIR), site.store_of("verifier.beta"))
        assert service.calls == 1

    run(body())


def test_a_node_that_does_not_know_the_call_is_one_that_did_not_give_them(site: Site) -> None:
    async def body() -> None:
        old: Any = transfer_pb2_grpc
        async with lying(site, old.BlobTransferServicer()) as address, site.client(*READER) as client:
            with pytest.raises(TransferFailed):
                await client.download_together(address, sizes_of(PAIR), site.store_of("verifier.beta"))

    run(body())
