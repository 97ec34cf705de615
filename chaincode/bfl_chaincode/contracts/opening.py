"""opening: how key members open a verified round by shares; every member writes under keys of its own."""

from __future__ import annotations

from bfl_chaincode import commands
from bfl_chaincode.api.records import (
    Blame,
    DecryptionShare,
    KeyEpoch,
    Opening,
    ScoreSheet,
    ShareOffer,
    ShareSubject,
)
from bfl_chaincode.contracts.loading import opening_evidence, task_and_round
from bfl_chaincode.contracts.transaction import submission
from bfl_chaincode.rules import openings as rules
from bfl_chaincode.shim.contract_api import Contract, TransactionContext


class OpeningContract(Contract):
    """Attempts to open, their offers, shares and blames."""

    Name = "opening"

    def get_evaluate_transactions(self) -> list[str]:
        return []

    async def Offer(self, ctx: TransactionContext, request: str) -> str:
        """Offer to answer in an attempt, having checked the sealed set and added up the masks."""
        tx = await submission(ctx, request, commands.Offer)
        task, round_ = await task_and_round(tx.state, tx.command)
        evidence = await opening_evidence(tx.state, task, round_)
        offered = rules.offer(tx.command, evidence, tx.call)
        key = (offered.task_id, offered.round, offered.attempt, offered.msp_id)
        await tx.state.require_absent(ShareOffer, *key)
        return await tx.commit(offered, refs=[offered.msp_id, offered.mask_digest])

    async def Begin(self, ctx: TransactionContext, request: str) -> str:
        """Begin an attempt, with the members that are named for the first one or that a later one's offers give."""
        tx = await submission(ctx, request, commands.Begin)
        task, round_ = await task_and_round(tx.state, tx.command)
        name = (round_.task_id, round_.number, tx.command.attempt)
        offers = await tx.state.list(ShareOffer, *name)
        evidence = await opening_evidence(tx.state, task, round_)
        begun = rules.begin(tx.command, evidence, offers, tx.call)
        await tx.state.require_absent(Opening, *name)
        return await tx.commit(begun, refs=begun.members)

    async def PostShares(self, ctx: TransactionContext, request: str) -> str:
        """Answer, as one of the active set. Reads nobody else's shares, and for the sum alone no scores: all can be in
        one block."""
        tx = await submission(ctx, request, commands.PostShares)
        task, round_ = await task_and_round(tx.state, tx.command)
        name, attempt = (round_.task_id, round_.number), tx.command.attempt
        opening = await tx.state.get(Opening, *name, attempt)
        following = await tx.state.find(Opening, *name, attempt + 1)
        evidence = rules.Evidence(
            task=task,
            round=round_,
            openings=(opening,) if following is None else (opening, following),
            epoch=await tx.state.get(KeyEpoch, round_.task_id, round_.epoch),
            scores=await tx.state.find(ScoreSheet, *name)
            if any(share.subject is ShareSubject.SCORES for share in tx.command.shares)
            else None,
            blames=await tx.state.list(Blame, round_.task_id, round_.number),
        )
        shares = rules.post_shares(tx.command, evidence, opening, tx.call)
        for share in shares:
            key = (share.task_id, share.round, share.attempt, share.subject, share.msp_id)
            await tx.state.require_absent(DecryptionShare, *key)
        return await tx.commit(shares, refs=[tx.call.caller.msp_id, *(share.digest for share in shares)])

    async def Blame(self, ctx: TransactionContext, request: str) -> str:
        """State that another active member's share is wrong."""
        tx = await submission(ctx, request, commands.Blame)
        task, round_ = await task_and_round(tx.state, tx.command)
        name = (round_.task_id, round_.number, tx.command.attempt)
        opening = await tx.state.get(Opening, *name)
        of_other = [
            await tx.state.find(DecryptionShare, *name, subject, tx.command.against)
            for subject in ShareSubject
        ]
        evidence = rules.Evidence(
            task=task,
            round=round_,
            epoch=await tx.state.get(KeyEpoch, round_.task_id, round_.epoch),
            shares=tuple(share for share in of_other if share is not None),
        )
        blamed = rules.blame(tx.command, evidence, opening, tx.call)
        await tx.state.require_absent(Blame, *name, blamed.msp_id, blamed.against)
        return await tx.commit(blamed, refs=[blamed.msp_id, blamed.against])
