"""Records in and out of the world state.

Decides how a record is stored (its canonical JSON under its composite key), that nothing is read after the
first write, and what a missing or doubled record is called. What a transaction may store is the rules'.
"""

from __future__ import annotations

from typing import TypeVar

from bfl_chaincode.api import canonical, records, refusals
from bfl_chaincode.api.canonical import NotCanonical
from bfl_chaincode.api.events import ContractEvent
from bfl_chaincode.api.refusals import RuleRefusal
from bfl_chaincode.keys import DIGEST_INDEX, Key, Part, key, key_of
from bfl_chaincode.shim.stub import ChaincodeStub

T = TypeVar("T")

# An index entry says only that it is there; an empty value would delete the key on Fabric.
PRESENT = b"\x01"

MISSING: dict[type, type[RuleRefusal]] = {
    records.Federation: refusals.FederationMissing,
    records.Organization: refusals.OrganizationMissing,
    records.Participant: refusals.ParticipantMissing,
    records.Task: refusals.TaskMissing,
    records.Progress: refusals.TaskMissing,
    records.Registration: refusals.RegistrationMissing,
    records.KeyEpoch: refusals.KeyEpochMissing,
    records.Ceremony: refusals.CeremonyMissing,
    records.Round: refusals.RoundMissing,
    records.UpdateCommitment: refusals.UpdateMissing,
    records.Opening: refusals.OpeningMissing,
    records.ModelRecord: refusals.ModelMissing,
    records.Settlement: refusals.SettlementMissing,
    records.Reputation: refusals.ReputationMissing,
    records.Upgrade: refusals.UpgradeMissing,
}

EXISTING: dict[type, type[RuleRefusal]] = {
    records.Federation: refusals.FederationExists,
    records.Task: refusals.TaskExists,
    records.Registration: refusals.RegistrationExists,
    records.KeyEpoch: refusals.KeyEpochExists,
    records.KeyCommitment: refusals.KeyCommitmentExists,
    records.KeyReveal: refusals.KeyRevealExists,
    records.KeyConfirmation: refusals.KeyConfirmationExists,
    records.KeyComplaint: refusals.ComplaintExists,
    records.KeyGrant: refusals.KeyGrantExists,
    records.UpdateCommitment: refusals.UpdateExists,
    records.Receipt: refusals.ReceiptExists,
    records.Attestation: refusals.AttestationExists,
    records.ScoreSheet: refusals.ScoresExist,
    records.ShareOffer: refusals.OfferExists,
    records.Opening: refusals.OpeningExists,
    records.DecryptionShare: refusals.ShareExists,
    records.Blame: refusals.BlameExists,
    records.Evaluation: refusals.EvaluationExists,
}


class WorldState:
    """One transaction's typed view of the state."""

    def __init__(self, stub: ChaincodeStub) -> None:
        self._stub = stub
        self._written = False

    @property
    def transaction_id(self) -> str:
        return self._stub.get_txid()

    def now(self) -> int:
        """Return the transaction's moment in milliseconds since 1970-01-01 UTC."""
        moment = self._stub.get_tx_timestamp()
        return moment.seconds * 1000 + moment.nanos // 1_000_000

    async def find(self, kind: type[T], *parts: Part) -> T | None:
        """Return the record under this key, None when there is none."""
        value = await self._read(key(kind, parts))
        return _record(kind, value) if value else None

    async def get(self, kind: type[T], *parts: Part) -> T:
        """Return the record under this key. Raises the kind's refusal when there is none."""
        record = await self.find(kind, *parts)
        if record is None:
            raise MISSING[kind](f"there is no {_named(kind, parts)}")
        return record

    async def list(self, kind: type[T], *parts: Part) -> tuple[T, ...]:
        """Return the records whose keys begin with these parts, in key order."""
        self._refuse_late_read()
        object_type, attributes = key(kind, parts)
        rows = await self._stub.get_state_by_partial_composite_key(object_type, attributes)
        return tuple([_record(kind, row.value) async for row in rows])

    async def require_absent(self, kind: type, *parts: Part) -> None:
        """Raise the kind's refusal when there is such a record."""
        if await self._read(key(kind, parts)):
            raise EXISTING[kind](f"there is a {_named(kind, parts)} already")

    async def require_new_digest(self, task_id: str, digest: str) -> None:
        """Raise DigestSeen when an update of this task was committed with this digest."""
        if await self._read((DIGEST_INDEX, (task_id, digest))):
            raise refusals.DigestSeen(f"task {task_id} has seen an update with digest {digest}")

    async def put(self, *stored: object) -> None:
        """Store each record under its own key."""
        self._written = True
        for record in stored:
            await self._stub.put_state(self._name(key_of(record)), canonical.dump(records.to_json(record)))

    async def put_digest(self, task_id: str, digest: str) -> None:
        """Note that the task has seen this digest."""
        self._written = True
        await self._stub.put_state(self._name((DIGEST_INDEX, (task_id, digest))), PRESENT)

    async def delete(self, record: object) -> None:
        self._written = True
        await self._stub.delete_state(self._name(key_of(record)))

    def emit(self, event: ContractEvent) -> None:
        """Set the transaction's one event."""
        name = f"{event.contract}:{event.transaction}"
        self._stub.set_event(name, canonical.dump(records.to_json(event)))

    async def _read(self, at: Key) -> bytes:
        self._refuse_late_read()
        return await self._stub.get_state(self._name(at))

    def _name(self, at: Key) -> str:
        return self._stub.create_composite_key(at[0], at[1])

    def _refuse_late_read(self) -> None:
        if self._written:
            raise refusals.ReadAfterWrite("a read follows a write")


def _record(kind: type[T], value: bytes) -> T:
    try:
        return records.from_json(kind, canonical.parse(value))
    except NotCanonical as error:
        raise refusals.UnreadableRecord(f"a stored {kind.__name__} cannot be read") from error


def _named(kind: type, parts: tuple[Part, ...]) -> str:
    return " ".join([kind.__name__, *(str(part) for part in parts)])
