"""A federation up to the opening of its first round, on the real contract and the embedded ledger in process.

For benchmarks and load tests of the ledger: real identities, signatures, blocks and files; no data, no sockets.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fabric_protos.common import common_pb2

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import (
    PPB,
    CohortTerms,
    DataTerms,
    EncryptionTerms,
    IncentiveTerms,
    ModelTerms,
    RoleTerms,
    ScheduleTerms,
    TaskSpec,
    Tensor,
    TrainingTerms,
    VerificationTerms,
    to_json,
)
from bfl_fabric.clock import SystemClock
from bfl_fabric.domain.ports import Commit
from bfl_fabric.embedded.contract import bfl_contract
from bfl_fabric.embedded.ledger import EmbeddedLedger
from bfl_fabric.embedded.service import InProcessGateway, LedgerService
from bfl_fabric.fabric.gateway import ChannelAddress, GatewayLedger
from bfl_fabric.network import material
from bfl_fabric.network.plan import peer_name
from bfl_fabric.network.topology import APPLICATION, Topology, admin_name, generated

TASK = "rehearsal"
SAMPLES = 10
UPLOAD_BYTES = 61_800
ROUND = 1


class Rehearsal:
    """Clients of one embedded ledger; make it with `rehearsal`."""

    def __init__(
        self, place: Path, topology: Topology, service: LedgerService, ledger: EmbeddedLedger
    ) -> None:
        self.topology = topology
        self.embedded = ledger
        self._place = place
        self._gateway = InProcessGateway(service)
        self._clock = SystemClock()

    def client(self, msp_id: str, name: str) -> GatewayLedger:
        """Return the ledger as this identity sees it."""
        signer = material.signing_identity(self._place, msp_id, name)
        address = ChannelAddress(self.topology.channel, self.topology.chaincode)
        return GatewayLedger(self._gateway, signer, address, self._clock)

    def silos(self) -> dict[str, GatewayLedger]:
        """Return every participant's client by participant id."""
        return {
            name: self.client(item.msp_id, name)
            for item in self.topology.organizations
            for name in item.participants
        }

    async def open_round(self) -> dict[str, GatewayLedger]:
        """Found, enrol, create, publish, fund, register, start and open; return the silos' clients."""
        silos = self.silos()
        await self._found()
        roles = self.topology.roles
        application = self.client(roles.coordinator, APPLICATION)
        await application.submit("task:Create", {"spec": to_json(self._spec(len(silos)))})
        await application.submit("task:Publish", {"task_id": TASK})
        await application.submit("reward:Fund", {"task_id": TASK, "amount": 1_000, "reference": "pool"})
        await self._open_key()
        register: dict[str, Json] = {"task_id": TASK, "samples": SAMPLES}
        await asyncio.gather(*(silo.submit("task:Register", register) for silo in silos.values()))
        await application.submit("task:Start", {"task_id": TASK})
        await application.submit("round:Open", {"task_id": TASK})
        return silos

    async def commit_all(self, silos: dict[str, GatewayLedger]) -> list[Commit]:
        """Let every silo commit an update at the same moment."""
        return await asyncio.gather(
            *(silo.submit("round:CommitUpdate", _commitment(name)) for name, silo in silos.items())
        )

    async def _found(self) -> None:
        first = self.topology.organizations[0]
        organizations: list[Json] = [
            {"msp_id": item.msp_id, "name": item.name, "region": item.region}
            for item in self.topology.organizations
        ]
        founding: dict[str, Json] = {
            "federation_id": self.topology.federation_id,
            "name": self.topology.name,
            "organizations": organizations,
        }
        await self.client(first.msp_id, admin_name(first)).submit("federation:Found", founding)
        for item in self.topology.organizations:
            admin = self.client(item.msp_id, admin_name(item))
            enrolments = [
                admin.submit("federation:EnrolParticipant", {"participant_id": x}) for x in item.participants
            ]
            endowment: dict[str, Json] = {"msp_id": item.msp_id, "amount": 1_000, "reference": "endowment"}
            await asyncio.gather(*enrolments, admin.submit("reward:Mint", endowment))

    async def _open_key(self) -> None:
        holder = self.topology.roles.key_holder
        organization = next(item for item in self.topology.organizations if item.msp_id == holder)
        epoch: dict[str, Json] = {
            "task_id": TASK,
            "epoch": 1,
            "parameters_digest": _digest("parameters"),
            "public_key_digest": _digest("public key"),
            "public_key_bytes": 61_800,
        }
        await self.client(holder, f"key-holder-{organization.slug}").submit("key:OpenEpoch", epoch)

    def _spec(self, silos: int) -> TaskSpec:
        roles = self.topology.roles
        return TaskSpec(
            task_id=TASK,
            title="Rehearsal",
            purpose="measurement",
            model=ModelTerms("rehearsal", (Tensor("weight", (8,)),), 8, _digest("model")),
            training=TrainingTerms("0.1", "0", 8, 1, 1),
            data=DataTerms(_digest("schema"), 1),
            schedule=ScheduleTerms(1, 3_600),
            cohort=CohortTerms(2, 0),
            roles=RoleTerms(roles.coordinator, roles.aggregator, roles.key_holder),
            encryption=EncryptionTerms("ckks", _digest("parameters"), 16, "0.5", max(2, SAMPLES * silos)),
            verification=VerificationTerms(2, 2),
            incentive=IncentiveTerms(1_000, 1_000, PPB // 2, 5, 8 * PPB // 10),
        )


@asynccontextmanager
async def rehearsal(place: Path, participants: int, organizations: int = 3) -> AsyncIterator[Rehearsal]:
    """Make a federation in an empty directory and serve its ledger to this process."""
    topology = generated(organizations, participants)
    material.create_material(place, topology)
    peers = [material.signing_identity(place, o.msp_id, peer_name(o)) for o in topology.organizations]
    orderer = material.signing_identity(place, material.ORDERER_MSP, material.ORDERER)
    genesis = common_pb2.Block.FromString((place / material.GENESIS).read_bytes())
    ledger = EmbeddedLedger.create(
        place / "ledger", genesis, peers, orderer, topology.chaincode, bfl_contract, SystemClock()
    )
    service = LedgerService(ledger, SystemClock())
    await service.start()
    try:
        yield Rehearsal(place, topology, service, ledger)
    finally:
        await service.stop()


def _commitment(participant_id: str) -> dict[str, Json]:
    return {
        "task_id": TASK,
        "round": ROUND,
        "digest": _digest(f"update of {participant_id}"),
        "size_bytes": UPLOAD_BYTES,
        "weight": SAMPLES,
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
