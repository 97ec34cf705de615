"""What could make two endorsers disagree, found in a module's syntax tree.

Imports are allowed by name, so that no clock, network, thread or source of randomness can come in at all; the rest
is forbidden by what it looks like.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

ALLOWED_IMPORTS = {
    "__future__": None,
    "abc": None,
    "collections.abc": None,
    "dataclasses": None,
    "enum": None,
    "functools": {"cache", "lru_cache"},
    "hashlib": {"sha256"},
    "math": {"prod"},
    "re": {"compile", "fullmatch", "match", "ASCII", "DOTALL"},
    "types": None,
    "typing": None,
    "cryptography": {"x509"},
    "cryptography.hazmat.primitives.serialization": {"Encoding"},
    "cryptography.x509.oid": {"NameOID"},
}
"""Modules, and of them the names that may be used; None for all."""

ALLOWED_IN: dict[str, dict[str, set[str]]] = {
    "api/canonical.py": {"json": {"JSONDecoder", "JSONEncoder"}},
    "main.py": {"inspect": {"iscoroutinefunction"}, "os": {"environ"}},
    "shim/contract_api.py": {
        "importlib": {"import_module"},
        "logging": {"getLogger"},
        "fabric_chaincode_python.fabric_contract_api.contractapi": {
            "Contract",
            "ContractChaincode",
            "TransactionContext",
        },
    },
    "shim/peer_messages.py": {
        "fabric_protos.common": {"common_pb2", "policies_pb2"},
        "fabric_protos.ledger.queryresult": {"kv_query_result_pb2"},
        "fabric_protos.msp": {"identities_pb2"},
        "fabric_protos.peer": {
            "chaincode_pb2",
            "chaincode_shim_pb2",
            "proposal_pb2",
            "proposal_response_pb2",
        },
        "google.protobuf.message": {"DecodeError"},
    },
    "shim/peer_stub.py": {"fabric_protos.peer": {"chaincode_shim_pb2"}},
    "shim/stub.py": {"fabric_chaincode_python.fabric_shim.interfaces": {"ChaincodeStubInterface"}},
}

OUTSIDE = "shim/service/"
"""Carries messages between a peer and the stub, with threads and a clock; no result depends on it, and nothing that
decides anything may import it (import-linter)."""

FORBIDDEN_NAMES = {
    "breakpoint", "complex", "compile", "eval", "exec", "float", "frozenset", "globals", "hash", "id", "input",
    "locals", "object.__hash__", "open", "print", "set", "__import__",
}  # fmt: skip
# Their answers depend on the version of Python's Unicode tables, or on the machine.
FORBIDDEN_ATTRIBUTES = {
    "__hash__", "casefold", "capitalize", "isalnum", "isalpha", "isdecimal", "isdigit", "islower", "isnumeric",
    "isprintable", "isspace", "isupper", "lower", "swapcase", "title", "upper",
}  # fmt: skip


def violations(source: str, path: str) -> list[str]:
    """Return what in this module (`path` within the package) is not allowed, line by line."""
    tree = ast.parse(source)
    allowed = {**ALLOWED_IMPORTS, **ALLOWED_IN.get(path, {})}
    modules = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    found = []
    for node in ast.walk(tree):
        found += [
            f"{path}:{getattr(node, 'lineno', 0)}: {problem}" for problem in _of(node, allowed, modules)
        ]
    return found


def _of(node: ast.AST, allowed: dict[str, set[str] | None], modules: dict[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (f"imports {a.name}" for a in node.names if not _ours(a.name) and a.name not in allowed)
    elif isinstance(node, ast.ImportFrom):
        yield from _imported_from(node, allowed)
    elif isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
        yield f"has the float {node.value}"
    elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
        yield "divides with /"
    elif isinstance(node, ast.Set | ast.SetComp):
        yield "makes a set"
    elif isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
        yield f"uses {node.id}"
    elif isinstance(node, ast.Attribute):
        yield from _attribute(node, allowed, modules)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "round":
        yield "rounds"


def _imported_from(node: ast.ImportFrom, allowed: dict[str, set[str] | None]) -> Iterator[str]:
    module = node.module or ""
    if _ours(module):
        return
    names = allowed.get(module, set())
    for alias in node.names:
        if names is not None and alias.name not in names:
            yield f"imports {alias.name} from {module}"


def _attribute(
    node: ast.Attribute, allowed: dict[str, set[str] | None], modules: dict[str, str]
) -> Iterator[str]:
    if node.attr in FORBIDDEN_ATTRIBUTES:
        yield f"uses .{node.attr}"
    if isinstance(node.value, ast.Name) and node.value.id in modules:
        names = allowed.get(modules[node.value.id], set())
        if names is not None and node.attr not in names:
            yield f"uses {node.value.id}.{node.attr}"


def _ours(module: str) -> bool:
    return module == "bfl_chaincode" or module.startswith("bfl_chaincode.")
