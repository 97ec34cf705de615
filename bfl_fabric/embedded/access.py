"""Who may ask the embedded ledger for what.

Decides, as Fabric's peers and orderers do, whether a request's signer is a member of the channel now, whether the
request is fresh, and whether the channel's policies let its signer do it. Statuses and words are Fabric's, so that a
client meets the same refusals here and there.
"""

from __future__ import annotations

from datetime import UTC, datetime

from bfl_fabric.domain.ports import Clock
from bfl_fabric.embedded.unserved import NotServed
from bfl_fabric.errors import MalformedInput, NotTrusted
from bfl_fabric.fabric.channel import READERS, WRITERS, ChannelConfig, SignedData
from bfl_fabric.fabric.deliver import TIME_WINDOW_MS
from bfl_fabric.fabric.envelopes import HeaderType, ParsedTransaction, parse_payload
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.fabric.policy import Member
from bfl_fabric.fabric.proposal import Proposal, parse_proposal

CHANNEL_WRITERS = "/Channel/Writers"


class ProposalRefused(Exception):
    """A peer does not run a proposal. `is_filtered` says that it was turned away before the peer looked at it."""

    def __init__(self, message: str, *, is_filtered: bool = False) -> None:
        super().__init__(message)
        self.is_filtered = is_filtered


class OrderRefused(Exception):
    """The orderer does not take an envelope; `status` is the name of a `common.Status`."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class AccessControl:
    """The checks of one channel at the moment of asking."""

    def __init__(self, config: ChannelConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def proposer(self, proposal_bytes: bytes, signature: bytes) -> tuple[Proposal, Member]:
        """Return a proposal and who signed it. Raises NotServed, ProposalRefused, MalformedInput."""
        proposal = parse_proposal(proposal_bytes)
        channel = proposal.invocation.channel_id
        if channel != self._config.channel_id:
            raise NotServed(proposal, is_channel_known=False)
        now = self._clock.now_ms()
        self._require_fresh(proposal, now)
        member = self._admitted(proposal)
        if now > member.not_after_ms:
            raise ProposalRefused("proposal client identity expired", is_filtered=True)
        denied = (
            f"error validating proposal: access denied: channel [{channel}] creator org [{member.msp_id}]"
        )
        try:
            self._config.member(proposal.creator, now)
            self._config.member(proposal.creator, proposal.timestamp_ms)
            member.identity.verify(proposal_bytes, signature)
        except NotTrusted as error:
            raise ProposalRefused(denied) from error
        if not self._config.satisfies(WRITERS, [member]):
            raise ProposalRefused(
                f"Failed evaluating policy on signed data during check policy on channel [{channel}] "
                f"with policy [{WRITERS}]"
            )
        return proposal, member

    def require_reader(self, channel: str, claim: SignedData) -> Member:
        """Return the member behind a signed request to read. Raises GatewayFailure (PERMISSION_DENIED)."""
        denied = GatewayStatus.PERMISSION_DENIED
        if channel != self._config.channel_id:
            raise GatewayFailure(denied, f"Failed to get policy manager for channel [{channel}]")
        members = self._config.signers([claim], self._clock.now_ms())
        if not self._config.satisfies(READERS, members):
            raise GatewayFailure(
                denied,
                f"Failed evaluating policy on signed data during check policy on channel [{channel}] "
                f"with policy [{READERS}]",
            )
        return members[0]

    def require_orderable(self, payload: bytes, signature: bytes) -> ParsedTransaction:
        """Return the transaction of an envelope that the orderer takes. Raises OrderRefused."""
        transaction = self._readable(payload, signature)
        if transaction.channel_id != self._config.channel_id:
            raise OrderRefused("BAD_REQUEST", "channel does not exist")
        if transaction.type != HeaderType.ENDORSER_TRANSACTION:
            raise OrderRefused("BAD_REQUEST", "message is of type that cannot be processed directly")
        size, limit = len(payload) + len(signature), self._config.terms.absolute_max_bytes
        if size > limit:
            raise OrderRefused(
                "BAD_REQUEST", f"message payload is {size} bytes and exceeds maximum allowed {limit} bytes"
            )
        claim = SignedData(transaction.creator, payload, signature)
        members = self._config.signers([claim], self._clock.now_ms())
        if not self._config.satisfies(CHANNEL_WRITERS, members):
            raise OrderRefused("FORBIDDEN", "implicit policy evaluation failed: permission denied")
        return transaction

    def _readable(self, payload: bytes, signature: bytes) -> ParsedTransaction:
        if not payload:
            raise OrderRefused("BAD_REQUEST", "message payload is empty")
        try:
            return parse_payload(payload, signature)
        except MalformedInput as error:
            raise OrderRefused("BAD_REQUEST", f"could not determine channel ID: {error}") from error

    def _admitted(self, proposal: Proposal) -> Member:
        channel = proposal.invocation.channel_id
        try:
            return self._config.admit(proposal.creator)
        except (MalformedInput, NotTrusted) as error:
            raise ProposalRefused(
                f"error validating proposal: access denied: channel [{channel}] creator org unknown, "
                "creator is malformed or not of this channel"
            ) from error

    def _require_fresh(self, proposal: Proposal, now: int) -> None:
        if abs(now - proposal.timestamp_ms) > TIME_WINDOW_MS:
            raise ProposalRefused(
                f"request unauthorized due to incorrect timestamp {_moment(proposal.timestamp_ms)}, "
                f"peer time {_moment(now)}, peer.authentication.timewindow 15m0s",
                is_filtered=True,
            )


def _moment(milliseconds: int) -> str:
    seconds = min(max(milliseconds // 1000, 0), 253_402_300_799)
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
