"""What a node's server takes and gives, and to whom."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import (
    CeremonyView,
    KeyGrant,
    Metrics,
    ModelRecord,
    NodeRole,
    Organization,
    Phase,
    RoundView,
    ScoreSheet,
    TaskStatus,
    to_json,
)
from bfl_fabric.domain.ports import TransferCaller, UpdateName
from bfl_fabric.errors import LedgerRefused, MalformedInput, NotFound, TransferFailed
from bfl_fabric.roles.admission import may_read
from bfl_fabric.roles.directory import Naming, Secrecy, Standing
from bfl_fabric.roles.evidence import scores_sheet
from tests.unit.roles.nodes import ANode, Scene
from tests.unit.roles.rounds import (
    AGGREGATE,
    AGGREGATOR,
    COORDINATOR,
    DEADLINE_AT,
    INITIAL,
    KEY_HOLDER,
    OPENED_AT,
    TASK,
    collecting,
    delivered,
    digest,
    round_,
    update,
    view,
)
from tests.unit.roles.shared import (
    MEMBERS,
    answer,
    blame,
    ceremony_view,
    directed,
    offer,
    openable,
    opening,
    shared_task,
)

CALLER = TransferCaller("a-msp", "a-1")
NAME = UpdateName(TASK, 1, "a-1")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.fixture
def aggregator(scene: Scene) -> ANode:
    ANode(scene, KEY_HOLDER, "key-holder-1", NodeRole.KEY_HOLDER).blobs.put(scene.public_key)
    return ANode(scene, AGGREGATOR, "aggregator-1", NodeRole.AGGREGATOR)


def committed(scene: Scene, data: bytes, who: str = "a-1") -> RoundView:
    """Show a round in which this participant committed these bytes."""
    commitment = update(who, digest=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
    return scene.show(collecting(updates=(commitment,)))


def expect(node: ANode, caller: TransferCaller = CALLER, name: UpdateName = NAME, of: str = "a-1") -> int:
    return asyncio.run(node.admission.expect(caller, name, digest(of)))


def accept(node: ANode, data: bytes, stated: str = "") -> None:
    path = node.scene.folder / "arrived"
    path.write_bytes(data)
    asyncio.run(node.admission.accept(NAME, stated or hashlib.sha256(data).hexdigest(), path))


def test_the_committed_update_is_expected_with_its_size(scene: Scene, aggregator: ANode) -> None:
    scene.show(collecting(updates=(update("a-1"),)))
    assert expect(aggregator) == 1000


def test_the_round_is_read_again_only_for_who_had_not_committed_when_it_was_last_read(
    scene: Scene, aggregator: ANode
) -> None:
    others = replace(NAME, participant_id="a-2"), TransferCaller("a-msp", "a-2")
    scene.show(collecting(updates=(update("a-1"), update("a-2"))))
    expect(aggregator)
    expect(aggregator, others[1], others[0], "a-2")
    assert scene.ledger.evaluated.count("round:Get") == 1
    scene.show(collecting(updates=(update("a-1"), update("a-2"), update("b-1"))))
    expect(aggregator, TransferCaller("b-msp", "b-1"), replace(NAME, participant_id="b-1"), "b-1")
    assert scene.ledger.evaluated.count("round:Get") == 2


def test_silos_that_come_together_take_one_reading(
    scene: Scene, aggregator: ANode, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = scene.ledger.evaluate

    async def slow(transaction: str, request: Mapping[str, Json]) -> Json:
        await asyncio.sleep(0)
        return await answer(transaction, request)

    monkeypatch.setattr(scene.ledger, "evaluate", slow)
    scene.show(collecting(updates=(update("a-1"), update("a-2"))))

    async def both() -> None:
        other = replace(NAME, participant_id="a-2")
        await asyncio.gather(
            aggregator.admission.expect(CALLER, NAME, digest("a-1")),
            aggregator.admission.expect(TransferCaller("a-msp", "a-2"), other, digest("a-2")),
        )

    asyncio.run(both())
    assert scene.ledger.evaluated.count("round:Get") == 1


@pytest.mark.parametrize(
    "caller",
    [
        TransferCaller("a-msp", "a-2"),
        TransferCaller("b-msp", "a-1"),
        TransferCaller(COORDINATOR, "verifier-1"),
        TransferCaller("", ""),
    ],
    ids=str,
)
def test_nobody_uploads_for_another(scene: Scene, aggregator: ANode, caller: TransferCaller) -> None:
    scene.show(collecting(updates=(update("a-1"),)))
    with pytest.raises(MalformedInput, match="may not upload"):
        expect(aggregator, caller)


def test_other_bytes_than_committed_are_not_expected(scene: Scene, aggregator: ANode) -> None:
    scene.show(collecting(updates=(update("a-1"),)))
    with pytest.raises(MalformedInput, match="committed"):
        expect(aggregator, of="other")


def test_an_upload_without_commitment_is_not_expected(scene: Scene, aggregator: ANode) -> None:
    scene.show(collecting(updates=(update("a-2"),)))
    with pytest.raises(NotFound, match="commit first"):
        expect(aggregator)


def test_a_round_that_the_ledger_does_not_have_is_not_expected(scene: Scene, aggregator: ANode) -> None:
    scene.ledger.failures["round:Get"] = LedgerRefused(311, "no such round")
    with pytest.raises(NotFound, match="no round 1"):
        expect(aggregator)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.COLLECTING])
def test_uploads_are_taken_while_collecting_only(scene: Scene, aggregator: ANode, phase: Phase) -> None:
    scene.show(delivered(phase))
    with pytest.raises(MalformedInput, match="takes no more uploads"):
        expect(aggregator)


def test_uploads_are_taken_until_the_deadline(scene: Scene, aggregator: ANode) -> None:
    scene.show(collecting(updates=(update("a-1"),)))
    scene.clock.jump((DEADLINE_AT - scene.clock.now_ms()) / 1000 - 0.001)
    assert expect(aggregator) == 1000
    scene.clock.jump(0.001)
    with pytest.raises(MalformedInput, match="deadline"):
        expect(aggregator)


def test_an_abandoned_task_takes_no_uploads(scene: Scene, aggregator: ANode) -> None:
    scene.show(view(round_(Phase.COLLECTING), TaskStatus.ABANDONED, updates=(update("a-1"),)))
    with pytest.raises(MalformedInput, match="takes no more uploads"):
        expect(aggregator)


@pytest.mark.parametrize(
    ("msp_id", "role"),
    [
        (KEY_HOLDER, NodeRole.VERIFIER),
        (KEY_HOLDER, NodeRole.KEY_HOLDER),
        (COORDINATOR, NodeRole.COORDINATOR),
        (COORDINATOR, NodeRole.AGGREGATOR),
        (AGGREGATOR, NodeRole.VERIFIER),
    ],
)
def test_only_the_holders_own_nodes_take_uploads(scene: Scene, msp_id: str, role: NodeRole) -> None:
    scene.show(collecting(updates=(update("a-1"),)))
    with pytest.raises(MalformedInput, match="takes no uploads"):
        expect(ANode(scene, msp_id, "node-1", role))


def test_a_well_formed_upload_is_accepted(scene: Scene, aggregator: ANode) -> None:
    data = scene.ciphertext("a-1")
    committed(scene, data)
    accept(aggregator, data)


def test_an_upload_that_was_expected_needs_no_further_reading(scene: Scene, aggregator: ANode) -> None:
    data = scene.ciphertext("a-1")
    stated = committed(scene, data).updates[0].digest
    asyncio.run(aggregator.admission.expect(CALLER, NAME, stated))
    scene.ledger.evaluated.clear()
    accept(aggregator, data)
    assert "round:Get" not in scene.ledger.evaluated


def test_a_changed_byte_is_refused(scene: Scene, aggregator: ANode) -> None:
    data = scene.ciphertext("a-1")
    stated = committed(scene, data).updates[0].digest
    changed = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(MalformedInput):
        accept(aggregator, changed, stated)


def test_another_encryption_than_the_committed_one_is_refused(scene: Scene, aggregator: ANode) -> None:
    stated = committed(scene, scene.ciphertext("a-1")).updates[0].digest
    with pytest.raises(MalformedInput, match="has digest"):
        accept(aggregator, scene.ciphertext("a-1"), stated)


def test_the_digest_of_other_bytes_is_refused_even_if_they_match(scene: Scene, aggregator: ANode) -> None:
    committed(scene, scene.ciphertext("a-1"))
    with pytest.raises(MalformedInput, match="committed"):
        accept(aggregator, scene.ciphertext("a-1"))


@pytest.mark.parametrize("tail", [b"", b"\x00" * 8, b"\xff"], ids=["empty", "longer", "odd length"])
def test_malformed_bytes_are_refused_though_they_were_committed(
    scene: Scene, aggregator: ANode, tail: bytes
) -> None:
    data = scene.ciphertext("a-1") + tail if tail else b""
    committed(scene, data)
    with pytest.raises(MalformedInput):
        accept(aggregator, data)


@pytest.mark.parametrize("replayed", ["another participant", "another round"])
def test_a_replayed_ciphertext_is_refused(scene: Scene, aggregator: ANode, replayed: str) -> None:
    data = scene.ciphertext("a-2") if replayed == "another participant" else scene.ciphertext("a-1", 2)
    committed(scene, data)
    with pytest.raises(MalformedInput, match="committed was another"):
        accept(aggregator, data)


def test_another_weight_than_committed_is_refused(scene: Scene, aggregator: ANode) -> None:
    data = scene.ciphertext("a-1")
    shown = committed(scene, data)
    scene.show(replace(shown, updates=(replace(shown.updates[0], weight=11),)))
    with pytest.raises(MalformedInput, match="committed was another"):
        accept(aggregator, data)


def test_a_ciphertext_under_another_key_is_refused(scene: Scene, aggregator: ANode, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    foreign = Scene(other)
    foreign.provider = type(foreign.provider)("another seed")
    terms = collecting().task.spec.encryption
    key = foreign.provider.create_key(terms, 1, other / "foreign.key")
    foreign.scheme = foreign.provider.public(terms, key)
    data = foreign.ciphertext("a-1")
    committed(scene, data)
    with pytest.raises(MalformedInput, match="another key"):
        accept(aggregator, data)


def test_without_the_public_key_nothing_is_accepted(scene: Scene) -> None:
    node = ANode(scene, AGGREGATOR, "aggregator-1", NodeRole.AGGREGATOR)
    data = scene.ciphertext("a-1")
    committed(scene, data)
    with pytest.raises(TransferFailed, match="nobody gave"):
        accept(node, data)


# --- who may read what --------------------------------------------------------------------------

MEMBER = Standing(True, False, frozenset())
PARTICIPANT = Standing(True, True, frozenset())
STANDINGS = {
    "somebody of the federation": MEMBER,
    **{role.value: Standing(True, False, frozenset({role})) for role in NodeRole},
    "participant": PARTICIPANT,
}
READERS = {
    Secrecy.FEDERATION: set(STANDINGS),
    Secrecy.AGGREGATE: {"key-holder", "verifier", "auditor"},
    Secrecy.SHARED_UPDATE: {"aggregator", "verifier", "key-holder"},
    Secrecy.UPDATE: {"aggregator", "verifier"},
    Secrecy.GRANT: set(),
}


@pytest.mark.parametrize("secrecy", Secrecy)
@pytest.mark.parametrize("name", STANDINGS)
def test_the_table_of_readers(secrecy: Secrecy, name: str) -> None:
    assert may_read(Naming(secrecy, "silo-1"), STANDINGS[name]) == (name in READERS[secrecy])


def test_a_granted_key_is_for_its_silo_alone() -> None:
    grant = Naming(Secrecy.GRANT, "silo-1")
    assert may_read(grant, Standing(True, True, frozenset(), "silo-1"))
    assert not may_read(grant, Standing(True, True, frozenset(), "silo-2"))
    assert not may_read(grant, Standing(True, False, frozenset(NodeRole), "silo-1"))
    assert not may_read(grant, Standing(False, True, frozenset(), "silo-1"))


@pytest.mark.parametrize("secrecy", Secrecy)
def test_a_suspended_organization_reads_nothing(secrecy: Secrecy) -> None:
    everything = frozenset(NodeRole)
    assert not may_read(Naming(secrecy), Standing(False, False, everything))


@pytest.mark.parametrize(
    "standing",
    [
        Standing(True, True, frozenset({NodeRole.VERIFIER})),
        Standing(True, False, frozenset({NodeRole.VERIFIER, NodeRole.KEY_HOLDER})),
    ],
    ids=["participant with a verifier's name", "key holder with a verifier's name"],
)
def test_no_second_role_opens_the_way_to_updates(standing: Standing) -> None:
    assert not may_read(Naming(Secrecy.UPDATE), standing)


def readable(node: ANode, digest_: str, caller: TransferCaller) -> bool:
    return asyncio.run(node.admission.may_read(caller, digest_))


def test_callers_are_known_by_the_ledgers_lists(scene: Scene, aggregator: ANode) -> None:
    ANode(scene, COORDINATOR, "verifier-1", NodeRole.VERIFIER)
    scene.show(delivered(Phase.SEALED))
    of = digest("a-1")
    assert readable(aggregator, of, TransferCaller(COORDINATOR, "verifier-1"))
    assert not readable(aggregator, of, TransferCaller(KEY_HOLDER, "verifier-1"))
    assert not readable(aggregator, of, TransferCaller(COORDINATOR, "verifier-2"))
    assert not readable(aggregator, of, TransferCaller(KEY_HOLDER, "key-holder-1"))
    assert not readable(aggregator, of, TransferCaller("a-msp", "a-1"))


def test_what_the_ledger_does_not_name_is_given_to_nobody(scene: Scene, aggregator: ANode) -> None:
    scene.show(delivered(Phase.SEALED))
    stray = aggregator.blobs.put(b"a note")
    assert not readable(aggregator, stray, TransferCaller(COORDINATOR, "anybody"))


def test_models_sums_and_keys_are_for_the_federation(scene: Scene, aggregator: ANode) -> None:
    shown = scene.show(delivered(Phase.SETTLED, sum_digest=digest("sum"), model_digest=digest("model")))
    record = ModelRecord(
        TASK,
        1,
        digest("model"),
        28,
        INITIAL,
        digest("sum"),
        (),
        100,
        Metrics(0, 0, 0),
        0,
        digest("direction of it"),
    )
    scene.ledger.answers["model:Lineage"] = [to_json(record)]
    assert shown.key_epoch is not None
    member = TransferCaller(COORDINATOR, "anybody")
    for name in ("model", "sum", "direction of it"):
        assert readable(aggregator, digest(name), member)
    assert readable(aggregator, INITIAL, member)
    assert readable(aggregator, shown.key_epoch.public_key_digest, member)
    assert not readable(aggregator, digest("model"), TransferCaller("StrangerMSP", "anybody"))


def test_a_suspended_organization_loses_its_access(scene: Scene, aggregator: ANode) -> None:
    scene.show(delivered(Phase.SEALED))
    caller = TransferCaller(COORDINATOR, "anybody")
    assert readable(aggregator, INITIAL, caller)
    scene.ledger.answers["federation:ListOrganizations"] = [
        to_json(Organization(COORDINATOR, "x", "eu", False, 0))
    ]
    assert not readable(aggregator, INITIAL, caller)


def test_score_ciphertexts_are_kept_like_the_aggregate(scene: Scene, aggregator: ANode) -> None:
    score = aggregator.blobs.put(b"a score ciphertext")
    sheet = aggregator.blobs.put(scores_sheet([("a-1", score)]))
    scene.show(delivered(Phase.AGGREGATED, aggregate_digest=AGGREGATE, scores_digest=sheet))
    holder = TransferCaller(KEY_HOLDER, "key-holder-1")
    for digest_ in (AGGREGATE, sheet, score):
        assert readable(aggregator, digest_, holder)
        assert not readable(aggregator, digest_, TransferCaller("a-msp", "a-1"))


def test_a_digest_named_in_two_ways_is_kept_the_closer_way(scene: Scene, aggregator: ANode) -> None:
    scene.show(delivered(Phase.PUBLISHED, model_digest=digest("a-1"), sum_digest=digest("a-1")))
    assert not readable(aggregator, digest("a-1"), TransferCaller(KEY_HOLDER, "key-holder-1"))


# --- shared and granted keys --------------------------------------------------------------------


def show_ceremony(scene: Scene, seen: CeremonyView) -> None:
    """Put a task with a shared key and its ceremony on the ledger."""
    scene.show(view(None, task=shared_task(), key_epoch=None))
    scene.ledger.answers["key:ListCeremonies"] = [to_json(seen.ceremony)]
    scene.ledger.answers["key:GetCeremony"] = to_json(seen)


def test_no_share_of_a_key_is_read_before_all_members_have_committed(scene: Scene, aggregator: ANode) -> None:
    first, *others = MEMBERS
    member = TransferCaller(COORDINATOR, "anybody")
    show_ceremony(scene, ceremony_view((first, others[0])))
    assert not readable(aggregator, digest(f"share of {first}"), member)
    show_ceremony(scene, ceremony_view(MEMBERS))
    assert readable(aggregator, digest(f"share of {first}"), member)


def test_a_dealing_is_for_key_holders_and_the_joint_key_for_everybody(
    scene: Scene, aggregator: ANode
) -> None:
    show_ceremony(scene, ceremony_view(MEMBERS, MEMBERS, MEMBERS))
    holder, silo = TransferCaller(KEY_HOLDER, "key-holder-1"), TransferCaller("a-msp", "a-1")
    dealing = digest(f"dealing of {MEMBERS[0]}")
    assert readable(aggregator, dealing, holder)
    assert not readable(aggregator, dealing, silo)
    assert readable(aggregator, digest("joint key"), silo)


def test_masks_shares_and_zeros_of_an_opening_are_not_for_silos(scene: Scene, aggregator: ANode) -> None:
    begun = openable(
        offers=(offer(MEMBERS[0], 2),),
        openings=(opening(*MEMBERS[:2]),),
        shares=(answer(MEMBERS[0]),),
        blames=(blame(MEMBERS[0], MEMBERS[1]),),
    )
    scene.show(begun)
    scene.ledger.answers["key:ListCeremonies"] = []
    holder, silo = TransferCaller(KEY_HOLDER, "key-holder-1"), TransferCaller("a-msp", "a-1")
    closed = [begun.updates[0].mask_digest, begun.offers[0].zero_digest, begun.shares[0].digest]
    for name in (*closed, begun.updates[0].digest):
        assert readable(aggregator, name, holder)
        assert not readable(aggregator, name, silo)
    assert readable(aggregator, begun.blames[0].evidence_digest, silo)


def test_an_answer_for_the_sum_is_nobodys_until_it_is_posted_and_the_scores_are(
    scene: Scene, aggregator: ANode
) -> None:
    """Whoever names its digest as something else, as evidence here, does not get it either."""
    begun = directed(openings=(opening(*MEMBERS[:2]),))
    scene.ledger.answers["key:ListCeremonies"] = []
    holder, answered = TransferCaller(KEY_HOLDER, "key-holder-1"), answer(MEMBERS[0])
    named = replace(blame(MEMBERS[1], MEMBERS[0]), evidence_digest=answered.digest)
    scores = ScoreSheet(TASK, 1, digest("direction"), (), OPENED_AT)
    for seen, shown in (
        (begun, False),
        (replace(begun, shares=(answered,)), False),
        (replace(begun, shares=(answered,), blames=(named,)), False),
        (replace(begun, shares=(answered,), scores=scores), True),
    ):
        scene.show(seen)
        assert readable(aggregator, answered.digest, holder) is shown


def test_a_grant_is_given_to_its_silo(scene: Scene, aggregator: ANode) -> None:
    grant = KeyGrant(TASK, 1, "a-1", digest("grant"), 100, 0)
    scene.show(collecting(grants=(grant,)))
    assert readable(aggregator, grant.digest, TransferCaller("a-msp", "a-1"))
    for caller in (("a-msp", "a-2"), ("b-msp", "a-1"), (KEY_HOLDER, "key-holder-1"), (COORDINATOR, "a-1")):
        assert not readable(aggregator, grant.digest, TransferCaller(*caller))
