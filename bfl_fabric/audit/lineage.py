"""The lineage of a task's models: which model was made from which, by whom, and what follows from that.

Decides the graph and its queries. A graph is built from model records that somebody else has verified; it refuses
records that do not make a graph at all (two models with one round, a cycle, a parent that nobody published).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import ModelRecord
from bfl_fabric.errors import AuditFailed, NotFound

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class ModelNode:
    """A published model. The initial model is of round 0 and has no parent and no contributors."""

    task_id: str
    round: int
    digest: str
    parent_digest: str
    contributors: tuple[str, ...]
    total_weight: int
    accuracy_ppb: int


class LineageGraph:
    """The models of one task. Two rounds may publish the same bytes, so a node is named by its round."""

    def __init__(self, models: Iterable[ModelRecord]) -> None:
        """Raises AuditFailed when the records do not form a tree that starts at one initial model."""
        self._nodes: dict[int, ModelNode] = {}
        self._parents: dict[int, int] = {}
        for model in sorted(models, key=lambda record: record.round):
            self._add(model)

    def __iter__(self) -> Iterator[ModelNode]:
        """Yield the models in the order of their rounds."""
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def latest(self) -> ModelNode:
        """The model of the highest round. Raises NotFound when there is none."""
        if not self._nodes:
            raise NotFound("this lineage holds no model")
        return self._nodes[max(self._nodes)]

    def at_round(self, number: int) -> ModelNode:
        """Return the model of this round. Raises NotFound."""
        if number not in self._nodes:
            raise NotFound(f"no model was published in round {number}")
        return self._nodes[number]

    def by_digest(self, digest: str) -> ModelNode:
        """Return the first model with this digest. Raises NotFound."""
        for node in self._nodes.values():
            if node.digest == digest:
                return node
        raise NotFound(f"no published model has the digest {digest}")

    def parent(self, node: ModelNode) -> ModelNode | None:
        """Return what the model was made from, None for the initial one."""
        number = self._parents.get(node.round)
        return None if number is None else self._nodes[number]

    def ancestors(self, node: ModelNode) -> tuple[ModelNode, ...]:
        """Return everything that the model descends from, its parent first, the initial model last."""
        found = []
        current = self.parent(node)
        while current is not None:
            found.append(current)
            current = self.parent(current)
        return tuple(found)

    def descendants(self, node: ModelNode) -> tuple[ModelNode, ...]:
        """Return every model that descends from this one, in the order of rounds."""
        inside = {node.round}
        for number, parent in sorted(self._parents.items()):
            if parent in inside:
                inside.add(number)
        return tuple(self._nodes[number] for number in sorted(inside - {node.round}))

    def contributions(self, node: ModelNode) -> Mapping[str, tuple[int, ...]]:
        """Return for each participant whose updates are in the model the rounds in which it contributed."""
        rounds: dict[str, list[int]] = {}
        for ancestor in reversed((node, *self.ancestors(node))):
            for participant in ancestor.contributors:
                rounds.setdefault(participant, []).append(ancestor.round)
        return {participant: tuple(numbers) for participant, numbers in sorted(rounds.items())}

    def contributors(self, node: ModelNode) -> tuple[str, ...]:
        """Return the participants whose updates are in the model, sorted."""
        return tuple(self.contributions(node))

    def models_of(self, participant_id: str) -> tuple[ModelNode, ...]:
        """Return every model that carries anything of this participant, in the order of rounds."""
        return tuple(node for node in self if participant_id in self.contributors(node))

    def to_json(self) -> dict[str, Json]:
        """Return nodes and edges; an edge goes from a model to what was made of it."""
        nodes: list[Json] = [
            {
                "round": node.round,
                "digest": node.digest,
                "contributors": list(node.contributors),
                "total_weight": node.total_weight,
                "accuracy_ppb": node.accuracy_ppb,
            }
            for node in self
        ]
        edges: list[Json] = [[parent, number] for number, parent in sorted(self._parents.items())]
        return {"version": FORMAT_VERSION, "nodes": nodes, "edges": edges}

    def _add(self, model: ModelRecord) -> None:
        if model.round in self._nodes:
            raise AuditFailed(f"task {model.task_id} has two models of round {model.round}")
        if any(node.task_id != model.task_id for node in self._nodes.values()):
            raise AuditFailed(f"a model of task {model.task_id} stands in the lineage of another task")
        if model.round > 0:
            self._parents[model.round] = self._parent_round(model)
        elif model.parent_digest:
            raise AuditFailed(f"the initial model of task {model.task_id} names a parent")
        self._nodes[model.round] = ModelNode(
            model.task_id,
            model.round,
            model.digest,
            model.parent_digest,
            model.contributors,
            model.total_weight,
            model.metrics.accuracy_ppb,
        )

    def _parent_round(self, model: ModelRecord) -> int:
        """Return the latest earlier round with the parent's digest: a round starts from the newest model."""
        for number in sorted(self._nodes, reverse=True):
            if self._nodes[number].digest == model.parent_digest:
                return number
        raise AuditFailed(
            f"the model of round {model.round} of task {model.task_id} names a parent {model.parent_digest!r} "
            "that no earlier round published"
        )
