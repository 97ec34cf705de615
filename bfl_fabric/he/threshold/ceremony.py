"""The port `KeyCeremony`: one member's part, in its node's process; what is secret is asked of the worker.

Decides what is public of a ceremony: reading the others' messages, adding up the joint key.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bfl_chaincode.api.canonical import Json
from bfl_fabric.errors import DealingRefused, MalformedInput
from bfl_fabric.he.isolation import WorkerProcess
from bfl_fabric.he.threshold import keymessages, requests
from bfl_fabric.he.threshold.commitments import commitment
from bfl_fabric.he.threshold.dealing import Received
from bfl_fabric.he.threshold.keymessages import KeyShare
from bfl_fabric.he.threshold.plan import KeyPlan


class MemberCeremony:
    """One member's ceremony for one epoch. Raises KeyHolderRefused, MalformedInput, WorkerFailed."""

    def __init__(self, plan: KeyPlan, me: str, secret_path: Path, worker: WorkerProcess) -> None:
        self._plan, self._me, self._worker = plan, me, worker
        self._head: dict[str, Json] = {
            "plan": plan.fields,
            "member": me,
            "secret_path": str(secret_path.absolute()),
        }

    def key_share(self) -> bytes:
        """Return the member's public share; the same bytes each time. When it returns the seed is durable."""
        return self._ask("threshold.key_share")[1]

    def deal(self, shares: Mapping[str, bytes]) -> bytes:
        """Return the member's dealing, the same bytes each time.

        Raises:
            KeyHolderRefused: the member has dealt for other key shares already.
            MalformedInput: a key share is missing or malformed; the text names its author.
        """
        return self._ask("threshold.deal", requests.named(self._read(shares)))[1]

    def finish(self, shares: Mapping[str, bytes], dealings: Mapping[str, bytes]) -> bytes:
        """Check every dealing, keep the combined share durably, return the joint key's message.

        Raises:
            DealingRefused: a dealing is not well-formed, or what it holds for this member is not what its dealer's
                key share commits to.
            MalformedInput: a key share or a dealing is missing, or a key share is malformed.
        """
        read = self._read(shares)
        missing = [member for member in self._plan.members if member not in dealings]
        if missing:
            raise MalformedInput(f"the dealing of {', '.join(missing)} is missing")
        rows, point = {}, self._plan.point(self._me)
        for dealer in self._plan.members:
            row = self._row(dealer, read[dealer], dealings[dealer])
            if row is not None:
                rows[dealer] = Received(
                    keymessages.digest_of(dealings[dealer]),
                    row,
                    commitment(self._plan, read[dealer].polynomials, read[dealer].checks, point),
                )
        joint_key = keymessages.encode_joint_key(self._plan, read)
        head, evidence = self._ask(
            "threshold.finish",
            requests.dealt(self._plan, read, rows),
            joint_key_digest=keymessages.digest_of(joint_key),
        )
        if "dealer" in head:
            raise DealingRefused(str(head["message"]), str(head["dealer"]), evidence)
        return joint_key

    def reveal_seed(self) -> bytes:
        """Burn the epoch and return its seed, so that others can see what this member dealt.

        Raises:
            KeyHolderRefused: the epoch has opened something: its seed is gone.
        """
        return self._ask("threshold.reveal_seed")[1]

    def close(self) -> None:
        """End the worker process."""
        self._worker.close()

    def _row(self, dealer: str, share: KeyShare, dealing: bytes) -> bytes | None:
        """Return what a dealing holds for this member, None of its own."""
        try:
            rows = keymessages.read_dealing(self._plan, dealer, share.digest, dealing)
        except MalformedInput as error:
            evidence = bytes.fromhex(keymessages.digest_of(dealing))
            raise DealingRefused(str(error), dealer, evidence) from error
        return rows.get(self._me)

    def _read(self, shares: Mapping[str, bytes]) -> dict[str, KeyShare]:
        missing = [member for member in self._plan.members if member not in shares]
        if missing:
            raise MalformedInput(f"the key share of {', '.join(missing)} is missing")
        return {
            member: keymessages.read_key_share(self._plan, member, shares[member])
            for member in self._plan.members
        }

    def _ask(self, operation: str, payload: bytes = b"", **more: Json) -> tuple[dict[str, Json], bytes]:
        return self._worker.ask({**self._head, "operation": operation, **more}, payload)
