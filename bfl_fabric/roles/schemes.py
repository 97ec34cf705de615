"""The public side of a task's encryption, and the check that an upload is what its commitment says.

Decides that bytes count as a participant's update; the gate behind `AggregationScheme.inspect` decides that they
are a well-formed ciphertext at all.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from pathlib import Path

from bfl_chaincode.api.records import KeyEpoch, RoundView, UpdateCommitment
from bfl_fabric.domain.ports import AggregationScheme, ThresholdScheme, UpdateHeader, UpdateName
from bfl_fabric.errors import MalformedInput, NotFound
from bfl_fabric.roles.actions import Action
from bfl_fabric.roles.attempts import is_shared
from bfl_fabric.roles.evidence import round_of
from bfl_fabric.roles.fetching import KEY_SOURCES, Fetcher
from bfl_fabric.roles.workbench import Workbench, file_digest

SAME_TIME_SECONDS = 0.15
"""How long a role leaves uploads that arrived to themselves, for each look at the ledger is a call to it."""

COUNTED_ROUNDS = 64
"""Of so many rounds the arrivals are counted; of one that is forgotten the last upload comes like any other."""


class TaskSchemes:
    """Makes the scheme of a task from the public key on the ledger; keeps it for the life of the process."""

    def __init__(self, bench: Workbench, fetcher: Fetcher) -> None:
        self._bench = bench
        self._fetcher = fetcher
        self._single: dict[str, AggregationScheme] = {}
        self._joint: dict[str, ThresholdScheme] = {}

    async def of(self, view: RoundView) -> AggregationScheme:
        """Raises NotFound before the key epoch is open, MalformedInput when the key is none of the task's terms."""
        if is_shared(view):
            return await self.joint(view)
        epoch = epoch_of(view)
        scheme = self._single.get(epoch.public_key_digest)
        if scheme is None:
            make, terms = self._bench.ports.schemes.public, view.task.spec.encryption
            scheme = await self._bench.work(make, terms, await self.public_key(view))
            _verify_parameters(view, epoch, scheme)
            self._single[epoch.public_key_digest] = scheme
        return scheme

    async def joint(self, view: RoundView) -> ThresholdScheme:
        """Return the scheme under a key that several hold. Raises as `of` does."""
        epoch = epoch_of(view)
        scheme = self._joint.get(epoch.public_key_digest)
        if scheme is None:
            make, terms = self._bench.ports.schemes.joint, view.task.spec.encryption
            scheme = await self._bench.work(make, terms, await self.public_key(view))
            _verify_parameters(view, epoch, scheme)
            self._joint[epoch.public_key_digest] = scheme
        return scheme

    async def public_key(self, view: RoundView) -> bytes:
        """Return the public key blob of the round's epoch, from this store or from a key holder."""
        epoch = epoch_of(view)
        fetching = Action(epoch.task_id, 0)
        await self._fetcher.fetch(fetching, epoch.public_key_digest, epoch.public_key_bytes, KEY_SOURCES)
        return await self._bench.read(epoch.public_key_digest)


def _verify_parameters(view: RoundView, epoch: KeyEpoch, scheme: AggregationScheme) -> None:
    terms = view.task.spec.encryption
    if not scheme.parameters_digest == terms.parameters_digest == epoch.parameters_digest:
        raise MalformedInput(
            f"the public key of {epoch.task_id} epoch {epoch.epoch} is for parameters "
            f"{scheme.parameters_digest}, the task says {terms.parameters_digest}"
        )


class UploadChecks:
    """Holds uploads against their commitments; what passed is not checked again by this process.

    A node's server and its role share one, so that the role hears at once of what the server has taken.
    """

    def __init__(self, bench: Workbench, schemes: TaskSchemes) -> None:
        self._bench = bench
        self._schemes = schemes
        self._passed: set[UpdateCommitment] = set()
        self._arriving: set[str] = set()
        self._arrived: Counter[tuple[str, int]] = Counter()
        self._arrival, self._last = asyncio.Event(), asyncio.Event()

    def note_arrival(self, view: RoundView, digest: str) -> None:
        """Write down that the server accepted this upload of the round and is about to store it."""
        round_ = round_of(view)
        key = round_.task_id, round_.number
        self._arriving.add(digest)
        self._arrived[key] += 1
        if self._arrived[key] >= len(round_.cohort):
            del self._arrived[key]
            self._last.set()
        elif len(self._arrived) > COUNTED_ROUNDS:
            del self._arrived[next(iter(self._arrived))]
        self._arrival.set()

    def is_arriving(self, digest: str) -> bool:
        """Say whether the server accepted this upload since `settle`."""
        return digest in self._arriving

    def has_passed(self, commitment: UpdateCommitment) -> bool:
        """Say whether an upload with this commitment was checked by this process."""
        return commitment in self._passed

    def settle(self, digest: str) -> None:
        """Forget an arrival: it is in the store now, or it will never be."""
        self._arriving.discard(digest)

    async def arrival(self) -> None:
        """Return when an upload has been accepted since the last call returned; unless it is the last one of its
        round, a little later: others come at the same time."""
        await self._arrival.wait()
        waits = [
            asyncio.create_task(self._last.wait()),
            asyncio.create_task(self._bench.ports.clock.sleep(SAME_TIME_SECONDS)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._arrival.clear()
        self._last.clear()

    async def check(self, view: RoundView, commitment: UpdateCommitment, path: Path) -> None:
        """Check the digest, the form and each field; under a shared key keep the mask part, which must be the
        committed one. Of what has passed only the digest is checked again. Raises MalformedInput.
        """
        if commitment in self._passed:
            _verify_digest(commitment, await self._bench.work(file_digest, path))
            return
        scheme = await self._schemes.of(view)
        header = await self._bench.work(scheme.inspect, path)
        _verify_digest(commitment, header.digest)
        if header != expected_header(view, commitment):
            raise MalformedInput(f"the upload of {_named(commitment)} says {header}, committed was another")
        if is_shared(view):
            await self._keep_mask(view, commitment, path)
        self._passed.add(commitment)

    async def _keep_mask(self, view: RoundView, commitment: UpdateCommitment, path: Path) -> None:
        scheme = await self._schemes.joint(view)
        mask = await self._bench.work(scheme.mask, path)
        found = hashlib.sha256(mask).hexdigest()
        if (found, len(mask)) != (commitment.mask_digest, commitment.mask_bytes):
            raise MalformedInput(
                f"the mask in the upload of {_named(commitment)} is {found} of {len(mask)} bytes, committed were "
                f"{commitment.mask_digest} and {commitment.mask_bytes}"
            )
        await self._bench.keep(mask)


def _verify_digest(commitment: UpdateCommitment, found: str) -> None:
    if found != commitment.digest:
        raise MalformedInput(
            f"the upload of {_named(commitment)} has digest {found}, committed {commitment.digest}"
        )


def expected_header(view: RoundView, commitment: UpdateCommitment) -> UpdateHeader:
    """Return the one header that an upload with this commitment may have."""
    spec = view.task.spec
    return UpdateHeader(
        UpdateName(commitment.task_id, commitment.round, commitment.participant_id),
        round_of(view).epoch,
        spec.encryption.parameters_digest,
        spec.model.parameter_count,
        commitment.weight,
        commitment.digest,
        commitment.size_bytes,
    )


def epoch_of(view: RoundView) -> KeyEpoch:
    """Return the task's key epoch. Raises NotFound before the key holder has opened it."""
    if view.key_epoch is None:
        raise NotFound(f"the task {view.task.spec.task_id} has no key epoch yet; its key holders open it")
    return view.key_epoch


def _named(commitment: UpdateCommitment) -> str:
    return f"{commitment.participant_id} in {commitment.task_id}/{commitment.round}"
