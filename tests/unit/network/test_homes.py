"""The homes of Fabric's processes: complete, private, and telling no more than they must."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric.blocks import parse_block
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.network import directory as directories
from bfl_fabric.network import homes, material
from bfl_fabric.network.plan import LOOPBACK, NetworkPlan
from bfl_fabric.network.topology import Topology, sample


@pytest.fixture(scope="module", params=["raft", "bft"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("homes") / "network"
    directories.create(directory, sample().on("fabric", request.param))
    return directory


@pytest.fixture(scope="module")
def plan(place: Path) -> NetworkPlan:
    return homes.read_plan(place)


def topology(place: Path) -> Topology:
    return directories.read_topology(place)


def test_private_keys_are_readable_by_their_owner_alone(place: Path) -> None:
    keys = [path for path in place.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert len(keys) > 20
    for path in keys:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_home_holds_the_keys_of_its_own_process_and_no_other(place: Path, plan: NetworkPlan) -> None:
    for process in (*plan.orderers, *plan.peers):
        issued = material.identity_directory(place, process.msp_id, process.name)
        own = {(issued / name).read_bytes() for name in ("key.pem", "tls-key.pem")}
        home = homes.home_of(place, process)
        found = {
            path.read_bytes()
            for path in home.rglob("*")
            if path.is_file() and b"PRIVATE KEY" in path.read_bytes()
        }
        assert found == own


def test_the_genesis_block_names_the_addresses_and_certificates_of_the_plan(
    place: Path, plan: NetworkPlan
) -> None:
    config = ChannelConfig.from_block(parse_block((place / material.GENESIS).read_bytes()))
    assert [item.endpoint for item in config.consenters] == [item.main for item in plan.orderers]
    for peer in plan.peers:
        assert config.organizations[peer.msp_id].anchor_peers == (peer.main,)
    for consenter, orderer in zip(config.consenters, plan.orderers, strict=True):
        tls = (homes.home_of(place, orderer) / "tls" / "certificate.pem").read_bytes()
        assert consenter.server_tls_certificate == tls
    assert config.terms.consensus is topology(place).ordering.fabric_consensus


def test_settings_name_nothing_outside_the_home(place: Path, plan: NetworkPlan) -> None:
    for process in (*plan.orderers, *plan.peers):
        home = homes.home_of(place, process)
        text = next(home.glob("*.yaml")).read_text("utf-8")
        assert str(place) not in text
        assert ".." not in text.replace("...", "")


def test_a_peer_and_its_contract_service_know_each_other_and_nobody_else(
    place: Path, plan: NetworkPlan
) -> None:
    roots = set()
    for contract in plan.contracts:
        home = homes.home_of(place, contract)
        root = x509.load_pem_x509_certificate((home / "client-authority.pem").read_bytes())
        server = x509.load_pem_x509_certificate((home / "server.pem").read_bytes())
        server.verify_directly_issued_by(root)
        roots.add(root.public_bytes(Encoding.PEM))
        package = homes.contract_package(place, contract.msp_id, topology(place).chaincode)
        assert (home / homes.PACKAGE_ID).read_text("utf-8") == package.package_id
        assert package.content != b""
    assert len(roots) == len(plan.contracts)


def test_homes_that_are_there_are_left_as_they_are(place: Path, plan: NetworkPlan) -> None:
    settings = homes.home_of(place, plan.peers[0]) / "core.yaml"
    before = settings.read_text("utf-8")
    settings.write_text(before + "# by hand\n", "utf-8")
    homes.write_homes(place, topology(place), plan, LOOPBACK)
    assert settings.read_text("utf-8").endswith("# by hand\n")
    settings.write_text(before, "utf-8")


def test_the_external_builder_takes_services_only(place: Path, plan: NetworkPlan) -> None:
    home = homes.home_of(place, plan.peers[0])
    core = yaml.safe_load((home / "core.yaml").read_text("utf-8"))
    builder = home / core["chaincode"]["externalBuilders"][0]["path"] / "bin"
    assert sorted(path.name for path in builder.iterdir()) == ["build", "detect", "release"]
    assert all(path.stat().st_mode & stat.S_IXUSR for path in builder.iterdir())
    assert core["vm"]["endpoint"] == ""


def test_a_directory_of_the_embedded_ledger_has_no_plan(tmp_path: Path) -> None:
    directories.create(tmp_path / "embedded", sample())
    with pytest.raises(ConfigurationError, match="cannot read the network's plan"):
        homes.read_plan(tmp_path / "embedded")


def test_clients_look_up_their_own_organizations_gateway(place: Path, plan: NetworkPlan) -> None:
    homes.announce(place, plan)
    text = (place / "clients" / "admin-nordhaven.toml").read_text("utf-8")
    assert 'address_file = "../fabric/addresses/Nordhaven"' in text
    assert (place / "fabric" / "addresses" / "Nordhaven").read_text() == f"{plan.peer_of('Nordhaven').main}\n"
