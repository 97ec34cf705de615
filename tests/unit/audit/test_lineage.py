"""The graph of models: who descends from whom, and whose updates are in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import Metrics, ModelRecord
from bfl_fabric.audit.lineage import LineageGraph
from bfl_fabric.errors import AuditFailed, NotFound


def _model(number: int, parent: str = "", contributors: tuple[str, ...] = ()) -> ModelRecord:
    return ModelRecord(
        task_id="task",
        round=number,
        digest=f"model-{number}",
        size_bytes=4,
        parent_digest=parent,
        sum_digest="",
        contributors=contributors,
        total_weight=10,
        metrics=Metrics(900_000_000 + number, 0, 10),
        published_at=number,
    )


CHAIN = (
    _model(0),
    _model(1, "model-0", ("a", "b")),
    _model(3, "model-1", ("b", "c")),
    _model(4, "model-3", ("a",)),
)


def test_ancestors_lead_from_the_parent_to_the_initial_model() -> None:
    graph = LineageGraph(reversed(CHAIN))
    assert [node.round for node in graph] == [0, 1, 3, 4]
    assert [node.round for node in graph.ancestors(graph.latest)] == [3, 1, 0]
    assert [node.round for node in graph.descendants(graph.at_round(1))] == [3, 4]


def test_contributors_of_a_model_are_those_of_everything_it_descends_from() -> None:
    graph = LineageGraph(CHAIN)
    assert graph.contributors(graph.at_round(0)) == ()
    assert graph.contributors(graph.at_round(3)) == ("a", "b", "c")
    assert graph.contributions(graph.latest) == {"a": (1, 4), "b": (1, 3), "c": (3,)}
    assert [node.round for node in graph.models_of("c")] == [3, 4]


def test_models_are_found_by_digest_and_by_round() -> None:
    graph = LineageGraph(CHAIN)
    assert graph.by_digest("model-3").round == 3
    with pytest.raises(NotFound):
        graph.by_digest("model-2")
    with pytest.raises(NotFound):
        graph.at_round(2)
    with pytest.raises(NotFound):
        LineageGraph(()).latest  # noqa: B018 - the property raises


def test_two_rounds_may_publish_the_same_bytes() -> None:
    same = replace(_model(2, "model-1"), digest="model-1")
    graph = LineageGraph((_model(0), _model(1, "model-0"), same, _model(3, "model-1")))
    assert [node.round for node in graph.ancestors(graph.latest)] == [2, 1, 0]


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ((_model(0), _model(0)), "two models of round 0"),
        ((_model(0), _model(1, "elsewhere")), "no earlier round published"),
        ((_model(1, "model-0"),), "no earlier round published"),
        ((_model(0, "model-0"),), "names a parent"),
        ((_model(0), replace(_model(1, "model-0"), task_id="other")), "another task"),
    ],
)
def test_records_that_make_no_graph_are_refused(models: tuple[ModelRecord, ...], words: str) -> None:
    with pytest.raises(AuditFailed, match=words):
        LineageGraph(models)


def test_the_json_form_has_nodes_and_edges() -> None:
    form = LineageGraph(CHAIN).to_json()
    assert form["edges"] == [[0, 1], [1, 3], [3, 4]]
    assert canonical.digest(form) == canonical.digest(LineageGraph(CHAIN).to_json())
