"""The page on encryption names the test of every attack: the names are held to tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
PAGES = ("encryption.md", "wire-format.md")
ATTACKS = {
    "key recovery from opened aggregates": {"ckks", "packed", "threshold"},
    "crafted c1": {"ckks", "packed", "threshold"},
    "repeated query": {"ckks", "packed", "threshold"},
    "averaging": {"ckks", "packed", "threshold"},
    "differencing": {"ckks", "packed", "threshold"},
    "aggregator + client": {"ckks", "packed", "threshold"},
    "rogue key": {"threshold"},
    "replayed seed": {"ckks", "packed", "threshold"},
    "share for another epoch": {"ckks", "packed", "threshold"},
    "secret words in memory": {"ckks", "packed", "threshold"},
}
"""Every attack that must be carried out, and the schemes in which it makes sense."""


def table() -> list[list[str]]:
    """Return the cells of each row of the table of attacks."""
    page = (DOCS / "encryption.md").read_text("utf-8")
    section = page.split("## Attacks, and the test of each\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


@cache
def functions_of(path: Path) -> frozenset[str]:
    """Return the names of a test file's functions."""
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("row", table(), ids=lambda row: f"{row[0]}-{row[2]}")
def test_every_test_that_the_table_names_exists(row: list[str]) -> None:
    attack, has, scheme, measured, tests = row
    assert all((attack, has, scheme, measured))
    named = re.fullmatch(r"`([\w/.]+::test_\w+)`(<br>`[\w/.]+::test_\w+`)*", tests)
    assert named, f"{attack}: not a list of tests: {tests}"
    for name in re.findall(r"`([^`]+)`", tests):
        file, function = name.split("::")
        assert function in functions_of(TESTS / file), f"there is no test {name}"


def test_every_attack_is_in_the_table_for_every_scheme_in_which_it_makes_sense() -> None:
    found: dict[str, set[str]] = {}
    for attack, _, scheme, *_ in table():
        found.setdefault(attack, set()).update(re.findall(r"\b(ckks|packed|threshold)\b", scheme))
    for attack, schemes in ATTACKS.items():
        assert schemes <= found[attack], attack


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_elsewhere_exists_too(page: str) -> None:
    names = set(re.findall(r"`(test_\w+)`", (DOCS / page).read_text("utf-8")))
    existing = {name for path in TESTS.rglob("test_*.py") for name in functions_of(path)}
    assert names
    assert names <= existing, names - existing
