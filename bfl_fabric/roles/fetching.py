"""Finds blobs: asks the nodes that the ledger lists, the likely ones first, until one gives the bytes.

Which node may give what is that node's decision (`admission`); the digest says whether the bytes are right.
"""

from __future__ import annotations

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
        ranks = {msp_id: rank for rank, msp_id in enumerate(first)}
        nodes = self._candidates(await self._reader.nodes(), roles, organizations, ranks)
        if at_home:
            nodes.sort(key=lambda node: node.msp_id != self._bench.identity.msp_id)
        for node in nodes:
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

    def _candidates(
        self,
        nodes: Sequence[Node],
        roles: Sequence[NodeRole],
        organizations: Sequence[str],
        ranks: Mapping[str, int],
    ) -> list[Node]:
        me = self._bench.identity
        suitable = [
            node
            for node in nodes
            if node.role in roles
            and (not organizations or node.msp_id in organizations)
            and (node.msp_id, node.node_id) != (me.msp_id, me.name)
        ]
        return sorted(
            suitable,
            key=lambda node: (
                roles.index(node.role),
                ranks.get(node.msp_id, len(ranks)),
                node.msp_id,
                node.node_id,
            ),
        )
