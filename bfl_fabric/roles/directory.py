"""What a digest names and who a caller is, as the ledger says: the facts behind who may read which blob."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import IntEnum

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import CeremonyStatus, NodeRole, RoundView, ShareSubject, TaskStatus
from bfl_fabric.domain.ports import BlobStore, TransferCaller
from bfl_fabric.errors import MalformedInput, NotFound
from bfl_fabric.roles import attempts
from bfl_fabric.roles.reader import LedgerReader

ROUNDS_AT_ONCE = 8
"""So many past rounds are read at the same time."""


class Secrecy(IntEnum):
    """How closely a blob is kept; a digest that is named in two ways is kept the closer way."""

    FEDERATION = 1  # models, public keys, opened sums, directions, what key members state against each other
    AGGREGATE = (
        2  # aggregate and score ciphertexts; under a shared key masks, zeros, dealings, decryption shares
    )
    SHARED_UPDATE = 3  # a participant's ciphertext under a key that no single organization holds
    UPDATE = 4  # a participant's ciphertext
    GRANT = 5  # a key that is encrypted to one silo


@dataclass(frozen=True, slots=True)
class Naming:
    """How closely a blob is kept, and the one participant that it is for, "" when it is for a circle."""

    secrecy: Secrecy
    reader: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a caller is in the federation: of an active organization or not, its nodes' roles, its name as a silo."""

    is_member: bool
    is_participant: bool
    roles: frozenset[NodeRole]
    participant_id: str = ""


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
        return Standing(active, is_participant, roles, caller.common_name if is_participant else "")


class BlobIndex:
    """Says what a digest names, from the tasks on the ledger; what a digest names never changes.

    An answer for a sum names nothing while the round's scores are due, whatever else its digest is said to be: scores
    show a mask that was chosen to draw the secret out of such answers.
    """

    def __init__(self, reader: LedgerReader, blobs: BlobStore) -> None:
        self._reader = reader
        self._blobs = blobs
        self._named: dict[str, Naming] = {}
        self._withheld: dict[tuple[str, int], frozenset[str]] = {}
        self._read_rounds: set[tuple[str, int]] = set()
        self._read_ceremonies: set[tuple[str, int]] = set()
        self._ended: set[str] = set()
        self._refreshing = asyncio.Lock()

    async def find(self, digest: str) -> Naming | None:
        """Return how closely the blob is kept, None when the ledger names no such blob."""
        if self._known(digest) is None:
            async with self._refreshing:  # who waited here may find what the one before has read
                if self._known(digest) is None:
                    await self._refresh()
        return self._known(digest)

    def _known(self, digest: str) -> Naming | None:
        withheld = any(digest in digests for digests in self._withheld.values())
        return None if withheld else self._named.get(digest)

    async def _refresh(self) -> None:
        for task in await self._reader.tasks():
            if task.status is TaskStatus.DRAFT or task.spec.task_id in self._ended:
                continue
            view = await self._reader.current(task.spec.task_id)
            self._name(Secrecy.FEDERATION, task.spec.model.initial_digest)
            if view.key_epoch is not None:
                self._name(Secrecy.FEDERATION, view.key_epoch.public_key_digest)
            for grant in view.grants:
                self._name(Secrecy.GRANT, grant.digest, reader=grant.participant_id)
            if task.spec.roles.key_members:
                await self._read_keys(task.spec.task_id)
            for record in await self._reader.lineage(task.spec.task_id):
                self._name(Secrecy.FEDERATION, record.digest, record.sum_digest, record.direction_digest)
            await self._read_past_rounds(view)
            self._read_round(view)
            if view.task.status in (TaskStatus.CLOSED, TaskStatus.ABANDONED):
                self._ended.add(task.spec.task_id)

    async def _read_keys(self, task_id: str) -> None:
        """Read the key ceremonies. No share is named before all members have committed to theirs."""
        for ceremony in await self._reader.ceremonies(task_id):
            key = (task_id, ceremony.epoch)
            if key in self._read_ceremonies:
                continue
            view = await self._reader.ceremony(*key)
            if ceremony.status is not CeremonyStatus.OPEN:
                self._read_ceremonies.add(key)
            if frozenset(item.msp_id for item in view.commitments) == frozenset(ceremony.members):
                self._name(Secrecy.FEDERATION, *(item.share_digest for item in view.commitments))
            self._name(Secrecy.AGGREGATE, *(item.dealing_digest for item in view.reveals))
            self._name(Secrecy.FEDERATION, *(item.joint_key_digest for item in view.confirmations))
            self._name(Secrecy.FEDERATION, *(item.evidence_digest for item in view.complaints))

    async def _read_past_rounds(self, view: RoundView) -> None:
        newest = 0 if view.round is None else view.round.number
        keys = [(view.task.spec.task_id, number) for number in range(1, newest)]
        unread = [key for key in keys if key not in self._read_rounds]
        while some := unread[:ROUNDS_AT_ONCE]:
            for past in await asyncio.gather(*(self._reader.round(*key) for key in some)):
                self._read_round(past)
            self._read_rounds.update(some)
            del unread[:ROUNDS_AT_ONCE]

    def _read_round(self, view: RoundView) -> None:
        if view.round is None:
            return
        round_ = view.round
        early = ShareSubject.SCORES in attempts.due(view)
        answers = [share.digest for share in view.shares if share.subject is ShareSubject.SUM]
        self._withheld[round_.task_id, round_.number] = frozenset(answers if early else ())
        shared = bool(view.task.spec.roles.key_members)
        update = Secrecy.SHARED_UPDATE if shared else Secrecy.UPDATE
        self._name(update, *(item.digest for item in view.updates))
        self._name(Secrecy.AGGREGATE, round_.aggregate_digest, round_.scores_digest)
        self._name(Secrecy.AGGREGATE, *self._score_digests(round_.scores_digest))
        self._name(Secrecy.AGGREGATE, *(item.mask_digest for item in view.updates))
        self._name(Secrecy.AGGREGATE, *(item.zero_digest for item in view.offers))
        self._name(Secrecy.AGGREGATE, *(item.digest for item in view.shares))
        self._name(
            Secrecy.FEDERATION,
            round_.base_model_digest,
            round_.direction_digest,
            round_.sum_digest,
            round_.model_digest,
            round_.next_direction_digest,
            *(item.evidence_digest for item in view.blames),
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

    def _name(self, secrecy: Secrecy, *digests: str, reader: str = "") -> None:
        for digest in digests:
            if digest and (digest not in self._named or self._named[digest].secrecy < secrecy):
                self._named[digest] = Naming(secrecy, reader)
