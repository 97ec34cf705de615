"""Finds blobs: asks the nodes that the ledger lists, the likely ones first, until one gives the bytes.

Which node may give what is that node's decision (`admission`); the digest says whether the bytes are right.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from bfl_chaincode.api.records import Node, NodeRole
from bfl_fabric.errors import MalformedInput, NotFound, TransferFailed
from bfl_fabric.roles.actions import Action
from bfl_fabric.roles.progress import ProgressKind
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.workbench import Workbench

logger = logging.getLogger(__name__)

KEY_SOURCES = (NodeRole.KEY_HOLDER,)
MODEL_SOURCES = (NodeRole.COORDINATOR, NodeRole.VERIFIER, NodeRole.AGGREGATOR)
SUM_SOURCES = (NodeRole.KEY_HOLDER, NodeRole.COORDINATOR, NodeRole.VERIFIER)
PUBLISHED_SUM_SOURCES = (NodeRole.COORDINATOR, NodeRole.KEY_HOLDER, NodeRole.VERIFIER)
"""Whoever published a model has its sum; of the members of a shared key at first only the one that combined it."""

UPDATE_SOURCES = (NodeRole.AGGREGATOR, NodeRole.VERIFIER)


class Fetcher:
    """Brings blobs into the actor's store."""

    def __init__(self, bench: Workbench, reader: LedgerReader) -> None:
        self._bench = bench
        self._reader = reader

    async def fetch(
        self,
        action: Action,
        digest: str,
        size_bytes: int,
        roles: Sequence[NodeRole],
        organizations: Sequence[str] = (),
        first: Sequence[str] = (),
        *,
        at_home: bool = False,
    ) -> None:
        """Return once the blob is in the store.

        Nodes of these roles are asked in this order, only those of `organizations` when it is not empty, and of one
        role those of the organizations in `first` before others; with `at_home` those of one's own organization before
        all. Raises TransferFailed, naming every node that was asked, when none gives it.
        """
        if self._bench.ports.blobs.has(digest):
            return
        refusals = []
        for node in await self._candidates(roles, organizations, first, at_home=at_home):
            self._bench.ports.channel.expect(node.address, node.msp_id)
            try:
                await self._bench.ports.channel.download(
                    node.address, digest, size_bytes, self._bench.ports.blobs
                )
            except (TransferFailed, MalformedInput, NotFound) as error:
                logger.debug("%s has no %s: %s", node.node_id, digest[:12], error)
                refusals.append(f"{node.node_id}: {error}")
            else:
                self._bench.report(ProgressKind.DOWNLOADED, action, node.node_id, bytes=size_bytes)
                return
        asked = "; ".join(refusals) or "no such node is announced on the ledger"
        raise TransferFailed(f"nobody gave the blob {digest} ({size_bytes} bytes): {asked}")

    async def fetch_all(
        self, action: Action, sizes: Mapping[str, int], roles: Sequence[NodeRole], *, at_home: bool = False
    ) -> None:
        """Return once all blobs with these digests, of so many bytes each, are in the store.

        The node that `fetch` would ask first is asked for all small ones in one call; for each that is then still
        missing goes `fetch`. Raises what that raises.
        """
        store, channel = self._bench.ports.blobs, self._bench.ports.channel
        missing = {digest: size_bytes for digest, size_bytes in sizes.items() if not store.has(digest)}
        nodes = await self._candidates(roles, at_home=at_home) if len(missing) > 1 else []
        if nodes:
            channel.expect(nodes[0].address, nodes[0].msp_id)
            try:
                await channel.download_together(nodes[0].address, missing, store)
            except (TransferFailed, MalformedInput, NotFound) as error:
                logger.debug("%s did not give %d blobs together: %s", nodes[0].node_id, len(missing), error)
            came = sum(size_bytes for digest, size_bytes in missing.items() if store.has(digest))
            if came:
                self._bench.report(ProgressKind.DOWNLOADED, action, nodes[0].node_id, bytes=came)
        await asyncio.gather(
            *(
                self.fetch(action, digest, size_bytes, roles, at_home=at_home)
                for digest, size_bytes in missing.items()
            )
        )

    async def _candidates(
        self,
        roles: Sequence[NodeRole],
        organizations: Sequence[str] = (),
        first: Sequence[str] = (),
        *,
        at_home: bool,
    ) -> list[Node]:
        me, ranks = self._bench.identity, {msp_id: rank for rank, msp_id in enumerate(first)}
        suitable = [
            node
            for node in await self._reader.nodes()
            if node.role in roles
            and (not organizations or node.msp_id in organizations)
            and (node.msp_id, node.node_id) != (me.msp_id, me.name)
        ]
        return sorted(
            suitable,
            key=lambda node: (
                at_home and node.msp_id != me.msp_id,
                roles.index(node.role),
                ranks.get(node.msp_id, len(ranks)),
                node.msp_id,
                node.node_id,
            ),
        )
