"""A ledger on which the product's own contract has run a whole task, recorded by the embedded ledger."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from bfl_chaincode.shim.stub import Creator
from bfl_fabric.embedded.contract import bfl_contract
from bfl_fabric.embedded.ledger import EmbeddedLedger
from bfl_fabric.fabric.endorsement import sign_envelope
from bfl_fabric.fabric.envelopes import ValidationCode, parse_payload
from bfl_fabric.fabric.identity import ATTRIBUTES_OID, SigningIdentity
from bfl_fabric.fabric.proposal import Invocation, Proposal, build_proposal, sign_proposal
from tests.chaincode.scenario import MORNING, ORGANIZATIONS, Scenario
from tests.conformance.federation import CHANNEL, found

CHAINCODE = "bfl"


class SetClock:
    """A clock that shows what it was set to."""

    def __init__(self) -> None:
        self.at_ms = MORNING

    def now_ms(self) -> int:
        return self.at_ms

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing waits here")


class RecordingLedger:
    """The embedded ledger in the place of the scenario's ledger in memory; each transaction is a block."""

    def __init__(self, directory: Path) -> None:
        self._clock = SetClock()
        self._federation = found(datetime.fromtimestamp(MORNING / 1000, tz=UTC), msp_ids=ORGANIZATIONS)
        self._signers: dict[tuple[str, str], SigningIdentity] = {}
        self.ledger = EmbeddedLedger.create(
            directory,
            self._federation.genesis,
            self._federation.peers,
            self._federation.orderer,
            CHAINCODE,
            bfl_contract,
            self._clock,
        )

    def submit(self, creator: Creator, name: str, request: Mapping[str, Any], at: int) -> Any:
        proposal, signer = self._proposal(creator, name, request, at)
        envelope = self.ledger.endorse(sign_proposal(proposal, signer))
        self.ledger.order(sign_envelope(envelope.payload, signer))
        self.ledger.cut(force=True)
        place = self.ledger.transaction_status(proposal.transaction_id)
        assert place is not None
        assert place.code == ValidationCode.VALID
        return json.loads(parse_payload(envelope.payload, b"").action().response.payload)

    def evaluate(self, creator: Creator, name: str, request: Mapping[str, Any], at: int = 0) -> Any:
        proposal, signer = self._proposal(creator, name, request, at)
        return json.loads(self.ledger.evaluate(sign_proposal(proposal, signer)).payload)

    def _proposal(
        self, creator: Creator, name: str, request: Mapping[str, Any], at: int
    ) -> tuple[Proposal, SigningIdentity]:
        self._clock.at_ms = at
        signer = self._signer(creator)
        invocation = Invocation(CHANNEL, CHAINCODE, (name.encode(), json.dumps(request).encode()))
        return build_proposal(invocation, signer.creator, secrets.token_bytes(24), at), signer

    def _signer(self, creator: Creator) -> SigningIdentity:
        """Return an identity of our federation that says of itself what the scenario's certificate says."""
        certificate = x509.load_pem_x509_certificate(bytes(creator["idBytes"]))
        names = {
            oid: certificate.subject.get_attributes_for_oid(oid)[0].value
            for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME)
        }
        key = (creator["mspid"], str(names[NameOID.COMMON_NAME]))
        if key not in self._signers:
            home = next(one for one in self._federation.organizations if one.msp_id == key[0])
            unit = str(names[NameOID.ORGANIZATIONAL_UNIT_NAME])
            self._signers[key] = home.identity(key[1], unit, **_attributes(certificate))
        return self._signers[key]


def _attributes(certificate: x509.Certificate) -> dict[str, str]:
    try:
        extension: Any = certificate.extensions.get_extension_for_oid(ATTRIBUTES_OID).value
    except x509.ExtensionNotFound:
        return {}
    return dict(json.loads(extension.value)["attrs"])


def record_two_rounds(directory: Path) -> int:
    """Record a task of two rounds from its federation's founding to its end; return the number of blocks."""
    scenario = Scenario()
    recorder = RecordingLedger(directory)
    scenario.ledger = recorder  # type: ignore[assignment]
    for step in (scenario.found, scenario.enrol, scenario.create, scenario.publish, scenario.register):
        step()
    for step in (scenario.open_epoch, scenario.mint, scenario.fund, scenario.start):
        step()
    for number in (1, 2):
        for step in (scenario.open, scenario.deliver, scenario.seal, scenario.propose):
            step()
        scenario.attest("AlphaMSP")
        scenario.confirm()
        if number > 1:
            scenario.post_scores()
        for step in (scenario.release, scenario.publish_model, scenario.settle):
            step()
    scenario.close()
    height = recorder.ledger.height
    recorder.ledger.close()
    return height
