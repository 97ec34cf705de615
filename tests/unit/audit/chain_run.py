"""The small run once more, on a real chain: X.509 identities, endorsements, blocks of the embedded ledger."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bfl_chaincode.shim.stub import Creator
from bfl_fabric.audit.blobs import DirectoryFinder
from bfl_fabric.audit.findings import AuditReport
from bfl_fabric.audit.source import read_block_file
from bfl_fabric.audit.verify import AuditOptions, verify_run
from bfl_fabric.embedded.contract import bfl_contract
from bfl_fabric.embedded.ledger import EmbeddedLedger
from bfl_fabric.fabric.authority import CertificateAuthority
from bfl_fabric.fabric.endorsement import sign_envelope
from bfl_fabric.fabric.envelopes import parse_payload
from bfl_fabric.fabric.genesis import genesis_block
from bfl_fabric.fabric.identity import Identity, SigningIdentity
from bfl_fabric.fabric.proposal import Invocation, build_proposal, sign_proposal
from bfl_fabric.fabric.trust import Consenter, Endpoint, OrdererTrust, OrderingTerms, OrganizationTrust
from bfl_fabric.testing.clock import ManualClock
from tests.unit.audit.honest_run import ARITHMETIC, HonestRun
from tests.unit.audit.shared_run import SharedRun

CHANNEL = "training"
CHAINCODE = "bfl"
FROM, UNTIL = datetime(2023, 1, 1, tzinfo=UTC), datetime(2033, 1, 1, tzinfo=UTC)


class ChainRun(HonestRun):
    """Sends every transaction to an embedded ledger; the blocks are in `ledger/blocks.bin`."""

    def __init__(self, directory: Path, **changes: Any) -> None:
        super().__init__(directory / "store", **changes)
        self.directory = directory / "ledger"
        self.clock = ManualClock(self.now)
        self._authorities = {
            msp_id: CertificateAuthority.create(msp_id[:-3], f"ca.{msp_id}", FROM, UNTIL)
            for msp_id in (*self.organizations, "OrdererMSP")
        }
        self._signers: dict[tuple[str, str, str, str], SigningIdentity] = {}
        peers = [self._signer(msp_id, "peer0", "peer") for msp_id in self.organizations]
        orderer = self._signer("OrdererMSP", "orderer0", "orderer")
        self.embedded = EmbeddedLedger.create(
            self.directory, self._genesis(), peers, orderer, CHAINCODE, bfl_contract, self.clock
        )
        self.genesis_digest = self.embedded.genesis_digest

    @property
    def block_file(self) -> Path:
        return self.directory / "blocks.bin"

    def submit(self, who: Creator, transaction: str, **request: Any) -> Any:
        self.now += 1000
        self.clock.jump((self.now - self.clock.now_ms()) / 1000)
        signer = self._of(who)
        invocation = Invocation(CHANNEL, CHAINCODE, (transaction.encode(), json.dumps(request).encode()))
        nonce = len(self._signers).to_bytes(4, "big") + self.now.to_bytes(20, "big")
        proposal = build_proposal(invocation, signer.creator, nonce, self.now)
        prepared = self.embedded.endorse(sign_proposal(proposal, signer))
        self.embedded.order(sign_envelope(prepared.payload, signer))
        self.embedded.cut(force=True)
        place = self.embedded.transaction_status(proposal.transaction_id)
        assert place is not None
        assert place.code == 0
        return json.loads(_result(prepared.payload))

    def audit_chain(self, blocks: Any = None, **options: Any) -> AuditReport:
        """Run the whole audit, on the block file when no blocks are given."""
        return verify_run(
            read_block_file(self.block_file) if blocks is None else blocks,
            self.genesis_digest,
            DirectoryFinder([self.store]),
            self.provider,
            ARITHMETIC,
            options=AuditOptions(**options),
        )

    def _of(self, who: Creator) -> SigningIdentity:
        identity = Identity.of(who["mspid"], who["idBytes"])
        (unit,) = identity.organizational_units
        role = identity.attributes.get("bfl.role", "")
        return self._signer(identity.msp_id, identity.common_name, unit, role)

    def _signer(self, msp_id: str, name: str, unit: str, role: str = "") -> SigningIdentity:
        key = (msp_id, name, unit, role)
        if key not in self._signers:
            attributes = {"bfl.role": role} if role else None
            issued = self._authorities[msp_id].issue_identity(name, unit, attributes)
            self._signers[key] = SigningIdentity.from_pem(msp_id, issued.certificate_pem, issued.key_pem)
        return self._signers[key]

    def _genesis(self) -> Any:
        trust = [
            OrganizationTrust(
                msp_id,
                msp_id,
                (self._authorities[msp_id].certificate_pem,),
                (self._authorities[msp_id].certificate_pem,),
            )
            for msp_id in self.organizations
        ]
        root = self._authorities["OrdererMSP"].certificate_pem
        endpoint = Endpoint("127.0.0.1", 7050)
        consenter = Consenter(endpoint, root, root)
        orderer = OrdererTrust("OrdererMSP", "OrdererMSP", (root,), (root,), (consenter,), (endpoint,))
        return genesis_block(CHANNEL, trust, [orderer], OrderingTerms(), self.now)


class SharedChainRun(ChainRun, SharedRun):
    """The run under a joint key on a real chain."""


def _result(payload: bytes) -> bytes:
    """Return what the contract answered."""
    return parse_payload(payload, b"").action().response.payload
