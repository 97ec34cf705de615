"""The ports: what a role may ask of the ledger, of the network, of storage, of cryptography and of training.

Adapters live in `fabric` (Ledger), `transport` (UpdateChannel), `storage` (BlobStore), `he`
(AggregationScheme, SecretOpener, ThresholdKeys) and `training` (Trainer, Evaluator); `testing` has fakes that refuse
what the real ones refuse. Vectors are numpy arrays of one dimension; dtype and length stand in each docstring.
"""

from typing import TYPE_CHECKING

from bfl_fabric.domain.ports.blobs import (
    Admission,
    BlobStore,
    IncomingBlobs,
    PartialBlob,
    ReceivingStore,
    TransferCaller,
    UpdateChannel,
    UpdateName,
)
from bfl_fabric.domain.ports.encryption import (
    AggregateHeader,
    AggregationScheme,
    SchemeProvider,
    SecretOpener,
    UpdateHeader,
)
from bfl_fabric.domain.ports.keys import (
    CeremonyPlan,
    GroupKeys,
    KeyCeremony,
    OpeningTerms,
    ShareHolder,
    ThresholdKeys,
    ThresholdScheme,
)
from bfl_fabric.domain.ports.learning import Arithmetic, Evaluator, LocalUpdate, Trainer
from bfl_fabric.domain.ports.ledger import Checkpoint, Clock, Commit, Journal, Ledger, LedgerEvent

if TYPE_CHECKING:
    from bfl_fabric.domain.ports.vectors import Float32Vector as Float32Vector
    from bfl_fabric.domain.ports.vectors import Int8Vector as Int8Vector
    from bfl_fabric.domain.ports.vectors import Int64Vector as Int64Vector

__all__ = [
    "Admission",
    "AggregateHeader",
    "AggregationScheme",
    "Arithmetic",
    "BlobStore",
    "CeremonyPlan",
    "Checkpoint",
    "Clock",
    "Commit",
    "Evaluator",
    "GroupKeys",
    "IncomingBlobs",
    "Journal",
    "KeyCeremony",
    "Ledger",
    "LedgerEvent",
    "LocalUpdate",
    "OpeningTerms",
    "PartialBlob",
    "ReceivingStore",
    "SchemeProvider",
    "SecretOpener",
    "ShareHolder",
    "ThresholdKeys",
    "ThresholdScheme",
    "Trainer",
    "TransferCaller",
    "UpdateChannel",
    "UpdateHeader",
    "UpdateName",
]
