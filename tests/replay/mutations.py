"""Deliberate breaks of the code that meets real networks; each must turn a replay red.

Decides what is broken: one place of a module's source, by its text, which must stand there exactly once. A break whose
text is no longer found fails the mutation test: then say here what the code says now.
"""

from __future__ import annotations

from dataclasses import dataclass

STUB = "bfl_chaincode.shim.peer_stub"
MESSAGES = "bfl_chaincode.shim.peer_messages"
STREAM = "bfl_chaincode.shim.service.stream"
STEPS = "bfl_chaincode.shim.service.transaction"
PROPOSAL = "bfl_fabric.fabric.proposal"
VERIFIER = "bfl_fabric.fabric.verifier"
VALIDATION = "bfl_fabric.fabric.validation"
RULES = "bfl_fabric.fabric.endorsement_rules"
READS = "bfl_fabric.fabric.read_checks"
GATEWAY = "bfl_fabric.fabric.gateway"
GRPC = "bfl_fabric.fabric.gateway_grpc"
SUBMISSION = "bfl_fabric.fabric.submission"
DELIVER = "bfl_fabric.fabric.deliver"


@dataclass(frozen=True, slots=True)
class Mutation:
    """A break, and the replay that must notice it."""

    module: str
    old: str
    new: str
    performance: str

    @property
    def name(self) -> str:
        """What a failure is called."""
        return f"{self.module.rpartition('.')[2]}: {self.old.strip()[:60]!r} -> {self.new.strip()[:60]!r}"


def _of(module: str, performance: str, *pairs: tuple[str, str]) -> list[Mutation]:
    return [Mutation(module, old, new, performance) for old, new in pairs]


_STUB = _of(
    STUB,
    "probe",
    ("return await request(Message.GET_STATE, shim.GetState(key=require_key(key)))", "return b''"),
    ("value=bytes(value), type=Message.PUT_STATE)", "value=bytes(value), type=Message.DEL_STATE)"),
    ("type=Message.DEL_STATE), 0)", "type=Message.PUT_STATE), 0)"),
    ("shim.GetStateMultiple(keys=keys)", "shim.GetStateMultiple(keys=keys[::-1])"),
    ("shim.WriteBatchState(rec=gathered[", "shim.WriteBatchState(rec=gathered[::-1]["),
    (
        "return await request(Message.GET_PRIVATE_DATA_HASH, asked)",
        "return await request(Message.GET_STATE, asked)",
    ),
    ("value=bytes(value), collection=where)", "value=bytes(value))"),
    ("shim.DelState(key=require_key(key), collection=where)", "shim.DelState(key=require_key(key))"),
    (
        "shim.PurgePrivateState(key=require_key(key), collection=where)",
        "shim.PurgePrivateState(collection=where)",
    ),
    ("Message.PURGE_PRIVATE_DATA,", "Message.DEL_STATE,"),
    ('VALIDATION_PARAMETER = "VALIDATION_PARAMETER"', 'VALIDATION_PARAMETER = "OTHER"'),
    (
        "shim.PutStateMetadata(key=require_key(key), metadata=metadata)",
        "shim.PutStateMetadata(metadata=metadata)",
    ),
    ("await request(Message.GET_STATE_METADATA,", "await request(Message.GET_STATE,"),
    (
        "asked = shim.GetStateByRange(startKey=start_key, endKey=end_key)\n",
        "asked = shim.GetStateByRange(startKey=end_key, endKey=start_key)\n",
    ),
    ("endKey=end_key, metadata=metadata)", "endKey=end_key)"),
    ("return Page(found, read_bookmark(response.metadata))", 'return Page(found, "")'),
    ("await request(Message.QUERY_STATE_CLOSE, shim.QueryStateClose(id=asked))", "return"),
    ("shim.QueryStateNext(id=asked)", "shim.QueryStateNext()"),
    ("await request(Message.QUERY_STATE_NEXT,", "await request(Message.QUERY_STATE_CLOSE,"),
    ("if not self._response.has_more:\n                raise StopAsyncIteration", "raise StopAsyncIteration"),
    ("self._next += 1", "self._next += 2"),
    ("await request(Message.GET_HISTORY_FOR_KEY, asked)", "await request(Message.GET_STATE_BY_RANGE, asked)"),
    (
        "await request(Message.DEL_STATE, shim.DelState(key=record.key))",
        "await request(Message.PUT_STATE, shim.PutState(key=record.key))",
    ),
    ("shim.PutState(key=record.key, value=record.value)", "shim.PutState(key=record.key)"),
    ("self.event = (name, bytes(payload))", "self.event = None"),
    ("return dict(self._invocation.transient)", "return {}"),
    ("return self._invocation.transaction_id", 'return "0"'),
    ("self._has_paged = True", "self._has_paged = False"),
    ("self._queries.append(rows)", "pass"),
)

_STUB_ON_2_5 = _of(
    STUB,
    "probe:2.5.16-raft",
    ("if not self._offer.reads or len(keys) < 2:", "if len(keys) < 2:"),
    ("if not self._offer.writes or self._has_paged", "if self._has_paged"),
)

_MESSAGES = _of(
    MESSAGES,
    "probe",
    ("offer.max_size_get_multiple_keys if offer.use_get_multiple_keys else 0,", "0,"),
    ("offer.max_size_write_batch if offer.use_write_batch else 0,", "0,"),
    ("return KeyValue(row.key, row.value)", "return KeyValue(row.value.decode(), row.key.encode())"),
    (
        "return KeyModification(row.tx_id, row.value, moment, row.is_delete)",
        "return KeyModification(row.tx_id, row.value, moment, False)",
    ),
    (
        "chaincode_shim_pb2.QueryMetadata(pageSize=page_size, bookmark=bookmark)",
        "chaincode_shim_pb2.QueryMetadata(pageSize=page_size)",
    ),
    ("return StateRequest(kind, payload)", "return StateRequest(kind, payload[::-1])"),
    ("dict(content.TransientMap),", "{},"),
    ("tuple(arguments),", "tuple(arguments[:1]),"),
    ("chaincode_pb2.ChaincodeInput(args=arguments)", "chaincode_pb2.ChaincodeInput(args=arguments[1:])"),
)

_SERVICE = [
    *_of(
        STREAM,
        "probe",
        ("self._outgoing.put(Message(type=Message.REGISTER, payload=name.SerializeToString()))", "pass"),
        ("type=Message.REGISTER,", "type=Message.REGISTERED,"),
        ("self._offer = read_offer(message.payload)", "pass"),
        (
            "transaction.is_waiting = False\n        self._send(transaction, transaction.resume(message))",
            "transaction.is_waiting = False",
        ),
        (
            "elif kind == Message.TRANSACTION:\n            self._begin(message)",
            "elif kind == Message.TRANSACTION:\n            pass",
        ),
        ("for key in list(self._running):\n            self._forget(key)", "pass"),
    ),
    *_of(
        STEPS,
        "probe",
        ("if reply.type == Message.RESPONSE:", "if True:"),
        (
            "return message_of(self.key, asked.kind, asked.payload)",
            "return message_of(('', self.key[1]), asked.kind, asked.payload)",
        ),
        (
            "return Message(type=kind, channel_id=key[0], txid=key[1], payload=payload)",
            "return Message(type=kind, channel_id=key[0], txid=key[1][::-1], payload=payload)",
        ),
        ("event = self._stub.event if answer.status < REFUSED else None", "event = None"),
        ("event = self._stub.event if answer.status < REFUSED else None", "event = self._stub.event"),
        ("event_name=event[0], payload=event[1])", "event_name=event[0])"),
        ("status=answer.status, payload=", "status=OK, payload="),
        ("message=_text(answer.message)", 'message=""'),
        (
            "response = proposal_response_pb2.Response(status=ERROR,",
            "response = proposal_response_pb2.Response(status=OK,",
        ),
        ("if answer.status < REFUSED:\n        await stub.flush()", "pass"),
        ("await stub.close_queries()", "pass"),
        (
            "return message_of(key, Message.COMPLETED, response",
            "return message_of(key, Message.ERROR, response",
        ),
        (
            "message = message_of(self.key, Message.COMPLETED, payload)",
            "message = message_of(self.key, Message.RESPONSE, payload)",
        ),
        (
            'return f"the contract failed outside its own refusals: {type(error).__name__}"',
            "return repr(error)",
        ),
    ),
]

_CONTRACT = _of(
    "bfl_chaincode.main",
    "contract",
    ('return Response(REFUSED, b"", _coded(message))', 'return Response(OK, b"", _coded(message))'),
)

_PROPOSAL = _of(
    PROPOSAL,
    "client",
    ("hashlib.sha256(nonce + creator).hexdigest()", "hashlib.sha256(creator + nonce).hexdigest()"),
    (
        "type=HeaderType.ENDORSER_TRANSACTION,\n        channel_id",
        "type=HeaderType.MESSAGE,\n        channel_id",
    ),
    ("        channel_id=invocation.channel_id,\n        tx_id", "        tx_id"),
    ("tx_id=identifier,\n", "tx_id=identifier.upper(),\n"),
    ("extension=write(proposal_pb2.ChaincodeHeaderExtension(chaincode_id=chaincode)),", ""),
    ("channel_header.timestamp.seconds = at_ms // 1000", "channel_header.timestamp.seconds = at_ms"),
    ("channel_header.timestamp.nanos = at_ms % 1000 * 1_000_000", "channel_header.timestamp.nanos = 1"),
    (
        "common_pb2.SignatureHeader(creator=creator, nonce=nonce)",
        "common_pb2.SignatureHeader(creator=creator)",
    ),
    ("common_pb2.SignatureHeader(creator=creator, nonce=nonce)", "common_pb2.SignatureHeader(nonce=nonce)"),
    ("type=chaincode_pb2.ChaincodeSpec.GOLANG,", "type=chaincode_pb2.ChaincodeSpec.NODE,"),
    ("        chaincode_id=chaincode,\n        input", "        input"),
    (
        "chaincode_pb2.ChaincodeInput(args=invocation.arguments)",
        "chaincode_pb2.ChaincodeInput(args=invocation.arguments[::-1])",
    ),
    ("input=call, TransientMap=dict(invocation.transient)", "input=call"),
    ("signature=signer.sign(proposal.proposal_bytes)", "signature=signer.sign(proposal.payload)"),
)

_CLIENT = [
    *_of(
        SUBMISSION,
        "client",
        (
            "request = gateway_pb2.EvaluateRequest(\n            transaction_id=proposal.transaction_id,",
            "request = gateway_pb2.EvaluateRequest(",
        ),
        (
            "request = gateway_pb2.EndorseRequest(\n            transaction_id=proposal.transaction_id,",
            "request = gateway_pb2.EndorseRequest(",
        ),
        ("return bytes(response.result.payload)", "return bytes(response.result.payload[1:])"),
        (
            "kind = EndorsersDisagree if _DISAGREEMENT in str(failure) else EndorseError",
            "kind = EndorseError",
        ),
        ("if attempt or not handed_over:", "if not handed_over:"),
        ("if attempt or not handed_over:", "if True:"),
        ("problem = await self._hand_over(endorsed)", "problem = None"),
        (
            "transaction_id=endorsed.transaction_id,\n            channel_id=endorsed.channel_id,\n"
            "            prepared_transaction=endorsed.envelope,",
            "transaction_id=endorsed.transaction_id,\n            prepared_transaction=endorsed.envelope,",
        ),
        ("identity=self._signer.creator,", ""),
        ("signature=self._signer.sign(request))", "signature=self._signer.sign(request + b'x'))"),
        (
            "return Outcome(ValidationCode(response.result), response.block_number)",
            "return Outcome(ValidationCode.VALID, response.block_number)",
        ),
        (
            "return Outcome(ValidationCode(response.result), response.block_number)",
            "return Outcome(ValidationCode(response.result), 0)",
        ),
        ("if refusal is not None:", "if refusal is None and False:"),
        (
            "return LedgerUnavailable(str(failure), transaction_id)",
            "return kind(str(failure), transaction_id)",
        ),
        (
            'raise CommitStatusError(f"commit status: {failure}", endorsed.transaction_id) from failure',
            "return Outcome(ValidationCode.VALID, 0)",
        ),
        (
            "envelope = sign_envelope(payload, self._signer)",
            "envelope = sign_envelope(payload + b'x', self._signer)",
        ),
    ),
    *_of(
        GATEWAY,
        "client",
        ("if outcome.code is ValidationCode.VALID:", "if True:"),
        ("if outcome.code in _STALE and not last:", "if outcome.code in _STALE:"),
        ("if outcome.code in _STALE and not last:", "if False:"),
        ("self._open[key] = endorsed\n", "pass\n"),
        ("position = found.checkpoint\n", "pass\n"),
        ("request.after_transaction_id = position.transaction_id", "pass"),
        (
            "request.start_position.specified.number = position.block_number + 1",
            "request.start_position.specified.number = position.block_number",
        ),
        ("request.start_position.specified.number = first", "pass"),
        ("identity=self._signer.creator,", ""),
        ("expected, attempt = number + 1, 0", "attempt = 0"),
        ("if failure.status in _LASTING:", "if False and failure.status in _LASTING:"),
        (
            "return LedgerEvent(message.event_name, message.tx_id, block_number, event)",
            "return LedgerEvent(message.event_name, message.tx_id, block_number + 1, event)",
        ),
    ),
    *_of(
        GRPC,
        "client",
        ('_DETAILS = "grpc-status-details-bin"', '_DETAILS = "details"'),
        ("if tag >> 3 == 3:", "if tag >> 3 == 2:"),
        (
            "yield GatewayDetail(detail.address, detail.msp_id, detail.message)",
            "yield GatewayDetail(detail.address, detail.message, detail.msp_id)",
        ),
        ("status = GatewayStatus(error.code().name)", "status = GatewayStatus.UNKNOWN"),
        ('return GatewayFailure(status, error.details() or "",', 'return GatewayFailure(status, "",'),
    ),
    *_of(
        DELIVER,
        "client",
        (
            "behavior=ab_pb2.SeekInfo.BLOCK_UNTIL_READY if seek.wait else ab_pb2.SeekInfo.FAIL_IF_NOT_READY",
            "behavior=ab_pb2.SeekInfo.FAIL_IF_NOT_READY",
        ),
        ("info.start.newest.SetInParent()", "info.start.oldest.SetInParent()"),
        ("info.start.specified.number = seek.start", "info.start.specified.number = seek.start + 1"),
        (
            "common_pb2.FORBIDDEN: GatewayStatus.PERMISSION_DENIED",
            "common_pb2.FORBIDDEN: GatewayStatus.UNAVAILABLE",
        ),
        ("type=HeaderType.DELIVER_SEEK_INFO, channel_id=channel_id)", "type=HeaderType.DELIVER_SEEK_INFO)"),
    ),
    *_of(
        "bfl_fabric.fabric.identity",
        "client",
        (
            "return low_s(self._key.sign(data, _ECDSA_SHA256))",
            "return self._key.sign(data, ec.ECDSA(hashes.SHA384()))",
        ),
        ("return low_s(self._key.sign(data, _ECDSA_SHA256))", "return self._key.sign(data, _ECDSA_SHA256)"),
    ),
]

_VERIFIER = [
    Mutation(VERIFIER, f"if {condition}:", f"if False and ({condition}):", f"tampering:{name}")
    for condition, name in (
        ("block.number != self.height", "a block left out"),
        ("block.previous_hash != self._previous_hash", "another predecessor"),
        ("block.data_hash != data_hash(block.entries)", "other data"),
        ("block.slots[Slot.ORDERER]", "orderer metadata"),
        ("block.hash.hex() != self._genesis_digest", "another first block"),
        (
            'given != fixed or block.flags not in (b"", bytes([ValidationCode.VALID]))',
            "metadata of the first block",
        ),
        ("recorded != item.code", "a code changed"),
        ("recorded != item.code", "an invalid one declared valid"),
        ("len(block.flags) != len(verdict.verdicts)", "a code too many"),
        ("has_flags is not self._has_flags", "codes missing"),
        ("block.slots[Slot.COMMIT_HASH] != expected", "another commit hash"),
        ("block.slots[Slot.COMMIT_HASH] != expected", "a commit hash in an orderer's copy"),
        ("len(members) != len(claims) or not all(map(_may_order, members))", "a spoilt orderer's signature"),
        (
            "len(members) != len(claims) or not all(map(_may_order, members))",
            "a spoilt consenter's signature",
        ),
    )
] + [
    *_of(
        VERIFIER,
        "tampering:no orderer's signature",
        ('require(self.config.policy(BLOCK_VALIDATION), members, f"block {block.number}")', "pass"),
    ),
    *_of(
        VERIFIER,
        "tampering:too few consenters",
        ('require(self.config.policy(BLOCK_VALIDATION), members, f"block {block.number}")', "pass"),
    ),
    *_of(
        VERIFIER,
        "tampering:a consenter that is none",
        ("if consenter.identifier == number and consenter.identity:", "if consenter.identity:"),
    ),
    *_of(
        VERIFIER,
        "tampering:last configuration, signed part",
        ("if signatures.last_config != last_config or ", "if "),
    ),
    *_of(
        VERIFIER,
        "tampering:another last configuration",
        (" or block.slots[Slot.LAST_CONFIG] != last_config_slot(\n            last_config\n        )", ""),
    ),
    *_of(
        VERIFIER,
        "peer",
        (
            "self._seen.update(item.transaction_id for item in verdict.verdicts if item.transaction_id)",
            "pass",
        ),
        ("self._config = self._next_config(block, verdict, at_ms)", "pass"),
        ("self._last_config = block.number", "pass"),
        (
            "self._expiries.commit(block.number, verdict.updates, self.state)",
            "self.state.commit(verdict.updates)",
        ),
    ),
    *_of(
        VERIFIER,
        "peer:3.1.5-bft",
        ("data = value + item.identifier_header + block.header_bytes", "data = value + block.header_bytes"),
    ),
]

_JUDGED = [
    *_of(
        VALIDATION,
        "peer",
        (
            "if transaction.type not in _HEADER_TYPES or transaction.epoch:",
            "if transaction.type not in _HEADER_TYPES:",
        ),
        ("if transaction.type not in _HEADER_TYPES or transaction.epoch:", "if transaction.epoch:"),
        ("if not transaction.nonce or not transaction.creator:", "if not transaction.creator:"),
        (
            "if transaction.transaction_id != transaction_id(transaction.nonce, transaction.creator):",
            "if False:",
        ),
        ("if endorsed.proposal_hash != expected:", "if False:"),
        ("if transaction.transaction_id in seen:", "if False:"),
        ("if verdict.transaction_id in found:", "if False:"),
        ("rules.check(verdict.action, endorsers)", "pass"),
        ("check_reads(action.rwset, state, updates)", "pass"),
        ("_mark_repeated(result.verdicts)", "pass"),
    ),
    *_of(
        RULES,
        "peer",
        ("if len(set(namespaces)) != len(namespaces):", "if False:"),
        ("if definition is None or definition.plugin", "if definition is not None and definition.plugin"),
        ("if not satisfied:", "if False:"),
        ("return collection.policy or definition.policy", "return b''"),
        ('raw = dict(found.metadata).get(VALIDATION_PARAMETER, b"")', "raw = b''"),
    ),
    *_of(
        READS,
        "peer",
        ("if (None if found is None else found.height) != version:", "if False:"),
        ("if not stands:", "if False:"),
        ("stands = degree >= 2 and range_summary(now, degree) == query.summary", "stands = False"),
    ),
]

MUTATIONS: tuple[Mutation, ...] = (
    *_STUB,
    *_STUB_ON_2_5,
    *_MESSAGES,
    *_SERVICE,
    *_CONTRACT,
    *_PROPOSAL,
    *_CLIENT,
    *_VERIFIER,
    *_JUDGED,
)
