"""Puts rooms together: the only place that knows which adapter stands behind which port.

Imports of heavy rooms stay inside the functions that need them, so that a process loads what it uses and nothing
else.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import KeyEpoch, Metrics, ModelTerms, NodeRole, TaskSpec
from bfl_fabric import config
from bfl_fabric.clock import SystemClock
from bfl_fabric.domain.ports import Arithmetic, Clock, Evaluator, Ledger, Trainer
from bfl_fabric.errors import ConfigurationError, NotFound
from bfl_fabric.storage.blobs import FileBlobStore

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Float32Vector
    from bfl_fabric.embedded.ledger import Network
    from bfl_fabric.embedded.server import ServerTls
    from bfl_fabric.fabric.channel import ChannelConfig
    from bfl_fabric.fabric.gateway import GatewayLedger
    from bfl_fabric.he.provider import EncryptionSchemes
    from bfl_fabric.network.bringup import Site
    from bfl_fabric.roles.progress import Progress
    from bfl_fabric.roles.workbench import Workbench
    from bfl_fabric.transport.client import TransferClient
    from bfl_fabric.transport.credentials import NodeCredentials

_log = logging.getLogger(__name__)
QUIET_SECONDS = 1.0
"""A ledger that delivers no further block for so long has none."""


class Client(NamedTuple):
    """Everything a connection of an application consists of."""

    settings: config.ClientSettings
    ledger: Ledger
    channel: TransferClient
    blobs: FileBlobStore
    clock: Clock


def arithmetic() -> Arithmetic:
    """Return the exact arithmetic between training and encryption."""
    from bfl_fabric.learning.arithmetic import ExactArithmetic

    return ExactArithmetic()


def schemes() -> EncryptionSchemes:
    """Return every encryption scheme of this version, by its word in the task; `close` ends its workers."""
    from bfl_fabric.he.provider import EncryptionSchemes

    return EncryptionSchemes()


def choose_parameters(
    scheme: str, value_bits: int, max_total_weight: int, members: int, parameter_count: int
) -> str:
    """Return the digest of the parameters that a new task with this scheme gets: its smallest set that fits.

    Raises ConfigurationError when the scheme is unknown, or has no parameters for such sums.
    """
    from bfl_fabric.he.provider import choose_parameters as choose

    return choose(scheme, value_bits, max_total_weight, members, parameter_count)


def key_folder(storage: Path) -> Path:
    """Return an actor's folder for secret key files, which only its owner may enter."""
    keys = storage / "keys"
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    return keys


def hold_drill(place: Path, spec: TaskSpec, epoch: KeyEpoch) -> list[tuple[tuple[str, ...], str]]:
    """Open known sums with the shares that the key holders' nodes of a directory have, window by window.

    Returns the members of each window, with what went wrong, "" if nothing. Raises NotFound when a member's share or
    the joint key is not on this machine.
    """
    from bfl_fabric.he.isolation import WorkerLimits
    from bfl_fabric.he.threshold.drill import drill
    from bfl_fabric.he.threshold.provider import ThresholdProvider
    from bfl_fabric.network.directory import node_directory, read_topology
    from bfl_fabric.roles.ceremony import secret_path

    homes = {
        organization.msp_id: node_directory(place, name)
        for organization in read_topology(place).organizations
        for name, role in read_topology(place).nodes(organization).items()
        if role is NodeRole.KEY_HOLDER and organization.msp_id in epoch.members
    }
    absent = sorted(set(epoch.members) - homes.keys())
    if absent:
        raise NotFound(f"the key holder's node of {', '.join(absent)} is not in {place}")
    joint_key = FileBlobStore(homes[epoch.members[0]]).read(epoch.public_key_digest)
    provider, terms = ThresholdProvider(WorkerLimits()), spec.encryption
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="bfl-drill-") as folder:
        stack.callback(provider.close)
        holders = {}
        for msp_id, home in homes.items():
            path = secret_path(key_folder(home), epoch.task_id, epoch.epoch)
            holders[msp_id] = provider.holder(terms, joint_key, path)
            stack.callback(holders[msp_id].close)
        found = drill(provider.joint(terms, joint_key), holders, Path(folder))
    return [(window.members, window.problem) for window in found]


def channel_config(settings: config.LedgerSettings) -> ChannelConfig:
    """Return the channel's first configuration. Raises ConfigurationError unless the block is the pinned one."""
    from bfl_fabric.fabric.channel import ChannelConfig
    from bfl_fabric.network.material import read_genesis

    block, digest = read_genesis(settings.genesis)
    if digest != settings.genesis_digest:
        raise ConfigurationError(
            f"{settings.genesis} has digest {digest}, but the settings say {settings.genesis_digest}; "
            "get the genesis block from the federation's founder again"
        )
    if settings.config is not None and settings.config.exists():
        block, _ = read_genesis(settings.config)
    return ChannelConfig.from_block(block)


def ledger(settings: config.LedgerSettings, identity: config.IdentitySettings, clock: Clock) -> GatewayLedger:
    """Connect to the ledger's gateway with an identity; call it inside a running event loop."""
    from bfl_fabric.fabric.gateway import ChannelAddress, GatewayLedger
    from bfl_fabric.fabric.gateway_grpc import GrpcGatewayTransport, TlsMaterial
    from bfl_fabric.fabric.identity import SigningIdentity

    channel = channel_config(settings)
    roots = b"".join(
        root
        for trust in (channel.organizations, channel.orderers)
        for msp_id in trust
        for root in channel.tls_roots(msp_id)
    )
    transport = GrpcGatewayTransport(settings.gateway_address(), TlsMaterial(roots))
    signer = SigningIdentity.load(identity.msp_id, identity.certificate, identity.key)
    return GatewayLedger(transport, signer, ChannelAddress(settings.channel, settings.chaincode), clock)


def credentials(settings: config.LedgerSettings, identity: config.IdentitySettings) -> NodeCredentials:
    """Return the TLS identity of a node and the organizations that it trusts."""
    from bfl_fabric.transport.credentials import NodeCredentials, TrustedAuthorities

    organizations = channel_config(settings).organizations
    trusted = TrustedAuthorities(
        {item.msp_id: list(item.tls_root_certificates) for item in organizations.values()}
    )
    return NodeCredentials(identity.tls_certificate, identity.tls_key, trusted)


@asynccontextmanager
async def client(settings: config.ClientSettings) -> AsyncIterator[Client]:
    """Open the connections of an application and close them at the end."""
    from bfl_fabric.transport.client import TransferClient

    clock = SystemClock()
    blobs = FileBlobStore(settings.storage)
    connection = ledger(settings.ledger, settings.identity, clock)
    try:
        async with TransferClient(
            credentials(settings.ledger, settings.identity), blobs.incoming, clock
        ) as channel:
            yield Client(settings, connection, channel, blobs, clock)
    finally:
        await connection.close()


# --- actors -------------------------------------------------------------------------------------


class Actor(NamedTuple):
    """Who works here: the name of its certificate, its ledger, its identity, its disk."""

    name: str
    ledger: config.LedgerSettings
    identity: config.IdentitySettings
    storage: Path


async def workbench(actor: Actor, stack: AsyncExitStack) -> tuple[Workbench, TransferClient]:
    """Return the ports of an actor, with the client whose traffic they count; `stack` closes them."""
    from bfl_fabric.roles.compute import ThreadCompute
    from bfl_fabric.roles.memory import RememberingLedger
    from bfl_fabric.roles.workbench import Identity, Ports, Workbench
    from bfl_fabric.storage.journal import FileJournal
    from bfl_fabric.transport.client import TransferClient

    clock = SystemClock()
    blobs = FileBlobStore(actor.storage)
    connection = ledger(actor.ledger, actor.identity, clock)
    stack.push_async_callback(connection.close)
    tls = credentials(actor.ledger, actor.identity)
    channel = await stack.enter_async_context(TransferClient(tls, blobs.incoming, clock))
    provider = schemes()
    stack.callback(provider.close)
    journal = FileJournal(actor.storage / "journal")
    stack.callback(journal.close)
    remembering = RememberingLedger(connection, clock)
    ports = Ports(remembering, clock, blobs, channel, journal, provider, arithmetic())
    identity = Identity(actor.identity.msp_id, actor.name)
    return Workbench(identity, ports, ThreadCompute(), logged), channel


def logged(progress: Progress) -> None:
    """The observer that writes progress to the log: ids, digests and counts."""
    numbers = " ".join(f"{name}={value}" for name, value in progress.numbers)
    _log.info("%s %s/%d %s %s", progress.kind, progress.task_id, progress.round, progress.text, numbers)


def embedded_ledger(place: Path) -> tuple[Path, Network, ServerTls]:
    """Return the ledger's directory, its peers and orderer, and its TLS identity; makes the ledger when there is none.

    Raises ConfigurationError when the directory is no federation's.
    """
    from fabric_protos.common import common_pb2

    from bfl_fabric.embedded.contract import bfl_contract
    from bfl_fabric.embedded.ledger import EmbeddedLedger, Network
    from bfl_fabric.embedded.server import ServerTls
    from bfl_fabric.fabric.identity import SigningIdentity
    from bfl_fabric.network import directory as directories
    from bfl_fabric.network import material
    from bfl_fabric.network.plan import peer_name
    from bfl_fabric.network.topology import admin_name

    topology = directories.read_topology(place)
    peers = [
        material.signing_identity(place, item.msp_id, peer_name(item)) for item in topology.organizations
    ]
    orderer: SigningIdentity = material.signing_identity(place, material.ORDERER_MSP, material.ORDERER)
    network = Network(peers, orderer, bfl_contract, SystemClock())
    directory = directories.ledger_directory(place)
    if not EmbeddedLedger.exists(directory):
        genesis = common_pb2.Block.FromString((place / material.GENESIS).read_bytes())
        founder = topology.organizations[0]
        administrator = material.signing_identity(place, founder.msp_id, admin_name(founder))
        EmbeddedLedger.create(
            directory,
            genesis,
            peers,
            orderer,
            topology.chaincode,
            bfl_contract,
            SystemClock(),
            administrator=administrator,
        ).close()
    gateway = material.identity_directory(place, material.ORDERER_MSP, material.GATEWAY)
    tls = ServerTls((gateway / "tls-certificate.pem").read_bytes(), (gateway / "tls-key.pem").read_bytes())
    return directory, network, tls


def fabric_site(place: Path) -> Site:
    """Return the Fabric network of a federation's directory, as its administrators see it."""
    from bfl_fabric.network import homes
    from bfl_fabric.network.bringup import Site
    from bfl_fabric.network.directory import read_topology

    return Site(place, read_topology(place), homes.read_plan(place), SystemClock())


# --- learning -----------------------------------------------------------------------------------


class NoEvaluator:
    """Stands for a held-out set that this coordinator does not have: `samples` 0 means not measured."""

    def evaluate(self, spec: TaskSpec, model: Float32Vector) -> Metrics:
        return Metrics(accuracy_ppb=0, loss_ppb=0, samples=0)


class OwnArchitecture:
    """Evaluates the tasks of one architecture; what others publish stays unmeasured."""

    def __init__(self, settings: config.EvaluationSettings) -> None:
        self._settings = settings
        self._evaluator: Evaluator | None = None

    def evaluate(self, spec: TaskSpec, model: Float32Vector) -> Metrics:
        if spec.model.architecture != self._settings.architecture:
            return NoEvaluator().evaluate(spec, model)
        if self._evaluator is None:
            from bfl_fabric.training.models import architecture
            from bfl_fabric.training.samples import load_samples
            from bfl_fabric.training.trainer import TorchEvaluator

            samples = load_samples(self._settings.holdout)
            self._evaluator = TorchEvaluator(architecture(self._settings.architecture), samples)
        return self._evaluator.evaluate(spec, model)


def evaluator(settings: config.EvaluationSettings | None) -> Evaluator:
    """Return what measures published models."""
    return NoEvaluator() if settings is None else OwnArchitecture(settings)


def trainer(participant_id: str, settings: config.TrainingSettings) -> Trainer:
    """Return the trainer of a silo's share."""
    from bfl_fabric.training.models import architecture
    from bfl_fabric.training.samples import load_samples
    from bfl_fabric.training.trainer import TorchTrainer

    return TorchTrainer(participant_id, architecture(settings.architecture), load_samples(settings.share))


def described_architecture(name: str, seed: int) -> tuple[ModelTerms, bytes]:
    """Return the terms and the seeded initial parameters of a named architecture."""
    from bfl_fabric.training.describe import describe
    from bfl_fabric.training.models import architecture

    return describe(name, architecture(name), seed)


async def described_blocks(connection: Ledger) -> list[dict[str, Json]]:
    """Return what each block holds, from the first to the newest, as the ledger delivers them."""
    from bfl_fabric.fabric.blocks import parse_block

    rows: list[dict[str, Json]] = []
    stream = connection.blocks(0)
    while True:
        try:
            raw = await asyncio.wait_for(anext(stream), QUIET_SECONDS)
        except TimeoutError:
            return rows
        block = parse_block(raw)
        valid = block.flags.count(0)
        rows.append(
            {
                "block": block.number,
                "hash": block.hash.hex(),
                "bytes": len(raw),
                "valid": valid,
                "invalid": len(block.entries) - valid,
            }
        )


async def fetch_blocks(place: Path) -> dict[str, Path]:
    """Copy the blocks of every organization's peer into block files, what is new of them; return the files by MSP id.

    The first organization's copy is the one that an audit reads, the others are there to be compared with it.
    """
    from bfl_fabric.network.directory import admin_client, block_copy, read_topology

    topology = read_topology(place)
    copies = {}
    for organization in topology.organizations:
        name = admin_client(topology, organization.msp_id)
        settings = config.load(config.ClientSettings, place / "clients" / f"{name}.toml")
        copies[organization.msp_id] = block_copy(place, topology, organization.msp_id)
        await _copy_blocks(settings, copies[organization.msp_id])
    return copies


async def _copy_blocks(settings: config.ClientSettings, path: Path) -> None:
    from bfl_fabric.embedded.blockfile import BlockFile

    path.parent.mkdir(parents=True, exist_ok=True)
    file = BlockFile(path)
    connection = ledger(settings.ledger, settings.identity, SystemClock())
    try:
        start, newest = sum(1 for _ in file.locations()), await connection.newest_block()
        if start <= newest:
            async for block in connection.blocks(start, newest):
                file.append(block)
    finally:
        await connection.close()
        file.close()


def export_model(path: Path, terms: ModelTerms, model: Float32Vector, origin: Mapping[str, Json]) -> None:
    """Write a model as a safetensors file that names where it comes from."""
    from bfl_fabric.training.export import export_model as write

    write(path, model, terms, origin)


def certificate_ends(place: Path) -> list[tuple[str, float]]:
    """Return (name, moment in seconds since 1970) of the end of every certificate in a federation's directory."""
    from cryptography import x509

    ends = []
    for path in sorted(place.glob("**/*certificate.pem")):
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        ends.append((str(path.relative_to(place)), certificate.not_valid_after_utc.timestamp()))
    return ends
