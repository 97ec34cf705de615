"""What a channel must offer so that the conformance suite can run on it, and a plain client for it.

The suite is written against `ProbeChannel` only. The embedded ledger, in process and over gRPC, is one; real Fabric
networks with the probe contract behind their peers are the others.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2

from bfl_fabric.fabric.deliver import Seek, Stamp, seek_envelope
from bfl_fabric.fabric.endorsement import sign_envelope
from bfl_fabric.fabric.envelopes import ValidationCode, parse_envelope, parse_payload
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus, GatewayTransport
from bfl_fabric.fabric.identity import Identity, SigningIdentity
from bfl_fabric.fabric.proposal import Invocation, Proposal, build_proposal, sign_proposal
from bfl_fabric.fabric.wire import write

SECONDS = 20.0
T = TypeVar("T")
Argument = str | bytes


class ProbeChannel(Protocol):
    """A channel of three organizations with the probe contract, two of three endorsements, and private collections.

    The collections `shared` and `open` belong to the first two organizations, `own` to the first; only members may
    read or write them, but for `open`. `brief` is everybody's, for two blocks. Blocks are cut by themselves within a
    second.
    """

    channel_id: str
    chaincode: str
    msp_ids: tuple[str, ...]

    def transport(self, organization: int) -> GatewayTransport:
        """Return the gateway of an organization's peer, made for the loop that runs `run`."""

    def client(self, organization: int) -> SigningIdentity:
        """Return a client's identity of an organization."""

    def stranger(self, msp_id: str) -> SigningIdentity:
        """Return an identity that claims to be of `msp_id` and was issued by somebody else."""

    def member(self, organization: int, ou: str) -> SigningIdentity:
        """Return a new identity of an organization with this OU."""

    def expired(self, organization: int) -> SigningIdentity:
        """Return an identity of an organization whose certificate is no longer good."""

    @property
    def names_differences(self) -> bool:
        """Whether a refusal of peers that differ also says in what (Fabric's gateway only logs it)."""

    @property
    def is_strict(self) -> bool:
        """Whether the gateway itself checks status requests, and certificates on evaluate: from 3.0 on."""

    @property
    def not_ordered(self) -> GatewayStatus:
        """How the gateway calls it when the orderers refuse: ABORTED, with BFT's many orderers UNAVAILABLE."""

    @property
    def checks_proposal_time(self) -> bool:
        """Whether peers turn away proposals that are too old or too young (3.x, by a filter)."""

    @property
    def genesis_digest(self) -> str: ...


@dataclass(frozen=True)
class Endorsed:
    """An endorsed transaction that can be handed over whenever a test likes."""

    transaction_id: str
    payload: bytes
    result: bytes
    signer: SigningIdentity

    @property
    def endorser_count(self) -> int:
        return len(self.endorsers)

    @property
    def endorsers(self) -> list[str]:
        """The MSP ids of the endorsing peers, in alphabetical order."""
        endorsements = parse_payload(self.payload, b"").endorsed().endorsements
        return sorted(Identity.parse(item.endorser).msp_id for item in endorsements)


@dataclass(frozen=True)
class Committed:
    transaction_id: str
    code: ValidationCode
    block_number: int
    result: bytes

    def json(self) -> Any:
        return json.loads(self.result)


class LoopThread:
    """An event loop in a thread of its own, so that tests can be plain functions."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], seconds: float = SECONDS) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@dataclass
class Call:
    """One call of the contract, before it is made."""

    function: str
    arguments: tuple[Argument, ...] = ()
    organization: int = 0
    signer: SigningIdentity | None = None
    transient: Mapping[str, bytes] = field(default_factory=dict)
    organizations: Sequence[str] = ()
    channel_id: str = ""
    chaincode: str = ""
    at_ms: int = 0
    spoil: Callable[[Any], None] | None = None


class Probe:
    """A client of a channel under test. Refusals come as GatewayFailure."""

    def __init__(self, channel: ProbeChannel, loop: LoopThread) -> None:
        self.channel = channel
        self.loop = loop
        self._transports = [loop.run(self._connect(number)) for number in range(len(channel.msp_ids))]

    async def _connect(self, organization: int) -> GatewayTransport:
        return self.channel.transport(organization)

    # --- one call after the other ---------------------------------------------------------------

    def evaluate(self, function: str, *arguments: Argument, **options: Any) -> bytes:
        return self.loop.run(self.evaluating(Call(function, arguments, **options)))

    def endorse(self, function: str, *arguments: Argument, **options: Any) -> Endorsed:
        return self.loop.run(self.endorsing(Call(function, arguments, **options)))

    def order(self, endorsed: Endorsed) -> None:
        self.loop.run(self.ordering(endorsed))

    def settle(self, endorsed: Endorsed) -> Committed:
        """Hand over and wait for the commit."""
        return self.loop.run(self.settling(endorsed))

    def submit(self, function: str, *arguments: Argument, **options: Any) -> Committed:
        """Endorse, hand over, wait; the transaction must be VALID."""
        committed = self.settle(self.endorse(function, *arguments, **options))
        assert committed.code is ValidationCode.VALID, committed
        return committed

    def status(self, transaction_id: str, seconds: float = SECONDS) -> Committed:
        return self.loop.run(self.asking(transaction_id, self.channel.client(0), seconds))

    def order_of(self, block_number: int) -> list[str]:
        """Return the transactions of a block in their order."""
        (response,) = self.deliver(Seek(block_number, block_number), limit=1)
        return [parse_envelope(raw).transaction_id for raw in response.block.data.data]

    def json(self, function: str, *arguments: Argument, **options: Any) -> Any:
        return json.loads(self.evaluate(function, *arguments, **options))

    def together(self, works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        async def gathered() -> list[T]:
            return list(await asyncio.gather(*works))

        return self.loop.run(gathered(), 4 * SECONDS)

    # --- coroutines -----------------------------------------------------------------------------

    def proposal(self, call: Call) -> tuple[Proposal, SigningIdentity]:
        signer = call.signer or self.channel.client(call.organization)
        invocation = Invocation(
            call.channel_id or self.channel.channel_id,
            call.chaincode or self.channel.chaincode,
            (_raw(call.function), *(_raw(argument) for argument in call.arguments)),
            call.transient,
        )
        at_ms = call.at_ms or time.time_ns() // 1_000_000
        return build_proposal(invocation, signer.creator, secrets.token_bytes(24), at_ms), signer

    async def evaluating(self, call: Call) -> bytes:
        proposal, signer = self.proposal(call)
        request = gateway_pb2.EvaluateRequest(
            transaction_id=proposal.transaction_id,
            channel_id=proposal.invocation.channel_id,
            proposed_transaction=sign_proposal(proposal, signer),
            target_organizations=call.organizations,
        )
        if call.spoil:
            call.spoil(request)
        response = await self._transports[call.organization].evaluate(request, SECONDS)
        return bytes(response.result.payload)

    async def endorsing(self, call: Call, proposal: Proposal | None = None) -> Endorsed:
        fresh, signer = self.proposal(call)
        proposal = proposal or fresh
        request = gateway_pb2.EndorseRequest(
            transaction_id=proposal.transaction_id,
            channel_id=proposal.invocation.channel_id,
            proposed_transaction=sign_proposal(proposal, signer),
            endorsing_organizations=call.organizations,
        )
        if call.spoil:
            call.spoil(request)
        response = await self._transports[call.organization].endorse(request, SECONDS)
        payload = bytes(response.prepared_transaction.payload)
        action = parse_payload(payload, b"").action()
        return Endorsed(proposal.transaction_id, payload, action.response.payload, signer)

    async def ordering(self, endorsed: Endorsed, organization: int = 0) -> None:
        request = gateway_pb2.SubmitRequest(
            transaction_id=endorsed.transaction_id,
            channel_id=self.channel.channel_id,
            prepared_transaction=sign_envelope(endorsed.payload, endorsed.signer),
        )
        try:
            await self.submitting(request, organization)
        except GatewayFailure as failure:
            # A false alarm of BFT: another orderer had handed the transaction on already. It will be committed.
            if "request already processed" not in str(failure):
                raise

    async def submitting(self, request: Any, organization: int = 0) -> None:
        await self._transports[organization].submit(request, SECONDS)

    async def settling(self, endorsed: Endorsed) -> Committed:
        """Hand over and wait until every organization's peer has committed; all must say the same of it."""
        await self.ordering(endorsed)
        asked = [
            self.asking(endorsed.transaction_id, endorsed.signer, organization=number)
            for number in range(len(self._transports))
        ]
        committed, *others = await asyncio.gather(*asked)
        assert all(other == committed for other in others), (committed, others)
        return Committed(endorsed.transaction_id, committed.code, committed.block_number, endorsed.result)

    async def calling(self, call: Call) -> Committed:
        return await self.settling(await self.endorsing(call))

    async def asking(
        self,
        transaction_id: str,
        signer: SigningIdentity,
        seconds: float = SECONDS,
        /,
        organization: int = 0,
        **changes: Any,
    ) -> Committed:
        values = {
            "transaction_id": transaction_id,
            "channel_id": self.channel.channel_id,
            "identity": signer.creator,
            **changes,
        }
        raw = write(gateway_pb2.CommitStatusRequest(**values))
        signed = gateway_pb2.SignedCommitStatusRequest(request=raw, signature=signer.sign(raw))
        return await self.asking_raw(signed, transaction_id, seconds, organization)

    async def asking_raw(
        self, signed: Any, transaction_id: str = "", seconds: float = SECONDS, organization: int = 0
    ) -> Committed:
        response = await self._transports[organization].commit_status(signed, seconds)
        return Committed(transaction_id, ValidationCode(response.result), response.block_number, b"")

    # --- streams --------------------------------------------------------------------------------

    def events(self, count: int, **request: Any) -> list[tuple[int, Any]]:
        """Return the first `count` events and their block numbers."""
        return self.loop.run(self.reading_events(count, **request))

    async def reading_events(self, count: int, **request: Any) -> list[tuple[int, Any]]:
        found: list[tuple[int, Any]] = []
        async for response in self.event_stream(**request):
            found += [(response.block_number, event) for event in response.events]
            if len(found) >= count:
                break
        return found

    def event_stream(
        self, start: int | None = None, after: str = "", chaincode: str = "", signer: Any = None
    ) -> AsyncIterator[Any]:
        signer = signer or self.channel.client(0)
        request = gateway_pb2.ChaincodeEventsRequest(
            channel_id=self.channel.channel_id,
            chaincode_id=chaincode or self.channel.chaincode,
            identity=signer.creator,
            after_transaction_id=after,
        )
        if start is not None:
            request.start_position.specified.number = start
        raw = write(request)
        return self._transports[0].chaincode_events(
            gateway_pb2.SignedChaincodeEventsRequest(request=raw, signature=signer.sign(raw))
        )

    def seek(
        self, seek: Seek, signer: SigningIdentity | None = None, at_ms: int = 0, channel_id: str = ""
    ) -> Any:
        """Return the signed envelope that asks for these blocks."""
        stamp = Stamp(secrets.token_bytes(24), at_ms or time.time_ns() // 1_000_000)
        return seek_envelope(
            channel_id or self.channel.channel_id, seek, signer or self.channel.client(0), stamp
        )

    def signed_seek(self, seek: Any) -> Any:
        """Return the signed envelope with an `orderer.SeekInfo` of the test's own making."""
        envelope = self.seek(Seek(0, 0))
        payload = common_pb2.Payload.FromString(envelope.payload)
        payload.data = write(seek)
        raw = write(payload)
        return common_pb2.Envelope(payload=raw, signature=self.channel.client(0).sign(raw))

    def deliver(self, seek: Seek, limit: int = 10_000, **options: Any) -> list[Any]:
        """Return the responses of a delivery until its status, at most `limit` of them."""
        return self.loop.run(self.delivering(self.seek(seek, **options), limit))

    async def delivering(self, envelope: Any, limit: int = 10_000, organization: int = 0) -> list[Any]:
        found: list[Any] = []
        async for response in self._transports[organization].deliver(envelope):
            found.append(response)
            if len(found) >= limit or response.WhichOneof("Type") == "status":
                break
        return found

    def blocks(self, organization: int = 0) -> list[bytes]:
        """Return all blocks up to the newest, as an organization's peer has them."""
        work = self.delivering(self.seek(Seek(0, None, wait=False)), organization=organization)
        responses = self.loop.run(work, 4 * SECONDS)
        return [write(item.block) for item in responses if item.WhichOneof("Type") == "block"]

    def close(self) -> None:
        for transport in self._transports:
            self.loop.run(transport.close())


def unique(name: str) -> str:
    """Return a key that no other test uses."""
    return f"{name}-{secrets.token_hex(6)}"


def _raw(argument: Argument) -> bytes:
    return argument.encode() if isinstance(argument, str) else argument
