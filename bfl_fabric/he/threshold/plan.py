"""What all members of a key epoch agree on before anything is drawn, and what follows from it for everybody.

Decides the public polynomial a: it follows from the plan, so that nobody can choose it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bfl_chaincode.api import canonical
from bfl_chaincode.api.canonical import Json
from bfl_fabric.domain.ports import CeremonyPlan
from bfl_fabric.errors import ConfigurationError, MalformedInput
from bfl_fabric.he.lattice.expansion import uniform_polynomial
from bfl_fabric.he.lattice.parameters import LatticeParameters, parameters_named
from bfl_fabric.he.lattice.ring import Residues

LEAST_THRESHOLD = 2


@dataclass(frozen=True)
class KeyPlan:
    """A checked plan of one key epoch: `members` ascending, any `threshold` of them open.

    Raises:
        ConfigurationError: the members or the threshold cannot be.
    """

    parameters: LatticeParameters
    task_id: str
    epoch: int
    members: tuple[str, ...]
    threshold: int

    def __post_init__(self) -> None:
        if self.members != tuple(sorted(set(self.members))) or "" in self.members:
            raise ConfigurationError("the members of a key are not in ascending order, or one stands twice")
        if len(self.members) > self.parameters.max_holders:
            raise ConfigurationError(
                f"{len(self.members)} members are more than the {self.parameters.max_holders} of "
                f"parameter set {self.parameters.name}"
            )
        if not LEAST_THRESHOLD <= self.threshold <= len(self.members):
            raise ConfigurationError(
                f"the threshold {self.threshold} is not from {LEAST_THRESHOLD} to {len(self.members)}"
            )

    @classmethod
    def of(cls, parameters: LatticeParameters, plan: CeremonyPlan) -> KeyPlan:
        """Check a ceremony's plan. Raises ConfigurationError, also when `me` is no member."""
        if plan.me not in plan.members:
            raise ConfigurationError(f"{plan.me} is no member of the ceremony for epoch {plan.epoch}")
        return cls(parameters, plan.task_id, plan.epoch, plan.members, plan.threshold)

    @classmethod
    def read(cls, fields: Json) -> KeyPlan:
        """Read what `fields` gives. Raises MalformedInput, ConfigurationError."""
        match fields:
            case {
                "parameters_digest": str(digest),
                "task_id": str(task),
                "epoch": int(epoch),
                "members": list(names),
                "threshold": int(threshold),
            } if all(isinstance(name, str) for name in names):
                members = tuple(str(name) for name in names)
                return cls(parameters_named(digest), task, epoch, members, threshold)
        raise MalformedInput("a key plan without its fields")

    @property
    def fields(self) -> dict[str, Json]:
        """The plan as a JSON object."""
        return {
            "parameters_digest": self.parameters.digest,
            "task_id": self.task_id,
            "epoch": self.epoch,
            "members": list(self.members),
            "threshold": self.threshold,
        }

    @cached_property
    def public_seed(self) -> bytes:
        """32 bytes that name the plan, and from which its public polynomials are drawn."""
        return bytes.fromhex(canonical.digest({"purpose": "bfl-fabric joint key v1", **self.fields}))

    @cached_property
    def public_polynomial(self) -> Residues:
        """The polynomial a, uint64[L, N], transformed."""
        return uniform_polynomial(self.parameters.ring, self.public_seed, 0)

    @cached_property
    def check_polynomials(self) -> list[Residues]:
        """The polynomials a′^(k), one for each secret, which make commitments to shares binding (`commitments`)."""
        numbers = range(1, self.parameters.polynomials_per_mask + 1)
        return [uniform_polynomial(self.parameters.ring, self.public_seed, number) for number in numbers]

    def point(self, member: str) -> int:
        """Return the number at which this member's share is taken, from 1."""
        return self.members.index(member) + 1

    def interpolation(self, active: Sequence[str], member: str) -> Residues:
        """Return the Lagrange coefficient at 0 of a member of the active set, uint64[L, 1], one for each prime."""
        mine, others = self.point(member), [self.point(other) for other in active if other != member]
        column = []
        for prime in self.parameters.primes:
            product = 1
            for other in others:
                product = product * other * pow(other - mine, -1, prime) % prime
            column.append([product])
        return np.array(column, dtype=np.uint64)
