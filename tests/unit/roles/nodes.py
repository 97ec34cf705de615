"""A node on a scripted ledger, with real files and the plain scheme; for tests of what roles do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import Node, NodeRole, Organization, Participant, RoundView, to_json
from bfl_fabric.domain.ports import TransferCaller, UpdateName
from bfl_fabric.learning.arithmetic import ExactArithmetic
from bfl_fabric.roles.admission import NodeAdmission
from bfl_fabric.roles.fetching import Fetcher
from bfl_fabric.roles.progress import Progress
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.schemes import TaskSchemes, UploadChecks
from bfl_fabric.roles.workbench import Identity, Ports, Workbench
from bfl_fabric.testing.clock import ManualClock
from bfl_fabric.testing.compute import InlineCompute
from bfl_fabric.testing.faults import FaultPlan
from bfl_fabric.testing.ledger import ScriptedLedger
from bfl_fabric.testing.network import FakeChannel, FakeNetwork, Server
from bfl_fabric.testing.scheme import PlainProvider, PlainScheme
from bfl_fabric.testing.storage import MemoryBlobStore, MemoryJournal
from bfl_fabric.testing.training import unique_values
from tests.unit.roles.rounds import (
    OPENED_AT,
    ORGANIZATIONS,
    PARTICIPANTS,
    SAMPLES,
    TASK,
    spec,
)

EPOCH_KEY = "wine-1.key"
SILO_ORGANIZATIONS = ("a-msp", "b-msp", "c-msp")


class Scene:
    """A network, a ledger and a provider that all nodes of a test share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(OPENED_AT)
        self.ledger = ScriptedLedger()
        self.provider = PlainProvider("seed")
        self.network = FakeNetwork(self.clock, folder)
        self.nodes: list[Node] = []
        terms = spec().encryption
        self.public_key = self.provider.create_key(terms, 1, folder / EPOCH_KEY)
        self.scheme: PlainScheme = self.provider.public(terms, self.public_key)
        self.ledger.answers["federation:ListNodes"] = []
        self.ledger.answers["federation:ListOrganizations"] = [
            to_json(Organization(msp_id, msp_id, "eu", True, 0))
            for msp_id in (*ORGANIZATIONS, *SILO_ORGANIZATIONS)
        ]
        self.ledger.answers["federation:ListParticipants"] = [
            to_json(Participant(who, f"{who[0]}-msp", True, 0)) for who in PARTICIPANTS
        ]
        self.ledger.answers["model:Lineage"] = []

    def show(self, view: RoundView) -> RoundView:
        """Put a view on the ledger, with the digest of this scene's public key."""
        store = MemoryBlobStore(self.folder)
        shown = view
        if view.key_epoch is not None:
            key, size = store.put(self.public_key), len(self.public_key)
            epoch = replace(view.key_epoch, public_key_digest=key, public_key_bytes=size)
            shown = replace(view, key_epoch=epoch)
        answer: Json = to_json(shown)
        self.ledger.answers["round:GetCurrent"] = answer
        self.ledger.answers["round:Get"] = answer
        self.ledger.answers["task:List"] = [to_json(shown.task)]
        return shown

    def ciphertext(self, who: str, number: int = 1) -> bytes:
        base = np.zeros(spec().model.parameter_count, dtype=np.float32)
        values = unique_values(PARTICIPANTS, who, number, base) * SAMPLES[who]
        return self.scheme.encrypt(UpdateName(TASK, number, who), 1, SAMPLES[who], values)


class ANode:
    """One node of the scene."""

    def __init__(self, scene: Scene, msp_id: str, name: str, role: NodeRole) -> None:
        self.scene = scene
        folder = scene.folder / name
        folder.mkdir()
        self.blobs = MemoryBlobStore(folder)
        self.journal = MemoryJournal()
        self.faults = FaultPlan()
        self.progress: list[Progress] = []
        channel = FakeChannel(scene.network, TransferCaller(msp_id, name), self.faults)
        ports = Ports(
            scene.ledger,
            scene.clock,
            self.blobs,
            channel,
            self.journal,
            scene.provider,
            ExactArithmetic(),
        )
        self.bench = Workbench(Identity(msp_id, name), ports, InlineCompute(), self.progress.append)
        reader = LedgerReader(scene.ledger)
        self.schemes = TaskSchemes(self.bench, Fetcher(self.bench, reader))
        self.checks = UploadChecks(self.bench, self.schemes)
        self.admission = NodeAdmission(self.bench, self.checks, role)
        address = f"127.0.0.1:{5000 + len(scene.nodes)}"
        scene.network.listen(address, Server(msp_id, self.admission, self.blobs))
        if role is not NodeRole.PARTICIPANT:
            scene.nodes.append(Node(msp_id, role, name, address, 0))
            scene.ledger.answers["federation:ListNodes"] = [to_json(node) for node in scene.nodes]
        self.address = address
