"""Proofs of decryption shares, for the rare sum that does not open although every share is well-formed.

Each active member brings a proof of its share to the nodes of all other key members, and each of them judges for itself
whom it blames. The ledger has no place for a proof: it travels from node to node like an upload, under a name that says
which attempt it is for and how long it is. Decides which node may bring one, when, and that it brings one only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bfl_chaincode.api.records import NodeRole, Opening, Phase, RoundView, ShareSubject
from bfl_fabric.domain.ports import TransferCaller, UpdateName
from bfl_fabric.errors import LedgerRefused, MalformedInput, NotFound, TransferFailed
from bfl_fabric.roles import attempts
from bfl_fabric.roles.actions import Action, in_phase
from bfl_fabric.roles.admission import NodeAdmission
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.workbench import Workbench, file_digest, round_key

PROOF = "proof"
"""Journal: the proof that a member brought in an attempt; one, for good."""

_NAME = re.compile(r"(?P<task>[^#]+)#proof-(?P<attempt>[1-9][0-9]{0,8})-(?P<size>[1-9][0-9]{0,11})")
_ROOM_BYTES = 1 << 23
"""What a proof may have beyond twice its share: it masks whole polynomials even where a small model uses few."""


@dataclass(frozen=True, slots=True)
class ProofName:
    """Which proof is brought: of a task's round, for an attempt, of so many bytes."""

    task_id: str
    round: int
    attempt: int
    size_bytes: int

    def upload(self, node_id: str) -> UpdateName:
        """Return the name under which the node with this id brings it."""
        return UpdateName(f"{self.task_id}#proof-{self.attempt}-{self.size_bytes}", self.round, node_id)

    @classmethod
    def find(cls, name: UpdateName) -> ProofName | None:
        """Return the proof that an upload's name means, None when it is the name of an update."""
        found = _NAME.fullmatch(name.task_id)
        if found is None:
            return None
        return cls(found["task"], name.round, int(found["attempt"]), int(found["size"]))


class KeyHolderAdmission(NodeAdmission):
    """Implements the port `Admission` for a key holder's node: besides what every node gives, it takes proofs."""

    async def expect(self, caller: TransferCaller, name: UpdateName, digest: str) -> int:
        """Return the size of the proof that this caller may bring. Raises MalformedInput, NotFound."""
        proof = ProofName.find(name)
        if proof is None:
            return await super().expect(caller, name, digest)
        await self._verify(caller.msp_id, caller, proof, digest)
        return proof.size_bytes

    async def accept(self, name: UpdateName, digest: str, path: Path) -> None:
        """Check the digest and write down whose proof it is; whether it proves anything is found when it is judged."""
        proof = ProofName.find(name)
        if proof is None:
            await super().accept(name, digest, path)
            return
        if await self._bench.work(file_digest, path) != digest:
            raise MalformedInput("the proof has another digest than announced")
        msp_id = await self._organization(name.participant_id)
        self._bench.ports.journal.record(PROOF, proof_key(proof, msp_id), digest)

    async def _verify(self, msp_id: str, caller: TransferCaller, proof: ProofName, digest: str) -> None:
        standing = await self._callers.standing(caller)
        if not standing.is_member or NodeRole.KEY_HOLDER not in standing.roles:
            raise MalformedInput(f"{caller.common_name} is no key holder's node")
        try:
            view = await self._reader.round(proof.task_id, proof.round)
        except LedgerRefused as error:
            raise NotFound(f"the ledger has no round {proof.round} of {proof.task_id}") from error
        verify_proof_due(view, self._bench.identity.msp_id, msp_id, proof)
        known = self._bench.ports.journal.find(PROOF, proof_key(proof, msp_id))
        if known not in (None, digest):
            raise MalformedInput(f"{msp_id} brought another proof in this attempt")

    async def _organization(self, node_id: str) -> str:
        """Return whose key holder this node is; the transport proved the caller's name."""
        found = [
            node.msp_id
            for node in await self._reader.nodes()
            if (node.node_id, node.role) == (node_id, NodeRole.KEY_HOLDER)
        ]
        if len(found) != 1:
            raise MalformedInput(f"{node_id} is no key holder's node of one organization")
        return found[0]


def verify_proof_due(view: RoundView, receiver: str, bringer: str, proof: ProofName) -> None:
    """Check that this member may bring a proof to that one now. Raises MalformedInput."""
    opening = view.openings[-1] if view.openings else None
    if not in_phase(view, Phase.VERIFIED) or opening is None or opening.attempt != proof.attempt:
        raise MalformedInput(f"attempt {proof.attempt} of {proof.task_id}/{proof.round} does not stand")
    shares = attempts.shares_of(view, opening, ShareSubject.SUM)
    if tuple(shares) != opening.members:
        raise MalformedInput("a proof before every active member has answered for the sum")
    if receiver not in attempts.key_members(view) or bringer not in opening.members:
        raise MalformedInput(f"{bringer} answers nothing in attempt {proof.attempt}")
    if proof.size_bytes > 2 * shares[bringer].size_bytes + _ROOM_BYTES:
        raise MalformedInput(f"{proof.size_bytes} bytes are too many for a proof of this share")


def proof_key(proof: ProofName, msp_id: str) -> str:
    """Return the journal key of a member's proof in an attempt."""
    return f"{round_key(proof.task_id, proof.round)}/{proof.attempt}/{msp_id}"


class Proofs:
    """The proofs of the attempts that this node knows of."""

    def __init__(self, bench: Workbench, reader: LedgerReader) -> None:
        self._bench = bench
        self._reader = reader

    def here(self, opening: Opening) -> Mapping[str, str]:
        """Return the digests of the active members' proofs that are in the store, by MSP id."""
        name = ProofName(opening.task_id, opening.round, opening.attempt, 1)
        found = {
            member: self._bench.ports.journal.find(PROOF, proof_key(name, member))
            for member in opening.members
        }
        return {
            member: digest
            for member, digest in found.items()
            if digest is not None and self._bench.ports.blobs.has(digest)
        }

    async def bring(self, action: Action, view: RoundView, opening: Opening, proof: bytes) -> None:
        """Keep one's own proof and bring it to every other key member's node.

        Raises TransferFailed, naming those that do not have it yet; bringing it again is safe.
        """
        me, digest = self._bench.identity, await self._bench.keep(proof)
        name = ProofName(opening.task_id, opening.round, opening.attempt, len(proof))
        self._bench.ports.journal.record(PROOF, proof_key(name, me.msp_id), digest)
        others, problems = frozenset(attempts.key_members(view)) - {me.msp_id}, []
        for node in await self._reader.nodes():
            if node.role is not NodeRole.KEY_HOLDER or node.msp_id not in others:
                continue
            self._bench.ports.channel.expect(node.address, node.msp_id)
            try:
                path = self._bench.ports.blobs.path(digest)
                await self._bench.ports.channel.upload(node.address, name.upload(me.name), digest, path)
            except (TransferFailed, MalformedInput, NotFound) as error:
                problems.append(f"{node.node_id}: {error}")
        if problems:
            raise TransferFailed(f"the proof is not everywhere: {'; '.join(problems)}")
