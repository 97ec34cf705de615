"""How a configuration may follow from another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bfl_fabric.errors import AuditFailed, MalformedInput, NotTrusted
from bfl_fabric.fabric.channel import Endpoint
from bfl_fabric.fabric.config_update import next_config
from bfl_fabric.fabric.envelopes import ValidationCode
from bfl_fabric.fabric.verifier import ChainVerifier
from tests.unit.fabric.chain_builder import Call, ChainBuilder, put
from tests.unit.fabric.config_updates import anchor_update, config_entry, signed_envelope
from tests.unit.fabric.organizations import CHANNEL, FOUNDED_MS, federation

Change = Callable[[Any, Any], None]


def apply(change: Change | None = None, signer: str = "admin") -> Any:
    parties = federation()
    config = parties.config()
    update, new = anchor_update(config, "alpha", 9999)
    if change is not None:
        change(update, new)
    identity = getattr(parties.organizations[0], signer)
    return next_config(config, signed_envelope(update, new, [identity]), FOUNDED_MS)


def test_an_administrators_change_is_taken() -> None:
    changed = apply()
    assert changed.sequence == 1
    assert changed.organizations["AlphaMSP"].anchor_peers == (Endpoint("127.0.0.1", 9999),)
    assert changed.organizations["BetaMSP"] == federation().config().organizations["BetaMSP"]


@pytest.mark.parametrize("signer", ["client", "peer"])
def test_others_than_administrators_are_refused(signer: str) -> None:
    with pytest.raises(NotTrusted, match="lacks signatures for Admins"):
        apply(signer=signer)


def test_another_organizations_administrator_is_refused() -> None:
    parties = federation()
    update, new = anchor_update(parties.config(), "alpha", 9999)
    envelope = signed_envelope(update, new, [parties.organizations[1].admin])
    with pytest.raises(NotTrusted, match="lacks signatures"):
        next_config(parties.config(), envelope, FOUNDED_MS)


def alpha_of(group: Any) -> Any:
    return group.groups["Application"].groups["alpha"]


def jump(update: Any, new: Any) -> None:
    alpha_of(update.write_set).values["AnchorPeers"].version = 7
    alpha_of(new.channel_group).values["AnchorPeers"].version = 7


def stale_read(update: Any, new: Any) -> None:
    alpha_of(update.read_set).version = 3


def unknown_read(update: Any, new: Any) -> None:
    update.read_set.groups["Nowhere"].version = 0


def nothing(update: Any, new: Any) -> None:
    del alpha_of(update.write_set).values["AnchorPeers"]


def another_result(update: Any, new: Any) -> None:
    new.channel_group.groups["Orderer"].values["BatchTimeout"].value = b"\x0a\x031h"


def smuggled_organization(update: Any, new: Any) -> None:
    application = new.channel_group.groups["Application"]
    application.groups["delta"].CopyFrom(application.groups["alpha"])


def no_guard(update: Any, new: Any) -> None:
    alpha_of(update.write_set).values["AnchorPeers"].mod_policy = ""


def dangling_group(update: Any, new: Any) -> None:
    alpha_of(update.write_set).version = 1
    alpha_of(update.write_set).groups["ghost"].version = 5


@pytest.mark.parametrize(
    "change",
    [
        jump,
        stale_read,
        unknown_read,
        nothing,
        another_result,
        smuggled_organization,
        no_guard,
        dangling_group,
    ],
)
def test_a_change_that_does_not_follow_is_refused(change: Change) -> None:
    with pytest.raises(NotTrusted):
        apply(change)


def skipped_sequence(update: Any, new: Any) -> None:
    new.sequence = 5


def another_channel(update: Any, new: Any) -> None:
    update.channel_id = "other"


@pytest.mark.parametrize("change", [skipped_sequence, another_channel])
def test_an_update_of_something_else_is_refused(change: Change) -> None:
    with pytest.raises(MalformedInput):
        apply(change)


def chain_with_update(signer: str = "admin", last_config: int = 2) -> ChainBuilder:
    parties = federation()
    chain = ChainBuilder(parties)
    chain.define_chaincode()
    update, new = anchor_update(parties.config(), "alpha", 9999)
    envelope = signed_envelope(update, new, [getattr(parties.organizations[0], signer)])
    entry = config_entry(envelope, parties.consenters[0], CHANNEL, FOUNDED_MS + 60_000)
    chain.last_config = last_config
    chain.add([entry], [ValidationCode.VALID])
    alpha, beta, _ = parties.organizations
    chain.add_calls(Call(alpha.client, [alpha.peer, beta.peer], [put("a", b"1")]))
    return chain


def test_the_verifier_carries_the_configuration_forward() -> None:
    chain = chain_with_update()
    verifier = ChainVerifier(chain.genesis_digest)
    assert [len(block.transactions) for block in verifier.verify(chain.blocks)] == [1, 1, 1, 1]
    assert verifier.config.sequence == 1


def test_the_verifier_refuses_a_configuration_without_the_administrators() -> None:
    chain = chain_with_update("client")
    with pytest.raises(AuditFailed, match="block 2: configuration update"):
        list(ChainVerifier(chain.genesis_digest).verify(chain.blocks))


def test_the_verifier_wants_every_block_to_name_the_last_configuration() -> None:
    chain = chain_with_update(last_config=0)
    with pytest.raises(AuditFailed, match="the last configuration is in block 2"):
        list(ChainVerifier(chain.genesis_digest).verify(chain.blocks))
