"""One profile for each data set: everything that a demo or a first task needs to know to learn well.

Chosen by simulating whole runs with quantized sums, on seeds 1 to 20 (breast cancer) and 1 to 10 (digits). On seeds
that had no part in the choice, federated against centralized accuracy in points:
breast cancer, seeds 21 to 40: +0.38 on average, at worst −1.74, within one point below in 16 of 20;
digits, seeds 11 to 20: −0.75 on average, at worst −1.76, within one point below in 6 of 10.
The held-out sets are small (one sample of breast cancer is 0.58 points), and every run was above the mean of its
silos alone. Tests hold seeds 1 to 5 (breast cancer) and 1 (digits) to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bfl_chaincode.api.records import TrainingTerms
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.training.schemas import DataSchema, schema
from bfl_fabric.training.splits import dirichlet_split, hold_out
from bfl_fabric.training.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A data set with an architecture of `models` and defaults that suit both.

    Decimals that reach the ledger are strings. `alpha` is the Dirichlet concentration of the split by label.
    `max_total_weight` is little more than the data set has samples: the less a sum must carry, the smaller are the
    uploads of large models (docs/guide/choosing-a-scheme.md).
    """

    data: str
    title: str
    purpose: str
    architecture: str
    participants: int
    rounds: int
    learning_rate: str
    momentum: str
    batch_size: int
    local_epochs: int
    clip: str
    value_bits: int = 16
    max_total_weight: int
    alpha: float
    minimum_samples: int
    hold_out_percent: int
    seed: int = 1

    @property
    def schema(self) -> DataSchema:
        return schema(self.data)

    def training(self, seed: int | None = None) -> TrainingTerms:
        """Return the terms for a task's spec; `seed` replaces the profile's own."""
        return TrainingTerms(
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            batch_size=self.batch_size,
            local_epochs=self.local_epochs,
            seed=self.seed if seed is None else seed,
        )

    def divide(self, table: Table, silos: int, seed: int | None = None) -> tuple[list[Table], Table]:
        """Return (the silos' shares, the held-out set) of the whole data set, as a function of the seed."""
        chosen = self.seed if seed is None else seed
        rest, held_out = hold_out(table, self.hold_out_percent, chosen)
        return dirichlet_split(rest, silos, self.alpha, self.minimum_samples, chosen), held_out


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "breast-cancer": Profile(
            data="breast-cancer",
            title="Breast cancer diagnosis",
            purpose="medical research",
            architecture="breast-cancer-mlp",
            participants=6,
            rounds=10,
            learning_rate="0.05",
            momentum="0.9",
            batch_size=32,
            local_epochs=2,
            clip="1",
            max_total_weight=1_024,
            alpha=0.5,
            minimum_samples=16,
            hold_out_percent=30,
        ),
        "digits": Profile(
            data="digits",
            title="Handwritten digits",
            purpose="research",
            architecture="digits-mlp",
            participants=12,
            rounds=30,
            learning_rate="0.1",
            momentum="0.7",
            batch_size=16,
            local_epochs=4,
            clip="2",
            max_total_weight=2_048,
            alpha=0.5,
            minimum_samples=32,
            hold_out_percent=25,
        ),
    }
)


def profile(name: str) -> Profile:
    """Return the profile of a data set. Raises ConfigurationError."""
    if name not in PROFILES:
        raise ConfigurationError(f"unknown data {name!r}; known are {', '.join(sorted(PROFILES))}")
    return PROFILES[name]
