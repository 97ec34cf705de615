"""Private collections: members, hashes, purge, time to live."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from bfl_fabric.fabric.envelopes import ValidationCode
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from tests.conformance.probe import Probe, unique


def put_private(probe: Probe, collection: str, key: str, value: bytes, **options: Any) -> None:
    """Write as the first two organizations, which hold the collection and are enough for the policy."""
    options.setdefault("organizations", probe.channel.msp_ids[:2])
    probe.submit("put_private", collection, key, transient={"value": value}, **options)


def test_a_member_reads_what_was_written(probe: Probe) -> None:
    key = unique("key")
    put_private(probe, "shared", key, b"secret")
    assert probe.evaluate("get_private", "shared", key, organization=0) == b"secret"
    assert probe.evaluate("get_private", "shared", key, organization=1) == b"secret"


def test_a_missing_private_key_reads_as_empty(probe: Probe) -> None:
    assert probe.evaluate("get_private", "shared", unique("missing")) == b""


def test_a_client_of_another_organization_may_not_read(probe: Probe) -> None:
    key = unique("key")
    put_private(probe, "shared", key, b"secret")
    with pytest.raises(GatewayFailure, match="does not have read access permission"):
        probe.evaluate("get_private", "shared", key, organization=2)


def test_a_client_of_another_organization_may_not_write(probe: Probe) -> None:
    with pytest.raises(GatewayFailure, match="does not have write access permission"):
        probe.endorse("put_private", "shared", "key", organization=2, transient={"value": b"x"})


def test_a_peer_of_another_organization_does_not_have_the_value(probe: Probe) -> None:
    key = unique("key")
    put_private(probe, "open", key, b"secret")
    outsider = {"organization": 2, "organizations": probe.channel.msp_ids[2:]}
    with pytest.raises(GatewayFailure, match="private data matching public hash version is not available"):
        probe.evaluate("get_private", "open", key, **outsider)


def test_everybody_may_read_the_hash(probe: Probe) -> None:
    key = unique("key")
    put_private(probe, "shared", key, b"secret")
    expected = hashlib.sha256(b"secret").hexdigest().encode()
    assert [probe.evaluate("hash_private", "shared", key, organization=n) for n in range(3)] == [expected] * 3


def test_no_block_holds_key_or_value(probe: Probe) -> None:
    key, value = unique("private-key"), unique("private-value").encode()
    options = {"organizations": probe.channel.msp_ids[:2]}
    endorsed = probe.endorse("put_private", "shared", key, transient={"value": value}, **options)
    assert value not in endorsed.payload
    probe.settle(endorsed)
    assert all(value not in block for block in probe.blocks())


def test_transient_values_are_not_given_to_peers_outside_the_collection(probe: Probe) -> None:
    """`own` belongs to one organization, and two are needed to endorse: the client must name them itself."""
    with pytest.raises(GatewayFailure, match="not in the distribution policy") as caught:
        probe.endorse("put_private", "own", unique("key"), transient={"value": b"x"})
    assert caught.value.status is GatewayStatus.FAILED_PRECONDITION


def test_members_alone_endorse_when_they_are_enough(probe: Probe) -> None:
    endorsed = probe.endorse("put_private", "shared", unique("key"), transient={"value": b"x"})
    assert endorsed.endorser_count == 2


def test_transient_values_of_an_outsider_are_endorsed_by_members_alone(probe: Probe) -> None:
    endorsed = probe.endorse("put_private", "open", unique("key"), organization=2, transient={"value": b"x"})
    assert endorsed.endorsers == list(probe.channel.msp_ids[:2])
    assert probe.settle(endorsed).code is ValidationCode.VALID


def test_an_organizations_implicit_collection_is_endorsed_by_its_peer_alone(probe: Probe) -> None:
    collection, key = f"_implicit_org_{probe.channel.msp_ids[1]}", unique("key")
    endorsed = probe.endorse("put_private", collection, key, organization=1, transient={"value": b"mine"})
    assert endorsed.endorsers == [probe.channel.msp_ids[1]]
    assert probe.settle(endorsed).code is ValidationCode.VALID
    assert probe.evaluate("get_private", collection, key, organization=1) == b"mine"


def test_a_private_read_of_a_changed_key_is_a_conflict(probe: Probe) -> None:
    key = unique("key")
    put_private(probe, "shared", key, b"a")
    late = probe.endorse("copy_private", "shared", key, unique("copy"))
    put_private(probe, "shared", key, b"b")
    assert probe.settle(late).code is ValidationCode.MVCC_READ_CONFLICT


def test_a_deleted_private_key_reads_as_empty(probe: Probe) -> None:
    key = unique("key")
    put_private(probe, "shared", key, b"secret")
    probe.submit("delete_private", "shared", key, organizations=probe.channel.msp_ids[:2])
    assert probe.evaluate("get_private", "shared", key) == b""
    assert probe.evaluate("hash_private", "shared", key) == b""


def test_a_purged_private_key_is_gone_and_the_chain_still_verifies(probe: Probe) -> None:
    key = unique("key")
    put_private(probe, "shared", key, b"first")
    put_private(probe, "shared", key, b"second")
    probe.submit("purge_private", "shared", key, organizations=probe.channel.msp_ids[:2])
    assert probe.evaluate("get_private", "shared", key) == b""
    assert probe.evaluate("hash_private", "shared", key) == b""


def test_a_purged_private_key_can_be_written_again(probe: Probe) -> None:
    key = unique("key")
    put_private(probe, "shared", key, b"before")
    probe.submit("purge_private", "shared", key, organizations=probe.channel.msp_ids[:2])
    put_private(probe, "shared", key, b"after")
    assert probe.evaluate("get_private", "shared", key) == b"after"


def test_a_transaction_does_not_see_its_own_private_writes(probe: Probe) -> None:
    key = unique("key")
    put_private(probe, "shared", key, b"old")
    options = {"transient": {"value": b"new"}, "organizations": probe.channel.msp_ids[:2]}
    assert probe.submit("put_then_get_private", "shared", key, **options).result == b"old"
    assert probe.evaluate("get_private", "shared", key) == b"new"


def test_a_client_of_another_organization_may_neither_delete_nor_purge(probe: Probe) -> None:
    key = unique("key")
    put_private(probe, "shared", key, b"secret")
    for function in ("delete_private", "purge_private"):
        with pytest.raises(GatewayFailure, match="does not have write access permission"):
            probe.endorse(function, "shared", key, organization=2)
    assert probe.evaluate("get_private", "shared", key) == b"secret"


def test_a_missing_private_key_has_no_hash(probe: Probe) -> None:
    assert probe.evaluate("hash_private", "shared", unique("missing")) == b""


def test_a_missing_private_key_can_be_deleted_and_purged(probe: Probe) -> None:
    for function in ("delete_private", "purge_private"):
        probe.submit(function, "shared", unique("missing"), organizations=probe.channel.msp_ids[:2])


def test_an_unknown_collection_is_refused(probe: Probe) -> None:
    with pytest.raises(GatewayFailure, match="could not be found"):
        probe.evaluate("get_private", "nowhere", "key")


@pytest.mark.parametrize("function", ["get_private", "hash_private", "delete_private", "purge_private"])
def test_a_collection_needs_a_name(probe: Probe, function: str) -> None:
    with pytest.raises(GatewayFailure):
        probe.evaluate(function, "", "key")


def test_an_organizations_implicit_collection_needs_its_endorsement(probe: Probe) -> None:
    collection = f"_implicit_org_{probe.channel.msp_ids[0]}"
    key = unique("key")
    others = {"transient": {"value": b"x"}, "organizations": probe.channel.msp_ids[1:]}
    endorsed = probe.endorse("put_private", collection, key, **others)
    assert probe.settle(endorsed).code is ValidationCode.ENDORSEMENT_POLICY_FAILURE
    put_private(probe, collection, key, b"mine", organizations=probe.channel.msp_ids[:1])
    assert probe.evaluate("get_private", collection, key) == b"mine"


def test_a_value_with_a_time_to_live_of_two_blocks_is_gone_after_them(probe: Probe) -> None:
    key = unique("key")
    put_private(probe, "brief", key, b"for a while")
    assert probe.evaluate("get_private", "brief", key) == b"for a while"
    for _ in range(3):
        probe.submit("put", unique("block"), "x")
    assert probe.evaluate("get_private", "brief", key) == b""
    assert probe.evaluate("hash_private", "brief", key) == b""
