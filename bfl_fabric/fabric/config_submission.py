"""Changing a channel's configuration: from a desired configuration to the block that makes it hold.

Decides the signatures and the envelope of an update, checks it by the rules that all verifiers apply before anything
is sent, and finds out whether it came to be. Which change is wanted is a function that the caller gives, mostly of
`bfl_fabric.fabric.config_changes`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from fabric_protos.common import common_pb2, configtx_pb2

from bfl_fabric.errors import (
    CommitStatusError,
    ConfigurationError,
    LedgerUnavailable,
    SubmitError,
)
from bfl_fabric.fabric.blocks import parse_block
from bfl_fabric.fabric.channel import ChannelConfig, config_envelope
from bfl_fabric.fabric.config_delta import compute_update
from bfl_fabric.fabric.config_update import next_config, signed_update, updated_config
from bfl_fabric.fabric.endorsement import sign_envelope
from bfl_fabric.fabric.envelopes import HeaderType
from bfl_fabric.fabric.orderer_client import OrdererClient
from bfl_fabric.fabric.servers import Administrator
from bfl_fabric.fabric.wire import write

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 3
_PAUSE_SECONDS = 0.1

Change = Callable[[Any], Any]
"""From a `common.Config` to the desired one."""


def sign_update(update: bytes, administrator: Administrator) -> Any:
    """Return an administrator's `common.ConfigSignature` under a serialized `common.ConfigUpdate`."""
    header = write(administrator.signature_header())
    return configtx_pb2.ConfigSignature(
        signature_header=header, signature=administrator.signer.sign(header + update)
    )


def update_envelope(
    channel_id: str, update: bytes, signatures: Sequence[Any], administrator: Administrator
) -> Any:
    """Return the signed `common.Envelope` that asks the orderers for an update."""
    channel_header = common_pb2.ChannelHeader(type=HeaderType.CONFIG_UPDATE, channel_id=channel_id)
    at_ms = administrator.clock.now_ms()
    channel_header.timestamp.seconds = at_ms // 1000
    channel_header.timestamp.nanos = at_ms % 1000 * 1_000_000
    header = common_pb2.Header(
        channel_header=write(channel_header), signature_header=write(administrator.signature_header())
    )
    signed = configtx_pb2.ConfigUpdateEnvelope(config_update=update, signatures=signatures)
    payload = write(common_pb2.Payload(header=header, data=write(signed)))
    return sign_envelope(payload, administrator.signer)


def check_update(current: ChannelConfig, envelope: Any, at_ms: int) -> ChannelConfig:
    """Return the configuration that an update envelope makes of the current one.

    Raises NotTrusted when it may not, and names the policy that lacks signatures.
    """
    signed = signed_update(envelope)
    update = configtx_pb2.ConfigUpdate.FromString(signed.config_update)
    config = updated_config(current.config, update)
    return next_config(current, configtx_pb2.ConfigEnvelope(config=config, last_update=envelope), at_ms)


async def update_channel(
    orderers: OrdererClient, channel_id: str, change: Change, signers: Sequence[Administrator]
) -> ChannelConfig:
    """Change a channel's configuration, signed by these administrators, and return the one that then holds.

    It holds for the orderers then; peers follow when they get the block (`PeerClient.reach`).

    `change` is asked again when another update came in between; what it wants already is not changed again. Raises
    NotTrusted when signatures are lacking, SubmitError when the orderers refuse, CommitStatusError when it is not
    known whether the update came to be: look at the channel's configuration before trying again.
    """
    if not signers:
        raise ConfigurationError("an update of a configuration needs at least one administrator's signature")
    for _ in range(_ATTEMPTS):
        current = await orderers.config(channel_id)
        desired = change(current.config)
        if write(desired) == write(current.config):
            return current
        raw = write(compute_update(channel_id, current.config, desired))
        signatures = [sign_update(raw, signer) for signer in signers]
        envelope = update_envelope(channel_id, raw, signatures, orderers.administrator)
        check_update(current, envelope, orderers.administrator.clock.now_ms())
        found = await _applied(orderers, current, envelope, raw)
        if found is not None:
            return found
        _LOG.info("channel %s: another update came in between", channel_id)
    raise LedgerUnavailable(
        f"channel {channel_id}: other updates came in between {_ATTEMPTS} times; try again"
    )


async def _applied(
    orderers: OrdererClient, current: ChannelConfig, envelope: Any, update: bytes
) -> ChannelConfig | None:
    """Hand an update over and return the configuration that it made, None when another one took its place."""
    refused: SubmitError | None = None
    try:
        await orderers.broadcast(envelope)
    except SubmitError as error:
        refused = error
    except CommitStatusError as error:
        _LOG.info("the outcome of a configuration update is open: %s", error)
    deadline = orderers.administrator.clock.now_ms() + orderers.deadline_seconds * 1000
    while True:
        block = parse_block(await orderers.config_block(current.channel_id))
        _, found = config_envelope(block)
        if found.config.sequence > current.sequence:
            ours = signed_update(found.last_update).config_update == update
            return ChannelConfig.from_block(block) if ours else None
        if refused is not None:
            raise refused
        if orderers.administrator.clock.now_ms() >= deadline:
            raise CommitStatusError(
                f"channel {current.channel_id}: the update was handed over, but no orderer shows a block with it"
            )
        await orderers.administrator.clock.sleep(_PAUSE_SECONDS)
