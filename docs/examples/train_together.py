"""Publish a task for your own torch model, run it over four silos, read rewards and lineage."""

import sys

import torch
from torch.utils.data import DataLoader, TensorDataset

import bfl_fabric
from bfl_fabric.sdk import TaskTerms


def model() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))


def own_data(silo: int) -> DataLoader:
    points = torch.randn(120, 2, generator=torch.Generator().manual_seed(silo)) + 0.3 * silo
    labels = (points.norm(dim=1) > 1.2).long()
    return DataLoader(TensorDataset(points, labels), batch_size=16)


with bfl_fabric.connect(sys.argv[1]) as federation:
    terms = TaskTerms(task_id="ring", title="Inside or outside the ring", rounds=3, learning_rate="0.1")
    task = federation.publish(terms, model)
    for silo, participant in enumerate(federation.participants()):
        federation.join(participant.participant_id, model, own_data(silo))
    task.run(participants=4, on_progress=lambda round_: print(round_.number, round_.phase, round_.delivered))

    print("earned", task.rewards())
    for record in task.lineage():
        print(
            f"round {record.round}: model {record.digest[:12]} of {', '.join(record.contributors) or 'nobody'}"
        )
    trained = task.load_into(model())
    points, labels = next(iter(own_data(9)))
    print("accuracy on fresh data", (trained(points).argmax(1) == labels).float().mean().item())
