"""The topology: which organizations there are, what each runs, which silos each has.

One model for everything that is made of it: key material, genesis block, node settings. A topology is a TOML file;
`generated` makes one from two numbers.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import Field, model_validator

from bfl_chaincode.api.records import THRESHOLD_SCHEME, NodeRole
from bfl_fabric import config
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric.trust import Consensus

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
MspId = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9.-]{0,63}$")]

APPLICATION = "application"
AUDITOR = "auditor"

_ORGANIZATIONS = (
    ("st-anna", "StAnna", "St. Anna University Hospital", "eu-central"),
    ("nordhaven", "Nordhaven", "Nordhaven Clinics", "eu-north"),
    ("meridian", "Meridian", "Meridian Medical Center", "eu-west"),
    ("lakeside", "Lakeside", "Lakeside General Hospital", "eu-central"),
    ("santa-lucia", "SantaLucia", "Policlinico Santa Lucia", "eu-south"),
    ("elbtor", "Elbtor", "Klinikum Elbtor", "eu-central"),
    ("arden", "Arden", "Arden Royal Infirmary", "uk"),
    ("vasa", "Vasa", "Vasa Cancer Institute", "eu-north"),
)
_DEPARTMENTS = (
    "oncology",
    "radiology",
    "pathology",
    "gynaecology",
    "surgery",
    "screening",
    "genetics",
    "outpatients",
)


class OrganizationPlan(config.Settings):
    """A member organization. `slug` is part of the names of its nodes."""

    slug: Slug
    msp_id: MspId
    name: str = Field(min_length=1, max_length=120)
    region: str = Field(min_length=1, max_length=60)
    participants: tuple[Slug, ...] = ()


class RolePlan(config.Settings):
    """Which organization coordinates, which aggregates, which holds the key; the last two always differ.

    `key_members` are the organizations that can hold shares of a joint key, of which `threshold` open a sum; each runs
    a key holder's node. There are none where every task has a single key.
    """

    coordinator: MspId
    aggregator: MspId
    key_holder: MspId
    key_members: tuple[MspId, ...] = ()
    threshold: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _shared(self) -> Self:
        if not self.key_members and not self.threshold:
            return self
        if self.key_members != tuple(sorted(set(self.key_members))):
            raise ValueError("roles.key_members are not in ascending order, or one stands twice")
        if not 2 <= self.threshold <= len(self.key_members):
            raise ValueError(
                f"roles.threshold is {self.threshold}; of {len(self.key_members)} key members at least 2 must open"
            )
        return self


class LedgerKind(StrEnum):
    """Which ledger the contract runs on."""

    EMBEDDED = "embedded"
    FABRIC = "fabric"


class Agreement(StrEnum):
    """How orderers agree: `raft` survives crashes of a minority, `bft` also lies of less than a third."""

    RAFT = "raft"
    BFT = "bft"


_CONSENSUS = {Agreement.RAFT: Consensus.RAFT, Agreement.BFT: Consensus.BFT}
_ORDERERS = {Agreement.RAFT: 1, Agreement.BFT: 4}


class OrderingPlan(config.Settings):
    """How the ledger cuts blocks, and, on Fabric, how many orderers agree on them and in which way."""

    block_seconds: float = Field(default=0.05, gt=0, le=10)
    block_transactions: int = Field(default=200, ge=1, le=10_000)
    consensus: Agreement = Agreement.RAFT
    orderers: int | None = Field(default=None, ge=1, le=10)

    @property
    def orderer_count(self) -> int:
        """One for Raft and four for BFT, unless the plan says otherwise."""
        return _ORDERERS[self.consensus] if self.orderers is None else self.orderers

    @property
    def fabric_consensus(self) -> Consensus:
        return _CONSENSUS[self.consensus]


class CollectionPlan(config.Settings):
    """A private data collection: which organizations hold its values, and for how many blocks (0: for good)."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
    organizations: tuple[MspId, ...] = Field(min_length=1)
    block_to_live: int = Field(default=0, ge=0)


class Topology(config.Settings):
    """A federation as it is to be built."""

    federation_id: Slug
    name: str = Field(min_length=1, max_length=120)
    channel: Slug = "bfl"
    chaincode: Slug = "bfl"
    validity_days: int = Field(default=825, ge=1, le=3650)
    organizations: tuple[OrganizationPlan, ...] = Field(min_length=2, max_length=64)
    roles: RolePlan
    ordering: OrderingPlan = OrderingPlan()
    ledger: LedgerKind = LedgerKind.EMBEDDED
    collections: tuple[CollectionPlan, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        msp_ids = [item.msp_id for item in self.organizations]
        names = [name for item in self.organizations for name in item.participants]
        slugs = [item.slug for item in self.organizations]
        kept = [item.name for item in self.collections]
        for what, values in (
            ("msp_id", msp_ids),
            ("participant", names),
            ("slug", slugs),
            ("collection", kept),
        ):
            doubles = sorted({value for value in values if values.count(value) > 1})
            if doubles:
                raise ValueError(f"the {what} {doubles[0]!r} stands twice")
        named = {
            self.roles.coordinator,
            self.roles.aggregator,
            self.roles.key_holder,
            *self.roles.key_members,
        }
        unknown = named - set(msp_ids)
        if unknown:
            raise ValueError(f"roles name {sorted(unknown)[0]!r}, which is no organization here")
        if self.roles.aggregator == self.roles.key_holder:
            raise ValueError(
                "the aggregator must not be the key holder: together they could open single updates"
            )
        for item in self.collections:
            strangers = sorted(set(item.organizations) - set(msp_ids))
            if strangers:
                raise ValueError(
                    f"collection {item.name!r} names {strangers[0]!r}, which is no organization here"
                )
        if self.ordering.consensus is Agreement.BFT and self.ordering.orderer_count < 4:
            raise ValueError("BFT needs at least four orderers: with fewer it survives no faulty one")
        return self

    @classmethod
    def load(cls, path: Path) -> Topology:
        """Read a topology file. Raises ConfigurationError naming file, key and reason."""
        return config.load(cls, path)

    def dump(self) -> str:
        """Return the topology as TOML text that `load` reads back."""
        lines = [
            f"federation_id = {_quoted(self.federation_id)}",
            f"name = {_quoted(self.name)}",
            f"channel = {_quoted(self.channel)}",
            f"chaincode = {_quoted(self.chaincode)}",
            f"validity_days = {self.validity_days}",
            f"ledger = {_quoted(self.ledger)}",
            "",
            "[roles]",
            *(f"{field} = {_value(value)}" for field, value in self.roles.model_dump().items() if value),
            "",
            "[ordering]",
            *(
                f"{field} = {_value(value)}"
                for field, value in self.ordering.model_dump().items()
                if value is not None
            ),
        ]
        for kept in self.collections:
            lines += ["", "[[collections]]"]
            lines += [f"{field} = {_value(value)}" for field, value in kept.model_dump().items()]
        for item in self.organizations:
            lines += ["", "[[organizations]]"]
            lines += [
                f"{field} = {_quoted(getattr(item, field))}" for field in ("slug", "msp_id", "name", "region")
            ]
            lines.append(f"participants = [{', '.join(map(_quoted, item.participants))}]")
        return "\n".join(lines) + "\n"

    def on(self, ledger: str, consensus: str | None = None) -> Topology:
        """Return the same federation on another ledger. Raises ConfigurationError for a word that is unknown."""
        ordering = self.ordering.model_dump()
        if consensus is not None:
            ordering |= {"consensus": _word(Agreement, "consensus", consensus), "orderers": None}
        kind = _word(LedgerKind, "ledger", ledger)
        return self.model_copy(update={"ledger": kind, "ordering": OrderingPlan.model_validate(ordering)})

    @property
    def ledger_name(self) -> str:
        """What people call this federation's ledger."""
        if self.ledger is LedgerKind.EMBEDDED:
            return "embedded"
        name = {Agreement.RAFT: "Raft", Agreement.BFT: "BFT"}[self.ordering.consensus]
        return f"Hyperledger Fabric, {name}"

    def nodes(self, organization: OrganizationPlan) -> dict[str, NodeRole]:
        """Return the service nodes of an organization by node id."""
        found: dict[str, NodeRole] = {}
        msp_id = organization.msp_id
        if msp_id == self.roles.coordinator:
            found[f"coordinator-{organization.slug}"] = NodeRole.COORDINATOR
        if msp_id == self.roles.aggregator:
            found[f"aggregator-{organization.slug}"] = NodeRole.AGGREGATOR
        else:
            found[f"verifier-{organization.slug}"] = NodeRole.VERIFIER
        if msp_id in (self.roles.key_holder, *self.roles.key_members):
            found[f"key-holder-{organization.slug}"] = NodeRole.KEY_HOLDER
        return found

    def clients(self, organization: OrganizationPlan) -> dict[str, NodeRole | None]:
        """Return the identities of people and applications of an organization, with the role each may act in."""
        found: dict[str, NodeRole | None] = {admin_name(organization): None}
        if organization.msp_id == self.roles.coordinator:
            found[APPLICATION] = NodeRole.COORDINATOR
        if organization is self.organizations[0]:
            found[AUDITOR] = NodeRole.AUDITOR
        return found


def admin_name(organization: OrganizationPlan) -> str:
    """Return the name of an organization's administrator."""
    return f"admin-{organization.slug}"


def generated(organizations: int, participants: int, scheme: str = "ckks") -> Topology:
    """Return a topology of hospitals: `participants` silos in all, dealt out evenly.

    The first organization coordinates, the second aggregates, the third (of two: the first) holds the key. With the
    scheme `threshold` all of them can hold shares of a joint key, of which a majority opens.
    """
    if organizations < 2:
        raise ConfigurationError(
            "a federation needs at least two organizations: who aggregates must not hold the key"
        )
    if participants < organizations:
        raise ConfigurationError(f"{organizations} organizations need at least as many participants")
    plans = []
    for index in range(organizations):
        slug, msp_id, name, region = _organization(index)
        count = participants // organizations + (1 if index < participants % organizations else 0)
        silos = tuple(f"{slug}-{_department(number)}" for number in range(count))
        plans.append(OrganizationPlan(slug=slug, msp_id=msp_id, name=name, region=region, participants=silos))
    key_holder = plans[2 if organizations > 2 else 0].msp_id
    members = tuple(sorted(item.msp_id for item in plans)) if scheme == THRESHOLD_SCHEME else ()
    roles = RolePlan(
        coordinator=plans[0].msp_id,
        aggregator=plans[1].msp_id,
        key_holder=key_holder,
        key_members=members,
        threshold=len(members) // 2 + 1 if members else 0,
    )
    return Topology(
        federation_id="northern-hospitals",
        name="Northern Hospitals Research Federation",
        organizations=tuple(plans),
        roles=roles,
    )


def sample() -> Topology:
    """Return the topology of network/topologies/three-org.toml: three hospitals with two silos each."""
    return generated(3, 6)


def _organization(index: int) -> tuple[str, str, str, str]:
    slug, msp_id, name, region = _ORGANIZATIONS[index % len(_ORGANIZATIONS)]
    lap = index // len(_ORGANIZATIONS)
    return (
        (slug, msp_id, name, region)
        if lap == 0
        else (f"{slug}-{lap + 1}", f"{msp_id}{lap + 1}", f"{name} {lap + 1}", region)
    )


def _department(number: int) -> str:
    name = _DEPARTMENTS[number % len(_DEPARTMENTS)]
    lap = number // len(_DEPARTMENTS)
    return name if lap == 0 else f"{name}-{lap + 1}"


E = TypeVar("E", bound=StrEnum)


def _word(kind: type[E], what: str, text: str) -> E:
    try:
        return kind(text)
    except ValueError as error:
        known = " or ".join(item.value for item in kind)
        raise ConfigurationError(f"{what} {text!r} is unknown; it is {known}") from error


def _value(value: object) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return str(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
