from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bfl_fabric.domain.ports import UpdateName
from bfl_fabric.storage.blobs import FileBlobStore
from bfl_fabric.transport.client import TransferClient
from tests.unit.transport.node_process import NodeProcess
from tests.unit.transport.transfer_site import MIB, noise, run

PARTICIPANTS = 100


@pytest.mark.parametrize(
    "organizations",
    [["AlphaMSP", "BetaMSP", "GammaMSP"], ["BetaMSP"]],
    ids=["of three organizations", "all of one organization"],
)
def test_a_hundred_participants_upload_at_once_and_nothing_is_lost(
    tmp_path: Path, organizations: list[str]
) -> None:
    """When one organization's share of places is taken, its participants wait and come back."""

    async def body(node: NodeProcess) -> None:
        updates = [noise(MIB + number, f"update {number}") for number in range(PARTICIPANTS)]
        digests = [node.commit(data) for data in updates]
        waiting = FileBlobStore(tmp_path / "mine").incoming
        async with AsyncExitStack() as stack:
            uploads = []
            for number, data in enumerate(updates):
                path = tmp_path / f"update-{number}"
                path.write_bytes(data)
                participant, msp_id = f"clinic-{number}", organizations[number % len(organizations)]
                client = TransferClient(node.credentials(msp_id, participant), waiting)
                await stack.enter_async_context(client)
                name = UpdateName("task-1", 3, participant)
                uploads.append(client.upload(node.address, name, digests[number], path))
            before = node.forget_peak()
            await asyncio.gather(*uploads)
            assert node.peak_bytes() - before < 192 * MIB
        store = FileBlobStore(node.store)
        assert list(store.digests()) == sorted(digests)
        assert all(store.read(digest) == data for digest, data in zip(digests, updates, strict=True))

    with NodeProcess(tmp_path) as node:
        run(body(node))
