"""In what two peers differ that ran the same proposal.

Decides how a difference is named: by namespace, key and kind, never by value, since the text goes to clients and
logs. That a difference is an error is decided by `endorsement`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fabric_protos.peer import proposal_pb2, proposal_response_pb2

from bfl_fabric.fabric.rwsets import NamespaceSet, parse_rwset
from bfl_fabric.fabric.wire import read

_MAX_NAMED = 5


def difference(first: bytes, other: bytes) -> str:
    """Name what differs between two serialized ProposalResponsePayloads."""
    found = list(_differences(_action(first), _action(other)))
    named = ", ".join(found[:_MAX_NAMED]) or "the encoding"
    return f"{named} and {len(found) - _MAX_NAMED} more" if len(found) > _MAX_NAMED else named


def _action(payload: bytes) -> Any:
    answer = read(proposal_response_pb2.ProposalResponsePayload, payload, "proposal response payload")
    return read(proposal_pb2.ChaincodeAction, answer.extension, "chaincode action")


def _differences(first: Any, other: Any) -> Iterator[str]:
    for field in ("status", "message", "payload"):
        if getattr(first.response, field) != getattr(other.response, field):
            yield f"the response's {field}"
    if first.events != other.events:
        yield "the event"
    if first.chaincode_id != other.chaincode_id:
        yield "the chaincode's version"
    mine = _named(parse_rwset(first.results))
    theirs = _named(parse_rwset(other.results))
    for name in sorted({*mine, *theirs}):
        if mine.get(name) != theirs.get(name):
            yield name


def _named(sets: Sequence[NamespaceSet]) -> Mapping[str, object]:
    """Return every part of a read-write set under a name that says what it is."""
    named: dict[str, object] = {}
    for part in sets:
        where = f"in namespace {part.namespace!r}"
        named.update({f"the read of key {item.key!r} {where}": item for item in part.reads})
        named.update({f"the write of key {item.key!r} {where}": item for item in part.writes})
        named.update({f"the policy of key {item.key!r} {where}": item for item in part.metadata_writes})
        named.update(
            {f"the range query {number} {where}": item for number, item in enumerate(part.range_queries)}
        )
        named.update({f"collection {item.name!r} {where}": item for item in part.collections})
    return named
