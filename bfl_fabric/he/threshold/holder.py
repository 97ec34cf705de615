"""The port `ShareHolder`: asks the worker process that alone holds the member's share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bfl_chaincode.api.canonical import Json
from bfl_fabric.domain.ports import OpeningTerms
from bfl_fabric.he.isolation import WorkerProcess
from bfl_fabric.he.lattice.terms import LatticeTerms
from bfl_fabric.he.threshold import keymessages, requests


class MemberHolder:
    """One member's share of one joint key, in a worker of its own.

    Raises:
        KeyHolderRefused, MalformedInput, NotFound: the file is no share of that joint key.
    """

    def __init__(
        self, terms: LatticeTerms, joint_key: bytes, secret_path: Path, worker: WorkerProcess
    ) -> None:
        self._worker, self._levels = worker, terms.levels
        self._key = key = keymessages.read_joint_key(terms.parameters, joint_key)
        self._head: dict[str, Json] = {
            "secret_path": str(secret_path.absolute()),
            "joint_key_digest": key.digest,
        }
        try:
            reply, _ = self._worker.ask({**self._head, "operation": "threshold.load"})
            self._member = requests.text(reply, "member")
        except BaseException:
            self._worker.close()
            raise

    def sum_share(self, opening: OpeningTerms, masks: Sequence[Path], zeros: Sequence[Path]) -> bytes:
        """Return the partial decryption; what it was given for is durable in the member's journal by then.

        Raises:
            KeyHolderRefused: a condition is not met, or this attempt or this C1 was answered differently.
            MalformedInput: a mask or zero does not pass the gate.
            WorkerFailed: the worker process was lost; asking again is safe.
        """
        head: dict[str, Json] = {**self._head, "operation": "threshold.sum_share"}
        return self._worker.ask(head, requests.opening(opening, masks, zeros))[1]

    def score_share(
        self, opening: OpeningTerms, direction: NDArray[np.int8], masks: Mapping[str, Path]
    ) -> bytes:
        """Return for each participant's mask the answers to the attempt's questions. Raises as `sum_share` does.

        ConfigurationError: the terms leave no room for scores (`scoring.directions.draw_plan`).
        """
        head: dict[str, Json] = {**self._head, "operation": "threshold.score_share", "levels": self._levels}
        names = sorted(masks)
        payload = requests.opening(opening, [masks[name] for name in names], (), names, [direction.tobytes()])
        return self._worker.ask(head, payload)[1]

    def prove(
        self, opening: OpeningTerms, masks: Sequence[Path], zeros: Sequence[Path], share: bytes
    ) -> bytes:
        """Return the proof of a share that this member gave. Raises as `sum_share` does, and KeyHolderRefused for
        any other share."""
        head: dict[str, Json] = {**self._head, "operation": "threshold.prove"}
        committed = keymessages.encode_private_share(self._key.plan, self._key.commitment(self._member))
        payload = requests.opening(opening, masks, zeros, (), [share, committed])
        return self._worker.ask(head, payload)[1]

    def close(self) -> None:
        """End the worker process, and with it the only copy of the share in memory."""
        self._worker.close()
