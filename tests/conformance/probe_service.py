"""`python -m tests.conformance.probe_service`: the probe contract as a service for real peers."""

from __future__ import annotations

import os

from bfl_chaincode.shim.service.process import run
from tests.conformance.probe_contract import ProbeContract

if __name__ == "__main__":
    raise SystemExit(run(ProbeContract().invoke, os.environ))
