"""Genesis blocks and the configurations read from blocks."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from fabric_protos.common import configtx_pb2
from fabric_protos.msp import msp_config_pb2

from bfl_fabric.errors import ConfigurationError, MalformedInput, NotTrusted
from bfl_fabric.fabric.blocks import genesis_digest, parse_block
from bfl_fabric.fabric.channel import (
    BLOCK_VALIDATION,
    ChannelConfig,
    Consensus,
    Endpoint,
    OrderingTerms,
    SignedData,
    genesis_block,
)
from bfl_fabric.fabric.wire import write
from tests.unit.fabric.organizations import CHANNEL, FOUNDED_MS, Federation, federation


@pytest.fixture(scope="module", params=list(Consensus))
def parties(request: pytest.FixtureRequest) -> Federation:
    return federation(request.param)


def test_the_same_trust_makes_the_same_bytes(parties: Federation) -> None:
    assert write(parties.genesis()) == write(parties.genesis())


def test_what_goes_into_a_genesis_block_comes_out_of_it(parties: Federation) -> None:
    config = parties.config()
    assert config.channel_id == CHANNEL
    assert config.sequence == 0
    assert list(config.organizations.values()) == [item.trust() for item in parties.organizations]
    assert list(config.orderers.values()) == [parties.orderer_trust()]
    assert config.terms == parties.terms
    assert list(config.consenters) == list(parties.orderer_trust().consenters)
    capability = "V3_0" if parties.consensus is Consensus.BFT else "V2_0"
    assert config.capabilities == {capability, "application:V2_5"}


def test_the_digest_is_the_hash_of_the_header(parties: Federation) -> None:
    block = parties.genesis()
    assert genesis_digest(block) == parse_block(write(block)).hash.hex()
    assert re.fullmatch("[0-9a-f]{64}", genesis_digest(block))


def test_another_moment_is_another_channel(parties: Federation) -> None:
    trust = [item.trust() for item in parties.organizations]
    later = genesis_block(CHANNEL, trust, [parties.orderer_trust()], parties.terms, FOUNDED_MS + 1)
    assert genesis_digest(later) != genesis_digest(parties.genesis())


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
def test_bft_blocks_need_a_quorum_of_their_orderers(count: int) -> None:
    """⌈(n+f+1)/2⌉ of n, with f = ⌊(n−1)/3⌋: 3 of 4, 5 of 7."""
    parties = federation(Consensus.BFT)
    orderer = parties.orderer
    template = parties.orderer_trust().consenters[0]
    identities = [orderer.identity(f"quorum{number}", "orderer") for number in range(count)]
    consenters = tuple(
        replace(template, identifier=number, identity=identity.certificate_pem)
        for number, identity in enumerate(identities, start=1)
    )
    trust = replace(parties.orderer_trust(), consenters=consenters)
    organizations = [item.trust() for item in parties.organizations]
    block = genesis_block(CHANNEL, organizations, [trust], parties.terms, FOUNDED_MS)
    config = ChannelConfig.from_block(parse_block(write(block)))
    needed = {1: 1, 2: 2, 3: 2, 4: 3, 5: 4, 7: 5}[count]
    members = [config.member(identity.creator, FOUNDED_MS) for identity in identities]
    assert config.satisfies(BLOCK_VALIDATION, members[:needed])
    assert not config.satisfies(BLOCK_VALIDATION, members[: needed - 1])


@pytest.mark.parametrize("channel_id", ["", "Channel", "1channel", "a b", "a_b", "a" * 250])
def test_a_channel_needs_a_name_that_fabric_takes(channel_id: str) -> None:
    parties = federation()
    with pytest.raises(ConfigurationError, match="channel name"):
        genesis_block(
            channel_id,
            [item.trust() for item in parties.organizations],
            [parties.orderer_trust()],
            OrderingTerms(),
            FOUNDED_MS,
        )


@pytest.mark.parametrize("names", [[], ["alpha", "alpha"], ["al pha"], ["α"]])
def test_organizations_need_distinct_names_that_fabric_takes(names: list[str]) -> None:
    parties = federation()
    trust = [replace(parties.organizations[0].trust(), name=name) for name in names]
    with pytest.raises(ConfigurationError, match="organization names"):
        genesis_block(CHANNEL, trust, [parties.orderer_trust()], OrderingTerms(), FOUNDED_MS)


def test_an_organization_of_no_group_is_nobody() -> None:
    config = federation().config()
    stranger = federation(Consensus.BFT).organizations[0].client
    with pytest.raises(NotTrusted, match="not issued"):
        config.member(stranger.creator, FOUNDED_MS)
    with pytest.raises(NotTrusted, match="no organization of the channel"):
        config.tls_roots("NobodyMSP")


def test_the_tls_authorities_of_each_organization_are_known() -> None:
    parties = federation()
    config = parties.config()
    for organization in [*parties.organizations, parties.orderer]:
        assert config.tls_roots(organization.msp_id) == (organization.tls_authority.certificate_pem,)


def test_signers_are_counted_once_and_bad_signatures_not_at_all() -> None:
    parties = federation()
    config = parties.config()
    alpha, beta, gamma = (item.peer for item in parties.organizations)
    claims = [
        SignedData(alpha.creator, b"data", alpha.sign(b"data")),
        SignedData(alpha.creator, b"data", alpha.sign(b"data")),
        SignedData(beta.creator, b"data", beta.sign(b"other")),
        SignedData(gamma.creator, b"data", gamma.sign(b"data") + b"x"),
        SignedData(b"nonsense", b"data", b""),
    ]
    assert [item.msp_id for item in config.signers(claims, FOUNDED_MS)] == ["AlphaMSP"]
    liberal = config.signers(claims, FOUNDED_MS, strict=False)
    assert [item.msp_id for item in liberal] == ["AlphaMSP", "GammaMSP"]
    assert config.signers(claims, 0) == []


def changed(change: str) -> configtx_pb2.Config:
    config = configtx_pb2.Config()
    config.CopyFrom(federation().config().config)
    groups = config.channel_group.groups
    alpha = groups["Application"].groups["alpha"]
    if change == "no application":
        del groups["Application"]
    elif change == "no MSP":
        del alpha.values["MSP"]
    elif change == "unknown consensus":
        groups["Orderer"].values["ConsensusType"].value = b"\x0a\x04solo"
    elif change == "unknown policy type":
        alpha.policies["Readers"].policy.type = 2
    elif change == "one MSP in two ways":
        value = msp_config_pb2.MSPConfig.FromString(alpha.values["MSP"].value)
        inner = msp_config_pb2.FabricMSPConfig.FromString(value.config)
        inner.name = "BetaMSP"
        value.config = write(inner)
        alpha.values["MSP"].value = write(value)
    return config


@pytest.mark.parametrize(
    "change",
    ["no application", "no MSP", "unknown consensus", "unknown policy type", "one MSP in two ways"],
)
def test_a_configuration_without_meaning_is_refused(change: str) -> None:
    with pytest.raises(MalformedInput):
        ChannelConfig(CHANNEL, changed(change))


def test_reading_a_configuration_does_not_change_it() -> None:
    block = parse_block(write(federation().genesis()))
    config = ChannelConfig.from_block(block)
    from bfl_fabric.fabric.channel import config_envelope

    assert write(config.config) == write(config_envelope(block)[1].config)


def test_endpoints_are_host_and_port() -> None:
    assert Endpoint.parse("peer.example:7051") == Endpoint("peer.example", 7051)
    assert str(Endpoint("127.0.0.1", 1)) == "127.0.0.1:1"
