"""The ledger by hand: what happens to transactions that share a block, and to those who may not be there."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bfl_fabric.embedded import statedb
from bfl_fabric.embedded.ledger import EmbeddedLedger
from bfl_fabric.errors import ConfigurationError, LedgerUnavailable, NotFound
from bfl_fabric.fabric.blocks import parse_block
from bfl_fabric.fabric.envelopes import ValidationCode, parse_envelope
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.fabric.policy import Role, role_principal, signature_policy_message
from bfl_fabric.fabric.wire import write
from tests.unit.embedded import workbench
from tests.unit.embedded.workbench import CHAINCODE, MSP_IDS, Bench, federation

VALID = ValidationCode.VALID


def cut(bench: Bench) -> list[int]:
    return bench.ledger.cut(force=True)


# --- blocks 0 and 1 -----------------------------------------------------------------------------


def test_a_new_ledger_has_its_configuration_and_its_chaincode(bench: Bench) -> None:
    assert bench.ledger.height == 2
    definition = parse_envelope(parse_block(bench.ledger.raw_block(1)).entries[0]).action()
    assert definition.chaincode == "_lifecycle"
    assert f"namespaces/fields/{CHAINCODE}/Sequence" in {item.key for item in definition.rwset[0].writes}
    assert bench.verify().counts.by_code["VALID"] == 2


def test_a_transaction_has_read_the_chaincodes_definition_as_on_fabric(bench: Bench) -> None:
    _, envelope = bench.endorse("put", "key", "value")
    parts = {part.namespace: part for part in parse_envelope(write(envelope)).action().rwset}
    (read,) = parts["_lifecycle"].reads
    assert (read.key, read.version) == (f"namespaces/fields/{CHAINCODE}/Sequence", (1, 0))


def test_the_genesis_digest_is_that_of_the_genesis_block(bench: Bench) -> None:
    assert bench.ledger.genesis_digest == parse_block(write(federation().genesis)).hash.hex()


def test_a_client_cannot_stand_in_for_a_peer(tmp_path: Path) -> None:
    made = federation()
    with pytest.raises(ConfigurationError, match="could not be defined"):
        EmbeddedLedger.create(
            tmp_path / "ledger",
            made.genesis,
            made.clients,
            made.orderer,
            CHAINCODE,
            workbench.ProbeContract,
            workbench.BenchClock(),
        )


def test_a_peer_cannot_stand_in_for_the_orderer(tmp_path: Path) -> None:
    made = federation()
    with pytest.raises(ConfigurationError, match="not an orderer of the channel"):
        EmbeddedLedger.create(
            tmp_path / "ledger",
            made.genesis,
            made.peers,
            made.peers[0],
            CHAINCODE,
            workbench.ProbeContract,
            workbench.BenchClock(),
        )


def test_too_few_peers_cannot_define_a_chaincode(tmp_path: Path) -> None:
    made = federation()
    with pytest.raises(ConfigurationError, match="could not be defined"):
        EmbeddedLedger.create(
            tmp_path / "ledger",
            made.genesis,
            made.peers[:1],
            made.orderer,
            CHAINCODE,
            workbench.ProbeContract,
            workbench.BenchClock(),
        )
    assert not EmbeddedLedger.exists(tmp_path / "ledger")


# --- one process --------------------------------------------------------------------------------


def test_a_second_process_is_told_who_has_the_ledger(bench: Bench, directory: Path) -> None:
    with pytest.raises(LedgerUnavailable, match=f"in use by process {os.getpid()}"):
        workbench.reopen(directory)


def test_a_process_that_was_killed_does_not_keep_the_ledger(directory: Path) -> None:
    script = (
        "import sys, pathlib, time\n"
        "from bfl_fabric.embedded.lockfile import DirectoryLock\n"
        "lock = DirectoryLock(pathlib.Path(sys.argv[1]))\n"
        "print('locked', flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(directory)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(LedgerUnavailable, match=f"in use by process {process.pid}"):
            workbench.reopen(directory)
    finally:
        process.kill()
        process.wait()
    workbench.reopen(directory).ledger.close()


def test_a_closed_ledger_answers_nothing(bench: Bench) -> None:
    bench.ledger.close()
    bench.ledger.close()
    with pytest.raises(ConfigurationError, match="closed"):
        bench.ledger.raw_block(0)


# --- transactions of one block ------------------------------------------------------------------


def test_of_two_conflicting_transactions_of_a_block_the_first_is_valid(bench: Bench) -> None:
    first, second = bench.order("append", "key", "a"), bench.order("append", "key", "b")
    assert cut(bench) == [2]
    assert [bench.code(first), bench.code(second)] == [VALID, ValidationCode.MVCC_READ_CONFLICT]
    assert bench.evaluate("get", "key") == b"a"
    bench.verify()


def test_an_invalid_transaction_does_not_make_the_next_one_conflict(bench: Bench) -> None:
    wrong = bench.order("append", "key", "a", organizations=MSP_IDS[:1])
    right = bench.order("append", "key", "b")
    cut(bench)
    assert [bench.code(wrong), bench.code(right)] == [ValidationCode.ENDORSEMENT_POLICY_FAILURE, VALID]
    assert bench.evaluate("get", "key") == b"b"
    bench.verify()


@pytest.mark.parametrize(("rows", "inserted"), [(0, "r/a"), (3, "r/0005"), (60, "r/0005"), (60, "r/z")])
def test_a_key_inserted_earlier_in_the_block_is_a_phantom(bench: Bench, rows: int, inserted: str) -> None:
    if rows:
        bench.submit("put", *[text for n in range(rows) for text in (f"r/{n:03}", "x")])
    insertion = bench.order("put", inserted, "x")
    counting = bench.order("range_then_put", "r/", "r/~", "count")
    cut(bench)
    assert [bench.code(insertion), bench.code(counting)] == [VALID, ValidationCode.PHANTOM_READ_CONFLICT]
    bench.verify()


def test_a_key_deleted_earlier_in_the_block_is_a_phantom(bench: Bench) -> None:
    bench.submit("put", "r/a", "x", "r/b", "x")
    bench.order("delete", "r/a")
    counting = bench.order("range_then_put", "r/", "r/~", "count")
    cut(bench)
    assert bench.code(counting) is ValidationCode.PHANTOM_READ_CONFLICT


def test_the_same_transaction_twice_in_a_block_counts_once(bench: Bench) -> None:
    transaction, envelope = bench.endorse("append", "key", "x")
    bench.ledger.order(envelope)
    bench.ledger.order(envelope)
    (number,) = cut(bench)
    flags = parse_block(bench.ledger.raw_block(number)).flags
    assert list(flags) == [VALID, ValidationCode.DUPLICATE_TXID]
    assert bench.code(transaction) is VALID
    assert bench.evaluate("get", "key") == b"x"
    bench.verify()


def test_a_transaction_of_an_earlier_block_is_a_duplicate(bench: Bench) -> None:
    transaction, envelope = bench.endorse("append", "key", "x")
    bench.ledger.order(envelope)
    cut(bench)
    bench.ledger.order(envelope)
    (number,) = cut(bench)
    assert list(parse_block(bench.ledger.raw_block(number)).flags) == [ValidationCode.DUPLICATE_TXID]
    assert bench.code(transaction) is VALID
    bench.verify()


def test_a_write_behind_a_change_of_its_keys_policy_fails(bench: Bench) -> None:
    bench.submit("put", "key", "old")
    peer = signature_policy_message(1, [role_principal(MSP_IDS[0], Role.PEER)])
    change = bench.order("set_policy", "key", write(peer).hex())
    late = bench.order("put", "key", "new")
    cut(bench)
    assert [bench.code(change), bench.code(late)] == [VALID, ValidationCode.ENDORSEMENT_POLICY_FAILURE]
    bench.verify()


def test_a_hundred_writers_in_one_go_are_all_valid(bench: Bench) -> None:
    transactions = [bench.order("append", f"writer {number:03}", "x") for number in range(100)]
    assert len(cut(bench)) == 10
    assert {bench.code(transaction) for transaction in transactions} == {VALID}
    assert bench.verify().counts.by_code["VALID"] == 102


# --- ordering -----------------------------------------------------------------------------------


def test_a_batch_is_cut_when_it_is_full(bench: Bench) -> None:
    for number in range(9):
        bench.order("put", f"key {number}", "x")
    assert bench.ledger.cut() == []
    bench.order("put", "key 9", "x")
    assert bench.ledger.cut_due_at_ms() == 0
    assert bench.ledger.cut() == [2]
    assert len(parse_block(bench.ledger.raw_block(2)).entries) == 10


def test_a_batch_is_cut_when_its_time_is_over(bench: Bench) -> None:
    assert bench.ledger.cut_due_at_ms() is None
    bench.order("put", "key", "x")
    due = bench.ledger.cut_due_at_ms()
    assert due == bench.clock.at_ms + 100
    bench.clock.at_ms = due - 1
    assert bench.ledger.cut() == []
    bench.clock.at_ms = due
    assert bench.ledger.cut() == [2]
    assert bench.ledger.cut_due_at_ms() is None


def test_entries_are_stored_without_what_fabric_does_not_know(bench: Bench) -> None:
    """Unknown fields would make an envelope that no strict reader takes."""
    transaction, envelope = bench.endorse("put", "key", "x")
    envelope.MergeFromString(b"\x9a\x06\x03abc")
    bench.ledger.order(envelope)
    cut(bench)
    assert bench.code(transaction) is VALID
    bench.verify()


# --- reading ------------------------------------------------------------------------------------


def test_a_block_that_is_not_there_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFound, match="the chain has 2"):
        bench.ledger.raw_block(2)


def test_private_values_leave_the_disk_when_they_are_purged(bench: Bench, directory: Path) -> None:
    secret = b"a secret that must be forgotten"
    bench.submit("put_private", "shared", "key", value=secret)
    assert _holds(directory, secret)
    bench.submit("purge_private", "shared", "key", organizations=MSP_IDS[:2])
    assert not _holds(directory, secret)
    bench.verify()


def test_private_values_of_a_transaction_that_was_never_ordered_are_dropped_in_time(
    bench: Bench, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statedb, "TRANSIENT_BLOCKS", 2)
    bench.endorse("put_private", "shared", "key", value=b"never ordered")
    for number in range(4):
        bench.submit("put", f"key {number}", "x")
    bench.submit("purge_private", "shared", "other", organizations=MSP_IDS[:2])
    assert not _holds(directory, b"never ordered")


def _holds(directory: Path, needle: bytes) -> bool:
    return any(needle in path.read_bytes() for path in directory.iterdir() if path.is_file())


# --- peers and time -----------------------------------------------------------------------------


def test_an_unknown_status_of_the_contract_is_no_endorsement(bench: Bench) -> None:
    with pytest.raises(GatewayFailure) as caught:
        bench.endorse("answer", "450", "no")
    assert caught.value.status is GatewayStatus.ABORTED


def test_a_proposal_is_measured_by_the_ledgers_clock(bench: Bench) -> None:
    _, signed = bench.signed("get", "key")
    bench.clock.at_ms += 15 * 60_000 + 1
    with pytest.raises(GatewayFailure, match="incorrect timestamp") as caught:
        bench.ledger.evaluate(signed)
    assert caught.value.status is GatewayStatus.UNAVAILABLE


def test_a_certificate_is_good_only_in_its_time(bench: Bench) -> None:
    bench.clock.at_ms += 2 * 24 * 3600 * 1000
    with pytest.raises(GatewayFailure, match="identity expired"):
        bench.evaluate("get", "key")


# --- the state database -------------------------------------------------------------------------


def test_nobody_else_can_read_the_files(bench: Bench, directory: Path) -> None:
    bench.submit("put", "key", "value")
    modes = {path.name: path.stat().st_mode & 0o077 for path in directory.iterdir()}
    assert set(modes.values()) == {0}, modes


def test_refused_transactions_leave_no_connections_behind(bench: Bench) -> None:
    for _ in range(20):
        with pytest.raises(GatewayFailure):
            bench.evaluate("fail", "no")
    assert len(os.listdir(f"/proc/{os.getpid()}/fd")) < 200
    assert len(bench.ledger._chain._opened._idle) == 1


def test_many_threads_may_read_while_blocks_are_committed(bench: Bench) -> None:
    bench.submit("put", "key", "0")

    def read_often(_: int) -> set[bytes]:
        return {bench.evaluate("get", "key") for _ in range(10)}

    with ThreadPoolExecutor(4) as pool:
        readings = [pool.submit(read_often, number) for number in range(4)]
        for number in range(1, 8):
            bench.submit("put", "key", str(number))
        seen = set.union(*(reading.result() for reading in readings))
    assert seen <= {str(number).encode() for number in range(8)}
