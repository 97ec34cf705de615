"""The memory of an audit: what it keeps of a transaction is some numbers, and nothing of its texts."""

from __future__ import annotations

import gc
import hashlib
import subprocess
import sys
import tracemalloc
from pathlib import Path

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import Receipt, to_json
from bfl_fabric.audit.findings import Findings
from bfl_fabric.audit.history import History
from bfl_fabric.audit.layout import types_of
from bfl_fabric.audit.transactions import Sender, Transaction

FIRST, TRANSACTIONS = 1_000, 10_000
MOST_BYTES = 110
"""Of a transaction and one record. Their texts are in spools, of 64 + 64 characters and more."""

SENDER = Sender("Meridian", "verifier-meridian", "client", "verifier")


def apply_receipt(history: History, number: int, findings: Findings) -> None:
    digest, identifier = (hashlib.sha256(f"{kind} {number}".encode()).hexdigest() for kind in ("d", "t"))
    round_, participant = number // 50, f"silo-{number % 50}"
    receipt = Receipt(
        task_id="rehearsal",
        round=round_,
        participant_id=participant,
        msp_id=SENDER.msp_id,
        digest=digest,
        acknowledged_at=number,
    )
    key = "\0".join(("", "receipt", "rehearsal", f"{round_:08d}", participant, SENDER.msp_id, ""))
    writes = [(key, canonical.dump(to_json(receipt)))]
    request = {"task_id": "rehearsal", "round": round_, "participant_id": participant, "digest": digest}
    transaction = Transaction(
        order=number,
        transaction_id=identifier,
        block=number // 14,
        name="round:AcknowledgeUploads",
        at=number,
        sender=SENDER,
        types=types_of(writes),
    )
    history.apply(transaction, canonical.dump(request), writes, findings)


def held_bytes() -> float:
    """Return how many bytes the history holds per transaction."""
    history, findings = History(), Findings()
    for number in range(FIRST):
        apply_receipt(history, number, findings)
    tracemalloc.start()
    for number in range(FIRST, TRANSACTIONS):
        apply_receipt(history, number, findings)
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    assert findings.failures == []
    assert sum(1 for _ in history.current(Receipt)) == TRANSACTIONS
    return held / (TRANSACTIONS - FIRST)


def test_a_transaction_and_its_record_take_a_bounded_number_of_bytes() -> None:
    """In an interpreter of its own, whose memory does not depend on the tests before."""
    script = f"from {__name__} import held_bytes; print(held_bytes())"
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=True)
    assert float(done.stdout) < MOST_BYTES
