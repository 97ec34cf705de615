"""A topology whose key several organizations share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bfl_chaincode.api.records import NodeRole
from bfl_fabric.config import explained
from bfl_fabric.network.topology import RolePlan, Topology, generated


@pytest.mark.parametrize(("organizations", "threshold"), [(2, 2), (3, 2), (4, 3), (5, 3), (10, 6)])
def test_with_the_scheme_threshold_everybody_holds_a_share_and_a_majority_opens(
    organizations: int, threshold: int
) -> None:
    topology = generated(organizations, organizations, "threshold")
    assert topology.roles.key_members == tuple(sorted(item.msp_id for item in topology.organizations))
    assert topology.roles.threshold == threshold
    for item in topology.organizations:
        assert list(topology.nodes(item).values()).count(NodeRole.KEY_HOLDER) == 1


@pytest.mark.parametrize("scheme", ["ckks", "packed"])
def test_with_a_single_key_one_organization_runs_a_key_holder(scheme: str) -> None:
    topology = generated(3, 3, scheme)
    roles = [role for item in topology.organizations for role in topology.nodes(item).values()]
    assert roles.count(NodeRole.KEY_HOLDER) == 1
    assert "key_members" not in topology.dump()


def test_the_members_survive_the_way_through_a_file(tmp_path: Path) -> None:
    topology = generated(5, 5, "threshold")
    path = tmp_path / "federation.toml"
    path.write_text(topology.dump(), "utf-8")
    assert Topology.load(path) == topology


@pytest.mark.parametrize(
    ("change", "objection"),
    [
        ({"threshold": 0}, "at least 2"),
        ({"threshold": 1}, "at least 2"),
        ({"threshold": 4}, "at least 2"),
        ({"key_members": ()}, "at least 2"),
        ({"key_members": ("C", "A", "B")}, "ascending"),
        ({"key_members": ("A", "A", "B")}, "ascending"),
    ],
    ids=str,
)
def test_a_threshold_that_cannot_be_is_refused(change: dict[str, Any], objection: str) -> None:
    roles = {
        "coordinator": "A",
        "aggregator": "B",
        "key_holder": "C",
        "key_members": ("A", "B", "C"),
        "threshold": 2,
    }
    RolePlan.model_validate(roles)
    with pytest.raises(ValidationError) as refused:
        RolePlan.model_validate(roles | change)
    assert objection in explained(refused.value)


def test_a_member_that_is_no_organization_is_refused() -> None:
    topology = generated(3, 3, "threshold").model_dump()
    topology["roles"]["key_members"] = ("Stranger", "Zebra")
    with pytest.raises(ValidationError, match="Stranger"):
        Topology.model_validate(topology)
