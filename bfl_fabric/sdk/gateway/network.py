"""Gateway, network, contract: the shape that users of hfc and of fabric-gateway know, in asyncio.

Decides how a call is put together and that a submission whose answer got lost is asked about before anything is sent
again. What contracts mean by their bytes is left to the application.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from bfl_fabric.clock import SystemClock
from bfl_fabric.domain.ports import Checkpoint, Clock
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric.gateway_grpc import GrpcGatewayTransport, TlsMaterial
from bfl_fabric.fabric.gateway_transport import Deadlines, GatewayTransport
from bfl_fabric.fabric.identity import Identity, Signer, SigningIdentity
from bfl_fabric.fabric.proposal import NONCE_BYTES, Invocation, build_proposal
from bfl_fabric.fabric.submission import Persistence, Submission
from bfl_fabric.sdk.gateway import transactions
from bfl_fabric.sdk.gateway.signing import CallbackSigner, SignDigest, SignedBefore, sign
from bfl_fabric.sdk.gateway.streams import ChaincodeEvent, ChannelStreams
from bfl_fabric.sdk.gateway.transactions import (
    AsyncCommit,
    AsyncProposal,
    AsyncTransaction,
    CommitStatus,
    Session,
)

Argument = str | bytes


class _Named(Protocol):
    @property
    def chaincode(self) -> str: ...


class AsyncContract:
    """A chaincode on a channel, or one of the contracts in it."""

    def __init__(self, session: Session, channel_id: str, chaincode: str, contract: str = "") -> None:
        self._session = session
        self._channel_id = channel_id
        self._prefix = f"{contract}:" if contract else ""
        self.chaincode = chaincode

    async def evaluate(
        self,
        name: str,
        *arguments: Argument,
        transient: Mapping[str, Argument] | None = None,
        organizations: Sequence[str] = (),
    ) -> bytes:
        """Return what one peer answers; nothing is recorded.

        `organizations` limits whose peers may be asked; name them where `transient` is meant for some only. Raises
        EvaluateFailed.
        """
        proposal = self.new_proposal(
            name, *arguments, transient=transient, endorsing_organizations=organizations
        )
        return await proposal.evaluate()

    async def submit(
        self,
        name: str,
        *arguments: Argument,
        transient: Mapping[str, Argument] | None = None,
        endorsing_organizations: Sequence[str] = (),
    ) -> bytes:
        """Run a transaction and return its result once it is committed and valid.

        When handing it over fails, its commit status is asked for before the same transaction is handed over again.
        Raises EndorseFailed, SubmitError, CommitStatusError (the outcome is open), CommitFailed (it is invalid).
        """
        proposal = self.new_proposal(
            name, *arguments, transient=transient, endorsing_organizations=endorsing_organizations
        )
        transaction = await proposal.endorse()
        (await self._settled(transaction)).require_successful()
        return transaction.result

    async def submit_async(
        self,
        name: str,
        *arguments: Argument,
        transient: Mapping[str, Argument] | None = None,
        endorsing_organizations: Sequence[str] = (),
    ) -> tuple[bytes, AsyncCommit]:
        """Run a transaction and return its result as soon as the orderers have it, and where to ask for the rest.

        Raises EndorseFailed, SubmitFailed.
        """
        proposal = self.new_proposal(
            name, *arguments, transient=transient, endorsing_organizations=endorsing_organizations
        )
        transaction = await proposal.endorse()
        return transaction.result, await transaction.submit()

    def new_proposal(
        self,
        name: str,
        *arguments: Argument,
        transient: Mapping[str, Argument] | None = None,
        endorsing_organizations: Sequence[str] = (),
    ) -> AsyncProposal:
        """Return the call as a proposal: to be evaluated or endorsed step by step, or signed elsewhere."""
        invocation = Invocation(
            self._channel_id,
            self.chaincode,
            (_raw(self._prefix + name), *map(_raw, arguments)),
            {key: _raw(value) for key, value in (transient or {}).items()},
        )
        nonce = secrets.token_bytes(NONCE_BYTES)
        creator, now_ms = self._session.identity.creator, self._session.clock.now_ms()
        return AsyncProposal(
            self._session, build_proposal(invocation, creator, nonce, now_ms), endorsing_organizations
        )

    async def _settled(self, transaction: AsyncTransaction) -> CommitStatus:
        session = self._session
        endorsed = await transaction.signed()
        signature = await sign(session.signer, transaction.commit.request)
        signer = SignedBefore(session.identity.creator, signature)
        submission = Submission(session.transport, signer, session.clock, session.deadlines, Persistence())
        outcome = await submission.settle(endorsed)
        return CommitStatus(transaction.transaction_id, outcome.code, outcome.block_number)


class AsyncNetwork:
    """A channel."""

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self._streams = ChannelStreams(session, name, Persistence())
        self.name = name

    def contract(self, chaincode: str, contract: str = "") -> AsyncContract:
        """Return a chaincode; with `contract`, the one of its contracts that has this name."""
        return AsyncContract(self._session, self.name, chaincode, contract)

    def events(
        self, contract: _Named | str, *, after: Checkpoint | None = None, start_block: int | None = None
    ) -> AsyncIterator[ChaincodeEvent]:
        """Yield the events of a chaincode without end: behind a checkpoint, from a block on, or from now on.

        A stream that breaks off goes on behind the last event. Raises LedgerError when it is refused.
        """
        name = contract if isinstance(contract, str) else contract.chaincode
        return self._streams.events(name, after, start_block)

    def blocks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Yield serialized `common.Block`s, to `stop` inclusive or without end. Raises LedgerError."""
        return self._streams.blocks(start, stop)


class AsyncGateway:
    """A connection to a peer's gateway in the name of an identity. Make it with `connect_async`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def identity(self) -> Identity:
        return self._session.identity

    def network(self, channel: str) -> AsyncNetwork:
        return AsyncNetwork(self._session, channel)

    def new_signed_proposal(self, proposal: bytes, signature: bytes) -> AsyncProposal:
        """Go on with `proposal.to_bytes()` and a signature over its digest.

        Raises MalformedInput, ConfigurationError.
        """
        return transactions.signed_proposal(self._session, proposal, signature)

    def new_signed_transaction(self, transaction: bytes, signature: bytes) -> AsyncTransaction:
        """Go on with `transaction.to_bytes()` and a signature over its digest. Raises as new_signed_proposal."""
        return transactions.signed_transaction(self._session, transaction, signature)

    def new_signed_commit(self, commit: bytes, signature: bytes) -> AsyncCommit:
        """Go on with `commit.to_bytes()` and a signature over its digest. Raises as new_signed_proposal."""
        return transactions.signed_commit(self._session, commit, signature)

    async def close(self) -> None:
        """Release the connection; what is under way fails."""
        await self._session.transport.close()

    async def __aenter__(self) -> AsyncGateway:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def connect_async(
    address: str,
    identity: Identity | SigningIdentity,
    *,
    tls_roots: bytes | str | Path,
    signer: SignDigest | None = None,
    server_name: str = "",
    tls_certificate: bytes | None = None,
    tls_key: bytes | None = None,
    deadlines: Deadlines | None = None,
) -> AsyncGateway:
    """Connect to the gateway of a peer at host:port; call it inside a running event loop.

    `identity` is a certificate (`Identity.of`), or a certificate with its key (`SigningIdentity.load`). `signer` signs
    digests elsewhere (HSM, KMS); without it and without a key, everything is signed offline. `tls_roots` are the
    authorities of the peer's TLS certificate, PEM or where the PEM is; `server_name` is the name in that certificate
    where it differs from the host; `tls_certificate` and `tls_key` are for peers that ask for one. Raises
    ConfigurationError.
    """
    tls = TlsMaterial(_pem(tls_roots), tls_certificate, tls_key)
    transport = GrpcGatewayTransport(address, tls, server_name)
    return open_gateway(transport, identity, signer, deadlines)


def open_gateway(
    transport: GatewayTransport,
    identity: Identity | SigningIdentity,
    signer: SignDigest | None = None,
    deadlines: Deadlines | None = None,
    clock: Clock | None = None,
) -> AsyncGateway:
    """Do the same over a transport that is there already, e.g. the embedded ledger in this process."""
    public, signs = _who(identity, signer)
    return AsyncGateway(Session(transport, public, signs, clock or SystemClock(), deadlines or Deadlines()))


def _who(
    identity: Identity | SigningIdentity, sign_digest: SignDigest | None
) -> tuple[Identity, Signer | None]:
    if isinstance(identity, Identity):
        return identity, None if sign_digest is None else CallbackSigner(identity, sign_digest)
    public = Identity.parse_strict(identity.creator)
    return public, identity if sign_digest is None else CallbackSigner(public, sign_digest)


def _pem(roots: bytes | str | Path) -> bytes:
    if isinstance(roots, bytes):
        return roots
    try:
        return Path(roots).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{roots}: cannot read the TLS authorities: {error}") from error


def _raw(argument: Argument) -> bytes:
    if isinstance(argument, str):
        return argument.encode()
    return bytes(argument)
