"""Records real networks: `python -m tests.recordings.record` (see README.md beside it).

Decides what is written of a network that was recorded, and under which name. Facts about the chain are what the
peers answer to questions, never what our own verifier finds.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import json
import secrets
import shutil
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fabric_protos.common import common_pb2, configtx_pb2
from fabric_protos.peer import transaction_pb2

from bfl_fabric.fabric import peer_channels
from bfl_fabric.fabric.deliver import Seek, Stamp, read_block, seek_envelope
from bfl_fabric.fabric.peer_client import PeerClient
from tests.conformance.probe import LoopThread
from tests.recordings import archive, chapters, forgeries, probing
from tests.recordings.archive import HOME, Record, Recording, pack
from tests.recordings.chapters import Channel, ContractChapter, PatientProbe
from tests.recordings.client_story import Story
from tests.recordings.contract_digest import contract_digest
from tests.recordings.definitions import PROBE
from tests.recordings.stage import Stage

NETWORKS = (("3.1.5", "raft"), ("3.1.5", "bft"), ("2.5.16", "raft"))
HANGING_SECONDS = 150
COMMAND = "python -m tests.recordings.record"


def main() -> None:
    """Record each network that is asked for."""
    faulthandler.dump_traceback_later(HANGING_SECONDS, exit=False)
    parser = argparse.ArgumentParser(description="Record real Hyperledger Fabric networks for the replays.")
    parser.add_argument("networks", nargs="*", help="such as 3.1.5-raft; all by default")
    parser.add_argument(
        "--replace", action="store_true", help="put it in the newest recording's place: before a release only"
    )
    arguments = parser.parse_args()
    for version, consensus in NETWORKS:
        kind = f"{version}-{consensus}"
        if not arguments.networks or kind in arguments.networks:
            record(version, consensus, _target(kind, replace=arguments.replace))


def record(version: str, consensus: str, target: Path) -> None:
    """Make a network, let everything happen on it, and write what was said."""
    with tempfile.TemporaryDirectory(prefix="bfl-recording-") as place:
        loop = LoopThread()
        try:
            with Stage(Path(place) / "network", version, consensus) as stage:
                facts = _play(stage, loop)
                blocks = asyncio.run(_blocks(stage))
                facts.update(asyncio.run(_facts(stage)))
        except BaseException:
            _say_why(Path(place) / "network" / "logs")
            raise
        finally:
            loop.close()
    if target.exists():
        shutil.rmtree(target)
    target.mkdir()
    _write(target, stage, blocks, facts)
    archive.write_manifest()
    print(f"{target.name}: {sum(path.stat().st_size for path in target.iterdir()):,} bytes")


def _say_why(logs: Path) -> None:
    """Print what the programs complained of, before their logs are gone."""
    for path in sorted(logs.glob("*.log")):
        lines = path.read_text("utf-8", "replace").splitlines()
        told = [line for line in lines if "panic" in line.lower() or "ERRO" in line]
        print(path.name, *told[-12:], *lines[-5:], sep="\n  ")


def _play(stage: Stage, loop: LoopThread) -> dict[str, Any]:
    channel: Any = Channel(stage, PROBE)
    probe = PatientProbe(channel, loop)
    started = datetime.now(UTC)
    facts: dict[str, Any] = {"probing": probing.tell(probe)}
    probing.crowd(probe)
    chapters.cut_a_stream(stage, probe)
    print("forgeries")
    forgeries.forge(stage, probe)
    print("the contract")
    contract = ContractChapter(stage, loop)
    contract.tell()
    facts["contract"] = {"accepted": sorted(contract.accepted), "refused": contract.refused}
    print("configuration")
    chapters.configure(stage, probe)
    print("the client")
    story = Story.recorded(stage)
    facts["client"] = asyncio.run(story.tell())
    facts["story"] = story.facts()
    probe.close()
    return {
        "network": f"{stage.version}-{stage.topology.ordering.consensus.value}",
        "recorded_at": started.isoformat(timespec="seconds"),
        "contract_digest": contract_digest(),
        **facts,
    }


# --- what peers and orderers have ---------------------------------------------------------------


async def _blocks(stage: Stage) -> dict[str, list[bytes]]:
    """Return the chain as the first peer and as an orderer delivers it."""
    channel = stage.topology.channel
    first = stage.topology.organizations[0]
    async with stage.site.orderers(stage.site.administrator(first)) as orderers:
        ordered = [raw async for _, raw in orderers.blocks(channel, Seek(0, None, wait=False))]
    return {"peer": await _delivered(stage, 0), "orderer": ordered}


async def _delivered(stage: Stage, index: int) -> list[bytes]:
    """Return the chain as one peer delivers it."""
    channel = Channel(stage, PROBE)
    stamp = Stamp(secrets.token_bytes(24), stage.site.clock.now_ms())
    seek = seek_envelope(channel.channel_id, Seek(0, None, wait=False), channel.client(0), stamp)
    transport = stage.transport(index)
    found: list[bytes] = []
    try:
        async for response in transport.deliver(seek):
            block = read_block(response)
            if block is None:
                break
            found.append(block[1])
    finally:
        await transport.close()
    return found


async def _facts(stage: Stage) -> dict[str, Any]:
    """Return what the peers answer when they are asked about the chain."""
    channel = stage.topology.channel
    first = stage.topology.organizations[0]
    chains = [await _delivered(stage, index) for index in range(len(stage.topology.organizations))]
    async with stage.site.peer_client(first) as peer:
        info = await peer_channels.channel_info(peer, channel)
        config = await peer_channels.config_block(peer, channel)
        codes = await _codes(peer, channel, chains[0])
        values = await _values(peer, channel)
    heads = [common_pb2.Block.FromString(chain[-1]) for chain in chains]
    return {
        "height": info.height,
        "current_hash": info.current_hash,
        "config_sequence": _sequence(config),
        "commit_hashes": [head.metadata.metadata[4].hex() for head in heads],
        "flags": [_flags(raw).hex() for raw in chains[0]],
        "codes": dict(Counter(codes.values())),
        "code_of": codes,
        "values": values,
    }


async def _codes(peer: PeerClient, channel: str, chain: list[bytes]) -> dict[str, str]:
    """Ask the peer for the code of every transaction that it finds by id."""
    found: dict[str, str] = {}
    for identifier in _identifiers(chain):
        try:
            raw = await peer.query(
                channel, "qscc", b"GetTransactionByID", channel.encode(), identifier.encode()
            )
        except Exception:  # a peer finds nothing under an id that it did not take
            continue
        code = transaction_pb2.ProcessedTransaction.FromString(raw).validationCode
        found[identifier] = transaction_pb2.TxValidationCode.Name(code)
    return found


def _identifiers(chain: list[bytes]) -> list[str]:
    found = []
    for raw in chain:
        for entry in common_pb2.Block.FromString(raw).data.data:
            payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(entry).payload)
            header = common_pb2.ChannelHeader.FromString(payload.header.channel_header)
            if header.tx_id:
                found.append(header.tx_id)
    return list(dict.fromkeys(found))


KEYS = (
    "a",
    "b",
    "m003",
    "large",
    "r/h",
    "first",
    "guarded",
    "twice",
    "after the cut",
    "configured",
    "was private",
)


async def _values(peer: PeerClient, channel: str) -> dict[str, str]:
    found = {key: archive.shown(await peer.query(channel, PROBE, b"get", key.encode())) for key in KEYS}
    for collection, key in (("shared", "p"), ("own", "o"), ("brief", "s")):
        arguments = (b"hash_private", collection.encode(), key.encode())
        found[f"{collection}/{key}"] = (await peer.query(channel, PROBE, *arguments)).decode()
    return found


def _flags(raw: bytes) -> bytes:
    flags: bytes = common_pb2.Block.FromString(raw).metadata.metadata[2]
    return flags


def _sequence(config_block: bytes) -> int:
    block = common_pb2.Block.FromString(config_block)
    payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(block.data.data[0]).payload)
    return int(configtx_pb2.ConfigEnvelope.FromString(payload.data).config.sequence)


# --- files --------------------------------------------------------------------------------------


def _target(kind: str, *, replace: bool) -> Path:
    held = [recording for recording in archive.recordings() if recording.kind == kind]
    if not held:
        return HOME / kind
    if replace:
        return next(item for item in archive.newest() if item.kind == kind).directory
    return HOME / f"{kind}-{len(held) + 1}"


def _write(target: Path, stage: Stage, blocks: dict[str, list[bytes]], facts: dict[str, Any]) -> None:
    for whose, chain in blocks.items():
        content = pack(Record({"number": number}, (raw,)) for number, raw in enumerate(chain))
        (target / f"blocks-{whose}.xz").write_bytes(content)
    for relay in stage.streams:
        if relay.msp_id == "AlphaMSP":
            (target / f"stream-{relay.chaincode}.xz").write_bytes(pack(relay.log))
    assert stage.calls is not None
    (target / "probing.xz").write_bytes(pack(Record(step) for step in facts.pop("probing")))
    (target / "calls.xz").write_bytes(pack(stage.calls.records()))
    (target / "facts.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", "utf-8")
    (target / "README.md").write_text(_readme(Recording(target), facts), "utf-8")


def _readme(recording: Recording, facts: dict[str, Any]) -> str:
    version, consensus = recording.kind.split("-")
    refused = ", ".join(facts["contract"]["refused"]) or "none"
    return f"""# Recording {recording.name}

Made by `{COMMAND} {recording.kind}` on {facts["recorded_at"]} from a throw-away network of Hyperledger Fabric
{version} with {consensus}: three organizations with a peer each, made and driven by this repository.

Every key and certificate in it was made for it and belongs to nobody. The only private keys that are kept are those
of the client of `calls.xz` (in `facts.json`), which the replay needs to ask the same questions again.

- `blocks-peer.xz`, `blocks-orderer.xz`: {facts["height"]} blocks, as the first peer and as an orderer deliver them.
- `stream-bfl.xz`, `stream-probe.xz`: all messages between the first peer and its two contract services.
- `calls.xz`: all calls of a client at the first peer's gateway, with replies, errors and trailing metadata.
- `probing.xz`: what came of each step of the probe's story, which the embedded ledger is told too.
- `facts.json`: what the peers answered when they were asked about the chain and its state, and what the client got.

Transactions of the contract that occur only as refused: {refused}.
"""


if __name__ == "__main__":
    main()
