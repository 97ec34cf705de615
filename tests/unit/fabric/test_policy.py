"""Which sets of signers satisfy which policies."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from fabric_protos.common import policies_pb2
from fabric_protos.msp import msp_principal_pb2 as principal_pb2

from bfl_fabric.errors import MalformedInput, NotTrusted
from bfl_fabric.fabric.channel import ENDORSEMENT, LIFECYCLE_ENDORSEMENT, READERS, WRITERS, ChannelConfig
from bfl_fabric.fabric.policy import (
    ImplicitMeta,
    Member,
    NeverSatisfied,
    Role,
    Rule,
    SignaturePolicy,
    identity_principal,
    matches,
    require,
    role_principal,
    signature_policy_message,
)
from bfl_fabric.fabric.wire import write
from tests.unit.fabric.organizations import FOUNDED_MS, federation


@pytest.fixture(scope="module")
def config() -> ChannelConfig:
    return federation().config()


@pytest.fixture(scope="module")
def members(config: ChannelConfig) -> dict[str, Member]:
    """One member per organization and role, named a.peer, b.client, …"""
    found = {}
    for organization in federation().organizations:
        for role in ("peer", "client", "admin"):
            creator = organization.identity(f"{role}0", role).creator
            found[f"{organization.name[0]}.{role}"] = config.member(creator, FOUNDED_MS)
    orderer = federation().consenters[0].creator
    found["o.orderer"] = config.member(orderer, FOUNDED_MS)
    return found


def pick(members: dict[str, Member], names: str) -> list[Member]:
    return [members[name] for name in names.split()]


CHANNEL_TABLE = [
    (ENDORSEMENT, "a.peer b.peer", True),
    (ENDORSEMENT, "a.peer b.peer g.peer", True),
    (ENDORSEMENT, "a.peer", False),
    (ENDORSEMENT, "", False),
    (ENDORSEMENT, "a.peer a.admin", False),
    (ENDORSEMENT, "a.peer b.client", False),
    (ENDORSEMENT, "a.client b.client g.client", False),
    (LIFECYCLE_ENDORSEMENT, "b.peer g.peer", True),
    (LIFECYCLE_ENDORSEMENT, "g.peer", False),
    (WRITERS, "a.client", True),
    (WRITERS, "a.admin", True),
    (WRITERS, "a.peer", False),
    (READERS, "a.peer", True),
    ("/Channel/Readers", "o.orderer", True),
    (READERS, "o.orderer", False),
    ("/Channel/Orderer/BlockValidation", "o.orderer", True),
    ("/Channel/Orderer/BlockValidation", "a.peer b.peer g.peer", False),
    ("/Channel/Application/Admins", "a.admin b.admin", True),
    ("/Channel/Application/Admins", "a.admin", False),
    ("/Channel/Application/alpha/Endorsement", "a.peer", True),
    ("/Channel/Application/alpha/Endorsement", "b.peer", False),
    ("/Channel/Admins", "a.admin b.admin", False),
    ("/Channel/Nothing", "a.admin b.admin g.admin", False),
]


@pytest.mark.parametrize(("path", "names", "expected"), CHANNEL_TABLE)
def test_the_channels_policies(
    config: ChannelConfig, members: dict[str, Member], path: str, names: str, expected: bool
) -> None:
    assert config.satisfies(path, pick(members, names)) is expected


@pytest.mark.parametrize("order", list(itertools.permutations(["a.peer", "b.peer", "g.client"])))
def test_the_order_of_signers_does_not_matter_here(
    config: ChannelConfig, members: dict[str, Member], order: tuple[str, ...]
) -> None:
    assert config.satisfies(ENDORSEMENT, [members[name] for name in order])


def principal(text: str) -> Any:
    organization, role = text.split(".")
    return role_principal(f"{organization}MSP", Role[role.upper()])


def out_of(count: int, *rules: Any) -> Any:
    gate = policies_pb2.SignaturePolicy.NOutOf(n=count, rules=rules)
    return policies_pb2.SignaturePolicy(n_out_of=gate)


def signed_by(index: int) -> Any:
    return policies_pb2.SignaturePolicy(signed_by=index)


SIGNATURE_TABLE = [
    (signed_by(0), ["Alpha.peer"], "a.peer", True),
    (signed_by(0), ["Alpha.peer"], "a.client", False),
    (out_of(1, signed_by(0), signed_by(1)), ["Alpha.peer", "Beta.peer"], "b.peer", True),
    (out_of(2, signed_by(0), signed_by(1)), ["Alpha.peer", "Beta.peer"], "b.peer", False),
    (out_of(2, signed_by(0), signed_by(0)), ["Alpha.member"], "a.peer", False),
    (out_of(2, signed_by(0), signed_by(0)), ["Alpha.member"], "a.peer a.client", True),
    (out_of(0), ["Alpha.peer"], "", True),
    (
        out_of(2, out_of(1, signed_by(0), signed_by(1)), out_of(1, signed_by(2))),
        ["Alpha.peer", "Beta.peer", "Gamma.peer"],
        "b.peer g.peer",
        True,
    ),
    (
        out_of(2, out_of(1, signed_by(0), signed_by(1)), out_of(1, signed_by(2))),
        ["Alpha.peer", "Beta.peer", "Gamma.peer"],
        "a.peer b.peer",
        False,
    ),
    # Fabric's search is greedy: the first rule takes the only peer although a client would do for it.
    (out_of(2, signed_by(0), signed_by(1)), ["Alpha.member", "Alpha.peer"], "a.peer a.client", False),
    (out_of(2, signed_by(0), signed_by(1)), ["Alpha.member", "Alpha.peer"], "a.client a.peer", True),
]


@pytest.mark.parametrize(("rule", "principals", "names", "expected"), SIGNATURE_TABLE)
def test_signature_policies(
    members: dict[str, Member], rule: Any, principals: list[str], names: str, expected: bool
) -> None:
    identities = [principal(item) for item in principals]
    envelope = policies_pb2.SignaturePolicyEnvelope(rule=rule, identities=identities)
    policy = SignaturePolicy.compile(envelope)
    assert policy.satisfied_by(pick(members, names)) is expected


@pytest.mark.parametrize(
    "envelope",
    [
        policies_pb2.SignaturePolicyEnvelope(
            version=1, rule=signed_by(0), identities=[principal("Alpha.peer")]
        ),
        policies_pb2.SignaturePolicyEnvelope(rule=signed_by(1), identities=[principal("Alpha.peer")]),
        policies_pb2.SignaturePolicyEnvelope(rule=signed_by(-1), identities=[principal("Alpha.peer")]),
        policies_pb2.SignaturePolicyEnvelope(identities=[principal("Alpha.peer")]),
    ],
    ids=["version", "index", "negative index", "no rule"],
)
def test_compile_refuses_policies_without_meaning(envelope: Any) -> None:
    with pytest.raises(MalformedInput):
        SignaturePolicy.compile(envelope)


def test_compile_refuses_endless_nesting() -> None:
    rule = signed_by(0)
    for _ in range(40):
        rule = out_of(1, rule)
    with pytest.raises(MalformedInput, match="too deep"):
        SignaturePolicy.compile(
            policies_pb2.SignaturePolicyEnvelope(rule=rule, identities=[principal("Alpha.peer")])
        )


@pytest.mark.parametrize(
    ("rule", "count", "threshold"),
    [
        (Rule.ANY, 3, 1),
        (Rule.ALL, 3, 3),
        (Rule.MAJORITY, 3, 2),
        (Rule.MAJORITY, 4, 3),
        (Rule.MAJORITY, 1, 1),
        (Rule.MAJORITY, 0, 0),
        (Rule.ANY, 0, 0),
        (Rule.ALL, 0, 0),
    ],
)
def test_how_many_sub_policies_a_rule_asks_for(rule: Rule, count: int, threshold: int) -> None:
    assert ImplicitMeta.of(rule, [NeverSatisfied()] * count).threshold == threshold


def test_principals_of_every_kind(members: dict[str, Member]) -> None:
    member = members["a.peer"]
    unit = principal_pb2.OrganizationUnit(msp_identifier="AlphaMSP", organizational_unit_identifier="peer")
    bound = principal_pb2.OrganizationUnit(
        msp_identifier="AlphaMSP", organizational_unit_identifier="peer", certifiers_identifier=b"x"
    )
    both = principal_pb2.CombinedPrincipal(principals=[principal("Alpha.peer"), principal("Alpha.member")])
    neither = principal_pb2.CombinedPrincipal(principals=[principal("Alpha.peer"), principal("Alpha.client")])
    kinds = principal_pb2.MSPPrincipal
    cases = [
        (identity_principal(member.identity.creator), True),
        (identity_principal(members["b.peer"].identity.creator), False),
        (identity_principal(b"nonsense"), False),
        (kinds(principal_classification=kinds.ORGANIZATION_UNIT, principal=write(unit)), True),
        (kinds(principal_classification=kinds.ORGANIZATION_UNIT, principal=write(bound)), False),
        (kinds(principal_classification=kinds.COMBINED, principal=write(both)), True),
        (kinds(principal_classification=kinds.COMBINED, principal=write(neither)), False),
        (kinds(principal_classification=kinds.COMBINED, principal=b""), False),
        (kinds(principal_classification=kinds.ANONYMITY, principal=b""), False),
        (kinds(principal_classification=kinds.ROLE, principal=b"\xff"), False),
    ]
    for item, expected in cases:
        assert matches(member, item) is expected, item


def test_require_names_the_signers_that_are_not_enough(
    config: ChannelConfig, members: dict[str, Member]
) -> None:
    with pytest.raises(NotTrusted, match="block 7: the policy is not satisfied by \\[AlphaMSP/peer0\\]"):
        require(config.policy(ENDORSEMENT), pick(members, "a.peer"), "block 7")
    require(config.policy(ENDORSEMENT), pick(members, "a.peer b.peer"), "block 7")


def test_application_policies_are_signatures_or_references(
    config: ChannelConfig, members: dict[str, Member]
) -> None:
    from fabric_protos.peer import policy_pb2

    signature = policy_pb2.ApplicationPolicy(
        signature_policy=signature_policy_message(1, [principal("Alpha.peer")])
    )
    reference = policy_pb2.ApplicationPolicy(channel_config_policy_reference="Application/Endorsement")
    assert config.application_verdict(write(signature), pick(members, "a.peer"))
    assert not config.application_verdict(write(reference), pick(members, "a.peer"))
    assert config.application_verdict(write(reference), pick(members, "a.peer b.peer"))
    with pytest.raises(MalformedInput):
        config.application_verdict(b"", [])
