"""What every rule's refusal is made of."""

from __future__ import annotations

from typing import ClassVar

from bfl_chaincode.api.errors import Refusal


class RuleRefusal(Refusal):
    """A refusal with its rule and its remedy; `found` is what the transaction met."""

    rule: ClassVar[str]
    remedy: ClassVar[str]

    def __init__(self, found: str) -> None:
        super().__init__(f"{found}; the rule: {self.rule}; {self.remedy}")
