"""Proofs of shares: who may bring one to whom, when, and that it brings one only."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from bfl_chaincode.api.records import NodeRole, Phase, RoundView
from bfl_fabric.domain.ports import TransferCaller, UpdateName
from bfl_fabric.errors import MalformedInput, TransferFailed
from bfl_fabric.roles.actions import Action
from bfl_fabric.roles.proofs import KeyHolderAdmission, ProofName, Proofs, verify_proof_due
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.turns import PROOF_GRACE_MS, Judge, OpeningState, Prove, due
from bfl_fabric.testing.network import Server
from tests.unit.roles.nodes import ANode, Scene
from tests.unit.roles.rounds import OPENED_AT, TASK, digest
from tests.unit.roles.shared import MEMBERS, answer, openable, opening

FIRST, SECOND, THIRD = MEMBERS
NAME = ProofName(TASK, 1, 1, 1000)


def answered(**changes: object) -> RoundView:
    shares = (answer(FIRST), answer(SECOND))
    return openable(**{"openings": (opening(FIRST, SECOND),), "shares": shares, **changes})


def test_the_name_of_a_proof_is_the_name_of_no_update() -> None:
    name = NAME.upload("key-holder-a")
    assert ProofName.find(name) == NAME
    for task_id in (
        TASK,
        f"{TASK}#proof",
        f"{TASK}#proof-0-5",
        f"{TASK}#proof-1-0",
        f"{TASK}#proof-1-5 ",
        "#proof-1-5",
    ):
        assert ProofName.find(UpdateName(task_id, 1, "key-holder-a")) is None


def test_an_active_member_may_prove_once_all_have_answered() -> None:
    verify_proof_due(answered(), THIRD, FIRST, NAME)
    verify_proof_due(answered(), FIRST, SECOND, NAME)


def with_phase(view: RoundView, phase: Phase) -> RoundView:
    assert view.round is not None
    return replace(view, round=replace(view.round, phase=phase))


@pytest.mark.parametrize(
    ("view", "receiver", "bringer", "name"),
    [
        (answered(), THIRD, THIRD, NAME),
        (answered(), "StrangerMSP", FIRST, NAME),
        (answered(), THIRD, FIRST, replace(NAME, attempt=2)),
        (answered(), THIRD, FIRST, replace(NAME, size_bytes=1 << 30)),
        (answered(shares=(answer(FIRST),)), THIRD, FIRST, NAME),
        (answered(openings=()), THIRD, FIRST, NAME),
        (with_phase(answered(), Phase.RELEASED), THIRD, FIRST, NAME),
    ],
    ids=["not active", "to a stranger", "another attempt", "too long", "too early", "no attempt", "released"],
)
def test_any_other_proof_is_refused(view: RoundView, receiver: str, bringer: str, name: ProofName) -> None:
    with pytest.raises(MalformedInput):
        verify_proof_due(view, receiver, bringer, name)


# --- from node to node --------------------------------------------------------------------------


@pytest.fixture
def nodes(tmp_path: Path) -> dict[str, ANode]:
    """A key holder's node of each member, with the door that takes proofs."""
    scene, made = Scene(tmp_path), {}
    for member in MEMBERS:
        node = ANode(scene, member, f"key-holder-{member}", NodeRole.KEY_HOLDER)
        admission = KeyHolderAdmission(node.bench, node.checks, NodeRole.KEY_HOLDER)
        scene.network.listen(node.address, Server(member, admission, node.blobs))
        made[member] = node
    scene.show(answered())
    return made


def bring(node: ANode, proof: bytes) -> None:
    view = answered()
    proofs = Proofs(node.bench, LedgerReader(node.scene.ledger))
    asyncio.run(proofs.bring(Action(TASK, 1), view, view.openings[0], proof))


def here(node: ANode) -> dict[str, str]:
    proofs = Proofs(node.bench, LedgerReader(node.scene.ledger))
    return dict(proofs.here(answered().openings[0]))


def test_a_proof_comes_to_every_other_member(nodes: dict[str, ANode]) -> None:
    bring(nodes[FIRST], b"a proof")
    bring(nodes[FIRST], b"a proof")
    expected = {FIRST: hashlib.sha256(b"a proof").hexdigest()}
    assert [here(node) for node in nodes.values()] == [expected] * 3


def test_a_member_brings_one_proof_in_an_attempt(nodes: dict[str, ANode]) -> None:
    bring(nodes[FIRST], b"a proof")
    nodes[FIRST].journal.facts.clear()
    with pytest.raises(TransferFailed, match="another proof"):
        bring(nodes[FIRST], b"another proof")
    assert here(nodes[THIRD]) == {FIRST: hashlib.sha256(b"a proof").hexdigest()}


def test_a_node_that_is_down_is_named_and_gets_the_proof_later(nodes: dict[str, ANode]) -> None:
    down = nodes[THIRD]
    server = down.scene.network.server(down.address)
    down.scene.network.hang_up(down.address)
    with pytest.raises(TransferFailed, match=f"key-holder-{THIRD}"):
        bring(nodes[FIRST], b"a proof")
    assert here(nodes[SECOND])
    down.scene.network.listen(down.address, server)
    bring(nodes[FIRST], b"a proof")
    assert here(down)


def test_only_a_key_holders_node_brings_proofs(nodes: dict[str, ANode]) -> None:
    admission = nodes[THIRD].scene.network.server(nodes[THIRD].address).admission
    for caller in (TransferCaller(FIRST, "verifier-1"), TransferCaller("a-msp", "a-1")):
        with pytest.raises(MalformedInput, match="no key holder"):
            asyncio.run(admission.expect(caller, NAME.upload(caller.common_name), digest("proof")))


# --- when it is due -----------------------------------------------------------------------------

FAILED = OpeningState(FIRST, OPENED_AT + 1, frozenset(), unopened_at=OPENED_AT + 1)


def test_who_finds_that_answers_do_not_open_proves_its_own_and_waits_for_the_others() -> None:
    assert due(answered(), FAILED) == [Prove(TASK, 1, 1)]
    assert due(answered(), replace(FAILED, has_proven=True)) == []
    assert due(answered(), replace(FAILED, msp_id=THIRD)) == []


def test_it_judges_with_all_proofs_or_when_they_are_late_and_once() -> None:
    proven = replace(FAILED, has_proven=True)
    assert due(answered(), replace(proven, proofs=frozenset({SECOND}))) == [Judge(TASK, 1, 1)]
    late = replace(proven, now_ms=FAILED.unopened_at + PROOF_GRACE_MS)
    assert due(answered(), late) == [Judge(TASK, 1, 1)]
    assert due(answered(), replace(late, has_judged=True)) == []
