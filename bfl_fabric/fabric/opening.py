"""A block's entries taken apart before they are judged: what can be read, and which signatures will be asked for.

Decides nothing: what is wrong with an entry is kept for `bfl_fabric.fabric.validation`, which names the first thing
in Fabric's order. It needs neither configuration nor state, so it can be done while earlier blocks are not yet
verified.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric.channel import SignatureClaim, SignedData
from bfl_fabric.fabric.envelopes import (
    Endorsed,
    HeaderType,
    InvalidTransaction,
    ParsedTransaction,
    parse_envelope,
)
from bfl_fabric.fabric.signatures import Claim, Claims, SignatureChecks

ALL = sys.maxsize


@dataclass(slots=True)
class OpenedEntry:
    """One entry. A refusal stands where reading failed, and is what validation will say when it comes there."""

    transaction: ParsedTransaction | None = None
    refusal: MalformedInput | None = None
    creator: Claim | None = None
    endorsed: Endorsed | None = None
    endorsed_refusal: InvalidTransaction | None = None
    endorsers: tuple[SignatureClaim, ...] = ()


def open_entries(
    entries: Sequence[bytes], checks: SignatureChecks, endorsements: int = ALL
) -> tuple[OpenedEntry, ...]:
    """Take the entries of a block apart and begin to check their signatures. Raises WorkerFailed.

    Of each transaction the first so many `endorsements` are checked ahead; how many its policies will ask for shows
    only when it is judged, and the others are checked when they are asked for.
    """
    claims = Claims()
    opened = tuple([_open(entry, claims, endorsements) for entry in entries])
    claims.begin(checks)
    return opened


def _open(entry: bytes, claims: Claims, endorsements: int) -> OpenedEntry:
    try:
        transaction = parse_envelope(entry)
    except MalformedInput as error:
        return OpenedEntry(refusal=error)
    creator = claims.add(transaction.creator, transaction.payload, transaction.signature)
    opened = OpenedEntry(transaction, creator=creator)
    if transaction.type == HeaderType.ENDORSER_TRANSACTION:
        try:
            opened.endorsed = transaction.endorsed()
        except InvalidTransaction as error:
            opened.endorsed_refusal = error
        else:
            opened.endorsers = _endorsers(opened.endorsed, claims, endorsements)
    return opened


def _endorsers(endorsed: Endorsed, claims: Claims, ahead: int) -> tuple[SignatureClaim, ...]:
    """Each endorser signed the same answer, followed by its own identity."""
    answer, given = endorsed.response_payload, endorsed.endorsements
    found: list[SignatureClaim] = [
        claims.add(item.endorser, answer + item.endorser, item.signature) for item in given[:ahead]
    ]
    found += [SignedData(item.endorser, answer + item.endorser, item.signature) for item in given[ahead:]]
    return tuple(found)
