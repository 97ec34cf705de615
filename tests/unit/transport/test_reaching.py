"""Whether a node can be reached, found out by a connection alone."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from bfl_fabric.errors import TransferFailed
from tests.unit.transport.transfer_site import QUICK_CLIENT, Site, run


def test_a_node_is_reached_while_it_serves(site: Site) -> None:
    async def body() -> None:
        async with site.client("BetaMSP", "clinic-1") as client:
            async with site.serving():
                assert await client.reaches(site.address)
                assert await client.reaches(site.address)
                address = site.address
            await asyncio.sleep(0.2)  # the connection's own thread notices the end
            assert not await client.reaches(address)

    run(body())


def test_only_the_expected_organization_is_reached(site: Site) -> None:
    async def body() -> None:
        async with site.serving(), site.client("BetaMSP", "clinic-1") as client:
            client.expect(site.address, "BetaMSP")
            assert not await client.reaches(site.address)
            client.expect(site.address, "AlphaMSP")
            assert await client.reaches(site.address)

    run(body())


def test_a_server_that_does_not_speak_is_not_waited_for_long(site: Site) -> None:
    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()
        writer.close()

    async def body() -> None:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        limits = dataclasses.replace(QUICK_CLIENT, connect_seconds=0.5)
        async with site.client("BetaMSP", "clinic-1", limits=limits) as client:
            async with asyncio.timeout(5):
                assert not await client.reaches(f"127.0.0.1:{port}")
        server.close()

    run(body())


def test_a_closed_client_reaches_nobody(site: Site) -> None:
    async def body() -> None:
        async with site.serving():
            client = site.client("BetaMSP", "clinic-1")
            async with client:
                pass
            with pytest.raises(TransferFailed, match="closed"):
                await client.reaches(site.address)

    run(body())
