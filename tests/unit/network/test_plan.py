"""What runs where: names, addresses, and that a plan survives being written down."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from bfl_fabric.errors import ConfigurationError
from bfl_fabric.network.material import ORDERER_MSP
from bfl_fabric.network.plan import (
    NetworkPlan,
    add_peer,
    container_plan,
    free_ports,
    native_plan,
    remove_peer,
)
from bfl_fabric.network.topology import Topology, generated, sample

BFT = sample().on("fabric", "bft")


def test_a_native_plan_uses_each_port_once_and_listens_on_loopback() -> None:
    plan = native_plan(BFT, ORDERER_MSP)
    endpoints = [item.main for item in plan.processes] + [item.operations for item in plan.processes]
    endpoints += [item.admin for item in plan.orderers] + [item.chaincode for item in plan.peers]
    assert len({item.port for item in endpoints}) == len(endpoints)
    assert {item.host for item in endpoints} == {"127.0.0.1"}


def test_orderers_of_a_bft_network_are_numbered_from_one() -> None:
    assert [item.number for item in native_plan(BFT, ORDERER_MSP).orderers] == [1, 2, 3, 4]


def test_a_plan_survives_being_written_and_read(tmp_path: Path) -> None:
    plan = native_plan(BFT, ORDERER_MSP)
    path = tmp_path / "plan.json"
    path.write_text(plan.dump(), "utf-8")
    assert NetworkPlan.load(path) == plan


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"orderers": [{}], "peers": [], "contracts": []}'])
def test_a_damaged_plan_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=r"plan\.json is no plan"):
        NetworkPlan.load(path)


def test_containers_are_hosts_of_their_own_at_the_usual_ports() -> None:
    plan = container_plan(sample(), ORDERER_MSP)
    assert str(plan.peer_of("StAnna").main) == "peer-st-anna:7051"
    assert str(plan.orderers[0].main) == "orderer-1:7050"
    assert str(plan.contract_of("Meridian").main) == "contract-meridian:9999"


def test_an_organization_comes_and_goes_and_nobody_else_moves() -> None:
    before = native_plan(sample(), ORDERER_MSP)
    newcomer = generated(4, 8).organizations[3]
    after = add_peer(before, newcomer)
    assert after.peers[:3] == before.peers
    assert after.peer_of(newcomer.msp_id).name == f"peer-{newcomer.slug}"
    assert remove_peer(after, newcomer.msp_id) == before


def test_asking_for_an_organization_that_is_not_there_names_it() -> None:
    with pytest.raises(ConfigurationError, match="Nobody has no peer"):
        native_plan(sample(), ORDERER_MSP).peer_of("Nobody")


def test_free_ports_are_distinct() -> None:
    ports = list(itertools.islice(free_ports(), 50))
    assert len(set(ports)) == 50


@pytest.mark.parametrize(
    ("ledger", "consensus", "problem"),
    [("paper", None, "ledger 'paper' is unknown"), ("fabric", "dice", "consensus 'dice' is unknown")],
)
def test_words_that_are_unknown_are_refused(ledger: str, consensus: str | None, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        sample().on(ledger, consensus)


def test_a_topology_on_fabric_survives_being_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "topology.toml"
    path.write_text(BFT.dump(), "utf-8")
    assert Topology.load(path) == BFT


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ('[[collections]]\nname = "x"\norganizations = ["Nobody"]\n', "names 'Nobody'"),
        ('[[collections]]\nname = "a b"\norganizations = ["StAnna"]\n', "collections"),
        ('[[collections]]\nname = "x"\norganizations = []\n', "collections"),
    ],
)
def test_a_collection_that_cannot_be_is_refused(tmp_path: Path, extra: str, problem: str) -> None:
    path = tmp_path / "topology.toml"
    path.write_text(sample().dump() + extra, "utf-8")
    with pytest.raises(ConfigurationError, match=problem):
        Topology.load(path)


def test_too_few_orderers_for_bft_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "topology.toml"
    path.write_text(BFT.dump().replace('consensus = "bft"', 'consensus = "bft"\norderers = 3'), "utf-8")
    with pytest.raises(ConfigurationError, match="at least four orderers"):
        Topology.load(path)
