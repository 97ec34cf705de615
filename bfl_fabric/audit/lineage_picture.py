"""The picture of a final model's lineage: one lane per participant, one station per model.

Decides where lanes, stations and edges lie. A filled dot on a lane is an update that went into the model of that
round; a hollow one a cohort member that delivered nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bfl_fabric.audit.figures import Caption, Frame, label_room, picture, shortened
from bfl_fabric.audit.markup import Markup, element
from bfl_fabric.audit.summary import RoundSummary

_LANE = 24.0
_ORGANIZATION_GAP = 12.0
_RIGHT, _TOP = 40.0, 20.0
_BEFORE_LANES = 24.0
_STATION_DROP = 62.0
_BOTTOM = 56.0
_WIDTH = 1100.0
_ROOM_FOR_DIGEST = 74.0
_ROOM_FOR_TEXT = 46.0


@dataclass(frozen=True, slots=True)
class Lane:
    """A participant's line; `group` is the index of its organization."""

    participant_id: str
    group: int
    colour: str


@dataclass(frozen=True, slots=True)
class Station:
    """A model; the initial one is number 0. `round_` is None for it."""

    number: int
    digest: str
    accuracy_ppb: int
    round_: RoundSummary | None


def lineage_picture(caption: Caption, lanes: Sequence[Lane], stations: Sequence[Station]) -> Markup:
    """Return the picture of how the last station's model came about."""
    heights = _lane_heights(lanes)
    rail = (max(heights.values(), default=_TOP)) + _STATION_DROP
    left = _BEFORE_LANES + label_room(["model", *(lane.participant_id for lane in lanes)])
    step = (_WIDTH - left - _RIGHT) / max(len(stations) - 1, 1)
    places = [left + step * index for index in range(len(stations))]
    last = places[-1] if places else left
    marks = [_lane(lane, heights[lane.participant_id], left, last - step * 0.5) for lane in lanes]
    marks.append(element("line", x1=left, x2=last, y1=rail, y2=rail, stroke="var(--accent)", stroke_width=5))
    marks.append(_label("model", left - 22, rail + 4, "end", "strong"))
    for place, station in zip(places, stations, strict=True):
        marks.extend(_edges(station, place, (lanes, heights), (rail, step)))
    for index, (place, station) in enumerate(zip(places, stations, strict=True)):
        marks.extend(_station(station, place, rail, (step, index == len(stations) - 1)))
    return picture(caption, Frame(width=_WIDTH, height=rail + _BOTTOM), *marks)


def _lane_heights(lanes: Sequence[Lane]) -> Mapping[str, float]:
    heights: dict[str, float] = {}
    y = _TOP
    for index, lane in enumerate(lanes):
        if index and lane.group != lanes[index - 1].group:
            y += _ORGANIZATION_GAP
        heights[lane.participant_id] = y
        y += _LANE
    return heights


def _lane(lane: Lane, y: float, start: float, end: float) -> Markup:
    line = element("line", x1=start - 14, x2=end, y1=y, y2=y, stroke=lane.colour, stroke_opacity=0.35)
    name = shortened(lane.participant_id)
    return element(
        "g", element("title", lane.participant_id), line, _label(name, start - 22, y + 4, "end", "strong")
    )


def _edges(
    station: Station,
    place: float,
    lanes: tuple[Sequence[Lane], Mapping[str, float]],
    geometry: tuple[float, float],
) -> list[Markup]:
    round_ = station.round_
    if round_ is None:
        return []
    rail, step = geometry
    marks = []
    x = place - step * 0.5
    for lane in lanes[0]:
        y = lanes[1][lane.participant_id]
        if lane.participant_id in round_.members and station.digest:
            curve = (
                f"M{x:.1f} {y:.1f} C{place:.1f} {y:.1f} {place:.1f} {rail - 46:.1f} {place:.1f} {rail:.1f}"
            )
            marks.append(
                element(
                    "path", d=curve, fill="none", stroke=lane.colour, stroke_width=1.7, stroke_opacity=0.75
                )
            )
        if lane.participant_id in round_.cohort:
            marks.append(_dot(round_, lane, x, y))
    return marks


def _dot(round_: RoundSummary, lane: Lane, x: float, y: float) -> Markup:
    inside = lane.participant_id in round_.members
    words = "contributed to" if inside else "delivered nothing in"
    return element(
        "circle",
        element("title", f"{lane.participant_id} {words} round {round_.number}"),
        cx=x,
        cy=y,
        r=4.6,
        fill=lane.colour if inside else "var(--surface)",
        stroke=lane.colour,
        stroke_width=1.6,
    )


def _station(station: Station, x: float, rail: float, room: tuple[float, bool]) -> list[Markup]:
    step, final = room
    made = bool(station.digest)
    name = "initial model" if station.round_ is None else f"round {station.number}"
    tip = f"{name}: accuracy {station.accuracy_ppb / 1e7:.2f} %, digest {station.digest}"
    marks = [
        element(
            "circle",
            element("title", tip if made else f"{name}: no model was published"),
            cx=x,
            cy=rail,
            r=(10.5 if final else 7.5) if made else 5,
            fill="var(--accent)" if made and final else "var(--surface)",
            stroke="var(--accent)" if made else "var(--muted)",
            stroke_width=3,
        )
    ]
    if step < _ROOM_FOR_TEXT and not final and station.number % 5:
        return marks
    label = "initial" if station.round_ is None else str(station.number)
    marks.append(_label(label, x, rail + 27, "middle", "strong"))
    if made:
        marks.append(_label(f"{station.accuracy_ppb / 1e7:.1f} %", x, rail + 42, "middle", None))
    if made and step >= _ROOM_FOR_DIGEST:
        marks.append(_label(station.digest[:8], x, rail + 56, "middle", "mono"))
    return marks


def _label(words: str, x: float, y: float, anchor: str, style: str | None) -> Markup:
    return element("text", words, x=x, y=y, text_anchor=anchor, class_=style)
