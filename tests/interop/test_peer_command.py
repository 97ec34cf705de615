"""Fabric's own command line, `peer chaincode invoke` and `query`, beside our client on the same real channel."""

from __future__ import annotations

import asyncio
import json

import pytest

from bfl_fabric.sdk.gateway import SigningIdentity, connect_async
from tests.interop.doors import RealDoors
from tests.interop.words import REFUSAL, TINY
from tests.unit.fabric.real_network import CHAINCODE, CHANNEL, RealNetwork

pytestmark = [pytest.mark.needs_fabric, pytest.mark.slow]


def written(name: str) -> str:
    """Return a call as the command line takes it."""
    call = TINY.calls[name]
    return json.dumps({"function": call["name"], "Args": call["arguments"]})


def invoke_arguments(network: RealNetwork, name: str) -> list[str]:
    arguments = ["chaincode", "invoke", "-C", CHANNEL, "-n", CHAINCODE, "-c", written(name)]
    arguments += ["-o", f"127.0.0.1:{network.orderer[0]}", "--tls", "--cafile", network.orderer[1]]
    for party, port in zip(network.parties, network.peers, strict=True):
        arguments += ["--peerAddresses", f"127.0.0.1:{port}", "--tlsRootCertFiles", party.tls("peer")["ca"]]
    return [*arguments, "--waitForEvent"]


def test_an_invocation_commits_and_both_sides_read_it(real_network: RealNetwork) -> None:
    invoked = real_network.peer(0, *invoke_arguments(real_network, "submit"))
    assert invoked.returncode == 0, invoked.stderr
    query = ["chaincode", "query", "-C", CHANNEL, "-n", CHAINCODE, "-c", written("evaluate")]
    queried = real_network.peer(1, *query)
    assert queried.stdout.strip() == TINY.evaluated
    assert asyncio.run(evaluated(real_network)) == TINY.evaluated


async def evaluated(network: RealNetwork) -> str:
    """Read the same key through our gateway client."""
    door = RealDoors(network).door(0)
    identity = SigningIdentity.from_pem(door.msp_id, door.certificate, door.key)
    async with connect_async(door.address, identity, tls_roots=door.tls_roots) as gateway:
        contract = gateway.network(CHANNEL).contract(CHAINCODE)
        call = TINY.calls["evaluate"]
        return (await contract.evaluate(call["name"], *call["arguments"])).decode()


def test_a_contracts_refusal_ends_the_command_with_its_text(real_network: RealNetwork) -> None:
    invoked = real_network.peer(0, *invoke_arguments(real_network, "refused"))
    assert invoked.returncode != 0
    assert REFUSAL in invoked.stderr
