"""The table of refusals: for every transaction and every code of its own, something that provokes it.

A case begins at a stage of the scenario and ends with the refused call. `test_refusals` runs them, `test_tables`
holds them against the contract's README and against its code.
"""

from __future__ import annotations

from tests.chaincode.refusal_cases.federation import FEDERATION
from tests.chaincode.refusal_cases.governance import GOVERNANCE
from tests.chaincode.refusal_cases.key import KEYS
from tests.chaincode.refusal_cases.moves import Case
from tests.chaincode.refusal_cases.opening import OPENINGS
from tests.chaincode.refusal_cases.reward import MONEY
from tests.chaincode.refusal_cases.round import ROUNDS
from tests.chaincode.refusal_cases.task import TASKS

CASES: list[Case] = [*FEDERATION, *TASKS, *KEYS, *ROUNDS, *OPENINGS, *MONEY, *GOVERNANCE]
