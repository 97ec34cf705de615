"""`bfl demo` from beginning to end, once, what everybody can do with what it leaves behind, and the same run elsewhere.

The models of the demonstration are what every other run of the same task must come to: on a real Fabric network, and
with processes killed again and again.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bfl_chaincode.api.records import PPB
from bfl_fabric.audit.findings import AuditReport
from bfl_fabric.cli.audit_run import audit_directory
from bfl_fabric.errors import BflError
from bfl_fabric.network.directory import genesis_digest
from bfl_fabric.sdk import AsyncTask
from bfl_fabric.sdk.local import LocalFederation
from tests.system.federations import Plan, run_federation

ROOT = Path(__file__).parents[2]
ROUNDS, UNDER_FIRE = 10, 8
FLIPS = 18
KILLS = 20
KINDS = ("ledger", "coordinator", "aggregator", "verifier", "key-holder", "")
"""What processes' names begin with; those of silos with none of these."""
SEED = 20261121


def bfl(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bfl_fabric", *arguments], cwd=cwd, capture_output=True, text=True, timeout=280
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Run the demonstration as it is, in a directory whose name is not easy."""
    place = tmp_path_factory.mktemp("demo with späces")
    result = bfl("demo", "--json", cwd=place)
    assert result.returncode == 0, result.stderr
    return place / "bfl-demo" / "latest", json.loads(result.stdout)


def audit(place: Path, genesis: str) -> AuditReport:
    return audit_directory(place, genesis, Console(quiet=True))


@pytest.mark.slow
class TestDemo:
    def test_every_round_is_settled_and_the_audit_passes(self, demo: tuple[Path, dict[str, Any]]) -> None:
        _, summary = demo
        assert [item["phase"] for item in summary["rounds"]] == ["SETTLED"] * ROUNDS
        assert summary["audit"]["passed"]
        counts = {item["name"]: item["count"] for item in summary["audit"]["counts"]}
        assert counts["ciphertexts"] == 6 * ROUNDS
        assert counts["aggregates"] == ROUNDS
        assert counts["payouts"] == 6 * ROUNDS

    def test_the_model_is_as_good_as_central_training_and_better_than_silos_alone(
        self, demo: tuple[Path, dict[str, Any]]
    ) -> None:
        _, summary = demo
        federated = summary["rounds"][-1]["metrics"]["accuracy_ppb"]
        baselines = summary["baselines"]
        assert federated >= baselines["centralized_accuracy_ppb"] - PPB // 100
        assert federated > baselines["alone_accuracy_ppb"]

    def test_the_pool_is_paid_out_to_the_last_unit(self, demo: tuple[Path, dict[str, Any]]) -> None:
        _, summary = demo
        assert sum(item["balance"] for item in summary["participants"]) == summary["task"]["pool"]

    def test_the_report_needs_nothing_from_elsewhere(self, demo: tuple[Path, dict[str, Any]]) -> None:
        place, _ = demo
        page = (place / "report.html").read_text("utf-8")
        assert "src=" not in page
        assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")

    def test_no_secret_is_in_any_log_or_blob_or_setting(self, demo: tuple[Path, dict[str, Any]]) -> None:
        place, _ = demo
        keys = [path.read_bytes().splitlines()[1] for path in place.rglob("*key.pem")]
        assert len(keys) > 30
        for path in place.rglob("*"):
            if path.is_file() and path.suffix != ".pem" and path.stat().st_size < 4_000_000:
                content = path.read_bytes()
                assert not any(key in content for key in keys), path

    @pytest.mark.needs_fabric
    @pytest.mark.timeout(600)
    def test_a_run_on_fabric_ends_with_the_same_models_and_payouts(
        self, demo: tuple[Path, dict[str, Any]], tmp_path: Path
    ) -> None:
        _, embedded = demo
        result = bfl("demo", "--json", "--rounds", "2", "--ledger", "fabric", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        fabric = json.loads(result.stdout)
        assert [item["phase"] for item in fabric["rounds"]] == ["SETTLED"] * 2
        assert fabric["audit"]["passed"]
        for name in ("model_digest", "payouts"):
            assert [item[name] for item in fabric["rounds"]] == [
                item[name] for item in embedded["rounds"][:2]
            ]
        assert sum(item["balance"] for item in fabric["participants"]) == fabric["task"]["pool"]

    @pytest.mark.timeout(600)
    def test_twenty_kills_of_every_process_kind_leave_every_model_the_same(
        self, demo: tuple[Path, dict[str, Any]], tmp_path: Path
    ) -> None:
        _, undisturbed = demo
        killed: list[str] = []

        async def disturb(federation: LocalFederation, task: AsyncTask) -> None:
            await kill_again_and_again(federation, task, killed)

        plan = Plan(rounds=UNDER_FIRE)
        models = [record.digest for record in run_federation(tmp_path / "kills", plan, disturb)]
        assert models[1:] == [item["model_digest"] for item in undisturbed["rounds"][:UNDER_FIRE]]
        assert len(killed) == KILLS, f"the task ended after {len(killed)} kills: {killed}"

    def test_audit_verify_takes_a_pinned_genesis_and_refuses_another(
        self, demo: tuple[Path, dict[str, Any]]
    ) -> None:
        place, _ = demo
        pinned = bfl("audit", "verify", str(place), "--genesis", genesis_digest(place), "--json", cwd=ROOT)
        assert pinned.returncode == 0, pinned.stderr
        assert json.loads(pinned.stdout)["passed"]
        other = bfl("audit", "verify", str(place), "--genesis", "0" * 64, cwd=ROOT)
        assert other.returncode == 3

    @pytest.mark.timeout(600)
    def test_a_federation_comes_up_again_and_answers_every_question(
        self, demo: tuple[Path, dict[str, Any]]
    ) -> None:
        place, summary = demo
        asked = [
            ("federation", "show"),
            ("federation", "whoami"),
            ("participant", "list"),
            ("node", "list"),
            ("task", "list"),
            ("task", "show", "breast-cancer"),
            ("round", "list", "breast-cancer"),
            ("round", "show", "breast-cancer", "2"),
            ("model", "lineage", "breast-cancer"),
            ("reward", "accounts"),
            ("reward", "statement", "pool:breast-cancer"),
            ("reward", "earned", "breast-cancer"),
            ("reward", "conservation"),
            ("ledger", "blocks"),
            ("doctor",),
        ]
        shown = asked[::4]
        command = [sys.executable, "-m", "bfl_fabric", "federation", "up", str(place)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as up:
            assert up.stdout is not None
            try:
                assert any("ready" in line for line in up.stdout)
                answers = {}
                for words in asked:
                    for form in ((), ("--json",)) if words in shown else (("--json",),):
                        result = bfl(*words, "--federation", str(place), *form, cwd=ROOT)
                        assert result.returncode == 0, (words, result.stdout, result.stderr)
                        answers[words] = result.stdout
                exported = place / "model.safetensors"
                assert (
                    bfl(
                        "model", "export", "breast-cancer", str(exported), "-f", str(place), cwd=ROOT
                    ).returncode
                    == 0
                )
            finally:
                up.send_signal(signal.SIGINT)
                up.wait(timeout=15)
        assert json.loads(answers["reward", "conservation"])["difference"] == 0
        lineage = json.loads(answers["model", "lineage", "breast-cancer"])
        assert [item["digest"] for item in lineage[1:]] == [
            item["model_digest"] for item in summary["rounds"]
        ]
        assert exported.stat().st_size > 4 * summary["task"]["parameter_count"]
        assert audit(place, genesis_digest(place)).passed

    @pytest.mark.timeout(600)
    def test_any_flipped_byte_is_found_and_named(
        self, demo: tuple[Path, dict[str, Any]], tmp_path: Path
    ) -> None:
        place, summary = demo
        copy = tmp_path / "copy"
        shutil.copytree(place, copy)
        genesis = genesis_digest(place)
        chosen = random.Random(SEED)
        ciphertexts = sorted(copy.glob("nodes/*/blobs/*/*"))
        final = summary["rounds"][-1]["model_digest"]
        models = [path for path in ciphertexts if path.name == final]
        assert models
        for number in range(FLIPS):
            target = (copy / "ledger" / "blocks.bin", chosen.choice(ciphertexts), chosen.choice(models))[
                number % 3
            ]
            flip_and_audit(target, chosen, copy, genesis)


async def kill_again_and_again(federation: LocalFederation, task: AsyncTask, killed: list[str]) -> None:
    """Kill -9 processes of each kind in turn, at random moments, until KILLS or the end of the task."""
    chosen = random.Random(SEED)
    for number in range(KILLS):
        names = sorted(federation.process_ids())
        kind = KINDS[number % len(KINDS)]
        fitting = [name for name in names if name.startswith(kind)] if kind else silos(names)
        name = chosen.choice(fitting)
        await asyncio.sleep(chosen.uniform(0.2, 1.5))
        federation.kill(name)
        killed.append(name)
        # On a machine this fast rounds end quickly: kills must fall into running rounds, not after the task.
        try:
            if (await task.view()).task.status != "RUNNING":
                break
        except BflError:
            continue


def silos(names: list[str]) -> list[str]:
    return [name for name in names if not name.startswith(tuple(filter(None, KINDS)))]


def flip_and_audit(target: Path, chosen: random.Random, copy: Path, genesis: str) -> None:
    original = target.read_bytes()
    position = chosen.randrange(len(original))
    changed = bytearray(original)
    changed[position] ^= 1 << chosen.randrange(8)
    target.chmod(0o600)
    target.write_bytes(changed)
    try:
        report = audit(copy, genesis)
    finally:
        target.write_bytes(original)
    assert not report.passed, f"byte {position} of {target.name}"
    named = [
        failure for failure in report.failures if failure.block >= 0 or failure.transaction_id or failure.blob
    ]
    assert named, f"byte {position} of {target.name}: {[str(f) for f in report.failures][:3]}"
