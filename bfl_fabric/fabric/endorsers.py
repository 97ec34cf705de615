"""The good endorsers of one transaction, found one after the other and only as far as its policies ask for them.

Decides how many endorsements are looked at. Once a policy is satisfied, further endorsements cannot change that, so
they are not checked; where they could (nested policies), all are. Which policies there are is left to
`bfl_fabric.fabric.endorsement_rules`. See ADR 15.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bfl_fabric.fabric.channel import ChannelConfig, SignatureClaim
from bfl_fabric.fabric.policy import Member


@dataclass(slots=True)
class Endorsers:
    """`claims` are all endorsements, `members` those behind the good ones of the first `asked`, each once."""

    config: ChannelConfig
    claims: Sequence[SignatureClaim]
    at_ms: int
    members: list[Member] = field(default_factory=list)
    asked: int = 0

    def satisfy(self, policy: bytes) -> bool:
        """Say whether the good endorsements satisfy a serialized ApplicationPolicy. Raises MalformedInput."""
        if not self.config.is_monotone(policy):
            while self.asked < len(self.claims):
                self._ask_next()
        while not self.config.application_verdict(policy, self.members):
            if self.asked == len(self.claims):
                return False
            self._ask_next()
        return True

    def _ask_next(self) -> None:
        claim = self.claims[self.asked]
        self.asked += 1
        member = self.config.find_signer(claim, self.at_ms, self.members, strict=False)
        if member is not None:
            self.members.append(member)
