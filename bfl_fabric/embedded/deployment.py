"""Block 1 of an embedded channel: the transaction that defines its chaincode.

Decides what that transaction reads and writes; it is the one that `peer lifecycle chaincode commit` would send, but
without approvals before it, since all peers are in one process. Storing it is left to `ledger`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bfl_fabric.embedded.lifecycle import (
    LIFECYCLE_VERSION,
    CollectionDefinition,
    definition_keys,
    definition_values,
    field_key,
)
from bfl_fabric.embedded.readwriteset import ReadWriteSetBuilder
from bfl_fabric.fabric.definitions import ChaincodeDefinition, commit_arguments
from bfl_fabric.fabric.endorsement import (
    Simulation,
    assemble,
    endorse,
    response_payload,
    sign_envelope,
)
from bfl_fabric.fabric.envelopes import Response
from bfl_fabric.fabric.identity import Signer
from bfl_fabric.fabric.lifecycle import NAMESPACE
from bfl_fabric.fabric.proposal import NONCE_BYTES, Invocation, build_proposal


@dataclass(frozen=True, slots=True)
class Deployment:
    """Which chaincode a channel gets."""

    channel_id: str
    chaincode: str
    version: str
    collections: tuple[CollectionDefinition, ...]


def deployment_envelope(
    deployment: Deployment, administrator: Signer, peers: Sequence[Signer], at_ms: int
) -> Any:
    """Return the signed `common.Envelope` that defines the chaincode, endorsed by all these peers."""
    name, version, collections = deployment.chaincode, deployment.version, deployment.collections
    sets = ReadWriteSetBuilder()
    for key in (field_key(name, "Sequence"), definition_keys(name)[0]):
        sets.add_read(NAMESPACE, key, None)
    for key, value in definition_values(name, version, collections).items():
        sets.add_write(NAMESPACE, key, value)
    arguments = commit_arguments(ChaincodeDefinition(name, version, collections=collections))
    invocation = Invocation(deployment.channel_id, NAMESPACE, arguments)
    proposal = build_proposal(invocation, administrator.creator, os.urandom(NONCE_BYTES), at_ms)
    simulation = Simulation(NAMESPACE, LIFECYCLE_VERSION, sets.build().public, Response(200, "", b""))
    payload = response_payload(proposal, simulation)
    prepared = assemble(proposal, payload, [endorse(payload, peer) for peer in peers])
    return sign_envelope(prepared.payload, administrator)
