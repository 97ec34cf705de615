"""Tells the federation where a node listens; due again whenever the ledger's entry is not this address."""

from __future__ import annotations

import asyncio

from bfl_chaincode.api.records import Node, NodeRole
from bfl_fabric.domain.ports import LedgerEvent
from bfl_fabric.roles.actions import Action, Submit, never, of_federation
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.workbench import Identity, Workbench


def due(nodes: tuple[Node, ...], me: Identity, role: NodeRole, address: str) -> list[Action]:
    """Return the announcement unless exactly it stands on the ledger."""
    listed = any(
        (node.msp_id, node.node_id, node.role, node.address) == (me.msp_id, me.name, role, address)
        for node in nodes
    )
    if listed:
        return []
    return [of_federation("federation:AnnounceNode", role=role.value, node_id=me.name, address=address)]


class AnnouncementRole:
    """The reconciler of a node's address; once it stands on the ledger there is nothing more to do."""

    def __init__(self, bench: Workbench, role: NodeRole, address: str) -> None:
        self._bench = bench
        self._role = role
        self._address = address
        self._reader = LedgerReader(bench.ports.ledger)
        self._announced = asyncio.Event()

    @property
    def name(self) -> str:
        return self._bench.identity.name

    async def survey(self) -> list[Action]:
        if self._announced.is_set():
            return []
        found = due(await self._reader.nodes(), self._bench.identity, self._role, self._address)
        if not found:
            self._announced.set()
        return found

    async def announced(self) -> None:
        """Return once the address stands on the ledger."""
        await self._announced.wait()

    def is_deaf_to(self, event: LedgerEvent) -> bool:
        return not event.name.startswith("federation:")

    async def stirred(self) -> None:
        await never()

    async def perform(self, action: Action) -> None:
        if not isinstance(action, Submit):
            raise TypeError(f"no action of an announcement: {action.label}")
        await self._bench.submit(action)
