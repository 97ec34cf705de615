"""Refusals of the governance contract."""

from __future__ import annotations

from typing import Any

from bfl_chaincode.shim.stub import Creator
from tests.chaincode.refusal_cases.moves import COORD, Case
from tests.chaincode.scenario import Scenario, admin, digest

SOURCE = digest("source")


def propose(s: Scenario, who: Creator | None = None, sequence: int = 2, version: str = "2") -> Any:
    request = {"sequence": sequence, "version": version, "source_digest": SOURCE}
    return s.submit(who or admin("AlphaMSP"), "governance:ProposeUpgrade", **request)


def approve(
    s: Scenario, who: Creator | None = None, sequence: int = 2, version: str = "2", source: str = SOURCE
) -> Any:
    request = {"sequence": sequence, "version": version, "source_digest": source}
    return s.submit(who or admin("BetaMSP"), "governance:ApproveUpgrade", **request)


# fmt: off
GOVERNANCE = [
    Case("governance:ProposeUpgrade", 204, "a coordinator", "founded", lambda s: propose(s, COORD)),
    Case("governance:ProposeUpgrade", 327, "a proposed version", "founded",
         lambda s: [propose(s), propose(s, admin("BetaMSP"))]),
    Case("governance:ProposeUpgrade", 408, "a sequence that another version has", "founded",
         lambda s: [propose(s), approve(s), propose(s, version="3")]),
    Case("governance:ApproveUpgrade", 204, "a coordinator", "founded", lambda s: [propose(s), approve(s, COORD)]),
    Case("governance:ApproveUpgrade", 326, "what nobody proposed", "founded", lambda s: approve(s)),
    Case("governance:ApproveUpgrade", 328, "a second vote", "founded",
         lambda s: [propose(s), approve(s, admin("AlphaMSP"))]),
    Case("governance:ApproveUpgrade", 408, "a proposal that another one overtook", "founded",
         lambda s: [propose(s), propose(s, version="3"), approve(s, version="3"), approve(s)]),
    Case("governance:ApproveUpgrade", 517, "another source", "founded",
         lambda s: [propose(s), approve(s, source=digest("another"))]),
    Case("governance:GetUpgrade", 326, "what nobody proposed", "founded",
         lambda s: s.evaluate("governance:GetUpgrade", sequence=2, version="2")),
]
