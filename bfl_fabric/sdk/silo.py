"""A silo inside an application's process: its own module, its own data, its own identity."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from bfl_chaincode.api.records import TaskSpec
from bfl_fabric import config, wiring
from bfl_fabric.roles.loop import LoopTerms, ReconcilerLoop
from bfl_fabric.roles.participant import ParticipantRole

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from bfl_fabric.training.vectors import ModuleFactory


async def run_silo(settings: config.ClientSettings, model: ModuleFactory, data: DataLoader[Any]) -> None:
    """Take part, with this module and data, in every task whose model has the module's tensors, until cancelled."""
    from bfl_fabric.training.trainer import TorchTrainer
    from bfl_fabric.training.vectors import build, model_terms

    trainer = TorchTrainer(settings.name, model, data)
    tensors = model_terms("", build(model, 0)).tensors

    def takes(spec: TaskSpec) -> bool:
        return spec.model.tensors == tensors

    async with AsyncExitStack() as stack:
        actor = wiring.Actor(settings.name, settings.ledger, settings.identity, settings.storage)
        bench, _ = await wiring.workbench(actor, stack)
        role = ParticipantRole(bench, trainer, takes, wiring.key_folder(settings.storage), joins=True)
        loop = ReconcilerLoop(role, bench.ports.ledger, bench.ports.clock, LoopTerms(), wiring.logged)
        await loop.run()
