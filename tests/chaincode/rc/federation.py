"""X"""

from __future__ import annotations

IMPORTS



# fmt: off
FEDERATION = [
    Case("federation:Found", 115, "an organization named twice", "empty",
         lambda s: _found(s, admin("AlphaMSP"), "AlphaMSP", "AlphaMSP")),
    Case("federation:Found", 204, "a client", "empty", lambda s: _found(s, COORD, "AlphaMSP", "BetaMSP")),
    Case("federation:Found", 206, "an administrator of none of its organizations", "empty",
         lambda s: _found(s, admin("DeltaMSP"), "AlphaMSP", "BetaMSP")),
    Case("federation:Found", 302, "a second founding", "founded", lambda s: s.found()),
    Case("federation:GetFederation", 301, "to name what was not founded", "empty",
         lambda s: s.evaluate("federation:GetFederation")),
    Case("federation:AdmitOrganization", 204, "a client", "founded", lambda s: _admit(s, "DeltaMSP", COORD)),
    Case("federation:AdmitOrganization", 304, "an active member", "founded", lambda s: _admit(s, "BetaMSP")),
    Case("federation:SuspendOrganization", 204, "a client", "founded",
         lambda s: s.submit(COORD, "federation:SuspendOrganization", msp_id="BetaMSP")),
    Case("federation:SuspendOrganization", 210, "an organization"s own administrator", "founded",
         lambda s: _suspend(s, "BetaMSP", by="BetaMSP")),
    Case("federation:SuspendOrganization", 303, "an unknown organization", "founded",
         lambda s: _suspend(s, "DeltaMSP")),
    Case("federation:SuspendOrganization", 325, "a suspended organization", "founded",
         lambda s: [_suspend(s, "BetaMSP"), _suspend(s, "BetaMSP")]),
    Case("federation:EnrolParticipant", 204, "a client", "founded", lambda s: _enrol(s, "alpha-9", COORD)),
    Case("federation:EnrolParticipant", 306, "an enrolled participant", "enrolled",
         lambda s: _enrol(s, "alpha-1", admin("AlphaMSP"))),
    Case("federation:EnrolParticipant", 306, "an id that another organization"s participant had", "enrolled",
         lambda s: [_leave(s, "beta-1"), _enrol(s, "beta-1", admin("AlphaMSP"))]),
    Case("federation:Leave", 205, "a node", "enrolled", lambda s: _leave(s, "alpha-1", COORD)),
    Case("federation:Leave", 206, "another organization"s administrator", "enrolled",
         lambda s: _leave(s, "alpha-1", admin("BetaMSP"))),
    Case("federation:Leave", 207, "another participant", "enrolled",
         lambda s: _leave(s, "alpha-1", silo("alpha-2"))),
    Case("federation:Leave", 305, "an unknown participant", "enrolled",
         lambda s: _leave(s, "delta-1", silo("delta-1", "AlphaMSP"))),
    Case("federation:Leave", 325, "a participant that has left", "enrolled",
         lambda s: [_leave(s, "alpha-1"), _leave(s, "alpha-1")]),
    Case("federation:AnnounceNode", 205, "another role than the certificate"s", "founded",
         lambda s: _announce(s, VERIFIER, "aggregator", "alpha-verifier")),
    Case("federation:AnnounceNode", 209, "another name than the certificate"s", "founded",
         lambda s: _announce(s, VERIFIER, "verifier", "beta-verifier")),
]
