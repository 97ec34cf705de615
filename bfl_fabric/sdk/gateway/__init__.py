"""Any contract on any channel, through a peer's gateway: for applications that know hfc or fabric-gateway.

`connect` opens a gateway for ordinary code, `connect_async` for asyncio; then `gateway.network(channel)
.contract(chaincode)` and `evaluate` or `submit`. Arguments are text or bytes, results bytes. Private keys need not be
in this process: `signer` asks a token, and every step of a transaction can be signed elsewhere. Federations have
their own, higher door: `bfl_fabric.connect`.
"""

from __future__ import annotations

from bfl_fabric.domain.ports import Checkpoint
from bfl_fabric.fabric.envelopes import ValidationCode
from bfl_fabric.fabric.gateway_transport import Deadlines, GatewayDetail
from bfl_fabric.fabric.identity import Identity, SigningIdentity
from bfl_fabric.sdk.gateway.failures import (
    CallFailed,
    CommitFailed,
    CommitStatusFailed,
    EndorseFailed,
    EvaluateFailed,
    SubmitFailed,
)
from bfl_fabric.sdk.gateway.network import (
    AsyncContract,
    AsyncGateway,
    AsyncNetwork,
    connect_async,
    open_gateway,
)
from bfl_fabric.sdk.gateway.signing import SignDigest
from bfl_fabric.sdk.gateway.streams import ChaincodeEvent
from bfl_fabric.sdk.gateway.synchronous import (
    Commit,
    Contract,
    Gateway,
    Network,
    Proposal,
    Transaction,
    connect,
)
from bfl_fabric.sdk.gateway.transactions import AsyncCommit, AsyncProposal, AsyncTransaction, CommitStatus

__all__ = [
    "AsyncCommit",
    "AsyncContract",
    "AsyncGateway",
    "AsyncNetwork",
    "AsyncProposal",
    "AsyncTransaction",
    "CallFailed",
    "ChaincodeEvent",
    "Checkpoint",
    "Commit",
    "CommitFailed",
    "CommitStatus",
    "CommitStatusFailed",
    "Contract",
    "Deadlines",
    "EndorseFailed",
    "EvaluateFailed",
    "Gateway",
    "GatewayDetail",
    "Identity",
    "Network",
    "Proposal",
    "SignDigest",
    "SigningIdentity",
    "SubmitFailed",
    "Transaction",
    "ValidationCode",
    "connect",
    "connect_async",
    "open_gateway",
]
