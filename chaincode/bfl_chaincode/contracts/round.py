"""round: from its opening to the published model; every step leaves its evidence under its writer's key."""

from __future__ import annotations

from bfl_chaincode import commands
from bfl_chaincode.api.records import (
    PACKED_SCHEME,
    Attestation,
    Blame,
    DecryptionShare,
    KeyEpoch,
    KeyGrant,
    Opening,
    Organization,
    Participant,
    Progress,
    Receipt,
    Registration,
    Round,
    RoundView,
    ScoreSheet,
    Settlement,
    ShareOffer,
    Task,
    UpdateCommitment,
)
from bfl_chaincode.contracts.loading import opening_evidence, task_and_round
from bfl_chaincode.contracts.transaction import answer, query, submission
from bfl_chaincode.rules import openings
from bfl_chaincode.rules import rounds as rules
from bfl_chaincode.shim.contract_api import Contract, TransactionContext
from bfl_chaincode.world_state import WorldState


class RoundContract(Contract):
    """Rounds and their evidence."""

    Name = "round"

    def get_evaluate_transactions(self) -> list[str]:
        return ["Get", "GetCurrent"]

    async def Open(self, ctx: TransactionContext, request: str) -> str:
        """Open a task's next round and draw who takes part."""
        tx = await submission(ctx, request, commands.TaskName)
        task_id, state = tx.command.task_id, tx.state
        task, progress = await state.get(Task, task_id), await state.get(Progress, task_id)
        standing = rules.Standing(
            task=task,
            progress=progress,
            previous=await state.find(Round, task_id, progress.round),
            epochs=await state.list(KeyEpoch, task_id),
            registrations=await state.list(Registration, task_id),
            participants=await state.list(Participant),
            organizations=await state.list(Organization),
        )
        opened, progress = rules.open_round(standing, tx.call)
        return await tx.commit(opened, progress, refs=opened.cohort, round_number=opened.number)

    async def CommitUpdate(self, ctx: TransactionContext, request: str) -> str:
        """Bind the calling participant to its encrypted update. Writes no key that another participant reads."""
        tx = await submission(ctx, request, commands.CommitUpdate)
        task_id, number, name = tx.command.task_id, tx.command.round, tx.call.caller.common_name
        task, round_ = await task_and_round(tx.state, tx.command)
        participant = await tx.state.find(Participant, name)
        registration = await tx.state.find(Registration, task_id, name)
        update = rules.commit(tx.command, round_, participant, registration, tx.call)
        rules.require_mask(tx.command, task)
        await tx.state.require_absent(UpdateCommitment, task_id, number, name)
        parts = [digest for digest in (update.digest, update.mask_digest) if digest]
        for digest in parts:
            await tx.state.require_new_digest(task_id, digest)
        for digest in parts:
            await tx.state.put_digest(task_id, digest)
        return await tx.commit(update, refs=[name, update.digest])

    async def AcknowledgeUploads(self, ctx: TransactionContext, request: str) -> str:
        """Note that the caller's organization holds committed updates. Reads only these, so that others may come."""
        tx = await submission(ctx, request, commands.AcknowledgeUploads)
        task, round_ = await task_and_round(tx.state, tx.command)
        name, msp_id = (round_.task_id, round_.number), tx.call.caller.msp_id
        participants = [held.participant_id for held in tx.command.uploads]
        updates = [await tx.state.get(UpdateCommitment, *name, one) for one in participants]
        receipts = rules.acknowledge(tx.command, task, round_, updates, tx.call)
        for one in participants:
            await tx.state.require_absent(Receipt, *name, one, msp_id)
        return await tx.commit(receipts, refs=[msp_id, *participants])

    async def Seal(self, ctx: TransactionContext, request: str) -> str:
        """Fix the members once everybody has delivered or the deadline has passed; too few abort the round."""
        tx = await submission(ctx, request, commands.RoundName)
        task, round_ = await task_and_round(tx.state, tx.command)
        updates = await tx.state.list(UpdateCommitment, round_.task_id, round_.number)
        receipts = await tx.state.list(Receipt, round_.task_id, round_.number)
        sealed = rules.seal(task, round_, updates, receipts, tx.call)
        return await tx.commit(sealed, refs=sealed.members)

    async def ProposeAggregate(self, ctx: TransactionContext, request: str) -> str:
        """Take the digests of the aggregate and of the score ciphertexts from the aggregator."""
        tx = await submission(ctx, request, commands.ProposeAggregate)
        task, round_ = await task_and_round(tx.state, tx.command)
        proposed = rules.propose(tx.command, task, round_, tx.call)
        return await tx.commit(proposed, refs=[proposed.aggregate_digest])

    async def AttestAggregate(self, ctx: TransactionContext, request: str) -> str:
        """Note what another organization found when it computed the aggregate again."""
        tx = await submission(ctx, request, commands.AttestAggregate)
        task, round_ = await task_and_round(tx.state, tx.command)
        found = rules.attest(tx.command, task, round_, tx.call)
        await tx.state.require_absent(Attestation, found.task_id, found.round, found.msp_id)
        return await tx.commit(found, refs=[found.msp_id, found.aggregate_digest])

    async def ConfirmAggregate(self, ctx: TransactionContext, request: str) -> str:
        """Hold the aggregate for verified once enough organizations state the same."""
        tx = await submission(ctx, request, commands.RoundName)
        task, round_ = await task_and_round(tx.state, tx.command)
        attestations = await tx.state.list(Attestation, round_.task_id, round_.number)
        confirmed = rules.confirm(task, round_, attestations, tx.call)
        return await tx.commit(confirmed, refs=[confirmed.aggregate_digest])

    async def PostScores(self, ctx: TransactionContext, request: str) -> str:
        """Take the opened scores of exactly the members from who holds the key, or a share of it."""
        tx = await submission(ctx, request, commands.PostScores)
        task, round_ = await task_and_round(tx.state, tx.command)
        evidence = await opening_evidence(tx.state, task, round_)
        sheet = openings.post_scores(tx.command, evidence, tx.call)
        await tx.state.require_absent(ScoreSheet, sheet.task_id, sheet.round)
        return await tx.commit(sheet, refs=[sheet.direction_digest])

    async def ReleaseShare(self, ctx: TransactionContext, request: str) -> str:
        """Take the digest of the opened sum from who holds the key, or a share of it."""
        tx = await submission(ctx, request, commands.ReleaseShare)
        task, round_ = await task_and_round(tx.state, tx.command)
        evidence = await opening_evidence(tx.state, task, round_)
        released = openings.release(tx.command, evidence, tx.call)
        return await tx.commit(released, refs=[released.sum_digest])

    async def PublishModel(self, ctx: TransactionContext, request: str) -> str:
        """Take the new model, its direction and its metrics from the coordinator."""
        tx = await submission(ctx, request, commands.PublishModel)
        task, round_ = await task_and_round(tx.state, tx.command)
        published, model = rules.publish(tx.command, task, round_, tx.call)
        return await tx.commit(model, published, refs=[model.digest])

    async def Abort(self, ctx: TransactionContext, request: str) -> str:
        """Give a round up before its sum is opened."""
        tx = await submission(ctx, request, commands.Abort)
        task, round_ = await task_and_round(tx.state, tx.command)
        coordinator = await tx.state.get(Organization, task.spec.roles.coordinator)
        return await tx.commit(rules.abort(task, coordinator, round_, tx.command.reason, tx.call))

    async def Get(self, ctx: TransactionContext, request: str) -> str:
        """Return the RoundView of one round."""
        command, state = query(ctx, request, commands.RoundName)
        round_ = await state.get(Round, command.task_id, command.round)
        return answer(await _view(state, command.task_id, round_))

    async def GetCurrent(self, ctx: TransactionContext, request: str) -> str:
        """Return the RoundView of the newest round; its round is null before the first."""
        command, state = query(ctx, request, commands.TaskName)
        progress = await state.get(Progress, command.task_id)
        return answer(
            await _view(state, command.task_id, await state.find(Round, command.task_id, progress.round))
        )


async def _view(state: WorldState, task_id: str, round_: Round | None) -> RoundView:
    task, progress = await state.get(Task, task_id), await state.get(Progress, task_id)
    registrations = await state.list(Registration, task_id)
    if round_ is None:
        epochs = await state.list(KeyEpoch, task_id)
        newest = epochs[-1] if epochs else None
        grants = await _grants(state, task, newest.epoch) if newest else ()
        return RoundView(task, newest, None, registrations, grants=grants)
    name = (task_id, round_.number)
    shared = bool(task.spec.roles.key_members)
    return RoundView(
        task=task,
        key_epoch=await state.get(KeyEpoch, task_id, round_.epoch),
        round=round_,
        registrations=registrations,
        updates=await state.list(UpdateCommitment, *name),
        receipts=await state.list(Receipt, *name),
        attestations=await state.list(Attestation, *name),
        scores=await state.find(ScoreSheet, *name),
        settlement=await state.find(Settlement, *name),
        settled_rounds=progress.settled,
        openings=await state.list(Opening, *name) if shared else (),
        offers=await state.list(ShareOffer, *name) if shared else (),
        shares=await state.list(DecryptionShare, *name) if shared else (),
        blames=await state.list(Blame, *name) if shared else (),
        grants=await _grants(state, task, round_.epoch),
    )


async def _grants(state: WorldState, task: Task, epoch: int) -> tuple[KeyGrant, ...]:
    packed = task.spec.encryption.scheme == PACKED_SCHEME
    return await state.list(KeyGrant, task.spec.task_id, epoch) if packed else ()
