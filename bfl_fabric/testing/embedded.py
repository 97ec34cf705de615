"""The embedded ledger for a simulation: real certificates, endorsement, blocks and files, and no thread or timer.

Each submitted transaction is cut into a block at once; while a client waits before it asks again, the manual clock
moves. The gateway may lose requests and answers by a seed of its own, below everything that the client does.
"""

from __future__ import annotations

import functools
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from fabric_protos.gateway import gateway_pb2
from fabric_protos.peer import chaincode_event_pb2, proposal_response_pb2

from bfl_chaincode.api import canonical
from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.events import ContractEvent
from bfl_chaincode.api.records import from_json
from bfl_fabric.domain.ports import Checkpoint, Clock, Commit, Ledger, LedgerEvent
from bfl_fabric.embedded.contract import Chaincode, bfl_contract
from bfl_fabric.embedded.ledger import EmbeddedLedger
from bfl_fabric.fabric.authority import CertificateAuthority
from bfl_fabric.fabric.channel import (
    Consenter,
    Endpoint,
    OrdererTrust,
    OrderingTerms,
    OrganizationTrust,
    genesis_block,
)
from bfl_fabric.fabric.gateway import ChannelAddress, GatewayLedger
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.fabric.verifier import ChainVerifier, Counts
from bfl_fabric.testing.clock import ManualClock
from bfl_fabric.testing.contract import Member

CHANNEL, CHAINCODE, ORDERER_MSP = "simulation", "bfl", "OrdererMSP"
VALIDITY = timedelta(days=3650)
T = TypeVar("T")


class PassingClock:
    """An actor's clock whose sleep does not wait: it moves everybody's time."""

    def __init__(self, clock: Clock, base: ManualClock) -> None:
        self._clock = clock
        self._base = base

    def now_ms(self) -> int:
        return self._clock.now_ms()

    async def sleep(self, seconds: float) -> None:
        self._base.move(seconds)


class _Authorities:
    """The certificate authorities of one organization and the identities that they issued."""

    def __init__(self, msp_id: str, at: datetime) -> None:
        span = (at - VALIDITY, at + VALIDITY)
        self.msp_id = msp_id
        self.identities = CertificateAuthority.create(msp_id, f"ca.{msp_id}", *span)
        self.tls = CertificateAuthority.create(msp_id, f"tlsca.{msp_id}", *span)
        self._issued: dict[Member, SigningIdentity] = {}

    def signer(self, member: Member) -> SigningIdentity:
        if member not in self._issued:
            attributes = {"bfl.role": member.role} if member.role else None
            issued = self.identities.issue_identity(member.name, member.ou, attributes)
            self._issued[member] = SigningIdentity.from_pem(
                self.msp_id, issued.certificate_pem, issued.key_pem
            )
        return self._issued[member]


class Consortium:
    """Who plays the channel: one peer per organization and one orderer, made once per process."""

    def __init__(self, msp_ids: Sequence[str], at_ms: int) -> None:
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        self._organizations = {msp_id: _Authorities(msp_id, at) for msp_id in msp_ids}
        ordering = _Authorities(ORDERER_MSP, at)
        self.peers = [self.signer(Member(msp_id, f"peer0.{msp_id}", "peer")) for msp_id in msp_ids]
        self.orderer = ordering.signer(Member(ORDERER_MSP, "orderer0", "orderer"))
        self.genesis = genesis_block(CHANNEL, self._members(), [_trust(ordering)], OrderingTerms(), at_ms)

    def signer(self, member: Member) -> SigningIdentity:
        """Return the identity of a member, the same each time."""
        return self._organizations[member.msp_id].signer(member)

    def _members(self) -> list[OrganizationTrust]:
        return [
            OrganizationTrust(
                msp_id=one.msp_id,
                name=one.msp_id,
                root_certificates=(one.identities.certificate_pem,),
                tls_root_certificates=(one.tls.certificate_pem,),
            )
            for one in self._organizations.values()
        ]


@functools.cache
def consortium(msp_ids: tuple[str, ...], at_ms: int) -> Consortium:
    """Return the one consortium of these organizations: keys are slow to make."""
    return Consortium(msp_ids, at_ms)


@functools.cache
def _contract() -> Chaincode:
    return bfl_contract()


class EmbeddedHost:
    """An embedded ledger in a directory, which a crash may close at any time; its clients go on."""

    def __init__(
        self, directory: Path, msp_ids: Sequence[str], clock: ManualClock, losses: random.Random | None = None
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._losses = losses
        self._answers: dict[tuple[str, str], Json] = {}
        self._answered_at = 0
        self._consortium = consortium(tuple(msp_ids), clock.now_ms())
        one = self._consortium
        self.open = EmbeddedLedger.create(
            directory, one.genesis, one.peers, one.orderer, CHAINCODE, _contract, clock
        )

    def ledger(self, member: Member, clock: Clock) -> Ledger:
        return self._connect(member, clock, self._losses)

    def reliable_ledger(self, member: Member, clock: Clock) -> Ledger:
        return self._connect(member, clock, None)

    def _connect(self, member: Member, clock: Clock, losses: random.Random | None) -> Ledger:
        transport = InlineGateway(self, losses)
        address = ChannelAddress(CHANNEL, CHAINCODE)
        signer = self._consortium.signer(member)
        client = GatewayLedger(transport, signer, address, PassingClock(clock, self._clock))
        return RememberingLedger(client, self)

    def crash(self) -> None:
        """Close the ledger without a word and open it again from its files."""
        self.open.close()
        one = self._consortium
        self.open = EmbeddedLedger.open(self._directory, one.peers, one.orderer, _contract, self._clock)

    def close(self) -> None:
        self.open.close()

    @property
    def answers(self) -> dict[tuple[str, str], Json]:
        """What was asked and answered at the present height; a query that names its caller is never in it."""
        if self._answered_at != self.open.height:
            self._answers, self._answered_at = {}, self.open.height
        return self._answers

    @property
    def history(self) -> list[LedgerEvent]:
        """Return the events of all committed transactions."""
        found = []
        for number, raw in self.open.events(0, limit=1_000_000):
            message = chaincode_event_pb2.ChaincodeEvent.FromString(raw)
            event = from_json(ContractEvent, canonical.parse(message.payload))
            found.append(LedgerEvent(message.event_name, message.tx_id, number, event))
        return found

    def verify(self) -> Counts:
        """Verify the whole chain from its genesis digest. Raises AuditFailed."""
        verifier = ChainVerifier(self.open.genesis_digest)
        for _ in verifier.verify(self.open.raw_block(number) for number in range(self.open.height)):
            continue
        return verifier.counts


class RememberingLedger:
    """A client that does not ask the ledger twice the same at one height: ten actors watch it all the time."""

    def __init__(self, client: GatewayLedger, host: EmbeddedHost) -> None:
        self._client = client
        self._host = host

    async def evaluate(self, transaction: str, request: Mapping[str, Json]) -> Json:
        question = (transaction, canonical.text(request))
        if transaction == "federation:WhoAmI" or question not in self._host.answers:
            answer = await self._client.evaluate(transaction, request)
            self._host.answers[question] = answer
            return answer
        return self._host.answers[question]

    async def submit(self, transaction: str, request: Mapping[str, Json]) -> Commit:
        return await self._client.submit(transaction, request)

    def events(
        self, after: Checkpoint | None = None, *, start_block: int | None = None
    ) -> AsyncIterator[LedgerEvent]:
        return self._client.events(after, start_block=start_block)

    def blocks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        return self._client.blocks(start, stop)


@dataclass(frozen=True, slots=True)
class InlineGateway:
    """A GatewayTransport that calls the ledger on the spot and loses some calls."""

    host: EmbeddedHost
    losses: random.Random | None
    loss_share: float = 0.02

    async def evaluate(self, request: Any, deadline_seconds: float) -> Any:
        response = self._call(lambda: self.host.open.evaluate(request.proposed_transaction))
        result = proposal_response_pb2.Response(
            status=response.status, message=response.message, payload=response.payload
        )
        return gateway_pb2.EvaluateResponse(result=result)

    async def endorse(self, request: Any, deadline_seconds: float) -> Any:
        envelope = self._call(lambda: self.host.open.endorse(request.proposed_transaction))
        return gateway_pb2.EndorseResponse(prepared_transaction=envelope)

    async def submit(self, request: Any, deadline_seconds: float) -> Any:
        self._call(lambda: self._order(request.prepared_transaction))
        return gateway_pb2.SubmitResponse()

    async def commit_status(self, request: Any, deadline_seconds: float) -> Any:
        asked = gateway_pb2.CommitStatusRequest.FromString(request.request)
        place = self._call(lambda: self.host.open.transaction_status(asked.transaction_id))
        if place is None:
            raise GatewayFailure(GatewayStatus.DEADLINE_EXCEEDED, "not committed")
        return gateway_pb2.CommitStatusResponse(result=place.code, block_number=place.block)

    async def chaincode_events(self, request: Any) -> AsyncIterator[Any]:
        raise GatewayFailure(GatewayStatus.UNIMPLEMENTED, "a simulation has no streams")
        yield

    async def deliver(self, envelope: Any) -> AsyncIterator[Any]:
        raise GatewayFailure(GatewayStatus.UNIMPLEMENTED, "a simulation has no streams")
        yield

    async def close(self) -> None:
        """Do nothing: the host owns the ledger."""

    def _order(self, envelope: Any) -> None:
        self.host.open.order(envelope)
        self.host.open.cut(force=True)

    def _call(self, call: Callable[[], T]) -> T:
        """Make the call, losing the request or the answer now and then."""
        if self._is_lost():
            raise GatewayFailure(GatewayStatus.UNAVAILABLE, "the request was lost")
        answer = call()
        if self._is_lost():
            raise GatewayFailure(GatewayStatus.UNAVAILABLE, "the answer was lost")
        return answer

    def _is_lost(self) -> bool:
        return self.losses is not None and self.losses.random() < self.loss_share


def _trust(ordering: _Authorities) -> OrdererTrust:
    tls = ordering.tls.issue_tls("orderer0")
    endpoint = Endpoint("127.0.0.1", 7050)
    return OrdererTrust(
        msp_id=ORDERER_MSP,
        name=ORDERER_MSP,
        root_certificates=(ordering.identities.certificate_pem,),
        tls_root_certificates=(ordering.tls.certificate_pem,),
        consenters=(Consenter(endpoint, tls.certificate_pem, tls.certificate_pem),),
        endpoints=(endpoint,),
    )
