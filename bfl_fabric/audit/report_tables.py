"""The tables of a report, its legends, and how it writes numbers.

Decides columns, number formats and which participant has which colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bfl_fabric.audit.figures import Caption, share_bar
from bfl_fabric.audit.markup import Child, Markup, element, join
from bfl_fabric.audit.stylesheet import CLASS_COLOURS
from bfl_fabric.audit.summary import CountSummary, RoundSummary, RunSummary

_SHORT = 10
_UNITS = ("B", "kB", "MB", "GB", "TB")
_STATES = {"SETTLED": "good", "ABORTED": "bad"}


@dataclass(frozen=True, slots=True)
class Palette:
    """The participants, by organization then name, and their colours. `groups` are organization indexes."""

    names: tuple[str, ...]
    groups: tuple[int, ...]

    @staticmethod
    def of(summary: RunSummary) -> Palette:
        """Return the palette of everybody who is named in the run."""
        home = {line.participant_id: line.msp_id for line in summary.participants}
        for round_ in summary.rounds:
            for name in (*round_.cohort, *(line.participant_id for line in round_.payouts)):
                home.setdefault(name, "")
        order = [organization.msp_id for organization in summary.federation.organizations]
        order += sorted(set(home.values()) - set(order))
        names = sorted(home, key=lambda name: (order.index(home[name]), name))
        return Palette(tuple(names), tuple(order.index(home[name]) for name in names))

    def order(self, name: str) -> int:
        return self.names.index(name)

    def group(self, name: str) -> int:
        return self.groups[self.order(name)]

    def rank(self, name: str) -> int:
        """Return which of its organization's participants this is, from 0."""
        place = self.order(name)
        return self.groups[:place].count(self.groups[place])

    def colour(self, name: str) -> str:
        return f"var(--p{self.order(name)})"

    def legend(self) -> Markup:
        return legend([(name, self.colour(name)) for name in self.names])


def card(title: str, caption: str, *content: Markup) -> Markup:
    """Return a framed part of the page with its heading."""
    return element("figure", element("figcaption", element("h2", title), caption), *content, class_="card")


def legend(entries: Sequence[tuple[str, str]]) -> Markup:
    """Return a legend of (label, colour)."""
    items = (element("li", dot(colour), label) for label, colour in entries)
    return element("ul", *items, class_="legend")


def dot(colour: str) -> Markup:
    """Return a small square of this colour."""
    return element("span", class_="dot", style=f"background:{colour}", aria_hidden="true")


def payouts(summary: RunSummary, palette: Palette) -> Markup:
    """Return who was paid what in which round, a stronger ground for a greater amount."""
    paid = {
        (line.participant_id, round_.number): line.amount
        for round_ in summary.rounds
        for line in round_.payouts
    }
    most = max(paid.values(), default=0) or 1
    head = [
        "Participant",
        "Total",
        "Balance",
        "Reputation",
        *(str(round_.number) for round_ in summary.rounds),
    ]
    final = {line.participant_id: line for line in summary.participants}
    rows = []
    for name in palette.names:
        amounts = [paid.get((name, round_.number)) for round_ in summary.rounds]
        line = final.get(name)
        rows.append(
            [
                element("th", dot(palette.colour(name)), name, scope="row"),
                _right(amount(sum(value or 0 for value in amounts)), strong=True),
                _right("–" if line is None else amount(line.balance)),
                _right("–" if line is None else f"{line.reputation_ppb / 1e9:.3f}"),
                *(_heat(value, most) for value in amounts),
            ]
        )
    totals = [
        element("th", "Total", scope="row"),
        _right(amount(sum(round_.paid for round_ in summary.rounds))),
        element("td"),
        element("td"),
        *(_right(amount(round_.paid)) for round_ in summary.rounds),
    ]
    return table(head, rows, right_from=1, totals=totals, label="Payouts per participant and round")


def shares(summary: RunSummary, palette: Palette) -> Markup:
    """Return each participant's share of the data and what it reaches alone."""
    classes = summary.data.classes
    colours = [f"var(--c{index % CLASS_COLOURS})" for index in range(len(classes))]
    organizations = {line.msp_id: line.name for line in summary.federation.organizations}
    final = summary.final_metrics.accuracy_ppb
    rows = []
    for place, line in enumerate(
        sorted(summary.participants, key=lambda one: palette.order(one.participant_id))
    ):
        parts = [
            (label, colour, float(count))
            for label, colour, count in zip(classes, colours, line.class_counts, strict=False)
        ]
        words = ", ".join(f"{label} {count:g}" for label, _, count in parts)
        bar = share_bar(Caption(f"share-{place}", f"Classes at {line.participant_id}", words), parts)
        rows.append(
            [
                element("th", dot(palette.colour(line.participant_id)), line.participant_id, scope="row"),
                element("td", organizations.get(line.msp_id, line.msp_id)),
                _right(amount(line.samples)),
                element("td", bar, style="min-width:200px;width:30%"),
                *(_right(amount(count)) for count in line.class_counts),
                _right(percent(line.alone_accuracy_ppb)),
                _right(signed((final - line.alone_accuracy_ppb) / 1e7)),
            ]
        )
    head = ["Participant", "Organization", "Samples", "Classes", *classes, "Alone", "Gain, points"]
    listing = table(head, rows, right_from=4, label="Data shares", right_also=(2,))
    return join([listing, legend(list(zip(classes, colours, strict=True)))])


def rounds(summary: RunSummary) -> Markup:
    """Return the course of each round."""
    head = [
        "Round",
        "Phase",
        "Members",
        "Weight",
        "Accuracy",
        "Loss",
        "Up",
        "Transactions",
        "Seconds",
        "Aggregate",
        "Sum",
        "Model",
    ]
    rows = [_round_row(round_) for round_ in summary.rounds]
    return table(head, rows, right_from=99, right_also=(2, 3, 4, 5, 6, 7, 8), label="Rounds")


def _round_row(round_: RoundSummary) -> list[Markup]:
    metrics = round_.metrics
    state = _STATES.get(round_.phase, "warn")
    return [
        element("th", str(round_.number), scope="row"),
        element("td", element("span", round_.phase, class_=f"tag {state}", title=round_.reason or None)),
        _right(f"{len(round_.members)} of {len(round_.cohort)}"),
        _right(amount(round_.total_weight)),
        _right("–" if metrics is None else percent(metrics.accuracy_ppb)),
        _right("–" if metrics is None else f"{metrics.loss_ppb / 1e9:.4f}"),
        _right(byte_size(round_.traffic.up_bytes)),
        _right(amount(round_.transactions)),
        _right(f"{max(round_.changed_at - round_.opened_at, 0) / 1000:.1f}"),
        *(_digest(value) for value in (round_.aggregate_digest, round_.sum_digest, round_.model_digest)),
    ]


def digests(summary: RunSummary) -> Markup:
    """Return the full digests of every round, folded away."""
    rows = [
        [
            element("th", str(round_.number), scope="row"),
            element("td", kind),
            element("td", digest, class_="mono"),
        ]
        for round_ in summary.rounds
        for kind, digest in (
            ("aggregate", round_.aggregate_digest),
            ("sum", round_.sum_digest),
            ("model", round_.model_digest),
        )
        if digest
    ]
    listing = table(["Round", "Blob", "SHA-256"], rows, right_from=99, label="Full digests")
    return element("details", element("summary", "Full digests"), listing)


def counts(entries: Sequence[CountSummary]) -> Markup:
    """Return what the audit looked at, as a wall of numbers."""
    items = (
        element("li", element("b", amount(entry.count)), entry.name.replace("_", " ")) for entry in entries
    )
    return (
        element("ul", *items, class_="counts", aria_label="What the audit checked") if entries else Markup("")
    )


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[Child]],
    *,
    right_from: int,
    label: str,
    totals: Sequence[Child] | None = None,
    right_also: Sequence[int] = (),
) -> Markup:
    """Return a table that scrolls sideways on its own when it is wide."""
    heads = [
        element(
            "th", text, scope="col", class_="right" if index >= right_from or index in right_also else None
        )
        for index, text in enumerate(head)
    ]
    parts = [
        element("thead", element("tr", *heads)),
        element("tbody", *(element("tr", *row) for row in rows)),
    ]
    if totals is not None:
        parts.append(element("tfoot", element("tr", *totals)))
    listing = element("table", *parts, aria_label=label)
    return element("div", listing, class_="scroll", tabindex=0, role="region", aria_label=label)


# --- numbers --------------------------------------------------------------------------------------


def percent(ppb: int) -> str:
    """Return a share of a billion in percent with two decimals."""
    return f"{ppb / 1e7:.2f} %"


def signed(value: float) -> str:
    """Return a difference with its sign and two decimals."""
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def points(value: float) -> str:
    """Return a difference in percentage points."""
    return f"{signed(value)} points"


def amount(value: int) -> str:
    """Return an integer with its thousands grouped."""
    return f"{value:,}"


def byte_size(count: int) -> str:
    """Return a number of bytes in the decimal unit that suits it."""
    power = min(max(len(str(abs(count))) - 1, 0) // 3, len(_UNITS) - 1)
    value = count / 1000**power
    digits = 0 if power == 0 or value >= 100 or value == round(value) else 1
    return f"{value:.{digits}f} {_UNITS[power]}"


def _right(text: str, *, strong: bool = False) -> Markup:
    content: Child = element("b", text) if strong else text
    return element("td", content, class_="right")


def _heat(value: int | None, most: int) -> Markup:
    if value is None:
        return element("td", "–", class_="right muted")
    return element(
        "td", element("span", amount(value)), class_="heat", style=f"--heat:{0.34 * value / most:.3f}"
    )


def _digest(value: str) -> Markup:
    if not value:
        return element("td", "–", class_="muted")
    return element("td", element("span", value[:_SHORT], class_="mono", title=value))
