"""Validation codes: what a committing peer decides, rule by rule."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fabric_protos.common import common_pb2
from fabric_protos.peer import collection_pb2, policy_pb2

from bfl_fabric.fabric.authority import Validity
from bfl_fabric.fabric.channel import ChannelConfig, policy_reference
from bfl_fabric.fabric.endorsement import assemble, endorse, sign_envelope
from bfl_fabric.fabric.envelopes import ChaincodeEvent, InvalidTransaction, ValidationCode
from bfl_fabric.fabric.expiry import Expiries
from bfl_fabric.fabric.policy import Role, role_principal, signature_policy_message
from bfl_fabric.fabric.read_checks import check_reads, range_summary
from bfl_fabric.fabric.rwsets import (
    CollectionSet,
    HashedMetadataWrite,
    HashedRead,
    HashedWrite,
    Height,
    MetadataWrite,
    NamespaceSet,
    RangeQuery,
    Read,
    Write,
)
from bfl_fabric.fabric.state import ReplayedState, Space, Updates, Versioned
from bfl_fabric.fabric.validation import BlockVerdict, validate_entries
from bfl_fabric.fabric.wire import write
from tests.unit.fabric.chain_builder import ENDORSEMENT, Call, definition_writes, envelope, propose, put
from tests.unit.fabric.organizations import CHAINCODE, START, federation

VALID = ValidationCode.VALID
PRIVATE = hashlib.sha256(b"private").digest()


@pytest.fixture(scope="module")
def config() -> ChannelConfig:
    return federation().config()


def alpha() -> Any:
    return federation().organizations[0]


def beta() -> Any:
    return federation().organizations[1]


def both() -> list[Any]:
    return [alpha().peer, beta().peer]


def state_with(policy: bytes = b"", collections: Sequence[Any] = (), **values: bytes) -> ReplayedState:
    """Return a state in which the chaincode is defined and these keys were written in block 1."""
    state, updates = ReplayedState(), Updates()
    definition = NamespaceSet(
        "_lifecycle", writes=definition_writes(policy or policy_reference(ENDORSEMENT), collections)
    )
    content = NamespaceSet(CHAINCODE, writes=tuple(Write(key, value) for key, value in values.items()))
    updates.apply((definition, content), Height(1, 0), state)
    state.commit(updates)
    return state


def judge(
    config: ChannelConfig, state: ReplayedState, *entries: bytes, seen: set[str] | None = None
) -> BlockVerdict:
    return validate_entries(2, entries, config, state, seen or set())


def code_of(config: ChannelConfig, state: ReplayedState, call: Call) -> ValidationCode:
    return judge(config, state, envelope(call)).verdicts[0].code


def call(*parts: NamespaceSet, endorsers: Sequence[Any] | None = None, **more: Any) -> Call:
    return Call(alpha().client, both() if endorsers is None else endorsers, list(parts), **more)


# --- form and signatures ------------------------------------------------------------------------


def test_a_good_transaction_is_valid_and_changes_the_state(config: ChannelConfig) -> None:
    verdict = judge(config, state_with(), envelope(call(put("a", b"1"))))
    assert verdict.flags == b"\0"
    assert verdict.updates.find(Space(CHAINCODE), b"a") == Versioned(b"1", None, Height(2, 0))


def resigned(change: Any) -> bytes:
    """Return a good transaction with one thing changed in its payload, signed again by its creator."""
    message = common_pb2.Envelope.FromString(envelope(call(put("a", b"1"))))
    payload = common_pb2.Payload.FromString(message.payload)
    channel = common_pb2.ChannelHeader.FromString(payload.header.channel_header)
    signature = common_pb2.SignatureHeader.FromString(payload.header.signature_header)
    change(payload, channel, signature)
    payload.header.channel_header = write(channel)
    payload.header.signature_header = write(signature)
    return write(sign_envelope(write(payload), alpha().client))


FORMS = [
    (lambda p, c, s: setattr(c, "epoch", 1), ValidationCode.BAD_COMMON_HEADER),
    (lambda p, c, s: setattr(c, "type", 9), ValidationCode.BAD_COMMON_HEADER),
    (lambda p, c, s: setattr(s, "nonce", b""), ValidationCode.BAD_COMMON_HEADER),
    (lambda p, c, s: setattr(c, "type", 2), ValidationCode.UNSUPPORTED_TX_PAYLOAD),
    (lambda p, c, s: setattr(c, "channel_id", "other"), ValidationCode.BAD_CREATOR_SIGNATURE),
    (lambda p, c, s: setattr(s, "creator", beta().client.creator), ValidationCode.BAD_CREATOR_SIGNATURE),
    (lambda p, c, s: setattr(s, "creator", b"nonsense"), ValidationCode.BAD_CREATOR_SIGNATURE),
    (lambda p, c, s: setattr(c, "tx_id", "0" * 64), ValidationCode.BAD_PROPOSAL_TXID),
    (lambda p, c, s: setattr(p, "data", b""), ValidationCode.INVALID_ENDORSER_TRANSACTION),
    (lambda p, c, s: setattr(c, "extension", b""), ValidationCode.INVALID_ENDORSER_TRANSACTION),
]


@pytest.mark.parametrize(("change", "expected"), FORMS, ids=lambda item: getattr(item, "name", "change"))
def test_a_transaction_without_form_has_fabrics_code(
    config: ChannelConfig, change: Any, expected: ValidationCode
) -> None:
    assert judge(config, state_with(), resigned(change)).verdicts[0].code is expected


def test_a_changed_signature_is_noticed(config: ChannelConfig) -> None:
    message = common_pb2.Envelope.FromString(envelope(call(put("a", b"1"))))
    message.signature = beta().client.sign(message.payload)
    verdict = judge(config, state_with(), write(message)).verdicts[0]
    assert verdict.code is ValidationCode.BAD_CREATOR_SIGNATURE


def test_a_creator_whose_certificate_has_expired_is_refused(config: ChannelConfig) -> None:
    short = alpha().identity("short", "client", None, Validity(START, START + timedelta(days=1)))
    expired = Call(short, both(), [put("a", b"1")])
    assert code_of(config, state_with(), expired) is ValidationCode.BAD_CREATOR_SIGNATURE
    early = replace(expired, at_ms=int(START.timestamp() * 1000) + 1000)
    assert code_of(config, state_with(), early) is VALID


def test_an_id_of_an_earlier_block_is_a_duplicate(config: ChannelConfig) -> None:
    made = call(put("a", b"1"))
    seen = {propose(made).transaction_id}
    verdict = judge(config, state_with(), envelope(made), seen=seen).verdicts[0]
    assert verdict.code is ValidationCode.DUPLICATE_TXID


def test_the_second_of_two_equal_transactions_in_a_block_is_a_duplicate(config: ChannelConfig) -> None:
    entry = envelope(call(put("a", b"1")))
    verdict = judge(config, state_with(), entry, entry)
    assert [item.code for item in verdict.verdicts] == [VALID, ValidationCode.DUPLICATE_TXID]


def test_an_event_of_another_chaincode_is_refused(config: ChannelConfig) -> None:
    event = ChaincodeEvent("other", "tx", "name", b"")
    assert (
        code_of(config, state_with(), call(put("a", b"1"), event=event))
        is ValidationCode.INVALID_OTHER_REASON
    )


# --- endorsements -------------------------------------------------------------------------------


def test_too_few_endorsements_fail(config: ChannelConfig) -> None:
    one = call(put("a", b"1"), endorsers=[alpha().peer])
    assert code_of(config, state_with(), one) is ValidationCode.ENDORSEMENT_POLICY_FAILURE


def test_clients_and_strangers_do_not_endorse(config: ChannelConfig) -> None:
    for other in (beta().client, federation(type(federation().consensus)("BFT")).organizations[1].peer):
        made = call(put("a", b"1"), endorsers=[alpha().peer, other])
        assert code_of(config, state_with(), made) is ValidationCode.ENDORSEMENT_POLICY_FAILURE


def test_an_expired_endorser_does_not_count(config: ChannelConfig) -> None:
    short = beta().identity("short", "peer", None, Validity(START, START + timedelta(days=1)))
    made = call(put("a", b"1"), endorsers=[alpha().peer, short])
    assert code_of(config, state_with(), made) is ValidationCode.ENDORSEMENT_POLICY_FAILURE


def test_a_bad_endorsement_among_enough_good_ones_does_no_harm(config: ChannelConfig) -> None:
    """Otherwise a client could make any audit fail by adding garbage; Fabric leaves it out as well."""
    made = call(put("a", b"1"))
    proposal = propose(made)
    good = parse_action(envelope(made)).endorsed
    bad = endorse(b"something else", federation().organizations[2].peer)
    unsigned = assemble(proposal, good.response_payload, [*good.endorsements, bad])
    entry = write(sign_envelope(unsigned.payload, made.creator))
    assert judge(config, state_with(), entry).verdicts[0].code is VALID


def parse_action(entry: bytes) -> Any:
    from bfl_fabric.fabric.envelopes import parse_envelope

    return parse_envelope(entry).action()


def test_a_chaincode_without_definition_is_refused(config: ChannelConfig) -> None:
    assert code_of(config, ReplayedState(), call(put("a", b"1"))) is ValidationCode.INVALID_CHAINCODE


def test_writing_into_another_chaincode_needs_its_definition(config: ChannelConfig) -> None:
    foreign = NamespaceSet("other", writes=(Write("x", b"1"),))
    assert code_of(config, state_with(), call(put("a", b"1"), foreign)) is ValidationCode.INVALID_CHAINCODE
    reading = NamespaceSet("other", reads=(Read("x", None),))
    assert code_of(config, state_with(), call(put("a", b"1"), reading)) is VALID


def test_a_namespace_must_not_stand_twice(config: ChannelConfig) -> None:
    made = call(put("a", b"1"), put("b", b"1"))
    assert code_of(config, state_with(), made) is ValidationCode.ILLEGAL_WRITESET


def test_a_transaction_that_writes_nothing_still_needs_endorsements(config: ChannelConfig) -> None:
    reading = NamespaceSet(CHAINCODE, reads=(Read("a", None),))
    assert code_of(config, state_with(), call(reading)) is VALID
    alone = call(reading, endorsers=[alpha().peer])
    assert code_of(config, state_with(), alone) is ValidationCode.ENDORSEMENT_POLICY_FAILURE


def test_lifecycle_writes_need_the_lifecycle_policy(config: ChannelConfig) -> None:
    part = NamespaceSet("_lifecycle", writes=(Write("namespaces/x", b"1"),))
    good = call(part, chaincode="_lifecycle")
    assert code_of(config, ReplayedState(), good) is VALID
    alone = call(part, chaincode="_lifecycle", endorsers=[alpha().peer])
    assert code_of(config, ReplayedState(), alone) is ValidationCode.ENDORSEMENT_POLICY_FAILURE


def test_an_organizations_implicit_collection_needs_that_organization(config: ChannelConfig) -> None:
    inner = CollectionSet("_implicit_org_AlphaMSP", writes=(HashedWrite(PRIVATE, PRIVATE),))
    part = NamespaceSet("_lifecycle", collections=(inner,))
    good = call(part, chaincode="_lifecycle", endorsers=[alpha().peer])
    assert code_of(config, ReplayedState(), good) is VALID
    foreign = call(part, chaincode="_lifecycle", endorsers=[beta().peer])
    assert code_of(config, ReplayedState(), foreign) is ValidationCode.ENDORSEMENT_POLICY_FAILURE
    nobody = replace(inner, name="_implicit_org_NobodyMSP")
    unknown = call(part._replace(collections=(nobody,)), chaincode="_lifecycle")
    assert code_of(config, ReplayedState(), unknown) is ValidationCode.ENDORSEMENT_POLICY_FAILURE


def signed_by_alpha() -> Any:
    return signature_policy_message(1, [role_principal("AlphaMSP", Role.PEER)])


def test_a_collections_own_policy_guards_it(config: ChannelConfig) -> None:
    guarded = collection_pb2.StaticCollectionConfig(
        name="guarded", endorsement_policy=policy_pb2.ApplicationPolicy(signature_policy=signed_by_alpha())
    )
    state = state_with(collections=[guarded, collection_pb2.StaticCollectionConfig(name="plain")])

    def into(name: str) -> NamespaceSet:
        return NamespaceSet(
            CHAINCODE, collections=(CollectionSet(name, writes=(HashedWrite(PRIVATE, PRIVATE),)),)
        )

    failure = ValidationCode.ENDORSEMENT_POLICY_FAILURE
    assert code_of(config, state, call(into("guarded"), endorsers=[alpha().peer])) is VALID
    assert code_of(config, state, call(into("guarded"), endorsers=[beta().peer])) is failure
    assert code_of(config, state, call(into("plain"))) is VALID
    assert code_of(config, state, call(into("plain"), endorsers=[alpha().peer])) is failure
    assert code_of(config, state, call(into("unknown"))) is failure


def guarded_key(policy: bytes) -> NamespaceSet:
    entries = (("VALIDATION_PARAMETER", policy),)
    return NamespaceSet(CHAINCODE, writes=(Write("k", b"1"),), metadata_writes=(MetadataWrite("k", entries),))


def test_a_keys_own_policy_takes_the_place_of_the_chaincodes(config: ChannelConfig) -> None:
    state = state_with()
    first = judge(config, state, envelope(call(guarded_key(write(signed_by_alpha())))))
    state.commit(first.updates)
    assert code_of(config, state, call(put("k", b"2", Height(2, 0)), endorsers=[alpha().peer])) is VALID
    wrong = call(put("k", b"2", Height(2, 0)), endorsers=[beta().peer, federation().organizations[2].peer])
    assert code_of(config, state, wrong) is ValidationCode.ENDORSEMENT_POLICY_FAILURE
    mixed = NamespaceSet(CHAINCODE, writes=(Write("k", b"2"), Write("other", b"2")))
    alone = call(mixed, endorsers=[alpha().peer])
    assert code_of(config, state, alone) is ValidationCode.ENDORSEMENT_POLICY_FAILURE


def test_a_value_keeps_its_keys_policy(config: ChannelConfig) -> None:
    state = state_with()
    policy = write(signed_by_alpha())
    state.commit(judge(config, state, envelope(call(guarded_key(policy)))).updates)
    state.commit(judge(config, state, envelope(call(put("k", b"2", Height(2, 0))))).updates)
    found = state.find(Space(CHAINCODE), b"k")
    assert found is not None
    assert found.value == b"2"
    assert found.metadata == (("VALIDATION_PARAMETER", policy),)


def test_a_policy_that_changes_in_the_block_blocks_later_writes(config: ChannelConfig) -> None:
    entries = [
        envelope(call(guarded_key(write(signed_by_alpha())))),
        envelope(call(put("k", b"2", reads=False))),
    ]
    verdict = judge(config, state_with(), *entries)
    assert [item.code for item in verdict.verdicts] == [VALID, ValidationCode.ENDORSEMENT_POLICY_FAILURE]


def test_a_key_policy_without_meaning_fails(config: ChannelConfig) -> None:
    state = state_with()
    state.commit(judge(config, state, envelope(call(guarded_key(b"\x08\x07")))).updates)
    made = call(put("k", b"2", Height(2, 0)))
    assert code_of(config, state, made) is ValidationCode.ENDORSEMENT_POLICY_FAILURE


def test_metadata_of_a_key_that_is_not_there_changes_nothing(config: ChannelConfig) -> None:
    part = NamespaceSet(CHAINCODE, metadata_writes=(MetadataWrite("ghost", (("a", b"b"),)),))
    verdict = judge(config, state_with(), envelope(call(part)))
    assert verdict.flags == b"\0"
    assert verdict.updates.find(Space(CHAINCODE), b"ghost") is None


def test_deleted_metadata_is_gone_and_a_deleted_key_takes_it_along(config: ChannelConfig) -> None:
    state = state_with()
    state.commit(judge(config, state, envelope(call(guarded_key(write(signed_by_alpha()))))).updates)
    bare = NamespaceSet(CHAINCODE, metadata_writes=(MetadataWrite("k", None),))
    state.commit(judge(config, state, envelope(call(bare))).updates)
    found = state.find(Space(CHAINCODE), b"k")
    assert found is not None
    assert (found.value, found.metadata) == (b"1", None)
    gone = NamespaceSet(CHAINCODE, writes=(Write("k", None),))
    state.commit(judge(config, state, envelope(call(gone))).updates)
    assert state.find(Space(CHAINCODE), b"k") is None


# --- reads --------------------------------------------------------------------------------------


def conflict(part: NamespaceSet, state: ReplayedState, updates: Updates | None = None) -> ValidationCode:
    try:
        check_reads([part], state, updates or Updates())
    except InvalidTransaction as error:
        return error.code
    return VALID


STALE = ValidationCode.MVCC_READ_CONFLICT
PHANTOM = ValidationCode.PHANTOM_READ_CONFLICT


@pytest.mark.parametrize(
    ("key", "version", "expected"),
    [
        ("a", Height(1, 0), VALID),
        ("a", Height(1, 1), STALE),
        ("a", Height(2, 0), STALE),
        ("a", None, STALE),
        ("missing", None, VALID),
        ("missing", Height(1, 0), STALE),
    ],
)
def test_a_read_stands_at_its_version_only(
    key: str, version: Height | None, expected: ValidationCode
) -> None:
    assert conflict(NamespaceSet(CHAINCODE, reads=(Read(key, version),)), state_with(a=b"1")) is expected


def test_a_key_written_or_deleted_earlier_in_the_block_conflicts() -> None:
    for value in (b"2", None):
        updates = Updates()
        updates.put(Space(CHAINCODE), b"a", Versioned(value, None, Height(2, 0)))
        reading = NamespaceSet(CHAINCODE, reads=(Read("a", Height(1, 0)),))
        assert conflict(reading, state_with(a=b"1"), updates) is STALE


def test_hashed_reads_stand_like_public_ones() -> None:
    state = ReplayedState()
    updates = Updates()
    updates.put(Space(CHAINCODE, "c"), PRIVATE, Versioned(PRIVATE, None, Height(1, 0)))
    state.commit(updates)

    def reading(version: Height | None) -> NamespaceSet:
        return NamespaceSet(
            CHAINCODE, collections=(CollectionSet("c", reads=(HashedRead(PRIVATE, version),)),)
        )

    assert conflict(reading(Height(1, 0)), state) is VALID
    assert conflict(reading(None), state) is STALE
    assert conflict(reading(Height(1, 0)), state, updates) is STALE


def ranged(start: str, end: str, *keys: str, exhausted: bool = True) -> NamespaceSet:
    reads = tuple(Read(key, Height(1, 0)) for key in keys)
    return NamespaceSet(CHAINCODE, range_queries=(RangeQuery(start, end, exhausted, reads),))


RANGES = [
    (ranged("a", "d", "a", "b", "c"), VALID),
    (ranged("a", "c", "a", "b"), VALID),
    (ranged("", "", "a", "b", "c", "d"), VALID),
    (ranged("x", "z"), VALID),
    (ranged("a", "d", "a", "c"), PHANTOM),
    (ranged("a", "d", "a", "b"), PHANTOM),
    (ranged("a", "d", "a", "b", "c", "d"), PHANTOM),
    (ranged("a", "d"), PHANTOM),
    (ranged("x", "z", "y"), PHANTOM),
    (ranged("a", "b", "a", "b", exhausted=False), VALID),
    (ranged("a", "b", "a", exhausted=False), PHANTOM),
    (ranged("a", "bb", "a", "b", exhausted=False), VALID),
]


@pytest.mark.parametrize(("part", "expected"), RANGES)
def test_a_range_stands_with_its_exact_results(part: NamespaceSet, expected: ValidationCode) -> None:
    assert conflict(part, state_with(a=b"1", b=b"2", c=b"3", d=b"4")) is expected


def test_a_range_sees_what_earlier_transactions_of_the_block_wrote() -> None:
    state = state_with(a=b"1", c=b"3")
    for key, value in ((b"b", b"new"), (b"a", None), (b"a", b"again")):
        updates = Updates()
        updates.put(Space(CHAINCODE), key, Versioned(value, None, Height(2, 0)))
        assert conflict(ranged("a", "d", "a", "c"), state, updates) is PHANTOM
    updates = Updates()
    updates.put(Space(CHAINCODE), b"a", Versioned(None, None, Height(2, 0)))
    assert conflict(ranged("a", "d", "c"), state, updates) is VALID
    assert conflict(ranged("x", "a", exhausted=False), state, updates) is VALID


def summarized(count: int, degree: int, missing: int | None = None) -> tuple[NamespaceSet, ReplayedState]:
    keys = [f"k{number:04}" for number in range(count)]
    summary = range_summary([Read(key, Height(1, 0)) for key in keys], degree)
    state = state_with(**{key: b"x" for index, key in enumerate(keys) if index != missing})
    query = RangeQuery("k", "l", True, (), summary)
    return NamespaceSet(CHAINCODE, range_queries=(query,)), state


@pytest.mark.parametrize("count", [3, 4, 9, 10, 27, 28, 40, 81, 100])
def test_a_long_range_stands_by_its_summary(count: int) -> None:
    part, state = summarized(count, 2)
    assert conflict(part, state) is VALID
    for missing in (0, count // 2, count - 1):
        assert conflict(part, summarized(count, 2, missing)[1]) is PHANTOM


def test_a_short_range_has_no_summary() -> None:
    assert range_summary([Read("a", None)] * 2, 2) is None
    assert range_summary([Read("a", None)] * 3, 2) is not None


# --- changes ------------------------------------------------------------------------------------


def test_the_changes_of_a_block_have_fabrics_bytes() -> None:
    """Fields and order of Fabric's `Updates` message, written out by hand."""
    updates = Updates()
    put_ = updates.put
    put_(Space("ns2"), b"k", Versioned(b"v", None, Height(1, 0)))
    put_(Space("ns1"), b"b", Versioned(None, None, Height(1, 300)))
    put_(Space("ns1"), b"a", Versioned(b"v", None, Height(1, 2)))
    put_(Space("ns1", "c1"), b"h", Versioned(b"w", None, Height(0, 0)))
    put_(Space(""), b"config", Versioned(b"v", None, Height(1, 0)))
    expected = [
        b"\x0a\x03ns1" + b"\x1a\x01a" + b"\x2a\x01v" + b"\x32\x04\x01\x01\x01\x02",
        b"\x1a\x01b" + b"\x20\x01" + b"\x32\x05\x01\x01\x02\x01\x2c",
        b"\x12\x02c1" + b"\x1a\x01h" + b"\x2a\x01w" + b"\x32\x02\x00\x00",
        b"\x0a\x03ns2" + b"\x1a\x01k" + b"\x2a\x01v" + b"\x32\x03\x01\x01\x00",
    ]
    assert updates.serialize() == b"".join(b"\x0a" + bytes([len(item)]) + item for item in expected)


def test_a_namespace_with_collections_only_names_both_first() -> None:
    updates = Updates()
    updates.put(Space("ns", "c"), b"h", Versioned(b"w", None, Height(0, 0)))
    expected = b"\x0a\x02ns" + b"\x12\x01c" + b"\x1a\x01h" + b"\x2a\x01w" + b"\x32\x02\x00\x00"
    assert updates.serialize() == b"\x0a" + bytes([len(expected)]) + expected


def test_hashed_metadata_follows_the_hashed_key() -> None:
    state, updates = ReplayedState(), Updates()
    inner = CollectionSet(
        "c",
        writes=(HashedWrite(PRIVATE, PRIVATE),),
        metadata_writes=(HashedMetadataWrite(PRIVATE, (("a", b"b"),)),),
    )
    updates.apply((NamespaceSet(CHAINCODE, collections=(inner,)),), Height(1, 0), state)
    found = updates.find(Space(CHAINCODE, "c"), PRIVATE)
    assert found == Versioned(PRIVATE, (("a", b"b"),), Height(1, 0))


def test_private_data_leave_the_state_when_their_time_is_over() -> None:
    short = collection_pb2.StaticCollectionConfig(name="short", block_to_live=2)
    state = state_with(collections=[short])
    expiries = Expiries()
    space = Space(CHAINCODE, "short")
    other = hashlib.sha256(b"other").digest()

    def written(number: int, *keys: bytes) -> None:
        updates = Updates()
        for key in keys:
            updates.put(space, key, Versioned(PRIVATE, None, Height(number, 0)))
        expiries.commit(number, updates, state)

    written(2, PRIVATE, other)
    written(3, other)
    written(4)
    assert state.find(space, PRIVATE) is not None
    written(5)
    assert state.find(space, PRIVATE) is None
    assert state.find(space, other) is not None
    written(6)
    assert state.find(space, other) is None


def test_the_state_can_be_listed_in_key_order() -> None:
    state = state_with(b=b"2", a=b"1", é=b"3")
    assert list(state.public(CHAINCODE).items()) == [("a", b"1"), ("b", b"2"), ("é", b"3")]
    assert state.value(CHAINCODE, "missing") is None
