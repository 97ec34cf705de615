"""The block verifier: reads a channel's blocks from the first on and believes nothing.

Decides whether bytes are the chain that a genesis digest pins: encoding, hashes, orderers' signatures, every
transaction's own signatures and validation code, the commit hashes, and each change of the configuration. What the
transactions mean is left to `bfl_fabric.audit`; that a chain is complete up to now is left to whoever knows its
height.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fabric_protos.common import common_pb2
from fabric_protos.msp import identities_pb2

from bfl_fabric.errors import AuditFailed, BflError, StorageFull, WorkerFailed
from bfl_fabric.fabric.blocks import (
    Block,
    BlockSignature,
    Slot,
    commit_hash,
    commit_hash_slot,
    data_hash,
    last_config_slot,
    parse_block,
    signature_value,
)
from bfl_fabric.fabric.channel import BLOCK_VALIDATION, ChannelConfig, SignedData, config_envelope
from bfl_fabric.fabric.config_update import next_config
from bfl_fabric.fabric.envelopes import Action, HeaderType, ParsedTransaction, ValidationCode
from bfl_fabric.fabric.expiry import Expiries
from bfl_fabric.fabric.opening import ALL, OpenedEntry, open_entries
from bfl_fabric.fabric.policy import Member, Role, require
from bfl_fabric.fabric.seen import SeenTransactions
from bfl_fabric.fabric.signatures import ChecksOnTheSpot, SignatureChecks
from bfl_fabric.fabric.state import ReplayedState
from bfl_fabric.fabric.validation import BlockVerdict, Verdict, validate_opened
from bfl_fabric.fabric.wire import read_strict, write


class VerifiedTransaction(NamedTuple):
    """The `place`-th transaction of a block and what became of it.

    `action` is None for configurations and for what cannot be read.
    """

    place: int
    transaction_id: str
    code: ValidationCode
    reason: str
    transaction: ParsedTransaction | None
    action: Action | None

    @property
    def valid(self) -> bool:
        return self.code is ValidationCode.VALID


@dataclass(frozen=True, slots=True)
class VerifiedBlock:
    """A block in which everything was found as it must be. `hash` is the header's, lower-case hex."""

    number: int
    hash: str
    transactions: tuple[VerifiedTransaction, ...]


MAXIMUM_AHEAD_BYTES = 16 << 20
"""Blocks that are read ahead of the one being verified hold no more than this, or are one."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """A block taken apart, or why it cannot be read, kept until its turn."""

    block: Block | None = None
    entries: tuple[OpenedEntry, ...] = ()
    refusal: BflError | None = None
    size_bytes: int = 0
    signature_count: int = 0


@dataclass(slots=True)
class Counts:
    """What a verifier has checked so far."""

    blocks: int = 0
    transactions: int = 0
    signatures: int = 0
    by_code: Counter[str] = field(default_factory=Counter)


class ChainVerifier:
    """Verifies the blocks of one channel in order. Raises StorageFull when there is no room for temporary files.

    Blocks may be a peer's copies (with validation codes and commit hashes, which are recomputed and compared) or an
    orderer's (without; then they are only computed), but not a mixture.
    """

    def __init__(self, genesis_digest: str, checks: SignatureChecks | None = None) -> None:
        """Pin the channel by the hash of its first block, lower-case hex.

        `checks` may check the signatures of transactions elsewhere (`signature_workers.signature_checks`); without
        it this process does.
        """
        self._genesis_digest = genesis_digest
        self._checks = checks or ChecksOnTheSpot()
        self._config: ChannelConfig | None = None
        self._previous_hash = b""
        self._last_config = 0
        self._commit_hash = b""
        self._has_flags: bool | None = None
        self._failure = ""
        self._endorsements = ALL
        self._seen = SeenTransactions()
        self._expiries = Expiries()
        self.height = 0
        self.state = ReplayedState()
        self.counts = Counts()

    @property
    def config(self) -> ChannelConfig:
        """The channel's configuration after the last block. Raises AuditFailed before the first."""
        if self._config is None:
            raise AuditFailed("no block has been verified yet")
        return self._config

    @property
    def commit_hash(self) -> str:
        """The commit hash after the last block, lower-case hex: equal on all honest peers."""
        return self._commit_hash.hex()

    def verify(self, blocks: Iterable[bytes]) -> Iterator[VerifiedBlock]:
        """Yield each block once it is verified. Raises AuditFailed at the first that is not as it must be.

        While signatures are checked elsewhere, some blocks are read ahead of the one that is yielded. Whatever is
        wrong with those, or with reading them, is raised only in its turn.
        """
        waiting: deque[_Opened] = deque()
        for opened in self._open_all(blocks):
            waiting.append(opened)
            del opened  # else it would stay until the next block is opened
            while waiting and self._is_enough(waiting):
                yield self._take(waiting.popleft())
        while waiting:
            yield self._take(waiting.popleft())

    def feed(self, raw: bytes) -> VerifiedBlock:
        """Verify the next block of the chain. After AuditFailed this verifier takes no more blocks."""
        return self._take(self._open(raw))

    # --- steps ----------------------------------------------------------------------------------

    def _open_all(self, blocks: Iterable[bytes]) -> Iterator[_Opened]:
        try:
            yield from map(self._open, blocks)
        except BflError as error:
            yield _Opened(refusal=error)

    def _open(self, raw: bytes) -> _Opened:
        """Take a block apart; as many endorsements as the last verified block needed are checked ahead."""
        try:
            block = parse_block(raw)
            entries = open_entries(block.entries, self._checks, self._endorsements)
        except BflError as error:
            return _Opened(refusal=error)
        signatures = sum(1 + min(len(entry.endorsers), self._endorsements) for entry in entries)
        return _Opened(block, entries, size_bytes=len(raw), signature_count=signatures)

    def _is_enough(self, waiting: Sequence[_Opened]) -> bool:
        """Say whether the next block should be taken before another is read."""
        last = waiting[-1]
        return (
            last.refusal is not None
            or sum(opened.signature_count for opened in waiting) > self._checks.ahead
            or sum(opened.size_bytes for opened in waiting) > MAXIMUM_AHEAD_BYTES
        )

    def _take(self, opened: _Opened) -> VerifiedBlock:
        if self._failure:
            raise AuditFailed(self._failure)
        try:
            if opened.refusal is not None:
                raise opened.refusal
            assert opened.block is not None
            verdict = self._check(opened.block, opened.entries)
        except (WorkerFailed, StorageFull) as error:
            self._failure = str(error)
            raise
        except BflError as error:
            self._failure = str(error) if isinstance(error, AuditFailed) else f"block {self.height}: {error}"
            raise AuditFailed(self._failure) from error
        return self._accept(opened.block, verdict)

    def _check(self, block: Block, entries: Sequence[OpenedEntry]) -> BlockVerdict:
        self._check_place(block)
        return self._check_genesis(block) if self.height == 0 else self._check_block(block, entries)

    def _check_place(self, block: Block) -> None:
        if block.number != self.height:
            raise AuditFailed(f"block {block.number}: expected block {self.height}")
        if block.previous_hash != self._previous_hash:
            raise AuditFailed(f"block {block.number}: it does not follow the block before it")
        if block.data_hash != data_hash(block.entries):
            raise AuditFailed(f"block {block.number}: its data are not what its header says")
        if block.slots[Slot.ORDERER]:
            raise AuditFailed(f"block {block.number}: metadata stand where there must be none")

    def _check_genesis(self, block: Block) -> BlockVerdict:
        """The digest covers the data; of the metadata there is one form only, with or without the one code."""
        if block.hash.hex() != self._genesis_digest:
            raise AuditFailed(
                f"block 0: its hash is {block.hash.hex()}, not the pinned {self._genesis_digest}"
            )
        signatures = write(common_pb2.Metadata(value=signature_value(0, b"")))
        fixed = (signatures, last_config_slot(0), b"", b"")
        given = tuple(
            block.slots[slot] for slot in (Slot.SIGNATURES, Slot.LAST_CONFIG, Slot.ORDERER, Slot.COMMIT_HASH)
        )
        if given != fixed or block.flags not in (b"", bytes([ValidationCode.VALID])):
            raise AuditFailed("block 0: its metadata are not those of a first block")
        self._config = ChannelConfig.from_block(block)
        return BlockVerdict([Verdict(None)])

    def _check_block(self, block: Block, entries: Sequence[OpenedEntry]) -> BlockVerdict:
        verdict = validate_opened(block.number, entries, self.config, self.state, self._seen)
        configures = any(
            item.transaction is not None and item.transaction.type == HeaderType.CONFIG
            for item in verdict.verdicts
        )
        at_ms = _median_time(block.number, verdict)
        self._check_orderers(block, block.number if configures else self._last_config, at_ms)
        if configures:
            self._config = self._next_config(block, verdict, at_ms)
            self._last_config = block.number
        self._check_codes(block, verdict)
        return verdict

    def _check_orderers(self, block: Block, last_config: int, at_ms: int) -> None:
        """All signatures must be good, not only enough of them: then no byte of them can be changed unnoticed."""
        signatures = block.signatures
        if signatures.last_config != last_config or block.slots[Slot.LAST_CONFIG] != last_config_slot(
            last_config
        ):
            raise AuditFailed(f"block {block.number}: the last configuration is in block {last_config}")
        claims = [self._claim(block, signatures.value, item) for item in signatures.signatures]
        members = self.config.signers(claims, at_ms)
        if len(members) != len(claims) or not all(map(_may_order, members)):
            raise AuditFailed(f"block {block.number}: a signature of an orderer is not good")
        require(self.config.policy(BLOCK_VALIDATION), members, f"block {block.number}")
        self.counts.signatures += len(claims)

    def _claim(self, block: Block, value: bytes, item: BlockSignature) -> SignedData:
        what = f"block {block.number}: orderer's signature"
        if item.signature_header:
            header = read_strict(common_pb2.SignatureHeader, item.signature_header, what)
            return SignedData(
                header.creator, value + item.signature_header + block.header_bytes, item.signature
            )
        number = read_strict(common_pb2.IdentifierHeader, item.identifier_header, what).identifier
        for consenter in self.config.consenters:
            if consenter.identifier == number and consenter.identity:
                identity = identities_pb2.SerializedIdentity(
                    mspid=consenter.msp_id, id_bytes=consenter.identity
                )
                data = value + item.identifier_header + block.header_bytes
                return SignedData(write(identity), data, item.signature)
        raise AuditFailed(f"{what}: the channel has no orderer {number}")

    def _next_config(self, block: Block, verdict: BlockVerdict, at_ms: int) -> ChannelConfig:
        if verdict.verdicts[0].code is not ValidationCode.VALID:
            raise AuditFailed(
                f"block {block.number}: the configuration is refused: {verdict.verdicts[0].reason}"
            )
        _, envelope = config_envelope(block)
        return next_config(self.config, envelope, at_ms)

    def _check_codes(self, block: Block, verdict: BlockVerdict) -> None:
        """Compare what the peer recorded with what follows from the block; an orderer's copy records nothing."""
        has_flags = bool(block.flags)
        if self._has_flags is None:
            self._has_flags = has_flags
        if has_flags is not self._has_flags:
            raise AuditFailed(f"block {block.number}: validation codes are there in some blocks only")
        if has_flags:
            _compare_codes(block, verdict)
        self._commit_hash = commit_hash(verdict.flags, verdict.updates.serialize(), self._commit_hash)
        expected = commit_hash_slot(self._commit_hash) if has_flags else b""
        if block.slots[Slot.COMMIT_HASH] != expected:
            raise AuditFailed(f"block {block.number}: the commit hash is not that of its transactions")

    def _accept(self, block: Block, verdict: BlockVerdict) -> VerifiedBlock:
        self._expiries.commit(block.number, verdict.updates, self.state)
        self._seen.update(item.transaction_id for item in verdict.verdicts if item.transaction_id)
        self._previous_hash = block.hash
        self.height = block.number + 1
        self.counts.blocks += 1
        self.counts.transactions += len(verdict.verdicts)
        self.counts.signatures += sum(
            item.creator_count + item.endorsement_count for item in verdict.verdicts
        )
        self._endorsements = max((item.endorsement_count for item in verdict.verdicts), default=0)
        for code, count in Counter(verdict.flags).items():
            self.counts.by_code[ValidationCode(code).name] += count
        transactions = [
            VerifiedTransaction(
                place, item.transaction_id, item.code, item.reason, item.transaction, item.action
            )
            for place, item in enumerate(verdict.verdicts)
        ]
        return VerifiedBlock(block.number, self._previous_hash.hex(), tuple(transactions))


def _may_order(member: Member) -> bool:
    """Say whether a certificate is an orderer's; where roles are not told apart, every member's is."""
    return Role.ORDERER in member.roles or member.roles == {Role.MEMBER}


def _compare_codes(block: Block, verdict: BlockVerdict) -> None:
    if len(block.flags) != len(verdict.verdicts):
        raise AuditFailed(f"block {block.number}: {len(block.flags)} validation codes for its transactions")
    for recorded, item in zip(block.flags, verdict.verdicts, strict=True):
        if recorded != item.code:
            name = ValidationCode(recorded).name if recorded in set(ValidationCode) else str(recorded)
            raise AuditFailed(
                f"block {block.number}, transaction {item.transaction_id}: recorded as {name}, but it is "
                f"{item.code.name}{': ' + item.reason if item.reason else ''}"
            )


def _median_time(number: int, verdict: BlockVerdict) -> int:
    """Return the middle of the times that the transactions claim: one liar does not move the block's time."""
    times = sorted(item.transaction.timestamp_ms for item in verdict.verdicts if item.transaction is not None)
    if not times:
        raise AuditFailed(f"block {number}: it holds no transaction that can be read")
    return times[len(times) // 2]
