"""A block's entries taken apart before they are judged: what can be read, and which signatures will be asked for.

Decides nothing: what is wrong with an entry is kept for `bfl_fabric.fabric.validation`, which names the first thing
in Fabric's order. It needs neither configuration nor state, so it can be done while earlier blocks are not yet
verified.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric.envelopes import (
    Endorsed,
    HeaderType,
    InvalidTransaction,
    ParsedTransaction,
    parse_envelope,
)
from bfl_fabric.fabric.signatures import Claim, Claims, Signature, SignatureChecks, signed_by


@dataclass(slots=True)
class OpenedEntry:
    """One entry. A refusal stands where reading failed, and is what validation will say when it comes there."""

    transaction: ParsedTransaction | None = None
    refusal: MalformedInput | None = None
    creator: Claim | None = None
    endorsed: Endorsed | None = None
    endorsed_refusal: InvalidTransaction | None = None
    endorsers: tuple[Claim, ...] = ()


def open_entries(entries: Sequence[bytes], checks: SignatureChecks) -> tuple[OpenedEntry, ...]:
    """Take the entries of a block apart and begin to check their signatures. Raises WorkerFailed."""
    claims = Claims()
    opened = tuple(_open(entry, claims) for entry in entries)
    claims.begin(checks)
    return opened


def _open(entry: bytes, claims: Claims) -> OpenedEntry:
    try:
        transaction = parse_envelope(entry)
    except MalformedInput as error:
        return OpenedEntry(refusal=error)
    signature = signed_by(transaction.creator, transaction.payload, transaction.signature)
    opened = OpenedEntry(transaction, creator=claims.add(signature))
    if transaction.type == HeaderType.ENDORSER_TRANSACTION:
        try:
            opened.endorsed = transaction.endorsed()
        except InvalidTransaction as error:
            opened.endorsed_refusal = error
        else:
            opened.endorsers = _endorsers(opened.endorsed, claims)
    return opened


def _endorsers(endorsed: Endorsed, claims: Claims) -> tuple[Claim, ...]:
    """Each endorser signed the same answer, followed by its own identity."""
    answer = hashlib.sha256(endorsed.response_payload)
    found = []
    for item in endorsed.endorsements:
        digest = answer.copy()
        digest.update(item.endorser)
        found.append(claims.add(Signature(item.endorser, digest.digest(), item.signature)))
    return tuple(found)
