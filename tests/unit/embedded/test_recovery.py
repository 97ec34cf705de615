"""A crash at every point, and files that were lost, cut off or damaged."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bfl_fabric.embedded import chain, ledger
from bfl_fabric.embedded.blockfile import Disk
from bfl_fabric.embedded.chain import Step
from bfl_fabric.embedded.ledger import EmbeddedLedger
from bfl_fabric.embedded.statedb import BlockUpdate
from bfl_fabric.errors import ConfigurationError, MalformedInput, StorageFull
from bfl_fabric.fabric.envelopes import ValidationCode
from tests.unit.embedded import workbench
from tests.unit.embedded.workbench import Bench, Killed, dump, kill_at, opened, stored_blocks


def crashed(directory: Path, step: Step) -> str:
    """Let the process die at this step of committing a block, and return the transaction's id."""
    bench = workbench.reopen(directory, watch=kill_at(step))
    transaction = bench.order("put", "key", "value")
    with pytest.raises(Killed):
        bench.ledger.cut(force=True)
    bench.ledger.close()
    return transaction


@pytest.mark.parametrize("step", list(Step))
def test_after_a_crash_a_block_is_there_wholly_or_not_at_all(directory: Path, step: Step) -> None:
    transaction = crashed(directory, step)
    with opened(directory) as bench:
        survived = step is not Step.VALIDATED
        assert bench.ledger.height == (3 if survived else 2)
        assert bench.code(transaction) is (ValidationCode.VALID if survived else None)
        assert bench.evaluate("get", "key") == (b"value" if survived else b"")
        bench.verify()


@pytest.mark.parametrize("step", list(Step))
def test_after_a_crash_the_ledger_goes_on(directory: Path, step: Step) -> None:
    crashed(directory, step)
    with opened(directory) as bench:
        bench.submit("append", "other", "x")
        bench.submit("append", "other", "y")
        assert bench.evaluate("get", "other") == b"xy"
        bench.verify()


def test_a_second_crash_while_recovering_does_no_harm(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction = crashed(directory, Step.APPENDED)

    def die(*arguments: object) -> None:
        raise Killed

    monkeypatch.setattr(chain, "judge_block", die)
    for _ in range(2):
        with pytest.raises(Killed):
            workbench.reopen(directory)
    monkeypatch.undo()
    with opened(directory) as bench:
        assert bench.code(transaction) is ValidationCode.VALID
        bench.verify()


def test_a_damaged_block_with_others_behind_it_is_not_cut_off(directory: Path, tmp_path: Path) -> None:
    old = shutil.copytree(directory, tmp_path / "old")
    size = (directory / "blocks.bin").stat().st_size
    with opened(directory) as bench:
        bench.submit("put", "key", "a")
        bench.submit("put", "key", "b")
    shutil.copy(old / "state.db", directory / "state.db")
    content = bytearray((directory / "blocks.bin").read_bytes())
    content[size + 100] ^= 1
    (directory / "blocks.bin").write_bytes(content)
    with pytest.raises(MalformedInput, match="others follow it"):
        workbench.reopen(directory)
    assert (directory / "blocks.bin").read_bytes() == bytes(content)


def test_power_loss_at_any_byte_of_an_append_loses_only_that_block(directory: Path, tmp_path: Path) -> None:
    with opened(directory) as bench:
        kept = bench.submit("put", "kept", "value")
    before = (directory / "blocks.bin").stat().st_size
    state = tmp_path / "state before"
    shutil.copytree(directory, state)
    lost = crashed(directory, Step.APPENDED)
    whole = (directory / "blocks.bin").read_bytes()
    for cut in range(before, len(whole), 97):
        victim = tmp_path / f"cut at {cut}"
        shutil.copytree(state, victim)
        (victim / "blocks.bin").write_bytes(whole[:cut])
        with opened(victim) as bench:
            assert bench.code(kept) is ValidationCode.VALID
            assert bench.code(lost) is None
            assert (victim / "blocks.bin").stat().st_size == before
        torn = list(victim.glob("blocks.bin.torn-*"))
        assert [file.read_bytes() for file in torn] == ([whole[before:cut]] if cut > before else [])


@pytest.mark.parametrize("filler", [b"\x00", b"\xff", b"\x05garbage"])
def test_a_tail_that_never_was_a_block_is_set_aside(directory: Path, filler: bytes) -> None:
    blocks = directory / "blocks.bin"
    size = blocks.stat().st_size
    blocks.write_bytes(blocks.read_bytes() + filler)
    with opened(directory) as bench:
        assert bench.ledger.height == 2
        bench.submit("put", "key", "value")
    assert len(list(directory.glob(f"blocks.bin.torn-{size}"))) == 1
    assert len(stored_blocks(directory)) == 3


def test_a_lost_state_database_is_made_again_from_the_blocks(directory: Path) -> None:
    with opened(directory) as bench:
        for number in range(25):
            bench.order("append", f"key {number % 4}", "x")
        bench.ledger.cut(force=True)
        bench.submit("event", "name", "payload")
        bench.submit("delete", "key 1")
    before = dump(directory)
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (directory / name).unlink(missing_ok=True)
    with opened(directory) as bench:
        assert bench.evaluate("get", "key 0") == b"x"
        bench.verify()
    assert dump(directory) == before


def test_an_older_state_database_catches_up(directory: Path, tmp_path: Path) -> None:
    with opened(directory) as bench:
        bench.submit("put", "key", "a")
    old = shutil.copytree(directory, tmp_path / "old")
    with opened(directory) as bench:
        for text in "bc":
            bench.submit("append", "key", text)
    expected = dump(directory)
    shutil.copy(old / "state.db", directory / "state.db")
    with opened(directory) as bench:
        assert bench.evaluate("get", "key") == b"abc"
    assert dump(directory) == expected


def test_a_block_file_shorter_than_the_state_is_refused(directory: Path) -> None:
    with opened(directory) as bench:
        bench.submit("put", "key", "value")
    blocks = directory / "blocks.bin"
    blocks.write_bytes(blocks.read_bytes()[:-1])
    with pytest.raises(MalformedInput, match="the state knows"):
        workbench.reopen(directory)
    assert blocks.exists()


def test_a_damaged_block_is_refused_when_the_state_is_made_again(directory: Path) -> None:
    with opened(directory) as bench:
        bench.submit("put", "key", "value")
        bench.submit("put", "key", "other")
    blocks = directory / "blocks.bin"
    content = bytearray(blocks.read_bytes())
    content[len(content) // 2] ^= 1
    blocks.write_bytes(content)
    (directory / "state.db").unlink()
    with pytest.raises(MalformedInput):
        workbench.reopen(directory)
    assert blocks.read_bytes() == bytes(content)


def test_a_state_database_of_garbage_is_named(directory: Path) -> None:
    for name in ("state.db-wal", "state.db-shm"):
        (directory / name).unlink(missing_ok=True)
    (directory / "state.db").write_bytes(b"garbage " * 1000)
    with pytest.raises(MalformedInput, match="rebuilt from the blocks"):
        workbench.reopen(directory)


def test_a_directory_without_a_ledger_is_named(tmp_path: Path) -> None:
    made = workbench.federation()
    with pytest.raises(ConfigurationError, match="no ledger here"):
        EmbeddedLedger.open(
            tmp_path, made.peers, made.orderer, workbench.ProbeContract, workbench.BenchClock()
        )


def test_a_ledger_is_not_made_twice(directory: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is a ledger already"):
        workbench.create(directory)


def test_a_crash_while_a_ledger_is_made_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*arguments: object) -> None:
        raise Killed

    monkeypatch.setattr(ledger, "deployment_envelope", die)
    with pytest.raises(Killed):
        workbench.create(tmp_path / "ledger")
    assert not EmbeddedLedger.exists(tmp_path / "ledger")
    monkeypatch.undo()
    bench = workbench.create(tmp_path / "ledger")
    assert bench.ledger.height == 2
    bench.ledger.close()


def test_private_values_survive_a_crash_between_block_and_state(directory: Path) -> None:
    bench = workbench.reopen(directory, watch=kill_at(Step.APPENDED))
    bench.order("put_private", "shared", "key", value=b"secret")
    with pytest.raises(Killed):
        bench.ledger.cut(force=True)
    bench.ledger.close()
    with opened(directory) as again:
        assert again.evaluate("get_private", "shared", "key") == b"secret"


def test_without_the_state_database_private_values_are_missed_and_not_invented(directory: Path) -> None:
    with opened(directory) as bench:
        bench.submit("put_private", "shared", "key", value=b"secret")
    (directory / "state.db").unlink()
    with opened(directory) as bench:
        assert bench.evaluate("hash_private", "shared", "key")
        with pytest.raises(Exception, match="private data matching public hash version is not available"):
            bench.evaluate("get_private", "shared", "key")


def test_transactions_that_wait_are_gone_after_a_restart_and_nobody_was_promised_them(
    directory: Path,
) -> None:
    with opened(directory) as bench:
        transaction = bench.order("put", "key", "value")
    with opened(directory) as bench:
        assert bench.code(transaction) is None
        assert bench.evaluate("get", "key") == b""


def test_replaying_from_the_first_block_gives_equal_state(bench: Bench, directory: Path) -> None:
    for number in range(30):
        bench.order("append", f"key {number % 5}", str(number % 10))
        if number % 7 == 0:
            bench.ledger.cut(force=True)
    bench.submit("composite_put", "value", "kind", "a", "b")
    verifier = bench.verify()
    replayed = verifier.state.public(workbench.CHAINCODE)
    rows = dump(directory)["state"]
    stored = {key.decode(): value for namespace, key, value, *_ in rows if namespace == workbench.CHAINCODE}
    assert dict(replayed) == stored
    assert bench.ledger._chain._tip.commit_hash.hex() == verifier.commit_hash


def failing_once(original: Any, error: Exception, *, applies: bool) -> Any:
    """Return a `commit` of the state database that fails the first time, after it has worked or before."""
    failures = [error]

    def commit(update: BlockUpdate) -> None:
        if not failures:
            original(update)
            return
        if applies:
            original(update)
        raise failures.pop()

    return commit


@pytest.mark.parametrize("applies", [False, True])
def test_a_state_database_that_fails_once_makes_no_second_block(
    bench: Bench, directory: Path, applies: bool
) -> None:
    """Also when it reports a failure although the change got through, as a failed sync may."""
    database = bench.ledger._chain._opened
    database.commit = failing_once(  # type: ignore[method-assign]
        database.commit, StorageFull("no room"), applies=applies
    )
    transaction = bench.order("append", "key", "x")
    with pytest.raises(StorageFull):
        bench.ledger.cut(force=True)
    assert bench.ledger.storage_problem == "no room"
    assert bench.ledger.cut() == [2]
    assert bench.ledger.storage_problem == ""
    assert len(stored_blocks(directory)) == 3
    assert bench.code(transaction) is ValidationCode.VALID
    bench.submit("append", "key", "y")
    assert bench.evaluate("get", "key") == b"xy"
    bench.verify()


def test_a_block_whose_state_could_not_be_stored_is_there_after_a_restart(directory: Path) -> None:
    bench = workbench.reopen(directory)
    database = bench.ledger._chain._opened
    database.commit = failing_once(  # type: ignore[method-assign]
        database.commit, StorageFull("no room"), applies=False
    )
    transaction = bench.order("put", "key", "x")
    with pytest.raises(StorageFull):
        bench.ledger.cut(force=True)
    bench.ledger.close()
    with opened(directory) as again:
        assert again.code(transaction) is ValidationCode.VALID
        again.verify()


class CountingDisk(Disk):
    def __init__(self) -> None:
        self.calls: list[str] = []

    def write(self, descriptor: int, data: memoryview) -> int:
        self.calls.append("write")
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self.calls.append("sync")
        super().sync(descriptor)


def test_a_block_is_synced_before_its_state_is_applied(directory: Path) -> None:
    disk = CountingDisk()
    seen: list[tuple[Step, tuple[str, ...]]] = []
    bench = workbench.reopen(directory, disk=disk, watch=lambda step: seen.append((step, tuple(disk.calls))))
    bench.submit("put", "key", "value")
    bench.ledger.close()
    assert seen == [
        (Step.VALIDATED, ()),
        (Step.APPENDED, ("write", "sync")),
        (Step.APPLIED, ("write", "sync")),
    ]
