"""The live picture of a run: a table that grows round by round on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bfl_chaincode.api.records import PPB, Phase
from bfl_fabric.cli.output import percent, size
from bfl_fabric.sdk.task import RoundSummary

STEPS = (
    Phase.COLLECTING,
    Phase.SEALED,
    Phase.AGGREGATED,
    Phase.VERIFIED,
    Phase.RELEASED,
    Phase.PUBLISHED,
    Phase.SETTLED,
)
BAR_WIDTH = 24


def line_of(summary: RoundSummary) -> str:
    """Return one line for one state of one round."""
    accuracy = f"  accuracy {percent(summary.accuracy_ppb)}" if summary.accuracy_ppb is not None else ""
    opened = f"  opened by {opened_by(summary)}" if summary.opened_by else ""
    reason = f"  ({summary.reason})" if summary.reason else ""
    return (
        f"round {summary.number:>3}  {summary.phase.value:<10}  {summary.delivered}/{summary.cohort} in  "
        f"{size(summary.upload_bytes)} up{accuracy}{opened}{reason}"
    )


def opened_by(summary: RoundSummary) -> str:
    """Return who opened a round's sum, and in which attempt if not in the first."""
    again = f" (attempt {summary.attempt})" if summary.attempt > 1 else ""
    return ", ".join(summary.opened_by) + again


class RunDisplay:
    """Shows rounds, traffic and ledger transactions while a task runs. A context manager."""

    def __init__(self, console: Console, title: str, rounds: int) -> None:
        self._console = console
        self._title = title
        self._rounds = rounds
        self._summaries: dict[int, RoundSummary] = {}
        self._counters: dict[str, str] = {}
        self._notes: list[str] = []
        self._started = time.monotonic()
        self._live = Live(console=console, refresh_per_second=8, get_renderable=self._picture)

    def __enter__(self) -> RunDisplay:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, summary: RoundSummary) -> None:
        """Take in a new state of a round."""
        earlier = self._summaries.get(summary.number)
        self._summaries[summary.number] = summary
        if not self._console.is_terminal and (earlier is None or earlier.phase is not summary.phase):
            self._console.print(line_of(summary), soft_wrap=True)

    def count(self, **counters: str) -> None:
        """Set the figures under the table, for example `transactions="412"`."""
        self._counters.update(counters)

    def note(self, text: str) -> None:
        """Add a line below the table, for example that a process was restarted."""
        self._notes.append(text)
        if not self._console.is_terminal:
            self._console.print(text, soft_wrap=True)

    def _picture(self) -> Group:
        table = Table(title=self._title, title_justify="left", header_style="bold", expand=False)
        table.add_column("round", justify="right")
        table.add_column("phase", min_width=10)
        table.add_column("", min_width=len(STEPS))
        table.add_column("in", justify="right", min_width=5)
        table.add_column("up", justify="right", min_width=9)
        table.add_column("held-out accuracy", no_wrap=True, min_width=BAR_WIDTH + 8)
        if shared := any(item.opened_by for item in self._summaries.values()):
            table.add_column("opened by", overflow="fold")
        visible = sorted(self._summaries)[-max(4, self._console.height - 12) :]
        for number in visible:
            summary = self._summaries[number]
            opened = (opened_by(summary),) if shared else ()
            table.add_row(*_cells(summary, self._rounds), *opened)
        figures = {"elapsed": f"{time.monotonic() - self._started:.0f} s", **self._counters}
        line = Text("   ".join(f"{name} {value}" for name, value in figures.items()), style="dim")
        if not self._summaries:
            table = Table.grid()
            table.add_row("starting the processes; the silos load PyTorch, which takes a few seconds ...")
        return Group(table, line, *(Text(note, style="yellow") for note in self._notes[-4:]))


def _cells(summary: RoundSummary, rounds: int) -> tuple[str, ...]:
    if summary.phase is Phase.ABORTED:
        progress, style = "✗", "red"
    else:
        done = STEPS.index(summary.phase) + 1 if summary.phase in STEPS else 0
        progress, style = "●" * done + "·" * (len(STEPS) - done), "green" if done == len(STEPS) else "cyan"
    return (
        f"{summary.number}/{rounds}",
        f"[{style}]{summary.phase.value}[/]",
        f"[{style}]{progress}[/]",
        f"{summary.delivered}/{summary.cohort}",
        size(summary.upload_bytes),
        _bar(summary.accuracy_ppb) if summary.accuracy_ppb is not None else summary.reason,
    )


def _bar(ratio_ppb: int) -> str:
    filled = round(BAR_WIDTH * ratio_ppb / PPB)
    return f"[green]{'█' * filled}[/][dim]{'░' * (BAR_WIDTH - filled)}[/] {percent(ratio_ppb)}"
