"""Runs replays against broken code: `python -m tests.replay.mutation_worker FIRST STEP`, in a process of its own.

For each mutation all modules of ours are imported anew, the broken one from changed source. What came of it is printed
as a line of JSON: `caught` with the reason, or `survived`, or `not found` when the text to change is not there once.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

OURS = ("bfl_fabric", "bfl_chaincode", "tests")
KEPT = ("tests.replay.mutation", "tests.recordings.archive", "bfl_chaincode.shim.contract_api")
PATIENCE_SECONDS = 1.5


class _Changed(SourceFileLoader):
    """Loads a module from source in which one text is replaced."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_data(self, path: str) -> bytes:
        return self._source.encode()

    def get_code(self, fullname: str) -> Any:
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, module: str, path: str, source: str) -> None:
        self._module, self._path, self._source = module, path, source

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname != self._module:
            return None
        loader = _Changed(fullname, self._path, self._source)
        return importlib.util.spec_from_file_location(fullname, self._path, loader=loader)


@contextmanager
def broken(module: str, source: str, path: str) -> Iterator[None]:
    """Import everything of ours anew, one module from this source."""
    _forget()
    finder = _Finder(module, path, source)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        _forget()


def _forget() -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] in OURS and not name.startswith(KEPT):
            del sys.modules[name]


def run(mutation: Any) -> dict[str, Any]:
    """Run one mutation's replay; return what came of it."""
    spec = importlib.util.find_spec(mutation.module)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text("utf-8")
    if source.count(mutation.old) != 1:
        return {"result": "not found", "why": f"the text stands {source.count(mutation.old)} times"}
    began = time.monotonic()
    with broken(mutation.module, source.replace(mutation.old, mutation.new), spec.origin):
        found = _perform(mutation.performance)
    return {**found, "seconds": round(time.monotonic() - began, 2)}


def _perform(performance: str) -> dict[str, Any]:
    try:
        performances = importlib.import_module("tests.replay.performances")
        performances.perform(performance, PATIENCE_SECONDS)
    except BaseException as red:  # whatever a break causes, the replay is red
        return {"result": "caught", "why": f"{type(red).__name__}: {str(red)[:300]}"}
    return {"result": "survived", "why": ""}


def main() -> None:
    """Run every STEP-th mutation from FIRST on."""
    import logging

    from tests.replay.mutations import MUTATIONS

    logging.disable(logging.CRITICAL)
    first, step = int(sys.argv[1]), int(sys.argv[2])
    for mutation in MUTATIONS[first::step]:
        print(
            json.dumps({"name": mutation.name, "performance": mutation.performance, **run(mutation)}),
            flush=True,
        )


if __name__ == "__main__":
    main()
