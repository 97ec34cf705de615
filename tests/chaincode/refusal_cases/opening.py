"""Refusals of the opening contract, and of the round contract under a shared key."""

from __future__ import annotations

from typing import Any

from tests.chaincode.refusal_cases import moves
from tests.chaincode.refusal_cases.moves import NOWHERE, Case
from tests.chaincode.scenario import KEY_HOLDER, SILOS, TASK, admin, digest, node
from tests.chaincode.shared_scenario import MEMBERS, SHARE_SECONDS, abort, holder

COORDINATOR = node("AlphaMSP", "coordinator")


def _outsider(s: Any) -> Any:
    moves.admit(s, "ZetaMSP")
    return holder("ZetaMSP")


def _offer(s: Any, who: Any) -> Any:
    request = {"attempt": 1, "mask_digest": digest("masks"), "zero_digest": "", "zero_bytes": 0}
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
    for name in MEMBERS:
        s.offer(name)
    s.begin()
    s.late(SHARE_SECONDS)
    for name in MEMBERS:
        s.offer(name, attempt=2)
    for name in s.begin(attempt=2)["members"]:
        s.post_share(name, "scores", attempt=2)
    s.post_scores()
    return s.post_share("AlphaMSP", attempt=1)


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
    Case("opening:Offer", 205, "a coordinator", "shared verified 1", lambda s: _offer(s, COORDINATOR)),
    Case("opening:Offer", 307, "an unknown task", "shared verified 1",
         lambda s: s.offer("AlphaMSP", task_id=NOWHERE)),
    Case("opening:Offer", 311, "an unknown round", "shared verified 1",
         lambda s: s.offer("AlphaMSP", round=2)),
    Case("opening:Offer", 336, "a second offer", "offered 1", lambda s: s.offer("AlphaMSP")),
    Case("opening:Offer", 401, "a round whose sum is open", "shared released 1",
         lambda s: s.offer("AlphaMSP")),
    Case("opening:Offer", 401, "an aborted round", "offered 1", lambda s: [abort(s), s.offer("AlphaMSP")]),
    Case("opening:Offer", 401, "a set that is not sealed", "shared running",
         lambda s: [s.open(), s.offer("AlphaMSP")]),
    Case("opening:Offer", 401, "a second attempt before the round is verified", "shared sealed 2",
         lambda s: s.offer("AlphaMSP", 2)),
    Case("opening:Offer", 416, "a second attempt while the first stands", "begun 1",
         lambda s: s.offer("AlphaMSP", 2)),
    Case("opening:Offer", 416, "a second attempt that follows no first", "shared verified 1",
         lambda s: s.offer("AlphaMSP", 2)),
    Case("opening:Offer", 416, "a second attempt when all answered in time", "sum answered 1",
         lambda s: [s.late(), s.offer("AlphaMSP", 2)]),
    Case("opening:Offer", 416, "a third attempt after the first", "begun 1",
         lambda s: [s.late(), s.offer("AlphaMSP", 3)]),
    Case("opening:Offer", 521, "an organization that holds no share", "shared verified 1",
         lambda s: _offer(s, _outsider(s))),
    Case("opening:Offer", 521, "a single key", "verified 1",
         _single("opening:Offer", mask_digest=digest("masks"), zero_digest="", zero_bytes=0)),
    Case("opening:Offer", 525, "a zero in the first attempt", "shared verified 1",
         lambda s: s.offer("AlphaMSP", zero_digest=digest("zero"), zero_bytes=700)),
    Case("opening:Offer", 525, "a size without a zero", "shared verified 1",
         lambda s: s.offer("AlphaMSP", zero_bytes=700)),
    Case("opening:Offer", 525, "a second attempt without a fresh zero", "begun 1",
         lambda s: [s.late(), s.offer("AlphaMSP", 2, zero_digest="", zero_bytes=0)]),
    Case("opening:Offer", 527, "a member that most others blame", "sum answered 1",
         lambda s: [_blamed(s), s.offer("BetaMSP", 2)]),
    Case("opening:Begin", 307, "an unknown task", "offered 1", lambda s: s.begin(task_id=NOWHERE)),
    Case("opening:Begin", 311, "an unknown round", "offered 1", lambda s: s.begin(round=2)),
    Case("opening:Begin", 338, "a second beginning", "begun 1", lambda s: s.begin()),
    Case("opening:Begin", 401, "an aborted round", "offered 1", lambda s: [abort(s), s.begin()]),
    Case("opening:Begin", 401, "a round without an aggregate", "shared sealed 2",
         lambda s: [*[s.offer(name) for name in MEMBERS], s.begin()]),
    Case("opening:Begin", 518, "a single key", "verified 1", _single("opening:Begin")),
    Case("opening:Begin", 526, "too few offers", "shared verified 1",
         lambda s: [s.offer("AlphaMSP"), s.offer("BetaMSP"), s.begin()]),
    Case("opening:Begin", 526, "offers that do not agree", "shared verified 1",
         lambda s: [*[s.offer(name, mask_digest=digest(name)) for name in MEMBERS], s.begin()]),
    Case("opening:Begin", 526, "an attempt that nobody offers for", "begun 1", lambda s: s.begin(2)),
    Case("opening:PostShare", 205, "a coordinator", "begun 1",
         lambda s: s.in_round(COORDINATOR, "opening:PostShare", attempt=1, subject="sum",
             digest=digest("share"), size_bytes=1)),
    Case("opening:PostShare", 307, "an unknown task", "begun 1",
         lambda s: s.post_share("AlphaMSP", task_id=NOWHERE)),
    Case("opening:PostShare", 311, "an unknown round", "begun 1", lambda s: s.post_share("AlphaMSP", round=2)),
    Case("opening:PostShare", 337, "an attempt that nobody began", "offered 1",
         lambda s: s.post_share("AlphaMSP")),
    Case("opening:PostShare", 339, "a second share", "sum answered 1", lambda s: s.post_share("AlphaMSP")),
    Case("opening:PostShare", 401, "an aborted round", "begun 1",
         lambda s: [abort(s), s.post_share("AlphaMSP")]),
    Case("opening:PostShare", 401, "an aggregate that is not verified", "shared sealed 2",
         lambda s: [*[s.offer(name) for name in MEMBERS], s.propose(), s.begin(), s.post_share("AlphaMSP")]),
    Case("opening:PostShare", 417, "a late share", "begun 1",
         lambda s: [s.late(SHARE_SECONDS), s.post_share("AlphaMSP")]),
    Case("opening:PostShare", 417, "an attempt with a blamed member", "begun 1",
         lambda s: [s.post_share("BetaMSP"), _blamed(s), s.post_share("AlphaMSP")]),
    Case("opening:PostShare", 417, "an attempt that another has followed", "shared verified 2", _followed),
    Case("opening:PostShare", 528, "a member that is not active", "begun 1",
         lambda s: s.post_share("GammaMSP")),
    Case("opening:PostShare", 529, "a share of scores in a round without direction", "begun 1",
         lambda s: s.post_share("AlphaMSP", "scores")),
    Case("opening:PostShare", 529, "a share of scores that are posted", "shared scored 2",
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
