"""What is done to a network while the client's story is recorded: connections cut, programs stopped and started."""

from __future__ import annotations

import asyncio
from typing import Any

from bfl_fabric.network.bringup import wait_healthy
from tests.conformance.probe import LoopThread
from tests.recordings.chapters import Channel, PatientProbe, until_it_works
from tests.recordings.definitions import PROBE


class Stagehand:
    """Does what the story asks for."""

    def __init__(self, stage: Any) -> None:
        self._stage = stage

    async def act(self, what: str) -> None:
        """Do one thing and return when its effect is there."""
        thing, way = what.split()
        calls = self._stage.calls
        plan = self._stage.site.plan
        match thing, way:
            case "cut", "events":
                calls.cut_after = ("/gateway.Gateway/ChaincodeEvents", 1)
            case "cut", "blocks":
                calls.cut_after = ("/protos.Deliver/Deliver", 2)
            case "whole", _:
                calls.cut_after = None
            case "peers", "down":
                self._hold([peer.name for peer in plan.peers[1:]])
            case "peers", "up":
                self._release([peer.name for peer in plan.peers[1:]])
                await self._until_it_works()
            case "orderers", "down":
                self._hold([orderer.name for orderer in plan.orderers])
            case "orderers", "up":
                self._release([orderer.name for orderer in plan.orderers])
                await self._until_it_works()

    def _hold(self, names: list[str]) -> None:
        for name in names:
            self._stage.hold(name)

    def _release(self, names: list[str]) -> None:
        for name in names:
            self._stage.release(name)

    async def _until_it_works(self) -> None:
        await wait_healthy(self._stage.site)
        await asyncio.to_thread(self._submit_until_valid)

    def _submit_until_valid(self) -> None:
        loop = LoopThread()
        channel: Any = Channel(self._stage, PROBE)
        probe = PatientProbe(channel, loop)
        try:
            until_it_works(probe)
        finally:
            probe.close()
            loop.close()
