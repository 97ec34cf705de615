"""The demonstration step by step: what is done, in which order, and what is shown. Nothing here is a rule."""

from __future__ import annotations

import asyncio
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from bfl_chaincode.api.records import THRESHOLD_SCHEME, CeremonyStatus
from bfl_fabric.audit.compare import compare
from bfl_fabric.audit.summary import Baselines, FactSummary, RunSummary, TrafficSummary
from bfl_fabric.cli.connection import command
from bfl_fabric.cli.demo_data import DemoData, prepare_data
from bfl_fabric.cli.display import RunDisplay
from bfl_fabric.cli.key_view import ceremony_line, ceremony_table, follow_ceremonies
from bfl_fabric.cli.output import percent, print_json, size
from bfl_fabric.errors import AuditFailed
from bfl_fabric.network import directory as directories
from bfl_fabric.network.topology import LedgerKind, generated
from bfl_fabric.sdk.federation import AsyncFederation, connect_async
from bfl_fabric.sdk.local import LocalFederation, NodeStatus
from bfl_fabric.sdk.summary import RunContext, collect_summary
from bfl_fabric.sdk.task import AsyncTask, RoundSummary
from bfl_fabric.sdk.terms import TaskTerms
from bfl_fabric.wiring import fetch_blocks

if TYPE_CHECKING:
    from bfl_fabric.cli.demo import DemoChoice
    from bfl_fabric.training.baselines import Baselines as Trained

ENDOWMENT = 1_000_000
POOL_PER_ROUND = 1_000
UPLOAD_SECONDS = 300
SHARE_SECONDS = 20
READY_SECONDS = 120.0


class DemoRun:
    """One demonstration. `console` is where people look; with --json it is the error stream."""

    def __init__(self, choice: DemoChoice, console: Console) -> None:
        self._choice = choice
        self._console = console
        topology = generated(choice.organizations, choice.participants, choice.scheme)
        self._topology = topology.on(choice.ledger, choice.consensus)
        self._started = time.monotonic()
        self._traffic: dict[int, TrafficSummary] = {}

    async def run(self) -> None:
        """Run everything; raises AuditFailed when the audit finds anything."""
        place = self._choice.directory
        data = prepare_data(self._choice, self._topology)
        LocalFederation.create(place, self._topology)
        data.hand_out(place, self._topology)
        display = RunDisplay(self._console, data.profile.title, data.rounds)
        with LocalFederation(place, lambda name, code: display.note(f"{name} was restarted")) as federation:
            # The silos take longest to start (they load torch), so all processes start at once and find each other.
            federation.start_all()
            self._introduce(data)
            await federation.ledger_ready()
            await federation.found(ENDOWMENT)
            async with connect_async(place) as client:
                with display:
                    task = await self._train(federation, client, data, display)
                statuses = federation.statuses()
                summary = await self._collect(client, task, data, statuses)
            if self._topology.ledger is LedgerKind.FABRIC:
                await self._compare_peers(place)
        await self._conclude(place, summary, statuses)

    async def _compare_peers(self, place: Path) -> None:
        """Copy every peer's blocks and hold the copies against each other; the first one is audited afterwards."""
        from bfl_fabric.cli.audit_run import copies_of, print_comparison

        copies = await fetch_blocks(place)
        comparison = await asyncio.to_thread(compare, copies_of(list(copies.values())))
        print_comparison(self._console, comparison)
        if not comparison.agreed:
            raise AuditFailed(f"the peers' copies differ: {comparison.differences[0]}")

    def _introduce(self, data: DemoData) -> None:
        console, topology = self._console, self._topology
        console.print(f"[bold]{topology.name}[/]  ·  {data.profile.title}", soft_wrap=True)
        table = Table(header_style="bold", title="Who takes part", title_justify="left")
        for heading in ("organization", "MSP", "region", "silos"):
            table.add_column(heading)
        for item in topology.organizations:
            table.add_row(item.name, item.msp_id, item.region, ", ".join(item.participants))
        console.print(table)
        console.print(data.share_table())

    async def _train(
        self, processes: LocalFederation, client: AsyncFederation, data: DemoData, display: RunDisplay
    ) -> AsyncTask:
        terms = self._terms(data)
        described, initial = await asyncio.to_thread(data.describe, self._choice.seed)
        task = await client.publish(terms, described, initial)
        watcher = asyncio.create_task(self._watch(processes, client, display))
        try:
            if terms.scheme == THRESHOLD_SCHEME:
                await self._watch_ceremony(task)
            await task.start(self._choice.participants)
            await task.wait(lambda summary: self._progress(summary, processes, display))
        finally:
            watcher.cancel()
        return task

    async def _watch_ceremony(self, task: AsyncTask) -> None:
        """Show how the key members make the joint key, which none of them ever has."""
        async for view in follow_ceremonies(task, READY_SECONDS):
            self._console.print(ceremony_line(view), soft_wrap=True)
            if view.ceremony.status is CeremonyStatus.CLOSED:
                self._console.print(ceremony_table(view))

    def _progress(self, summary: RoundSummary, processes: LocalFederation, display: RunDisplay) -> None:
        display.show(summary)
        up, down = traffic(processes.statuses())
        for number, earlier in self._traffic.items():
            if number != summary.number:
                up, down = up - earlier.up_bytes, down - earlier.down_bytes
        self._traffic[summary.number] = TrafficSummary(max(0, up), max(0, down))

    def _terms(self, data: DemoData) -> TaskTerms:
        profile = data.profile
        return TaskTerms(
            task_id=profile.data,
            title=profile.title,
            purpose=profile.purpose,
            rounds=data.rounds,
            minimum_cohort=min(4, self._choice.participants),
            upload_seconds=UPLOAD_SECONDS,
            learning_rate=profile.learning_rate,
            momentum=profile.momentum,
            batch_size=profile.batch_size,
            local_epochs=profile.local_epochs,
            seed=self._choice.seed,
            clip=profile.clip,
            value_bits=profile.value_bits,
            max_total_weight=profile.max_total_weight,
            minimum_samples=profile.minimum_samples,
            data_schema=profile.schema.document,
            pool=POOL_PER_ROUND * data.rounds,
            scheme=self._choice.scheme,
            share_seconds=SHARE_SECONDS,
        )

    async def _watch(self, processes: LocalFederation, client: AsyncFederation, display: RunDisplay) -> None:
        transactions = 0

        async def count() -> None:
            nonlocal transactions
            async for _ in client.ledger.events(start_block=0):
                transactions += 1

        counter = asyncio.create_task(count())
        try:
            while True:
                processes.check()
                up, down = traffic(processes.statuses())
                display.count(up=size(up), down=size(down), transactions=str(transactions))
                await asyncio.sleep(0.25)
        finally:
            counter.cancel()

    async def _collect(
        self, client: AsyncFederation, task: AsyncTask, data: DemoData, statuses: list[NodeStatus]
    ) -> RunSummary:
        self._console.print("training the two baselines on the same data ...", soft_wrap=True)
        reference = await asyncio.to_thread(data.baselines, self._choice.seed)
        view = await task.view()
        place = self._choice.directory
        genesis = directories.genesis_digest(place)
        context = RunContext(
            data=data.summary(),
            class_counts={row.name: row.per_class for row in data.summaries()},
            alone=reference.alone,
            baselines=Baselines(reference.centralized.accuracy_ppb, reference.mean_alone_ppb),
            initial=await asyncio.to_thread(data.measure_initial, view.task.spec),
            traffic=self._traffic,
            facts=_facts(statuses),
            genesis_digest=genesis,
            ledger_kind=self._topology.ledger_name,
            verify_command=f"{command()} audit verify {shlex.quote(str(place))} --genesis {genesis}",
        )
        summary = await collect_summary(client, task, context)
        self._console.print(self._result_table(summary, reference))
        return summary

    def _result_table(self, summary: RunSummary, reference: Trained) -> Table:
        table = Table(title="Held-out accuracy and earnings", title_justify="left", header_style="bold")
        for heading, justify in (
            ("model", "left"),
            ("samples", "right"),
            ("accuracy", "right"),
            ("earned", "right"),
        ):
            table.add_column(heading, justify=justify)  # type: ignore[arg-type]
        total = sum(item.samples for item in summary.participants)
        final = percent(summary.final_metrics.accuracy_ppb)
        table.add_row("[bold]federated, encrypted[/]", str(total), f"[bold green]{final}[/]", "")
        table.add_row(
            "centralized (all data in one place)", str(total), percent(reference.centralized.accuracy_ppb), ""
        )
        table.add_row(
            "each silo alone, on average", "", percent(reference.mean_alone_ppb), "", end_section=True
        )
        for item in summary.participants:
            earned = f"{item.balance:,}"
            table.add_row(
                f"{item.participant_id} alone", str(item.samples), percent(item.alone_accuracy_ppb), earned
            )
        return table

    async def _conclude(self, place: Path, summary: RunSummary, statuses: list[NodeStatus]) -> None:
        from bfl_fabric.cli.audit_run import audit_directory, print_audit, with_audit, write_report

        genesis = directories.genesis_digest(place)
        started = time.monotonic()
        report = await asyncio.to_thread(audit_directory, place, genesis, self._console)
        milliseconds = int((time.monotonic() - started) * 1000)
        print_audit(self._console, report)
        summary = with_audit(summary, report, milliseconds, int((time.monotonic() - self._started) * 1000))
        path = write_report(place, summary)
        aggregator = max((s.peak_memory_bytes for s in statuses if s.role == "aggregator"), default=0)
        self._console.print(
            f"peak memory of the aggregator {size(aggregator)}; wall time {time.monotonic() - self._started:.0f} s",
            soft_wrap=True,
        )
        self._console.print(f"report: {path}", soft_wrap=True)
        self._console.print(
            f"verify again, with nothing but the genesis digest:\n  {summary.verify_command}", soft_wrap=True
        )
        if self._choice.as_json:
            print_json(summary.to_json())
        if not report.passed:
            raise AuditFailed(f"the audit found {len(report.failures)} failures; see {path}")


def traffic(statuses: list[NodeStatus]) -> tuple[int, int]:
    """Return (bytes uploaded, bytes downloaded) by all nodes together."""
    return sum(item.uploaded_bytes for item in statuses), sum(item.downloaded_bytes for item in statuses)


def _facts(statuses: list[NodeStatus]) -> tuple[FactSummary, ...]:
    return tuple(
        FactSummary(f"peak memory of {item.node_id}", size(item.peak_memory_bytes))
        for item in statuses
        if item.role in ("aggregator", "key-holder")
    )
