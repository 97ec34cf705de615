"""The compose file: the committed one is what the topology makes, it keeps the schema, and nothing in it is lax."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bfl_fabric.network import directory as directories
from bfl_fabric.network.compose import CONTRACT_HOME, FILE, HOME, compose_yaml
from bfl_fabric.network.homes import home_name
from bfl_fabric.network.material import ORDERER_MSP
from bfl_fabric.network.plan import container_plan
from bfl_fabric.network.topology import Topology

ROOT = Path(__file__).parents[3]
SOURCE = "network/topologies/three-org.toml"
TOPOLOGY = Topology.load(ROOT / SOURCE)


def services(consensus: str = "raft") -> dict[str, Any]:
    document = yaml.safe_load(compose_yaml(TOPOLOGY.on("fabric", consensus), SOURCE))
    found: dict[str, Any] = document["services"]
    return found


def test_the_committed_file_is_what_the_topology_makes() -> None:
    assert (ROOT / FILE).read_text("utf-8") == compose_yaml(TOPOLOGY.on("fabric"), SOURCE), (
        f"make it again: bfl network compose --write {FILE}"
    )


@pytest.mark.parametrize("consensus", ["raft", "bft"])
def test_it_keeps_the_schema_of_compose_files(tmp_path: Path, consensus: str) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(compose_yaml(TOPOLOGY.on("fabric", consensus), SOURCE), "utf-8")
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    result = subprocess.run(check, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
    path.write_text(path.read_text("utf-8").replace("healthcheck:", "health:"), "utf-8")
    assert subprocess.run(check, capture_output=True, timeout=60).returncode != 0


@pytest.mark.parametrize(("consensus", "orderers"), [("raft", 1), ("bft", 4)])
def test_every_process_of_the_plan_is_a_service(consensus: str, orderers: int) -> None:
    plan = container_plan(TOPOLOGY.on("fabric", consensus), ORDERER_MSP)
    assert set(services(consensus)) == {"material", "channel", *plan.names()}
    assert len(plan.orderers) == orderers
    assert len(plan.contracts) == len(TOPOLOGY.organizations)


def test_no_service_runs_as_root_or_keeps_a_capability() -> None:
    for name, service in services().items():
        assert service["user"].split(":")[0] not in ("0", "root"), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_images_have_exact_tags_and_every_lasting_service_a_health_check() -> None:
    for name, service in services().items():
        assert ":" in service["image"], name
        assert not service["image"].endswith(":latest"), name
        assert name in ("material", "channel") or service["healthcheck"]["test"][0] == "CMD", name


def test_only_the_gateways_are_published_and_only_on_loopback() -> None:
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert sorted(published) == sorted(f"peer-{item.slug}" for item in TOPOLOGY.organizations)
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_each_process_sees_its_own_home_and_no_other(tmp_path: Path) -> None:
    """The subpaths that are mounted are the homes that `bfl network create --containers` makes."""
    place = tmp_path / "network"
    directories.create(place, TOPOLOGY.on("fabric"), containers=True)
    plan = container_plan(TOPOLOGY, ORDERER_MSP)
    for process in plan.processes:
        mounts = services()[process.name]["volumes"]
        assert [mount["volume"]["subpath"] for mount in mounts] == [f"fabric/{home_name(process)}"]
        assert (place / mounts[0]["volume"]["subpath"]).is_dir()
    assert [mount["target"] for mount in services()["material"]["volumes"]] == [HOME]
    assert services()[plan.contracts[0].name]["volumes"][0]["target"] == CONTRACT_HOME


def test_the_homes_of_containers_and_of_native_processes_differ_in_addresses_alone(tmp_path: Path) -> None:
    native, containers = tmp_path / "native", tmp_path / "containers"
    directories.create(native, TOPOLOGY.on("fabric"))
    directories.create(containers, TOPOLOGY.on("fabric"), containers=True)
    for name in ("peers/peer-st-anna/core.yaml", "orderers/orderer-1/orderer.yaml"):
        ours, theirs = (
            yaml.safe_load((place / "fabric" / name).read_text("utf-8")) for place in (native, containers)
        )
        assert without_addresses(ours) == without_addresses(theirs)


def without_addresses(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: without_addresses(item, key) for key, item in value.items()}
    addresses = ("address", "listen", "bootstrap", "endpoint")
    return "…" if any(word in name.lower() for word in addresses) else value


def test_the_contract_service_is_told_by_files_and_no_secret_stands_in_the_file() -> None:
    for service in services().values():
        for name, value in service.get("environment", {}).items():
            assert "PRIVATE" not in str(value), name
    environment = services()["contract-st-anna"]["environment"]
    assert environment["CHAINCODE_ID_FILE"] == "package-id"
    assert environment["CHAINCODE_TLS_KEY_FILE"] == "server-key.pem"
