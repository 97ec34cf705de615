"""Named changes of a configuration, the smallest update that makes them, and the rules that they must pass."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fabric_protos.common import configtx_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2
from fabric_protos.orderer.smartbft import configuration_pb2 as bft_pb2

from bfl_fabric.errors import ConfigurationError, NotTrusted, ProgramsMissing
from bfl_fabric.fabric.authority import CertificateAuthority
from bfl_fabric.fabric.channel import BLOCK_VALIDATION, ChannelConfig, Consensus, Consenter, Endpoint
from bfl_fabric.fabric.config_changes import (
    BlockCutting,
    add_consenter,
    add_orderer_organization,
    add_organization,
    remove_consenter,
    remove_organization,
    replace_consenter,
    replace_msp,
    rotate_consenter_tls,
    set_anchor_peers,
    set_block_cutting,
    set_orderer_endpoints,
)
from bfl_fabric.fabric.config_delta import compute_update
from bfl_fabric.fabric.config_submission import check_update, sign_update, update_envelope
from bfl_fabric.fabric.config_update import updated_config
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.fabric.servers import Administrator
from bfl_fabric.fabric.wire import write
from bfl_fabric.network.programs import find_programs
from tests.unit.fabric.organizations import (
    CHANNEL,
    END,
    FOUNDED_MS,
    START,
    Federation,
    Organization,
    federation,
)
from tests.unit.fabric.tools import tool

PLACE = Endpoint("127.0.0.1", 7050)
ELSEWHERE = Endpoint("localhost", 9)
DELTA = Organization.create("delta")
AT_MS = FOUNDED_MS + 1000


class FixedClock:
    def now_ms(self) -> int:
        return AT_MS

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


def administrator(signer: SigningIdentity) -> Administrator:
    return Administrator(signer, FixedClock(), lambda size: b"n" * size)


def with_new_root(trust: Any) -> Any:
    """An organization's trust with a second authority beside the first."""
    renewed = CertificateAuthority.create(trust.name, f"ca2.{trust.name}", START, END)
    return replace(trust, root_certificates=(*trust.root_certificates, renewed.certificate_pem))


def consenter(parties: Federation, endpoint: Endpoint) -> Consenter:
    tls = parties.orderer.tls_authority.issue_tls("fifth").certificate_pem
    if parties.consensus is Consensus.RAFT:
        return Consenter(endpoint, tls, tls)
    signer = parties.orderer.identity("fifth", "orderer")
    return Consenter(endpoint, tls, tls, 5, signer.certificate_pem, signer.msp_id)


def changes(parties: Federation) -> dict[str, Callable[[Any], Any]]:
    """Every named change, as it can be made to the test federation's first configuration."""
    first, orderer = parties.organizations[0], parties.orderer
    extra = consenter(parties, ELSEWHERE)
    return {
        "add organization": partial(add_organization, trust=DELTA.trust()),
        "remove organization": partial(remove_organization, name=parties.organizations[2].name),
        "rotate authority": partial(replace_msp, name=first.name, trust=with_new_root(first.trust())),
        "rotate orderers' authority": partial(
            replace_msp, name=orderer.name, trust=with_new_root(parties.orderer_trust())
        ),
        "anchor peers": partial(set_anchor_peers, name=first.name, endpoints=[PLACE, ELSEWHERE]),
        "no anchor peers": partial(set_anchor_peers, name=first.name, endpoints=[]),
        "block cutting": partial(set_block_cutting, cutting=BlockCutting(7, 20, 1000, 100)),
        "timeout": partial(set_block_cutting, cutting=BlockCutting(timeout_ms=20)),
        "orderer endpoints": partial(set_orderer_endpoints, name=orderer.name, endpoints=[ELSEWHERE]),
        "orderer organization": partial(add_orderer_organization, trust=DELTA_ORDERER),
        "add consenter": partial(add_consenter, consenter=extra),
        "swap consenter": lambda config: remove_consenter(add_consenter(config, extra), PLACE),
        "several at once": lambda config: set_anchor_peers(
            add_organization(remove_organization(config, first.name), DELTA.trust()), "delta", [ELSEWHERE]
        ),
    }


DELTA_ORDERER = replace(
    federation().orderer_trust(),
    msp_id=DELTA.msp_id,
    name=DELTA.name,
    root_certificates=DELTA.trust().root_certificates,
    tls_root_certificates=DELTA.trust().tls_root_certificates,
)
NAMES = sorted(changes(federation()))
POSSIBLE = [
    (consensus, name)
    for consensus in Consensus
    for name in NAMES
    if (consensus, name) != (Consensus.RAFT, "swap consenter")
]
every_change = pytest.mark.parametrize(("consensus", "name"), POSSIBLE)


def everybody(parties: Federation) -> list[Administrator]:
    return [administrator(item.admin) for item in [*parties.organizations, parties.orderer]]


def envelope_of(config: ChannelConfig, desired: Any, signers: list[Administrator]) -> Any:
    raw = write(compute_update(CHANNEL, config.config, desired))
    return update_envelope(CHANNEL, raw, [sign_update(raw, item) for item in signers], signers[0])


@every_change
def test_an_update_makes_exactly_the_desired_configuration(consensus: Consensus, name: str) -> None:
    parties = federation(consensus)
    config = parties.config()
    before = write(config.config)
    desired = changes(parties)[name](config.config)
    update = compute_update(CHANNEL, config.config, desired)
    result = updated_config(config.config, update)
    assert write(config.config) == before, "what a change is given stays as it was"
    assert without_versions(result.channel_group) == without_versions(desired.channel_group)
    assert result.sequence == config.sequence + 1
    accepted = check_update(config, envelope_of(config, desired, everybody(parties)), AT_MS)
    assert write(accepted.config) == write(result)


@every_change
def test_one_organization_alone_changes_what_is_its_own_and_nothing_else(
    consensus: Consensus, name: str
) -> None:
    parties = federation(consensus)
    config = parties.config()
    desired = changes(parties)[name](config.config)
    envelope = envelope_of(config, desired, everybody(parties)[:1])
    if name in ("anchor peers", "no anchor peers", "rotate authority"):
        assert check_update(config, envelope, AT_MS).sequence == 1
    else:
        with pytest.raises(NotTrusted, match="lacks signatures"):
            check_update(config, envelope, AT_MS)


def test_the_second_of_two_updates_fits_what_the_first_made() -> None:
    parties = federation()
    config = parties.config()
    for number, name in enumerate(
        ["add organization", "anchor peers", "timeout", "remove organization"], start=1
    ):
        desired = changes(parties)[name](config.config)
        config = check_update(config, envelope_of(config, desired, everybody(parties)), AT_MS)
        assert config.sequence == number
    assert sorted(config.organizations) == ["AlphaMSP", "BetaMSP", "DeltaMSP"]
    application = config.config.channel_group.groups["Application"]
    assert application.version == 2
    assert application.groups["alpha"].values["AnchorPeers"].version == 1


def test_an_update_reads_only_what_it_rests_on() -> None:
    parties = federation()
    config = parties.config().config
    update = compute_update(CHANNEL, config, changes(parties)["anchor peers"](config))
    path = update.read_set.groups["Application"].groups["alpha"]
    assert not path.values
    assert not path.policies
    assert list(update.read_set.groups) == ["Application"]
    assert list(update.write_set.groups["Application"].groups["alpha"].values) == ["AnchorPeers"]


def test_a_configuration_that_is_as_desired_needs_no_update() -> None:
    config = federation().config().config
    with pytest.raises(ConfigurationError, match="already as desired"):
        compute_update(CHANNEL, config, config)


def test_certificates_of_the_old_and_the_new_authority_are_good_during_a_rotation() -> None:
    parties = federation()
    organization = parties.organizations[0]
    renewed = CertificateAuthority.create("alpha", "ca2.alpha", START, END)
    trust = replace(
        organization.trust(),
        root_certificates=(organization.authority.certificate_pem, renewed.certificate_pem),
    )
    config = ChannelConfig(CHANNEL, replace_msp(parties.config().config, "alpha", trust))
    issued = renewed.issue_identity("peer1", "peer")
    peer = SigningIdentity.from_pem("AlphaMSP", issued.certificate_pem, issued.key_pem)
    for signer in (organization.peer, peer):
        assert config.member(signer.creator, AT_MS).msp_id == "AlphaMSP"
    after = ChannelConfig(
        CHANNEL,
        replace_msp(config.config, "alpha", replace(trust, root_certificates=(renewed.certificate_pem,))),
    )
    assert after.member(peer.creator, AT_MS)
    with pytest.raises(NotTrusted):
        after.member(organization.peer.creator, AT_MS)


def test_bft_cuts_blocks_by_the_timeout_and_counts_the_quorum_anew() -> None:
    parties = federation(Consensus.BFT)
    config = parties.config().config
    changed = set_block_cutting(config, BlockCutting(timeout_ms=20))
    values = changed.channel_group.groups["Orderer"].values
    metadata = orderer_pb2.ConsensusType.FromString(values["ConsensusType"].value).metadata
    assert bft_pb2.Options.FromString(metadata).request_batch_max_interval == "20ms"
    fifth = consenter(parties, ELSEWHERE)
    grown = ChannelConfig(CHANNEL, add_consenter(config, fifth))
    signers = [grown.member(item.creator, AT_MS) for item in parties.consenters]
    assert grown.satisfies(BLOCK_VALIDATION, signers)
    assert not grown.satisfies(BLOCK_VALIDATION, signers[:3])


def test_a_consenter_keeps_everything_but_the_certificates_that_are_rotated() -> None:
    parties = federation(Consensus.BFT)
    before = parties.config()
    after = ChannelConfig(CHANNEL, rotate_consenter_tls(before.config, PLACE, b"client", b"server"))
    expected = replace(
        before.consenters[0], client_tls_certificate=b"client", server_tls_certificate=b"server"
    )
    assert after.consenters == (expected, *before.consenters[1:])
    policy = "BlockValidation"
    groups = [item.config.channel_group.groups["Orderer"].policies[policy] for item in (before, after)]
    assert groups[0] == groups[1]


def test_changes_that_make_no_sense_are_refused_with_what_to_do() -> None:
    parties = federation()
    config = parties.config().config
    alpha = parties.organizations[0].trust()
    refused: list[tuple[Callable[[], Any], str]] = [
        (lambda: add_organization(config, alpha), "already"),
        (lambda: add_organization(config, replace(DELTA.trust(), name="alpha")), "already"),
        (lambda: remove_organization(config, "delta"), "it has alpha"),
        (lambda: replace_msp(config, "delta", DELTA.trust()), "no organization"),
        (lambda: replace_msp(config, "alpha", DELTA.trust()), "cannot be changed"),
        (lambda: set_anchor_peers(config, "delta", []), "no organization"),
        (lambda: set_orderer_endpoints(config, "alpha", []), "no organization"),
        (lambda: set_block_cutting(config, BlockCutting(max_message_count=0)), "more than 0"),
        (lambda: set_block_cutting(config, BlockCutting(timeout_ms=-1)), "more than 0"),
        (lambda: add_consenter(config, consenter(parties, PLACE)), "already"),
        (lambda: remove_consenter(config, ELSEWHERE), "no orderer at"),
        (lambda: remove_consenter(config, PLACE), "at least one"),
        (lambda: replace_consenter(config, PLACE, consenter(parties, ELSEWHERE)), "only orderer"),
        (lambda: rotate_consenter_tls(config, PLACE, b"c", b"s"), "same key"),
        (lambda: add_orderer_organization(config, parties.orderer_trust()), "already"),
    ]
    for change, text in refused:
        with pytest.raises(ConfigurationError, match=text):
            change()


def test_a_signature_from_before_another_update_does_not_pass_any_more() -> None:
    parties = federation()
    config = parties.config()
    envelope = envelope_of(config, changes(parties)["timeout"](config.config), everybody(parties))
    first = check_update(config, envelope, AT_MS)
    with pytest.raises(NotTrusted):
        check_update(first, envelope, AT_MS)


def test_an_administrator_whose_certificate_has_expired_does_not_count() -> None:
    parties = federation()
    config = parties.config()
    envelope = envelope_of(config, changes(parties)["anchor peers"](config.config), everybody(parties)[:1])
    late = int((END + timedelta(days=1)).timestamp() * 1000)
    with pytest.raises(NotTrusted, match="lacks signatures"):
        check_update(config, envelope, late)


@pytest.mark.needs_fabric
@every_change
def test_configtxlator_computes_the_same_update(consensus: Consensus, name: str, tmp_path: Path) -> None:
    try:
        programs = find_programs("3.1.5")
    except ProgramsMissing as missing:
        pytest.skip(str(missing))
    parties = federation(consensus)
    config = versioned(parties)
    desired = changes(parties)[name](config)
    old, new, update = (tmp_path / part for part in ("old.pb", "new.pb", "update.pb"))
    old.write_bytes(write(config))
    new.write_bytes(write(desired))
    command = [tool(programs, "configtxlator"), "compute_update", "--channel_id", CHANNEL]
    command += ["--original", str(old), "--updated", str(new), "--output", str(update)]
    subprocess.run(command, check=True, timeout=30)
    theirs = configtx_pb2.ConfigUpdate.FromString(update.read_bytes())
    assert write(theirs) == write(compute_update(CHANNEL, config, desired))


def versioned(parties: Federation) -> Any:
    """Return a configuration in which not everything is at version 0 any more."""
    config = parties.config().config
    root = config.channel_group
    root.groups["Application"].version = 4
    root.groups["Application"].groups["alpha"].version = 3
    root.groups["Application"].groups["alpha"].values["AnchorPeers"].version = 2
    root.groups["Orderer"].values["BatchTimeout"].version = 9
    root.groups["Orderer"].policies["BlockValidation"].version = 5
    return config


def without_versions(group: Any) -> bytes:
    plain = configtx_pb2.ConfigGroup()
    plain.CopyFrom(group)
    _forget(plain)
    return write(plain)


def _forget(group: Any) -> None:
    group.version = 0
    for members in (group.values, group.policies):
        for name in members:
            members[name].version = 0
    for name in group.groups:
        _forget(group.groups[name])
