"""A gateway that answers what a real one answered, and checks that it is asked what the real one was asked.

Decides what counts as the same question: every byte but the signatures, which must be good ones over the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.msp import identities_pb2
from fabric_protos.peer import proposal_pb2

from tests.recordings.archive import Record
from tests.recordings.client_story import Story
from tests.recordings.relay import GatewayRelay, Refusal

UNASKED = 2
"""gRPC's UNKNOWN: what our client is told when it asks something else."""
HIGHEST_S = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 // 2


class Differs(AssertionError):
    """Our client does something else than it did before a real gateway."""


class ReplayingPeer:
    """The backend of a replay: recorded calls, in their order."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._waiting = list(records)
        self._waiting.reverse()
        self.problems: list[str] = []

    def unary(self, method: str, request: bytes, context: Any) -> bytes:
        record = self._next(method, request)
        _refuse(record)
        return record.parts[1]

    def stream(self, method: str, request: bytes, context: Any) -> Iterator[bytes]:
        record = self._next(method, request)
        yield from record.parts[1:]
        _refuse(record)

    def require_end(self) -> None:
        """Raise Differs unless everything was asked, and nothing else."""
        if self.problems:
            raise Differs(self.problems[0])
        if self._waiting:
            raise Differs(f"{len(self._waiting)} calls were not made, the next: {self._waiting[-1].facts}")

    def _next(self, method: str, request: bytes) -> Record:
        try:
            if not self._waiting:
                raise Differs(f"{method} was called once more than before")
            record = self._waiting.pop()
            if record.facts["method"] != method:
                raise Differs(f"{method} was called where {record.facts['method']} was")
            if unsigned(method, request) != unsigned(method, record.parts[0]):
                raise Differs(f"{method} asks something else than before")
        except Exception as problem:
            self.problems.append(f"{type(problem).__name__}: {problem}")
            raise Refusal(UNASKED, f"{problem}", b"") from problem
        return record


def unsigned(method: str, request: bytes) -> bytes:
    """Return a request without its signature, which must be good. Raises Differs."""
    name = method.rpartition("/")[2]
    message: Any
    if name in ("Evaluate", "Endorse"):
        kind = gateway_pb2.EvaluateRequest if name == "Evaluate" else gateway_pb2.EndorseRequest
        message = kind.FromString(request)
        signed = message.proposed_transaction
        header = common_pb2.Header.FromString(proposal_pb2.Proposal.FromString(signed.proposal_bytes).header)
        _require_signature(_creator(header), signed.proposal_bytes, signed.signature)
        signed.signature = b""
    elif name in ("Submit", "Deliver"):
        message = (gateway_pb2.SubmitRequest if name == "Submit" else common_pb2.Envelope).FromString(request)
        envelope = message.prepared_transaction if name == "Submit" else message
        header = common_pb2.Payload.FromString(envelope.payload).header
        _require_signature(_creator(header), envelope.payload, envelope.signature)
        envelope.signature = b""
    else:
        commit = name == "CommitStatus"
        signed_kind = (
            gateway_pb2.SignedCommitStatusRequest if commit else gateway_pb2.SignedChaincodeEventsRequest
        )
        inner_kind = gateway_pb2.CommitStatusRequest if commit else gateway_pb2.ChaincodeEventsRequest
        message = signed_kind.FromString(request)
        identity = inner_kind.FromString(message.request).identity
        _require_signature(identity, message.request, message.signature)
        message.signature = b""
    raw: bytes = message.SerializeToString(deterministic=True)
    return raw


def _creator(header: Any) -> bytes:
    creator: bytes = common_pb2.SignatureHeader.FromString(header.signature_header).creator
    return creator


def _require_signature(creator: bytes, data: bytes, signature: bytes) -> None:
    """Fabric takes a signature only with the lower of its two values for s."""
    identity = identities_pb2.SerializedIdentity.FromString(creator)
    key: Any = x509.load_pem_x509_certificate(identity.id_bytes).public_key()
    key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    if decode_dss_signature(signature)[1] > HIGHEST_S:
        raise Differs("a signature has the higher s, which Fabric refuses")


def _refuse(record: Record) -> None:
    facts = record.facts
    if facts["code"] > 0:
        raise Refusal(facts["code"], facts["details"], bytes.fromhex(facts["trailing"]))


async def replay(records: Sequence[Record], facts: dict[str, Any], told: list[dict[str, Any]]) -> int:
    """Tell the client's story at a replaying gateway; return how many calls were compared. Raises Differs."""
    from datetime import timedelta

    from bfl_fabric.fabric.authority import CertificateAuthority

    now = datetime.now(UTC)
    authority = CertificateAuthority.create(
        "Replay", "ca.replay", now - timedelta(days=1), now + timedelta(days=1)
    )
    tls = authority.issue_tls("gateway")
    backend = ReplayingPeer(records)
    credentials = grpc.ssl_server_credentials([(tls.key_pem, tls.certificate_pem)])
    server, port = GatewayRelay(backend).listen("127.0.0.1:0", credentials)
    story = Story.replayed(facts, f"127.0.0.1:{port}", authority.certificate_pem)
    try:
        await story.tell()
    except Exception:
        backend.require_end()
        raise
    finally:
        server.stop(0)
    backend.require_end()
    for now_told, before in zip(story.told, told, strict=True):
        if now_told != before:
            raise Differs(f"{before['step']}: {now_told} where it was {before}")
    return len(records)
