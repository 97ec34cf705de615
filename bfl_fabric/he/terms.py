"""A task's encryption terms, checked against the parameter set that they name."""

from __future__ import annotations

from dataclasses import dataclass

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.he.parameters import ParameterSet, parameters_named


@dataclass(frozen=True, slots=True)
class CheckedTerms:
    """What the scheme needs of the terms: an upload's values are weight·q with |q| ≤ `levels`.

    Raises:
        ConfigurationError: `of` found terms that no parameter set of this version can carry.
    """

    parameters: ParameterSet
    levels: int
    max_total_weight: int

    @classmethod
    def of(cls, terms: EncryptionTerms) -> CheckedTerms:
        """Check the terms against the parameter set of their digest."""
        parameters = parameters_named(terms.parameters_digest)
        if parameters.scheme != terms.scheme:
            raise ConfigurationError(
                f"parameter set {parameters.name} is of {parameters.scheme}, not {terms.scheme}"
            )
        if not 2 <= terms.value_bits <= parameters.sum_bits:
            raise ConfigurationError(
                f"value_bits is {terms.value_bits}; it must be from 2 to {parameters.sum_bits}"
            )
        levels = 2 ** (terms.value_bits - 1) - 1
        largest = (2**parameters.sum_bits - 1) // levels
        if not 1 <= terms.max_total_weight <= largest:
            raise ConfigurationError(
                f"max_total_weight is {terms.max_total_weight}; with value_bits {terms.value_bits} it must be from 1 "
                f"to {largest}"
            )
        return cls(parameters, levels, terms.max_total_weight)

    @property
    def largest_sum(self) -> int:
        """The largest magnitude of a coordinate of any sum, hence of any upload."""
        return self.levels * self.max_total_weight
