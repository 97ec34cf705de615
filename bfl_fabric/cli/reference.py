"""Writes what the documentation takes from the code: `python -m bfl_fabric.cli.reference`, in the repository's root.

The page of all commands is made from their own help; the README shows the SDK's example word for word.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

SDK_BEGIN, SDK_END = "<!-- sdk:begin -->", "<!-- sdk:end -->"
HEADER = """# Commands

Made by `make docs` from the commands' own help. Global options: `--version`, `--log-level`. Commands that talk to a
federation take `--federation` (or `BFL_FEDERATION`; by default the last demo here) and `--as IDENTITY`.
"""


def reference() -> str:
    """Return the page."""
    from bfl_fabric.cli.application import application

    parts = [HEADER]
    for name, command in _commands("bfl", get_command(application)):
        parts.append(_section(name, command))
    return "\n".join(parts)


def _commands(prefix: str, command: Any) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield prefix, command
        return
    for name in sorted(children):
        yield from _commands(f"{prefix} {name}", children[name])


def _section(name: str, command: Any) -> str:
    lines = [f"## `{name}`", "", inspect.cleandoc(command.help or ""), ""]
    rows = (
        [_parameter(item) for item in command.params if not item.hidden and item.name != "help"]
        if command.params
        else []
    )
    if rows:
        lines += ["| | |", "|---|---|", *rows, ""]
    if command.epilog:
        lines += [command.epilog, ""]
    return "\n".join(lines)


def _parameter(item: Any) -> str:
    names = (
        ", ".join(f"`{option}`" for option in item.opts)
        if item.param_type_name == "option"
        else f"`{item.name}`"
    )
    return f"| {names} | {(getattr(item, 'help', '') or '').replace('|', '/')} |"


def with_example(readme: str, example: str) -> str:
    """Return the README with the example between its markers."""
    before, rest = readme.split(SDK_BEGIN)
    _, after = rest.split(SDK_END)
    return f"{before}{SDK_BEGIN}\n```python\n{example}```\n{SDK_END}{after}"


def write(root: Path) -> None:
    """Bring all generated parts up to date."""
    (root / "docs" / "commands.md").write_text(reference(), "utf-8")
    readme = root / "README.md"
    example = (root / "docs" / "examples" / "train_together.py").read_text("utf-8")
    readme.write_text(with_example(readme.read_text("utf-8"), example), "utf-8")


if __name__ == "__main__":
    write(Path.cwd())
