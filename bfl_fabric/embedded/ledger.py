"""The embedded ledger: a whole Fabric channel in one process, with its blocks in one file.

Decides the life of a transaction (proposed, endorsed, ordered, committed) and that what is committed survives a
crash at any point: first the block is appended and synced, then its consequences are applied in one SQLite
transaction. All methods are synchronous; `service` puts them to work for many callers.

It plays peers and orderer faithfully and is trusted with all their keys: for a laptop, for tests and demonstrations.
The channel's configuration cannot change, and there is one chaincode, defined in block 1.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric_protos.common import common_pb2

from bfl_fabric.domain.ports import Clock
from bfl_fabric.embedded.access import AccessControl, OrderRefused, ProposalRefused
from bfl_fabric.embedded.blockfile import Disk
from bfl_fabric.embedded.chain import BLOCKS_FILE, Chain, Step, watch_nothing
from bfl_fabric.embedded.contract import Chaincode
from bfl_fabric.embedded.deployment import Deployment, deployment_envelope
from bfl_fabric.embedded.endorsement import Asked, EndorsingPeers, Ground, Peer
from bfl_fabric.embedded.lifecycle import CollectionDefinition, DeployedChaincode, find_chaincode
from bfl_fabric.embedded.orderer import BlockCutter, BlockMaker, Ordered
from bfl_fabric.embedded.snapshot import Snapshot, TransactionPlace
from bfl_fabric.embedded.unserved import NotServed
from bfl_fabric.errors import BflError, ConfigurationError, MalformedInput, NotTrusted
from bfl_fabric.fabric.blocks import parse_block
from bfl_fabric.fabric.channel import BLOCK_VALIDATION, ChannelConfig
from bfl_fabric.fabric.envelopes import Response
from bfl_fabric.fabric.gateway_transport import GatewayDetail, GatewayFailure, GatewayStatus
from bfl_fabric.fabric.identity import Signer
from bfl_fabric.fabric.policy import Member, Role
from bfl_fabric.fabric.proposal import Proposal
from bfl_fabric.fabric.wire import write

_BEING_MADE = "being-made"


@dataclass(frozen=True, slots=True)
class Network:
    """Who plays the channel: a peer per organization, the orderer, the contract, and the time."""

    peers: Sequence[Signer]
    orderer: Signer
    chaincode_factory: Callable[[], Chaincode]
    clock: Clock


class EmbeddedLedger:
    """An open ledger. Safe to use from several threads; only one process can have its directory open."""

    def __init__(
        self,
        directory: Path,
        network: Network,
        disk: Disk | None = None,
        watch: Callable[[Step], None] = watch_nothing,
    ) -> None:
        self._commit_lock = threading.Lock()
        self._cutter_lock = threading.Lock()
        self._network = network
        self._chain = Chain(directory, disk, watch)
        try:
            config, clock = self._chain.config, network.clock
            self._access = AccessControl(config, clock)
            self._peers = EndorsingPeers([_peer(config, network, signer) for signer in network.peers], config)
            self._maker = _maker(config, network.orderer)
            self._cutter = BlockCutter(config.terms)
            self._stalled = ""
            self._deployed: dict[str, DeployedChaincode] = {}
        except BaseException:
            self._chain.close()
            raise

    @classmethod
    def create(
        cls,
        directory: Path,
        genesis: Any,
        peers: Sequence[Signer],
        orderer: Signer,
        chaincode_name: str,
        chaincode_factory: Callable[[], Chaincode],
        clock: Clock,
        collections: Sequence[CollectionDefinition] = (),
        *,
        version: str = "1.0",
        administrator: Signer | None = None,
    ) -> EmbeddedLedger:
        """Make a new ledger from a `common.Block` and open it. Either all of it is there afterwards or nothing.

        `administrator` signs the definition of the chaincode in block 1, the first peer when there is none. Raises
        ConfigurationError when there is a ledger already.
        """
        if cls.exists(directory):
            raise ConfigurationError(f"{directory}: there is a ledger already")
        network = Network(peers, orderer, chaincode_factory, clock)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        workshop = directory / _BEING_MADE
        shutil.rmtree(workshop, ignore_errors=True)
        workshop.mkdir(mode=0o700)
        chain = Chain(workshop)
        try:
            chain.begin(genesis)
            deployment = Deployment(chain.config.channel_id, chaincode_name, version, tuple(collections))
            envelope = deployment_envelope(deployment, administrator or peers[0], peers, clock.now_ms())
            chain.commit([write(envelope)], _maker(chain.config, orderer).make)
            _deployed(chain, chaincode_name)
        finally:
            chain.close()
        (workshop / BLOCKS_FILE).rename(directory / BLOCKS_FILE)
        shutil.rmtree(workshop)
        return cls(directory, network)

    @classmethod
    def open(
        cls,
        directory: Path,
        peers: Sequence[Signer],
        orderer: Signer,
        chaincode_factory: Callable[[], Chaincode],
        clock: Clock,
    ) -> EmbeddedLedger:
        """Open an existing ledger; what a crash left undone is finished or undone first.

        Raises ConfigurationError when there is none, LedgerUnavailable when another process has it open.
        """
        if not cls.exists(directory):
            raise ConfigurationError(f"{directory}: there is no ledger here; create one first")
        return cls(directory, Network(peers, orderer, chaincode_factory, clock))

    @staticmethod
    def exists(directory: Path) -> bool:
        """Say whether a ledger was completely made in this directory."""
        return (directory / BLOCKS_FILE).exists()

    # --- transactions ---------------------------------------------------------------------------

    def evaluate(self, signed_proposal: Any, organizations: Sequence[str] = ()) -> Response:
        """Run a `protos.SignedProposal` on one peer; nothing is recorded. Raises GatewayFailure."""
        return self.answer(self.ask(signed_proposal, organizations))

    def ask(self, signed_proposal: Any, organizations: Sequence[str] = ()) -> Asked:
        """Check who wants to evaluate, the first of two steps. Raises GatewayFailure."""
        with _evaluating(organizations):
            return Asked(*self._proposer(signed_proposal), tuple(organizations))

    def find_answer(self, asked: Asked) -> Response | None:
        """Return what was answered to the same at this height, None when the contract must run: never slow.

        Raises GatewayFailure.
        """
        with _evaluating(asked.organizations), self._ground(asked.proposal) as (height, _):
            return self._peers.find_answer(asked, height)

    def answer(self, asked: Asked) -> Response:
        """Run the contract on one peer, unless the answer is kept. Raises GatewayFailure."""
        with _evaluating(asked.organizations), self._ground(asked.proposal) as (height, ground):
            return self._peers.answer(asked, ground, height)

    def endorse(self, signed_proposal: Any, organizations: Sequence[str] = ()) -> Any:
        """Return the endorsed `common.Envelope` for the client to sign. Raises GatewayFailure.

        Private values are kept, durably, until the transaction is committed or long overdue.
        """
        try:
            proposal, caller = self._proposer(signed_proposal)
            with self._ground(proposal) as (height, ground):
                envelope, private = self._peers.endorse(proposal, caller, ground, organizations)
            if private is not None:
                self._chain.keep_private(proposal.transaction_id, height, private)
        except GatewayFailure:
            raise
        except NotServed as error:
            raise error.endorsing(organizations) from error
        except (ProposalRefused, BflError) as error:
            raise _endorse_failure(error, is_planned=bool(organizations)) from error
        return envelope

    def order(self, envelope: Any) -> str:
        """Hand a signed `common.Envelope` to the orderer and return its transaction id. Raises GatewayFailure.

        That the orderer has it promises nothing; `transaction_status` tells whether it was committed.
        """
        try:
            transaction = self._access.require_orderable(envelope.payload, envelope.signature)
        except OrderRefused as error:
            raise GatewayFailure(
                GatewayStatus.ABORTED,
                f"received unsuccessful response from orderer: status={error.status}, info={error}",
            ) from error
        entry = write(common_pb2.Envelope(payload=envelope.payload, signature=envelope.signature))
        size = len(envelope.payload) + len(envelope.signature)
        with self._cutter_lock:
            if self._stalled:
                raise GatewayFailure(
                    GatewayStatus.UNAVAILABLE,
                    "no orderers could successfully process transaction",
                    (GatewayDetail("orderer", self._maker.msp_id, self._stalled),),
                )
            ordered = Ordered(transaction.transaction_id, entry, size)
            self._cutter.add(ordered, self._network.clock.now_ms())
        return transaction.transaction_id

    def cut(self, force: bool = False) -> list[int]:
        """Commit the batches whose time has come, with `force` all, and return their block numbers.

        Raises StorageFull or LedgerUnavailable when a block cannot be stored; its transactions wait and the next
        call tries again.
        """
        numbers: list[int] = []
        with self._commit_lock:
            with self._cutter_lock:
                self._cutter.cut_due(self._network.clock.now_ms(), force=force)
            while (batch := self._cutter.first()) is not None:
                try:
                    numbers.append(self._chain.commit([one.entry for one in batch], self._maker.make))
                except BflError as error:
                    self._stalled = str(error)
                    raise
                with self._cutter_lock:
                    self._stalled = ""
                    self._cutter.drop_first()
        return numbers

    def cut_due_at_ms(self) -> int | None:
        """Return when `cut` has something to do next, 0 for now, None while no transaction waits."""
        with self._cutter_lock:
            return self._cutter.due_at_ms()

    # --- what is committed ----------------------------------------------------------------------

    @property
    def config(self) -> ChannelConfig:
        """The channel's configuration."""
        return self._chain.config

    @property
    def height(self) -> int:
        """The number of committed blocks."""
        return self._chain.height

    @property
    def genesis_digest(self) -> str:
        """The hash of block 0 in lower-case hex, which pins the channel."""
        return parse_block(self.raw_block(0)).hash.hex()

    @property
    def storage_problem(self) -> str:
        """Why blocks cannot be stored at the moment, "" when they can."""
        return self._stalled

    @property
    def access(self) -> AccessControl:
        """The checks of who may read."""
        return self._access

    def transaction_status(self, transaction_id: str) -> TransactionPlace | None:
        """Return where a transaction was committed and with which validation code, None if it was not."""
        return self.transaction_places([transaction_id]).get(transaction_id)

    def transaction_places(self, transaction_ids: Iterable[str]) -> dict[str, TransactionPlace]:
        """Return the status of those of the transactions that are committed."""
        with self._chain.snapshot() as snapshot:
            found = {name: snapshot.find_transaction(name) for name in transaction_ids}
        return {name: place for name, place in found.items() if place is not None}

    def raw_block(self, number: int) -> bytes:
        """Return a serialized `common.Block`. Raises NotFound."""
        return self._chain.raw_block(number)

    def events(self, from_block: int, limit: int = 1000) -> list[tuple[int, bytes]]:
        """Return block numbers and serialized chaincode events in order; never a part of a block's events only."""
        with self._chain.snapshot() as snapshot:
            return snapshot.events(from_block, limit)

    def close(self) -> None:
        """Give everything back. Nothing is written: what was promised is stored, what was not is gone."""
        self._chain.close()

    # --- details --------------------------------------------------------------------------------

    def _proposer(self, signed_proposal: Any) -> tuple[Proposal, Member]:
        try:
            return self._access.proposer(signed_proposal.proposal_bytes, signed_proposal.signature)
        except MalformedInput as error:
            raise GatewayFailure(
                GatewayStatus.INVALID_ARGUMENT, f"failed to unpack transaction proposal: {error}"
            ) from error

    @contextmanager
    def _ground(self, proposal: Proposal) -> Iterator[tuple[int, Ground]]:
        """Give height and state for a simulation. Raises NotServed, ProposalRefused."""
        with self._chain.snapshot() as snapshot:
            deployed = self._find_deployed(snapshot, proposal.invocation.chaincode)
            if deployed is None:
                raise NotServed(proposal, is_channel_known=True)
            if snapshot.find_transaction(proposal.transaction_id):
                raise ProposalRefused(
                    f"duplicate transaction found [{proposal.transaction_id}]. "
                    f"Creator [{proposal.creator.hex()}]"
                )
            yield snapshot.height, Ground(snapshot, deployed, self._chain.modification)

    def _find_deployed(self, snapshot: Snapshot, name: str) -> DeployedChaincode | None:
        """Return the chaincode; its definition in block 1 is the only one that there ever is."""
        if name not in self._deployed:
            found = find_chaincode(snapshot, name)
            if found is None:
                return None
            self._deployed[name] = found
        return self._deployed[name]


def _peer(config: ChannelConfig, network: Network, signer: Signer) -> Peer:
    member = _member(config, signer, "peer")
    if Role.PEER not in member.roles:
        raise ConfigurationError(f"{member.msp_id}/{member.identity.common_name}: not a peer's certificate")
    return Peer(signer, member, network.chaincode_factory())


def _maker(config: ChannelConfig, orderer: Signer) -> BlockMaker:
    member = _member(config, orderer, "orderer")
    if not config.satisfies(BLOCK_VALIDATION, [member]):
        raise ConfigurationError(
            f"{member.msp_id}/{member.identity.common_name}: not an orderer of the channel"
        )
    return BlockMaker(orderer, member.msp_id)


def _member(config: ChannelConfig, signer: Signer, what: str) -> Member:
    try:
        return config.admit(signer.creator)
    except (MalformedInput, NotTrusted) as error:
        raise ConfigurationError(
            f"the {what}'s identity is not of channel {config.channel_id}: {error}"
        ) from error


def _deployed(chain: Chain, chaincode: str) -> None:
    with chain.snapshot() as snapshot:
        if find_chaincode(snapshot, chaincode) is None:
            raise ConfigurationError(
                f"chaincode {chaincode} could not be defined: the peers do not satisfy the channel's policy"
            )


@contextmanager
def _evaluating(organizations: Sequence[str]) -> Iterator[None]:
    """Say what goes wrong in the words of an evaluation."""
    try:
        yield
    except NotServed as error:
        raise error.evaluating(organizations) from error
    except ProposalRefused as error:
        raise _evaluate_failure(error) from error


def _evaluate_failure(error: ProposalRefused) -> GatewayFailure:
    if error.is_filtered:
        message = "failed to evaluate transaction, see attached details for more info"
        return GatewayFailure(GatewayStatus.UNAVAILABLE, message, (_told(error),))
    message = f"evaluate call to endorser returned error: {error}"
    return GatewayFailure(GatewayStatus.FAILED_PRECONDITION, message, (_told(error),))


def _endorse_failure(error: Exception, *, is_planned: bool) -> GatewayFailure:
    what = "collect enough transaction endorsements" if is_planned else "endorse transaction"
    message = f"failed to {what}, see attached details for more info"
    return GatewayFailure(GatewayStatus.ABORTED, message, (_told(error),))


def _told(error: Exception) -> GatewayDetail:
    return GatewayDetail("embedded", "", str(error))
