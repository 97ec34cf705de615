"""The tables of the contract's README say what the code does: no row missing, none too many, none wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

import bfl_chaincode
from bfl_chaincode.api import canonical, records, refusals
from bfl_chaincode.api.events import ContractEvent
from bfl_chaincode.main import TRANSACTIONS
from tests.chaincode.contract_reading import COMMON, COMMON_TO_SUBMISSIONS, reachable
from tests.chaincode.coverage_run import observed
from tests.chaincode.refusal_cases import CASES

README = Path(bfl_chaincode.__file__).parents[1] / "README.md"


@dataclass(frozen=True, slots=True)
class Row:
    caller: str
    reads: frozenset[str]
    writes: frozenset[str]
    event: str
    codes: frozenset[int]
    guards: frozenset[int]


def _cells(heading: str) -> list[list[str]]:
    section = README.read_text("utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def _words(cell: str) -> frozenset[str]:
    return frozenset() if cell == "–" else frozenset(cell.split())


def _rows() -> dict[str, Row]:
    found = {}
    for name, caller, reads, writes, event, codes in _cells("Transactions"):
        plain = frozenset(map(int, re.findall(r"(?<!\()\b\d{3}\b", codes)))
        guards = frozenset(map(int, re.findall(r"\((\d{3})\)", codes)))
        found[name.strip("`")] = Row(caller, _words(reads), _words(writes), event, plain, guards)
    return found


def test_the_readme_has_a_row_for_every_transaction_and_no_other() -> None:
    assert list(_rows()) == list(TRANSACTIONS)


@pytest.mark.parametrize("transaction", TRANSACTIONS)
def test_a_transaction_reads_and_writes_the_keys_of_its_row(transaction: str) -> None:
    row, seen = _rows()[transaction], observed()[transaction]
    assert row.reads == seen.reads
    assert row.writes == seen.writes


@pytest.mark.parametrize("transaction", TRANSACTIONS)
def test_a_submission_sets_one_event_of_its_own_name_and_a_query_none(transaction: str) -> None:
    row, seen = _rows()[transaction], observed()[transaction]
    if TRANSACTIONS[transaction]:
        assert row.event == "–"
        assert row.caller == "anyone"
        assert (seen.events, seen.writes) == (set(), set())
        return
    assert seen.events == {transaction}
    for payload in seen.payloads:
        event = records.from_json(ContractEvent, canonical.parse(payload))
        assert f"{event.contract}:{event.transaction}" == transaction
        assert bool(event.refs) == (row.event != "none")
        assert canonical.dump(records.to_json(event)) == payload


def test_every_query_reads_what_it_answers_from() -> None:
    for transaction in TRANSACTIONS:
        assert observed()[transaction].reads or transaction == "federation:WhoAmI"


@pytest.mark.parametrize("transaction", TRANSACTIONS)
def test_the_codes_of_a_row_are_those_that_the_code_can_reach(transaction: str) -> None:
    row = _rows()[transaction]
    assert row.codes | row.guards == reachable(transaction)
    assert not row.codes & row.guards


@pytest.mark.parametrize("transaction", TRANSACTIONS)
def test_every_code_of_a_row_has_a_case_that_provokes_it(transaction: str) -> None:
    provoked = {case.code for case in CASES if case.transaction == transaction}
    assert _rows()[transaction].codes == provoked


def test_the_readme_lists_every_refusal_with_its_rule_and_remedy() -> None:
    listed = [tuple(row) for row in _cells("Refusals")]
    assert listed == [
        (str(code), kind.__name__, kind.rule, kind.remedy) for code, kind in refusals.registry().items()
    ]


def test_codes_are_unique_and_every_code_belongs_to_a_row_or_to_all() -> None:
    kinds = refusals.RuleRefusal.__subclasses__()
    assert len(refusals.registry()) == len(kinds)
    in_rows = {code for row in _rows().values() for code in row.codes | row.guards}
    assert in_rows | COMMON | COMMON_TO_SUBMISSIONS == set(refusals.registry())


def test_refusals_are_worded_for_people() -> None:
    for kind in refusals.registry().values():
        assert kind.rule
        assert kind.remedy
        assert not kind.rule.endswith(".")
        assert 100 < kind.code < 1000
