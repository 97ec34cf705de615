"""A channel that listens, for everything that calls it as an application would."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.embedded_channel import EmbeddedChannel
from tests.conformance.probe import LoopThread
from tests.interop.doors import Door, EmbeddedDoors


@pytest.fixture(scope="package")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedChannel]:
    """The embedded ledger with the probe contract, behind its gRPC server."""
    loop = LoopThread()
    running = EmbeddedChannel(tmp_path_factory.mktemp("sdk") / "ledger", over_grpc=True)
    loop.run(running.start())
    try:
        yield running
    finally:
        loop.run(running.stop())
        loop.close()


@pytest.fixture(scope="package")
def door(channel: EmbeddedChannel) -> Door:
    return EmbeddedDoors(channel).door(0)
