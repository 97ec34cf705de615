"""The probe's story: every operation of the stub, and conflicts, in a fixed order with fixed keys.

Decides what is called. The same story runs on a real network when it is recorded and on the embedded ledger when it is
replayed; what it returns of each step must then be the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bfl_fabric.fabric.envelopes import parse_payload
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.fabric.policy import Role, role_principal, signature_policy_message
from bfl_fabric.fabric.rwsets import Height, NamespaceSet
from bfl_fabric.fabric.wire import write
from tests.conformance.probe import Argument, Call, Endorsed, Probe

SHOWN_BYTES = 100


@dataclass
class Storyteller:
    """Makes the steps on a channel and keeps what came of each."""

    probe: Probe
    told: list[dict[str, Any]] = field(default_factory=list)
    _steps: dict[Height, str] = field(default_factory=dict)
    _places: dict[int, int] = field(default_factory=dict)

    def submit(self, name: str, function: str, *arguments: Argument, **options: Any) -> None:
        """Endorse, order and await one transaction."""
        try:
            endorsed = self.probe.endorse(function, *arguments, **options)
        except GatewayFailure as failure:
            self._refused(name, failure)
            return
        self.settle(name, endorsed)

    def settle(self, name: str, endorsed: Endorsed) -> None:
        committed = self.probe.settle(endorsed)
        rwset = parse_payload(endorsed.payload, b"").action().rwset
        height = Height(committed.block_number, self._places.get(committed.block_number, 0))
        self._places[committed.block_number] = height.transaction + 1
        self.told.append(
            {
                "step": name,
                "code": committed.code.name,
                "result": endorsed.result.hex(),
                "rwset": [self._plain(part) for part in rwset if part.namespace != "_lifecycle"],
            }
        )
        self._steps[height] = name

    def evaluate(self, name: str, function: str, *arguments: Argument, **options: Any) -> None:
        try:
            result = self.probe.evaluate(function, *arguments, **options)
            self.told.append({"step": name, "result": result.hex()})
        except GatewayFailure as failure:
            self._refused(name, failure)

    def _refused(self, name: str, failure: GatewayFailure) -> None:
        """Note a refusal. Raises it when the network was not at hand, as under load: that is nothing to be kept."""
        if failure.status is GatewayStatus.UNAVAILABLE:
            raise failure
        self.told.append({"step": name, "refused": failure.status})

    def _plain(self, part: NamespaceSet) -> Any:
        """Return a part of a read-write set with the names of steps instead of block numbers."""
        return {
            field: _plain(value, lambda height: self._steps.get(height, "?"))
            for field, value in part._asdict().items()
        }


def _plain(value: Any, name: Callable[[Height], str]) -> Any:
    if isinstance(value, Height):
        return name(value)
    if isinstance(value, bytes):
        return value.hex() if len(value) <= SHOWN_BYTES else hashlib.sha256(value).hexdigest()
    if isinstance(value, tuple | list):
        return [_plain(item, name) for item in value]
    if hasattr(value, "__slots__"):
        return {field: _plain(getattr(value, field), name) for field in value.__slots__}
    return value


def tell(probe: Probe) -> list[dict[str, Any]]:
    """Tell the whole story and return what came of each step."""
    teller = Storyteller(probe)
    for chapter in (_state, _ranges, _transaction, _private, _policies, _mistakes, _conflicts):
        chapter(teller)
    return teller.told


def _state(on: Storyteller) -> None:
    on.submit("put", "put", "a", "one")
    on.evaluate("get", "get", "a")
    on.evaluate("missing", "get", "no such key")
    on.submit("append", "append", "a", " two")
    on.submit("own write unseen", "put_then_get", "a", "three")
    on.submit("copy", "copy", "a", "b")
    on.submit("delete", "delete", "b")
    on.evaluate("deleted", "get", "b")
    on.submit("many first", "many", "m", "130")
    on.submit("many again", "many", "m", "130")
    on.submit("put large", "put_large", "large", "70000")
    on.evaluate("size", "size", "large")


def _ranges(on: Storyteller) -> None:
    on.submit("rows", "put", *[text for letter in "abcdefg" for text in (f"r/{letter}", letter)])
    on.evaluate("range", "range", "r/", "r0")
    on.submit("range then put", "range_then_put", "r/", "r0", "count")
    on.submit("first then put", "first_then_put", "r/", "r0", "first")
    on.evaluate("first page", "page", "r/", "r0", "3", "")
    on.evaluate("second page", "page", "r/", "r0", "3", "r/d")
    on.submit("page then put", "page_then_put", "r/", "r0")
    on.submit("put then page", "put_then_page", "r/", "r0")
    for name in ("x", "y", "z"):
        on.submit(f"composite {name}", "composite_put", name, "kind", "left", name)
    on.evaluate("composites", "composite_range", "kind", "left")
    on.evaluate("composite page", "composite_page", "2", "", "kind", "left")
    on.evaluate("long range", "range", "m", "n")
    on.evaluate("long range left early", "first_then_put", "m", "n", "unread")
    on.submit("long range then put", "range_then_put", "m", "n", "long")


def _transaction(on: Storyteller) -> None:
    on.evaluate("echo", "echo", "ä", "", "z")
    on.evaluate("transient", "transient", "name", transient={"name": b"\x00hidden\xff"})
    on.submit("event", "event", "first", "1", "second", "2")
    on.submit("event refused", "event_then_fail", "never")
    on.evaluate("chain", "chain", "_unknown", "get", "a")
    on.evaluate("binary", "echo", b"\xff\xfe")


def _private(on: Storyteller) -> None:
    both, own = on.probe.channel.msp_ids[:2], on.probe.channel.msp_ids[:1]
    secret: Mapping[str, bytes] = {"value": b"secret"}
    shared = {"organizations": both}
    on.submit("private put", "put_private", "shared", "p", transient=secret, **shared)
    on.evaluate("private get", "get_private", "shared", "p")
    on.evaluate("private hash", "hash_private", "shared", "p")
    on.submit("private copy", "copy_private", "shared", "p", "was private", **shared)
    on.submit("private second", "put_private", "shared", "q", transient={"value": b"other"}, **shared)
    on.submit("private delete", "delete_private", "shared", "q", **shared)
    on.submit("private brief", "put_private", "brief", "s", transient=secret)
    on.submit("private purge", "purge_private", "shared", "p", **shared)
    on.evaluate("private gone", "get_private", "shared", "p")
    on.submit("private alone", "put_private", "own", "o", transient=secret, organizations=own)
    on.evaluate("private stranger", "get_private", "own", "o", organization=2)
    on.evaluate("private no collection", "get_private", "", "o")


def _policies(on: Storyteller) -> None:
    first, second = on.probe.channel.msp_ids[:2]
    policy = write(signature_policy_message(1, [role_principal(first, Role.PEER)]))
    on.submit("policy key", "put", "guarded", "1")
    on.submit("policy set", "set_policy", "guarded", policy.hex())
    on.evaluate("policy get", "get_policy", "guarded")
    on.submit("policy alone", "put", "guarded", "2", organizations=[first])
    on.submit("policy other", "put", "guarded", "3", organizations=[second])


def _mistakes(on: Storyteller) -> None:
    on.submit("refused", "fail", "no")
    on.submit("too few", "put", "alone", "1", organizations=on.probe.channel.msp_ids[:1])
    on.submit("accepted", "answer", "399", "as it were")
    on.evaluate("evaluated refusal", "answer", "404", "not here")
    on.evaluate("no function", "nothing")
    on.evaluate("empty key", "get", "")
    on.evaluate("surrogate", "put_surrogate")
    on.evaluate("escape", "escape")


def _conflicts(on: Storyteller) -> None:
    first, second = (on.probe.endorse("append", "a", part) for part in ("x", "y"))
    on.settle("conflict first", first)
    on.settle("conflict second", second)
    counted = on.probe.endorse("range_then_put", "r/", "r0", "counted")
    on.submit("conflict row", "put", "r/h", "h")
    on.settle("phantom", counted)
    on.settle("deleted read", _after_delete(on))


def _after_delete(on: Storyteller) -> Endorsed:
    endorsed = on.probe.endorse("append", "count", "!")
    on.submit("conflict delete", "delete", "count")
    return endorsed


def crowd(probe: Probe, count: int = 8) -> None:
    """Let transactions run at once, so that their messages interleave."""
    works = [
        probe.evaluating(Call(function, arguments))
        for number in range(count)
        for function, arguments in (
            ("range", ("m", "n")),
            ("get", (f"m{number:03}",)),
            ("history", ("a",)),
            ("history", ("b",)),
        )
    ]
    probe.together(works)
    probe.together([probe.calling(Call("put", (f"crowd {n}", str(n)))) for n in range(count)])
