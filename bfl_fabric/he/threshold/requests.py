"""What the ports of this scheme and the worker process say to each other, beside the head of a frame.

A payload is a length, canonical JSON and byte strings whose lengths stand in the JSON: a head of a frame is too
short for the paths of a thousand masks.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bfl_chaincode.api import canonical
from bfl_chaincode.api.canonical import Json
from bfl_fabric.domain.ports import OpeningTerms
from bfl_fabric.errors import MalformedInput
from bfl_fabric.he.threshold import keymessages
from bfl_fabric.he.threshold.dealing import Received, ShareName
from bfl_fabric.he.threshold.keymessages import KeyShare
from bfl_fabric.he.threshold.plan import KeyPlan

_LENGTH = struct.Struct("<I")


def payload(fields: Mapping[str, Json], blobs: Sequence[bytes] = ()) -> bytes:
    """Return one payload of fields and blobs."""
    head = canonical.dump({"fields": dict(fields), "lengths": [len(blob) for blob in blobs]})
    return b"".join([_LENGTH.pack(len(head)), head, *blobs])


def parse(data: bytes) -> tuple[dict[str, Json], list[bytes]]:
    """Read a payload. Raises MalformedInput."""
    (head_bytes,) = _LENGTH.unpack_from(data)
    head = canonical.parse(data[_LENGTH.size : _LENGTH.size + head_bytes])
    match head:
        case {"fields": dict(fields), "lengths": list(lengths)}:
            blobs, start = [], _LENGTH.size + head_bytes
            for length in lengths:
                assert isinstance(length, int)
                blobs.append(data[start : start + length])
                start += length
            return fields, blobs
    raise MalformedInput("a request without its fields")


def named(shares: Mapping[str, KeyShare]) -> bytes:
    """Return the payload that names all members' key shares."""
    return payload(_names(shares))


def dealt(plan: KeyPlan, shares: Mapping[str, KeyShare], rows: Mapping[str, Received]) -> bytes:
    """Return the payload of all key shares and of what each dealing holds for one member."""
    digests: Json = {dealer: row.dealing_digest for dealer, row in rows.items()}
    blobs = []
    for dealer in sorted(rows):
        blobs += [
            rows[dealer].ciphertext,
            keymessages.encode_private_share(plan, rows[dealer].commitment),
        ]
    return payload({**_names(shares), "dealings": digests}, blobs)


def share_names(fields: Mapping[str, Json]) -> dict[str, ShareName]:
    """Read what `named` or `dealt` wrote of the key shares. Raises MalformedInput."""
    names = fields.get("shares")
    if not isinstance(names, dict):
        raise MalformedInput("a request without key shares")
    found = {}
    for member, row in names.items():
        match row:
            case [str(digest), str(transport)]:
                found[member] = ShareName(digest, bytes.fromhex(transport))
            case _:
                raise MalformedInput("a request with a malformed key share")
    return found


def received(plan: KeyPlan, fields: Mapping[str, Json], blobs: Sequence[bytes]) -> dict[str, Received]:
    """Read what `dealt` wrote of the dealings. Raises MalformedInput."""
    digests = fields.get("dealings")
    if not isinstance(digests, dict) or 2 * len(digests) != len(blobs):
        raise MalformedInput("a request without dealings")
    return {
        dealer: Received(str(digests[dealer]), ciphertext, keymessages.read_commitment(plan, packed))
        for dealer, ciphertext, packed in zip(sorted(digests), blobs[::2], blobs[1::2], strict=True)
    }


def _names(shares: Mapping[str, KeyShare]) -> dict[str, Json]:
    return {"shares": {member: [share.digest, share.transport.hex()] for member, share in shares.items()}}


def opening(
    terms: OpeningTerms,
    masks: Sequence[Path],
    zeros: Sequence[Path],
    participants: Sequence[str] = (),
    blobs: Sequence[bytes] = (),
) -> bytes:
    """Return the payload of a question; `participants` name the masks where it matters whose they are."""
    fields: dict[str, Json] = {
        "task_id": terms.task_id,
        "round": terms.round,
        "attempt": terms.attempt,
        "epoch": terms.epoch,
        "holders": list(terms.holders),
        "threshold": terms.threshold,
        "active": list(terms.active),
        "seed": terms.seed,
        "masks": [str(path.absolute()) for path in masks],
        "zeros": [str(path.absolute()) for path in zeros],
        "participants": list(participants),
    }
    return payload(fields, blobs)


@dataclass(frozen=True, slots=True)
class Question:
    """What `opening` wrote, read back."""

    terms: OpeningTerms
    masks: list[Path]
    zeros: list[Path]
    participants: list[str]
    blobs: list[bytes]


def opening_of(data: bytes) -> Question:
    """Read what `opening` wrote. Raises MalformedInput."""
    fields, blobs = parse(data)
    terms = OpeningTerms(
        text(fields, "task_id"), number(fields, "round"), number(fields, "attempt"), number(fields, "epoch"),
        tuple(texts(fields, "holders")), number(fields, "threshold"), tuple(texts(fields, "active")),
        text(fields, "seed"),
    )  # fmt: skip
    masks = [Path(path) for path in texts(fields, "masks")]
    zeros = [Path(path) for path in texts(fields, "zeros")]
    return Question(terms, masks, zeros, texts(fields, "participants"), blobs)


def text(fields: Mapping[str, Json], name: str) -> str:
    """Return a field that is text. Raises MalformedInput."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise MalformedInput(f"a request without {name}")
    return value


def number(fields: Mapping[str, Json], name: str) -> int:
    """Return a field that is an integer. Raises MalformedInput."""
    value = fields.get(name)
    if not isinstance(value, int):
        raise MalformedInput(f"a request without {name}")
    return value


def texts(fields: Mapping[str, Json], name: str) -> list[str]:
    """Return a field that is a list of texts. Raises MalformedInput."""
    value = fields.get(name)
    if not isinstance(value, list):
        raise MalformedInput(f"a request without {name}")
    return [str(item) for item in value]
