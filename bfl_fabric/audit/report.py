"""The report of a run: one HTML file that needs nothing but itself.

Decides what the page says and in which order. Plots are left to `report_plots`, tables to `report_tables`, keys to
`report_keys`, colours and layout to `stylesheet`. Text from the ledger is escaped by `markup`; the page carries a
content policy that lets no script run and nothing load.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from bfl_fabric.audit import report_keys, stylesheet
from bfl_fabric.audit import report_plots as plots
from bfl_fabric.audit import report_tables as tables
from bfl_fabric.audit.markup import Markup, element, join, raw_style
from bfl_fabric.audit.report_tables import Palette, amount, byte_size, card, percent, points
from bfl_fabric.audit.summary import RunSummary

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def write_report(summary: RunSummary, path: Path) -> None:
    """Write the report to `path`, whole or not at all."""
    aside = path.with_name(path.name + ".part")
    aside.write_text(render(summary), encoding="utf-8")
    aside.replace(path)


def render(summary: RunSummary) -> str:
    """Return the report as one HTML text."""
    palette = Palette.of(summary)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{summary.task.title} · run report"),
        raw_style(stylesheet.sheet(palette.groups)),
    )
    body = element(
        "body",
        _header(summary),
        element(
            "main",
            plots.accuracy(summary),
            plots.rewards(summary, palette),
            plots.traffic_and_ledger(summary),
            plots.lineage(summary, palette),
            _shares(summary, palette),
            _rounds(summary),
            report_keys.section(summary),
            _verification(summary),
        ),
        _footer(summary),
    )
    return "<!DOCTYPE html>\n" + element("html", head, body, lang="en") + "\n"


# --- the opening ----------------------------------------------------------------------------------


def _header(summary: RunSummary) -> Markup:
    task, federation = summary.task, summary.federation
    finished = datetime.fromtimestamp(summary.finished_at / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    meta = (
        ("Task", task.task_id),
        ("Federation", f"{federation.name}, {len(federation.organizations)} organizations"),
        ("Participants", str(len(summary.participants))),
        ("Data", summary.data.name),
        ("Model", f"{task.architecture}, {amount(task.parameter_count)} parameters"),
        ("Encryption", task.scheme),
        ("Key held by", report_keys.held_by(summary)),
        ("Finished", finished),
    )
    items = (element("li", f"{label} ", element("b", value)) for label, value in meta if value)
    return element(
        "header",
        element("p", "Federated training run", class_="eyebrow"),
        element("h1", task.title),
        element("p", task.purpose, class_="lead"),
        element("ul", *items, class_="meta"),
        _verdict(summary),
        _figures(summary),
    )


def _verdict(summary: RunSummary) -> Markup:
    audit = summary.audit
    if audit is None:
        return _banner(
            "warn",
            "!",
            "This run has not been audited",
            element("p", "Run the command at the end of this page to verify it."),
        )
    if audit.passed:
        counts = {entry.name: entry.count for entry in audit.counts}
        return _banner(
            "good",
            "✓",
            "Verified by recomputation",
            element("p", _counted(counts, len(audit.withheld))),
        )
    found = len(audit.failures)
    shown = [element("li", failure) for failure in audit.failures[:8]]
    shown += [element("li", blob) for blob in audit.withheld[: max(0, 8 - len(shown))]]
    title = f"The audit failed: {found} finding{'s' if found != 1 else ''}"
    if audit.withheld:
        title += f", {len(audit.withheld)} blobs withheld"
    return _banner("bad", "✕", title, element("ul", *shown))


def _counted(counts: dict[str, int], withheld: int) -> str:
    def count(name: str) -> str:
        return amount(counts.get(name, 0))

    words = (
        f"{count('transactions')} transactions in {count('blocks')} blocks and {count('signatures')} signatures "
        f"checked; {count('ciphertexts')} encrypted updates, {count('aggregates')} aggregates, "
        f"{count('models')} models and {count('payouts')} payouts recomputed. "
        f"{_of_shares(counts)}Nothing differed."
    )
    return words if not withheld else f"{words} {withheld} blobs were not available and are not verified."


def _of_shares(counts: dict[str, int]) -> str:
    """Return a sentence about results that were made again of decryption shares, "" where there were none."""
    openings = counts.get("decryption_shares", 0)
    return f"{amount(openings)} results were opened again from their decryption shares. " if openings else ""


def _banner(kind: str, sign: str, title: str, *content: Markup) -> Markup:
    icon = element(
        "svg",
        element("circle", cx=20, cy=20, r=18, fill="none", stroke="currentColor", stroke_width=2.6),
        element("path", d=_SIGNS[sign], fill="none", stroke="currentColor", stroke_width=3.2),
        aria_hidden="true",
        viewBox="0 0 40 40",
    )
    return element("section", icon, element("h2", title), element("div", *content), class_=f"verdict {kind}")


_SIGNS = {
    "✓": "M12 20.5 L18 26.5 L29 14.5",
    "✕": "M14 14 L26 26 M26 14 L14 26",
    "!": "M20 10.5 L20 22.5 M20 27 L20 29.6",
}


def _figures(summary: RunSummary) -> Markup:
    final, baselines = summary.final_metrics.accuracy_ppb, summary.baselines
    to_central = (final - baselines.centralized_accuracy_ppb) / 1e7
    to_alone = (final - baselines.alone_accuracy_ppb) / 1e7
    up = sum(round_.traffic.up_bytes for round_ in summary.rounds)
    paid = sum(round_.paid for round_ in summary.rounds)
    settled = sum(1 for round_ in summary.rounds if round_.phase == "SETTLED")
    per_parameter = summary.task.update_bytes / max(summary.task.parameter_count, 1)
    cards = (
        (
            "Federated accuracy",
            percent(final),
            f"on {amount(summary.data.held_out_samples)} held-out samples",
        ),
        (
            "Centralized, for comparison",
            percent(baselines.centralized_accuracy_ppb),
            f"federated {points(to_central)}",
        ),
        (
            "Each silo alone, mean",
            percent(baselines.alone_accuracy_ppb),
            f"federated {points(to_alone)}",
        ),
        ("Rounds settled", f"{settled}", f"of {len(summary.rounds)}, in {summary.milliseconds / 1000:.1f} s"),
        ("Paid to participants", amount(paid), f"of a pool of {amount(summary.task.pool)}"),
        (
            "One encrypted update",
            byte_size(summary.task.update_bytes),
            f"{per_parameter:.1f} bytes a parameter",
        ),
        ("Uploaded", byte_size(up), f"in {len(summary.rounds)} rounds"),
        ("Ledger", amount(summary.ledger.height), "blocks, " + summary.ledger.kind),
    )
    return element(
        "div", *(_figure(label, value, detail) for label, value, detail in cards), class_="figures"
    )


def _figure(label: str, value: str, detail: str) -> Markup:
    number, _, unit = value.partition(" ")
    shown = join([number, element("small", f" {unit}") if unit else None])
    return element(
        "div",
        element("div", label, class_="label"),
        element("div", shown, class_="value"),
        element("div", detail, class_="detail"),
        class_="figure",
    )


# --- tables and the end ---------------------------------------------------------------------------


def _shares(summary: RunSummary, palette: Palette) -> Markup:
    return element(
        "section", card("Data per participant", summary.data.split, tables.shares(summary, palette))
    )


def _rounds(summary: RunSummary) -> Markup:
    text = "Digests are SHA-256; the full ones open below the table."
    return element("section", card("Rounds", text, tables.rounds(summary), tables.digests(summary)))


def _verification(summary: RunSummary) -> Markup:
    ledger = summary.ledger
    facts = [
        ("Genesis digest", ledger.genesis_digest),
        ("Last block's digest", ledger.tip_digest),
        ("Task fingerprint", summary.task.spec_digest),
        *((fact.label, fact.text) for fact in summary.facts),
    ]
    audit = summary.audit
    if audit is not None:
        facts.insert(2, ("Audit report", audit.report_digest))
    listed = [
        join([element("dt", label), element("dd", value, class_="mono")]) for label, value in facts if value
    ]
    counts = () if audit is None else audit.counts
    return element(
        "section",
        card(
            "Verify it yourself",
            "The command reads every block, checks every signature and recomputes every aggregate, model and payout. "
            "It trusts nothing but the genesis digest.",
            element("pre", element("code", summary.verify_command)),
            element("dl", *listed, class_="facts"),
            tables.counts(counts),
        ),
    )


def _footer(summary: RunSummary) -> Markup:
    return element(
        "footer",
        element(
            "p",
            f"Made by bfl-fabric from the ledger of task {summary.task.task_id}. "
            "This file loads nothing and runs no script.",
        ),
    )
