"""A member's secret file: the seed of a ceremony, then its share of the joint key. Read by the worker process only.

Decides the states: OPEN (the seed is there), FINISHED (the combined share is there, the seed still explains a failed
drill), IN_USE (something was opened: the seed is gone for good), BURNT (the share is gone, the seed may be shown).
In its frame: length (u32), canonical JSON of what is not secret, seed, noise key, share.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from bfl_chaincode.api import canonical
from bfl_chaincode.api.canonical import Json
from bfl_fabric.errors import KeyHolderRefused, MalformedInput
from bfl_fabric.he.privatefile import Frame
from bfl_fabric.he.threshold.plan import KeyPlan

FRAME = Frame(b"BFLT", 1, "key member's secret file", "restore it from its backup")
_LENGTH = struct.Struct("<I")
_SEED_BYTES = 32
_GONE = bytes(_SEED_BYTES)


class State(StrEnum):
    """How far a member's file is."""

    OPEN = "open"
    FINISHED = "finished"
    IN_USE = "in-use"
    BURNT = "burnt"


@dataclass(frozen=True)
class MemberFile:
    """What the file holds. `share` is the combined private share's bytes, `noise_key` seeds its answers' noise.

    `dealt_digest` names the key shares for which the member has dealt, "" before; so it deals once.
    """

    plan: KeyPlan
    member: str
    state: State = State.OPEN
    dealt_digest: str = ""
    joint_key_digest: str = ""
    seed: bytes = field(default=_GONE, repr=False)
    noise_key: bytes = field(default=_GONE, repr=False)
    share: bytes = field(default=b"", repr=False)

    @classmethod
    def fresh(cls, plan: KeyPlan, member: str) -> MemberFile:
        """Return the file of a member that begins a ceremony, its seed drawn now."""
        return cls(plan, member, seed=os.urandom(_SEED_BYTES), noise_key=os.urandom(_SEED_BYTES))

    def finished(self, share: bytes, joint_key_digest: str) -> MemberFile:
        """Return the file after the ceremony."""
        return replace(self, state=State.FINISHED, share=share, joint_key_digest=joint_key_digest)

    def in_use(self) -> MemberFile:
        """Return the file of an epoch that opens something: the seed is gone."""
        return replace(self, state=State.IN_USE, seed=_GONE)

    def burnt(self) -> MemberFile:
        """Return the file of an epoch that failed. Raises KeyHolderRefused when it has opened something."""
        if self.state is State.IN_USE:
            raise KeyHolderRefused("this key epoch has been used: its seed is gone and will not be shown")
        return replace(self, state=State.BURNT, share=b"")

    def encode(self) -> bytes:
        """Return the file's bytes."""
        head = canonical.dump(
            {
                "plan": self.plan.fields,
                "member": self.member,
                "state": str(self.state),
                "dealt_digest": self.dealt_digest,
                "joint_key_digest": self.joint_key_digest,
            }
        )
        return FRAME.around(_LENGTH.pack(len(head)) + head + self.seed + self.noise_key + self.share)


def read(path: Path) -> MemberFile:
    """Read the file.

    Raises:
        NotFound: there is no such file.
        KeyHolderRefused: others may read it.
        MalformedInput: it is damaged, or of another version.
    """
    content = FRAME.read(path)
    (head_bytes,) = _LENGTH.unpack_from(content)
    head, rest = content[_LENGTH.size :][:head_bytes], content[_LENGTH.size + head_bytes :]
    seed, noise_key, share = rest[:_SEED_BYTES], rest[_SEED_BYTES : 2 * _SEED_BYTES], rest[2 * _SEED_BYTES :]
    return _with_head(canonical.parse(head), seed, noise_key, share)


def _with_head(head: Json, seed: bytes, noise_key: bytes, share: bytes) -> MemberFile:
    match head:
        case {
            "plan": dict(plan),
            "member": str(member),
            "state": str(state),
            "dealt_digest": str(dealt),
            "joint_key_digest": str(joint),
        }:
            return MemberFile(KeyPlan.read(plan), member, State(state), dealt, joint, seed, noise_key, share)
    raise MalformedInput("a key member's secret file without its fields")
