"""From blocks to history: what the verified chain says that the contract did.

Decides which transactions of the channel are the contract's. Whether bytes are the chain at all is the block
verifier's decision; what the records mean is left to the checks.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

from bfl_chaincode.api import canonical
from bfl_chaincode.api.canonical import Json, NotCanonical
from bfl_chaincode.api.events import ContractEvent
from bfl_chaincode.api.records import from_json
from bfl_fabric.audit.findings import Check, Findings, Place
from bfl_fabric.audit.history import History
from bfl_fabric.audit.layout import Writes, types_of
from bfl_fabric.audit.requests import check_request
from bfl_fabric.audit.transactions import Sender, Transaction
from bfl_fabric.errors import AuditFailed, BflError, StorageFull, WorkerFailed
from bfl_fabric.fabric.envelopes import Action, ParsedTransaction
from bfl_fabric.fabric.identity import Identity
from bfl_fabric.fabric.signature_workers import signature_checks
from bfl_fabric.fabric.state import ReplayedState
from bfl_fabric.fabric.verifier import ChainVerifier, VerifiedBlock

ROLE_ATTRIBUTE = "bfl.role"
HASH_BYTES = 32
NODE_OUS = frozenset({"client", "admin", "peer", "orderer"})


@dataclass(slots=True)
class Chain:
    """What came out of the blocks: the contract's history, every chaincode's state, all blocks' hashes in a row."""

    history: History = field(default_factory=History)
    state: ReplayedState = field(default_factory=ReplayedState)
    hashes: bytearray = field(default_factory=bytearray)

    @property
    def height(self) -> int:
        return len(self.hashes) // HASH_BYTES

    @property
    def tip_digest(self) -> str:
        """The hash of the last block, lower-case hex, "" before the first."""
        return self.hashes[-HASH_BYTES:].hex()

    def holds(self, digest: str) -> bool:
        """Say whether a block has this hash."""
        starts = range(0, len(self.hashes), HASH_BYTES)
        return any(self.hashes[start : start + HASH_BYTES].hex() == digest for start in starts)


def read_chain(
    blocks: Iterable[bytes],
    genesis_digest: str,
    chaincode: str,
    findings: Findings,
    workers: int | None = None,
) -> Chain:
    """Verify the blocks from the first on and replay them; stop at the first that is not as it must be.

    The signatures of a long chain are checked by so many processes, by default one per core. Raises WorkerFailed
    when one is lost, StorageFull when there is no room for temporary files: that says nothing about the chain.
    """
    with signature_checks(workers) as checks:
        verifier = ChainVerifier(genesis_digest, checks)
        reader = _Reader(chaincode, verifier.state, findings)
        try:
            for block in verifier.verify(blocks):
                findings.count(Check.BLOCKS)
                findings.count(Check.TRANSACTIONS, len(block.transactions))
                findings.count(
                    Check.SIGNATURES, verifier.counts.signatures - findings.counts[Check.SIGNATURES]
                )
                reader.take_block(block)
                del block  # else it would stay until the next one is verified
        except (WorkerFailed, StorageFull):
            raise
        except BflError as error:
            findings.fail(Check.BLOCKS, str(error), Place(verifier.height))
    if not reader.chain.hashes and not findings.failures:
        findings.fail(Check.BLOCKS, "there is no block at all", Place(0))
    return reader.chain


class _Reader:
    """Takes the contract's transactions out of verified blocks."""

    def __init__(self, chaincode: str, state: ReplayedState, findings: Findings) -> None:
        self.chain = Chain(History(state.keys(chaincode)), state)
        self._chaincode = chaincode
        self._findings = findings

    def take_block(self, block: VerifiedBlock) -> None:
        self.chain.hashes += bytes.fromhex(block.hash)
        for entry in block.transactions:
            if entry.valid and entry.transaction is not None and entry.action is not None:
                self._take(block.number, entry.transaction, entry.action)

    def _take(self, block: int, transaction: ParsedTransaction, action: Action) -> None:
        writes = [
            write for part in action.rwset if part.namespace == self._chaincode for write in part.writes
        ]
        if action.chaincode != self._chaincode and not writes:
            return
        history = self.chain.history
        try:
            position = (len(history.transactions), block)
            arguments = action.arguments
            taken = _transaction(position, transaction, arguments, writes)
            asked = _request(taken.name, arguments)
            _check_event(taken, action)
        except (NotCanonical, BflError) as error:
            place = Place(block, transaction.transaction_id)
            self._findings.fail(Check.RECORDS, str(error), place)
        else:
            written = history.apply(taken, arguments[1], writes, self._findings)
            check_request(taken, asked, written, self._findings)


@functools.lru_cache(maxsize=4096)
def _sender(creator: bytes) -> Sender:
    identity = Identity.parse(creator)
    units = [unit for unit in identity.organizational_units if unit in NODE_OUS]
    role = identity.attributes.get(ROLE_ATTRIBUTE, "")
    return Sender(identity.msp_id, identity.common_name, units[0] if len(units) == 1 else "", role)


def _transaction(
    position: tuple[int, int], transaction: ParsedTransaction, arguments: tuple[bytes, ...], writes: Writes
) -> Transaction:
    name = sys.intern(arguments[0].decode("utf-8", "replace")) if arguments else ""
    return Transaction(
        order=position[0],
        transaction_id=transaction.transaction_id,
        block=position[1],
        name=name,
        at=transaction.timestamp_ms,
        sender=_sender(transaction.creator),
        types=types_of(writes),
    )


def _request(name: str, arguments: tuple[bytes, ...]) -> Json:
    """Return what the one argument says, which is JSON with one reading only. Raises AuditFailed, NotCanonical."""
    if len(arguments) != 2:
        raise AuditFailed(f"{name} has {len(arguments) - 1} arguments, not one")
    return canonical.parse(arguments[1])


def _check_event(transaction: Transaction, action: Action) -> None:
    """A transaction says in one event what it did; clients go by it."""
    event = action.event
    if event is None or event.name != transaction.name or event.transaction_id != transaction.transaction_id:
        raise AuditFailed(f"{transaction.name} has not its event")
    content = from_json(ContractEvent, canonical.parse(event.payload))
    if f"{content.contract}:{content.transaction}" != transaction.name:
        raise AuditFailed(f"the event of {transaction.name} says {content.contract}:{content.transaction}")
