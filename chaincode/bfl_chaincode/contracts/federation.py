"""federation: who belongs to the consortium, and where its nodes listen."""

from __future__ import annotations

from bfl_chaincode import commands
from bfl_chaincode.api.records import Federation, Node, Organization, Participant
from bfl_chaincode.contracts.transaction import answer, asking, outsider, query, submission
from bfl_chaincode.rules import federation as rules
from bfl_chaincode.shim.contract_api import Contract, TransactionContext


class FederationContract(Contract):
    """Organizations, participants, nodes."""

    Name = "federation"

    def get_evaluate_transactions(self) -> list[str]:
        return ["GetFederation", "ListNodes", "ListOrganizations", "ListParticipants", "WhoAmI"]

    async def Found(self, ctx: TransactionContext, request: str) -> str:
        """Found the federation with its first organizations, once."""
        tx = outsider(ctx, request, commands.Found)
        await tx.state.require_absent(Federation)
        federation, organizations = rules.found(tx.command, tx.call)
        return await tx.commit(federation, *organizations, refs=[item.msp_id for item in organizations])

    async def AdmitOrganization(self, ctx: TransactionContext, request: str) -> str:
        """Admit an organization, or a suspended one again."""
        tx = await submission(ctx, request, commands.NewOrganization)
        present = await tx.state.find(Organization, tx.command.msp_id)
        return await tx.commit(rules.admit(tx.command, present, tx.call), refs=[tx.command.msp_id])

    async def SuspendOrganization(self, ctx: TransactionContext, request: str) -> str:
        """Suspend another organization: its participants, nodes and administrators are refused from now on."""
        tx = await submission(ctx, request, commands.OrganizationName)
        organization = await tx.state.get(Organization, tx.command.msp_id)
        return await tx.commit(rules.suspend(organization, tx.call), refs=[tx.command.msp_id])

    async def EnrolParticipant(self, ctx: TransactionContext, request: str) -> str:
        """Enrol a data silo of the administrator's own organization."""
        tx = await submission(ctx, request, commands.ParticipantName)
        name = tx.command.participant_id
        present = await tx.state.find(Participant, name)
        return await tx.commit(rules.enrol(name, present, tx.call), refs=[name])

    async def Leave(self, ctx: TransactionContext, request: str) -> str:
        """End a participation from the next round on."""
        tx = await submission(ctx, request, commands.ParticipantName)
        participant = await tx.state.get(Participant, tx.command.participant_id)
        return await tx.commit(rules.leave(participant, tx.call), refs=[tx.command.participant_id])

    async def AnnounceNode(self, ctx: TransactionContext, request: str) -> str:
        """Say where the caller's node listens."""
        tx = await submission(ctx, request, commands.AnnounceNode)
        return await tx.commit(rules.announce(tx.command, tx.call), refs=[tx.command.node_id])

    async def GetFederation(self, ctx: TransactionContext, request: str) -> str:
        """Return the Federation."""
        _, state = query(ctx, request, commands.Nothing)
        return answer(await state.get(Federation))

    async def ListOrganizations(self, ctx: TransactionContext, request: str) -> str:
        """Return every Organization, by MSP id."""
        _, state = query(ctx, request, commands.Nothing)
        return answer(await state.list(Organization))

    async def ListParticipants(self, ctx: TransactionContext, request: str) -> str:
        """Return every Participant, by id."""
        _, state = query(ctx, request, commands.Nothing)
        return answer(await state.list(Participant))

    async def ListNodes(self, ctx: TransactionContext, request: str) -> str:
        """Return every Node, by MSP id, role and id."""
        _, state = query(ctx, request, commands.Nothing)
        return answer(await state.list(Node))

    async def WhoAmI(self, ctx: TransactionContext, request: str) -> str:
        """Return the Caller as the contract sees it."""
        query(ctx, request, commands.Nothing)
        return answer(asking(ctx))
