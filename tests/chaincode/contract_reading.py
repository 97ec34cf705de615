"""The contract's code, read as syntax trees: which refusals a transaction can reach.

Follows calls by name through contracts, rules and the world state. What it finds is what the code could raise; that
some of it cannot happen, because another rule comes first, the README says by parentheses.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import bfl_chaincode
from bfl_chaincode.api import records, refusals
from bfl_chaincode.api.refusals import RuleRefusal
from bfl_chaincode.main import CONTRACTS, TRANSACTIONS
from bfl_chaincode.world_state import EXISTING, MISSING

ROOT = Path(bfl_chaincode.__file__).parent
FRAME = {"submission", "query", "outsider", "asking"}
"""Calls whose refusals are those of every transaction."""

COMMON = {code for code in refusals.registry() if code < 115 or code == 116 or code // 100 == 9}
COMMON_TO_SUBMISSIONS = {201, 202, 203, 211}


class _Module:
    """One module: its functions by name, and what its imported names stand for."""

    def __init__(self, path: Path) -> None:
        self.name = ".".join(("bfl_chaincode", *path.relative_to(ROOT).with_suffix("").parts))
        tree = ast.parse(path.read_text("utf-8"))
        self.functions: dict[str, ast.AST] = {}
        self.names: dict[str, str] = {}
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    self.names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
            members = node.body if isinstance(node, ast.ClassDef) else [node]
            for member in members:
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                    self.functions[member.name] = member


@functools.cache
def _modules() -> dict[str, _Module]:
    paths = [*(ROOT / "contracts").glob("*.py"), *(ROOT / "rules").glob("*.py")]
    return {module.name: module for module in map(_Module, sorted(paths))}


def reachable(transaction: str) -> set[int]:
    """Return the codes, beyond those of all transactions, that a transaction's code can raise."""
    contract, _, name = transaction.partition(":")
    module = next(kind.__module__ for kind in CONTRACTS if kind.Name == contract)
    common = COMMON if TRANSACTIONS[transaction] else COMMON | COMMON_TO_SUBMISSIONS
    return {kind.code for kind in _reached(module, name, set())} - common


def _reached(module_name: str, function: str, seen: set[tuple[str, str]]) -> set[type[RuleRefusal]]:
    if (module_name, function) in seen or function in FRAME:
        return set()
    seen.add((module_name, function))
    module = _modules().get(module_name)
    if module is None or function not in module.functions:
        return set()
    found: set[type[RuleRefusal]] = set()
    for node in ast.walk(module.functions[function]):
        if isinstance(node, ast.Call):
            found |= _raised(node)
            target = _target(module, node.func)
            if target:
                found |= _reached(*target, seen)
    return found


def _raised(call: ast.Call) -> set[type[RuleRefusal]]:
    """Return what this call makes or, for the state's own refusals, what it raises."""
    if not isinstance(call.func, ast.Attribute):
        return set()
    if isinstance(call.func.value, ast.Name) and call.func.value.id == "refusals":
        return {getattr(refusals, call.func.attr)}
    if call.func.attr == "require_new_digest":
        return {refusals.DigestSeen}
    tables = {"get": MISSING, "require_absent": EXISTING}
    if call.func.attr in tables and call.args and isinstance(call.args[0], ast.Name):
        refusal = tables[call.func.attr].get(getattr(records, call.args[0].id, object))
        return {refusal} if refusal else set()
    return set()


def _target(module: _Module, called: ast.expr) -> tuple[str, str] | None:
    if isinstance(called, ast.Name):
        full = module.names.get(called.id, f"{module.name}.{called.id}")
        return full.rpartition(".")[0], full.rpartition(".")[2]
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        return module.names.get(called.value.id, ""), called.attr
    return None
