"""Configuration updates for tests: a change to the tree becomes read set, write set and signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fabric_protos.common import common_pb2, configtx_pb2

from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.fabric.wire import write


def anchor_update(config: ChannelConfig, organization: str, port: int) -> tuple[Any, Any]:
    """Return (update, new configuration): one organization gets another anchor peer."""
    from fabric_protos.peer import configuration_pb2

    path = config.config.channel_group.groups["Application"].groups[organization]
    anchors = configuration_pb2.AnchorPeers(
        anchor_peers=[configuration_pb2.AnchorPeer(host="127.0.0.1", port=port)]
    )
    version = path.values["AnchorPeers"].version + 1

    def sets(group: Any) -> None:
        application = group.groups["Application"]
        application.version = config.config.channel_group.groups["Application"].version
        application.groups[organization].version = path.version

    update = configtx_pb2.ConfigUpdate(channel_id=config.channel_id)
    sets(update.read_set)
    sets(update.write_set)
    value = update.write_set.groups["Application"].groups[organization].values["AnchorPeers"]
    value.version, value.mod_policy, value.value = version, "Admins", write(anchors)

    new = configtx_pb2.Config()
    new.CopyFrom(config.config)
    new.sequence += 1
    target = new.channel_group.groups["Application"].groups[organization].values["AnchorPeers"]
    target.version, target.value = version, write(anchors)
    return update, new


def signed_envelope(update: Any, new: Any, signers: Sequence[SigningIdentity]) -> Any:
    """Return the ConfigEnvelope of an update with these signatures."""
    content = write(update)
    signatures = []
    for signer in signers:
        header = write(common_pb2.SignatureHeader(creator=signer.creator, nonce=b"n" * 24))
        signatures.append(
            configtx_pb2.ConfigSignature(signature_header=header, signature=signer.sign(header + content))
        )
    envelope = configtx_pb2.ConfigUpdateEnvelope(config_update=content, signatures=signatures)
    header = common_pb2.Header(
        channel_header=write(common_pb2.ChannelHeader(type=2, channel_id=update.channel_id))
    )
    payload = common_pb2.Payload(header=header, data=write(envelope))
    return configtx_pb2.ConfigEnvelope(config=new, last_update=common_pb2.Envelope(payload=write(payload)))


def config_entry(envelope: Any, orderer: SigningIdentity, channel_id: str, at_ms: int) -> bytes:
    """Return the block entry in which an orderer publishes a new configuration."""
    channel_header = common_pb2.ChannelHeader(type=1, channel_id=channel_id)
    channel_header.timestamp.seconds = at_ms // 1000
    header = common_pb2.Header(
        channel_header=write(channel_header),
        signature_header=write(common_pb2.SignatureHeader(creator=orderer.creator, nonce=b"o" * 24)),
    )
    payload = write(common_pb2.Payload(header=header, data=write(envelope)))
    return write(common_pb2.Envelope(payload=payload, signature=orderer.sign(payload)))
