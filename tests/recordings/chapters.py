"""What happens on a recorded network beside the probe's story: the product's contract, forgeries, configuration."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID
from fabric_protos.peer import chaincode_shim_pb2

from bfl_chaincode.main import TRANSACTIONS
from bfl_chaincode.shim.stub import Creator
from bfl_fabric.errors import BflError
from bfl_fabric.fabric.authority import CertificateAuthority, NodeOU
from bfl_fabric.fabric.config_changes import (
    BlockCutting,
    add_organization,
    remove_organization,
    replace_consenter,
    replace_msp,
    set_block_cutting,
)
from bfl_fabric.fabric.config_submission import update_channel
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.fabric.identity import ATTRIBUTES_OID, SigningIdentity
from bfl_fabric.fabric.keyfiles import write_secret
from bfl_fabric.fabric.trust import Consensus, OrdererTrust, OrganizationTrust
from bfl_fabric.network import homes, material
from tests.chaincode.identities import creator
from tests.chaincode.requests import REQUESTS
from tests.chaincode.scenario import (
    COORDINATOR,
    KEY_HOLDER,
    MORNING,
    SAMPLES,
    Scenario,
    admin,
    node,
    silo,
    spec,
)
from tests.conformance.probe import Endorsed, LoopThread, Probe
from tests.recordings.definitions import PROBE
from tests.recordings.stage import Stage

SECONDS = 60.0


FIRST = ("governance:ProposeUpgrade",)
LAST = ("federation:Leave", "federation:SuspendOrganization")
"""What takes others' rights away comes at the end."""


class Channel:
    """A recorded network as the conformance suite's client sees a channel."""

    def __init__(self, stage: Stage, chaincode: str) -> None:
        self._stage = stage
        self.channel_id = stage.topology.channel
        self.chaincode = chaincode
        self.msp_ids = tuple(item.msp_id for item in stage.topology.organizations)

    def transport(self, organization: int) -> Any:
        return self._stage.transport(organization)

    def client(self, organization: int) -> SigningIdentity:
        return self._stage.person(self.msp_ids[organization], "probing", "client")


class PatientProbe(Probe):
    """A client that knows BFT's false alarm: a transaction that the orderers have already, reported as not taken."""

    async def ordering(self, endorsed: Endorsed, organization: int = 0) -> None:
        try:
            await super().ordering(endorsed, organization)
        except GatewayFailure as failure:
            if failure.status is not GatewayStatus.UNAVAILABLE or "insufficient number" not in str(failure):
                raise


class ContractChapter:
    """The product's contract: a task of two rounds from its federation's founding to its end, and every transaction.

    It takes the place of the scenario's ledger. Times are those of the scenario, moved to now.
    """

    def __init__(self, stage: Stage, loop: LoopThread) -> None:
        self._stage = stage
        channel: Any = Channel(stage, stage.topology.chaincode)
        self._probe = PatientProbe(channel, loop)
        now = int(datetime.now(UTC).timestamp() * 1000)
        self._moved = now - MORNING
        self.accepted: set[str] = set()
        self.refused: dict[str, str] = {}
        self._last = MORNING

    def submit(self, who: Creator, name: str, request: Mapping[str, Any], at: int) -> Any:
        committed = self._probe.submit(name, json.dumps(request), **self._from(who, at))
        self.accepted.add(name)
        return committed.json()

    def evaluate(self, who: Creator, name: str, request: Mapping[str, Any], at: int = 0) -> Any:
        found = self._probe.json(name, json.dumps(request), **self._from(who, at))
        self.accepted.add(name)
        return found

    def tell(self) -> None:
        """Walk through the scenario, then try what it did not use."""
        scenario = Scenario()
        scenario.ledger = self  # type: ignore[assignment]
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
        for task in ("second", "third"):
            self._end_early(scenario, task)
        self._last = scenario.now
        self._try_the_rest()
        self._probe.close()

    def _end_early(self, scenario: Scenario, task: str) -> None:
        """Let a task end in the two ways in which none should: abandoned, and with its round aborted."""
        coordinator = node(COORDINATOR, "coordinator")
        epoch = {**REQUESTS["key:OpenEpoch"], "task_id": task}
        scenario.submit(coordinator, "task:Create", spec=spec(task_id=task))
        scenario.submit(coordinator, "task:Publish", task_id=task)
        for name, samples in SAMPLES.items():
            scenario.submit(silo(name), "task:Register", task_id=task, samples=samples)
        if task == "second":
            scenario.submit(silo("alpha-2"), "task:Withdraw", task_id=task)
            scenario.submit(coordinator, "task:Abandon", task_id=task, reason="nobody wants it")
            return
        scenario.submit(node(KEY_HOLDER, "key-holder"), "key:OpenEpoch", **epoch)
        scenario.submit(coordinator, "reward:Fund", task_id=task, amount=2000, reference="pool")
        scenario.submit(coordinator, "task:Start", task_id=task)
        scenario.submit(coordinator, "round:Open", task_id=task)
        scenario.submit(coordinator, "round:Abort", task_id=task, round=1, reason="enough")

    def _try_the_rest(self) -> None:
        """Let whoever may do what the scenario did not do; what nobody may at its end is kept as refused."""
        people = [admin(msp_id) for msp_id in self._probe.channel.msp_ids]
        people += [
            node("AlphaMSP", "coordinator"),
            node("AlphaMSP", "verifier"),
            node("BetaMSP", "aggregator"),
        ]
        people += [silo("alpha-1"), creator("AlphaMSP", "auditor", "client", "auditor")]
        left = set(TRANSACTIONS) - self.accepted
        for name in sorted(left, key=lambda name: (name in LAST, name not in FIRST, name)):
            for who in people:
                try:
                    (self.evaluate if TRANSACTIONS[name] else self.submit)(
                        who, name, REQUESTS[name], self._later()
                    )
                    break
                except BflError as failure:
                    self.refused[name] = str(failure).partition(";")[0]
        self.refused = {name: text for name, text in self.refused.items() if name not in self.accepted}

    def _later(self) -> int:
        """Return now, in the scenario's time, behind all that it did."""
        self._last += 1000
        return self._last

    def _from(self, who: Creator, at: int) -> dict[str, Any]:
        signer = self._signer(who)
        index = self._probe.channel.msp_ids.index(signer.msp_id)
        return {"signer": signer, "organization": index, "at_ms": at + self._moved}

    def _signer(self, who: Creator) -> SigningIdentity:
        """Return an identity of our network that says of itself what the scenario's certificate says."""
        certificate = x509.load_pem_x509_certificate(bytes(who["idBytes"]))
        named = {
            oid: str(certificate.subject.get_attributes_for_oid(oid)[0].value)
            for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME)
        }
        try:
            extension: Any = certificate.extensions.get_extension_for_oid(ATTRIBUTES_OID).value
            attributes = dict(json.loads(extension.value)["attrs"])
        except x509.ExtensionNotFound:
            attributes = {}
        return self._stage.person(
            who["mspid"],
            named[NameOID.COMMON_NAME],
            named[NameOID.ORGANIZATIONAL_UNIT_NAME],
            **attributes,
        )


# --- the stream, cut ----------------------------------------------------------------------------


def cut_a_stream(stage: Stage, probe: Probe) -> None:
    """Cut the first peer's stream to the probe while a transaction waits for a reply."""
    relay = next(item for item in stage.streams if item.chaincode == PROBE)
    relay.cut_at = lambda message: message.type == chaincode_shim_pb2.ChaincodeMessage.GET_STATE
    try:
        probe.evaluate("get", "a", organizations=["AlphaMSP"])
    except BflError as failure:
        print("cut:", failure)
    until_it_works(probe)
    probe.submit("put", "after the cut", "1")


def until_it_works(probe: Probe) -> None:
    """Try a transaction until one is valid, as after programs were started again. Raises AssertionError."""
    problem: BaseException | None = None
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            probe.submit("put", "up again", "1", organizations=probe.channel.msp_ids)
            return
        except (BflError, TimeoutError, AssertionError) as error:
            problem = error
            probe.loop.run(asyncio.sleep(0.3))
    raise AssertionError(f"the network does not work again: {problem}")


# --- configuration ------------------------------------------------------------------------------


def configure(stage: Stage, probe: Probe) -> None:
    """Change the block cutting, add and remove an organization, rotate what an orderer is trusted by."""
    ordering = stage.site.ordering_administrator()
    members = [stage.site.administrator(item) for item in stage.topology.organizations]
    _change(stage, partial(set_block_cutting, cutting=BlockCutting(max_message_count=20)), ordering)
    _put_again(probe, "1")
    _change(stage, partial(add_organization, trust=_newcomer()), *members)
    _put_again(probe, "2")
    if stage.topology.ordering.fabric_consensus is Consensus.BFT:
        _rotate_bft(stage)
    else:
        _rotate_raft(stage)
    _put_again(probe, "3")
    _change(stage, partial(remove_organization, name="DeltaMSP"), *members)
    _put_again(probe, "4")


def _put_again(probe: Probe, value: str) -> None:
    """Write once more, endorsed by everybody: with a member more, two endorsements are no majority."""
    until_it_works(probe)
    probe.submit("put", "configured", value, organizations=probe.channel.msp_ids)


def _change(stage: Stage, change: Any, *signers: Any) -> None:
    async def work() -> None:
        async with stage.site.orderers(signers[0]) as orderers:
            await update_channel(orderers, stage.topology.channel, change, signers)

    asyncio.run(work())


def _span() -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    return now - timedelta(hours=1), now + timedelta(days=700)


def _newcomer() -> OrganizationTrust:
    authority, tls = (CertificateAuthority.create("DeltaMSP", name, *_span()) for name in ("ca", "tlsca"))
    return OrganizationTrust("DeltaMSP", "DeltaMSP", (authority.certificate_pem,), (tls.certificate_pem,))


def _rotate_bft(stage: Stage) -> None:
    """Give the last consenter another signing certificate."""
    orderer = stage.site.plan.orderers[-1]
    issued = _issue(stage, stage.authority(material.ORDERER_MSP), orderer)
    now = material.consenter(stage.place, orderer, bft=True)
    assert now.identity == issued
    change = partial(replace_consenter, endpoint=orderer.main, consenter=now)
    _change(stage, change, stage.site.ordering_administrator())
    stage.hold(orderer.name, kill=False)
    homes.write_identity(stage.place, orderer)
    stage.release(orderer.name)


def _rotate_raft(stage: Stage) -> None:
    """Trust a second root of the ordering organization, and let the orderer sign with a certificate of it."""
    orderer = stage.site.plan.orderers[0]
    old = stage.authority(material.ORDERER_MSP)
    new = CertificateAuthority.create(material.ORDERER_MSP, "ca2.OrdererMSP", *_span())
    home = material.organization_directory(stage.place, material.ORDERER_MSP)
    trust = OrdererTrust(
        material.ORDERER_MSP,
        material.ORDERER_MSP,
        (old.certificate_pem, new.certificate_pem),
        ((home / "tlsca" / "certificate.pem").read_bytes(),),
    )
    change = partial(replace_msp, name=material.ORDERER_MSP, trust=trust)
    _change(stage, change, stage.site.ordering_administrator())
    _issue(stage, new, orderer)
    stage.hold(orderer.name, kill=False)
    homes.write_identity(stage.place, orderer)
    msp = homes.home_of(stage.place, orderer) / "msp"
    (msp / "cacerts" / "second.pem").write_bytes(new.certificate_pem)
    units = json.loads((msp / "config.yaml").read_text())
    for name, unit in units["NodeOUs"].items():
        if name != "Enable":
            del unit["Certificate"]
    (msp / "config.yaml").write_text(json.dumps(units))
    stage.release(orderer.name)


def _issue(stage: Stage, authority: CertificateAuthority, orderer: Any) -> bytes:
    """Write another signing certificate for an orderer over the one that it has."""
    place = material.identity_directory(stage.place, orderer.msp_id, orderer.name)
    issued = authority.issue_identity(orderer.name, NodeOU.ORDERER)
    (place / "key.pem").unlink()
    write_secret(place / "key.pem", issued.key_pem)
    (place / "certificate.pem").write_bytes(issued.certificate_pem)
    return issued.certificate_pem
