"""The sample topologies are what the program itself would make."""

from __future__ import annotations

from pathlib import Path

from bfl_fabric.network.topology import Topology, generated

SAMPLES = Path(__file__).parents[3] / "network" / "topologies"


def test_the_three_hospitals_are_the_generated_ones() -> None:
    assert Topology.load(SAMPLES / "three-org.toml") == generated(3, 6)


def test_every_sample_can_be_read() -> None:
    names = [Topology.load(path).name for path in sorted(SAMPLES.glob("*.toml"))]
    assert names
