"""The same gateway for ordinary code: every call waits. Objects may be used from several threads.

Decides nothing of its own; each class has the methods of its asyncio twin in `network` and `transactions`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from bfl_fabric.domain.ports import Checkpoint
from bfl_fabric.fabric.gateway_transport import Deadlines
from bfl_fabric.fabric.identity import Identity, SigningIdentity
from bfl_fabric.sdk.gateway.network import Argument, AsyncContract, AsyncGateway, AsyncNetwork, connect_async
from bfl_fabric.sdk.gateway.signing import SignDigest
from bfl_fabric.sdk.gateway.streams import ChaincodeEvent
from bfl_fabric.sdk.gateway.transactions import AsyncCommit, AsyncProposal, AsyncTransaction, CommitStatus
from bfl_fabric.sdk.loop import LoopThread

T = TypeVar("T")


class Commit:
    """A transaction that the orderers have; see `AsyncCommit`."""

    def __init__(self, loop: LoopThread, commit: AsyncCommit) -> None:
        self._loop = loop
        self._commit = commit
        self.transaction_id = commit.transaction_id

    def to_bytes(self) -> bytes:
        """The message for `new_signed_commit`."""
        return self._commit.to_bytes()

    @property
    def digest(self) -> bytes:
        """What is to be signed."""
        return self._commit.digest

    def status(self) -> CommitStatus:
        """Wait for the commit and return how it ended. Raises CommitStatusFailed."""
        return self._loop.run(self._commit.status())


class Transaction:
    """An endorsed transaction; `result` is what the contract returned. See `AsyncTransaction`."""

    def __init__(self, loop: LoopThread, transaction: AsyncTransaction) -> None:
        self._loop = loop
        self._transaction = transaction
        self.transaction_id = transaction.transaction_id
        self.result = transaction.result

    def to_bytes(self) -> bytes:
        """The message for `new_signed_transaction`."""
        return self._transaction.to_bytes()

    @property
    def digest(self) -> bytes:
        """What is to be signed."""
        return self._transaction.digest

    @property
    def commit(self) -> Commit:
        """The question what became of this transaction."""
        return Commit(self._loop, self._transaction.commit)

    def submit(self) -> Commit:
        """Hand the transaction to the orderers. Raises SubmitFailed."""
        return Commit(self._loop, self._loop.run(self._transaction.submit()))


class Proposal:
    """A call of a contract, not yet made; see `AsyncProposal`."""

    def __init__(self, loop: LoopThread, proposal: AsyncProposal) -> None:
        self._loop = loop
        self._proposal = proposal
        self.transaction_id = proposal.transaction_id

    def to_bytes(self) -> bytes:
        """The message for `new_signed_proposal`."""
        return self._proposal.to_bytes()

    @property
    def digest(self) -> bytes:
        """What is to be signed."""
        return self._proposal.digest

    def evaluate(self) -> bytes:
        """Return what one peer answers; nothing is recorded. Raises EvaluateFailed."""
        return self._loop.run(self._proposal.evaluate())

    def endorse(self) -> Transaction:
        """Have the peers run and sign it. Raises EndorseFailed."""
        return Transaction(self._loop, self._loop.run(self._proposal.endorse()))


class Contract:
    """A chaincode on a channel, or one of the contracts in it; see `AsyncContract`."""

    def __init__(self, loop: LoopThread, contract: AsyncContract) -> None:
        self._loop = loop
        self._contract = contract
        self.chaincode = contract.chaincode

    def evaluate(
        self,
        name: str,
        *arguments: Argument,
        transient: Mapping[str, Argument] | None = None,
        organizations: Sequence[str] = (),
    ) -> bytes:
        """Return what one peer answers; nothing is recorded. Raises EvaluateFailed."""
        work = self._contract.evaluate(name, *arguments, transient=transient, organizations=organizations)
        return self._loop.run(work)

    def submit(
        self,
        name: str,
        *arguments: Argument,
        transient: Mapping[str, Argument] | None = None,
        endorsing_organizations: Sequence[str] = (),
    ) -> bytes:
        """Run a transaction and return its result once it is committed and valid.

        Raises EndorseFailed, SubmitError, CommitStatusError (the outcome is open), CommitFailed (it is invalid).
        """
        work = self._contract.submit(
            name, *arguments, transient=transient, endorsing_organizations=endorsing_organizations
        )
        return self._loop.run(work)

    def submit_async(
        self,
        name: str,
        *arguments: Argument,
        transient: Mapping[str, Argument] | None = None,
        endorsing_organizations: Sequence[str] = (),
    ) -> tuple[bytes, Commit]:
        """Run a transaction and return its result as soon as the orderers have it, and where to ask for the rest.

        Raises EndorseFailed, SubmitFailed.
        """
        work = self._contract.submit_async(
            name, *arguments, transient=transient, endorsing_organizations=endorsing_organizations
        )
        result, commit = self._loop.run(work)
        return result, Commit(self._loop, commit)

    def new_proposal(
        self,
        name: str,
        *arguments: Argument,
        transient: Mapping[str, Argument] | None = None,
        endorsing_organizations: Sequence[str] = (),
    ) -> Proposal:
        """Return the call as a proposal: to be evaluated or endorsed step by step, or signed elsewhere."""
        proposal = self._contract.new_proposal(
            name, *arguments, transient=transient, endorsing_organizations=endorsing_organizations
        )
        return Proposal(self._loop, proposal)


class Network:
    """A channel; see `AsyncNetwork`."""

    def __init__(self, loop: LoopThread, network: AsyncNetwork) -> None:
        self._loop = loop
        self._network = network
        self.name = network.name

    def contract(self, chaincode: str, contract: str = "") -> Contract:
        """Return a chaincode; with `contract`, the one of its contracts that has this name."""
        return Contract(self._loop, self._network.contract(chaincode, contract))

    def events(
        self, contract: Contract | str, *, after: Checkpoint | None = None, start_block: int | None = None
    ) -> Iterator[ChaincodeEvent]:
        """Yield the events of a chaincode without end: behind a checkpoint, from a block on, or from now on.

        A stream that breaks off goes on behind the last event. Raises LedgerError when it is refused.
        """
        return _waiting(self._loop, self._network.events(contract, after=after, start_block=start_block))

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield serialized `common.Block`s, to `stop` inclusive or without end. Raises LedgerError."""
        return _waiting(self._loop, self._network.blocks(start, stop))


class Gateway:
    """A connection to a peer's gateway in the name of an identity. Use it in a `with` statement."""

    def __init__(self, loop: LoopThread, gateway: AsyncGateway) -> None:
        self._loop = loop
        self._gateway = gateway

    @property
    def identity(self) -> Identity:
        return self._gateway.identity

    def network(self, channel: str) -> Network:
        return Network(self._loop, self._gateway.network(channel))

    def new_signed_proposal(self, proposal: bytes, signature: bytes) -> Proposal:
        """Go on with `proposal.to_bytes()` and a signature over its digest."""
        return Proposal(self._loop, self._gateway.new_signed_proposal(proposal, signature))

    def new_signed_transaction(self, transaction: bytes, signature: bytes) -> Transaction:
        """Go on with `transaction.to_bytes()` and a signature over its digest."""
        return Transaction(self._loop, self._gateway.new_signed_transaction(transaction, signature))

    def new_signed_commit(self, commit: bytes, signature: bytes) -> Commit:
        """Go on with `commit.to_bytes()` and a signature over its digest."""
        return Commit(self._loop, self._gateway.new_signed_commit(commit, signature))

    def close(self) -> None:
        """Release the connection; what is under way fails."""
        self._loop.run(self._gateway.close())
        self._loop.close()

    def __enter__(self) -> Gateway:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(
    address: str,
    identity: Identity | SigningIdentity,
    *,
    tls_roots: bytes | str | Path,
    signer: SignDigest | None = None,
    server_name: str = "",
    tls_certificate: bytes | None = None,
    tls_key: bytes | None = None,
    deadlines: Deadlines | None = None,
) -> Gateway:
    """Connect to the gateway of a peer at host:port.

    `identity` is a certificate (`Identity.of`), or a certificate with its key (`SigningIdentity.load`). `signer` signs
    digests elsewhere (HSM, KMS); without it and without a key, everything is signed offline. `tls_roots` are the
    authorities of the peer's TLS certificate, PEM or where the PEM is; `server_name` is the name in that certificate
    where it differs from the host; `tls_certificate` and `tls_key` are for peers that ask for one. Raises
    ConfigurationError.
    """

    async def opened() -> AsyncGateway:
        return connect_async(
            address,
            identity,
            tls_roots=tls_roots,
            signer=signer,
            server_name=server_name,
            tls_certificate=tls_certificate,
            tls_key=tls_key,
            deadlines=deadlines,
        )

    loop = LoopThread()
    try:
        return Gateway(loop, loop.run(opened()))
    except BaseException:
        loop.close()
        raise


def _waiting(loop: LoopThread, stream: AsyncIterator[T]) -> Iterator[T]:
    """Yield what an asyncio stream yields; closing the iterator ends the stream."""

    async def following() -> tuple[bool, T | None]:
        try:
            return True, await anext(stream)
        except StopAsyncIteration:
            return False, None

    async def ended() -> None:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()

    try:
        while True:
            is_there, item = loop.run(following())
            if not is_there:
                return
            assert item is not None
            yield item
    finally:
        loop.run(ended())
