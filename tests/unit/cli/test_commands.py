"""The command line: help with examples, clear errors, stable exit codes, documentation that is what the code says."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from bfl_fabric.cli.application import application
from bfl_fabric.cli.reference import TOPOLOGY, processes, reference

ROOT = Path(__file__).parents[3]


def bfl(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bfl_fabric", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60
    )


def commands(prefix: str = "", command: Any = None) -> Iterator[tuple[str, Any]]:
    command = command or get_command(application)
    children = getattr(command, "commands", None)
    if children is None or command.invoke_without_command:
        yield prefix.strip(), command
    if children is None:
        return
    for name, child in children.items():
        yield from commands(f"{prefix} {name}", child)


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    command = COMMANDS[name]
    text = f"{command.help} {command.epilog or ''}"
    assert "Example" in text
    assert f"bfl {name}" in text


def test_the_reference_page_is_what_the_commands_say() -> None:
    page = (ROOT / "docs" / "commands.md").read_text("utf-8")
    assert page == reference(), "run `make docs`"


def test_the_handbook_lists_the_processes_of_the_sample_topology() -> None:
    page = (ROOT / "docs" / "guide" / "operating.md").read_text("utf-8")
    assert f"<!-- processes:begin -->\n{processes(ROOT / TOPOLOGY)}<!-- processes:end -->" in page, (
        "run `make docs`"
    )


def test_the_readme_names_every_noun_and_no_command_that_is_not_there() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for noun in {name.split()[0] for name in COMMANDS}:
        assert f"`bfl {noun}" in readme, noun
    for line in readme.splitlines():
        if line.startswith("| `bfl "):
            cell = line.split("|")[1].strip()
            noun, *verbs = cell.replace("`", "").replace(",", "").removeprefix("bfl ").split()
            for verb in verbs or [""]:
                assert f"{noun} {verb}".strip() in COMMANDS, f"bfl {noun} {verb}"


def test_the_readme_shows_the_sdk_example_word_for_word() -> None:
    example = (ROOT / "docs" / "examples" / "train_together.py").read_text("utf-8")
    assert f"```python\n{example}```" in (ROOT / "README.md").read_text("utf-8")
    ast.parse(example)


def test_a_federation_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    result = bfl("task", "list", "--federation", str(tmp_path / "nowhere"))
    assert result.returncode == 2
    assert "bfl federation create" in result.stderr
    assert "Traceback" not in result.stderr


def test_settings_with_an_unknown_key_name_file_and_key(tmp_path: Path) -> None:
    assert (
        bfl(
            "federation", "create", str(tmp_path / "fed"), "--organizations", "2", "--participants", "2"
        ).returncode
        == 0
    )
    settings = next((tmp_path / "fed" / "nodes").glob("verifier-*/node.toml"))
    settings.write_text("verbose = true\n" + settings.read_text("utf-8"), "utf-8")
    result = bfl("node", "run", str(settings))
    assert result.returncode == 2
    assert "node.toml: verbose: unknown key" in result.stderr


def test_a_directory_that_is_not_empty_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    result = bfl("federation", "create", str(tmp_path))
    assert result.returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_client_lists_the_known_ones(tmp_path: Path) -> None:
    bfl("federation", "create", str(tmp_path / "fed"), "--organizations", "2", "--participants", "2")
    result = bfl("task", "list", "--federation", str(tmp_path / "fed"), "--as", "mallory")
    assert result.returncode == 2
    assert "application" in result.stderr


def test_a_ledger_that_was_never_started_says_how_to_start_it(tmp_path: Path) -> None:
    bfl("federation", "create", str(tmp_path / "fed"), "--organizations", "2", "--participants", "2")
    result = bfl("task", "list", "--federation", str(tmp_path / "fed"))
    assert result.returncode == 2
    assert "bfl federation up" in result.stderr


def test_a_port_in_use_is_a_clear_error(tmp_path: Path) -> None:
    import socket

    bfl("federation", "create", str(tmp_path / "fed"), "--organizations", "2", "--participants", "2")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = bfl("ledger", "serve", str(tmp_path / "fed"), "--listen", f"127.0.0.1:{port}")
    assert result.returncode == 2
    assert str(port) in result.stderr
    assert "in use" in result.stderr


def test_doctor_says_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    bfl("federation", "create", str(tmp_path / "fed"), "--organizations", "2", "--participants", "2")
    result = bfl("doctor", "--federation", str(tmp_path / "fed"))
    assert result.returncode == 2
    assert "✗ ledger" in result.stdout
    assert "bfl federation up" in result.stdout
    healthy = bfl("doctor", "--json", cwd=tmp_path)
    assert healthy.returncode == 0, healthy.stdout
