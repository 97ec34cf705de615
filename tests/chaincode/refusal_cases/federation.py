"""Refusals of the federation contract."""

from __future__ import annotations

from tests.chaincode.refusal_cases import moves
from tests.chaincode.refusal_cases.moves import COORD, VERIFIER, Case
from tests.chaincode.scenario import admin, silo

# fmt: off
FEDERATION = [
    Case("federation:Found", 115, "an organization named twice", "empty",
         lambda s: moves.found(s, admin("AlphaMSP"), "AlphaMSP", "AlphaMSP")),
    Case("federation:Found", 204, "a client", "empty", lambda s: moves.found(s, COORD, "AlphaMSP", "BetaMSP")),
    Case("federation:Found", 206, "an administrator of none of its organizations", "empty",
         lambda s: moves.found(s, admin("DeltaMSP"), "AlphaMSP", "BetaMSP")),
    Case("federation:Found", 302, "a second founding", "founded", lambda s: s.found()),
    Case("federation:GetFederation", 301, "to name what was not founded", "empty",
         lambda s: s.evaluate("federation:GetFederation")),
    Case("federation:AdmitOrganization", 204, "a client", "founded", lambda s: moves.admit(s, "DeltaMSP", COORD)),
    Case("federation:AdmitOrganization", 304, "an active member", "founded", lambda s: moves.admit(s, "BetaMSP")),
    Case("federation:SuspendOrganization", 204, "a client", "founded",
         lambda s: s.submit(COORD, "federation:SuspendOrganization", msp_id="BetaMSP")),
    Case("federation:SuspendOrganization", 210, "an organization's own administrator", "founded",
         lambda s: moves.suspend(s, "BetaMSP", by="BetaMSP")),
    Case("federation:SuspendOrganization", 303, "an unknown organization", "founded",
         lambda s: moves.suspend(s, "DeltaMSP")),
    Case("federation:SuspendOrganization", 325, "a suspended organization", "founded",
         lambda s: [moves.suspend(s, "BetaMSP"), moves.suspend(s, "BetaMSP")]),
    Case("federation:EnrolParticipant", 204, "a client", "founded", lambda s: moves.enrol(s, "alpha-9", COORD)),
    Case("federation:EnrolParticipant", 306, "an enrolled participant", "enrolled",
         lambda s: moves.enrol(s, "alpha-1", admin("AlphaMSP"))),
    Case("federation:EnrolParticipant", 306, "an id that another organization's participant had", "enrolled",
         lambda s: [moves.leave(s, "beta-1"), moves.enrol(s, "beta-1", admin("AlphaMSP"))]),
    Case("federation:Leave", 205, "a node", "enrolled", lambda s: moves.leave(s, "alpha-1", COORD)),
    Case("federation:Leave", 206, "another organization's administrator", "enrolled",
         lambda s: moves.leave(s, "alpha-1", admin("BetaMSP"))),
    Case("federation:Leave", 207, "another participant", "enrolled",
         lambda s: moves.leave(s, "alpha-1", silo("alpha-2"))),
    Case("federation:Leave", 305, "an unknown participant", "enrolled",
         lambda s: moves.leave(s, "delta-1", silo("delta-1", "AlphaMSP"))),
    Case("federation:Leave", 325, "a participant that has left", "enrolled",
         lambda s: [moves.leave(s, "alpha-1"), moves.leave(s, "alpha-1")]),
    Case("federation:AnnounceNode", 205, "another role than the certificate's", "founded",
         lambda s: moves.announce(s, VERIFIER, "aggregator", "alpha-verifier")),
    Case("federation:AnnounceNode", 209, "another name than the certificate's", "founded",
         lambda s: moves.announce(s, VERIFIER, "verifier", "beta-verifier")),
]
