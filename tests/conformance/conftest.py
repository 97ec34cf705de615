"""The channels that the conformance suite runs on, one per backend and session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bfl_fabric.fabric.verifier import ChainVerifier
from tests.conformance.embedded_channel import EmbeddedChannel
from tests.conformance.probe import LoopThread, Probe

BACKENDS = {"in-process": False, "grpc": True}


@pytest.fixture(scope="session", params=BACKENDS)
def probe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    """A client of a fresh channel. Whatever the suite did to it, the whole chain must verify afterwards."""
    loop = LoopThread()
    directory = tmp_path_factory.mktemp(request.param)
    channel = EmbeddedChannel(directory / "ledger", over_grpc=BACKENDS[request.param])
    loop.run(channel.start())
    client = Probe(channel, loop)
    try:
        yield client
        verifier = ChainVerifier(channel.genesis_digest)
        assert len(list(verifier.verify(client.blocks()))) == channel.ledger.height
    finally:
        client.close()
        loop.run(channel.stop())
        loop.close()
