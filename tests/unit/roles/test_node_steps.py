"""What nodes do when they act: holders, key holder, coordinator, each step by itself on a scripted ledger."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bfl_chaincode.api.records import Metrics, ModelRecord, NodeRole, Phase, RoundView, TaskStatus, to_json
from bfl_fabric.errors import (
    AuditFailed,
    KeyHolderRefused,
    MalformedInput,
    NotFound,
)
from bfl_fabric.learning.arithmetic import ExactArithmetic
from bfl_fabric.roles.actions import Action, of_task
from bfl_fabric.roles.aggregator import AggregatorRole, ProposeAggregate
from bfl_fabric.roles.announcement import AnnouncementRole
from bfl_fabric.roles.coordinator import CoordinatorRole, Patience, PublishModel
from bfl_fabric.roles.evidence import round_of
from bfl_fabric.roles.fetching import Fetcher
from bfl_fabric.roles.key_holder import KeyHolderRole, OpenEpoch, OpenSum
from bfl_fabric.roles.models import SOUND_MODEL, CheckModel, ModelChecks
from bfl_fabric.roles.participant import ParticipantRole
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.receipts import Acknowledge
from bfl_fabric.roles.schemes import COUNTED_ROUNDS, SAME_TIME_SECONDS
from bfl_fabric.roles.verifier import NOTHING_DIGEST, Attest, VerifierRole
from bfl_fabric.testing.training import DigestEvaluator, UniqueTrainer
from tests.unit.roles.nodes import ANode, Scene
from tests.unit.roles.rounds import (
    AGGREGATOR,
    COORDINATOR,
    KEY_HOLDER,
    OPENED_AT,
    PARTICIPANTS,
    SAMPLES,
    TASK,
    collecting,
    digest,
    receipts,
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


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


# --- holders ------------------------------------------------------------------------------------


class Holder:
    """A node that holds committed updates, well-formed or not."""

    def __init__(self, scene: Scene, msp_id: str, role: NodeRole) -> None:
        ANode(scene, KEY_HOLDER, "key-holder-c", NodeRole.KEY_HOLDER).blobs.put(scene.public_key)
        self.node = ANode(scene, msp_id, f"{role}-x", role)
        kind = AggregatorRole if role is NodeRole.AGGREGATOR else VerifierRole
        self.role = kind(self.node.bench, self.node.checks, self.node.schemes)
        self.scene = scene

    def hold(self, **ciphertexts: bytes) -> RoundView:
        """Store and commit these, and show the round sealed with them."""
        updates = tuple(
            update(who.replace("_", "-"), digest=self.node.blobs.put(data), size_bytes=len(data))
            for who, data in sorted(ciphertexts.items())
        )
        members = tuple(one.participant_id for one in updates)
        weight = sum(one.weight for one in updates)
        current = round_(Phase.SEALED, members=members, total_weight=weight)
        return self.scene.show(view(current, updates=updates, receipts=receipts(*members)))


def test_no_receipt_is_signed_for_a_malformed_upload(scene: Scene) -> None:
    holder = Holder(scene, AGGREGATOR, NodeRole.AGGREGATOR)
    seen = holder.hold(a_1=b"nonsense")
    with pytest.raises(MalformedInput):
        asyncio.run(holder.role.perform(Acknowledge(TASK, 1, "a-1", seen.updates[0].digest)))
    assert scene.ledger.submitted == []


def test_no_receipt_is_signed_for_another_digest_than_committed(scene: Scene) -> None:
    holder = Holder(scene, AGGREGATOR, NodeRole.AGGREGATOR)
    holder.hold(a_1=scene.ciphertext("a-1"))
    other = holder.node.blobs.put(scene.ciphertext("a-1"))
    with pytest.raises(NotFound, match="committed no"):
        asyncio.run(holder.role.perform(Acknowledge(TASK, 1, "a-1", other)))


def test_a_receipt_waits_until_the_bytes_are_stored(scene: Scene) -> None:
    holder = Holder(scene, AGGREGATOR, NodeRole.AGGREGATOR)
    data = scene.ciphertext("a-1")
    seen = holder.hold(a_1=data)
    name = seen.updates[0].digest
    holder.node.blobs.lose(name)
    holder.node.checks.note_arrival(seen, name)

    async def story() -> None:
        receipt = asyncio.create_task(holder.role.perform(Acknowledge(TASK, 1, "a-1", name)))
        await scene.clock.advance(0.5)
        assert scene.ledger.submitted == []
        holder.node.blobs.put(data)
        await scene.clock.advance(0.5)
        await receipt

    asyncio.run(story())
    assert [name for name, _ in scene.ledger.submitted] == ["round:AcknowledgeUploads"]


@pytest.mark.parametrize("is_checked", [True, False])
def test_an_accepted_upload_that_is_never_stored_gets_no_receipt(scene: Scene, is_checked: bool) -> None:
    holder = Holder(scene, AGGREGATOR, NodeRole.AGGREGATOR)
    seen = holder.hold(a_1=scene.ciphertext("a-1"))
    update = seen.updates[0]
    if is_checked:
        asyncio.run(holder.node.checks.check(seen, update, holder.node.blobs.path(update.digest)))
    holder.node.blobs.lose(update.digest)
    holder.node.checks.note_arrival(seen, update.digest)

    async def story() -> None:
        action = Acknowledge(TASK, 1, "a-1", seen.updates[0].digest)
        receipt = asyncio.create_task(holder.role.perform(action))
        await scene.clock.advance(5)
        with pytest.raises(NotFound):
            await receipt

    asyncio.run(story())
    assert scene.ledger.submitted == []
    assert not holder.node.checks.is_arriving(seen.updates[0].digest)


def test_accepted_uploads_stir_the_role_a_little_later_and_the_last_one_at_once(scene: Scene) -> None:
    holder = Holder(scene, AGGREGATOR, NodeRole.AGGREGATOR)
    checks, cohort = holder.node.checks, round_of(collecting()).cohort

    async def story() -> None:
        stirred = asyncio.create_task(holder.role.stirred())
        await asyncio.sleep(0)
        checks.note_arrival(collecting(), digest(cohort[0]))
        await scene.clock.advance(SAME_TIME_SECONDS - 0.01)
        assert not stirred.done()
        await scene.clock.advance(0.02)
        await asyncio.wait_for(stirred, 1)
        stirred = asyncio.create_task(holder.role.stirred())
        await scene.clock.advance(1)
        assert not stirred.done()
        for who in cohort[1:]:
            checks.note_arrival(collecting(), digest(who))
        await asyncio.wait_for(stirred, 1)

    asyncio.run(story())


def test_arrivals_of_old_rounds_are_forgotten(scene: Scene) -> None:
    checks = Holder(scene, AGGREGATOR, NodeRole.AGGREGATOR).node.checks
    for number in range(2 * COUNTED_ROUNDS):
        checks.note_arrival(view(round_(Phase.COLLECTING, number=number)), digest(f"{number}"))
    assert len(checks._arrived) == COUNTED_ROUNDS


def test_aggregator_and_verifier_find_the_same_aggregate(scene: Scene) -> None:
    ciphertexts = {who.replace("-", "_"): scene.ciphertext(who) for who in PARTICIPANTS}
    aggregator = Holder(scene, AGGREGATOR, NodeRole.AGGREGATOR)
    aggregator.hold(**ciphertexts)
    asyncio.run(aggregator.role.perform(ProposeAggregate(TASK, 1)))
    verifier = ANode(scene, COORDINATOR, "verifier-a", NodeRole.VERIFIER)
    for data in ciphertexts.values():
        verifier.blobs.put(data)
    role = VerifierRole(verifier.bench, verifier.checks, verifier.schemes)
    asyncio.run(role.perform(Attest(TASK, 1)))
    (_, proposed), (_, attested) = scene.ledger.submitted
    assert attested["aggregate_digest"] == proposed["aggregate_digest"]
    assert attested["scores_digest"] == proposed["scores_digest"] == ""


@pytest.mark.parametrize("broken", ["nonsense", "another member's", "another weight"])
def test_what_cannot_be_added_up_is_attested_as_nothing(scene: Scene, broken: str) -> None:
    data = {"nonsense": b"nonsense", "another member's": scene.ciphertext("a-2")}.get(
        broken, scene.ciphertext("a-1")
    )
    verifier = Holder(scene, COORDINATOR, NodeRole.VERIFIER)
    seen = verifier.hold(a_1=data, b_1=scene.ciphertext("b-1"), c_1=scene.ciphertext("c-1"))
    if broken == "another weight":
        first, *rest = seen.updates
        scene.show(replace(seen, updates=(replace(first, weight=11), *rest)))
    asyncio.run(verifier.role.perform(Attest(TASK, 1)))
    ((name, attested),) = scene.ledger.submitted
    assert name == "round:AttestAggregate"
    assert attested["aggregate_digest"] == NOTHING_DIGEST


def test_an_aggregator_proposes_nothing_when_an_upload_is_broken(scene: Scene) -> None:
    holder = Holder(scene, AGGREGATOR, NodeRole.AGGREGATOR)
    holder.hold(a_1=b"nonsense", b_1=scene.ciphertext("b-1"), c_1=scene.ciphertext("c-1"))
    with pytest.raises(MalformedInput):
        asyncio.run(holder.role.perform(ProposeAggregate(TASK, 1)))
    assert scene.ledger.submitted == []


# --- key holder ---------------------------------------------------------------------------------


def key_holder(scene: Scene) -> tuple[ANode, KeyHolderRole]:
    node = ANode(scene, KEY_HOLDER, "key-holder-x", NodeRole.KEY_HOLDER)
    keys = scene.folder / "keys"
    keys.mkdir()
    return node, KeyHolderRole(node.bench, node.schemes, keys)


def test_a_key_is_made_once_and_kept_private(scene: Scene) -> None:
    node, role = key_holder(scene)
    scene.show(view(None, TaskStatus.PUBLISHED, key_epoch=None))
    asyncio.run(role.perform(OpenEpoch(TASK, 0, 1)))
    again = KeyHolderRole(node.bench, node.schemes, scene.folder / "keys")
    asyncio.run(again.perform(OpenEpoch(TASK, 0, 1)))
    (_, first), (_, second) = scene.ledger.submitted
    assert first == second
    assert node.blobs.has(str(first["public_key_digest"]))
    (secret,) = (scene.folder / "keys").iterdir()
    assert secret.stat().st_mode & 0o777 == 0o600


def test_the_ledger_is_read_again_before_anything_is_opened(scene: Scene) -> None:
    node, role = key_holder(scene)
    scene.show(view(round_(Phase.ABORTED)))
    with pytest.raises(KeyHolderRefused, match="ABORTED, not VERIFIED"):
        asyncio.run(role.perform(OpenSum(TASK, 1)))
    assert node.journal.facts == {}
    assert scene.ledger.submitted == []


# --- models -------------------------------------------------------------------------------------


def published(scene: Scene, node: ANode, **changes: str) -> CheckModel:
    """Put a published model of round 1 on the ledger, honest but for `changes`."""
    total = np.arange(COUNT, dtype=np.int64)
    terms = spec().encryption
    model = ARITHMETIC.pack_model(ARITHMETIC.apply_sum(terms, BASE_VECTOR, total, 100))
    direction = ARITHMETIC.pack_direction(ARITHMETIC.direction(total))
    shelf = node.blobs
    honest = ModelRecord(
        TASK,
        1,
        digest=shelf.put(model),
        size_bytes=len(model),
        parent_digest=shelf.put(BASE_BYTES),
        sum_digest=shelf.put(ARITHMETIC.pack_sum(total)),
        contributors=PARTICIPANTS,
        total_weight=100,
        metrics=Metrics(0, 0, 0),
        published_at=OPENED_AT,
        direction_digest=shelf.put(direction),
    )
    record = replace(honest, **changes)  # type: ignore[arg-type]
    scene.ledger.answers["model:Lineage"] = [to_json(record)]
    scene.show(view(round_(Phase.PUBLISHED, model_digest=record.digest)))
    return CheckModel(TASK, 1, record.digest)


def check(node: ANode, action: CheckModel) -> None:
    reader = LedgerReader(node.scene.ledger)
    checks = ModelChecks(node.bench, reader, Fetcher(node.bench, reader))

    async def whole() -> None:
        await checks.check(action, await reader.current(TASK))

    asyncio.run(whole())


def test_an_honest_model_is_found_sound_and_kept(scene: Scene) -> None:
    node = ANode(scene, KEY_HOLDER, "verifier-c", NodeRole.VERIFIER)
    action = published(scene, node)
    check(node, action)
    assert node.journal.find(SOUND_MODEL, action.digest) is not None
    check(node, action)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"digest": digest("another model")}, "model"),
        ({"direction_digest": digest("another direction")}, "direction"),
    ],
)
def test_a_model_that_the_sum_does_not_make_is_refused(
    scene: Scene, changes: dict[str, str], what: str
) -> None:
    node = ANode(scene, KEY_HOLDER, "verifier-c", NodeRole.VERIFIER)
    action = published(scene, node, **changes)
    with pytest.raises(AuditFailed, match=f"the {what} of wine round 1"):
        check(node, action)
    assert node.journal.find(SOUND_MODEL, action.digest) is None


def test_a_model_outside_the_lineage_is_not_found(scene: Scene) -> None:
    node = ANode(scene, KEY_HOLDER, "verifier-c", NodeRole.VERIFIER)
    published(scene, node)
    with pytest.raises(NotFound, match="has no model"):
        check(node, CheckModel(TASK, 1, digest("unheard of")))


def test_the_coordinator_publishes_what_everybody_computes(scene: Scene) -> None:
    node = ANode(scene, COORDINATOR, "coordinator-a", NodeRole.COORDINATOR)
    base, total = node.blobs.put(BASE_BYTES), np.arange(COUNT, dtype=np.int64)
    packed = ARITHMETIC.pack_sum(total)
    released = round_(
        Phase.RELEASED, sum_digest=node.blobs.put(packed), sum_bytes=len(packed), total_weight=100
    )
    scene.show(with_initial(view(released), base))
    role = CoordinatorRole(node.bench, DigestEvaluator(), Patience())
    asyncio.run(role.perform(PublishModel(TASK, 1)))
    ((name, request),) = scene.ledger.submitted
    assert name == "round:PublishModel"
    model = ARITHMETIC.pack_model(ARITHMETIC.apply_sum(spec().encryption, BASE_VECTOR, total, 100))
    assert node.blobs.read(str(request["model_digest"])) == model
    assert node.blobs.has(str(request["direction_digest"]))


# --- announcement, and actions of others --------------------------------------------------------


def test_an_announced_node_reads_the_ledger_no_more(scene: Scene) -> None:
    node = ANode(scene, COORDINATOR, "verifier-a", NodeRole.VERIFIER)
    role = AnnouncementRole(node.bench, NodeRole.VERIFIER, node.address)
    assert asyncio.run(role.survey()) == []
    asyncio.run(role.survey())
    assert scene.ledger.evaluated == ["federation:ListNodes"]


def test_a_node_on_another_port_announces_itself_again(scene: Scene) -> None:
    node = ANode(scene, COORDINATOR, "verifier-a", NodeRole.VERIFIER)
    role = AnnouncementRole(node.bench, NodeRole.VERIFIER, "127.0.0.1:9")
    (action,) = asyncio.run(role.survey())
    asyncio.run(role.perform(action))
    ((name, request),) = scene.ledger.submitted
    assert (name, request["address"]) == ("federation:AnnounceNode", "127.0.0.1:9")


def test_no_role_does_what_is_not_its_own(scene: Scene) -> None:
    node = ANode(scene, COORDINATOR, "node-x", NodeRole.VERIFIER)
    scene.show(view(round_(Phase.COLLECTING)))
    trainer = UniqueTrainer(PARTICIPANTS, "a-1", SAMPLES["a-1"])
    roles = [
        ParticipantRole(node.bench, trainer, lambda spec: True, scene.folder),
        key_holder(scene)[1],
        AnnouncementRole(node.bench, NodeRole.VERIFIER, "127.0.0.1:9"),
        CoordinatorRole(node.bench, DigestEvaluator(), Patience()),
        AggregatorRole(node.bench, node.checks, node.schemes),
        VerifierRole(node.bench, node.checks, node.schemes),
    ]
    for role in roles:
        with pytest.raises(TypeError, match="no action of"):
            asyncio.run(role.perform(Action(TASK, 1)))
    assert of_task("task:Close", TASK).label == "task:Close wine/0"
