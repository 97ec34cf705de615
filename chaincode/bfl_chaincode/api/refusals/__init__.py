"""Every rule's no, one class per rule, with its stable number.

A message has three parts: what was found, the rule, what to do. Numbers are never reused and a rule never
changes its number. Clients compare codes (`UpdateExists.code`), never texts; `README.md` beside the contract
lists them all, and a test holds that table against this package.
"""

from __future__ import annotations

from bfl_chaincode.api.refusals.base import RuleRefusal as RuleRefusal
from bfl_chaincode.api.refusals.keys import *  # noqa: F403
from bfl_chaincode.api.refusals.requests import *  # noqa: F403
from bfl_chaincode.api.refusals.rules import *  # noqa: F403


def registry() -> dict[int, type[RuleRefusal]]:
    """Return every refusal by its code, in order."""
    return {kind.code: kind for kind in sorted(RuleRefusal.__subclasses__(), key=lambda kind: kind.code)}
