"""What a committing peer decides about the transactions of a block: one validation code each.

Decides by Fabric's own rules and in its order: form and signatures, transaction ids, endorsement policies of every
namespace, collection and key that is written (all against the state before the block), then reads and ranges, one
transaction after the other. Two things are stricter than Fabric: creators and endorsers must hold certificates that
are valid at the transaction's own time. Hashes and orderers' signatures of the block are left to
`bfl_fabric.fabric.verifier`.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from bfl_fabric.errors import MalformedInput, NotTrusted
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.fabric.endorsement_rules import EndorsementRules
from bfl_fabric.fabric.endorsers import Endorsers
from bfl_fabric.fabric.envelopes import (
    Action,
    HeaderType,
    InvalidTransaction,
    ParsedTransaction,
    ValidationCode,
)
from bfl_fabric.fabric.opening import OpenedEntry, open_entries
from bfl_fabric.fabric.proposal import proposal_hash, transaction_id
from bfl_fabric.fabric.read_checks import check_reads
from bfl_fabric.fabric.rwsets import Height
from bfl_fabric.fabric.signatures import ChecksOnTheSpot
from bfl_fabric.fabric.state import StateView, Updates

_HEADER_TYPES = (HeaderType.CONFIG, HeaderType.CONFIG_UPDATE, HeaderType.ENDORSER_TRANSACTION)


@dataclass(slots=True)
class Verdict:
    """A transaction and the code that it gets. `action` is there when an endorser transaction could be read.

    The counts are of the signatures that had to be checked for it.
    """

    transaction: ParsedTransaction | None
    code: ValidationCode = ValidationCode.VALID
    reason: str = ""
    action: Action | None = None
    creator_count: int = 0
    endorsement_count: int = 0

    @property
    def transaction_id(self) -> str:
        return "" if self.transaction is None else self.transaction.transaction_id


@dataclass(slots=True)
class BlockVerdict:
    """One verdict per entry of a block, and the changes that the valid ones make."""

    verdicts: list[Verdict] = field(default_factory=list)
    updates: Updates = field(default_factory=Updates)

    @property
    def flags(self) -> bytes:
        """What belongs into the block's metadata slot 2."""
        return bytes(verdict.code for verdict in self.verdicts)


def validate_entries(
    number: int,
    entries: Sequence[bytes],
    config: ChannelConfig,
    state: StateView,
    seen: Container[str] = (),
) -> BlockVerdict:
    """Judge the entries of block `number` under a configuration and the state before the block.

    `seen` holds the transaction ids of all blocks before. Entries must be canonical envelopes:
    orderers let no others pass, so others raise MalformedInput.
    """
    return validate_opened(number, open_entries(entries, ChecksOnTheSpot()), config, state, seen)


def validate_opened(
    number: int,
    entries: Sequence[OpenedEntry],
    config: ChannelConfig,
    state: StateView,
    seen: Container[str] = (),
) -> BlockVerdict:
    """Judge entries that were opened before, as `validate_entries` does. Raises MalformedInput, WorkerFailed."""
    result = BlockVerdict()
    rules = EndorsementRules(config, state)
    for index, entry in enumerate(entries):
        try:
            result.verdicts.append(_judge(entry, config, rules, seen))
        except MalformedInput as error:
            raise MalformedInput(f"transaction {index}: {error}") from error
    _mark_repeated(result.verdicts)
    for index, verdict in enumerate(result.verdicts):
        if verdict.code is ValidationCode.VALID and verdict.action is not None:
            _check_and_apply(verdict, verdict.action, Height(number, index), state, result.updates)
    return result


def _judge(
    opened: OpenedEntry, config: ChannelConfig, rules: EndorsementRules, seen: Container[str]
) -> Verdict:
    verdict = Verdict(opened.transaction)
    try:
        if opened.refusal is not None:
            raise opened.refusal
        assert opened.transaction is not None
        _check_creator(verdict, opened, opened.transaction, config)
        if opened.transaction.type == HeaderType.ENDORSER_TRANSACTION:
            _check_endorsed(verdict, opened, opened.transaction, rules, seen)
        elif opened.transaction.type != HeaderType.CONFIG:
            raise InvalidTransaction(ValidationCode.UNSUPPORTED_TX_PAYLOAD, "not a transaction")
    except InvalidTransaction as error:
        verdict.code, verdict.reason = error.code, error.reason
    return verdict


def _check_creator(
    verdict: Verdict, opened: OpenedEntry, transaction: ParsedTransaction, config: ChannelConfig
) -> None:
    if transaction.type not in _HEADER_TYPES or transaction.epoch:
        raise InvalidTransaction(ValidationCode.BAD_COMMON_HEADER, "unknown type or epoch")
    if not transaction.nonce or not transaction.creator:
        raise InvalidTransaction(ValidationCode.BAD_COMMON_HEADER, "nonce or creator are missing")
    bad = ValidationCode.BAD_CREATOR_SIGNATURE
    if transaction.channel_id != config.channel_id:
        raise InvalidTransaction(bad, f"the transaction is for channel {transaction.channel_id!r}")
    assert opened.creator is not None
    try:
        member = config.member(transaction.creator, transaction.timestamp_ms)
        verdict.creator_count = 1
        opened.creator.verify(member.identity)
    except (MalformedInput, NotTrusted) as error:
        raise InvalidTransaction(bad, str(error)) from error


def _check_endorsed(
    verdict: Verdict,
    opened: OpenedEntry,
    transaction: ParsedTransaction,
    rules: EndorsementRules,
    seen: Container[str],
) -> None:
    if transaction.transaction_id != transaction_id(transaction.nonce, transaction.creator):
        raise InvalidTransaction(ValidationCode.BAD_PROPOSAL_TXID, "not the id of nonce and creator")
    if opened.endorsed_refusal is not None:
        raise opened.endorsed_refusal
    endorsed = opened.endorsed
    assert endorsed is not None
    expected = proposal_hash(transaction.channel_header, endorsed.proposal_header, endorsed.proposal_payload)
    if endorsed.proposal_hash != expected:
        raise InvalidTransaction(
            ValidationCode.INVALID_ENDORSER_TRANSACTION, "the endorsers answered another proposal"
        )
    if transaction.transaction_id in seen:
        raise InvalidTransaction(ValidationCode.DUPLICATE_TXID, "the transaction is in an earlier block")
    verdict.action = transaction.action(endorsed)
    endorsers = Endorsers(rules.config, opened.endorsers, transaction.timestamp_ms)
    try:
        rules.check(verdict.action, endorsers)
    finally:
        verdict.endorsement_count = endorsers.asked


def _mark_repeated(verdicts: Sequence[Verdict]) -> None:
    """Refuse a transaction whose id an earlier valid one of the same block has."""
    found: set[str] = set()
    for verdict in verdicts:
        if verdict.code is not ValidationCode.VALID or verdict.action is None:
            continue
        if verdict.transaction_id in found:
            verdict.code, verdict.reason = (
                ValidationCode.DUPLICATE_TXID,
                "the id stands in this block already",
            )
        found.add(verdict.transaction_id)


def _check_and_apply(
    verdict: Verdict, action: Action, height: Height, state: StateView, updates: Updates
) -> None:
    try:
        check_reads(action.rwset, state, updates)
    except InvalidTransaction as error:
        verdict.code, verdict.reason = error.code, error.reason
    else:
        updates.apply(action.rwset, height, state)
