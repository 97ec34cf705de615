"""Runs recorded proposals in a process of their own and prints what each did: what one endorser would sign.

`python -m tests.chaincode.transcript FILE [OFFSET]`; the offset in seconds is what the process takes for its clock's
error, and is added to every clock that Python code can ask.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bfl_chaincode.shim.stub import Creator
from tests.chaincode.memory_stub import MemoryLedger, Simulation


def record(simulations: list[Simulation]) -> list[dict[str, Any]]:
    """Return the proposals as JSON."""
    return [
        {
            "mspid": simulation.proposal.creator["mspid"],
            "pem": simulation.proposal.creator["idBytes"].decode(),
            "name": simulation.proposal.name,
            "arguments": list(simulation.proposal.arguments),
            "at": simulation.proposal.at,
        }
        for simulation in simulations
    ]


def effects_of(simulation: Simulation) -> str:
    """Return a digest of write set, event and answer, in the order in which they were made."""
    effects, response = simulation.effects, simulation.response
    found = [
        list(effects.writes.items()),
        effects.events,
        response.status,
        response.payload,
        response.message,
    ]
    return hashlib.sha256(repr(found).encode()).hexdigest()


def replay(proposals: list[dict[str, Any]]) -> list[str]:
    """Run the proposals on an empty ledger, one block each."""
    ledger, lines = MemoryLedger(), []
    for proposal in proposals:
        who: Creator = {"mspid": proposal["mspid"], "idBytes": proposal["pem"].encode()}
        simulation = ledger.propose(who, proposal["name"], proposal["arguments"], proposal["at"])
        ledger.commit([simulation])
        lines.append(f"{proposal['name']} {effects_of(simulation)}")
    return lines


def _shifted(clock: Callable[[], float], offset: float) -> Callable[[], float]:
    return lambda: clock() + offset


if __name__ == "__main__":
    for name in ("time", "monotonic"):
        setattr(time, name, _shifted(getattr(time, name), float(sys.argv[2])))
    histories = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    print("\n".join(line for history in histories for line in replay(history)))
