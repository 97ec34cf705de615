"""Writes what the documentation takes from the code: `python -m bfl_fabric.cli.reference`, in the repository's root.

The page of all commands is made from their own help; the README shows the SDK's example word for word; the
operator's handbook lists the processes of the sample topology from the plan that networks and compose file come from.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

TOPOLOGY = "network/topologies/three-org.toml"
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
    if children is None or command.invoke_without_command:
        yield prefix, command
    if children is None:
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


def with_part(page: str, name: str, content: str) -> str:
    """Return a page with new content between its markers NAME:begin and NAME:end."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, rest = page.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{content}{end}{after}"


def processes(topology: Path) -> str:
    """Return the table of what runs in a network of a topology, as containers; native ports are free ones."""
    from bfl_fabric.network.material import ORDERER_MSP
    from bfl_fabric.network.plan import container_plan
    from bfl_fabric.network.topology import Topology

    plan = container_plan(Topology.load(topology), ORDERER_MSP)
    rows = [
        (
            item.name,
            item.msp_id,
            "orderer",
            item.main.port,
            f"{item.operations.port}, admin {item.admin.port}",
        )
        for item in plan.orderers
    ]
    rows += [(p.name, p.msp_id, "peer, gateway", p.main.port, str(p.operations.port)) for p in plan.peers]
    rows += [
        (c.name, c.msp_id, "contract service", c.main.port, str(c.operations.port)) for c in plan.contracts
    ]
    lines = ["| process | organization | what | port | health and metrics |", "|---|---|---|---|---|"]
    lines += [f"| `{row[0]}` | {row[1]} | {row[2]} | {row[3]} | {row[4]} |" for row in rows]
    return "\n".join(lines) + "\n"


def write(root: Path) -> None:
    """Bring all generated parts up to date."""
    (root / "docs" / "commands.md").write_text(reference(), "utf-8")
    readme = root / "README.md"
    example = (root / "docs" / "examples" / "train_together.py").read_text("utf-8")
    readme.write_text(with_part(readme.read_text("utf-8"), "sdk", f"```python\n{example}```\n"), "utf-8")
    handbook = root / "docs" / "guide" / "operating.md"
    handbook.write_text(
        with_part(handbook.read_text("utf-8"), "processes", processes(root / TOPOLOGY)), "utf-8"
    )


if __name__ == "__main__":
    write(Path.cwd())
