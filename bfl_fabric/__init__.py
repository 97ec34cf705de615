"""bfl-fabric: a permissioned-ledger backend for federated learning.

`connect` is the door for applications, `gateway` the one to any contract on any channel; they are loaded on first
use, so that importing the package loads none of torch, tenseal and grpc.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bfl_fabric.sdk import connect, gateway

__all__ = ["connect", "gateway"]
__version__ = "0.1.0.dev0"


def __getattr__(name: str) -> Any:
    if name == "connect":
        from bfl_fabric.sdk import connect

        return connect
    if name == "gateway":
        from bfl_fabric.sdk import gateway

        return gateway
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
