"""The endorsing peers: one per organization, each with a contract of its own.

Decides what a client's proposal gives: as many peers as the policies need run the contract on the same snapshot, and
only if all of them come to the same bytes (read-write set, event, response) do they endorse. Which peers are asked,
and the refusals, follow Fabric's gateway (ADR 19). Who may ask is left to `access`, committing to `ledger`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bfl_chaincode.shim.stub import KeyModification
from bfl_fabric.embedded.answers import Answers, Question
from bfl_fabric.embedded.contract import Chaincode, run
from bfl_fabric.embedded.lifecycle import DeployedChaincode
from bfl_fabric.embedded.mismatch import difference
from bfl_fabric.embedded.private import Collection
from bfl_fabric.embedded.simulator import PeerState, SimulationStub, Site
from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.fabric.endorsement import Simulation, assemble, endorse, response_payload
from bfl_fabric.fabric.endorsement_rules import EndorsementRules
from bfl_fabric.fabric.envelopes import ChaincodeEvent, Response
from bfl_fabric.fabric.gateway_transport import GatewayDetail, GatewayFailure, GatewayStatus
from bfl_fabric.fabric.identity import Signer
from bfl_fabric.fabric.policy import Member
from bfl_fabric.fabric.proposal import Proposal
from bfl_fabric.fabric.rwsets import Height, parse_rwset

REFUSED_FROM = 400


@dataclass(frozen=True, slots=True)
class Peer:
    """An organization's endorsing peer."""

    signer: Signer
    member: Member
    chaincode: Chaincode

    @property
    def msp_id(self) -> str:
        return self.member.msp_id

    def detail(self, message: str) -> GatewayDetail:
        """Return this peer's part of a failure."""
        return GatewayDetail(self.member.identity.common_name, self.msp_id, message)


@dataclass(frozen=True, slots=True)
class Ground:
    """What a simulation stands on: a state, the chaincode as it is deployed there, and old writes by height."""

    state: PeerState
    deployed: DeployedChaincode
    modification: Callable[[Height, str, str], KeyModification]


@dataclass(frozen=True, slots=True)
class Asked:
    """A proposal to evaluate, by a caller who may; `organizations` are those that may answer, empty for any."""

    proposal: Proposal
    caller: Member
    organizations: tuple[str, ...]

    def question(self, height: int) -> Question:
        """Return what is asked, whoever asks."""
        return Question(height, self.proposal.invocation.chaincode, self.proposal.invocation.arguments)


@dataclass(frozen=True, slots=True)
class Simulated:
    """What running a proposal gave on one peer.

    `payload` is what endorsers sign, `results` the read-write set in it; `private` goes beside.
    """

    peer: Peer
    response: Response
    results: bytes
    payload: bytes
    private: bytes | None
    collections_read: frozenset[str]
    collections_written: frozenset[str]

    @property
    def refusal(self) -> str:
        return refusal_of(self.response)

    def problem(self, other: Simulated) -> str:
        """Return why another peer cannot endorse the same, "" when it can."""
        if other.refusal:
            return other.refusal
        if self.refusal or other.payload == self.payload:
            return ""
        return f"ProposalResponsePayloads do not match: {difference(self.payload, other.payload)}"


def simulate(peer: Peer, proposal: Proposal, caller: Member, ground: Ground) -> Simulated:
    """Run the contract once, as this peer."""
    stub, response = execute(peer, proposal, caller, ground)
    result = stub.result()
    simulation = Simulation(
        chaincode=proposal.invocation.chaincode,
        chaincode_version=ground.deployed.version,
        results=result.public,
        response=response,
        event=_event(proposal, stub, response),
    )
    return Simulated(
        peer=peer,
        response=response,
        results=result.public,
        payload=response_payload(proposal, simulation),
        private=result.private,
        collections_read=frozenset(stub.collections_read),
        collections_written=frozenset(stub.collections_written),
    )


def execute(
    peer: Peer, proposal: Proposal, caller: Member, ground: Ground
) -> tuple[SimulationStub, Response]:
    """Run the contract once, as this peer, and leave what it read and would write in the stub."""
    site = Site(ground.state, ground.deployed.collections, peer.member, caller, ground.modification)
    stub = SimulationStub(proposal, site)
    return stub, run(peer.chaincode, stub)


def refusal_of(response: Response) -> str:
    """Return the words of a gateway for a response that is not endorsed, "" for one that is."""
    if 200 <= response.status < REFUSED_FROM:
        return ""
    return f"chaincode response {response.status}, {response.message}"


class EndorsingPeers:
    """All peers of the ledger, in the order of their organizations."""

    def __init__(self, peers: Sequence[Peer], config: ChannelConfig) -> None:
        self._peers: Mapping[str, Peer] = {peer.msp_id: peer for peer in peers}
        self._config = config
        self._answers = Answers()

    def find_answer(self, asked: Asked, height: int) -> Response | None:
        """Return what was answered to the same at this height, None when a peer must run it. Raises GatewayFailure."""
        self._evaluator(asked)
        return self._answers.find(asked.question(height))

    def answer(self, asked: Asked, ground: Ground, height: int) -> Response:
        """Return the response of one peer, if possible of the caller's organization. Raises GatewayFailure.

        It is kept for this height unless it depends on more than the state; when many asked the same at once, it may
        have been kept in the meantime.
        """
        peer, question = self._evaluator(asked), asked.question(height)
        kept = self._answers.find(question)
        if kept is not None:
            return kept
        stub, response = execute(peer, asked.proposal, asked.caller, ground)
        refusal = refusal_of(response)
        if refusal:
            raise GatewayFailure(
                GatewayStatus.UNKNOWN,
                f"evaluate call to endorser returned error: {refusal}",
                (peer.detail(refusal),),
            )
        if not stub.is_personal:
            self._answers.keep(question, response)
        return response

    def endorse(
        self, proposal: Proposal, caller: Member, ground: Ground, organizations: Sequence[str]
    ) -> tuple[Any, bytes | None]:
        """Return the endorsed, unsigned envelope and the private writes. Raises GatewayFailure."""
        if organizations:
            chosen = self._named(organizations)
            first = simulate(chosen[0], proposal, caller, ground)
        else:
            first = simulate(self._local(proposal, caller), proposal, caller, ground)
            if first.refusal:
                raise GatewayFailure(
                    GatewayStatus.ABORTED,
                    "failed to endorse transaction, see attached details for more info",
                    (first.peer.detail(first.refusal),),
                )
            chosen = self._plan(proposal, first, ground)
        others = [peer for peer in chosen if peer is not first.peer]
        self._require_agreement(first, [simulate(peer, proposal, caller, ground) for peer in others])
        endorsements = [endorse(first.payload, peer.signer) for peer in chosen]
        return assemble(proposal, first.payload, endorsements), first.private

    def _require_agreement(self, first: Simulated, others: Sequence[Simulated]) -> None:
        """Raise GatewayFailure unless all of them came to the same, byte for byte."""
        problems = [first.peer.detail(first.refusal)] if first.refusal else []
        for other in others:
            problem = first.problem(other)
            if problem:
                problems.append(other.peer.detail(problem))
        if problems:
            raise GatewayFailure(
                GatewayStatus.ABORTED,
                "failed to collect enough transaction endorsements, see attached details for more info",
                tuple(problems),
            )

    def _plan(self, proposal: Proposal, first: Simulated, ground: Ground) -> list[Peer]:
        """Return the peers that endorse: as few as all policies need, the first before the others in their order.

        Where private data are in play only peers that may see them are asked. When no peers are enough all are: what
        they endorse is not valid, as it would not be on Fabric.
        """
        guarded = set(first.collections_read)
        if proposal.invocation.transient:
            guarded |= first.collections_written
        known = ground.deployed.collections
        rules = [rule for name in guarded if (rule := known.get(name) or Collection.implicit(name))]
        peers = sorted(self._peers.values(), key=lambda peer: peer is not first.peer)
        allowed = [peer for peer in peers if all(rule.has_member(peer.member) for rule in rules)]
        enough = self._enough(proposal, first, ground, allowed)
        if rules and not enough:
            raise GatewayFailure(
                GatewayStatus.FAILED_PRECONDITION,
                "requires endorsement from organisation(s) that are not in the distribution policy of the "
                f"private data collection(s): {sorted(guarded)}; retry specifying trusted endorsing "
                "organizations to protect transient data",
            )
        return enough or peers

    def _enough(
        self, proposal: Proposal, first: Simulated, ground: Ground, allowed: Sequence[Peer]
    ) -> list[Peer]:
        """Return those of the allowed peers of whom none can be left out, none when all are not enough."""
        chosen = [peer for peer in allowed if peer.member.is_valid_at(proposal.timestamp_ms)]
        try:
            needs = EndorsementRules(self._config, ground.state).needs(
                proposal.invocation.chaincode, parse_rwset(first.results)
            )
            policies = list(dict.fromkeys(need.policy for need in needs))
            if not self._satisfy(chosen, policies):
                return []
            for peer in reversed(chosen.copy()):
                fewer = [other for other in chosen if other is not peer]
                if fewer and self._satisfy(fewer, policies):
                    chosen = fewer
        except MalformedInput:  # a policy that nobody can satisfy, which the committer will say
            return []
        return chosen

    def _satisfy(self, peers: Sequence[Peer], policies: Sequence[bytes]) -> bool:
        members = [peer.member for peer in peers]
        return all(self._config.application_verdict(policy, members) for policy in policies)

    def _named(self, organizations: Sequence[str]) -> list[Peer]:
        missing = [name for name in organizations if name not in self._peers]
        if missing:
            raise GatewayFailure(
                GatewayStatus.UNAVAILABLE,
                f"failed to find any endorsing peers for org(s): {', '.join(missing)}",
            )
        return [self._peers[name] for name in dict.fromkeys(organizations)]

    def _local(self, proposal: Proposal, caller: Member) -> Peer:
        """Return the peer whose gateway the caller uses: its own organization's."""
        peer = self._peers.get(caller.msp_id)
        if peer is None and proposal.invocation.transient:
            raise GatewayFailure(
                GatewayStatus.FAILED_PRECONDITION,
                "no endorsers found in the gateway's organization; retry specifying endorsing organization(s) "
                "to protect transient data",
            )
        return peer or next(iter(self._peers.values()))

    def _evaluator(self, asked: Asked) -> Peer:
        invocation, own = asked.proposal.invocation, asked.caller.msp_id
        allowed = asked.organizations or ([own] if invocation.transient else list(self._peers))
        for name in (own, *allowed):
            if name in allowed and name in self._peers:
                return self._peers[name]
        raise GatewayFailure(
            GatewayStatus.FAILED_PRECONDITION,
            f"no peers available to evaluate chaincode {invocation.chaincode} in channel {invocation.channel_id}",
        )


def _event(proposal: Proposal, stub: SimulationStub, response: Response) -> ChaincodeEvent | None:
    """A refused transaction has no event."""
    if stub.event is None or response.status >= REFUSED_FROM:
        return None
    name, payload = stub.event
    return ChaincodeEvent(proposal.invocation.chaincode, proposal.transaction_id, name, payload)
