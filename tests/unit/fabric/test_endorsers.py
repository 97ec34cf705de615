"""Endorsements are looked at until the policy is satisfied, and the verdict is the one that all of them would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from fabric_protos.common import policies_pb2
from fabric_protos.peer import policy_pb2
from hypothesis import given
from hypothesis import strategies as st

from bfl_fabric.errors import NotTrusted
from bfl_fabric.fabric.channel import ENDORSEMENT, ChannelConfig, policy_reference
from bfl_fabric.fabric.endorsers import Endorsers
from bfl_fabric.fabric.identity import Identity
from bfl_fabric.fabric.policy import Role, role_principal
from bfl_fabric.fabric.wire import write
from tests.unit.fabric.organizations import FOUNDED_MS, federation

MSP_IDS = ("AlphaMSP", "BetaMSP", "GammaMSP")
PRINCIPALS = [role_principal(msp_id, role) for msp_id in MSP_IDS for role in (Role.MEMBER, Role.PEER)]
CONFIG: ChannelConfig = federation().config()
CREATORS = [
    organization.identity(f"{role}0", role).creator
    for organization in federation().organizations
    for role in ("peer", "client")
]
A_PEER, _, B_PEER, _, G_PEER, _ = CREATORS


@dataclass(frozen=True)
class Claimed:
    """An endorsement whose signature is good or not."""

    creator: bytes
    is_good: bool = True

    def verify(self, identity: Identity, *, strict: bool) -> None:
        assert not strict
        if not self.is_good:
            raise NotTrusted("the signature is not good")


def leaf(index: int) -> Any:
    return policies_pb2.SignaturePolicy(signed_by=index)


def out_of(count: int, rules: Sequence[Any]) -> Any:
    gate = policies_pb2.SignaturePolicy.NOutOf(n=count, rules=rules)
    return policies_pb2.SignaturePolicy(n_out_of=gate)


def policy(rule: Any) -> bytes:
    envelope = policies_pb2.SignaturePolicyEnvelope(rule=rule, identities=PRINCIPALS)
    return write(policy_pb2.ApplicationPolicy(signature_policy=envelope))


leaves = st.builds(leaf, st.integers(0, len(PRINCIPALS) - 1))
gates = st.builds(out_of, st.integers(0, 4), st.lists(leaves, max_size=4))
nested = st.builds(out_of, st.integers(0, 3), st.lists(leaves | gates, max_size=4))
policies = st.builds(policy, leaves | gates | nested) | st.just(policy_reference(ENDORSEMENT))
claims = st.lists(
    st.builds(Claimed, st.sampled_from([*CREATORS, b"nobody"]), st.sampled_from([True, True, False])),
    max_size=7,
)


@given(st.lists(policies, min_size=1, max_size=3), claims)
def test_looking_at_some_gives_the_verdict_of_all(asked: list[bytes], given_: list[Claimed]) -> None:
    """Bad, foreign and repeated endorsements among them, in any order, and several policies of one transaction."""
    everybody = CONFIG.signers(given_, FOUNDED_MS, strict=False)
    endorsers = Endorsers(CONFIG, given_, FOUNDED_MS)
    for raw in asked:
        assert endorsers.satisfy(raw) is CONFIG.application_policy(raw).satisfied_by(everybody)
    assert endorsers.members == everybody[: len(endorsers.members)]


def test_no_more_are_looked_at_than_the_policy_needs() -> None:
    endorsers = Endorsers(CONFIG, [Claimed(A_PEER), Claimed(B_PEER), Claimed(G_PEER, False)], FOUNDED_MS)
    assert endorsers.satisfy(policy_reference(ENDORSEMENT))
    assert endorsers.asked == 2
    assert not endorsers.satisfy(policy(out_of(3, [leaf(1), leaf(3), leaf(5)])))
    assert endorsers.asked == 3


@pytest.mark.parametrize("bad", [Claimed(A_PEER, False), Claimed(b"nobody"), Claimed(B_PEER)])
def test_a_bad_foreign_or_repeated_one_in_front_is_made_up_for(bad: Claimed) -> None:
    endorsers = Endorsers(CONFIG, [bad, Claimed(B_PEER), Claimed(G_PEER), Claimed(A_PEER)], FOUNDED_MS)
    assert endorsers.satisfy(policy_reference(ENDORSEMENT))
    assert endorsers.asked == 3


def test_of_a_nested_policy_all_are_looked_at_because_one_more_can_spoil_it() -> None:
    """The greedy search gives all three to the inner rule once it can be satisfied; the outer ones go without."""
    rule = out_of(2, [out_of(3, [leaf(1), leaf(3), leaf(5)]), leaf(3), leaf(5)])
    enough = [Claimed(B_PEER), Claimed(G_PEER)]
    assert Endorsers(CONFIG, enough, FOUNDED_MS).satisfy(policy(rule))
    assert not Endorsers(CONFIG, [*enough, Claimed(A_PEER)], FOUNDED_MS).satisfy(policy(rule))
    assert not CONFIG.is_monotone(policy(rule))
    assert CONFIG.is_monotone(policy_reference(ENDORSEMENT))
