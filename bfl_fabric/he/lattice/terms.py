"""A task's encryption terms, checked against the lattice parameter set that they name.

Decides that no sum of the task can wrap around: levels times the largest total weight is at most what a value of the
set can carry. Which set is best for a task is `parameters.smallest_set`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.errors import ConfigurationError, MalformedInput
from bfl_fabric.he.lattice.parameters import LatticeParameters, parameters_named


@dataclass(frozen=True, slots=True)
class LatticeTerms:
    """What a lattice scheme needs of the terms: an upload's values are weight·q with |q| ≤ `levels`."""

    parameters: LatticeParameters
    levels: int
    max_total_weight: int

    @classmethod
    def of(cls, terms: EncryptionTerms) -> LatticeTerms:
        """Check the terms against the set of their digest. Raises ConfigurationError when it cannot carry them."""
        parameters = parameters_named(terms.parameters_digest)
        if parameters.scheme != terms.scheme:
            raise ConfigurationError(
                f"parameter set {parameters.name} is of {parameters.scheme}, not {terms.scheme}"
            )
        if not 2 <= terms.value_bits <= parameters.largest_sum.bit_length():
            raise ConfigurationError(
                f"value_bits is {terms.value_bits}; with parameter set {parameters.name} it must be from 2 to "
                f"{parameters.largest_sum.bit_length()}"
            )
        levels = levels_of(terms.value_bits)
        largest = parameters.largest_sum // levels
        if not 1 <= terms.max_total_weight <= largest:
            raise ConfigurationError(
                f"max_total_weight is {terms.max_total_weight}; with value_bits {terms.value_bits} and parameter set "
                f"{parameters.name} it must be from 1 to {largest}"
            )
        return cls(parameters, levels, terms.max_total_weight)

    @property
    def largest_sum(self) -> int:
        """The largest magnitude of a coordinate of any sum, hence of any upload."""
        return self.levels * self.max_total_weight

    def require_weight(self, weight: int) -> None:
        """Raises MalformedInput for a weight that the task does not allow."""
        if not 1 <= weight <= self.max_total_weight:
            raise MalformedInput(f"the weight {weight} is not from 1 to {self.max_total_weight}")

    def require_values(self, weight: int, values: NDArray[np.int64]) -> None:
        """Raises MalformedInput unless `values` may be an update of this weight, int64[parameter_count]."""
        if values.dtype != np.int64 or values.ndim != 1 or values.size == 0:
            raise MalformedInput(
                f"the values are {values.dtype} of shape {values.shape}, not an int64 vector"
            )
        self.require_weight(weight)
        bound = weight * self.levels
        if values.max() > bound or values.min() < -bound:
            raise MalformedInput(
                f"a value is beyond ±{bound}, the largest for weight {weight} on this task's grid"
            )


def levels_of(value_bits: int) -> int:
    """Return the largest q on a grid of that many bits, sign included."""
    return int(2 ** (value_bits - 1) - 1)
