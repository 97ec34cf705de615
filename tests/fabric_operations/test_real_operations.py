"""Each operation on one running network of real peers and an orderer, and the chain verified after all of them.

The tests share the network and go in this order; each leaves its three organizations members, and writable.
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bfl_fabric.cli.application import application
from bfl_fabric.errors import ConfigurationError, LedgerRefused, MalformedInput, NotFound
from bfl_fabric.fabric.blocks import parse_block
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.network import control, homes, material
from bfl_fabric.network.directory import read_topology
from bfl_fabric.network.native import run_files
from bfl_fabric.network.operations import contract, processes
from bfl_fabric.network.operations.admission import add_organization
from bfl_fabric.network.operations.authority_rotation import rotate_authority
from bfl_fabric.network.operations.backup import backup, restore
from bfl_fabric.network.operations.checkup import check_up
from bfl_fabric.network.operations.definitions import package_id, present_definition
from bfl_fabric.network.operations.orderer_rotation import rotate_orderer
from bfl_fabric.network.operations.removal import remove_organization
from bfl_fabric.network.operations.rotation import rotate
from bfl_fabric.network.operations.sites import configuration
from bfl_fabric.network.operations.snapshots import Snapshot, described, join_from_snapshot, take_snapshot
from bfl_fabric.network.operations.upgrade import upgrade
from tests.fabric_operations.running import (
    CLOCK,
    LAKESIDE,
    Writer,
    endorsers_of_last,
    heights,
    quiet,
    site,
    transact,
    until_done,
    verify_every_chain,
)

pytestmark = [pytest.mark.needs_fabric, pytest.mark.slow]


def bfl(*arguments: str | Path) -> Result:
    return CliRunner().invoke(application, [str(item) for item in arguments])


def config(place: Path) -> ChannelConfig:
    return asyncio.run(configuration(site(place)))


def certificates(place: Path, msp_id: str) -> dict[str, bytes]:
    identities = material.organization_directory(place, msp_id) / "identities"
    return {
        path.relative_to(identities).as_posix(): path.read_bytes()
        for path in identities.rglob("*certificate.pem")
    }


def members(place: Path) -> dict[str, bool]:
    return asyncio.run(contract.active_members(site(place)))


# --- doctor, block cutting -----------------------------------------------------------------------------


def test_doctor_finds_a_fresh_network_in_order_and_looks_at_everything(place: Path) -> None:
    findings = asyncio.run(check_up(place, CLOCK, 30))
    assert [item for item in findings if not item.ok] == []
    looked_at = {item.what for item in findings}
    assert looked_at >= set(site(place).plan.names())
    assert looked_at >= {
        "certificate files",
        "channel's certificates",
        "Fabric's version",
        "clocks",
        "blocks",
    }
    assert looked_at >= {"contract at peer-meridian", "gateway of Meridian"}


def test_doctor_says_what_is_wrong_what_to_do_and_ends_with_exit_code_2(place: Path) -> None:
    control.kill(place, "contract-meridian")
    result = bfl("doctor", "--federation", place, "--json")
    assert result.exit_code != 0
    wrong = {item["what"]: item for item in json.loads(result.stdout) if not item["ok"]}
    assert "network restart contract-meridian" in wrong["contract-meridian"]["advice"]
    assert "peer-meridian" not in wrong
    assert isinstance(result.exception, ConfigurationError)
    assert result.exception.exit_code == 2
    control.restart(place, "contract-meridian")
    asyncio.run(processes.until_healthy(site(place).plan.contract_of("Meridian")))
    old = [item for item in asyncio.run(check_up(place, CLOCK, 3000)) if item.what.startswith("certificate ")]
    assert len(old) > 20
    assert all("ends" in item.found and "rotate" in item.advice for item in old)


def test_block_cutting_is_set_by_the_command_once_and_written_into_the_topology(place: Path) -> None:
    result = bfl("network", "set-block-cutting", "-d", place, "--seconds", "0.04", "--transactions", "77")
    assert result.exit_code == 0, result.output
    terms = config(place).terms
    assert (terms.timeout, terms.max_message_count) == ("40ms", 77)
    assert read_topology(place).ordering.block_transactions == 77
    before = heights(place)
    assert bfl("network", "set-block-cutting", "-d", place, "--transactions", "77").exit_code == 0
    assert heights(place) == before, "what holds already made another block"
    transact(place)


# --- organizations -------------------------------------------------------------------------------------


def test_an_organization_is_added_and_removed_whatever_step_the_command_dies_at(place: Path) -> None:
    with Writer(place, "StAnna") as meanwhile:
        _, crashes = asyncio.run(until_done(partial(add_organization, place, LAKESIDE, CLOCK)))
    assert crashes == 7
    assert meanwhile.failure is None
    assert meanwhile.acknowledged > 0
    assert meanwhile.invalid <= 1, "only what was under way when the channel grew"
    assert set(config(place).organizations) == {"StAnna", "Nordhaven", "Meridian", "Lakeside"}
    assert members(place)["Lakeside"]
    assert (place / "clients" / "admin-lakeside.toml").exists()
    assert read_topology(place).organizations[-1] == LAKESIDE
    transact(place, "Lakeside")
    assert "Lakeside" in endorsers_of_last(place, "Lakeside")
    assert [item for item in asyncio.run(check_up(place, CLOCK, 30)) if not item.ok] == []

    _, crashes = asyncio.run(until_done(partial(remove_organization, place, "Lakeside", CLOCK)))
    assert crashes == 4
    assert set(config(place).organizations) == {"StAnna", "Nordhaven", "Meridian"}
    assert not members(place)["Lakeside"]
    assert not processes.is_running(place, "peer-lakeside")
    assert not processes.is_running(place, "contract-lakeside")
    assert "peer-lakeside" not in site(place).plan.names()
    assert (homes.fabric_directory(place) / "removed" / "Lakeside" / "peer-lakeside" / "core.yaml").exists()
    transact(place)
    with pytest.raises(NotFound):
        asyncio.run(remove_organization(place, "Lakeside", CLOCK, quiet))


def test_a_role_holder_cannot_be_removed_by_the_command_and_nothing_changes(place: Path) -> None:
    before = heights(place)
    result = bfl("network", "remove-organization", "Nordhaven", "-d", place)
    assert isinstance(result.exception, ConfigurationError)
    assert "aggregator" in str(result.exception)
    assert heights(place) == before
    assert members(place)["Nordhaven"]


# --- upgrade -------------------------------------------------------------------------------------------


def test_an_upgrade_waits_for_a_majority_of_votes(place: Path) -> None:
    before = asyncio.run(present_definition(site(place)))
    result = bfl("network", "upgrade", "--version", "2", "--as", "Meridian", "-d", place)
    assert result.exit_code == 0, result.output
    assert "waits for more votes" in result.output.replace("\n", " ")
    assert asyncio.run(present_definition(site(place))) == before
    listed = asyncio.run(
        contract.evaluate(site(place), site(place).topology.organizations[0], "governance:ListUpgrades", {})
    )
    assert [(item["version"], item["status"], item["approvals"]) for item in listed] == [
        ("2", "PROPOSED", ["Meridian"])
    ]


def test_an_upgrade_holds_whatever_step_the_command_dies_at(place: Path) -> None:
    before = asyncio.run(present_definition(site(place)))
    packages = {item.msp_id: package_id(site(place), item.msp_id) for item in site(place).plan.contracts}
    holds, crashes = asyncio.run(until_done(partial(upgrade, place, "2", CLOCK)))
    assert holds
    assert crashes >= 3
    after = asyncio.run(present_definition(site(place)))
    assert (after.version, after.sequence) == ("2", before.sequence + 1)
    for msp_id, old in packages.items():
        assert package_id(site(place), msp_id) != old
        assert package_id(site(place), msp_id).startswith("bfl_2:")
        transact(place, msp_id)
    assert asyncio.run(upgrade(place, "2", CLOCK, quiet)), "it is there already"
    assert asyncio.run(present_definition(site(place))) == after
    assert [item for item in asyncio.run(check_up(place, CLOCK, 30)) if not item.ok] == []


def test_votes_are_refused_for_another_source_and_for_what_is_stale(place: Path) -> None:
    here = site(place)
    request: dict[str, Any] = {"sequence": 2, "version": "2b", "source_digest": "0" * 64}
    with pytest.raises(LedgerRefused) as stale:
        asyncio.run(
            contract.submit(here, here.topology.organizations[0], "governance:ProposeUpgrade", request)
        )
    assert stale.value.code == 408
    request["sequence"] = 3
    asyncio.run(contract.submit(here, here.topology.organizations[0], "governance:ProposeUpgrade", request))
    with pytest.raises(LedgerRefused) as differs:
        asyncio.run(upgrade(place, "2b", CLOCK, quiet, msp_ids=["Meridian"]))
    assert differs.value.code == 517


# --- certificates --------------------------------------------------------------------------------------


def test_an_organization_gets_new_certificates_while_the_others_go_on(place: Path) -> None:
    before = certificates(place, "Nordhaven")
    with Writer(place, "StAnna") as meanwhile:
        _, crashes = asyncio.run(until_done(partial(rotate, place, "Nordhaven", CLOCK)))
    assert crashes == 2
    assert meanwhile.failure is None
    after = certificates(place, "Nordhaven")
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in before)
    transact(place, "Nordhaven")


def test_an_organization_gets_new_authorities_whatever_step_the_command_dies_at(place: Path) -> None:
    old = config(place).organizations["Meridian"]
    before = certificates(place, "Meridian")
    with Writer(place, "StAnna") as meanwhile:
        _, crashes = asyncio.run(until_done(partial(rotate_authority, place, "Meridian", CLOCK)))
    assert crashes == 5
    assert meanwhile.failure is None
    new = config(place).organizations["Meridian"]
    assert len(new.root_certificates) == len(new.tls_root_certificates) == 1
    assert new.root_certificates != old.root_certificates
    assert new.tls_root_certificates != old.tls_root_certificates
    assert all(certificates(place, "Meridian")[name] != before[name] for name in before)
    home = material.organization_directory(place, "Meridian")
    assert {path.name for path in home.iterdir()} == {"ca", "tlsca", "contractca", "identities"}
    transact(place, "Meridian")
    assert [item for item in asyncio.run(check_up(place, CLOCK, 30)) if not item.ok] == []


def test_the_only_orderer_gets_a_new_certificate_for_the_same_key(place: Path) -> None:
    issued = material.identity_directory(place, material.ORDERER_MSP, "orderer-1")
    before = {path.name: path.read_bytes() for path in issued.iterdir()}
    sequence = config(place).sequence
    _, crashes = asyncio.run(until_done(partial(rotate_orderer, place, "orderer-1", CLOCK)))
    assert crashes == 2
    after = {path.name: path.read_bytes() for path in issued.iterdir()}
    assert after["tls-key.pem"] == before["tls-key.pem"]
    assert after["tls-certificate.pem"] != before["tls-certificate.pem"]
    assert after["certificate.pem"] != before["certificate.pem"]
    assert config(place).sequence == sequence
    transact(place)


# --- backups and snapshots -----------------------------------------------------------------------------


def test_a_peer_is_restored_from_an_old_backup_and_catches_up(place: Path, tmp_path: Path) -> None:
    file = tmp_path / "meridian.tar"
    result = bfl("network", "backup", "peer-meridian", file, "-d", place)
    assert result.exit_code == 0, result.output
    assert "SHA-256" in result.output
    assert file.stat().st_mode & 0o777 == 0o600
    asyncio.run(rotate(place, "Meridian", CLOCK, quiet))
    for _ in range(3):
        transact(place)
    result = bfl("network", "restore", "peer-meridian", file, "-d", place)
    assert result.exit_code == 0, result.output
    assert len(set(heights(place).values())) == 1
    transact(place, "Meridian")
    assert [item for item in asyncio.run(check_up(place, CLOCK, 30)) if not item.ok] == []


def test_another_peers_backup_and_a_broken_one_are_refused_and_the_peer_stays_as_it_is(
    place: Path, tmp_path: Path
) -> None:
    file = tmp_path / "nordhaven.tar"
    asyncio.run(backup(place, "peer-nordhaven", file, CLOCK, quiet))
    running = run_files(place).find("peer-meridian")
    with pytest.raises(ConfigurationError, match="no backup of this peer"):
        asyncio.run(restore(place, "peer-meridian", file, CLOCK, quiet))
    (tmp_path / "half.tar").write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(MalformedInput):
        asyncio.run(restore(place, "peer-meridian", tmp_path / "half.tar", CLOCK, quiet))
    with pytest.raises(ConfigurationError, match="only peers"):
        asyncio.run(backup(place, "orderer-1", tmp_path / "o.tar", CLOCK, quiet))
    assert run_files(place).find("peer-meridian") == running
    transact(place, "Nordhaven")


def test_snapshots_of_two_peers_after_the_same_block_have_the_same_digest(place: Path) -> None:
    result = bfl("network", "snapshot", "peer-st-anna", "-d", place, "--json")
    assert result.exit_code == 0, result.output
    first = json.loads(result.stdout)
    assert described(Path(first["directory"])).digest == first["digest"]
    at = max(heights(place).values()) + 1

    async def both() -> tuple[Snapshot, Snapshot]:
        one, other, _ = await asyncio.gather(
            take_snapshot(place, "peer-st-anna", CLOCK, quiet, at),
            take_snapshot(place, "peer-nordhaven", CLOCK, quiet, at),
            asyncio.to_thread(lambda: [transact(place) for _ in range(3)]),
        )
        return one, other

    one, other = asyncio.run(both())
    assert one.block_number == other.block_number == at
    assert one.digest == other.digest


def test_a_new_organizations_peer_starts_from_a_snapshot_and_endorses(place: Path) -> None:
    taken = asyncio.run(take_snapshot(place, "peer-st-anna", CLOCK, quiet))
    transact(place)
    asyncio.run(add_organization(place, LAKESIDE, CLOCK, quiet, snapshot=taken.directory))
    transact(place, "Lakeside")
    assert "Lakeside" in endorsers_of_last(place, "Lakeside")
    assert len(set(heights(place).values())) == 1
    verify_every_chain(place, but=("Lakeside",))
    asyncio.run(remove_organization(place, "Lakeside", CLOCK, quiet))


def test_a_peer_that_lost_its_data_starts_from_a_snapshot_and_endorses_after_the_next_upgrade(
    place: Path,
) -> None:
    taken = asyncio.run(take_snapshot(place, "peer-st-anna", CLOCK, quiet))
    join = partial(join_from_snapshot, place, "peer-nordhaven", taken.directory, CLOCK, quiet)
    with pytest.raises(ConfigurationError, match="discard-data"):
        asyncio.run(join())
    assert not asyncio.run(join(discard_data=True))
    transact(place, "Nordhaven")
    wrong = {item.what: item for item in asyncio.run(check_up(place, CLOCK, 30)) if not item.ok}
    assert set(wrong) == {"contract at peer-nordhaven"}
    assert "next `bfl network upgrade`" in wrong["contract at peer-nordhaven"].advice
    assert asyncio.run(upgrade(place, "3.0", CLOCK, quiet))
    assert [item for item in asyncio.run(check_up(place, CLOCK, 30)) if not item.ok] == []
    assert asyncio.run(join())
    transact(place, "Nordhaven")


# --- afterwards ----------------------------------------------------------------------------------------


def test_the_chain_of_every_peer_that_has_all_blocks_verifies_afterwards(place: Path) -> None:
    """Nordhaven's peer started from a snapshot: it has no older blocks to verify."""
    verified = verify_every_chain(place, but=("Nordhaven",))
    assert set(verified) == {"StAnna", "Meridian"}
    assert set(verified.values()) == set(heights(place).values())
    kept = ChannelConfig.from_block(parse_block(homes.config_file(place).read_bytes()))
    assert kept.sequence == config(place).sequence >= 1
