"""The plots of a report, drawn by hand as SVG.

Decides scales, axes and marks. A plot carries its title and a description for those who do not see it, and each
mark its value as a tooltip; the same numbers stand in the report's tables. Colours are style-sheet variables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bfl_fabric.audit.markup import Markup, element, join

LONGEST_LABEL = 30
_CHARACTER = 6.8
_LABEL_GAP = 14.0
_TICKS_X = 12
_SMALLEST = 1e-9


@dataclass(frozen=True, slots=True)
class Caption:
    """`identifier` is unique in the page; `title` and `description` say what the plot shows."""

    identifier: str
    title: str
    description: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The drawing area in SVG units, and the margins around the plot."""

    width: float
    height: float
    left: float = 52
    right: float = 20
    top: float = 14
    bottom: float = 34

    @property
    def inner_width(self) -> float:
        return self.width - self.left - self.right

    @property
    def inner_height(self) -> float:
        return self.height - self.top - self.bottom


@dataclass(frozen=True, slots=True)
class Series:
    """A line; `points` are (round, value). `style` is further CSS classes, `dash` a dash pattern."""

    label: str
    colour: str
    points: tuple[tuple[int, float], ...]
    style: str = ""
    dash: str | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """A level to compare with, drawn across the plot."""

    label: str
    colour: str
    value: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A stack of (label, colour, value) from the bottom up."""

    position: int
    parts: tuple[tuple[str, str, float], ...]

    @property
    def total(self) -> float:
        return sum(value for _, _, value in self.parts)


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return self.start + (value - self.low) / span * (self.end - self.start)


def picture(caption: Caption, frame: Frame, *children: Markup) -> Markup:
    """Return an SVG with its title and description."""
    names = f"{caption.identifier}-title {caption.identifier}-text"
    attributes = {"viewBox": f"0 0 {frame.width:g} {frame.height:g}"}
    return element(
        "svg",
        element("title", caption.title, id=f"{caption.identifier}-title"),
        element("desc", caption.description, id=f"{caption.identifier}-text"),
        *children,
        role="img",
        aria_labelledby=names,
        **attributes,
    )


def line_chart(
    caption: Caption,
    frame: Frame,
    series: Sequence[Series],
    references: Sequence[Reference] = (),
    show: Callable[[float], str] = str,
) -> Markup:
    """Return lines over rounds with labelled ends, for which the frame must have room on its right.

    `show` writes a value.
    """
    values = [value for line in series for _, value in line.points] + [level.value for level in references]
    rounds = [position for line in series for position, _ in line.points]
    ticks = nice_ticks(min(values, default=0.0), max(values, default=1.0), 5)
    across = Scale(
        min(rounds, default=0),
        max([*rounds, min(rounds, default=0) + 1]),
        frame.left,
        frame.width - frame.right,
    )
    upward = Scale(ticks[0], ticks[-1], frame.height - frame.bottom, frame.top)
    ends = [(level.label, upward(level.value), level.colour) for level in references]
    ends += [(line.label, upward(line.points[-1][1]), line.colour) for line in series if line.points]
    return picture(
        caption,
        frame,
        _horizontal_axis(frame, ticks, upward, show),
        _round_labels(frame, sorted(set(rounds)), across),
        *(_reference(frame, level, upward, show) for level in references),
        *(_line(line, across, upward, show) for line in series),
        _end_labels(frame, ends),
    )


def stacked_bars(
    caption: Caption, frame: Frame, bars: Sequence[Bar], show: Callable[[float], str] = str
) -> Markup:
    """Return one stacked bar per round."""
    ticks = nice_ticks(0.0, max([bar.total for bar in bars], default=1.0) or 1.0, 4)
    upward = Scale(0.0, ticks[-1], frame.height - frame.bottom, frame.top)
    step = frame.inner_width / max(len(bars), 1)
    width = min(step * 0.68, 46.0)
    centres = {bar.position: frame.left + step * (index + 0.5) for index, bar in enumerate(bars)}
    return picture(
        caption,
        frame,
        _horizontal_axis(frame, ticks, upward, show),
        _round_labels(frame, [bar.position for bar in bars], lambda position: centres[round(position)]),
        *(_stack(bar, centres[bar.position], width, upward, show) for bar in bars),
    )


def bar_list(
    caption: Caption, frame: Frame, rows: Sequence[tuple[str, float]], show: Callable[[float], str] = str
) -> Markup:
    """Return horizontal bars, one per row, label before and value after."""
    step = frame.inner_height / max(len(rows), 1)
    along = Scale(
        0.0, max([value for _, value in rows], default=1.0) or 1.0, frame.left, frame.width - frame.right
    )
    marks = []
    for index, (label, value) in enumerate(rows):
        middle = frame.top + step * (index + 0.5)
        height = min(step * 0.62, 15.0)
        marks.append(
            element(
                "g",
                element("title", f"{label}: {show(value)}"),
                _text(shortened(label), frame.left - 10, middle + 4, anchor="end"),
                element(
                    "rect",
                    x=frame.left,
                    y=middle - height / 2,
                    width=max(along(value) - frame.left, 1.0),
                    height=height,
                    rx=3,
                    fill="var(--accent)",
                ),
                _text(show(value), along(value) + 7, middle + 4, anchor="start", style="strong"),
            )
        )
    return picture(caption, frame, *marks)


def share_bar(caption: Caption, parts: Sequence[tuple[str, str, float]]) -> Markup:
    """Return one thin horizontal bar whose parts fill it in proportion."""
    frame = Frame(width=240, height=14, left=0, right=0, top=0, bottom=0)
    total = sum(value for _, _, value in parts) or 1.0
    marks, at = [], 0.0
    for label, colour, value in parts:
        width = value / total * frame.width
        marks.append(
            element(
                "rect",
                element("title", f"{label}: {value:g}"),
                x=at,
                y=0,
                width=width,
                height=frame.height,
                fill=colour,
                class_="gap",
            )
        )
        at += width
    return picture(caption, frame, *marks)


def shortened(label: str) -> str:
    """Return a label that fits beside a plot; the tooltips and tables have it whole."""
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"


def label_room(labels: Iterable[str]) -> float:
    """Return how wide the widest of these labels may be, in SVG units."""
    return max((len(shortened(label)) for label in labels), default=0) * _CHARACTER


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round numbers that enclose low and high."""
    widest = max(abs(low), abs(high), _SMALLEST)
    if high - low < widest * _SMALLEST:
        low, high = low - widest / 2, low + widest / 2
    raw = (high - low) / count
    exponent = math.floor(math.log10(raw))
    step = next(
        factor * 10.0**exponent for factor in (1, 2, 2.5, 5, 10) if factor * 10.0**exponent >= raw * 0.999
    )
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, max(0, 2 - exponent)) for index in range(first, last + 1)]


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return the positions moved apart to at least `gap`, in the same order and as little as that needs.

    They stay within low..high; where they do not fit, the gap shrinks. Positions less their place in the row are
    made to increase by averaging neighbours that do not, which moves all of them least in the sum of squares.
    """
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    gap = min(gap, (high - low) / max(len(positions) - 1, 1))
    clusters: list[tuple[float, int]] = []
    for place, index in enumerate(order):
        mean, count = positions[index] - place * gap, 1
        while clusters and clusters[-1][0] >= mean:
            other, size = clusters.pop()
            mean, count = (other * size + mean * count) / (size + count), size + count
        clusters.append((mean, count))
    ceiling = high - (len(positions) - 1) * gap
    lines = [min(max(mean, low), ceiling) for mean, count in clusters for _ in range(count)]
    placed = [0.0] * len(positions)
    for place, index in enumerate(order):
        placed[index] = lines[place] + place * gap
    return placed


def _horizontal_axis(
    frame: Frame, ticks: Sequence[float], upward: Scale, show: Callable[[float], str]
) -> Markup:
    marks = []
    for index, tick in enumerate(ticks):
        y = upward(tick)
        style = "axis-line" if index == 0 else "grid-line"
        marks.append(element("line", x1=frame.left, x2=frame.width - frame.right, y1=y, y2=y, class_=style))
        marks.append(_text(show(tick), frame.left - 8, y + 4, anchor="end"))
    return element("g", *marks)


def _round_labels(frame: Frame, rounds: Sequence[int], across: Callable[[float], float]) -> Markup:
    every = max(1, math.ceil(len(rounds) / _TICKS_X))
    last = rounds[-1] if rounds else 0
    shown = [number for number in rounds if number % every == 0 or number == last]
    if len(shown) > 1 and shown[-1] - shown[-2] < every:
        del shown[-2]
    marks = [_text(str(number), across(number), frame.height - frame.bottom + 19) for number in shown]
    marks.append(_text("round", 0, frame.height - frame.bottom + 19, anchor="start"))
    return element("g", *marks)


def _reference(frame: Frame, level: Reference, upward: Scale, show: Callable[[float], str]) -> Markup:
    y = upward(level.value)
    return element(
        "line",
        element("title", f"{level.label}: {show(level.value)}"),
        x1=frame.left,
        x2=frame.width - frame.right,
        y1=y,
        y2=y,
        class_="reference",
        stroke=level.colour,
    )


def _line(
    line: Series, across: Callable[[float], float], upward: Scale, show: Callable[[float], str]
) -> Markup:
    points = [(across(position), upward(value)) for position, value in line.points]
    path = " ".join(f"{'L' if index else 'M'}{x:.1f} {y:.1f}" for index, (x, y) in enumerate(points))
    dots = [
        element(
            "circle",
            element("title", f"{line.label}, round {position}: {show(value)}"),
            cx=x,
            cy=y,
            r=3.6 if line.style else 2.2,
            fill=line.colour,
        )
        for (x, y), (position, value) in zip(points, line.points, strict=True)
    ]
    style = f"series {line.style}".strip()
    curve = element("path", d=path, class_=style, stroke=line.colour, stroke_dasharray=line.dash)
    return element("g", curve, *dots) if points else Markup("")


def _end_labels(frame: Frame, ends: Sequence[tuple[str, float, str]]) -> Markup:
    placed = spread([y for _, y, _ in ends], _LABEL_GAP, frame.top, frame.height - frame.bottom)
    x = frame.width - frame.right
    marks = []
    for (label, y, colour), at in zip(ends, placed, strict=True):
        marks.append(
            element("path", d=f"M{x + 5:.1f} {y:.1f} L{x + 15:.1f} {at:.1f}", class_="series", stroke=colour)
        )
        marks.append(_text(shortened(label), x + 20, at + 4, anchor="start", style="strong"))
    return element("g", *marks)


def _stack(bar: Bar, centre: float, width: float, upward: Scale, show: Callable[[float], str]) -> Markup:
    marks, base = [], 0.0
    for label, colour, value in bar.parts:
        if value <= 0:
            continue
        top, bottom = upward(base + value), upward(base)
        marks.append(
            element(
                "rect",
                element("title", f"round {bar.position}, {label}: {show(value)}"),
                x=centre - width / 2,
                y=top,
                width=width,
                height=max(bottom - top, 0.5),
                fill=colour,
                class_="gap",
            )
        )
        base += value
    return join(marks)


def _text(words: str, x: float, y: float, anchor: str = "middle", style: str | None = None) -> Markup:
    return element("text", words, x=x, y=y, text_anchor=anchor, class_=style)
