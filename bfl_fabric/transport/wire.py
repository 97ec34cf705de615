"""The border of the protocol: messages from outside in, checked values out.

Decides which names, digests and chunks are well-formed. Leaves to Admission which of them are welcome.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from bfl_chaincode.api import canonical
from bfl_fabric.domain.ports import UpdateName
from bfl_fabric.errors import MalformedInput
from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2 as pb
from bfl_fabric.transport.limits import CHUNK_BYTES, SMALLEST_CHUNK_BYTES, TOGETHER_BLOBS
from bfl_fabric.transport.refusals import Refused

_DIGEST_BYTES = hashlib.sha256().digest_size
_ID_LENGTH = 128


def digest_of(raw: bytes) -> str:
    """Return a digest as hex. Raises MalformedInput."""
    if len(raw) != _DIGEST_BYTES:
        raise MalformedInput(f"a digest has {_DIGEST_BYTES} bytes, found {len(raw)}")
    return raw.hex()


def digests_of(raw: Sequence[bytes]) -> list[str]:
    """Return the digests of blobs that are asked for together. Raises MalformedInput."""
    if not 1 <= len(raw) <= TOGETHER_BLOBS:
        raise MalformedInput(f"{len(raw)} blobs are asked for together, from 1 to {TOGETHER_BLOBS} may be")
    return [digest_of(one) for one in raw]


def name_of(message: pb.UpdateName) -> UpdateName:
    """Return the name of an update; round 0 names a task's initial model. Raises MalformedInput."""
    for field, value in (("task_id", message.task_id), ("participant_id", message.participant_id)):
        if not 0 < len(value) <= _ID_LENGTH or not value.isprintable():
            raise MalformedInput(f"the {field} must be 1 to {_ID_LENGTH} printable characters")
    return UpdateName(message.task_id, message.round, message.participant_id)


def message_of(name: UpdateName) -> pb.UpdateName:
    """Return the message that names an update."""
    return pb.UpdateName(task_id=name.task_id, round=name.round, participant_id=name.participant_id)


def label_of(name: UpdateName) -> str:
    """Return the label under which an update's partial file is kept."""
    return canonical.text(["upload", name.task_id, name.round, name.participant_id])


def verify_chunk(offset: int, data: bytes, expected: int, size_bytes: int) -> None:
    """Raise Refused unless this is the next chunk of a transfer that stands at `expected`."""
    if offset != expected:
        raise Refused(
            pb.REFUSAL_REASON_WRONG_OFFSET,
            f"a chunk at offset {offset}, expected offset {expected}: chunks come in order, each once",
        )
    end = offset + len(data)
    if end > size_bytes:
        raise _malformed(f"the chunk at offset {offset} ends at {end}, beyond the size {size_bytes}")
    if len(data) > CHUNK_BYTES:
        raise _malformed(f"the chunk at offset {offset} has {len(data)} bytes, at most {CHUNK_BYTES}")
    if not data or (len(data) < SMALLEST_CHUNK_BYTES and end != size_bytes):
        raise _malformed(
            f"the chunk at offset {offset} has {len(data)} bytes, at least {SMALLEST_CHUNK_BYTES} until the last"
        )


def _malformed(text: str) -> Refused:
    return Refused(pb.REFUSAL_REASON_MALFORMED, text)
