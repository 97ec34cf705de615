"""The whole audit on a real chain: signed proposals, endorsements, blocks, and what happens when they are touched."""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from bfl_chaincode.rules import accounts, rewards, selection
from bfl_fabric.audit.blobs import DirectoryFinder
from bfl_fabric.audit.chain import read_chain
from bfl_fabric.audit.findings import AuditReport, Check, Findings
from bfl_fabric.audit.source import read_block_file
from bfl_fabric.audit.verify import verify_run
from tests.unit.audit.chain_run import CHAINCODE, ChainRun, SharedChainRun
from tests.unit.audit.honest_run import ARITHMETIC, sha256

OF_SHARED_KEYS = {
    Check.CEREMONIES,
    Check.JOINT_KEYS,
    Check.GRANTS,
    Check.MASKS,
    Check.OPENINGS,
    Check.SHARES,
}


def _checks(report: AuditReport) -> set[Check]:
    return {failure.check for failure in report.failures}


def test_an_honest_chain_passes_and_every_check_has_looked_at_something(chain: ChainRun) -> None:
    report = chain.audit_chain(state_database=chain.directory / "state.db")
    assert report.failures == ()
    assert report.passed
    assert report.height == chain.embedded.height
    assert report.count(Check.TRANSACTIONS) == report.height
    needed = 4  # by the orderer, the sender, and two of three endorsers; nobody signs the first block
    assert report.count(Check.SIGNATURES) == needed * (report.height - 1)
    assert {check.value for check in Check} - OF_SHARED_KEYS == {name for name, _ in report.counts}


def test_a_chain_with_a_joint_key_passes(tmp_path: Path) -> None:
    run = SharedChainRun(tmp_path)
    run.whole()
    try:
        report = run.audit_chain(state_database=run.directory / "state.db")
    finally:
        run.embedded.close()
    assert report.failures == ()
    assert report.passed
    assert {name for name, _ in report.counts} >= OF_SHARED_KEYS - {Check.GRANTS}


def test_two_audits_of_one_chain_make_the_same_report(chain: ChainRun) -> None:
    assert chain.audit_chain().digest == chain.audit_chain(list(read_block_file(chain.block_file))).digest


def test_progress_is_told_while_the_audit_runs(chain: ChainRun) -> None:
    told: list[tuple[Check, int]] = []
    finder = DirectoryFinder([chain.store])
    blocks = read_block_file(chain.block_file)
    report = verify_run(
        blocks,
        chain.genesis_digest,
        finder,
        chain.provider,
        ARITHMETIC,
        progress=lambda check, count: told.append((check, count)),
    )
    assert dict(told) == {Check(name): count for name, count in report.counts}


@pytest.mark.parametrize("seed", range(8))
def test_any_flipped_byte_of_the_block_file_is_found_and_its_block_named(
    chain: ChainRun, seed: int, tmp_path: Path
) -> None:
    """25 bytes for each of 8 seeds: 200 in all."""
    source, whole = random.Random(seed), chain.block_file.read_bytes()
    starts = _starts(chain)
    path = tmp_path / "blocks.bin"
    for _ in range(25):
        place = source.randrange(len(whole))
        changed = whole[place] ^ (1 << source.randrange(8))
        path.write_bytes(whole[:place] + bytes([changed]) + whole[place + 1 :])
        findings = Findings()
        read_chain(read_block_file(path), chain.genesis_digest, CHAINCODE, findings)
        assert [failure.check for failure in findings.failures] == [Check.BLOCKS], place
        (failure,) = findings.failures
        number = sum(1 for start in starts if start <= place) - 1
        assert number <= failure.block <= number + 1, (place, str(failure))
        assert f"block {failure.block}" in failure.message


def test_a_flipped_byte_ends_the_chain_and_the_rest_is_checked_as_far_as_it_goes(
    chain: ChainRun, tmp_path: Path
) -> None:
    blocks = list(read_block_file(chain.block_file))
    evaluation = blocks[-4]
    blocks[-4] = evaluation[:-200] + bytes([evaluation[-200] ^ 1]) + evaluation[-199:]
    report = chain.audit_chain(blocks)
    assert not report.passed
    assert report.height == len(blocks) - 4
    assert report.count(Check.AGGREGATES) == 2
    assert report.count(Check.BLOBS) > 0
    assert report.count(Check.EVALUATIONS) == 0
    assert _checks(report) == {Check.BLOCKS}


def test_blobs_are_checked_though_the_chain_cannot_be_read_at_all(chain: ChainRun, tmp_path: Path) -> None:
    shutil.copytree(chain.store / "blobs", tmp_path / "blobs")
    altered = next(path for path in sorted(tmp_path.rglob("*")) if path.is_file())
    altered.write_bytes(b"other")
    report = verify_run([], chain.genesis_digest, DirectoryFinder([tmp_path]), chain.provider, ARITHMETIC)
    assert _checks(report) == {Check.BLOCKS, Check.BLOBS}
    assert {failure.blob for failure in report.failures} == {"", altered.name}


def test_another_genesis_is_another_channel(chain: ChainRun) -> None:
    finder = DirectoryFinder([chain.store])
    blocks = read_block_file(chain.block_file)
    report = verify_run(blocks, sha256(b"other"), finder, chain.provider, ARITHMETIC)
    assert not report.passed
    assert report.height == 0
    assert report.tip_digest == ""


@pytest.mark.parametrize("change", ["removed", "doubled", "swapped"])
def test_blocks_stand_in_their_order_and_once(chain: ChainRun, change: str) -> None:
    blocks = list(read_block_file(chain.block_file))
    if change == "removed":
        del blocks[30]
    elif change == "doubled":
        blocks.insert(30, blocks[30])
    else:
        blocks[30], blocks[31] = blocks[31], blocks[30]
    report = chain.audit_chain(blocks)
    assert not report.passed
    assert any(failure.check is Check.BLOCKS and failure.block in (30, 31) for failure in report.failures)


def test_blocks_cut_off_at_the_end_are_missed_by_who_knows_a_later_one(chain: ChainRun) -> None:
    blocks = list(read_block_file(chain.block_file))
    tip = chain.audit_chain().tip_digest
    assert chain.audit_chain(known_block=tip).passed
    assert chain.audit_chain(blocks[:-1]).passed
    report = chain.audit_chain(blocks[:-1], known_block=tip)
    assert "blocks were cut off" in str(report.failures[0])


def test_the_state_database_of_the_ledger_is_compared_with_the_replay(
    chain: ChainRun, tmp_path: Path
) -> None:
    with sqlite3.connect(chain.directory / "state.db") as connection:
        connection.execute("VACUUM INTO ?", (str(tmp_path / "state.db"),))
    assert chain.audit_chain(state_database=tmp_path / "state.db").passed
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute("UPDATE state SET value = x'7b7d' WHERE instr(key, CAST('settlement' AS BLOB))")
    report = chain.audit_chain(state_database=tmp_path / "state.db")
    assert _checks(report) == {Check.STATE_ROWS}
    assert "settlement~cancer" in str(report.failures[0])


def test_another_chaincode_of_the_channel_is_nobodys_business_here(chain: ChainRun) -> None:
    report = chain.audit_chain(chaincode="elsewhere")
    assert report.count(Check.RECORDS) == 0
    assert report.count(Check.BLOCKS) == chain.embedded.height


# --- everybody lies together: a chain in perfect order whose contract was not the agreed one -------------


def _greedy(total: int, shares: dict[str, int]) -> dict[str, int]:
    return {name: total if name == min(shares) else 0 for name in sorted(shares)}


def test_a_chain_of_colluding_endorsers_who_pay_one_silo_everything_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewards, "largest_remainder", _greedy)
    run = ChainRun(tmp_path)
    run.begin()
    run.round()
    report = run.audit_chain()
    run.embedded.close()
    assert report.count(Check.BLOCKS) == report.height == run.embedded.height
    assert _checks(report) == {Check.PAYOUTS}
    assert "the payout of alpha-1 in round 1" in str(report.failures[0])


def test_a_chain_of_colluding_endorsers_who_draw_their_friends_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = selection.ticket

    def reversed_ticket(seed: str, name: str) -> str:
        return honest(seed, name).translate(str.maketrans("0123456789abcdef", "fedcba9876543210"))

    monkeypatch.setattr(selection, "ticket", reversed_ticket)
    run = ChainRun(tmp_path, cohort__target=3)
    run.begin()
    run.round()
    report = run.audit_chain()
    run.embedded.close()
    assert _checks(report) == {Check.COHORTS}
    assert "not the one that its seed draws" in str(report.failures[0])


def test_a_chain_of_colluding_endorsers_who_make_units_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = accounts.post

    def generous(movements, kind, reference, call):  # type: ignore[no-untyped-def]
        doubled = [(account, 2 * amount) for account, amount in movements]
        return honest(doubled if kind == "mint" else movements, kind, reference, call)

    monkeypatch.setattr(accounts, "post", generous)
    run = ChainRun(tmp_path)
    run.begin()
    report = run.audit_chain()
    run.embedded.close()
    assert _checks(report) == {Check.ENTRIES}
    assert "reward:Mint moved 10000 on account org:AlphaMSP, due were 5000" in str(report.failures[1])


def _starts(chain: ChainRun) -> list[int]:
    """Return where each block's record begins in the file."""
    starts, at = [], 0
    for block in read_block_file(chain.block_file):
        starts.append(at)
        at += len(block) + 1 + (len(block) > 127) + (len(block) > 16383)
    assert at == chain.block_file.stat().st_size
    return starts
