"""What a digest names and who a caller is, as the ledger says: the facts behind who may read which blob."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import NodeRole, RoundView, TaskStatus
from bfl_fabric.domain.ports import BlobStore, TransferCaller
from bfl_fabric.errors import MalformedInput, NotFound
from bfl_fabric.roles.reader import LedgerReader


class Secrecy(IntEnum):
    """How closely a blob is kept; a digest that is named in two ways is kept the closer way."""

    FEDERATION = 1  # models, public keys, opened sums, directions
    AGGREGATE = 2  # aggregate and score ciphertexts
    UPDATE = 3  # a participant's ciphertext


@dataclass(frozen=True, slots=True)
class Standing:
    """What a caller is in the federation: of an active organization or not, and its nodes' roles."""

    is_member: bool
    is_participant: bool
    roles: frozenset[NodeRole]


class Callers:
    """Looks callers up in the ledger's list of organizations, nodes and participants."""

    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader

    async def standing(self, caller: TransferCaller) -> Standing:
        organizations = await self._reader.organizations()
        active = any(one.msp_id == caller.msp_id and one.active for one in organizations)
        participants = await self._reader.participants()
        is_participant = any(
            (one.msp_id, one.participant_id) == (caller.msp_id, caller.common_name) for one in participants
        )
        roles = frozenset(
            node.role
            for node in await self._reader.nodes()
            if (node.msp_id, node.node_id) == (caller.msp_id, caller.common_name)
        )
        return Standing(active, is_participant, roles)


class BlobIndex:
    """Says what a digest names, from the tasks on the ledger; what a digest names never changes."""

    def __init__(self, reader: LedgerReader, blobs: BlobStore) -> None:
        self._reader = reader
        self._blobs = blobs
        self._named: dict[str, Secrecy] = {}
        self._read_rounds: set[tuple[str, int]] = set()

    async def find(self, digest: str) -> Secrecy | None:
        """Return how closely the blob is kept, None when the ledger names no such blob."""
        if digest not in self._named:
            await self._refresh()
        return self._named.get(digest)

    async def _refresh(self) -> None:
        for task in await self._reader.tasks():
            if task.status is TaskStatus.DRAFT:
                continue
            view = await self._reader.current(task.spec.task_id)
            self._name(Secrecy.FEDERATION, task.spec.model.initial_digest)
            if view.key_epoch is not None:
                self._name(Secrecy.FEDERATION, view.key_epoch.public_key_digest)
            for record in await self._reader.lineage(task.spec.task_id):
                self._name(Secrecy.FEDERATION, record.digest, record.sum_digest, record.direction_digest)
            await self._read_past_rounds(view)
            self._read_round(view)

    async def _read_past_rounds(self, view: RoundView) -> None:
        for number in range(1, 0 if view.round is None else view.round.number):
            key = (view.task.spec.task_id, number)
            if key not in self._read_rounds:
                self._read_round(await self._reader.round(*key))
                self._read_rounds.add(key)

    def _read_round(self, view: RoundView) -> None:
        if view.round is None:
            return
        round_ = view.round
        self._name(Secrecy.UPDATE, *(update.digest for update in view.updates))
        self._name(Secrecy.AGGREGATE, round_.aggregate_digest, round_.scores_digest)
        self._name(Secrecy.AGGREGATE, *self._score_digests(round_.scores_digest))
        self._name(
            Secrecy.FEDERATION,
            round_.base_model_digest,
            round_.direction_digest,
            round_.sum_digest,
            round_.model_digest,
            round_.next_direction_digest,
        )

    def _score_digests(self, scores_digest: str) -> list[str]:
        """Return the digests on a sheet of score ciphertexts, as far as the sheet is here."""
        if not scores_digest or not self._blobs.has(scores_digest):
            return []
        try:
            sheet = canonical.parse(self._blobs.read(scores_digest))
        except (canonical.NotCanonical, MalformedInput, NotFound):
            return []
        rows = sheet if isinstance(sheet, list) else []
        return [row[1] for row in rows if isinstance(row, list) and len(row) == 2 and isinstance(row[1], str)]

    def _name(self, secrecy: Secrecy, *digests: str) -> None:
        for digest in digests:
            if digest:
                self._named[digest] = max(secrecy, self._named.get(digest, secrecy))
