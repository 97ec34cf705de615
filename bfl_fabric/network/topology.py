"""The topology: which organizations there are, what each runs, which silos each has.

One model for everything that is made of it: key material, genesis block, node settings. A topology is a TOML file;
`generated` makes one from two numbers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from bfl_chaincode.api.records import NodeRole
from bfl_fabric import config
from bfl_fabric.errors import ConfigurationError

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
    """Which organization coordinates, which aggregates, which holds the key; the last two always differ."""

    coordinator: MspId
    aggregator: MspId
    key_holder: MspId


class OrderingPlan(config.Settings):
    """How the ledger cuts blocks."""

    block_seconds: float = Field(default=0.05, gt=0, le=10)
    block_transactions: int = Field(default=200, ge=1, le=10_000)


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

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        msp_ids = [item.msp_id for item in self.organizations]
        names = [name for item in self.organizations for name in item.participants]
        slugs = [item.slug for item in self.organizations]
        for what, values in (("msp_id", msp_ids), ("participant", names), ("slug", slugs)):
            doubles = sorted({value for value in values if values.count(value) > 1})
            if doubles:
                raise ValueError(f"the {what} {doubles[0]!r} stands twice")
        unknown = {self.roles.coordinator, self.roles.aggregator, self.roles.key_holder} - set(msp_ids)
        if unknown:
            raise ValueError(f"roles name {sorted(unknown)[0]!r}, which is no organization here")
        if self.roles.aggregator == self.roles.key_holder:
            raise ValueError(
                "the aggregator must not be the key holder: together they could open single updates"
            )
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
            "",
            "[roles]",
            *(f"{field} = {_quoted(value)}" for field, value in self.roles.model_dump().items()),
            "",
            "[ordering]",
            *(f"{field} = {value}" for field, value in self.ordering.model_dump().items()),
        ]
        for item in self.organizations:
            lines += ["", "[[organizations]]"]
            lines += [
                f"{field} = {_quoted(getattr(item, field))}" for field in ("slug", "msp_id", "name", "region")
            ]
            lines.append(f"participants = [{', '.join(map(_quoted, item.participants))}]")
        return "\n".join(lines) + "\n"

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
        if msp_id == self.roles.key_holder:
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


def generated(organizations: int, participants: int) -> Topology:
    """Return a topology of hospitals: `participants` silos in all, dealt out evenly.

    The first organization coordinates, the second aggregates, the third (of two: the first) holds the key.
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
    roles = RolePlan(coordinator=plans[0].msp_id, aggregator=plans[1].msp_id, key_holder=key_holder)
    return Topology(
        federation_id="northern-hospitals",
        name="Northern Hospitals Research Federation",
        organizations=tuple(plans),
        roles=roles,
    )


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


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
