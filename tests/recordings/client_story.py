"""The client's story: what our client does at a gateway, told once when it is recorded and again at every replay.

Decides the calls. The clock stands still and nonces follow from a seed, so that every request is made of the same
bytes both times, but for its signatures.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from bfl_fabric.clock import SystemClock
from bfl_fabric.domain.ports import Checkpoint
from bfl_fabric.errors import BflError
from bfl_fabric.fabric.gateway import (
    ChannelAddress,
    Deadlines,
    GatewayLedger,
    GatewaySettings,
    GrpcGatewayTransport,
    Persistence,
    TlsMaterial,
)
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.fabric.proposal import Invocation, build_proposal
from bfl_fabric.fabric.submission import Submission
from tests.recordings.definitions import PROBE

DEADLINES = Deadlines(evaluate=10, endorse=10, submit=2, commit=3)
STEP_SECONDS = 40.0
Hand = Callable[[str], Awaitable[None]]


class StandingClock:
    """Shows one moment. At a replay nobody waits."""

    def __init__(self, at_ms: int, *, waits: bool) -> None:
        self._at_ms = at_ms
        self._waits = waits

    def now_ms(self) -> int:
        return self._at_ms

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds if self._waits else 0)


class Nonces:
    """Random bytes that follow from a seed."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._count = 0

    def __call__(self, size: int) -> bytes:
        self._count += 1
        return hashlib.sha256(self._seed + self._count.to_bytes(4, "big")).digest()[:size]


class Interposed:
    """A transport that lets something else happen before the next transaction is handed over."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.before: Callable[[], Awaitable[Any]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def submit(self, request: Any, deadline_seconds: float) -> Any:
        before, self.before = self.before, None
        if before is not None:
            await before()
        return await self._inner.submit(request, deadline_seconds)


@dataclass
class Person:
    """An identity of the story with its throw-away key, as it is kept in a recording."""

    msp_id: str
    certificate: str
    key: str

    def signer(self) -> SigningIdentity:
        return SigningIdentity.from_pem(self.msp_id, self.certificate.encode(), self.key.encode())


@dataclass
class Story:
    """Who tells it, where, and when. `hand` does to the network what the story asks for; at a replay nothing."""

    channel: str
    people: dict[str, Person]
    at_ms: int
    seed: str
    address: str
    roots: bytes
    hand: Hand | None = None
    told: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def recorded(cls, stage: Any) -> Story:
        """Return the story on a network that is being recorded."""
        from tests.recordings.stagehand import Stagehand

        port, roots = stage.gateway()
        people = {"client": _person(stage.authority("AlphaMSP"), "storyteller")}
        people["stranger"] = _stranger()
        return cls(
            stage.topology.channel,
            people,
            SystemClock().now_ms(),
            secrets.token_hex(16),
            f"127.0.0.1:{port}",
            roots,
            Stagehand(stage).act,
        )

    @classmethod
    def replayed(cls, facts: dict[str, Any], address: str, roots: bytes) -> Story:
        """Return the story that a recording kept, at a gateway that replays."""
        people = {name: Person(**values) for name, values in facts["people"].items()}
        return cls(facts["channel"], people, facts["at_ms"], facts["seed"], address, roots)

    def facts(self) -> dict[str, Any]:
        """Return what a replay needs to tell it again."""
        people = {
            name: {"msp_id": one.msp_id, "certificate": one.certificate, "key": one.key}
            for name, one in self.people.items()
        }
        return {"channel": self.channel, "people": people, "at_ms": self.at_ms, "seed": self.seed}

    async def tell(self) -> list[dict[str, Any]]:
        """Tell it; return what came of each step."""
        self._nonces = Nonces(bytes.fromhex(self.seed))
        self._clock = StandingClock(self.at_ms, waits=self.hand is not None)
        self._transport = Interposed(GrpcGatewayTransport(self.address, TlsMaterial(self.roots)))
        try:
            await self._questions()
            await self._transactions()
            await self._parts()
            await self._streams()
            await self._outages()
        finally:
            await self._transport.close()
        return self.told

    # --- chapters -------------------------------------------------------------------------------

    async def _questions(self) -> None:
        probe = self._ledger(PROBE)
        await self._note("evaluated", probe.evaluate("json_echo", {"text": "ä", "number": 7}))
        await self._note("contract refuses", probe.evaluate("json_refuse", {"text": "BFL-299: not now"}))
        await self._note("contract fails", probe.evaluate("json_refuse", {"text": "no rule's words"}))
        await self._note("not canonical", probe.evaluate("json_babble", {}))
        await self._note("nobody", self._ledger("nobody").evaluate("json_echo", {}))
        stranger = self._ledger(PROBE, person="stranger")
        await self._note("stranger asks", stranger.evaluate("json_echo", {}))

    async def _transactions(self) -> None:
        probe, once = self._ledger(PROBE), self._ledger(PROBE, attempts=1)
        await self._note("submitted", probe.submit("json_tally", {"key": "tally"}))
        await self._note("submitted again", probe.submit("json_tally", {"key": "tally"}))
        await self._note("refused", probe.submit("json_refuse", {"text": "BFL-299: not now"}))
        await self._note("failed", probe.submit("json_refuse", {"text": "no rule's words"}))
        await self._note("disagreement", self._ledger(PROBE, attempts=2).submit("json_differ", {"key": "d"}))
        await self._note("answer not canonical", once.submit("json_babble", {}))
        await self._note("submitted to nobody", once.submit_to("nobody"))
        await self._note(
            "stranger", self._ledger(PROBE, attempts=1, person="stranger").submit("json_tally", {})
        )
        await self._note("other function", self._ledger("bfl").evaluate("federation:WhoAmI", {}))
        self._transport.before = lambda: probe.submit("json_tally", {"key": "tally"})
        await self._note("conflict", once.submit("json_tally", {"key": "tally"}))
        self._transport.before = lambda: probe.submit("json_tally", {"key": "tally"})
        await self._note("conflict, tried again", probe.submit("json_tally", {"key": "tally"}))

    async def _parts(self) -> None:
        submission, signer = self._submission(), self.people["client"].signer()
        hidden = Invocation(self.channel, PROBE, (b"transient", b"name"), {"name": b"\x00hidden"})
        asked = build_proposal(hidden, signer.creator, self._nonces(24), self.at_ms)
        await self._note("transient", submission.evaluate(asked))
        calls = [
            build_proposal(
                Invocation(self.channel, PROBE, (b"json_announce", f'{{"key":"{key}"}}'.encode())),
                signer.creator,
                self._nonces(24),
                self.at_ms,
            )
            for key in ("first", "second", "third")
        ]
        endorsed = [await submission.endorse(call) for call in calls]
        for item in endorsed:
            await submission._hand_over(item)
        outcomes = [await submission.settle(item, handed_over=True) for item in endorsed]
        self.told.append({"step": "announced", "result": [[int(o.code), o.block_number] for o in outcomes]})
        await self._note("handed over again", submission.settle(endorsed[0]))
        await self._note("announced later", self._ledger(PROBE).submit("json_announce", {"key": "fourth"}))

    async def _streams(self) -> None:
        first = next(step for step in self.told if step["step"] == "announced")["result"][0][1]
        probe = self._ledger(PROBE)
        seen = await self._events("events", 3, probe.events(start_block=first))
        await self._events("events after", 2, probe.events(Checkpoint(*seen[0])))
        await self._act("cut events")
        await self._events("events cut", 4, probe.events(start_block=first))
        await self._act("whole events")
        contract = self._ledger("bfl")
        seen = await self._events("contract's events", 4, contract.events(start_block=0))
        await self._events("behind a block", 2, contract.events(Checkpoint(seen[1][0], "")))
        await self._note("newest", probe.newest_block())
        await self._note("blocks", _digests(probe.blocks(0, 3)))
        await self._act("cut blocks")
        await self._note("blocks cut", _digests(probe.blocks(1, 4)))
        await self._act("whole blocks")
        stranger = self._ledger(PROBE, person="stranger")
        await self._note("stranger's blocks", _digests(stranger.blocks(0, 1)))
        await self._note("stranger's newest", stranger.newest_block())
        await self._note("stranger's events", _first(stranger.events(start_block=0)))

    async def _outages(self) -> None:
        probe = self._ledger(PROBE, attempts=2)
        await self._act("peers down")
        await self._note("no endorsers", probe.submit("json_tally", {"key": "tally"}))
        await self._act("peers up")
        patient = self._ledger(PROBE, attempts=2)
        await self._act("orderers down")
        await self._note("no orderers", patient.submit("json_tally", {"key": "tally"}))
        await self._act("orderers up")
        await self._note("settled later", patient.submit("json_tally", {"key": "tally"}))

    # --- steps ----------------------------------------------------------------------------------

    def _ledger(self, chaincode: str, *, attempts: int = 4, person: str = "client") -> Any:
        settings = GatewaySettings(DEADLINES, Persistence(attempts), self._nonces)
        address = ChannelAddress(self.channel, chaincode)
        made = GatewayLedger(self._transport, self.people[person].signer(), address, self._clock, settings)
        return _Client(made, self, attempts)

    def _submission(self) -> Submission:
        return Submission(
            self._transport, self.people["client"].signer(), self._clock, DEADLINES, Persistence(4)
        )

    async def _act(self, what: str) -> None:
        if self.hand is not None:
            await self.hand(what)

    async def _note(self, name: str, work: Any) -> None:
        self.told.append({"step": name, **await asyncio.wait_for(_outcome(work), STEP_SECONDS)})

    async def _events(self, name: str, count: int, events: AsyncIterator[Any]) -> list[tuple[int, str]]:
        seen, told = [], []
        async with asyncio.timeout(STEP_SECONDS):
            async for item in events:
                seen.append((item.block_number, item.transaction_id))
                told.append([item.block_number, item.transaction_id, item.name, list(item.event.refs)])
                if len(seen) == count:
                    break
        await events.aclose()  # type: ignore[attr-defined]
        self.told.append({"step": name, "result": told})
        return seen


class _Client:
    """A ledger client, and the same at another chaincode."""

    def __init__(self, inner: GatewayLedger, story: Story, attempts: int) -> None:
        self._inner = inner
        self._story = story
        self._attempts = attempts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def submit_to(self, chaincode: str) -> Any:
        return await self._story._ledger(chaincode, attempts=self._attempts).submit("json_tally", {})


async def _outcome(work: Any) -> dict[str, Any]:
    try:
        return {"result": _plain(await work)}
    except BflError as error:
        found = {"error": type(error).__name__, "text": str(error)}
        for name in ("transaction_id", "code", "validation_code"):
            if hasattr(error, name):
                found[name] = getattr(error, name)
        return found


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if hasattr(value, "__slots__"):
        return {name: _plain(getattr(value, name)) for name in value.__slots__}
    return value


async def _digests(blocks: AsyncIterator[bytes]) -> list[str]:
    return [hashlib.sha256(block).hexdigest() async for block in blocks]


async def _first(events: AsyncIterator[Any]) -> Any:
    return _plain(await anext(events))


def _person(authority: Any, name: str) -> Person:
    issued = authority.issue_identity(name, "client")
    return Person("AlphaMSP", issued.certificate_pem.decode(), issued.key_pem.decode())


def _stranger() -> Person:
    from datetime import UTC, datetime, timedelta

    from bfl_fabric.fabric.authority import CertificateAuthority

    now = datetime.now(UTC)
    span = now - timedelta(days=1), now + timedelta(days=700)
    return _person(CertificateAuthority.create("AlphaMSP", "ca.AlphaMSP", *span), "stranger")
