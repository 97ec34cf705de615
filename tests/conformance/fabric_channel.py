"""A real Fabric network as a `ProbeChannel`: three organizations, mutual TLS to three contract services."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bfl_fabric.audit.compare import compare
from bfl_fabric.fabric.authority import CertificateAuthority
from bfl_fabric.fabric.gateway_transport import GatewayStatus, GatewayTransport
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.network import directory as directories
from bfl_fabric.network.programs import Programs, program_version
from tests.conformance.embedded_channel import COLLECTIONS
from tests.conformance.federation import CHAINCODE, CHANNEL, MSP_IDS
from tests.conformance.probe import Probe
from tests.conformance.probe_network import PROBE_SERVICE, ProbeNetwork


class FabricChannel:
    """A network that runs between `start` and `stop`; nothing of it is left afterwards but its directory."""

    channel_id = CHANNEL
    chaincode = CHAINCODE
    msp_ids = MSP_IDS
    names_differences = False

    def __init__(self, directory: Path, programs: Programs, consensus: str) -> None:
        self.network = ProbeNetwork(directory, programs, consensus, PROBE_SERVICE)
        self.is_strict = not program_version(programs.path("peer")).startswith("2.")
        self._clients = [self.network.client(number) for number in range(len(MSP_IDS))]

    async def start(self) -> None:
        self.network.__enter__()
        try:
            await asyncio.to_thread(self.network.start_all)
            await self.network.bring_up(COLLECTIONS)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        await asyncio.to_thread(self.network.supervisor.stop)

    def transport(self, organization: int) -> GatewayTransport:
        return self.network.transport(organization)

    def client(self, organization: int) -> SigningIdentity:
        return self._clients[organization]

    def member(self, organization: int, ou: str) -> SigningIdentity:
        return self.network.issued(organization, f"another-{ou}", ou)

    def stranger(self, msp_id: str) -> SigningIdentity:
        now, day = datetime.now(tz=UTC), timedelta(days=1)
        authority = CertificateAuthority.create("Elsewhere", "ca.elsewhere", now - day, now + day)
        issued = authority.issue_identity("stranger", "client")
        return SigningIdentity.from_pem(msp_id, issued.certificate_pem, issued.key_pem)

    def expired(self, organization: int) -> SigningIdentity:
        return self.network.expired(organization)

    @property
    def checks_proposal_time(self) -> bool:
        return self.network.checks_proposal_time

    @property
    def genesis_digest(self) -> str:
        return directories.genesis_digest(self.network.directory)

    @property
    def not_ordered(self) -> GatewayStatus:
        is_bft = len(self.network.plan.orderers) > 1
        return GatewayStatus.UNAVAILABLE if is_bft else GatewayStatus.ABORTED

    def verify_copies(self, probe: Probe) -> int:
        """Hold the chains of all peers against each other: validation codes and commit hashes too."""
        copies = {msp_id: probe.blocks(number) for number, msp_id in enumerate(MSP_IDS)}
        comparison = compare(copies)
        assert comparison.agreed, [str(one) for one in comparison.differences]
        assert comparison.without_codes == ()
        assert len(set(comparison.heights.values())) == 1, comparison.heights
        return comparison.compared
