"""What can go wrong, one class per thing that a caller can act on.

`exit_code` is what the command line ends with; the numbers are stable. Every message says what was wrong,
where, and what to do.
"""

from __future__ import annotations


class BflError(Exception):
    """The root of every error that this package raises on purpose."""

    exit_code = 1


class ConfigurationError(BflError):
    """A setting, file or argument is wrong."""

    exit_code = 2


class AuditFailed(BflError):
    """A record, block, blob or payout is not what it must be; the message names it."""

    exit_code = 3


class MalformedInput(BflError):
    """Bytes from outside do not have the form that they must have. Nothing of them was used."""

    exit_code = 4


class LedgerError(BflError):
    """The ledger could not be asked or did not take a transaction."""

    exit_code = 5

    def __init__(self, message: str, transaction_id: str = "") -> None:
        super().__init__(message)
        self.transaction_id = transaction_id


class LedgerUnavailable(LedgerError):
    """Nobody answered before the deadline; nothing was sent, or asking again is safe."""


class EvaluateError(LedgerError):
    """A query failed for a reason other than a rule of the contract."""


class EndorseError(LedgerError):
    """The peers did not endorse, for a reason other than a rule of the contract; nothing was ordered."""


class SubmitError(LedgerError):
    """The orderer did not take the transaction; ask its commit status before making another."""


class CommitStatusError(LedgerError):
    """It is not known whether the transaction was committed; ask again with the same transaction id."""


class CommitFailed(LedgerError):
    """The transaction is in a block and invalid, so it changed nothing. `validation_code` is Fabric's."""

    def __init__(self, message: str, transaction_id: str, validation_code: int) -> None:
        super().__init__(message, transaction_id)
        self.validation_code = validation_code


class LedgerRefused(LedgerError):
    """A rule of the contract said no; `code` is its BFL number."""

    exit_code = 6

    def __init__(self, code: int, text: str, transaction_id: str = "") -> None:
        super().__init__(f"BFL-{code}: {text}", transaction_id)
        self.code = code


class TransferFailed(BflError):
    """An upload or download did not get through; what arrived is kept and the next try resumes."""

    exit_code = 7


class NotFound(BflError):
    """A thing asked for by name or digest is not there."""

    exit_code = 8


class KeyHolderRefused(BflError):
    """The key holder does not open this; the message says which condition is not met."""

    exit_code = 9


class DealingRefused(KeyHolderRefused):
    """A member's dealing in a key ceremony is not what its public share promises.

    `dealer` is its MSP id; `evidence` is what others need to see the same.
    """

    def __init__(self, message: str, dealer: str = "", evidence: bytes = b"") -> None:
        super().__init__(message)
        self.dealer = dealer
        self.evidence = evidence


class WorkerFailed(BflError):
    """The isolated process that handles foreign ciphertexts crashed or overran its limits; only it was lost."""

    exit_code = 10


class StorageFull(BflError):
    """There is no room on the disk; what was stored before is whole."""

    exit_code = 11


class ProgramsMissing(BflError):
    """Programs of Hyperledger Fabric are needed and not found."""

    exit_code = 12


class NotTrusted(BflError):
    """A signature, certificate or set of signers does not prove what it must."""

    exit_code = 13


class JournalConflict(BflError):
    """This actor already wrote down another value for the same fact; doing the step again could harm."""

    exit_code = 14


class TrainingDiverged(BflError):
    """Local training or evaluation met a loss or a weight that is not finite; nothing was produced."""

    exit_code = 15
