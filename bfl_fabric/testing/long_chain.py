"""A long chain of the real contract on the embedded ledger, for benchmarks and memory tests of the verifier.

Rounds in which every silo commits an update and every holder acknowledges it, given up before anything is
aggregated: real identities, endorsements, reads and writes in the shape that a large federation gives its ledger.
No blobs belong to it.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path

from bfl_chaincode.api.canonical import Json
from bfl_fabric.fabric.blocks import parse_block
from bfl_fabric.fabric.gateway import GatewayLedger
from bfl_fabric.network.topology import APPLICATION
from bfl_fabric.testing.rehearsal import SAMPLES, TASK, UPLOAD_BYTES, Rehearsal, rehearsal

BLOCKS = Path("ledger/blocks.bin")
CALLERS = 200


@dataclass(frozen=True, slots=True)
class LongChain:
    """Where the block file lies, and the digest that pins it."""

    blocks: Path
    genesis_digest: str


async def make_long_chain(
    place: Path, transactions: int, participants: int = 60, organizations: int = 3
) -> LongChain:
    """Fill an empty directory with a federation whose ledger holds at least so many transactions."""
    async with rehearsal(place, participants, organizations) as federation:
        silos = await federation.open_round()
        coordinator = federation.client(federation.topology.roles.coordinator, APPLICATION)
        number, made = 1, 0
        while made < transactions:
            if number > 1:
                await coordinator.submit("round:Open", {"task_id": TASK})
            made += await _fill_round(federation, silos, number)
            abort: dict[str, Json] = {"task_id": TASK, "round": number, "reason": "rehearsed"}
            await coordinator.submit("round:Abort", abort)
            number += 1
        digest = parse_block(federation.embedded.raw_block(0)).hash.hex()
        return LongChain(place / BLOCKS, digest)


async def _fill_round(federation: Rehearsal, silos: dict[str, GatewayLedger], number: int) -> int:
    """Let every silo commit and every holder acknowledge; return how many transactions that made."""
    limit = asyncio.Semaphore(CALLERS)

    async def submit(client: GatewayLedger, name: str, request: dict[str, Json]) -> None:
        async with limit:
            await client.submit(name, request)

    updates = {name: _update(name, number) for name in silos}
    commits = [submit(silo, "round:CommitUpdate", updates[name]) for name, silo in silos.items()]
    await asyncio.gather(*commits)
    receipts = [
        submit(holder, "round:AcknowledgeUploads", _receipt(name, update))
        for holder in _holders(federation)
        for name, update in updates.items()
    ]
    await asyncio.gather(*receipts)
    return len(commits) + len(receipts)


def _update(name: str, number: int) -> dict[str, Json]:
    digest = hashlib.sha256(f"update {number} of {name}".encode()).hexdigest()
    return {
        "task_id": TASK,
        "round": number,
        "digest": digest,
        "size_bytes": UPLOAD_BYTES,
        "weight": SAMPLES,
    }


def _receipt(name: str, update: dict[str, Json]) -> dict[str, Json]:
    return {
        "task_id": TASK,
        "round": update["round"],
        "uploads": [{"participant_id": name, "digest": update["digest"]}],
    }


def _holders(federation: Rehearsal) -> list[GatewayLedger]:
    """Return a client of each organization that takes uploads: the aggregator's and those that hold no key."""
    topology, found = federation.topology, []
    for organization in topology.organizations:
        if organization.msp_id == topology.roles.aggregator:
            name = f"aggregator-{organization.slug}"
        elif organization.msp_id != topology.roles.key_holder:
            name = f"verifier-{organization.slug}"
        else:
            continue
        found.append(federation.client(organization.msp_id, name))
    return found
