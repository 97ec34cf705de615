"""The embedded ledger as a `ProbeChannel`: in the test's process, or behind its gRPC server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from bfl_fabric.clock import SystemClock
from bfl_fabric.embedded.ledger import EmbeddedLedger, Network
from bfl_fabric.embedded.lifecycle import CollectionDefinition
from bfl_fabric.embedded.server import LedgerServer, ServerTls
from bfl_fabric.embedded.service import InProcessGateway, LedgerService
from bfl_fabric.fabric.authority import CertificateAuthority, Validity
from bfl_fabric.fabric.gateway_grpc import GrpcGatewayTransport, TlsMaterial
from bfl_fabric.fabric.gateway_transport import GatewayStatus, GatewayTransport
from bfl_fabric.fabric.identity import SigningIdentity
from tests.conformance.federation import CHAINCODE, CHANNEL, MSP_IDS, Federation, found
from tests.conformance.probe import Probe
from tests.conformance.probe_contract import ProbeContract

COLLECTIONS = (
    CollectionDefinition("shared", MSP_IDS[:2]),
    CollectionDefinition("own", MSP_IDS[:1]),
    CollectionDefinition("open", MSP_IDS[:2], members_only_read=False, members_only_write=False),
    CollectionDefinition("brief", MSP_IDS, block_to_live=2),
)


def create_ledger(directory: Path, federation: Federation) -> EmbeddedLedger:
    return EmbeddedLedger.create(
        directory,
        federation.genesis,
        federation.peers,
        federation.orderer,
        CHAINCODE,
        ProbeContract,
        SystemClock(),
        COLLECTIONS,
        administrator=federation.clients[0],
    )


def network_of(federation: Federation) -> Network:
    return Network(federation.peers, federation.orderer, ProbeContract, SystemClock())


class EmbeddedChannel:
    """A running embedded ledger; `over_grpc` puts its server between it and the clients."""

    channel_id = CHANNEL
    chaincode = CHAINCODE
    msp_ids = MSP_IDS
    names_differences = True
    checks_proposal_time = True
    is_strict = True
    not_ordered = GatewayStatus.ABORTED

    def __init__(self, directory: Path, *, over_grpc: bool) -> None:
        self.federation = found()
        self.ledger = create_ledger(directory, self.federation)
        self.service = LedgerService(self.ledger, SystemClock())
        self._over_grpc = over_grpc
        self.server: LedgerServer | None = None

    async def start(self) -> None:
        await self.service.start()
        if self._over_grpc:
            issued = self.federation.ordering.tls_authority.issue_tls("gateway")
            self.server = LedgerServer(self.service, ServerTls(issued.certificate_pem, issued.key_pem))
            await self.server.start()

    async def stop(self) -> None:
        self.service.end_streams()
        if self.server is not None:
            await self.server.stop(0.5)
        await self.service.stop()

    def transport(self, organization: int) -> GatewayTransport:
        del organization
        if self.server is None:
            return InProcessGateway(self.service)
        roots = self.federation.ordering.tls_authority.certificate_pem
        return GrpcGatewayTransport(self.server.address, TlsMaterial(roots))

    def client(self, organization: int) -> SigningIdentity:
        return self.federation.clients[organization]

    def member(self, organization: int, ou: str) -> SigningIdentity:
        return self.federation.organizations[organization].identity(f"another-{ou}", ou)

    def stranger(self, msp_id: str) -> SigningIdentity:
        now = datetime.now(tz=UTC)
        day = timedelta(days=1)
        authority = CertificateAuthority.create("Elsewhere", "ca.elsewhere", now - day, now + day)
        issued = authority.issue_identity("stranger", "client")
        return SigningIdentity.from_pem(msp_id, issued.certificate_pem, issued.key_pem)

    def expired(self, organization: int) -> SigningIdentity:
        now = datetime.now(tz=UTC)
        span = Validity(now - timedelta(hours=2), now - timedelta(hours=1))
        home = self.federation.organizations[organization]
        issued = home.authority.issue_identity("expired", "client", {}, span)
        return SigningIdentity.from_pem(home.msp_id, issued.certificate_pem, issued.key_pem)

    @property
    def genesis_digest(self) -> str:
        return self.ledger.genesis_digest

    def verify_copies(self, probe: Probe) -> int:
        """Return how many blocks there are: all organizations share the one copy of an embedded ledger."""
        del probe
        return self.ledger.height
