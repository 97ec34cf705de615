"""The embedded ledger is told the probe's recorded story: results, codes and read-write sets must be Fabric's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bfl_fabric.clock import SystemClock
from bfl_fabric.embedded.ledger import EmbeddedLedger
from bfl_fabric.embedded.service import LedgerService
from tests.chaincode.scenario import ORGANIZATIONS
from tests.conformance.embedded_channel import EmbeddedChannel
from tests.conformance.federation import found
from tests.conformance.probe import LoopThread, Probe
from tests.recordings import probing
from tests.recordings.archive import Recording, newest
from tests.recordings.contract import RecordedContract
from tests.recordings.definitions import COLLECTIONS, PROBE

NEWEST = pytest.mark.parametrize("recording", newest(), ids=lambda recording: recording.name)


class RecordedFederation(EmbeddedChannel):
    """The federation of the recordings, with the recorded contract, on the embedded ledger."""

    chaincode = PROBE
    msp_ids = ORGANIZATIONS

    def __init__(self, directory: Path) -> None:
        self.federation = found(msp_ids=ORGANIZATIONS)
        self.ledger = EmbeddedLedger.create(
            directory,
            self.federation.genesis,
            self.federation.peers,
            self.federation.orderer,
            PROBE,
            lambda: RecordedContract("AlphaMSP"),
            SystemClock(),
            COLLECTIONS,
            administrator=self.federation.clients[0],
        )
        self.service = LedgerService(self.ledger, SystemClock())
        self._over_grpc = False
        self.server = None


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """What comes of each step on the embedded ledger."""
    channel = RecordedFederation(tmp_path_factory.mktemp("embedded"))
    loop = LoopThread()
    loop.run(channel.start())
    probe = Probe(channel, loop)
    try:
        yield json.loads(json.dumps(probing.tell(probe)))
    finally:
        probe.close()
        loop.run(channel.stop())
        loop.close()
        channel.ledger.close()


def _comparable(step: dict[str, Any]) -> str:
    """Return a step without what differs from channel to channel: a transaction's id, hashes over block numbers."""
    text = re.sub("event of [0-9a-f]{64}", "event of this transaction", json.dumps(step, sort_keys=True))
    return re.sub('"hashes": \\[[^]]*\\]', '"hashes": "over block numbers"', text)


@NEWEST
def test_the_embedded_ledger_tells_the_recorded_story(
    recording: Recording, told: list[dict[str, Any]]
) -> None:
    before = [dict(record.facts) for record in recording.records("probing")]
    assert [step["step"] for step in told] == [step["step"] for step in before]
    different = [
        f"{was['step']}:\n  Fabric   {was}\n  embedded {now}"
        for now, was in zip(told, before, strict=True)
        if _comparable(now) != _comparable(was)
    ]
    assert not different, "\n".join(different)
