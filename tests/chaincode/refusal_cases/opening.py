"""Refusals of the opening contract, and of the round contract under a shared key."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.chaincode.refusal_cases import moves
from tests.chaincode.refusal_cases.moves import NOWHERE, Case
from tests.chaincode.requests import SHARE
from tests.chaincode.scenario import KEY_HOLDER, SILOS, TASK, admin, digest, node
from tests.chaincode.shared_scenario import MEMBERS, SHARE_SECONDS, abort, holder

COORDINATOR = node("AlphaMSP", "coordinator")


def _outsider(s: Any) -> Any:
    moves.admit(s, "ZetaMSP")
    return holder("ZetaMSP")


def _offer(s: Any, who: Any) -> Any:
    zero = {"zero_digest": digest("zero"), "zero_bytes": 1}
    request = {"attempt": 2, "mask_digest": digest("masks"), **zero}
    return s.in_round(who, "opening:Offer", **request)


def _blame(s: Any, who: Any) -> Any:
    request = {"attempt": 1, "against": "BetaMSP", "evidence_digest": digest("share")}
    return s.in_round(who, "opening:Blame", **request)


def _post_scores(s: Any, who: Any) -> Any:
    scores = [{"participant_id": name, "alignment": 1} for name in SILOS]
    return s.in_round(who, "round:PostScores", scores=scores)


def _release(s: Any, who: Any) -> Any:
    request = {"aggregate_digest": digest("aggregate 1"), "sum_digest": digest("sum 1"), "sum_bytes": 96}
    return s.in_round(who, "round:ReleaseShare", **request)


def _followed(s: Any) -> Any:
    """The first attempt failed and the second has posted scores."""
    s.begin()
    s.late(SHARE_SECONDS)
    for name in MEMBERS:
        s.offer(name)
    for name in s.begin(attempt=2)["members"]:
        s.post_share(name, "scores", attempt=2)
    s.post_scores()
    return s.post_share("AlphaMSP", attempt=1)


def _misnamed(s: Any, members: tuple[str, ...]) -> Any:
    return s.begin(members=list(members))


def _blamed(s: Any) -> None:
    for msp_id in ("DeltaMSP", "EpsilonMSP", "GammaMSP"):
        s.blame(msp_id, "BetaMSP")


def _expired(s: Any) -> Any:
    s.open_ceremony(epoch=2, expires_at=s.now + 3_600_000)
    for step in (s.commit_share, s.reveal_share, s.confirm_key):
        for name in MEMBERS:
            step(name, epoch=2)
    s.close_ceremony(epoch=2)
    s.now += 3_600_000
    return s.open()


def _retired(s: Any) -> Any:
    s.of_key(COORDINATOR, "key:RetireEpoch", reason="rotation")
    return s.open()


def _single(transaction: str, **request: Any) -> Any:
    whole = {"task_id": TASK, "round": 1, "attempt": 1, **request}
    return lambda s: s.submit(holder(KEY_HOLDER), transaction, **whole)


# fmt: off
OPENINGS = [
    Case("round:Open", 413, "a retired key", "shared running", _retired),
    Case("round:Open", 414, "an expired key", "shared running", _expired),
    Case("round:CommitUpdate", 307, "an unknown task", "collecting 1",
         lambda s: s.commit("alpha-1", task_id=NOWHERE)),
    Case("round:CommitUpdate", 314, "the mask of another's update", "shared running",
         lambda s: [s.open(), s.commit("alpha-1"),
             s.commit("beta-1", mask_digest=digest("mask of alpha-1 in round 1"))]),
    Case("round:CommitUpdate", 523, "an update without its mask under a shared key", "shared running",
         lambda s: [s.open(), s.commit("alpha-1", mask_digest="", mask_bytes=0)]),
    Case("round:CommitUpdate", 523, "a mask without a size under a shared key", "shared running",
         lambda s: [s.open(), s.commit("alpha-1", mask_bytes=0)]),
    Case("round:CommitUpdate", 523, "a mask under a single key", "collecting 1",
         lambda s: s.commit("alpha-1", mask_digest=digest("mask"), mask_bytes=1)),
    Case("round:CommitUpdate", 523, "a mask's size under a single key", "collecting 1",
         lambda s: s.commit("alpha-1", mask_bytes=1)),
    Case("round:PostScores", 521, "an organization that holds no share", "scores answered 2",
         lambda s: _post_scores(s, _outsider(s))),
    Case("round:PostScores", 418, "scores before an attempt", "shared verified 2", lambda s: s.post_scores()),
    Case("round:PostScores", 418, "scores that one of the active set did not answer for", "begun 2",
         lambda s: [s.answer("scores", members=("AlphaMSP", "BetaMSP")), s.post_scores()]),
    Case("round:PostScores", 417, "scores from the share of a blamed member", "scores answered 2",
         lambda s: [_blamed(s), s.post_scores()]),
    Case("round:ReleaseShare", 521, "an organization that holds no share", "sum answered 1",
         lambda s: _release(s, _outsider(s))),
    Case("round:ReleaseShare", 418, "a sum before an attempt", "shared verified 1", lambda s: s.release()),
    Case("round:ReleaseShare", 418, "a sum from shares of the scores", "shared scored 2",
         lambda s: s.release()),
    Case("round:ReleaseShare", 417, "a sum from the share of a blamed member", "sum answered 1",
         lambda s: [_blamed(s), s.release()]),
    Case("opening:Offer", 205, "a coordinator", "begun 1", lambda s: _offer(s, COORDINATOR)),
    Case("opening:Offer", 307, "an unknown task", "begun 1", lambda s: s.offer("AlphaMSP", task_id=NOWHERE)),
    Case("opening:Offer", 311, "an unknown round", "begun 1", lambda s: s.offer("AlphaMSP", round=2)),
    Case("opening:Offer", 336, "a second offer", "begun 1",
         lambda s: [s.late(), s.offer("AlphaMSP"), s.offer("AlphaMSP")]),
    Case("opening:Offer", 401, "a round whose sum is open", "shared released 1", lambda s: s.offer("AlphaMSP")),
    Case("opening:Offer", 401, "an aborted round", "begun 1", lambda s: [abort(s), s.offer("AlphaMSP")]),
    Case("opening:Offer", 401, "a round that is not verified", "shared sealed 2", lambda s: s.offer("AlphaMSP")),
    Case("opening:Offer", 416, "a first attempt", "begun 1", lambda s: s.offer("AlphaMSP", 1)),
    Case("opening:Offer", 416, "a second attempt while the first stands", "begun 1",
         lambda s: s.offer("AlphaMSP")),
    Case("opening:Offer", 416, "a second attempt that follows no first", "shared verified 1",
         lambda s: s.offer("AlphaMSP")),
    Case("opening:Offer", 416, "a second attempt when all answered in time", "sum answered 1",
         lambda s: [s.late(), s.offer("AlphaMSP")]),
    Case("opening:Offer", 416, "a third attempt after the first", "begun 1",
         lambda s: [s.late(), s.offer("AlphaMSP", 3)]),
    Case("opening:Offer", 521, "an organization that holds no share", "begun 1",
         lambda s: _offer(s, _outsider(s))),
    Case("opening:Offer", 521, "a single key", "verified 1",
         _single("opening:Offer", mask_digest=digest("masks"), zero_digest=digest("zero"), zero_bytes=1)),
    Case("opening:Offer", 527, "a member that most others blame", "sum answered 1",
         lambda s: [_blamed(s), s.offer("BetaMSP")]),
    Case("opening:Begin", 205, "a coordinator", "shared verified 1",
         lambda s: s.in_round(COORDINATOR, "opening:Begin", attempt=1, members=list(MEMBERS[:3]))),
    Case("opening:Begin", 307, "an unknown task", "shared verified 1", lambda s: s.begin(task_id=NOWHERE)),
    Case("opening:Begin", 311, "an unknown round", "shared verified 1", lambda s: s.begin(round=2)),
    Case("opening:Begin", 338, "a second beginning", "begun 1", lambda s: s.begin()),
    Case("opening:Begin", 401, "an aborted round", "shared verified 1", lambda s: [abort(s), s.begin()]),
    Case("opening:Begin", 401, "a round without an aggregate", "shared sealed 2", lambda s: s.begin()),
    Case("opening:Begin", 518, "a single key", "verified 1", _single("opening:Begin")),
    Case("opening:Begin", 521, "an organization that holds no share", "shared verified 1",
         lambda s: s.in_round(_outsider(s), "opening:Begin", attempt=1, members=list(MEMBERS[:3]))),
    *[Case("opening:Begin", 525, what, "shared verified 1", partial(_misnamed, members=members))
      for what, members in {
          "a first attempt that names nobody": (),
          "a first attempt that names too few": MEMBERS[:2],
          "a first attempt that names too many": MEMBERS[:4],
          "a first attempt that names a stranger": (*MEMBERS[:2], "ZetaMSP"),
      }.items()],
    Case("opening:Begin", 115, "a first attempt that names one twice", "shared verified 1",
         partial(_misnamed, members=(*MEMBERS[:2], MEMBERS[0]))),
    Case("opening:Begin", 525, "a second attempt that names its members", "begun 1",
         lambda s: [s.late(), *[s.offer(name) for name in MEMBERS], s.begin(2, members=list(MEMBERS[:3]))]),
    Case("opening:Begin", 526, "too few offers", "begun 1",
         lambda s: [s.late(), s.offer("AlphaMSP"), s.offer("BetaMSP"), s.begin(2)]),
    Case("opening:Begin", 526, "offers that do not agree", "begun 1",
         lambda s: [s.late(), *[s.offer(name, mask_digest=digest(name)) for name in MEMBERS], s.begin(2)]),
    Case("opening:Begin", 526, "an attempt that nobody offers for", "begun 1", lambda s: s.begin(2)),
    Case("opening:PostShares", 205, "a coordinator", "begun 1",
         lambda s: s.in_round(COORDINATOR, "opening:PostShares", attempt=1, shares=[SHARE])),
    Case("opening:PostShares", 115, "two shares of the sum", "begun 1",
         lambda s: s.post_shares("AlphaMSP", "sum", "sum")),
    Case("opening:PostShares", 339, "a second share beside a first", "begun 2",
         lambda s: [s.post_share("AlphaMSP", "scores"), s.post_shares("AlphaMSP", "scores", "sum")]),
    Case("opening:PostShares", 529, "a share of the sum beside one of scores that are posted", "shared scored 2",
         lambda s: s.post_shares("AlphaMSP", "sum", "scores")),
    Case("opening:PostShares", 307, "an unknown task", "begun 1",
         lambda s: s.post_share("AlphaMSP", task_id=NOWHERE)),
    Case("opening:PostShares", 311, "an unknown round", "begun 1", lambda s: s.post_share("AlphaMSP", round=2)),
    Case("opening:PostShares", 337, "an attempt that nobody began", "shared verified 1",
         lambda s: s.post_share("AlphaMSP")),
    Case("opening:PostShares", 339, "a second share", "sum answered 1", lambda s: s.post_share("AlphaMSP")),
    Case("opening:PostShares", 401, "an aborted round", "begun 1",
         lambda s: [abort(s), s.post_share("AlphaMSP")]),
    Case("opening:PostShares", 401, "an aggregate that is not verified", "shared sealed 2",
         lambda s: [s.propose(), s.begin(), s.post_share("AlphaMSP")]),
    Case("opening:PostShares", 417, "a late share", "begun 1",
         lambda s: [s.late(SHARE_SECONDS), s.post_share("AlphaMSP")]),
    Case("opening:PostShares", 417, "an attempt with a blamed member", "begun 1",
         lambda s: [s.post_share("BetaMSP"), _blamed(s), s.post_share("AlphaMSP")]),
    Case("opening:PostShares", 417, "an attempt that another has followed", "shared verified 2", _followed),
    Case("opening:PostShares", 528, "a member that is not active", "begun 1",
         lambda s: s.post_share("GammaMSP")),
    Case("opening:PostShares", 529, "a share of scores in a round without direction", "begun 1",
         lambda s: s.post_share("AlphaMSP", "scores")),
    Case("opening:PostShares", 529, "a share of scores that are posted", "shared scored 2",
         lambda s: s.post_share("AlphaMSP", "scores")),
    Case("opening:Blame", 205, "an administrator", "sum answered 1", lambda s: _blame(s, admin("AlphaMSP"))),
    Case("opening:Blame", 307, "an unknown task", "sum answered 1",
         lambda s: s.blame("AlphaMSP", "BetaMSP", task_id=NOWHERE)),
    Case("opening:Blame", 311, "an unknown round", "sum answered 1",
         lambda s: s.blame("AlphaMSP", "BetaMSP", round=2)),
    Case("opening:Blame", 337, "an attempt that nobody began", "sum answered 1",
         lambda s: s.blame("AlphaMSP", "BetaMSP", 2)),
    Case("opening:Blame", 340, "a second blame", "sum answered 1",
         lambda s: [s.blame("AlphaMSP", "BetaMSP"), s.blame("AlphaMSP", "BetaMSP")]),
    Case("opening:Blame", 401, "a round whose sum is open", "shared released 1",
         lambda s: s.blame("AlphaMSP", "BetaMSP")),
    Case("opening:Blame", 521, "an organization that holds no share", "sum answered 1",
         lambda s: _blame(s, _outsider(s))),
    Case("opening:Blame", 530, "a member that blames itself", "sum answered 1",
         lambda s: s.blame("AlphaMSP", "AlphaMSP")),
    Case("opening:Blame", 530, "a member that posted no share", "begun 1",
         lambda s: s.blame("AlphaMSP", "BetaMSP")),
    Case("opening:Blame", 530, "a member that is not active", "sum answered 1",
         lambda s: s.blame("AlphaMSP", "GammaMSP")),
]
