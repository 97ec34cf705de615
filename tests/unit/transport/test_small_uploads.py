"""What fits into one chunk is sent without asking first; what is there already still counts. What goes to several nodes
is read once to be held against its digest."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest

from bfl_fabric.domain.ports import UpdateName
from bfl_fabric.errors import MalformedInput
from bfl_fabric.transport import client as client_module
from bfl_fabric.transport.limits import CHUNK_BYTES
from tests.unit.transport.transfer_site import Site, noise, run, sha256

NAME = UpdateName("task-1", 3, "clinic-1")
LABEL = '["upload","task-1",3,"clinic-1"]'
SMALL = noise(5_000)


class Asked:
    """How often a node was asked for its permission: once for each call of an upload."""

    def __init__(self, site: Site) -> None:
        self.times = 0
        site.admission.on_expect = self._note

    async def _note(self) -> None:
        self.times += 1


def committed(site: Site, data: bytes) -> tuple[str, Path]:
    _, digest = site.admission.commit("BetaMSP", "clinic-1", data)
    return digest, site.file(data)


@pytest.mark.parametrize(
    ("data", "calls"),
    [(SMALL, 1), (noise(CHUNK_BYTES), 1), (noise(CHUNK_BYTES + 1), 2)],
    ids=["small", "a chunk", "more"],
)
def test_only_what_takes_more_than_a_chunk_is_asked_for_first(site: Site, data: bytes, calls: int) -> None:
    async def body() -> None:
        digest, path = committed(site, data)
        asked = Asked(site)
        async with site.serving(), site.client("BetaMSP", "clinic-1") as client:
            await client.upload(site.address, NAME, digest, path)
        assert site.store.read(digest) == data
        assert asked.times == calls

    run(body())


def test_an_update_of_which_a_part_is_there_goes_on_behind_it(site: Site) -> None:
    async def body() -> None:
        digest, path = committed(site, SMALL)
        part = site.store.incoming.open(LABEL, digest, len(SMALL))
        part.append(SMALL[:1_000])
        part.close()
        asked = Asked(site)
        async with site.serving(), site.client("BetaMSP", "clinic-1") as client:
            await client.upload(site.address, NAME, digest, path)
        assert site.store.read(digest) == SMALL
        assert asked.times == 3  # refused at the start, the status, the rest

    run(body())


def test_an_update_that_is_there_is_taken_note_of_at_once(site: Site) -> None:
    async def body() -> None:
        digest, path = committed(site, SMALL)
        site.store.put(SMALL)
        asked = Asked(site)
        async with site.serving(), site.client("BetaMSP", "clinic-1") as client:
            await client.upload(site.address, NAME, digest, path)
        assert asked.times == 1

    run(body())


def test_a_file_that_changed_since_it_was_held_against_its_digest_never_leaves(site: Site) -> None:
    async def body() -> None:
        digest, path = committed(site, SMALL)
        async with site.serving(), site.client("BetaMSP", "clinic-1") as client:
            for _ in range(2):
                await client.upload(site.address, NAME, digest, path)
            path.write_bytes(noise(5_000, "another"))
            with pytest.raises(MalformedInput, match="not uploaded"):
                await client.upload(site.address, NAME, digest, path)

    run(body())


def test_a_file_is_read_once_however_many_nodes_it_goes_to(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        digest, path = committed(site, SMALL)
        async with site.serving(), site.client("BetaMSP", "clinic-1") as client:
            await client.upload(site.address, NAME, digest, path)
            monkeypatch.setattr(client_module, "hashlib", None)
            await client.upload(site.address, NAME, digest, path)
            with pytest.raises(AttributeError):
                await client.upload(site.address, NAME, digest, site.file(noise(5_000, "another")))

    run(body())


def test_a_file_is_read_once_though_uploads_of_it_begin_together(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path = committed(site, SMALL)
    read = list[str]()

    def slowly(file: IO[bytes], name: str) -> object:
        read.append(name)
        time.sleep(0.05)
        return hashlib.sha256(file.read())

    monkeypatch.setattr(client_module, "hashlib", SimpleNamespace(file_digest=slowly))
    files, digest = client_module._CheckedFiles(), sha256(SMALL)
    with ThreadPoolExecutor(5) as threads:
        sizes = [threads.submit(files.size_bytes, path, digest) for _ in range(5)]
    assert [size.result() for size in sizes] == [len(SMALL)] * 5
    assert read == ["sha256"]
