"""The plots of a report: which values each shows, in which colours, with which words.

Decides what is plotted. How a plot is drawn is left to `figures` and `lineage_picture`.
"""

from __future__ import annotations

from bfl_fabric.audit import report_tables as tables
from bfl_fabric.audit.figures import (
    Bar,
    Caption,
    Frame,
    Reference,
    Series,
    bar_list,
    label_room,
    line_chart,
    stacked_bars,
)
from bfl_fabric.audit.lineage_picture import Lane, Station, lineage_picture
from bfl_fabric.audit.markup import Markup, element, join
from bfl_fabric.audit.report_tables import Palette, amount, byte_size, card
from bfl_fabric.audit.summary import RunSummary

_DASHES = (None, "7 4", "2 4", "9 3 2 3", "4 4", "12 5")
_NAMED_TRANSACTIONS = 14


def accuracy(summary: RunSummary) -> Markup:
    """Return the accuracy of every published model beside the baselines."""
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
    plot = _wide(line_chart(caption, frame, (federated,), levels, _percent_tick))
    return element(
        "section",
        card(
            "Accuracy on the held-out set",
            "After each round, beside the two baselines of the same run.",
            plot,
        ),
    )


def rewards(summary: RunSummary, palette: Palette) -> Markup:
    """Return who was paid what, and what everybody's reputation became."""
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
        Frame(width=540, height=300, right=24 + label_room(palette.names), left=40),
        _reputation_lines(summary, palette),
        show=lambda value: f"{value:g}" if value == round(value, 2) else f"{value:.3f}",
    )
    legend = palette.legend()
    return element(
        "section",
        element(
            "div",
            card("Rewards", "Paid by the contract for each round, per participant.", join([rewards, legend])),
            card("Reputation", "After each settlement, between 0 and 1.", join([reputations, legend])),
            class_="grid",
        ),
        card(
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


def traffic_and_ledger(summary: RunSummary) -> Markup:
    """Return what went over the sockets and onto the ledger."""
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
    room = 14 + label_room(name for name, _ in rows)
    ledger = bar_list(
        Caption("ledger", "Ledger transactions", f"{amount(total)} valid transactions, by name."),
        Frame(width=540, height=max(120, 21 * len(rows) + 14), left=room, right=52, top=4, bottom=4),
        rows,
        lambda value: amount(round(value)),
    )
    legend = tables.legend((("up: encrypted updates", "var(--accent)"), ("down", "var(--central)")))
    return element(
        "section",
        card("Traffic", "Bytes over the sockets per round, all participants.", join([traffic, legend])),
        card("Ledger transactions", f"{amount(total)} valid transactions by name.", ledger),
        class_="grid",
    )


def lineage(summary: RunSummary, palette: Palette) -> Markup:
    """Return how the final model came about."""
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
    drawn = _wide(lineage_picture(caption, lanes, stations))
    return element("section", card("Lineage of the final model", text, drawn))


def _wide(plot: Markup) -> Markup:
    """Return a plot that scrolls sideways on a narrow screen instead of becoming tiny."""
    return element("div", plot, class_="wide")


def _percent_tick(value: float) -> str:
    return f"{value:.2f} %" if abs(value - round(value)) > 1e-9 else f"{value:.0f} %"
