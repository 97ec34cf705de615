"""The requests of this scheme that the worker process answers: reading them, and what each may reply.

A reply is a message that may be public, or a refusal. The one secret that ever leaves is the seed of a burnt epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bfl_fabric.errors import DealingRefused, KeyHolderRefused
from bfl_fabric.he.frames import Head
from bfl_fabric.he.threshold import dealing, keymessages, requests
from bfl_fabric.he.threshold.answering import Member
from bfl_fabric.he.threshold.plan import KeyPlan
from bfl_fabric.he.threshold.proving import share_proof
from bfl_fabric.he.threshold.score_answers import score_share

Reply = tuple[Head, bytes]


class ThresholdOperations:
    """What one worker process keeps between requests: the members whose shares it has loaded."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}

    def by_name(self) -> dict[str, Callable[[Head, bytes], Reply]]:
        """The operations by the word of a request's head."""
        return {
            "threshold.key_share": self._key_share,
            "threshold.deal": self._deal,
            "threshold.finish": self._finish,
            "threshold.reveal_seed": self._reveal_seed,
            "threshold.load": self._load,
            "threshold.sum_share": self._sum_share,
            "threshold.score_share": self._score_share,
            "threshold.prove": self._prove,
        }

    def _key_share(self, head: Head, payload: bytes) -> Reply:
        return {}, dealing.key_share(*_whose(head))

    def _deal(self, head: Head, payload: bytes) -> Reply:
        fields, _ = requests.parse(payload)
        return {}, dealing.deal(*_whose(head), requests.share_names(fields))

    def _finish(self, head: Head, payload: bytes) -> Reply:
        """Reply: nothing, or the dealer that is refused with the evidence as payload."""
        fields, blobs = requests.parse(payload)
        plan, member, path = _whose(head)
        shares, rows = requests.share_names(fields), requests.received(plan, fields, blobs)
        try:
            dealing.finish(plan, member, path, shares, rows, requests.text(head, "joint_key_digest"))
        except DealingRefused as error:
            return {"dealer": error.dealer, "message": str(error)}, error.evidence
        return {}, b""

    def _reveal_seed(self, head: Head, payload: bytes) -> Reply:
        """Reply: the seed of an epoch that has opened nothing, and from now on never will."""
        self._members.pop(requests.text(head, "secret_path"), None)
        return {}, dealing.reveal_seed(*_whose(head))

    def _load(self, head: Head, payload: bytes) -> Reply:
        member = self._member(head)
        return {"member": member.name}, b""

    def _sum_share(self, head: Head, payload: bytes) -> Reply:
        asked = requests.opening_of(payload)
        return {}, self._member(head).sum_share(asked.terms, asked.masks, asked.zeros)

    def _score_share(self, head: Head, payload: bytes) -> Reply:
        """Blob 0: the direction, one byte for each coordinate."""
        asked = requests.opening_of(payload)
        direction = np.frombuffer(asked.blobs[0], dtype=np.int8)
        masks = dict(zip(asked.participants, asked.masks, strict=True))
        levels = requests.number(head, "levels")
        return {}, score_share(self._member(head), asked.terms, direction, masks, levels)

    def _prove(self, head: Head, payload: bytes) -> Reply:
        """Blob 0: the share's message; blob 1: the member's commitment."""
        asked, member = requests.opening_of(payload), self._member(head)
        committed = keymessages.read_commitment(member.plan, asked.blobs[1])
        return {}, share_proof(member, asked.terms, asked.masks, asked.zeros, asked.blobs[0], committed)

    def _member(self, head: Head) -> Member:
        path = requests.text(head, "secret_path")
        digest = requests.text(head, "joint_key_digest")
        if path not in self._members:
            self._members[path] = Member(Path(path), digest)
        member = self._members[path]
        if member.key.digest != digest:
            raise KeyHolderRefused("the secret file is of another joint key than the one on the ledger")
        return member


def _whose(head: Head) -> tuple[KeyPlan, str, Path]:
    plan = KeyPlan.read(head.get("plan"))
    return plan, requests.text(head, "member"), Path(requests.text(head, "secret_path"))
