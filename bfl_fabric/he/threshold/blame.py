"""Explaining a key epoch that failed: from the seeds that its members reveal, whose messages are not what they give.

Works on burnt epochs only: nothing was ever encrypted under them, so their seeds are worth nothing any more.
"""

from __future__ import annotations

from collections.abc import Mapping

from bfl_fabric.errors import MalformedInput
from bfl_fabric.he.threshold import keymessages
from bfl_fabric.he.threshold.material import Material
from bfl_fabric.he.threshold.plan import KeyPlan


def check_dealer(
    plan: KeyPlan, dealer: str, seeds: Mapping[str, bytes], shares: Mapping[str, bytes], dealing: bytes
) -> str | None:
    """Return what is wrong with a dealer's messages, None when all of them are what its seed gives.

    Args:
        plan: of the failed epoch.
        dealer: its MSP id; its seed is among `seeds`.
        seeds: what members revealed; a recipient without a seed is passed over, because its row cannot be read.
        shares: all members' key shares, as committed.
        dealing: the dealer's dealing, as committed.
    """
    material = Material(plan, dealer, seeds[dealer])
    own = keymessages.encode_key_share(
        plan, dealer, material.transport.public, material.public_share(), material.checks()
    )
    if own != shares[dealer]:
        return f"the key share of {dealer} is not what its seed gives"
    digests = {member: keymessages.digest_of(share) for member, share in shares.items()}
    try:
        rows = keymessages.read_dealing(plan, dealer, digests[dealer], dealing)
    except MalformedInput as error:
        return str(error)
    for recipient, ciphertext in rows.items():
        if recipient not in seeds or not _is_own(plan, recipient, seeds[recipient], shares[recipient]):
            continue
        binding = keymessages.share_binding(plan, dealer, recipient, digests[dealer], digests[recipient])
        expected = keymessages.encode_private_share(plan, material.private_share(recipient))
        try:
            found = Material(plan, recipient, seeds[recipient]).transport.decrypt(ciphertext, binding)
        except MalformedInput:
            return f"what {dealer} dealt to {recipient} cannot be decrypted"
        if found != expected:
            return f"what {dealer} dealt to {recipient} is not what its seed gives"
    return None


def explain(
    plan: KeyPlan, seeds: Mapping[str, bytes], shares: Mapping[str, bytes], dealings: Mapping[str, bytes]
) -> dict[str, str]:
    """Return for each member with whom something is wrong what it is; who shows no seed is among them."""
    found = {member: f"{member} shows no seed" for member in plan.members if member not in seeds}
    for member in seeds:
        problem = check_dealer(plan, member, seeds, shares, dealings[member])
        if problem is not None:
            found[member] = problem
    return found


def _is_own(plan: KeyPlan, member: str, seed: bytes, share: bytes) -> bool:
    """Say whether the transport key of a member's share is the one that its seed gives."""
    return (
        keymessages.read_key_share(plan, member, share).transport
        == Material(plan, member, seed).transport.public
    )
