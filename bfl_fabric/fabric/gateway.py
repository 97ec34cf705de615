"""The ledger through a peer's gateway: the port `Ledger` on a real Fabric network or on the embedded ledger.

Decides when a transaction is tried again with a fresh proposal (reads that no longer stood, peers that disagreed or
were not there), what is remembered of a transaction whose outcome is open, and how streams go on where they broke
off. What may be sent again within one transaction is decided by `bfl_fabric.fabric.submission`; what the contract
says is left to the callers.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fabric_protos.gateway import gateway_pb2

from bfl_chaincode.api import canonical
from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.events import ContractEvent
from bfl_chaincode.api.records import from_json
from bfl_fabric.domain.ports import Checkpoint, Clock, Commit, LedgerEvent
from bfl_fabric.errors import (
    CommitFailed,
    CommitStatusError,
    EndorseError,
    EvaluateError,
    LedgerError,
    LedgerUnavailable,
    MalformedInput,
)
from bfl_fabric.fabric.deliver import Seek, Stamp, read_block, seek_envelope
from bfl_fabric.fabric.envelopes import ValidationCode
from bfl_fabric.fabric.gateway_grpc import GrpcGatewayTransport, TlsMaterial
from bfl_fabric.fabric.gateway_transport import (
    Deadlines,
    GatewayDetail,
    GatewayFailure,
    GatewayStatus,
    GatewayTransport,
)
from bfl_fabric.fabric.identity import Signer
from bfl_fabric.fabric.proposal import NONCE_BYTES, Invocation, Proposal, build_proposal
from bfl_fabric.fabric.submission import Endorsed, EndorsersDisagree, Outcome, Persistence, Submission
from bfl_fabric.fabric.wire import write

__all__ = [
    "ChannelAddress",
    "Deadlines",
    "GatewayDetail",
    "GatewayFailure",
    "GatewayLedger",
    "GatewaySettings",
    "GatewayStatus",
    "GatewayTransport",
    "GrpcGatewayTransport",
    "Persistence",
    "TlsMaterial",
]

_LOG = logging.getLogger(__name__)
_STALE = frozenset({ValidationCode.MVCC_READ_CONFLICT, ValidationCode.PHANTOM_READ_CONFLICT})
_LASTING = frozenset(
    {
        GatewayStatus.INVALID_ARGUMENT,
        GatewayStatus.NOT_FOUND,
        GatewayStatus.PERMISSION_DENIED,
        GatewayStatus.UNAUTHENTICATED,
        GatewayStatus.UNIMPLEMENTED,
    }
)


@dataclass(frozen=True, slots=True)
class ChannelAddress:
    """Which contract is meant."""

    channel_id: str
    chaincode: str


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What a ledger client may be told beside its address: patience and randomness."""

    deadlines: Deadlines = field(default_factory=Deadlines)
    persistence: Persistence = field(default_factory=Persistence)
    nonce: Callable[[int], bytes] = secrets.token_bytes


class GatewayLedger:
    """The port `Ledger` for one identity on one channel. Use it within one event loop."""

    def __init__(
        self,
        transport: GatewayTransport,
        signer: Signer,
        address: ChannelAddress,
        clock: Clock,
        settings: GatewaySettings | None = None,
    ) -> None:
        self._settings = settings or GatewaySettings()
        self._transport = transport
        self._signer = signer
        self._address = address
        self._clock = clock
        self._submission = Submission(
            transport, signer, clock, self._settings.deadlines, self._settings.persistence
        )
        self._open: dict[tuple[str, bytes], Endorsed] = {}

    async def evaluate(self, transaction: str, request: Mapping[str, Json]) -> Json:
        proposal = self._proposal(transaction, canonical.dump(request))
        return _answer(await self._submission.evaluate(proposal), proposal.transaction_id, EvaluateError)

    async def submit(self, transaction: str, request: Mapping[str, Json]) -> Commit:
        key = (transaction, canonical.dump(request))
        commit = await self._settle_open(key)
        attempts = self._settings.persistence.attempts
        for attempt in range(attempts):
            if commit is not None:
                break
            if attempt:
                await self._pause(attempt - 1)
            commit = await self._attempt(key, last=attempt + 1 == attempts)
        if commit is None:
            raise LedgerUnavailable(f"{transaction}: given up after {attempts} attempts")
        return commit

    async def events(
        self, after: Checkpoint | None = None, *, start_block: int | None = None
    ) -> AsyncIterator[LedgerEvent]:
        position = after
        first = start_block
        attempt = 0
        while True:
            try:
                if position is None and first is None:
                    first = await self._newest() + 1
                async for response in self._transport.chaincode_events(self._event_request(position, first)):
                    attempt = 0
                    for found in _unseen(response, position):
                        position = found.checkpoint
                        yield found
            except GatewayFailure as failure:
                _require_passing(failure, "events")
                _LOG.info("events of %s broke off: %s", self._address.channel_id, failure)
            await self._pause(attempt)
            attempt += 1

    async def blocks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        expected = start
        attempt = 0
        while stop is None or expected <= stop:
            try:
                async for number, block in self._delivered(Seek(expected, stop)):
                    if number != expected:
                        raise LedgerError(f"blocks: the peer delivered block {number} instead of {expected}")
                    expected, attempt = number + 1, 0
                    yield block
            except GatewayFailure as failure:
                _require_passing(failure, "blocks")
                _LOG.info("blocks of %s broke off: %s", self._address.channel_id, failure)
            if stop is None or expected <= stop:
                await self._pause(attempt)
                attempt += 1

    async def newest_block(self) -> int:
        """Return the number of the newest block. Raises LedgerError, LedgerUnavailable."""
        try:
            return await self._newest()
        except GatewayFailure as failure:
            _require_passing(failure, "newest block")
            raise LedgerUnavailable(f"newest block: {failure}") from failure

    async def close(self) -> None:
        """Release the connection."""
        await self._transport.close()

    # --- one transaction ------------------------------------------------------------------------

    async def _attempt(self, key: tuple[str, bytes], *, last: bool) -> Commit | None:
        """Try once with a fresh proposal; return None when it is worth trying again."""
        try:
            endorsed = await self._submission.endorse(self._proposal(*key))
        except (EndorsersDisagree, LedgerUnavailable) as error:
            if last:
                raise
            _LOG.info("%s: trying again: %s", key[0], error)
            return None
        return await self._settled(key, endorsed, last=last)

    async def _settle_open(self, key: tuple[str, bytes]) -> Commit | None:
        """Find out what became of an earlier call with the same request that ended without an answer."""
        endorsed = self._open.pop(key, None)
        if endorsed is None:
            return None
        return await self._settled(key, endorsed, last=False, handed_over=True)

    async def _settled(
        self, key: tuple[str, bytes], endorsed: Endorsed, *, last: bool, handed_over: bool = False
    ) -> Commit | None:
        """Settle a transaction; it is remembered when its outcome stays open or the caller is cancelled."""
        result = _answer(endorsed.response.payload, endorsed.transaction_id)
        try:
            outcome = await self._submission.settle(endorsed, handed_over=handed_over)
        except (CommitStatusError, asyncio.CancelledError):
            self._open[key] = endorsed
            raise
        return self._commit_of(endorsed, outcome, result, last=last)

    def _commit_of(self, endorsed: Endorsed, outcome: Outcome, result: Json, *, last: bool) -> Commit | None:
        if outcome.code is ValidationCode.VALID:
            return Commit(endorsed.transaction_id, outcome.block_number, result)
        if outcome.code in _STALE and not last:
            _LOG.info("transaction %s: %s, trying again", endorsed.transaction_id, outcome.code.name)
            return None
        raise CommitFailed(
            f"the transaction is in block {outcome.block_number} and invalid: {outcome.code.name}",
            endorsed.transaction_id,
            int(outcome.code),
        )

    def _proposal(self, transaction: str, request: bytes) -> Proposal:
        invocation = Invocation(
            self._address.channel_id, self._address.chaincode, (transaction.encode(), request)
        )
        nonce = self._settings.nonce(NONCE_BYTES)
        return build_proposal(invocation, self._signer.creator, nonce, self._clock.now_ms())

    # --- streams --------------------------------------------------------------------------------

    async def _newest(self) -> int:
        """Return the number of the newest block."""
        async for number, _ in self._delivered(Seek(None, None, wait=False)):
            return number
        raise GatewayFailure(GatewayStatus.UNAVAILABLE, "the peer delivered no newest block")

    async def _delivered(self, seek: Seek) -> AsyncIterator[tuple[int, bytes]]:
        stamp = Stamp(self._settings.nonce(NONCE_BYTES), self._clock.now_ms())
        envelope = seek_envelope(self._address.channel_id, seek, self._signer, stamp)
        async for response in self._transport.deliver(envelope):
            block = read_block(response)
            if block is None:
                return
            yield block

    async def _pause(self, attempt: int) -> None:
        await self._settings.persistence.pause(self._clock, attempt)

    def _event_request(self, position: Checkpoint | None, first: int | None) -> Any:
        request = gateway_pb2.ChaincodeEventsRequest(
            channel_id=self._address.channel_id,
            chaincode_id=self._address.chaincode,
            identity=self._signer.creator,
        )
        if position is not None and not position.transaction_id:
            request.start_position.specified.number = position.block_number + 1
        elif position is not None:
            request.start_position.specified.number = position.block_number
            request.after_transaction_id = position.transaction_id
        elif first is not None:
            request.start_position.specified.number = first
        raw = write(request)
        return gateway_pb2.SignedChaincodeEventsRequest(request=raw, signature=self._signer.sign(raw))


def _answer(payload: bytes, transaction_id: str, kind: type[LedgerError] = EndorseError) -> Json:
    try:
        return canonical.parse(payload)
    except canonical.NotCanonical as error:
        raise kind(f"the contract's answer is not canonical JSON: {error}", transaction_id) from error


def _ledger_event(message: Any, block_number: int) -> LedgerEvent:
    try:
        event = from_json(ContractEvent, canonical.parse(message.payload))
    except canonical.NotCanonical as error:
        raise MalformedInput(f"event of transaction {message.tx_id}: {error}") from error
    return LedgerEvent(message.event_name, message.tx_id, block_number, event)


def _require_passing(failure: GatewayFailure, what: str) -> None:
    """Raise LedgerError when the failure will not go away by asking again."""
    if failure.status in _LASTING:
        raise LedgerError(f"{what}: {failure}") from failure


def _unseen(response: Any, position: Checkpoint | None) -> Iterator[LedgerEvent]:
    """Yield the events of one block behind a position, whatever the peer sends again."""
    if position is not None and response.block_number < position.block_number:
        return
    ids = [event.tx_id for event in response.events]
    skip = 0
    if position is not None and response.block_number == position.block_number:
        skip = ids.index(position.transaction_id) + 1 if position.transaction_id in ids else 0
    for event in response.events[skip:]:
        yield _ledger_event(event, response.block_number)
