"""key: the keys that a task's updates are encrypted under, and the ceremonies that make shared ones."""

from __future__ import annotations

from bfl_chaincode import commands
from bfl_chaincode.api.records import (
    Ceremony,
    CeremonyView,
    KeyCommitment,
    KeyComplaint,
    KeyConfirmation,
    KeyEpoch,
    KeyGrant,
    KeyReveal,
    Organization,
    Registration,
    Task,
)
from bfl_chaincode.contracts.transaction import answer, query, submission
from bfl_chaincode.rules import ceremonies, epochs
from bfl_chaincode.shim.contract_api import Contract, TransactionContext
from bfl_chaincode.world_state import WorldState


class KeyContract(Contract):
    """Key epochs, ceremonies and grants."""

    Name = "key"

    def get_evaluate_transactions(self) -> list[str]:
        return ["Get", "List", "GetCeremony", "ListCeremonies"]

    async def OpenEpoch(self, ctx: TransactionContext, request: str) -> str:
        """Bind a single key to a task."""
        tx = await submission(ctx, request, commands.OpenEpoch)
        task = await tx.state.get(Task, tx.command.task_id)
        present = await tx.state.list(KeyEpoch, tx.command.task_id)
        epoch = epochs.open_epoch(tx.command, task, present, tx.call)
        return await tx.commit(epoch, refs=[epoch.public_key_digest])

    async def OpenCeremony(self, ctx: TransactionContext, request: str) -> str:
        """Begin a ceremony of the task's key members."""
        tx = await submission(ctx, request, commands.OpenCeremony)
        task = await tx.state.get(Task, tx.command.task_id)
        present = await tx.state.list(Ceremony, tx.command.task_id)
        organizations = await tx.state.list(Organization)
        ceremony = ceremonies.open_ceremony(tx.command, task, present, organizations, tx.call)
        return await tx.commit(ceremony, refs=ceremony.members)

    async def CommitKeyShare(self, ctx: TransactionContext, request: str) -> str:
        """Step one: commit to the member's share of the public key."""
        tx = await submission(ctx, request, commands.CommitKeyShare)
        name = (tx.command.task_id, tx.command.epoch)
        found = ceremonies.commit(tx.command, await tx.state.get(Ceremony, *name), tx.call)
        await tx.state.require_absent(KeyCommitment, *name, found.msp_id)
        return await tx.commit(found, refs=[found.msp_id, found.share_digest])

    async def RevealKeyShare(self, ctx: TransactionContext, request: str) -> str:
        """Step two: reveal that share, and the dealing to the others."""
        tx = await submission(ctx, request, commands.RevealKeyShare)
        name = (tx.command.task_id, tx.command.epoch)
        ceremony = await tx.state.get(Ceremony, *name)
        commitments = await tx.state.list(KeyCommitment, *name)
        found = ceremonies.reveal(tx.command, ceremony, commitments, tx.call)
        await tx.state.require_absent(KeyReveal, *name, found.msp_id)
        return await tx.commit(found, refs=[found.msp_id, tx.command.share_digest, found.dealing_digest])

    async def ConfirmKey(self, ctx: TransactionContext, request: str) -> str:
        """Step three: state the joint key that the member computed."""
        tx = await submission(ctx, request, commands.ConfirmKey)
        name = (tx.command.task_id, tx.command.epoch)
        ceremony = await tx.state.get(Ceremony, *name)
        found = ceremonies.confirm(tx.command, ceremony, await tx.state.list(KeyReveal, *name), tx.call)
        await tx.state.require_absent(KeyConfirmation, *name, found.msp_id)
        return await tx.commit(found, refs=[found.msp_id, found.joint_key_digest])

    async def Complain(self, ctx: TransactionContext, request: str) -> str:
        """State that another member's share or dealing is wrong."""
        tx = await submission(ctx, request, commands.Complain)
        name = (tx.command.task_id, tx.command.epoch)
        ceremony = await tx.state.get(Ceremony, *name)
        found = ceremonies.complain(tx.command, ceremony, await tx.state.list(KeyReveal, *name), tx.call)
        await tx.state.require_absent(KeyComplaint, *name, found.msp_id, found.against)
        return await tx.commit(found, refs=[found.msp_id, found.against])

    async def CloseCeremony(self, ctx: TransactionContext, request: str) -> str:
        """End a ceremony, with a key epoch or without."""
        tx = await submission(ctx, request, commands.CloseCeremony)
        view = await _ceremony_view(tx.state, tx.command.task_id, tx.command.epoch)
        ceremony, epoch = ceremonies.close(view, tx.call)
        made = () if epoch is None else (epoch,)
        return await tx.commit(ceremony, *made, refs=[ceremony.status.value, *ceremony.excluded])

    async def RetireEpoch(self, ctx: TransactionContext, request: str) -> str:
        """End the use of a key for new rounds."""
        tx = await submission(ctx, request, commands.RetireEpoch)
        task = await tx.state.get(Task, tx.command.task_id)
        epoch = await tx.state.get(KeyEpoch, tx.command.task_id, tx.command.epoch)
        retired = epochs.retire(tx.command, task, epoch, tx.call)
        return await tx.commit(retired, refs=[retired.public_key_digest])

    async def GrantKey(self, ctx: TransactionContext, request: str) -> str:
        """Note that a silo was given the packed key of an epoch."""
        tx = await submission(ctx, request, commands.GrantKey)
        task_id, number, name = tx.command.task_id, tx.command.epoch, tx.command.participant_id
        task = await tx.state.get(Task, task_id)
        epoch = await tx.state.get(KeyEpoch, task_id, number)
        registration = await tx.state.get(Registration, task_id, name)
        granted = epochs.grant(tx.command, task, epoch, registration, tx.call)
        await tx.state.require_absent(KeyGrant, task_id, number, name)
        return await tx.commit(granted, refs=[name, granted.digest])

    async def Get(self, ctx: TransactionContext, request: str) -> str:
        """Return the KeyEpoch."""
        command, state = query(ctx, request, commands.EpochName)
        return answer(await state.get(KeyEpoch, command.task_id, command.epoch))

    async def List(self, ctx: TransactionContext, request: str) -> str:
        """Return every KeyEpoch of a task, by number."""
        command, state = query(ctx, request, commands.TaskName)
        return answer(await state.list(KeyEpoch, command.task_id))

    async def GetCeremony(self, ctx: TransactionContext, request: str) -> str:
        """Return the CeremonyView."""
        command, state = query(ctx, request, commands.EpochName)
        return answer(await _ceremony_view(state, command.task_id, command.epoch))

    async def ListCeremonies(self, ctx: TransactionContext, request: str) -> str:
        """Return every Ceremony of a task, by number."""
        command, state = query(ctx, request, commands.TaskName)
        return answer(await state.list(Ceremony, command.task_id))


async def _ceremony_view(state: WorldState, task_id: str, number: int) -> CeremonyView:
    name = (task_id, number)
    return CeremonyView(
        ceremony=await state.get(Ceremony, *name),
        commitments=await state.list(KeyCommitment, *name),
        reveals=await state.list(KeyReveal, *name),
        confirmations=await state.list(KeyConfirmation, *name),
        complaints=await state.list(KeyComplaint, *name),
    )
