"""`bfl` with the benchmark's schemes and architecture: what the nodes and the ledger of a measured federation run.

`python -m tests.benchmarks.rounds.process node run SETTINGS` is `bfl node run SETTINGS`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from bfl_fabric import cli, wiring
from tests.benchmarks.rounds.schemes import WithPlain


def main() -> None:
    """Put the benchmark's parts where the product's were, and be the command."""
    wiring.schemes = lambda: WithPlain(" ".join(sys.argv[1:]))
    wiring.trainer = _knowing_wide(wiring.trainer)
    wiring.evaluator = _knowing_wide(wiring.evaluator)
    cli.main()


def _knowing_wide(make: Callable[..., Any]) -> Callable[..., Any]:
    """Register the architecture where torch is loaded anyway, in nobody else's process."""

    def made(*arguments: Any) -> Any:
        from tests.benchmarks.rounds import wide

        wide.register()
        return make(*arguments)

    return made


if __name__ == "__main__":
    main()
