"""One member's steps in a key ceremony: inside the worker process, where its seed is.

Decides what is durable before a step's answer leaves: the seed, whom was dealt to, the combined share. Public bytes
are written beside the secret file, because a ciphertext is fresh each time and the seed does not stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bfl_chaincode.api import canonical
from bfl_fabric.errors import DealingRefused, KeyHolderRefused, MalformedInput
from bfl_fabric.he import privatefile, transportkey
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.threshold import keymessages, memberfile
from bfl_fabric.he.threshold.commitments import require_committed
from bfl_fabric.he.threshold.material import Material
from bfl_fabric.he.threshold.memberfile import MemberFile, State
from bfl_fabric.he.threshold.plan import KeyPlan


@dataclass(frozen=True, slots=True)
class ShareName:
    """A member's key share as others need it: the digest of the message, and the transport key in it."""

    digest: str
    transport: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """What a dealer dealt to a member: the digest of its dealing, the ciphertext, the commitment from its key share."""

    dealing_digest: str
    ciphertext: bytes
    commitment: list[Residues]


def key_share(plan: KeyPlan, member: str, path: Path) -> bytes:
    """Return the member's key share, with a fresh seed when there is no file yet."""
    if not path.exists():
        try:
            privatefile.create(path, MemberFile.fresh(plan, member).encode())
        except FileExistsError:
            return key_share(plan, member, path)
    file = member_file(plan, member, path)
    kept = _beside(path, "key-share")
    if not kept.exists():
        material = Material(plan, member, _seed_of(file))
        message = keymessages.encode_key_share(
            plan, member, material.transport.public, material.public_share(), material.checks()
        )
        privatefile.replace(kept, message)
    return privatefile.read(kept)


def deal(plan: KeyPlan, member: str, path: Path, shares: Mapping[str, ShareName]) -> bytes:
    """Return the member's dealing for these key shares of all members; it deals for one set of them only.

    Raises:
        KeyHolderRefused: it has dealt for other key shares, or its own is another one.
    """
    file = member_file(plan, member, path)
    subject = canonical.digest({name: share.digest for name, share in shares.items()})
    if file.dealt_digest not in ("", subject):
        raise KeyHolderRefused(f"{member} has dealt for other key shares in this ceremony already")
    own = keymessages.digest_of(key_share(plan, member, path))
    if shares[member].digest != own:
        raise KeyHolderRefused(f"the key share that is named for {member} is not its own")
    kept = _beside(path, "dealing")
    if file.dealt_digest == "" or not kept.exists():
        # written down before anything is encrypted to a transport key of this set
        privatefile.replace(path, replace(file, dealt_digest=subject).encode())
        privatefile.replace(kept, _dealing(plan, Material(plan, member, _seed_of(file)), shares))
    return privatefile.read(kept)


def finish(
    plan: KeyPlan,
    member: str,
    path: Path,
    shares: Mapping[str, ShareName],
    received: Mapping[str, Received],
    joint_key_digest: str,
) -> None:
    """Check what the others dealt to the member, add it up and keep it.

    Args:
        plan: of the ceremony.
        member: whose file it is.
        path: of the secret file.
        shares: all members' key shares.
        received: what each other member dealt to this one.
        joint_key_digest: the SHA-256 of the joint key's message.

    Raises:
        DealingRefused: a private share cannot be decrypted, is malformed, or is not the one committed to.
    """
    file = member_file(plan, member, path)
    if file.state in (State.FINISHED, State.IN_USE):
        if file.joint_key_digest != joint_key_digest:
            raise KeyHolderRefused("this ceremony is finished, with another joint key")
        return
    material, ring = Material(plan, member, _seed_of(file)), plan.parameters.ring
    total = material.private_share(member)
    for dealer, dealt in received.items():
        total += np.stack(_opened(plan, material, dealer, shares, dealt))
    combined = keymessages.encode_private_share(plan, np.stack([ring.reduce(part) for part in total]))
    privatefile.replace(path, file.finished(combined, joint_key_digest).encode())


def reveal_seed(plan: KeyPlan, member: str, path: Path) -> bytes:
    """Return the seed of an epoch that failed; from then on the file holds no share and answers nothing.

    Raises:
        KeyHolderRefused: the epoch has opened something.
    """
    file = member_file(plan, member, path).burnt()
    privatefile.replace(path, file.encode())
    return file.seed


def member_file(plan: KeyPlan, member: str, path: Path) -> MemberFile:
    """Read the member's file of this ceremony. Raises KeyHolderRefused when it is of another one."""
    file = memberfile.read(path)
    if (file.plan, file.member) != (plan, member):
        raise KeyHolderRefused(f"the secret file {path.name} is of another ceremony or another member")
    return file


def _dealing(plan: KeyPlan, material: Material, shares: Mapping[str, ShareName]) -> bytes:
    dealer, ciphertexts = material.member, {}
    for recipient in plan.members:
        if recipient != dealer:
            plaintext = keymessages.encode_private_share(plan, material.private_share(recipient))
            binding = _binding(plan, dealer, recipient, shares)
            ciphertexts[recipient] = transportkey.encrypt(plaintext, shares[recipient].transport, binding)
    return keymessages.encode_dealing(plan, dealer, shares[dealer].digest, ciphertexts)


def _opened(
    plan: KeyPlan, material: Material, dealer: str, shares: Mapping[str, ShareName], dealt: Received
) -> list[Residues]:
    evidence = bytes.fromhex(dealt.dealing_digest)
    try:
        binding = _binding(plan, dealer, material.member, shares)
        plaintext = material.transport.decrypt(dealt.ciphertext, binding)
        # from here on the plaintext itself is what others can look at
        evidence = plaintext
        share = keymessages.read_private_share(plan, plaintext)
        require_committed(plan, share, dealt.commitment, plan.point(material.member))
    except MalformedInput as error:
        raise DealingRefused(
            f"what {dealer} dealt to {material.member} is refused: {error}", dealer, evidence
        ) from error
    return share


def _binding(plan: KeyPlan, dealer: str, recipient: str, shares: Mapping[str, ShareName]) -> bytes:
    return keymessages.share_binding(plan, dealer, recipient, shares[dealer].digest, shares[recipient].digest)


def _seed_of(file: MemberFile) -> bytes:
    if file.state is State.IN_USE:
        raise KeyHolderRefused("this key epoch is in use and its ceremony's files are gone; restore them")
    if file.state is State.BURNT:
        raise KeyHolderRefused("this key epoch is burnt: its seed has been shown")
    return file.seed


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.name}.{what}")
