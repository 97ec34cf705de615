"""Whom to begin an opening with: the other members of a shared key, as far as this node can tell that they will answer.

The ledger takes whom the beginner names; who is named and does not answer costs an attempt. Decides whom to name first.
"""

from __future__ import annotations

from collections.abc import Collection

from bfl_chaincode.api.records import Node, NodeRole, RoundView
from bfl_fabric.errors import TransferFailed
from bfl_fabric.roles import attempts
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.schemes import epoch_of
from bfl_fabric.roles.workbench import Workbench


class Colleagues:
    """The members of the node's shared keys, and who of them let an attempt down that this node has seen."""

    def __init__(self, bench: Workbench, reader: LedgerReader) -> None:
        self._bench = bench
        self._reader = reader
        self._lapsed: dict[str, frozenset[str]] = {}

    def note(self, view: RoundView) -> None:
        """Remember who let an attempt of this round down, until it has answered in another one."""
        if not view.openings:
            return
        task_id, lapsed, newest = view.task.spec.task_id, attempts.lapsed(view), view.openings[-1]
        answered = {share.msp_id for share in view.shares if share.attempt == newest.attempt}
        self._lapsed[task_id] = (self._lapsed.get(task_id, frozenset()) | lapsed) - (answered - lapsed)

    def keep(self, task_ids: Collection[str]) -> None:
        """Forget all other tasks."""
        self._lapsed = {task_id: names for task_id, names in self._lapsed.items() if task_id in task_ids}

    async def able(self, view: RoundView) -> list[str]:
        """Return as many members as must answer, this one among them, sorted.

        Those come first who never let an attempt down, then those whose turn it is, and only whose node answers.

        Raises TransferFailed when there are too few; it names those that were not reached.
        """
        me, lapsed = self._bench.identity.msp_id, self._lapsed.get(view.task.spec.task_id, frozenset())
        order = attempts.order_of(view)
        candidates = sorted(order, key=lambda name: (name != me, name in lapsed, order.index(name)))
        nodes = {node.msp_id: node for node in await self._reader.nodes() if node.role is NodeRole.KEY_HOLDER}
        found, lost, threshold = list[str](), list[str](), epoch_of(view).threshold
        for name in candidates:
            if len(found) < threshold:
                reached = name == me or (name in nodes and await self._reaches(nodes[name]))
                (found if reached else lost).append(name)
        if len(found) < threshold:
            raise TransferFailed(
                f"{threshold} members must answer, {len(found)} are there; not reached: {', '.join(lost)}"
            )
        return sorted(found)

    async def _reaches(self, node: Node) -> bool:
        self._bench.ports.channel.expect(node.address, node.msp_id)
        return await self._bench.ports.channel.reaches(node.address)
