"""Changing when blocks are cut on a running channel."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from bfl_fabric.config import explained
from bfl_fabric.domain.ports import Clock
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric.config_changes import BlockCutting, set_block_cutting
from bfl_fabric.network.bringup import Report
from bfl_fabric.network.operations import processes
from bfl_fabric.network.operations.sites import change_channel, open_site, write_topology
from bfl_fabric.network.topology import OrderingPlan, Topology


def cut(topology: Topology, seconds: float | None, transactions: int | None) -> Topology:
    """Return a topology whose blocks are cut otherwise; what is None stays. Raises ConfigurationError."""
    wanted = {"block_seconds": seconds, "block_transactions": transactions}
    given = {name: value for name, value in wanted.items() if value is not None}
    if not given:
        raise ConfigurationError(
            "nothing to change: say after how many seconds or transactions to cut a block"
        )
    try:
        ordering = OrderingPlan.model_validate(topology.ordering.model_dump() | given)
    except ValidationError as error:
        raise ConfigurationError(f"block cutting: {explained(error)}") from error
    return topology.model_copy(update={"ordering": ordering})


def cutting(topology: Topology) -> BlockCutting:
    """Return what the channel is to be told."""
    ordering = topology.ordering
    return BlockCutting(
        max_message_count=ordering.block_transactions, timeout_ms=max(1, round(ordering.block_seconds * 1000))
    )


async def set_cutting(
    directory: Path, seconds: float | None, transactions: int | None, clock: Clock, report: Report
) -> None:
    """Cut blocks after other seconds or other numbers of transactions from the next block on."""
    processes.require_running(directory)
    site = open_site(directory, clock)
    topology = cut(site.topology, seconds, transactions)
    report("the channel's administrators sign other terms of block cutting")
    await change_channel(site, lambda config: set_block_cutting(config, cutting(topology)))
    write_topology(site.directory, topology)
