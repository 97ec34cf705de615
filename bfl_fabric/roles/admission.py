"""What a node's server takes and gives: the rules of the door, all of them read from the ledger.

| blob | who may read it |
|---|---|
| model, public or joint key, opened sum, direction, evidence | every active organization of the federation |
| a member's share of a joint key | every active organization, once all members have committed to theirs |
| aggregate and score ciphertexts; masks, zeros, dealings, decryption shares | key holders, verifiers, auditors |
| a decryption share of the sum while the round's scores are due | nobody |
| a participant's ciphertext under a shared key | aggregators, verifiers, key holders; never a participant |
| a participant's ciphertext | aggregators and verifiers; never a participant, never a key holder |
| a key that is encrypted to one silo | that silo |

A digest that the ledger does not name is not given to anybody. Uploads are taken by aggregator and verifier nodes
of the round's holder organizations, from the participant that committed exactly these bytes, until the deadline.
The transport proves who calls and limits how often; it asks here for everything else.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from weakref import WeakValueDictionary

from bfl_chaincode.api.records import NodeRole, Phase, RoundView, UpdateCommitment
from bfl_fabric.domain.ports import TransferCaller, UpdateName
from bfl_fabric.errors import LedgerRefused, MalformedInput, NotFound
from bfl_fabric.roles.actions import in_phase
from bfl_fabric.roles.directory import BlobIndex, Callers, Naming, Secrecy, Standing
from bfl_fabric.roles.evidence import commitment_of, holder_role, round_of
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.schemes import UploadChecks
from bfl_fabric.roles.workbench import Workbench

READERS: dict[Secrecy, frozenset[NodeRole]] = {
    Secrecy.AGGREGATE: frozenset({NodeRole.KEY_HOLDER, NodeRole.VERIFIER, NodeRole.AUDITOR}),
    Secrecy.SHARED_UPDATE: frozenset({NodeRole.AGGREGATOR, NodeRole.VERIFIER, NodeRole.KEY_HOLDER}),
    Secrecy.UPDATE: frozenset({NodeRole.AGGREGATOR, NodeRole.VERIFIER}),
}


class NodeAdmission:
    """Implements the port `Admission` for one node; `role` says which of the node's duties apply."""

    def __init__(self, bench: Workbench, checks: UploadChecks, role: NodeRole) -> None:
        self._bench = bench
        self._checks = checks
        self._role = role
        self._reader = LedgerReader(bench.ports.ledger)
        self._callers = Callers(self._reader)
        self._index = BlobIndex(self._reader, bench.ports.blobs)
        self._expected: dict[str, tuple[UpdateName, RoundView]] = {}
        self._last: RoundView | None = None
        self._reading: WeakValueDictionary[tuple[str, int], asyncio.Lock] = WeakValueDictionary()

    async def expect(self, caller: TransferCaller, name: UpdateName, digest: str) -> int:
        """Return the size that this caller committed. Raises MalformedInput, or NotFound without commitment."""
        view = await self._showing_commitment(name)
        verify_takes_uploads(view, self._bench.identity.msp_id, self._role)
        verify_collecting(view, self._bench.ports.clock.now_ms())
        commitment = _commitment(view, name)
        verify_uploader(commitment, caller, digest)
        self._expected[name.participant_id] = name, view
        return commitment.size_bytes

    async def accept(self, name: UpdateName, digest: str, path: Path) -> None:
        """Check a complete upload: its form, its digest and its header. Raises MalformedInput."""
        expected, view = self._expected.pop(name.participant_id, (None, None))
        if view is None or expected != name:
            view = await self._round(name)
        commitment = _commitment(view, name)
        if commitment.digest != digest:
            raise MalformedInput(f"{name.participant_id} committed {commitment.digest}, not {digest}")
        await self._checks.check(view, commitment, path)
        self._checks.note_arrival(view, digest)

    async def may_read(self, caller: TransferCaller, digest: str) -> bool:
        """Say whether the table of this module lets the caller read the blob."""
        naming = await self._index.find(digest)
        return naming is not None and may_read(naming, await self._callers.standing(caller))

    async def _showing_commitment(self, name: UpdateName) -> RoundView:
        """Return the upload's round as it was last read, if that shows the commitment, else as it is now.

        Silos come at the same time: one reading serves all that it shows.
        """
        async with self._reading.setdefault((name.task_id, name.round), asyncio.Lock()):
            if self._last is None or not _shows_commitment(self._last, name):
                self._last = await self._round(name)
            return self._last

    async def _round(self, name: UpdateName) -> RoundView:
        try:
            return await self._reader.round(name.task_id, name.round)
        except LedgerRefused as error:
            raise NotFound(f"the ledger has no round {name.round} of {name.task_id}") from error


def may_read(naming: Naming, caller: Standing) -> bool:
    """Decide by the table of this module."""
    secrecy = naming.secrecy
    if not caller.is_member:
        return False
    if secrecy is Secrecy.FEDERATION:
        return True
    if secrecy is Secrecy.GRANT:
        return caller.is_participant and caller.participant_id == naming.reader
    if secrecy is Secrecy.SHARED_UPDATE and caller.is_participant:
        return False
    if secrecy is Secrecy.UPDATE and (caller.is_participant or NodeRole.KEY_HOLDER in caller.roles):
        return False
    return bool(READERS[secrecy] & caller.roles)


def verify_takes_uploads(view: RoundView, msp_id: str, role: NodeRole) -> None:
    """Check that this node is the one of its organization that takes the round's uploads. Raises MalformedInput."""
    holders = () if view.round is None else view.round.holders
    if msp_id not in holders or holder_role(view, msp_id) is not role:
        raise MalformedInput(
            f"the {role} of {msp_id} takes no uploads in this round; its holders are {holders}"
        )


def verify_collecting(view: RoundView, now_ms: int) -> None:
    """Check that uploads still count. Raises MalformedInput."""
    round_ = round_of(view)
    if not in_phase(view, Phase.COLLECTING):
        raise MalformedInput(
            f"{round_.task_id} round {round_.number} is {round_.phase}, it takes no more uploads"
        )
    if now_ms >= round_.deadline_at:
        raise MalformedInput(f"the deadline of {round_.task_id} round {round_.number} has passed")


def verify_uploader(commitment: UpdateCommitment, caller: TransferCaller, digest: str) -> None:
    """Check that the caller uploads its own update and exactly the committed one. Raises MalformedInput."""
    if (caller.msp_id, caller.common_name) != (commitment.msp_id, commitment.participant_id):
        raise MalformedInput(
            f"{caller.common_name} of {caller.msp_id} may not upload for {commitment.participant_id}"
        )
    if commitment.digest != digest:
        raise MalformedInput(f"{commitment.participant_id} committed {commitment.digest}, not {digest}")


def _shows_commitment(view: RoundView, name: UpdateName) -> bool:
    round_ = view.round
    if round_ is None or (round_.task_id, round_.number) != (name.task_id, name.round):
        return False
    return commitment_of(view, name.participant_id) is not None


def _commitment(view: RoundView, name: UpdateName) -> UpdateCommitment:
    commitment = commitment_of(view, name.participant_id)
    if commitment is None:
        raise NotFound(
            f"{name.participant_id} committed nothing in {name.task_id} round {name.round}; commit first"
        )
    return commitment
