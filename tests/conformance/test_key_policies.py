"""Endorsement policies of single keys."""

from __future__ import annotations

from bfl_fabric.fabric.envelopes import ValidationCode
from bfl_fabric.fabric.policy import Role, role_principal, signature_policy_message
from bfl_fabric.fabric.wire import write
from tests.conformance.probe import Probe, unique

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
    if first.block_number == second.block_number and first.code is second.code is VALID:
        # Handed over in the other order: the write came first.
        assert probe.evaluate("get", key) == b"new"
    elif first.block_number == second.block_number:
        assert (first.code, second.code) == (VALID, FAILURE)
