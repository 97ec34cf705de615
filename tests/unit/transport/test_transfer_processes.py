from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bfl_fabric.domain.ports import UpdateName
from bfl_fabric.storage.blobs import FileBlobStore
from bfl_fabric.transport.client import TransferClient
from tests.unit.transport.node_process import SCRIPTS, NodeProcess
from tests.unit.transport.transfer_site import MIB, QUICK_CLIENT, eventually, noise, run, sha256

NAME = UpdateName("task-1", 3, "clinic-1")
LARGE = noise(64 * MIB, "a large update")


def client_of(node: NodeProcess) -> TransferClient:
    store = FileBlobStore(node.directory / "mine")
    return TransferClient(node.credentials("BetaMSP", "clinic-1"), store.incoming, limits=QUICK_CLIENT)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    return path


def test_a_large_transfer_costs_the_server_less_memory_than_16_mib(tmp_path: Path, large: Path) -> None:
    async def body(node: NodeProcess) -> tuple[int, int]:
        digest = node.commit(LARGE)
        small = noise(2 * MIB)
        (tmp_path / "small").write_bytes(small)
        async with client_of(node) as client:
            await client.upload(node.address, NAME, node.commit(small), tmp_path / "small")
            before = node.forget_peak()
            await client.upload(node.address, NAME, digest, large)
            uploaded = node.peak_bytes() - before
            before = node.forget_peak()
            await client.download(node.address, digest, len(LARGE), FileBlobStore(node.directory / "mine"))
            return uploaded, node.peak_bytes() - before

    with NodeProcess(tmp_path) as node:
        uploaded, downloaded = run(body(node))
        assert uploaded < 16 * MIB
        assert downloaded < 16 * MIB
        assert FileBlobStore(node.store).read(sha256(LARGE)) == LARGE


def test_an_upload_survives_kill_9_of_the_server(tmp_path: Path, large: Path) -> None:
    async def body(node: NodeProcess) -> int:
        digest = node.commit(LARGE)
        async with client_of(node) as client:
            upload = asyncio.create_task(client.upload(node.address, NAME, digest, large))
            await eventually(lambda: node.received_bytes() > 10 * MIB)
            node.kill()
            assert not upload.done()
            node.start()
            await upload
            return client.stats.uploaded_bytes

    with NodeProcess(tmp_path) as node:
        sent = run(body(node))
        assert FileBlobStore(node.store).read(sha256(LARGE)) == LARGE
        assert sent < 2 * len(LARGE) - 4 * MIB


def test_an_upload_survives_kill_9_of_the_client(tmp_path: Path, large: Path) -> None:
    async def body(node: NodeProcess) -> int:
        digest = node.commit(LARGE)
        certificate, key = node.consortium.files(node.consortium.authorities["BetaMSP"], "clinic-1")
        settings = {
            "certificate": str(certificate),
            "key": str(key),
            "trust": json.dumps(node.trust_texts),
            "store": str(tmp_path / "killed"),
            "address": node.address,
            "participant_id": "clinic-1",
            "digest": digest,
            "path": str(large),
        }
        victim = subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, str(SCRIPTS / "uploading_process.py"), json.dumps(settings)]
        )
        await eventually(lambda: node.received_bytes() > 10 * MIB, seconds=20)
        victim.kill()
        victim.wait()
        async with client_of(node) as client:
            await client.upload(node.address, NAME, digest, large)
            return client.stats.uploaded_bytes

    with NodeProcess(tmp_path) as node:
        run(body(node))
        assert FileBlobStore(node.store).read(sha256(LARGE)) == LARGE
