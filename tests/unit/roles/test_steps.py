"""What a participant does when it acts, and how blobs are found; on a scripted ledger."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from bfl_chaincode.api.records import NodeRole, Phase, RoundView, TaskStatus
from bfl_fabric.errors import (
    ConfigurationError,
    NotFound,
    TransferFailed,
)
from bfl_fabric.learning.arithmetic import ExactArithmetic
from bfl_fabric.roles.actions import Action
from bfl_fabric.roles.fetching import MODEL_SOURCES, SUM_SOURCES, UPDATE_SOURCES, Fetcher
from bfl_fabric.roles.participant import ParticipantRole, PrepareUpdate, Upload
from bfl_fabric.roles.progress import ProgressKind
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.testing.faults import Fault
from bfl_fabric.testing.network import Server
from bfl_fabric.testing.training import UniqueTrainer, unique_values
from tests.unit.roles.nodes import ANode, Scene
from tests.unit.roles.rounds import (
    AGGREGATOR,
    COORDINATOR,
    KEY_HOLDER,
    PARTICIPANTS,
    SAMPLES,
    TASK,
    collecting,
    digest,
    round_,
    spec,
    update,
    view,
    with_initial,
)

ARITHMETIC = ExactArithmetic()
COUNT = spec().model.parameter_count
BASE_VECTOR = np.linspace(-1, 1, COUNT, dtype=np.float32)
BASE_BYTES = ARITHMETIC.pack_model(BASE_VECTOR)
ANYTHING = Action(TASK, 1)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


# --- fetching -----------------------------------------------------------------------------------


def fetch(
    node: ANode,
    name: str,
    roles: tuple[NodeRole, ...],
    organizations: tuple[str, ...] = (),
    first: tuple[str, ...] = (),
    *,
    at_home: bool = False,
) -> None:
    fetcher = Fetcher(node.bench, LedgerReader(node.scene.ledger))
    asyncio.run(fetcher.fetch(ANYTHING, name, len(BASE_BYTES), roles, organizations, first, at_home=at_home))


def test_a_blob_that_is_here_is_not_fetched(scene: Scene) -> None:
    node = ANode(scene, KEY_HOLDER, "verifier-c", NodeRole.VERIFIER)
    fetch(node, node.blobs.put(BASE_BYTES), MODEL_SOURCES)
    assert scene.ledger.evaluated == []


def test_the_likely_node_is_asked_first_and_the_others_after_it(scene: Scene) -> None:
    node = ANode(scene, KEY_HOLDER, "verifier-c", NodeRole.VERIFIER)
    ANode(scene, AGGREGATOR, "aggregator-b", NodeRole.AGGREGATOR).blobs.put(BASE_BYTES)
    ANode(scene, COORDINATOR, "coordinator-a", NodeRole.COORDINATOR)
    other = ANode(scene, COORDINATOR, "verifier-a", NodeRole.VERIFIER)
    name = other.blobs.put(BASE_BYTES)
    scene.show(with_initial(collecting(), name))
    fetch(node, name, MODEL_SOURCES)
    assert node.blobs.has(name)
    (done,) = node.progress
    assert (done.kind, done.text) == (ProgressKind.DOWNLOADED, "verifier-a")


def test_of_one_role_the_likely_organizations_are_asked_first_and_the_others_after_them(scene: Scene) -> None:
    node = ANode(scene, COORDINATOR, "coordinator-a", NodeRole.COORDINATOR)
    for msp_id in (AGGREGATOR, KEY_HOLDER):
        name = ANode(scene, msp_id, f"key-holder-{msp_id}", NodeRole.KEY_HOLDER).blobs.put(BASE_BYTES)
    scene.show(with_initial(collecting(), name))
    asked = []
    for first in ((AGGREGATOR,), (KEY_HOLDER, AGGREGATOR), ("StrangerMSP",)):
        if node.blobs.has(name):
            node.blobs.lose(name)
        fetch(node, name, SUM_SOURCES, first=first)
        asked.append(node.progress[-1].text)
    assert asked == [f"key-holder-{name}" for name in (AGGREGATOR, KEY_HOLDER, min(AGGREGATOR, KEY_HOLDER))]


def test_at_home_the_own_organization_is_asked_before_all_others(scene: Scene) -> None:
    node = ANode(scene, KEY_HOLDER, "key-holder-c", NodeRole.KEY_HOLDER)
    ANode(scene, AGGREGATOR, "aggregator-b", NodeRole.AGGREGATOR).blobs.put(BASE_BYTES)
    own = ANode(scene, KEY_HOLDER, "verifier-c", NodeRole.VERIFIER)
    name = own.blobs.put(BASE_BYTES)
    scene.show(with_initial(collecting(), name))
    fetch(node, name, UPDATE_SOURCES, at_home=True)
    assert node.progress[-1].text == "verifier-c"
    node.blobs.lose(name)
    own.blobs.lose(name)
    fetch(node, name, UPDATE_SOURCES, at_home=True)
    assert node.progress[-1].text == "aggregator-b"


def test_who_gave_nothing_is_named(scene: Scene) -> None:
    node = ANode(scene, KEY_HOLDER, "verifier-c", NodeRole.VERIFIER)
    ANode(scene, COORDINATOR, "coordinator-a", NodeRole.COORDINATOR)
    scene.show(with_initial(collecting(), digest("missing")))
    with pytest.raises(TransferFailed, match="coordinator-a"):
        fetch(node, digest("missing"), MODEL_SOURCES)


def test_without_a_node_to_ask_the_error_says_so(scene: Scene) -> None:
    node = ANode(scene, KEY_HOLDER, "verifier-c", NodeRole.VERIFIER)
    with pytest.raises(TransferFailed, match="no such node is announced"):
        fetch(node, digest("missing"), UPDATE_SOURCES, (AGGREGATOR,))


def test_a_broken_download_is_tried_at_the_next_node(scene: Scene) -> None:
    node = ANode(scene, KEY_HOLDER, "verifier-c", NodeRole.VERIFIER)
    for name in ("coordinator-a", "coordinator-b"):
        initial = ANode(scene, COORDINATOR, name, NodeRole.COORDINATOR).blobs.put(BASE_BYTES)
    scene.show(with_initial(collecting(), initial))
    node.faults.add(Fault.CORRUPTED)
    fetch(node, initial, MODEL_SOURCES)
    assert node.progress[-1].text == "coordinator-b"


def test_a_node_of_another_organization_at_an_announced_address_is_not_believed(scene: Scene) -> None:
    node = ANode(scene, KEY_HOLDER, "verifier-c", NodeRole.VERIFIER)
    honest = ANode(scene, COORDINATOR, "coordinator-a", NodeRole.COORDINATOR)
    name = honest.blobs.put(BASE_BYTES)
    scene.show(with_initial(collecting(), name))
    scene.network.listen(honest.address, Server(AGGREGATOR, honest.admission, honest.blobs))
    with pytest.raises(TransferFailed, match=f"no node of {COORDINATOR}"):
        fetch(node, name, MODEL_SOURCES)


# --- participant --------------------------------------------------------------------------------


class Silo:
    """A participant with everything that it needs to train."""

    def __init__(self, scene: Scene, samples: int = SAMPLES["a-1"]) -> None:
        ANode(scene, KEY_HOLDER, "key-holder-c", NodeRole.KEY_HOLDER).blobs.put(scene.public_key)
        initial = ANode(scene, COORDINATOR, "coordinator-a", NodeRole.COORDINATOR).blobs.put(BASE_BYTES)
        self.node = ANode(scene, "a-msp", "a-1", NodeRole.PARTICIPANT)
        trainer = UniqueTrainer(PARTICIPANTS, "a-1", samples)
        self.role = ParticipantRole(self.node.bench, trainer, lambda spec: True, scene.folder)
        self.scene = scene
        self.initial = initial
        self.show(collecting())

    def show(self, seen: RoundView) -> RoundView:
        return self.scene.show(with_initial(seen, self.initial))

    def prepared(self) -> str:
        found = self.node.journal.find("update", f"{TASK}/1")
        assert found is not None
        return found


def test_a_prepared_update_is_exactly_what_was_trained(scene: Scene) -> None:
    silo = Silo(scene)
    asyncio.run(silo.role.perform(PrepareUpdate(TASK, 1)))
    path = silo.node.blobs.path(silo.prepared())
    assert scene.scheme.inspect(path).weight == SAMPLES["a-1"]
    total = scene.scheme.aggregate([path])
    stored = silo.node.blobs.path(silo.node.blobs.put(total))
    values = unique_values(PARTICIPANTS, "a-1", 1, BASE_VECTOR) * SAMPLES["a-1"]
    assert np.array_equal(scene.scheme.read_sum(stored, 1), values)


def test_an_update_is_encrypted_once_per_round(scene: Scene) -> None:
    silo = Silo(scene)
    asyncio.run(silo.role.perform(PrepareUpdate(TASK, 1)))
    first = silo.prepared()
    asyncio.run(silo.role.perform(PrepareUpdate(TASK, 1)))
    assert silo.prepared() == first
    kinds = [done.kind for done in silo.node.progress]
    assert kinds.count(ProgressKind.TRAINED) == 1


def test_an_update_that_was_lost_is_not_encrypted_again(scene: Scene) -> None:
    silo = Silo(scene)
    asyncio.run(silo.role.perform(PrepareUpdate(TASK, 1)))
    silo.node.blobs.lose(silo.prepared())
    assert asyncio.run(silo.role.survey()) == []


def test_data_that_changed_since_the_registration_are_not_used(scene: Scene) -> None:
    silo = Silo(scene, samples=11)
    with pytest.raises(ConfigurationError, match="registered for wine with 10"):
        asyncio.run(silo.role.perform(PrepareUpdate(TASK, 1)))
    assert silo.node.journal.facts == {}


def test_an_upload_goes_to_the_next_node_when_one_is_down(scene: Scene) -> None:
    silo = Silo(scene)
    asyncio.run(silo.role.perform(PrepareUpdate(TASK, 1)))
    down = ANode(scene, AGGREGATOR, "aggregator-b", NodeRole.AGGREGATOR)
    up = ANode(scene, AGGREGATOR, "aggregator-c", NodeRole.AGGREGATOR)
    scene.network.hang_up(down.address)
    name = silo.prepared()
    size_bytes = silo.node.blobs.path(name).stat().st_size
    commitment = update("a-1", digest=name, size_bytes=size_bytes)
    silo.show(collecting(updates=(commitment,)))
    asyncio.run(silo.role.perform(Upload(TASK, 1, AGGREGATOR, name)))
    assert up.blobs.has(name)


def test_an_upload_needs_an_announced_node(scene: Scene) -> None:
    silo = Silo(scene)
    with pytest.raises(NotFound, match="announced no aggregator node"):
        asyncio.run(silo.role.perform(Upload(TASK, 1, AGGREGATOR, digest("a-1"))))


def test_a_participant_surveys_the_tasks_it_takes(scene: Scene) -> None:
    silo = Silo(scene)
    assert asyncio.run(silo.role.survey()) == [PrepareUpdate(TASK, 1)]
    trainer = UniqueTrainer(PARTICIPANTS, "a-1", SAMPLES["a-1"])
    stranger = ParticipantRole(silo.node.bench, trainer, lambda spec: spec.task_id != TASK, scene.folder)
    assert asyncio.run(stranger.survey()) == []


def test_a_finished_task_is_read_no_more(scene: Scene) -> None:
    silo = Silo(scene)
    silo.show(view(round_(Phase.ABORTED), TaskStatus.ABANDONED))
    assert asyncio.run(silo.role.survey()) == []
    asyncio.run(silo.role.survey())
    assert scene.ledger.evaluated == ["task:List", "round:GetCurrent", "task:List"]
