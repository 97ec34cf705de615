"""What each operation means, as values: no program is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bfl_fabric.errors import ConfigurationError, NotFound
from bfl_fabric.fabric.authority import NodeOU
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.fabric.config_changes import add_organization
from bfl_fabric.fabric.definitions import ChaincodeDefinition, signature_policy
from bfl_fabric.fabric.packages import Connection, ConnectionTls, service_package
from bfl_fabric.fabric.trust import Endpoint, OrganizationTrust
from bfl_fabric.network import directory as directories
from bfl_fabric.network import homes, material
from bfl_fabric.network.operations import admission, authority_rotation, block_cutting, removal
from bfl_fabric.network.operations.identities import Subject, reissue, subjects
from bfl_fabric.network.operations.packages import label_of, relabelled
from bfl_fabric.network.operations.source import source_digest
from bfl_fabric.network.operations.upgrade import following, voters
from bfl_fabric.network.topology import CollectionPlan, Topology, generated, sample
from tests.fabric_operations.running import CLOCK, LAKESIDE, site

TOPOLOGY = sample().on("fabric", "raft")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network's directory, of which nothing runs."""
    place = tmp_path_factory.mktemp("made") / "network"
    directories.create(place, TOPOLOGY)
    return place


def channel(place: Path) -> ChannelConfig:
    block, _ = material.read_genesis(place / material.GENESIS)
    return ChannelConfig.from_block(block)


# --- organizations ----------------------------------------------------------------------------------


def test_a_topology_grows_by_one_organization_and_can_be_written_and_read(tmp_path: Path) -> None:
    grown = admission.grown(TOPOLOGY, LAKESIDE)
    assert grown.organizations == (*TOPOLOGY.organizations, LAKESIDE)
    (tmp_path / "t.toml").write_text(grown.dump(), "utf-8")
    assert Topology.load(tmp_path / "t.toml") == grown


def test_growing_by_the_same_organization_again_changes_nothing() -> None:
    grown = admission.grown(TOPOLOGY, LAKESIDE)
    assert admission.grown(grown, LAKESIDE) is grown


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"msp_id": "StAnna"}, "described differently"),
        ({"slug": "st-anna"}, "slug"),
        ({"participants": ("st-anna-oncology",)}, "participant"),
    ],
)
def test_an_organization_that_contradicts_the_topology_is_not_added(
    change: dict[str, str], word: str
) -> None:
    with pytest.raises(ConfigurationError, match=word):
        admission.grown(TOPOLOGY, LAKESIDE.model_copy(update=change))


def test_a_planned_organization_keeps_its_ports(made: Path) -> None:
    plan = homes.read_plan(made)
    planned = admission.planned(plan, LAKESIDE)
    assert planned.peers[:-1] == plan.peers
    assert planned.peers[-1].name == "peer-lakeside"
    assert admission.planned(planned, LAKESIDE) is planned


def test_the_channel_comes_to_trust_an_organization_once_and_learns_its_new_address(made: Path) -> None:
    config = channel(made).config
    known = channel(made).organizations["StAnna"]
    trust = replace(known, msp_id="StAnna", anchor_peers=(Endpoint("127.0.0.1", 1),))
    moved = ChannelConfig("bfl", admission.trusting(config, trust)).organizations["StAnna"]
    assert moved.anchor_peers == (Endpoint("127.0.0.1", 1),)
    assert moved.root_certificates == known.root_certificates
    assert admission.trusting(config, known) == config


def test_an_organization_of_another_authority_under_a_known_name_is_refused(made: Path) -> None:
    config = channel(made)
    stranger = replace(
        config.organizations["StAnna"], root_certificates=config.organizations["Meridian"].root_certificates
    )
    with pytest.raises(ConfigurationError, match="another authority"):
        admission.trusting(config.config, stranger)


def test_a_topology_shrinks_by_an_organization_without_a_role() -> None:
    four = admission.grown(TOPOLOGY, LAKESIDE)
    assert removal.shrunk(four, "Lakeside") == TOPOLOGY


@pytest.mark.parametrize("role", ["coordinator", "aggregator", "key_holder"])
def test_a_role_holder_is_not_removed(role: str) -> None:
    with pytest.raises(ConfigurationError, match=role.replace("_", " ")):
        removal.shrunk(TOPOLOGY, getattr(TOPOLOGY.roles, role))


def test_the_last_but_one_organization_is_not_removed() -> None:
    with pytest.raises(ConfigurationError, match="at least two"):
        removal.shrunk(generated(2, 2), "Nordhaven")


def test_a_keeper_of_private_values_is_not_removed() -> None:
    kept = CollectionPlan(name="notes", organizations=("Lakeside",))
    four = admission.grown(TOPOLOGY, LAKESIDE).model_copy(update={"collections": (kept,)})
    with pytest.raises(ConfigurationError, match="notes"):
        removal.shrunk(four, "Lakeside")


def test_the_auditors_organization_is_not_removed() -> None:
    four = generated(4, 4)
    roles = four.roles.model_copy(update={"coordinator": "Lakeside"})
    with pytest.raises(ConfigurationError, match="audits"):
        removal.shrunk(four.model_copy(update={"roles": roles}), "StAnna")


def test_a_stranger_is_not_removed() -> None:
    with pytest.raises(NotFound, match="Lakeside"):
        removal.shrunk(TOPOLOGY, "Lakeside")


def test_distrusting_is_the_opposite_of_trusting_and_may_be_repeated(made: Path) -> None:
    config = channel(made)
    trust = replace(config.organizations["StAnna"], msp_id="Lakeside", name="Lakeside")
    with_it = add_organization(config.config, trust)
    without = removal.distrusting(with_it, "Lakeside")
    assert set(ChannelConfig("bfl", without).organizations) == set(config.organizations)
    assert removal.distrusting(without, "Lakeside") == without


# --- block cutting ----------------------------------------------------------------------------------


def test_block_cutting_changes_what_is_named_and_nothing_else() -> None:
    cut = block_cutting.cut(TOPOLOGY, 0.1, None)
    assert cut.ordering.block_seconds == 0.1
    assert cut.ordering.block_transactions == TOPOLOGY.ordering.block_transactions
    told = block_cutting.cutting(cut)
    assert (told.timeout_ms, told.max_message_count) == (100, TOPOLOGY.ordering.block_transactions)


@pytest.mark.parametrize(("seconds", "transactions"), [(0.0, None), (11.0, None), (None, 0), (None, None)])
def test_block_cutting_that_cannot_be_is_refused(seconds: float | None, transactions: int | None) -> None:
    with pytest.raises(ConfigurationError):
        block_cutting.cut(TOPOLOGY, seconds, transactions)


# --- certificates -----------------------------------------------------------------------------------


def test_the_identities_of_an_organization_are_those_that_were_issued_to_it(made: Path) -> None:
    for organization in TOPOLOGY.organizations:
        issued = material.organization_directory(made, organization.msp_id) / "identities"
        assert set(subjects(TOPOLOGY, organization)) == {path.name for path in issued.iterdir()}


def test_subjects_say_what_each_certificate_is_for() -> None:
    found = subjects(TOPOLOGY, TOPOLOGY.organizations[0])
    assert found["peer-st-anna"] == Subject(NodeOU.PEER)
    assert found["admin-st-anna"] == Subject(NodeOU.ADMIN)
    assert found["st-anna-oncology"] == Subject(NodeOU.CLIENT, {"bfl.role": "participant"})
    assert found["auditor"] == Subject(NodeOU.CLIENT, {"bfl.role": "auditor"})


def test_reissuing_gives_everybody_another_key_and_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    directories.create(tmp_path / "n", TOPOLOGY)
    home = material.organization_directory(tmp_path / "n", "Meridian")
    wanted = subjects(TOPOLOGY, TOPOLOGY.organizations[2])
    before = {name: (home / "identities" / name / "key.pem").read_bytes() for name in wanted}
    authorities = material.Authorities.load(home)
    reissue(home, authorities, wanted)
    once = {name: (home / "identities" / name / "key.pem").read_bytes() for name in wanted}
    assert all(once[name] != before[name] for name in wanted)
    assert not (home / "renewal").exists()
    # As a crash leaves it: everything issued, one identity taken away, none put in place.
    aside = home / "renewal"
    for name, subject in wanted.items():
        authorities.issue(aside, name, subject.ou, subject.attributes)
    (aside / "whole").touch()
    issued = {name: (aside / "identities" / name / "key.pem").read_bytes() for name in wanted}
    first = min(wanted)
    (aside / "before").mkdir()
    (home / "identities" / first).rename(aside / "before" / first)
    reissue(home, authorities, wanted)
    assert {name: (home / "identities" / name / "key.pem").read_bytes() for name in wanted} == issued


def test_both_authorities_can_be_trusted_for_a_while(made: Path) -> None:
    config = channel(made)
    old, other = config.organizations["StAnna"], config.organizations["Meridian"]
    roots = (*old.root_certificates, *other.root_certificates)
    tls = (*old.tls_root_certificates, *other.tls_root_certificates)
    both = authority_rotation.trusted_by(config.config, "StAnna", roots, tls)
    found = ChannelConfig("bfl", both).organizations["StAnna"]
    assert (found.root_certificates, found.tls_root_certificates) == (roots, tls)
    assert found.anchor_peers == old.anchor_peers
    assert authority_rotation.trusted_by(both, "StAnna", roots, tls) == both
    back = authority_rotation.trusted_by(both, "StAnna", old.root_certificates, old.tls_root_certificates)
    assert ChannelConfig("bfl", back).organizations["StAnna"] == old
    with pytest.raises(ConfigurationError, match="Lakeside"):
        authority_rotation.trusted_by(config.config, "Lakeside", roots, tls)


# --- upgrades ---------------------------------------------------------------------------------------


def test_a_relabelled_package_has_the_same_connection_and_another_package_id() -> None:
    tls = ConnectionTls(b"root", b"certificate", b"key")
    connection = Connection("127.0.0.1:7000", tls)
    present = service_package("bfl", connection)
    new = relabelled(present.content, label_of("bfl", "2.1"))
    assert new == service_package("bfl_2.1", connection)
    assert new.package_id != present.package_id
    assert relabelled(new.content, "bfl") == present


def test_what_is_no_package_is_not_relabelled() -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        relabelled(b"no archive", "bfl_2")


@pytest.mark.parametrize("version", ["", "2 ", "-2", "2..1", "2/3", "x" * 65])
def test_a_version_that_cannot_be_in_a_label_is_refused(version: str) -> None:
    with pytest.raises(ConfigurationError, match="version"):
        label_of("bfl", version)


def test_the_next_definition_keeps_the_policy_and_takes_the_next_sequence(made: Path) -> None:
    present = ChaincodeDefinition("bfl", "1", 4, policy=signature_policy(1, ["StAnna"]))
    wanted = following(present, "2", site(made))
    assert (wanted.version, wanted.sequence, wanted.policy) == ("2", 5, present.policy)


def test_voters_are_the_named_ones_or_all(made: Path) -> None:
    here = site(made)
    assert [item.msp_id for item in voters(here, ["Meridian"])] == ["Meridian"]
    assert len(voters(here, [])) == 3
    with pytest.raises(ConfigurationError, match="Lakeside"):
        voters(here, ["Lakeside"])


def test_the_source_digest_changes_with_any_byte_and_any_name(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one")
    (tmp_path / "notes.txt").write_text("no source")
    digests = [source_digest(tmp_path)]
    (tmp_path / "notes.txt").write_text("still none")
    assert source_digest(tmp_path) == digests[0]
    (tmp_path / "a.py").write_text("two")
    digests.append(source_digest(tmp_path))
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    digests.append(source_digest(tmp_path))
    assert len(set(digests)) == 3
    assert len(source_digest()) == 64


# --- homes ------------------------------------------------------------------------------------------


def test_a_home_trusts_a_retiring_authority_exactly_while_there_is_one(tmp_path: Path) -> None:
    place = tmp_path / "n"
    directories.create(place, TOPOLOGY)
    peer = homes.read_plan(place).peer_of("Meridian")
    msp = homes.home_of(place, peer) / "msp"
    one = (msp / "config.yaml").read_text()
    assert "cacerts/authority.pem" in one
    home = material.organization_directory(place, "Meridian")
    authority_rotation._make_next(home, 30, "Meridian", CLOCK)
    authority_rotation._retire(home)
    authority_rotation._succeed(home)
    homes.write_identity(place, peer)
    assert {path.name for path in (msp / "cacerts").iterdir()} == {"authority.pem", "retiring.pem"}
    assert "cacerts/authority.pem" not in (msp / "config.yaml").read_text()
    authority_rotation._forget(home)
    homes.write_identity(place, peer)
    assert {path.name for path in (msp / "cacerts").iterdir()} == {"authority.pem"}
    assert (msp / "config.yaml").read_text() == one
    assert isinstance(channel(place).organizations["Meridian"], OrganizationTrust)
