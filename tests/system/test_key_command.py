"""`bfl key` on a running federation: the ceremony, a practice opening, a rotation, and what it shows of all that."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bfl_fabric.network.topology import generated
from bfl_fabric.sdk import TaskTerms, connect_async
from bfl_fabric.sdk.local import LocalFederation
from bfl_fabric.wiring import described_architecture

ROOT = Path(__file__).parents[2]
SHARED, SINGLE = "shared", "single"
MEMBERS = 3


def bfl(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bfl_fabric", "key", *arguments, "--federation", str(place)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)


def status(place: Path, task_id: str) -> dict[str, Any]:
    result = bfl(place, "status", task_id, "--json")
    assert result.returncode == 0, result.stderr
    (keys,) = json.loads(result.stdout)
    assert isinstance(keys, dict)
    return keys


async def publish(place: Path) -> None:
    """Publish a task of each kind; nobody registers, so that both stay published."""
    async with connect_async(place) as client:
        for task_id, scheme in ((SHARED, "threshold"), (SINGLE, "ckks")):
            terms = TaskTerms(task_id=task_id, title=task_id, scheme=scheme, share_seconds=60, pool=0)
            await client.publish(terms, *described_architecture("breast-cancer-mlp", 1))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running federation of three organizations without silos, each with a key holder."""
    place = tmp_path_factory.mktemp("keys") / "federation"
    LocalFederation.create(place, generated(MEMBERS, MEMBERS, "threshold"))
    with LocalFederation(place) as federation:
        federation.start_all()
        asyncio.run(federation.ledger_ready())
        asyncio.run(federation.found(0))
        asyncio.run(publish(place))
        yield place


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_joint_key_is_made_practised_with_and_replaced(place: Path) -> None:
    followed = bfl(place, "ceremony", SHARED)
    if followed.returncode == 2:  # the key was there already
        assert f"bfl key rotate {SHARED}" in followed.stderr
    else:
        assert followed.returncode == 0, followed.stderr
        assert "3/3 confirmed" in followed.stdout
    (epoch,) = status(place, SHARED)["epochs"]
    assert (len(epoch["members"]), epoch["threshold"]) == (MEMBERS, 2)

    drilled = bfl(place, "drill", SHARED, "--json")
    assert drilled.returncode == 0, drilled.stderr
    windows = json.loads(drilled.stdout)
    assert [window["opened"] for window in windows] == [True] * (MEMBERS - 1)

    rotated = bfl(place, "rotate", SHARED, "--reason", "practice")
    assert rotated.returncode == 0, rotated.stderr
    keys = status(place, SHARED)
    assert [item["epoch"] for item in keys["epochs"]] == [1, 2]
    assert keys["epochs"][0]["reason"] == "practice"
    assert [item["ceremony"]["status"] for item in keys["ceremonies"]] == ["CLOSED", "CLOSED"]
    assert keys["epochs"][0]["public_key_digest"] != keys["epochs"][1]["public_key_digest"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_single_key_is_replaced_without_ceremony(place: Path) -> None:
    rotated = bfl(place, "rotate", SINGLE)
    assert rotated.returncode == 0, rotated.stderr
    keys = status(place, SINGLE)
    assert [item["epoch"] for item in keys["epochs"]] == [1, 2]
    assert keys["ceremonies"] == []
    for verb in ("ceremony", "drill"):
        refused = bfl(place, verb, SINGLE)
        assert refused.returncode == 2, refused.stdout
        assert "single key" in refused.stderr
    shown = bfl(place, "status")
    assert shown.returncode == 0
    assert "retired: rotation" in shown.stdout
    assert "any 2 of" in shown.stdout
