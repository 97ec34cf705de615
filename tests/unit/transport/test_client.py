from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path

import pytest

from bfl_fabric.domain.ports import UpdateChannel, UpdateName
from bfl_fabric.errors import ConfigurationError, MalformedInput, NotFound, StorageFull, TransferFailed
from bfl_fabric.storage.blobs import FileBlobStore
from bfl_fabric.storage.incoming import PartialFile
from bfl_fabric.transport.client import TransferClient
from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2 as pb
from bfl_fabric.transport.limits import ClientLimits
from bfl_fabric.transport.server import TransferServer
from tests.unit.transport.lying import LyingService, lying
from tests.unit.transport.throwaway_tls import Authority, pem
from tests.unit.transport.transfer_site import MIB, QUICK_SERVER, Site, eventually, noise, run, sha256

DATA = noise(8 * MIB + 4321)
NAME = UpdateName("task-1", 3, "clinic-1")
LABEL = '["upload","task-1",3,"clinic-1"]'
IMPATIENT = ClientLimits(attempts=2, first_backoff_seconds=0.01, connect_seconds=1, idle_seconds=2)


def committed(site: Site, data: bytes = DATA) -> tuple[str, Path]:
    _, digest = site.admission.commit("BetaMSP", "clinic-1", data)
    return digest, site.file(data)


def test_an_update_and_a_model_travel_through_the_port(site: Site) -> None:
    async def body() -> None:
        digest, path = committed(site)
        model = noise(3 * MIB + 5, "model")
        model_digest = site.store.put(model)
        async with site.serving(), site.client("BetaMSP", "clinic-1") as client:
            channel: UpdateChannel = client
            await channel.upload(site.address, NAME, digest, path)
            assert site.store.read(digest) == DATA
            mine = site.store_of("clinic-1")
            await channel.download(site.address, model_digest, len(model), mine)
            assert mine.read(model_digest) == model
            assert client.stats.uploaded_bytes == len(DATA)
            assert client.stats.downloaded_bytes == len(model)
            await channel.upload(site.address, NAME, digest, path)
            await channel.download(site.address, model_digest, len(model), mine)
            assert client.stats.uploaded_bytes == len(DATA)
            assert client.stats.downloaded_bytes == len(model)

    run(body())


def test_an_empty_blob_travels_too(site: Site) -> None:
    async def body() -> None:
        digest, path = committed(site, b"")
        async with site.serving(), site.client("BetaMSP", "clinic-1") as client:
            await client.upload(site.address, NAME, digest, path)
            mine = site.store_of("clinic-1")
            await client.download(site.address, digest, 0, mine)
            assert mine.read(digest) == b""

    run(body())


def pause_at(monkeypatch: pytest.MonkeyPatch, position: int, reached: asyncio.Event) -> None:
    """Set `reached` when a partial file first gets to `position`, and give the test time to act on it."""
    real, loop = PartialFile.append, asyncio.get_running_loop()

    def append(self: PartialFile, data: bytes) -> None:
        real(self, data)
        if self.received_bytes >= position and not reached.is_set():
            loop.call_soon_threadsafe(reached.set)
            time.sleep(0.2)

    monkeypatch.setattr(PartialFile, "append", append)


def test_an_upload_goes_on_when_the_server_is_restarted_in_its_middle(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        digest, path = committed(site)
        stopping = asyncio.Event()
        pause_at(monkeypatch, 5 * MIB, stopping)
        async with site.client("BetaMSP", "clinic-1") as client:
            async with site.serving():
                upload = asyncio.create_task(client.upload(site.address, NAME, digest, path))
                await stopping.wait()
            assert not site.store.has(digest)
            site.restart_store()
            await asyncio.sleep(0.2)
            assert not upload.done()
            async with site.serving(site.address):
                await upload
                assert site.store.read(digest) == DATA
            resent = client.stats.uploaded_bytes - len(DATA)
            assert 0 <= resent <= 5 * MIB

    run(body())


def test_a_download_goes_on_when_the_server_is_restarted_in_its_middle(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        digest = site.store.put(DATA)
        stopping = asyncio.Event()
        pause_at(monkeypatch, 2 * MIB, stopping)
        mine = site.store_of("verifier.beta")
        async with site.client("BetaMSP", "verifier.beta") as client:
            async with site.serving():
                download = asyncio.create_task(client.download(site.address, digest, len(DATA), mine))
                await stopping.wait()
            assert not download.done()
            site.restart_store()
            async with site.serving(site.address):
                await download
            assert mine.read(digest) == DATA

    run(body())


def test_a_client_that_gave_up_leaves_what_the_next_one_resumes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        digest, path = committed(site)
        reached = asyncio.Event()
        pause_at(monkeypatch, 3 * MIB, reached)
        async with site.serving():
            async with site.client("BetaMSP", "clinic-1") as client:
                upload = asyncio.create_task(client.upload(site.address, NAME, digest, path))
                await reached.wait()
                upload.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await upload
            await eventually(lambda: site.store.incoming.received_bytes(LABEL, digest) >= 3 * MIB)
            async with site.client("BetaMSP", "clinic-1") as client:
                await client.upload(site.address, NAME, digest, path)
                assert client.stats.uploaded_bytes <= len(DATA) - 3 * MIB
            assert site.store.read(digest) == DATA

    run(body())


def test_a_prefix_that_rotted_on_the_server_is_sent_again_from_the_start(site: Site) -> None:
    async def body() -> None:
        digest, path = committed(site)
        rotten = site.store.incoming.open(LABEL, digest, len(DATA))
        rotten.append(bytes(MIB))
        rotten.close()
        async with site.serving(), site.client("BetaMSP", "clinic-1") as client:
            await client.upload(site.address, NAME, digest, path)
            assert site.store.read(digest) == DATA
            assert client.stats.uploaded_bytes == 2 * len(DATA) - MIB

    run(body())


def test_a_file_that_is_not_what_was_committed_never_leaves(site: Site) -> None:
    async def body() -> None:
        digest, path = committed(site)
        path.write_bytes(DATA[:-1])
        async with site.client("BetaMSP", "clinic-1") as client:
            with pytest.raises(MalformedInput, match="not uploaded"):
                await client.upload("127.0.0.1:1", NAME, digest, path)
            with pytest.raises(NotFound):
                await client.upload("127.0.0.1:1", NAME, digest, site.directory / "absent")
            assert client.stats.uploaded_bytes == 0

    run(body())


def test_refusals_become_the_errors_of_the_port(site: Site) -> None:
    async def body() -> None:
        digest, path = committed(site)
        other = site.file(b"never committed")
        async with site.serving(), site.client("BetaMSP", "clinic-1") as client:
            with pytest.raises(NotFound, match="committed no such update"):
                await client.upload(site.address, NAME, sha256(b"never committed"), other)
            with pytest.raises(TransferFailed, match="cannot upload for clinic-2"):
                await client.upload(site.address, UpdateName("task-1", 3, "clinic-2"), digest, path)
            with pytest.raises(NotFound):
                await client.download(site.address, "0" * 64, 5, site.store_of("clinic-1"))
            site.admission.readers = set()
            with pytest.raises(TransferFailed, match="may not read"):
                await client.download(site.address, "0" * 64, 5, site.store_of("clinic-1"))

    run(body())


def test_a_gate_that_refuses_is_malformed_input_for_the_uploader(site: Site) -> None:
    async def gate(path: Path) -> None:
        raise MalformedInput("rule 6: a coefficient beyond the modulus")

    async def body() -> None:
        site.admission.on_accept = gate
        digest, path = committed(site)
        async with site.serving(), site.client("BetaMSP", "clinic-1") as client:
            with pytest.raises(MalformedInput, match="rule 6"):
                await client.upload(site.address, NAME, digest, path)
            assert client.stats.uploaded_bytes == len(DATA)

    run(body())


def test_a_node_without_room_is_storage_full(site: Site) -> None:
    async def body() -> None:
        site.store = FileBlobStore(site.directory / "small", max_incoming_bytes=MIB)
        digest, path = committed(site)
        async with site.serving(), site.client("BetaMSP", "clinic-1") as client:
            with pytest.raises(StorageFull, match="no room"):
                await client.upload(site.address, NAME, digest, path)

    run(body())


def test_a_disk_that_fills_up_in_mid_upload_is_told_at_the_first_try(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = PartialFile.append, [0]

    def append(self: PartialFile, data: bytes) -> None:
        if self.received_bytes >= MIB:
            raise StorageFull("no room")
        real(self, data)

    async def count() -> None:
        asked[0] += 1

    async def body() -> None:
        monkeypatch.setattr(PartialFile, "append", append)
        site.admission.on_expect = count
        digest, path = committed(site)
        async with site.serving(), site.client("BetaMSP", "clinic-1") as client:
            for _ in range(10):
                with pytest.raises(StorageFull, match="no room"):
                    await client.upload(site.address, NAME, digest, path)
            assert asked[0] == 20  # a status and an upload each, nothing tried again

    run(body())


def test_no_room_here_ends_a_download_and_says_so(site: Site) -> None:
    async def body() -> None:
        digest = site.store.put(DATA)
        mine = FileBlobStore(site.directory / "small", max_incoming_bytes=MIB)
        credentials = site.consortium.credentials("BetaMSP", "verifier.beta")
        async with site.serving(), TransferClient(credentials, mine.incoming) as client:
            with pytest.raises(StorageFull):
                await client.download(site.address, digest, len(DATA), mine)

    run(body())


def test_an_address_where_nobody_listens_is_transfer_failed(site: Site) -> None:
    async def body() -> None:
        digest, path = committed(site)
        async with site.serving():
            pass
        async with site.client("BetaMSP", "clinic-1", IMPATIENT) as client:
            with pytest.raises(TransferFailed, match=f"gave up after 2 tries: {site.address}"):
                await client.upload(site.address, NAME, digest, path)

    run(body())


def test_a_client_accepts_only_the_organization_that_it_expects(site: Site) -> None:
    async def body() -> None:
        digest, path = committed(site)
        async with site.serving(), site.client("BetaMSP", "clinic-1", IMPATIENT) as client:
            client.expect(site.address, "GammaMSP")
            with pytest.raises(TransferFailed):
                await client.upload(site.address, NAME, digest, path)
            client.expect(site.address, "AlphaMSP")
            await client.upload(site.address, NAME, digest, path)
            assert site.store.has(digest)

    run(body())


def test_many_downloads_of_one_blob_fetch_it_once(site: Site) -> None:
    async def body() -> None:
        digest = site.store.put(DATA)
        mine = site.store_of("verifier.beta")
        async with site.serving(), site.client("BetaMSP", "verifier.beta") as client:
            fetch = client.download
            await asyncio.gather(*(fetch(site.address, digest, len(DATA), mine) for _ in range(6)))
            assert client.stats.downloaded_bytes == len(DATA)
            assert mine.read(digest) == DATA

    run(body())


def test_one_client_keeps_within_its_places_however_much_is_asked_of_it(site: Site) -> None:
    async def body() -> None:
        blobs = [noise(70_000, f"blob {number}") for number in range(40)]
        digests = [site.store.put(blob) for blob in blobs]
        mine = site.store_of("verifier.beta")
        async with site.serving(), site.client("BetaMSP", "verifier.beta") as client:
            fetch = client.download
            await asyncio.gather(*(fetch(site.address, digest, 70_000, mine) for digest in digests))
        assert list(mine.digests()) == sorted(digests)

    run(body())


WANTED = noise(2 * MIB, "wanted")
LIES: dict[str, list[pb.DownloadChunk]] = {
    "other bytes": [
        pb.DownloadChunk(offset=0, data=WANTED[:MIB]),
        pb.DownloadChunk(offset=MIB, data=bytes(MIB)),
    ],
    "too many bytes": [
        pb.DownloadChunk(offset=0, data=WANTED[:MIB]),
        pb.DownloadChunk(offset=MIB, data=WANTED[MIB:]),
        pb.DownloadChunk(offset=2 * MIB, data=b"x" * 5000),
    ],
    "a gap": [pb.DownloadChunk(offset=MIB, data=WANTED[MIB:])],
    "a chunk above 1 MiB": [pb.DownloadChunk(offset=0, data=WANTED[: MIB + 1])],
    "crumbs": [pb.DownloadChunk(offset=0, data=b"1")],
    "an empty chunk": [pb.DownloadChunk(offset=0, data=b"")],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_node_that_sends_other_bytes_is_malformed_input_and_nothing_is_stored(site: Site, lie: str) -> None:
    async def body() -> None:
        mine = site.store_of("verifier.beta")
        service = LyingService(LIES[lie])
        async with lying(site, service) as address, site.client("BetaMSP", "verifier.beta") as client:
            with pytest.raises(MalformedInput, match=address):
                await client.download(address, sha256(WANTED), len(WANTED), mine)
            assert list(mine.digests()) == []
            assert service.calls == 1

    run(body())


def test_bytes_of_a_liar_do_not_spoil_a_download_from_an_honest_node(site: Site) -> None:
    async def body() -> None:
        digest = site.store.put(WANTED)
        mine = site.store_of("verifier.beta")
        liar = LyingService([pb.DownloadChunk(offset=0, data=bytes(MIB))])
        async with lying(site, liar) as address, site.client("BetaMSP", "verifier.beta", IMPATIENT) as client:
            with pytest.raises((TransferFailed, MalformedInput)):
                await client.download(address, digest, len(WANTED), mine)
            async with site.serving():
                await client.download(site.address, digest, len(WANTED), mine)
            assert mine.read(digest) == WANTED

    run(body())


def test_a_node_that_falls_silent_is_given_up(site: Site) -> None:
    async def body() -> None:
        limits = ClientLimits(attempts=2, first_backoff_seconds=0.01, idle_seconds=0.3)
        liar = LyingService([], pause_seconds=30)
        mine = site.store_of("verifier.beta")
        async with lying(site, liar) as address, site.client("BetaMSP", "verifier.beta", limits) as client:
            with pytest.raises(TransferFailed, match=r"sent nothing for 0\.3 s"):
                await client.download(address, sha256(WANTED), len(WANTED), mine)

    run(body())


def test_a_compressed_bomb_of_a_node_does_not_reach_the_client(site: Site) -> None:
    async def body() -> None:
        bomb = LyingService([pb.DownloadChunk(offset=0, data=bytes(60 * MIB))])
        mine = site.store_of("verifier.beta")
        async with lying(site, bomb) as address, site.client("BetaMSP", "verifier.beta", IMPATIENT) as client:
            with pytest.raises(TransferFailed):
                await client.download(address, sha256(WANTED), 60 * MIB, mine)
            assert client.stats.downloaded_bytes == 0

    run(body())


def test_trust_that_changes_is_used_by_the_next_call_and_the_next_handshake(site: Site) -> None:
    """An organization is admitted and another suspended while the server runs."""

    async def body() -> None:
        newcomer = Authority("DeltaMSP")
        site.consortium.authorities["DeltaMSP"] = newcomer
        digest = site.store.put(WANTED)
        site.admission.readers.add("DeltaMSP")
        mine = site.store_of("verifier.delta")
        async with site.serving(), site.client("DeltaMSP", "verifier.delta", IMPATIENT) as client:
            with pytest.raises(TransferFailed):
                await client.download(site.address, digest, len(WANTED), mine)
            everybody = {
                msp_id: [pem(authority.certificate)]
                for msp_id, authority in site.consortium.authorities.items()
            }
            site.node.authorities.replace(everybody)
            await client.download(site.address, digest, len(WANTED), mine)
            del everybody["DeltaMSP"]
            site.node.authorities.replace(everybody)
            with pytest.raises(TransferFailed, match="vouches"):
                await client.download(site.address, "1" * 64, 5, mine)

    run(body())


def test_a_renewed_server_certificate_is_served_without_a_restart(site: Site) -> None:
    async def body() -> None:
        digest = site.store.put(WANTED)
        async with site.serving():
            certificate, key = site.consortium.files(site.consortium.authorities["GammaMSP"], "moved.gamma")
            site.node._certificate_path.write_bytes(certificate.read_bytes())
            site.node._key_path.write_bytes(key.read_bytes())
            async with site.client("BetaMSP", "verifier.beta", IMPATIENT) as client:
                client.expect(site.address, "GammaMSP")
                await client.download(site.address, digest, len(WANTED), site.store_of("verifier.beta"))

    run(body())


def test_a_server_refuses_a_taken_port_and_a_second_start(site: Site) -> None:
    async def body() -> None:
        async with site.serving() as server:
            with pytest.raises(ConfigurationError, match="running already"):
                await server.start()
            second = TransferServer(site.store, site.admission, site.node, QUICK_SERVER)
            with pytest.raises(ConfigurationError, match="taken"):
                await second.start(site.address)
            await second.stop()

    run(body())


def test_a_stopped_server_has_let_go_of_every_transfer(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs when it stops is waited for: the next server may open the same files at once."""

    async def body() -> None:
        digest, path = committed(site)
        reached = asyncio.Event()
        pause_at(monkeypatch, 3 * MIB, reached)
        async with site.client("BetaMSP", "clinic-1") as client:
            async with site.serving():
                upload = asyncio.create_task(client.upload(site.address, NAME, digest, path))
                await reached.wait()
            site.restart_store()
            site.store.incoming.open(LABEL, digest, len(DATA)).close()
            upload.cancel()
            with pytest.raises(asyncio.CancelledError):
                await upload

    run(body())


def test_a_server_sweeps_transfers_that_nobody_came_back_for(site: Site) -> None:
    async def body() -> None:
        stale = site.store.incoming.open("upload", hashlib.sha256(b"x").hexdigest(), 100)
        stale.append(b"begun")
        stale.close()
        folder = site.directory / "node" / "incoming"
        async with site.serving(stale_transfer_seconds=0.5, sweep_seconds=0.1):
            assert len(list(folder.iterdir())) == 1
            await eventually(lambda: not list(folder.iterdir()))

    run(body())


def test_closing_a_client_breaks_off_what_is_under_way_and_keeps_what_arrived(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        digest = site.store.put(DATA)
        reached = asyncio.Event()
        pause_at(monkeypatch, 2 * MIB, reached)
        mine = site.store_of("verifier.beta")
        async with site.serving():
            client = site.client("BetaMSP", "verifier.beta")
            download = asyncio.create_task(client.download(site.address, digest, len(DATA), mine))
            await reached.wait()
            await client.close()
            with pytest.raises(TransferFailed, match="closed"):
                await download
            async with site.client("BetaMSP", "verifier.beta") as client:
                await client.download(site.address, digest, len(DATA), mine)
                assert client.stats.downloaded_bytes <= len(DATA)
            assert mine.read(digest) == DATA

    run(body())


def test_a_client_needs_no_settings(site: Site) -> None:
    async def body() -> None:
        digest, path = committed(site, noise(50_000))
        credentials = site.consortium.credentials("BetaMSP", "clinic-1")
        async with site.serving(), TransferClient(credentials, site.store_of("clinic-1").incoming) as client:
            await client.upload(site.address, NAME, digest, path)
        assert site.store.has(digest)

    run(body())
