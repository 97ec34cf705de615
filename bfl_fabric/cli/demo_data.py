"""The demonstration's data: split unlike over the silos, handed to each as a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table as Shown

from bfl_chaincode.api.records import Metrics, ModelTerms, TaskSpec
from bfl_fabric.audit.summary import DataSummary
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.network import directory as directories
from bfl_fabric.network.topology import Topology
from bfl_fabric.training.profiles import PROFILES, Profile
from bfl_fabric.training.splits import ShareSummary, summaries
from bfl_fabric.training.tables import Table, save_table

if TYPE_CHECKING:
    from bfl_fabric.cli.demo import DemoChoice
    from bfl_fabric.training.baselines import Baselines


@dataclass(frozen=True, slots=True)
class DemoData:
    """A data set divided over named silos, with the model that is trained on it."""

    profile: Profile
    rounds: int
    shares: Mapping[str, Table]
    held_out: Table

    def describe(self, seed: int) -> tuple[ModelTerms, bytes]:
        """Return the model's terms and its initial parameters; loads torch."""
        from bfl_fabric.training.describe import describe
        from bfl_fabric.training.models import architecture

        return describe(self.profile.architecture, architecture(self.profile.architecture), seed)

    def summaries(self) -> list[ShareSummary]:
        """Return how many samples of each class each silo has."""
        return summaries(list(self.shares), list(self.shares.values()), len(self.profile.schema.classes))

    def summary(self) -> DataSummary:
        """Return the data set's part of the run's summary."""
        least = f"each silo at least {self.profile.minimum_samples}"
        split = f"Dirichlet split by label, alpha {self.profile.alpha}, {least}"
        return DataSummary(self.profile.data, split, self.profile.schema.classes, self.held_out.samples)

    def share_table(self) -> Shown:
        """Return the split as a table for people."""
        title = f"Unlike shares: Dirichlet, alpha {self.profile.alpha}"
        caption = f"{self.held_out.samples} samples are held out"
        table = Shown(
            title=title, caption=caption, title_justify="left", caption_justify="left", header_style="bold"
        )
        table.add_column("silo")
        for name in (*self.profile.schema.classes, "samples"):
            table.add_column(name, justify="right")
        for row in self.summaries():
            table.add_row(row.name, *map(str, row.per_class), str(sum(row.per_class)))
        return table

    def hand_out(self, place: Path, topology: Topology) -> None:
        """Give each silo its share and the coordinator the held-out set, with node settings that name them."""
        for name, share in self.shares.items():
            directory = directories.node_directory(place, name)
            save_table(directory / directories.SHARE, share)
        save_table(directories.coordinator_directory(place, topology) / directories.HOLDOUT, self.held_out)
        directories.add_training(place, topology, self.profile.architecture)

    def baselines(self, seed: int) -> Baselines:
        """Train centrally and each silo alone, with the same terms, rounds and held-out set."""
        from bfl_fabric.training.baselines import Reference, baselines
        from bfl_fabric.training.models import architecture
        from bfl_fabric.training.samples import samples_of

        reference = Reference(
            architecture(self.profile.architecture),
            self.profile.training(seed),
            self.rounds,
            samples_of(self.held_out),
        )
        return baselines(reference, {name: samples_of(share) for name, share in self.shares.items()})

    def measure_initial(self, spec: TaskSpec) -> Metrics:
        """Return the metrics of the model before the first round."""
        from bfl_fabric.training.models import architecture
        from bfl_fabric.training.samples import samples_of
        from bfl_fabric.training.trainer import TorchEvaluator
        from bfl_fabric.wiring import arithmetic

        _, initial = self.describe(spec.training.seed)
        evaluator = TorchEvaluator(architecture(self.profile.architecture), samples_of(self.held_out))
        return evaluator.evaluate(spec, arithmetic().unpack_model(initial, spec.model.parameter_count))


def prepare_data(choice: DemoChoice, topology: Topology) -> DemoData:
    """Load the data set and divide it over the silos. Raises ConfigurationError for an unknown name."""
    from bfl_fabric.training.datasets import load_data

    profile = PROFILES.get(choice.data)
    if profile is None:
        raise ConfigurationError(f"there is no data set {choice.data!r}; there is: {', '.join(PROFILES)}")
    names = [name for organization in topology.organizations for name in organization.participants]
    shares, held_out = profile.divide(load_data(profile.data), len(names), choice.seed)
    return DemoData(
        profile=profile,
        rounds=choice.rounds or profile.rounds,
        shares=dict(zip(names, shares, strict=True)),
        held_out=held_out,
    )
