"""A federation as an application sees it: organizations, participants, tasks, models."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import (
    THRESHOLD_SCHEME,
    Balance,
    ModelRecord,
    ModelTerms,
    Node,
    NodeRole,
    Organization,
    Participant,
    RoleTerms,
    Task,
    TaskSpec,
    from_json,
    to_json,
)
from bfl_fabric import config
from bfl_fabric.domain.ports import BlobStore, Clock, Commit, Ledger, UpdateChannel, UpdateName
from bfl_fabric.errors import ConfigurationError, LedgerUnavailable, NotFound
from bfl_fabric.sdk.task import AsyncTask
from bfl_fabric.sdk.terms import TaskTerms

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Float32Vector

T = TypeVar("T")
CLIENTS = "clients"
DEFAULT_CLIENT = "application"
PATIENCE_MS = 30_000


class AsyncFederation:
    """A connection to a federation with one identity. Make it with `connect_async`."""

    def __init__(
        self,
        settings: config.ClientSettings,
        ledger: Ledger,
        channel: UpdateChannel,
        blobs: BlobStore,
        clock: Clock,
    ) -> None:
        self.settings = settings
        self.ledger = ledger
        self.clock = clock
        self._channel = channel
        self._blobs = blobs

    # --- the contract, transaction by transaction -------------------------------------------------

    async def evaluate(self, transaction: str, request: Mapping[str, Json] | None = None) -> Json:
        """Ask the contract; nothing is recorded. A ledger that restarts is waited for, up to half a minute."""
        deadline = self.clock.now_ms() + PATIENCE_MS
        while True:
            try:
                return await self.ledger.evaluate(transaction, request or {})
            except LedgerUnavailable:
                if self.clock.now_ms() > deadline:
                    raise
            await self.clock.sleep(0.25)

    async def submit(self, transaction: str, request: Mapping[str, Json] | None = None) -> Commit:
        """Run a transaction and return once it is committed and valid."""
        return await self.ledger.submit(transaction, request or {})

    @staticmethod
    def records(kind: type[T], answer: Json) -> list[T]:
        """Read a list of records out of an answer."""
        if not isinstance(answer, list):
            raise ConfigurationError(
                f"the contract answered {type(answer).__name__} where a list was expected"
            )
        return [from_json(kind, item) for item in answer]

    # --- who is there -----------------------------------------------------------------------------

    async def organizations(self) -> list[Organization]:
        return self.records(Organization, await self.evaluate("federation:ListOrganizations"))

    async def participants(self) -> list[Participant]:
        return self.records(Participant, await self.evaluate("federation:ListParticipants"))

    async def nodes(self) -> list[Node]:
        return self.records(Node, await self.evaluate("federation:ListNodes"))

    async def accounts(self) -> list[Balance]:
        return self.records(Balance, await self.evaluate("reward:ListAccounts"))

    async def node(
        self, role: NodeRole, msp_id: str = "", *, other_than: str = "", timeout_seconds: float = 60
    ) -> Node:
        """Return an announced node in a role, of one organization or of any but another; waits for one."""
        deadline = self.clock.now_ms() + int(timeout_seconds * 1000)
        while True:
            for node in await self.nodes():
                if node.role is role and msp_id in ("", node.msp_id) and node.msp_id != other_than:
                    return node
            if self.clock.now_ms() > deadline:
                raise NotFound(
                    f"no {role.value} node of {msp_id or 'any organization'} was announced within "
                    f"{timeout_seconds:.0f} s; start one with `bfl node run`"
                )
            await self.clock.sleep(0.2)

    # --- tasks ------------------------------------------------------------------------------------

    async def tasks(self) -> list[Task]:
        return self.records(Task, await self.evaluate("task:List"))

    async def task(self, task_id: str) -> AsyncTask:
        """Return a handle on an existing task. Raises LedgerRefused when there is none."""
        await self.evaluate("task:Get", {"task_id": task_id})
        return AsyncTask(self, task_id)

    async def publish(
        self, terms: TaskTerms, model: ModelTerms, initial: bytes, roles: RoleTerms | None = None
    ) -> AsyncTask:
        """Create a task, hand its initial model to the coordinator, publish it and fund its pool.

        `initial` is the initial model as raw float32, little-endian, in the order of `model.tensors`.
        Safe to repeat with the same terms after a failure: what is done already is not done twice.
        """
        from bfl_fabric import wiring

        organizations = await self.organizations()
        roles = roles or await self._announced_roles(terms)
        members = max(terms.minimum_cohort, len(await self.participants()))
        digest = wiring.choose_parameters(
            terms.scheme, terms.value_bits, terms.max_total_weight, members, model.parameter_count
        )
        spec = terms.spec(model, roles, len(organizations), digest)
        known = {task.spec.task_id: task for task in await self.tasks()}
        if spec.task_id not in known:
            await self.submit("task:Create", {"spec": to_json(spec)})
        elif known[spec.task_id].spec != spec:
            raise ConfigurationError(
                f"there is another task named {spec.task_id} with other terms; choose another task_id"
            )
        await self._deliver_initial(spec, initial)
        if spec.task_id not in known or known[spec.task_id].status == "DRAFT":
            await self.submit("task:Publish", {"task_id": spec.task_id})
            amount = spec.incentive.pool
            if amount:
                await self.submit(
                    "reward:Fund",
                    {"task_id": spec.task_id, "amount": amount, "reference": "pool of the task"},
                )
        return AsyncTask(self, spec.task_id)

    async def _announced_roles(self, terms: TaskTerms) -> RoleTerms:
        """Return roles from the nodes that are announced: one's own organization coordinates."""
        aggregator = await self.node(NodeRole.AGGREGATOR)
        if terms.scheme == THRESHOLD_SCHEME:
            members = terms.key_members or await self.key_members()
            return RoleTerms(self.settings.identity.msp_id, aggregator.msp_id, "", tuple(sorted(members)))
        key_holder = await self.node(NodeRole.KEY_HOLDER, other_than=aggregator.msp_id)
        return RoleTerms(self.settings.identity.msp_id, aggregator.msp_id, key_holder.msp_id)

    async def key_members(self, timeout_seconds: float = 20) -> list[str]:
        """Return the active organizations that announced a key holder's node; waits some time for all of them.

        Raises NotFound when there are less than two.
        """
        deadline = self.clock.now_ms() + int(timeout_seconds * 1000)
        while True:
            active = {item.msp_id for item in await self.organizations() if item.active}
            found = {node.msp_id for node in await self.nodes() if node.role is NodeRole.KEY_HOLDER} & active
            if found == active or self.clock.now_ms() > deadline:
                break
            await self.clock.sleep(0.2)
        if len(found) < 2:
            raise NotFound(
                f"{len(found)} organizations announced a key holder's node; a shared key needs at least two: make the "
                "federation with `bfl federation create --scheme threshold`"
            )
        return sorted(found)

    async def _deliver_initial(self, spec: TaskSpec, initial: bytes) -> None:
        digest = self._blobs.put(initial)
        node = await self.node(NodeRole.COORDINATOR, spec.roles.coordinator)
        name = UpdateName(spec.task_id, 0, self.settings.name)
        self._channel.expect(node.address, node.msp_id)
        await self._channel.upload(node.address, name, digest, self._blobs.path(digest))

    async def fetch_model(self, record: ModelRecord) -> Float32Vector:
        """Return the parameters of a published model, checked against its digest on the ledger."""
        from bfl_fabric import wiring

        task = from_json(Task, await self.evaluate("task:Get", {"task_id": record.task_id}))
        data = await self.fetch(record.digest, record.size_bytes, task.spec.roles.coordinator)
        return wiring.arithmetic().unpack_model(data, task.spec.model.parameter_count)

    async def fetch(self, digest: str, size_bytes: int, coordinator: str) -> bytes:
        """Return a blob that the coordinator's node serves, checked against its digest."""
        if not self._blobs.has(digest):
            node = await self.node(NodeRole.COORDINATOR, coordinator)
            self._channel.expect(node.address, node.msp_id)
            await self._channel.download(node.address, digest, size_bytes, self._blobs)
        data = self._blobs.read(digest)
        if hashlib.sha256(data).hexdigest() != digest:
            raise NotFound(f"the blob {digest} is not what its name says")
        return data


def client_settings(place: str | Path, identity: str = DEFAULT_CLIENT) -> config.ClientSettings:
    """Return the settings of a client: `place` is a client's TOML file or a federation's directory."""
    path = Path(place)
    if path.is_dir():
        path = path / CLIENTS / f"{identity}.toml"
        if not path.exists():
            names = sorted(item.stem for item in path.parent.glob("*.toml"))
            raise ConfigurationError(
                f"{place} has no client {identity!r}; it has: {', '.join(names) or 'none, it is no federation'}"
            )
    return config.load(config.ClientSettings, path)


@asynccontextmanager
async def connect_async(place: str | Path, identity: str = DEFAULT_CLIENT) -> AsyncIterator[AsyncFederation]:
    """Open a federation for asyncio code.

    Args:
        place: a federation's directory (made by `bfl federation create`) or a client's TOML file.
        identity: which of the directory's identities to use.
    """
    from bfl_fabric import wiring

    async with wiring.client(client_settings(place, identity)) as parts:
        yield AsyncFederation(*parts)
