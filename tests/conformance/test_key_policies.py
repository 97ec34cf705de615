"""Endorsement policies of single keys."""

from __future__ import annotations

import pytest

from bfl_fabric.fabric.envelopes import ValidationCode
from bfl_fabric.fabric.gateway_transport import GatewayFailure
from bfl_fabric.fabric.policy import Role, role_principal, signature_policy_message
from bfl_fabric.fabric.wire import write
from tests.conformance.probe import Probe, unique
from tests.conformance.test_conflicts import precedes

FAILURE = ValidationCode.ENDORSEMENT_POLICY_FAILURE
VALID = ValidationCode.VALID


def only(probe: Probe, organization: int) -> str:
    """Return the policy, in hex, that one organization's peer must endorse."""
    principal = role_principal(probe.channel.msp_ids[organization], Role.PEER)
    return write(signature_policy_message(1, [principal])).hex()


def guarded_key(probe: Probe, organization: int) -> str:
    key = unique("guarded")
    probe.submit("put", key, "old")
    probe.submit("set_policy", key, only(probe, organization))
    return key


def test_a_keys_policy_can_be_read(probe: Probe) -> None:
    key = guarded_key(probe, 0)
    assert probe.evaluate("get_policy", key).decode() == only(probe, 0)
    assert probe.evaluate("get_policy", unique("other")) == b""


def test_a_key_with_a_policy_needs_that_organization(probe: Probe) -> None:
    key = guarded_key(probe, 2)
    endorsed = probe.endorse("put", key, "new", organizations=probe.channel.msp_ids[:2])
    assert probe.settle(endorsed).code is FAILURE
    assert probe.evaluate("get", key) == b"old"


def test_a_keys_policy_takes_the_place_of_the_chaincodes(probe: Probe) -> None:
    key = guarded_key(probe, 2)
    endorsed = probe.endorse("put", key, "new", organizations=probe.channel.msp_ids[2:])
    assert probe.settle(endorsed).code is VALID
    assert probe.evaluate("get", key) == b"new"


def test_a_key_of_one_organization_is_endorsed_by_its_peer_alone(probe: Probe) -> None:
    endorsed = probe.endorse("put", guarded_key(probe, 2), "new")
    assert endorsed.endorsers == [probe.channel.msp_ids[2]]
    assert probe.settle(endorsed).code is VALID


def test_a_key_without_a_policy_beside_one_with_it_needs_the_chaincodes_too(probe: Probe) -> None:
    endorsed = probe.endorse("put", guarded_key(probe, 2), "new", unique("other"), "x")
    assert endorsed.endorser_count == 2
    assert probe.channel.msp_ids[2] in endorsed.endorsers
    assert probe.settle(endorsed).code is VALID


def test_keys_of_two_organizations_are_endorsed_by_both(probe: Probe) -> None:
    endorsed = probe.endorse("put", guarded_key(probe, 1), "new", guarded_key(probe, 2), "new")
    assert endorsed.endorsers == list(probe.channel.msp_ids[1:])
    assert probe.settle(endorsed).code is VALID


def test_a_keys_policy_stays_when_its_value_changes(probe: Probe) -> None:
    key = guarded_key(probe, 2)
    probe.submit("put", key, "new")
    assert probe.evaluate("get_policy", key).decode() == only(probe, 2)


def test_a_keys_policy_goes_when_the_key_is_deleted(probe: Probe) -> None:
    key = guarded_key(probe, 2)
    probe.submit("delete", key)
    probe.submit("put", key, "again")
    assert probe.evaluate("get_policy", key) == b""


def test_a_policy_of_a_missing_key_is_without_effect(probe: Probe) -> None:
    key = unique("missing")
    probe.submit("set_policy", key, only(probe, 0))
    assert probe.evaluate("get_policy", key) == b""


def test_a_write_behind_a_change_of_policy_in_the_same_block_fails(probe: Probe) -> None:
    key = unique("guarded")
    probe.submit("put", key, "old")
    change = probe.endorse("set_policy", key, only(probe, 0))
    late = probe.endorse("put", key, "new")
    first, second = probe.together([probe.settling(change), probe.settling(late)])
    assert first.code is VALID
    if first.block_number == second.block_number and precedes(probe, first, second):
        assert second.code is FAILURE
        assert probe.evaluate("get", key) == b"old"


def test_a_policy_that_asks_for_all_three_is_not_met_by_two(probe: Probe) -> None:
    key = unique("guarded")
    principals = [role_principal(msp_id, Role.PEER) for msp_id in probe.channel.msp_ids]
    probe.submit("put", key, "old")
    probe.submit("set_policy", key, write(signature_policy_message(3, principals)).hex())
    two = probe.endorse("put", key, "new", organizations=probe.channel.msp_ids[:2])
    assert probe.settle(two).code is FAILURE
    three = probe.endorse("put", key, "new")
    assert three.endorsers == list(probe.channel.msp_ids)
    assert probe.settle(three).code is VALID


def test_to_change_a_keys_policy_needs_the_policy_that_it_has(probe: Probe) -> None:
    key = guarded_key(probe, 2)
    others = probe.channel.msp_ids[:2]
    theirs = probe.endorse("set_policy", key, only(probe, 0), organizations=others)
    assert probe.settle(theirs).code is FAILURE
    mine = probe.endorse("set_policy", key, only(probe, 0), organizations=probe.channel.msp_ids[2:])
    assert probe.settle(mine).code is VALID
    assert probe.evaluate("get_policy", key).decode() == only(probe, 0)


def test_a_keys_policy_can_be_taken_away(probe: Probe) -> None:
    key = guarded_key(probe, 2)
    probe.submit("set_policy", key, "", organizations=probe.channel.msp_ids)
    assert probe.evaluate("get_policy", key) == b""
    two = probe.endorse("put", key, "new", organizations=probe.channel.msp_ids[:2])
    assert probe.settle(two).code is VALID


def test_a_policy_that_cannot_be_read_is_refused_before_it_is_on_the_ledger(probe: Probe) -> None:
    """A peer takes it, and "aborts chain processing" for good at the next write of the key: the stub must not ask."""
    key = unique("key")
    probe.submit("put", key, "old")
    with pytest.raises(GatewayFailure, match="InvalidKey"):
        probe.evaluate("set_policy", key, "ff00ff")
