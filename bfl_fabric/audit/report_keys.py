"""What a report says of a run's keys: who holds them, how joint ones were made, and who opened each round.

Decides the words and columns of that part of the page. A run whose summary has no keys shows nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bfl_fabric.audit.markup import Child, Markup, element, join
from bfl_fabric.audit.report_tables import amount, card, table
from bfl_fabric.audit.summary import AttemptSummary, CeremonySummary, KeySummary, RunSummary

_SHORT = 10
_ENDS = {"CLOSED": "good", "FAILED": "bad"}


def section(summary: RunSummary) -> Markup:
    """Return the part of the page about keys."""
    if not summary.keys and not summary.ceremonies:
        return Markup("")
    parts = [_keys(summary)]
    if summary.ceremonies:
        parts.append(_ceremonies(summary))
    if any(round_.attempts for round_ in summary.rounds):
        parts.append(_openings(summary))
    return element("section", card("Keys", _caption(summary), *parts))


def held_by(summary: RunSummary) -> str:
    """Return in a few words who can open sums with the newest key, "" where the summary has none."""
    if not summary.keys:
        return ""
    newest = summary.keys[-1]
    if len(newest.holders) == 1:
        return newest.holders[0]
    return f"any {newest.threshold} of {len(newest.holders)} organizations"


def _caption(summary: RunSummary) -> str:
    if any(len(key.holders) > 1 for key in summary.keys) or summary.ceremonies:
        return (
            "Made together; nobody has the whole key. Each round is opened by the answers of an active set."
        )
    if any(key.granted for key in summary.keys):
        return "Held by one organization, which gave it to the silos named here, and opens the sums."
    return "Held by one organization, which opens the verified sums."


def _keys(summary: RunSummary) -> Markup:
    rounds = [(round_.epoch, round_.number) for round_ in summary.rounds]
    rows = [
        _key_row(key, [number for epoch, number in rounds if epoch == key.epoch], summary.finished_at)
        for key in summary.keys
    ]
    head = ["Key", "State", "Held by", "Opened by", "Rounds"]
    granted = any(key.granted for key in summary.keys)
    head = [*head, *(["Given to"] if granted else []), "SHA-256"]
    return table(
        head, [row if granted else [*row[:5], row[6]] for row in rows], right_from=99, label="Key epochs"
    )


def _key_row(key: KeySummary, rounds: Sequence[int], at: int) -> list[Child]:
    together = f"any {key.threshold} of {len(key.holders)}" if len(key.holders) > 1 else "its holder"
    return [
        element("th", str(key.epoch), scope="row"),
        element("td", _state(key, at)),
        element("td", ", ".join(key.holders)),
        element("td", together),
        element("td", ", ".join(str(number) for number in rounds) or "–"),
        element("td", ", ".join(key.granted) or "–"),
        element("td", element("span", key.digest[:_SHORT], class_="mono", title=key.digest)),
    ]


def _state(key: KeySummary, at: int) -> Markup:
    if key.retired_at:
        return element("span", "retired", class_="tag warn", title=key.reason or None)
    if key.expires_at and at >= key.expires_at:
        return element("span", "expired", class_="tag warn")
    return element("span", "in use", class_="tag good")


def _ceremonies(summary: RunSummary) -> Markup:
    head = ["Ceremony", "End", "Members", "Committed", "Revealed", "Confirmed", "Without", "Because"]
    rows = [_ceremony_row(ceremony) for ceremony in summary.ceremonies]
    return join(
        [element("h3", "How they were made"), table(head, rows, right_from=99, label="Key ceremonies")]
    )


def _ceremony_row(ceremony: CeremonySummary) -> list[Child]:
    members = len(ceremony.members)
    steps = (ceremony.committed, ceremony.revealed, ceremony.confirmed)
    complaints = "; ".join(ceremony.complaints)
    return [
        element("th", str(ceremony.epoch), scope="row"),
        element("td", element("span", ceremony.status, class_=f"tag {_ENDS.get(ceremony.status, 'warn')}")),
        element("td", ", ".join(ceremony.members)),
        *(
            element("td", f"{amount(len(done))} of {amount(members)}", title=", ".join(done) or None)
            for done in steps
        ),
        element("td", ", ".join(ceremony.excluded) or "–"),
        element("td", ceremony.reason or "–", title=complaints or None),
    ]


def _openings(summary: RunSummary) -> Markup:
    head = ["Round", "Attempt", "End", "Offered", "Active set", "Answered", "Blamed"]
    rows = [_attempt_row(round_.number, attempt) for round_ in summary.rounds for attempt in round_.attempts]
    return join(
        [element("h3", "Who opened the rounds"), table(head, rows, right_from=99, label="Openings of rounds")]
    )


def _attempt_row(number: int, attempt: AttemptSummary) -> list[Child]:
    end, state = ("opened", "good") if attempt.opened else ("came to nothing", "bad")
    return [
        element("th", str(number), scope="row"),
        element("td", str(attempt.attempt)),
        element("td", element("span", end, class_=f"tag {state}")),
        element("td", ", ".join(attempt.offered)),
        element("td", ", ".join(attempt.active)),
        element("td", ", ".join(attempt.answered) or "nobody"),
        element("td", ", ".join(attempt.blamed) or "–"),
    ]
