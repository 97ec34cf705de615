"""Every replay by name: what the tests run, and what the mutation test runs against broken code.

Decides which recording a replay uses where one is enough. A performance returns when nothing differs and raises when
something does.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from bfl_chaincode.main import build_chaincode, invoke
from bfl_chaincode.shim.stub import ChaincodeStub, Response
from tests.recordings.archive import Recording, newest
from tests.recordings.contract import RecordedContract
from tests.replay import replayed_chain, replaying_gateway, replaying_peer
from tests.replay.tampering import TAMPERINGS, refusal

MEMBER = "AlphaMSP"
"""Whose peer's streams are recorded."""


def chain(recording: Recording, whose: str) -> int:
    """Verify a chain; return its height."""
    return replayed_chain.verify(recording, whose).height


def probe_stream(recording: Recording, patience_seconds: float) -> int:
    """Replay the probe's streams; return how many messages were compared."""
    invoke_probe = RecordedContract(MEMBER).invoke
    return replaying_peer.replay(recording.records("stream-probe"), invoke_probe, patience_seconds)


def contract_stream(recording: Recording, patience_seconds: float) -> int:
    """Replay the product's contract; return how many messages were compared."""
    chaincode = build_chaincode()

    async def transaction(stub: ChaincodeStub) -> Response:
        return await invoke(chaincode, stub)

    return replaying_peer.replay(recording.records("stream-bfl"), transaction, patience_seconds)


def client(recording: Recording) -> int:
    """Replay the client's calls; return how many were compared."""
    facts = recording.facts()
    work = replaying_gateway.replay(recording.records("calls"), facts["story"], facts["client"])
    return asyncio.run(asyncio.wait_for(work, 60))


def tampering(recording: Recording, name: str) -> None:
    """Show the verifier a tampered chain. Raises AssertionError when it does not refuse it for the right reason."""
    found = refusal(recording, TAMPERINGS[name])
    assert re.search(TAMPERINGS[name].words, found), found


def of_kind(kind: str) -> Recording:
    return next(recording for recording in newest() if recording.kind == kind)


def perform(name: str, patience_seconds: float = 20.0) -> Any:
    """Run one replay by its name, as mutations name it."""
    what, _, detail = name.partition(":")
    if what == "tampering":
        return tampering(of_kind(TAMPERINGS[detail].kind), detail)
    recording = of_kind(detail or "3.1.5-raft")
    performances: dict[str, Callable[[], Any]] = {
        "peer": lambda: chain(recording, "peer"),
        "orderer": lambda: chain(recording, "orderer"),
        "probe": lambda: probe_stream(recording, patience_seconds),
        "contract": lambda: contract_stream(recording, patience_seconds),
        "client": lambda: client(recording),
    }
    return performances[what]()
