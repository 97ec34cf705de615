"""A process that commits as fast as it can and prints what was acknowledged; tests kill it or take its disk away.

python -m tests.unit.embedded.committing_process load DIRECTORY FEDERATION
python -m tests.unit.embedded.committing_process full DIRECTORY FEDERATION BYTES
"""

from __future__ import annotations

import asyncio
import itertools
import resource
import secrets
import sys
from pathlib import Path

from fabric_protos.gateway import gateway_pb2

from bfl_fabric.clock import SystemClock
from bfl_fabric.embedded.ledger import EmbeddedLedger
from bfl_fabric.embedded.service import InProcessGateway, LedgerService
from bfl_fabric.errors import StorageFull
from bfl_fabric.fabric.endorsement import sign_envelope
from bfl_fabric.fabric.envelopes import ValidationCode
from bfl_fabric.fabric.proposal import Invocation, build_proposal, sign_proposal
from bfl_fabric.fabric.wire import write
from tests.conformance.federation import CHAINCODE, CHANNEL, SavedFederation
from tests.conformance.probe_contract import ProbeContract

WRITERS = 8


def open_ledger(directory: Path, federation: SavedFederation) -> EmbeddedLedger:
    return EmbeddedLedger.open(directory, federation.peers, federation.orderer, ProbeContract, SystemClock())


def signed(federation: SavedFederation, *arguments: str):  # type: ignore[no-untyped-def]
    client = federation.clients[0]
    invocation = Invocation(CHANNEL, CHAINCODE, tuple(text.encode() for text in arguments))
    nonce = secrets.token_bytes(24)
    proposal = build_proposal(invocation, client.creator, nonce, SystemClock().now_ms())
    return proposal.transaction_id, sign_proposal(proposal, client)


async def write_on_and_on(gateway: InProcessGateway, federation: SavedFederation, writer: int) -> None:
    client = federation.clients[0]
    for number in itertools.count():
        transaction, proposal = signed(federation, "append", f"writer {writer}", f"{number % 10}")
        request = gateway_pb2.EndorseRequest(proposed_transaction=proposal)
        prepared = (await gateway.endorse(request, 20)).prepared_transaction
        envelope = sign_envelope(prepared.payload, client)
        await gateway.submit(gateway_pb2.SubmitRequest(prepared_transaction=envelope), 20)
        asked = write(
            gateway_pb2.CommitStatusRequest(
                transaction_id=transaction, channel_id=CHANNEL, identity=client.creator
            )
        )
        question = gateway_pb2.SignedCommitStatusRequest(request=asked, signature=client.sign(asked))
        status = await gateway.commit_status(question, 20)
        assert status.result == ValidationCode.VALID
        print(transaction, flush=True)


async def load(directory: Path, federation: SavedFederation) -> None:
    service = LedgerService(open_ledger(directory, federation), SystemClock())
    await service.start()
    print("started", flush=True)
    gateway = InProcessGateway(service)
    await asyncio.gather(*(write_on_and_on(gateway, federation, writer) for writer in range(WRITERS)))


def full(directory: Path, federation: SavedFederation, room: int) -> None:
    """Commit until no file may grow any more, then with room again."""
    ledger = open_ledger(directory, federation)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    used = max(path.stat().st_size for path in directory.iterdir() if path.is_file())
    resource.setrlimit(resource.RLIMIT_FSIZE, (used + room, hard))
    waiting = ""
    for number in itertools.count():
        transaction, proposal = signed(federation, "put", f"key {number}", "x" * 1000)
        ledger.order(sign_envelope(ledger.endorse(proposal).payload, federation.clients[0]))
        try:
            ledger.cut(force=True)
        except StorageFull as error:
            print(f"full: {error}", flush=True)
            waiting = transaction
            break
        print(transaction, flush=True)
    assert ledger.transaction_status(waiting) is None
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    ledger.cut(force=True)
    assert ledger.transaction_status(waiting) is not None
    print(waiting, flush=True)
    ledger.close()
    print("closed", flush=True)


def main(arguments: list[str]) -> None:
    directory, federation = Path(arguments[1]), SavedFederation.load(Path(arguments[2]))
    if arguments[0] == "load":
        asyncio.run(load(directory, federation))
    else:
        full(directory, federation, int(arguments[3]))


if __name__ == "__main__":
    main(sys.argv[1:])
