"""Which node is asked for several blobs at once, and what becomes of those that it does not give."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bfl_chaincode.api.records import NodeRole
from bfl_fabric.errors import TransferFailed
from bfl_fabric.roles.actions import Action
from bfl_fabric.roles.fetching import UPDATE_SOURCES, Fetcher
from bfl_fabric.roles.progress import ProgressKind
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.testing.faults import Fault
from tests.unit.roles.nodes import ANode, Scene
from tests.unit.roles.rounds import AGGREGATOR, KEY_HOLDER, TASK, digest

BLOBS = [f"upload of {who}".encode() for who in ("a-1", "a-2", "b-1")]


class Asking:
    """A key holder that may ask a verifier of its own organization, and the aggregator."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        scene = Scene(folder)
        self.far = ANode(scene, AGGREGATOR, "aggregator-b", NodeRole.AGGREGATOR)
        self.home = ANode(scene, KEY_HOLDER, "verifier-c", NodeRole.VERIFIER)
        self.me = ANode(scene, KEY_HOLDER, "key-holder-c", NodeRole.KEY_HOLDER)

        async def may_read(*_: object) -> bool:
            return True

        for node in (self.far, self.home):
            monkeypatch.setattr(node.admission, "may_read", may_read)

    def fetch(self, blobs: list[bytes]) -> list[tuple[str, int]]:
        """Return which node gave how many bytes, by what was reported."""
        fetcher = Fetcher(self.me.bench, LedgerReader(self.me.scene.ledger))
        sizes = {digest(data.decode()): len(data) for data in blobs}
        asyncio.run(fetcher.fetch_all(Action(TASK, 1), sizes, UPDATE_SOURCES, at_home=True))
        assert self.me.blobs.digests == {digest(data.decode()) for data in blobs}
        told = [(one.text, dict(one.numbers)["bytes"]) for one in self.me.progress]
        assert {one.kind for one in self.me.progress} <= {ProgressKind.DOWNLOADED}
        self.me.progress.clear()
        return told


@pytest.fixture
def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asking:
    return Asking(tmp_path, monkeypatch)


def test_all_come_from_the_likely_node_at_once(asking: Asking) -> None:
    for data in BLOBS:
        asking.home.blobs.put(data)
    assert asking.fetch(BLOBS) == [("verifier-c", sum(map(len, BLOBS)))]
    assert asking.fetch(BLOBS) == []


def test_what_the_likely_node_does_not_give_comes_from_another(asking: Asking) -> None:
    for data in BLOBS:
        asking.far.blobs.put(data)
    asking.home.blobs.put(BLOBS[0])
    told = asking.fetch(BLOBS)
    assert told[0] == ("verifier-c", len(BLOBS[0]))
    assert sorted(told[1:]) == [("aggregator-b", len(data)) for data in BLOBS[1:]]


@pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.CORRUPTED, Fault.RESPONSE_LOST])
def test_when_the_call_for_all_fails_each_is_asked_for(asking: Asking, fault: Fault) -> None:
    for data in BLOBS:
        asking.home.blobs.put(data)
    asking.me.faults.add(fault)
    assert sorted(asking.fetch(BLOBS)) == [("verifier-c", len(data)) for data in BLOBS]


def test_what_nobody_has_is_named(asking: Asking) -> None:
    asking.home.blobs.put(BLOBS[0])
    with pytest.raises(TransferFailed, match=digest("upload of")):
        asking.fetch([BLOBS[0], b"upload of"])


def test_one_blob_is_asked_for_alone(asking: Asking) -> None:
    asking.home.blobs.put(BLOBS[0])
    asking.me.faults.add(Fault.REQUEST_LOST)
    asking.far.blobs.put(BLOBS[0])
    assert asking.fetch(BLOBS[:1]) == [("aggregator-b", len(BLOBS[0]))]
