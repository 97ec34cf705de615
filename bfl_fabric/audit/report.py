"""The report of a run: one HTML file that needs nothing but itself.

Decides what the page says and in which order. Plots are drawn by `figures`, tables by `report_tables`, colours and
layout are in `stylesheet`. Text from the ledger is escaped by `markup`; the page carries a content policy
that lets no script run and nothing load.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from bfl_fabric.audit import report_tables as tables
from bfl_fabric.audit import stylesheet
from bfl_fabric.audit.figures import (
    Bar,
    Caption,
    Frame,
    Reference,
    Series,
    bar_list,
    line_chart,
    stacked_bars,
)
from bfl_fabric.audit.lineage_picture import Lane, Station, lineage_picture
from bfl_fabric.audit.markup import Markup, element, join, raw_style
from bfl_fabric.audit.report_tables import Palette, amount, byte_size, percent, points
from bfl_fabric.audit.summary import RunSummary

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_DASHES = (None, "7 4", "2 4", "9 3 2 3", "4 4", "12 5")
_NAMED_TRANSACTIONS = 14


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
            _accuracy(summary),
            _rewards(summary, palette),
            _traffic_and_ledger(summary),
            _lineage(summary, palette),
            _shares(summary, palette),
            _rounds(summary),
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
        ("Finished", finished),
    )
    items = (element("li", f"{label} ", element("b", value)) for label, value in meta)
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
        f"{count('models')} models and {count('payouts')} payouts recomputed. Nothing differed."
    )
    return words if not withheld else f"{words} {withheld} blobs were not available and are not verified."


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


# --- the plots ------------------------------------------------------------------------------------


def _accuracy(summary: RunSummary) -> Markup:
    course = [(0, summary.initial.accuracy_ppb / 1e7)]
    course += [(r.number, r.metrics.accuracy_ppb / 1e7) for r in summary.rounds if r.metrics is not None]
    federated = Series("federated", "var(--accent)", tuple(course), style="main")
    central = summary.baselines.centralized_accuracy_ppb / 1e7
    alone = summary.baselines.alone_accuracy_ppb / 1e7
    caption = Caption(
        "accuracy",
        "Accuracy per round",
        f"The federated model goes from {course[0][1]:.2f} % to {course[-1][1]:.2f} %; "
        f"the centralized model reaches {central:.2f} %, the silos alone {alone:.2f} % on average.",
    )
    levels = (
        Reference("centralized", "var(--central)", central),
        Reference("silos alone, mean", "var(--alone)", alone),
    )
    frame = Frame(width=1100, height=330, right=140)
    plot = line_chart(caption, frame, (federated,), levels, _percent_tick)
    return element(
        "section",
        _card(
            "Accuracy on the held-out set",
            "After each round, beside the two baselines of the same run.",
            plot,
        ),
    )


def _rewards(summary: RunSummary, palette: Palette) -> Markup:
    bars = [
        Bar(
            round_.number,
            tuple(
                (line.participant_id, palette.colour(line.participant_id), float(line.amount))
                for line in sorted(round_.payouts, key=lambda line: palette.order(line.participant_id))
            ),
        )
        for round_ in summary.rounds
    ]
    paid = sum(round_.paid for round_ in summary.rounds)
    rewards = stacked_bars(
        Caption("rewards", "Rewards per round", f"{amount(paid)} units were paid in {len(bars)} rounds."),
        Frame(width=540, height=300, right=8),
        bars,
        lambda value: amount(round(value)),
    )
    reputations = line_chart(
        Caption("reputation", "Reputation per participant", _reputation_words(summary)),
        Frame(width=540, height=300, right=112, left=40),
        _reputation_lines(summary, palette),
        show=lambda value: f"{value:g}" if value == round(value, 2) else f"{value:.3f}",
    )
    legend = palette.legend()
    return element(
        "section",
        element(
            "div",
            _card(
                "Rewards", "Paid by the contract for each round, per participant.", join([rewards, legend])
            ),
            _card("Reputation", "After each settlement, between 0 and 1.", join([reputations, legend])),
            class_="grid",
        ),
        _card(
            "Payouts",
            "Units paid per participant and round. Every line follows from alignment and consistency on the ledger.",
            tables.payouts(summary, palette),
        ),
        class_="stack",
    )


def _reputation_words(summary: RunSummary) -> str:
    best = max(summary.participants, key=lambda line: line.reputation_ppb, default=None)
    return "" if best is None else f"{best.participant_id} ends highest, at {best.reputation_ppb / 1e9:.3f}."


def _reputation_lines(summary: RunSummary, palette: Palette) -> list[Series]:
    lines = []
    for participant in sorted(summary.participants, key=lambda line: palette.order(line.participant_id)):
        name = participant.participant_id
        course = [(0, 0.5)] + [
            (round_.number, line.reputation_ppb / 1e9)
            for round_ in summary.rounds
            for line in round_.payouts
            if line.participant_id == name
        ]
        dash = _DASHES[palette.rank(name) % len(_DASHES)]
        lines.append(Series(name, palette.colour(name), tuple(course), dash=dash))
    return lines


def _traffic_and_ledger(summary: RunSummary) -> Markup:
    bars = [
        Bar(
            round_.number,
            (
                ("up", "var(--accent)", float(round_.traffic.up_bytes)),
                ("down", "var(--central)", float(round_.traffic.down_bytes)),
            ),
        )
        for round_ in summary.rounds
    ]
    up = sum(round_.traffic.up_bytes for round_ in summary.rounds)
    down = sum(round_.traffic.down_bytes for round_ in summary.rounds)
    traffic = stacked_bars(
        Caption(
            "traffic", "Traffic per round", f"{byte_size(up)} went up and {byte_size(down)} came down in all."
        ),
        Frame(width=540, height=300, left=64, right=8),
        bars,
        lambda value: byte_size(round(value)),
    )
    named = summary.ledger.transactions
    rows = [(entry.name, float(entry.count)) for entry in named[:_NAMED_TRANSACTIONS]]
    rest = sum(entry.count for entry in named[_NAMED_TRANSACTIONS:])
    rows += [("all others", float(rest))] if rest else []
    total = sum(entry.count for entry in named)
    ledger = bar_list(
        Caption("ledger", "Ledger transactions", f"{amount(total)} valid transactions, by name."),
        Frame(width=540, height=max(120, 21 * len(rows) + 14), left=178, right=52, top=4, bottom=4),
        rows,
        lambda value: amount(round(value)),
    )
    legend = tables.legend((("up: encrypted updates", "var(--accent)"), ("down", "var(--central)")))
    return element(
        "section",
        _card("Traffic", "Bytes over the sockets per round, all participants.", join([traffic, legend])),
        _card("Ledger transactions", f"{amount(total)} valid transactions by name.", ledger),
        class_="grid",
    )


def _lineage(summary: RunSummary, palette: Palette) -> Markup:
    lanes = [Lane(name, palette.group(name), palette.colour(name)) for name in palette.names]
    initial = Station(0, summary.task.initial_digest, summary.initial.accuracy_ppb, None)
    stations = [initial] + [
        Station(r.number, r.model_digest, 0 if r.metrics is None else r.metrics.accuracy_ppb, r)
        for r in summary.rounds
    ]
    made = sum(1 for station in stations[1:] if station.digest)
    caption = Caption(
        "lineage",
        "Lineage of the final model",
        f"The final model descends from the initial one through {made} models; "
        f"each was made of the encrypted updates of the participants whose dots lead to it.",
    )
    text = "Every model, what it was made from, and who contributed. Hollow dots delivered nothing in that round."
    return element(
        "section", _card("Lineage of the final model", text, lineage_picture(caption, lanes, stations))
    )


# --- tables and the end ---------------------------------------------------------------------------


def _shares(summary: RunSummary, palette: Palette) -> Markup:
    return element(
        "section", _card("Data per participant", summary.data.split, tables.shares(summary, palette))
    )


def _rounds(summary: RunSummary) -> Markup:
    text = "Digests are SHA-256; the full ones open below the table."
    return element("section", _card("Rounds", text, tables.rounds(summary), tables.digests(summary)))


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
        _card(
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


def _card(title: str, caption: str, *content: Markup) -> Markup:
    return element("figure", element("figcaption", element("h2", title), caption), *content, class_="card")


def _percent_tick(value: float) -> str:
    return f"{value:.2f} %" if abs(value - round(value)) > 1e-9 else f"{value:.0f} %"
