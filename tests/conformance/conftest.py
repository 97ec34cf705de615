"""The channels that the conformance suite runs on, one per backend and session."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bfl_fabric.fabric.verifier import ChainVerifier
from bfl_fabric.network.programs import find_programs
from tests.conformance.embedded_channel import EmbeddedChannel
from tests.conformance.fabric_channel import FabricChannel
from tests.conformance.probe import LoopThread, Probe

START_SECONDS = 120.0
# Which programs and which consensus a backend needs.
REAL = {
    "fabric-3.1-raft": ("3.1", "raft"),
    "fabric-3.1-bft": ("3.1", "bft"),
    "fabric-2.5-raft": ("2.5", "raft"),
}
EXTENDED = [pytest.mark.slow, pytest.mark.extended]
BACKENDS = [
    "in-process",
    "grpc",
    pytest.param("fabric-3.1-raft", marks=pytest.mark.needs_fabric("3.1")),
    pytest.param("fabric-3.1-bft", marks=[pytest.mark.needs_fabric("3.1"), *EXTENDED]),
    pytest.param("fabric-2.5-raft", marks=[pytest.mark.needs_fabric("2.5"), *EXTENDED]),
]


def opened(backend: str, directory: Path) -> EmbeddedChannel | FabricChannel:
    """Return a fresh channel of a backend, not started."""
    if backend in REAL:
        version, consensus = REAL[backend]
        return FabricChannel(directory / "network", find_programs(version), consensus)
    return EmbeddedChannel(directory / "ledger", over_grpc=backend == "grpc")


@pytest.fixture(scope="session", params=BACKENDS)
def probe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    """A client of a fresh channel. Whatever the suite did to it, the whole chain must verify afterwards."""
    loop = LoopThread()
    channel = opened(request.param, tmp_path_factory.mktemp(request.param))
    began = time.monotonic()
    loop.run(channel.start(), START_SECONDS)
    client = Probe(channel, loop)
    try:
        yield client
        verified = len(list(ChainVerifier(channel.genesis_digest).verify(client.blocks())))
        assert verified == channel.verify_copies(client)
        sys.stdout.write(f"{request.param}: {verified} blocks, {time.monotonic() - began:.0f} s\n")
    finally:
        client.close()
        loop.run(channel.stop(), START_SECONDS)
        loop.close()
