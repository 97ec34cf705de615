"""A recorded chain before our verifier: what it finds must be what the peers themselves said."""

from __future__ import annotations

import functools
import hashlib
from typing import Any

from bfl_fabric.fabric.state import Space
from bfl_fabric.fabric.verifier import ChainVerifier
from tests.recordings.archive import Recording, shown

PROBE = "probe"


@functools.cache
def chain(recording: Recording, whose: str) -> tuple[bytes, ...]:
    return tuple(recording.blocks(whose))


def verify(recording: Recording, whose: str) -> ChainVerifier:
    """Verify a recorded chain and compare everything with the recorded facts. Raises AssertionError, AuditFailed."""
    facts = recording.facts()
    verifier = ChainVerifier(genesis_digest(recording))
    codes = [block_codes(found) for found in verifier.verify(chain(recording, whose))]
    _compare(verifier, codes, facts)
    return verifier


def genesis_digest(recording: Recording) -> str:
    """Return the hash of block 0 as block 1 names it, so that it does not come from the code under test."""
    from fabric_protos.common import common_pb2

    digest: str = common_pb2.Block.FromString(chain(recording, "peer")[1]).header.previous_hash.hex()
    return digest


def block_codes(block: Any) -> list[tuple[str, str, int]]:
    return [(item.transaction_id, item.code.name, int(item.code)) for item in block.transactions]


def _compare(verifier: ChainVerifier, codes: list[list[tuple[str, str, int]]], facts: dict[str, Any]) -> None:
    assert verifier.height == facts["height"]
    assert verifier.config.sequence == facts["config_sequence"]
    assert set(facts["commit_hashes"]) == {_metadata(verifier.commit_hash)}
    assert [bytes(code for _, _, code in block).hex() for block in codes] == facts["flags"]
    said: dict[str, str] = facts["code_of"]
    found: dict[str, str] = {}
    for block in codes:
        for identifier, name, _ in block:
            if identifier not in found or found[identifier] == "DUPLICATE_TXID":
                found[identifier] = name
    unread = set(said) - set(found)
    assert len(unread) == 1, "only the first block's configuration is not read as a transaction"
    assert {identifier: found[identifier] for identifier in set(said) - unread} == {
        identifier: code for identifier, code in said.items() if identifier not in unread
    }
    for key, value in facts["values"].items():
        assert _value(verifier, key) == value, key


def _metadata(commit_hash: str) -> str:
    """Return what a peer puts into metadata slot 4: a message with one field of 32 bytes."""
    return "0a20" + commit_hash


def _value(verifier: ChainVerifier, key: str) -> str:
    collection, _, inner = key.partition("/")
    if collection in ("shared", "own", "brief"):
        found = verifier.state.find(Space(PROBE, collection), hashlib.sha256(inner.encode()).digest())
    else:
        found = verifier.state.find(Space(PROBE), key.encode())
    return "" if found is None or found.value is None else shown(found.value)
