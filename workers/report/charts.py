"""The geometry of bar charts: what is drawn where, in pixels. Templates only draw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Colours of series, told apart also by most who see few colours (Okabe and Ito, "Color Universal Design", 2008).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c00", "#555555")
_LABEL, _WIDTH, _VALUE, _BAR, _GAP = 170, 380, 110, 16, 8


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar with the number it stands for."""

    x: float
    y: float
    width: float
    height: int
    colour: str
    text: str


@dataclass(frozen=True, slots=True)
class Label:
    """What a group of bars stands for."""

    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Horizontal bars in groups.

    Attributes:
        zero: Where the axis is.
        values: Where the numbers are written.
    """

    title: str
    width: int
    height: int
    zero: float
    values: int
    labels: tuple[Label, ...]
    bars: tuple[Bar, ...]


def colour(turn: int) -> str:
    return COLOURS[turn % len(COLOURS)]


def bars(title: str, names: Sequence[str], values: Sequence[float]) -> Chart:
    """One bar for each name, each in a colour of its own."""
    return _chart(title, names, [[value] for value in values], [[colour(turn)] for turn in range(len(names))])


def grouped(title: str, names: Sequence[str], series: Sequence[Sequence[float]]) -> Chart:
    """For each name one bar of every series; ``series[i]`` has a value for each name."""
    rows = [[one[index] for one in series] for index in range(len(names))]
    return _chart(title, names, rows, [[colour(turn) for turn in range(len(series))] for _ in names])


def _chart(
    title: str, names: Sequence[str], rows: Sequence[Sequence[float]], colours: Sequence[Sequence[str]]
) -> Chart:
    every = [value for row in rows for value in row]
    low, high = min([0.0, *every]), max([0.0, *every])
    scale = _WIDTH / ((high - low) or 1)
    zero = _LABEL - low * scale
    drawn: list[Bar] = []
    labels: list[Label] = []
    y = float(_GAP)
    for name, row, paints in zip(names, rows, colours, strict=True):
        labels.append(Label(y + len(row) * _BAR / 2, name))
        for value, paint in zip(row, paints, strict=True):
            left = zero + min(0.0, value) * scale
            drawn.append(Bar(round(left, 1), y, round(abs(value) * scale, 1), _BAR - 3, paint, f"{value:,g}"))
            y += _BAR
        y += _GAP
    width = _LABEL + _WIDTH + _VALUE
    return Chart(title, width, round(y), round(zero, 1), width - 6, tuple(labels), tuple(drawn))
