"""Policies: which sets of signers are enough.

Decides whether validated members satisfy a signature policy or an implicit meta policy, by Fabric's own rules: the
search is greedy, each signer counts once per policy, a missing sub-policy is never satisfied. Who is a member, and
whether the signatures are good, is left to `bfl_fabric.fabric.membership` and the callers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from fabric_protos.common import policies_pb2
from fabric_protos.msp import msp_principal_pb2 as principal_pb2

from bfl_fabric.errors import MalformedInput, NotTrusted
from bfl_fabric.fabric.identity import Identity
from bfl_fabric.fabric.wire import read, write

_MAX_DEPTH = 32


class Role(IntEnum):
    """What a certificate of an organization is for (`common.MSPRole`)."""

    MEMBER = 0
    ADMIN = 1
    CLIENT = 2
    PEER = 3
    ORDERER = 4


class Rule(IntEnum):
    """How many sub-policies an implicit meta policy asks for."""

    ANY = 0
    ALL = 1
    MAJORITY = 2


@dataclass(frozen=True, slots=True)
class Member:
    """An identity that an organization of the channel vouches for, and the roles that it has there."""

    identity: Identity
    roles: frozenset[Role]
    not_before_ms: int
    not_after_ms: int

    @property
    def msp_id(self) -> str:
        return self.identity.msp_id

    @property
    def certificate_der(self) -> bytes:
        return self.identity.certificate_der

    def is_valid_at(self, at_ms: int) -> bool:
        """Say whether the certificate is valid at a moment."""
        return self.not_before_ms <= at_ms <= self.not_after_ms


class Policy(Protocol):
    """Says whether these signers, each given once, are enough."""

    @property
    def is_monotone(self) -> bool:
        """Whether signers that are enough stay enough when others are put anywhere between them (ADR 15)."""

    def satisfied_by(self, members: Sequence[Member]) -> bool: ...


@dataclass(frozen=True, slots=True)
class NeverSatisfied:
    """What stands where a policy is missing."""

    @property
    def is_monotone(self) -> bool:
        return True

    def satisfied_by(self, members: Sequence[Member]) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class ImplicitMeta:
    """At least `threshold` of the policies of the same name one level below."""

    threshold: int
    policies: tuple[Policy, ...]

    @classmethod
    def of(cls, rule: Rule, policies: Sequence[Policy]) -> ImplicitMeta:
        """Return the policy of a rule; without sub-policies it is always satisfied, as in Fabric."""
        count = len(policies)
        threshold = {Rule.ANY: 1, Rule.ALL: count, Rule.MAJORITY: count // 2 + 1}[rule] if count else 0
        return cls(threshold, tuple(policies))

    @property
    def is_monotone(self) -> bool:
        return all(policy.is_monotone for policy in self.policies)

    def satisfied_by(self, members: Sequence[Member]) -> bool:
        satisfied = 0
        for policy in self.policies:
            if satisfied >= self.threshold:
                break
            satisfied += policy.satisfied_by(members)
        return satisfied >= self.threshold


@dataclass(frozen=True, slots=True)
class SignedBy:
    """A leaf: one signer that matches this principal."""

    principal: Any

    def take(self, members: Sequence[Member], used: list[bool]) -> bool:
        for index, member in enumerate(members):
            if not used[index] and matches(member, self.principal):
                used[index] = True
                return True
        return False


@dataclass(frozen=True, slots=True)
class OutOf:
    """An inner node: at least `count` of the rules, each with signers of its own."""

    count: int
    rules: tuple[OutOf | SignedBy, ...]

    def take(self, members: Sequence[Member], used: list[bool]) -> bool:
        satisfied = 0
        for rule in self.rules:
            trial = used.copy()
            if rule.take(members, trial):
                satisfied += 1
                used[:] = trial
        return satisfied >= self.count


@dataclass(frozen=True, slots=True)
class SignaturePolicy:
    """A compiled `common.SignaturePolicyEnvelope`."""

    rule: OutOf | SignedBy

    @classmethod
    def compile(cls, envelope: Any) -> SignaturePolicy:
        """Raises MalformedInput."""
        if envelope.version != 0:
            raise MalformedInput(f"signature policy: version {envelope.version} is unknown")
        return cls(_compile(envelope.rule, envelope.identities, 0))

    @property
    def is_monotone(self) -> bool:
        """Greed is harmless among leaves; a nested rule that one more signer satisfies may take away another's."""
        return isinstance(self.rule, SignedBy) or all(isinstance(one, SignedBy) for one in self.rule.rules)

    def satisfied_by(self, members: Sequence[Member]) -> bool:
        return self.rule.take(members, [False] * len(members))


def matches(member: Member, principal: Any) -> bool:
    """Say whether a member is what an `common.MSPPrincipal` describes.

    Principals that are bound to a certification path, and kinds that this version does not know, match nobody.
    """
    kind = principal.principal_classification
    try:
        return _MATCHERS[kind](member, principal.principal) if kind in _MATCHERS else False
    except MalformedInput:
        return False


def require(policy: Policy, members: Sequence[Member], what: str) -> None:
    """Raise NotTrusted, naming `what`, when these signers are not enough."""
    if not policy.satisfied_by(members):
        signers = ", ".join(f"{member.msp_id}/{member.identity.common_name}" for member in members)
        raise NotTrusted(f"{what}: the policy is not satisfied by [{signers}]")


# --- messages -----------------------------------------------------------------------------------


def role_principal(msp_id: str, role: Role) -> Any:
    """Return the principal for a role in an organization."""
    content = write(principal_pb2.MSPRole(msp_identifier=msp_id, role=int(role)))
    return principal_pb2.MSPPrincipal(
        principal_classification=principal_pb2.MSPPrincipal.ROLE, principal=content
    )


def identity_principal(creator: bytes) -> Any:
    """Return the principal for exactly one serialized identity."""
    return principal_pb2.MSPPrincipal(
        principal_classification=principal_pb2.MSPPrincipal.IDENTITY, principal=creator
    )


def signature_policy_message(count: int, principals: Sequence[Any]) -> Any:
    """Return the `common.SignaturePolicyEnvelope` for `count` of these principals."""
    rules = [policies_pb2.SignaturePolicy(signed_by=index) for index in range(len(principals))]
    gate = policies_pb2.SignaturePolicy.NOutOf(n=count, rules=rules)
    return policies_pb2.SignaturePolicyEnvelope(
        version=0, rule=policies_pb2.SignaturePolicy(n_out_of=gate), identities=principals
    )


def implicit_meta_message(rule: Rule, sub_policy: str) -> Any:
    """Return the `common.ImplicitMetaPolicy` for a rule over the policies of this name."""
    return policies_pb2.ImplicitMetaPolicy(sub_policy=sub_policy, rule=int(rule))


# --- details ------------------------------------------------------------------------------------


def _compile(rule: Any, identities: Any, depth: int) -> OutOf | SignedBy:
    kind = rule.WhichOneof("Type")
    if depth > _MAX_DEPTH:
        raise MalformedInput("signature policy: nested too deep")
    if kind == "n_out_of":
        rules = tuple(_compile(item, identities, depth + 1) for item in rule.n_out_of.rules)
        return OutOf(rule.n_out_of.n, rules)
    if kind == "signed_by":
        if not 0 <= rule.signed_by < len(identities):
            raise MalformedInput(f"signature policy: there is no identity {rule.signed_by}")
        return SignedBy(identities[rule.signed_by])
    raise MalformedInput("signature policy: an empty rule")


def _matches_role(member: Member, content: bytes) -> bool:
    role = read(principal_pb2.MSPRole, content, "role principal")
    return bool(role.msp_identifier == member.msp_id and role.role in member.roles)


def _matches_unit(member: Member, content: bytes) -> bool:
    unit = read(principal_pb2.OrganizationUnit, content, "unit principal")
    return bool(
        unit.msp_identifier == member.msp_id
        and not unit.certifiers_identifier
        and unit.organizational_unit_identifier in member.identity.organizational_units
    )


def _matches_identity(member: Member, content: bytes) -> bool:
    other = Identity.parse(content)
    return other.msp_id == member.msp_id and other.certificate == member.identity.certificate


def _matches_combined(member: Member, content: bytes) -> bool:
    parts = read(principal_pb2.CombinedPrincipal, content, "combined principal").principals
    return bool(parts) and all(matches(member, part) for part in parts)


_MATCHERS = {
    principal_pb2.MSPPrincipal.ROLE: _matches_role,
    principal_pb2.MSPPrincipal.ORGANIZATION_UNIT: _matches_unit,
    principal_pb2.MSPPrincipal.IDENTITY: _matches_identity,
    principal_pb2.MSPPrincipal.COMBINED: _matches_combined,
}
