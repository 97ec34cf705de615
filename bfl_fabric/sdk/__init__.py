"""The SDK: what an enterprise application calls.

`connect` opens a federation for ordinary synchronous code, `connect_async` for asyncio. Both give the same
methods; the synchronous ones wait. `bfl_fabric.sdk.gateway` calls any contract on any channel.
"""

from __future__ import annotations

from bfl_fabric.sdk.federation import AsyncFederation, connect_async
from bfl_fabric.sdk.synchronous import Federation, Silo, TaskHandle, connect
from bfl_fabric.sdk.task import AsyncTask, RoundSummary
from bfl_fabric.sdk.terms import TaskTerms

__all__ = [
    "AsyncFederation",
    "AsyncTask",
    "Federation",
    "RoundSummary",
    "Silo",
    "TaskHandle",
    "TaskTerms",
    "connect",
    "connect_async",
]
