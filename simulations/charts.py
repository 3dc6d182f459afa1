"""Charts over time as inline SVG: an axis, lanes of bars, stacked areas, dots.

Colours are CSS classes (`report.css` gives them, for light and for dark), so
that nothing here knows what a page looks like. Tooltips are SVG titles: they
need no script.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import msgspec

WIDTH = 1100
LEFT = 96
RIGHT = 16
AXIS_HEIGHT = 24
TICKS_MOST = 12
BINS_MOST = 275


class Axis(msgspec.Struct, frozen=True):
    """Virtual seconds, from the left edge to the right."""

    begin: float
    end: float

    def x(self, seconds: float) -> float:
        """Where an instant is drawn; what lies outside, at the edge."""
        share = (seconds - self.begin) / max(self.end - self.begin, 1e-9)
        return LEFT + min(1.0, max(0.0, share)) * (WIDTH - LEFT - RIGHT)

    def draw(self, top: float, bottom: float) -> str:
        """Vertical lines at round seconds from top to bottom, with numbers below."""
        parts = []
        for tick in ticks(self.begin, self.end, TICKS_MOST):
            x = self.x(tick)
            parts.append(line(x, top, x, bottom, "grid"))
            parts.append(text(x, bottom + 16, f"{tick:g} s", "tick", "middle"))
        return "".join(parts)


def ticks(least: float, most: float, count: int) -> list[float]:
    """Round numbers between two, at most so many."""
    span = max(most - least, 1e-9)
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * (1 - 1e-9))
    first = math.ceil(least / step - 1e-9)
    last = math.floor(most / step + 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def svg(height: float, label: str, *parts: str) -> str:
    """A picture as wide as the page; `label` is what a screen reader says of it."""
    return (
        f'<div class="chart"><svg viewBox="0 0 {WIDTH} {height:g}" role="img"'
        f' aria-label="{escape(label)}">{"".join(parts)}</svg></div>'
    )


def rect(
    x: float, y: float, width: float, height: float, kind: str, title: str = "", more: str = ""
) -> str:
    """A bar; never so narrow that it cannot be seen."""
    shape = (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 1.0):.1f}"'
        f' height="{height:.1f}"{more}'
    )
    return f"{shape}><title>{escape(title)}</title></rect>" if title else f"{shape}/>"


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    """Words; `anchor` says which end of them is at x."""
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {where}>{escape(words)}</text>'


def dot(x: float, y: float, kind: str, title: str) -> str:
    """A point with a tooltip."""
    where = f'cx="{x:.1f}" cy="{y:.1f}" r="3.5"'
    return f'<circle class="{kind}" {where}><title>{escape(title)}</title></circle>'


def scale(most: float, top: float, bottom: float, unit: str) -> tuple[float, str]:
    """Horizontal lines at round values from 0; the largest value drawn, and the lines."""
    values = ticks(0, max(most, 1e-6) * 1.05, 4)
    limit = max(values[-1], most * 1.05, 1e-6)
    parts = []
    for value in values:
        y = bottom - value / limit * (bottom - top)
        parts.append(line(LEFT, y, WIDTH - RIGHT, y, "grid"))
        parts.append(text(LEFT - 8, y + 4, f"{value:g}", "tick", "end"))
    parts.append(text(LEFT - 8, top - 6, unit, "tick unit", "end"))
    return limit, "".join(parts)


def area(
    axis: Axis, series: Mapping[str, Mapping[int, float]], bin_s: float, unit: str, label: str
) -> str:
    """Rates over time, one kind on top of the other.

    Args:
        axis: the time.
        series: by kind, which is its class too, by number of the bin: what was counted in it.
        bin_s: how long a bin is.
        unit: what the vertical axis counts, per second.
        label: what the picture shows.
    """
    wide = max(1, math.ceil((axis.end - axis.begin) / bin_s / BINS_MOST))
    first, last = int(axis.begin / bin_s / wide), int(axis.end / bin_s / wide)
    rates = {
        kind: _gathered(bins, wide, first, last, bin_s) for kind, bins in series.items() if bins
    }
    top, bottom = 22.0, 182.0
    stacked = [0.0] * (last - first + 1)
    for values in rates.values():
        stacked = [below + value for below, value in zip(stacked, values, strict=True)]
    limit, lines = scale(max(stacked, default=0.0), top, bottom, unit)
    edges = [axis.x((first + index) * wide * bin_s) for index in range(last - first + 2)]
    parts = [axis.draw(top, bottom), lines]
    below = [0.0] * len(stacked)
    for kind, values in rates.items():
        above = [low + value for low, value in zip(below, values, strict=True)]
        parts.append(_band(edges, below, above, (bottom, (bottom - top) / limit), kind))
        below = above
    for index in range(len(stacked)):
        begin = (first + index) * wide * bin_s
        told = ", ".join(f"{kind} {values[index]:.4g}" for kind, values in rates.items())
        title = f"{begin:g} s to {begin + wide * bin_s:g} s, {unit}: {told}"
        width = edges[index + 1] - edges[index]
        parts.append(rect(edges[index], top, width, bottom - top, "hover", title))
    return svg(bottom + AXIS_HEIGHT, label, *parts)


def _gathered(
    bins: Mapping[int, float], wide: int, first: int, last: int, bin_s: float
) -> list[float]:
    values = [0.0] * (last - first + 1)
    for index, count in bins.items():
        at = index // wide - first
        if 0 <= at < len(values):
            values[at] += count / (bin_s * wide)
    return values


def _band(
    edges: Sequence[float],
    below: Sequence[float],
    above: Sequence[float],
    where: tuple[float, float],
    kind: str,
) -> str:
    bottom, unit = where
    there, back = [], []
    for index in range(len(above)):
        for x in (edges[index], edges[index + 1]):
            there.append(f"{x:.1f},{bottom - above[index] * unit:.1f}")
            back.append(f"{x:.1f},{bottom - below[index] * unit:.1f}")
    return f'<polygon class="{kind}" points="{" ".join([*there, *reversed(back)])}"/>'


def packed(spans: Iterable[tuple[float, float]], rows_most: int) -> list[int]:
    """A row for each span, so that none covers another while there are rows enough.

    Spans come in the order of their begin. Those that find no free row share the one
    that is free soonest.
    """
    free: list[float] = []
    rows = []
    for begin, end in spans:
        row = next((index for index, until in enumerate(free) if until <= begin), len(free))
        if row == len(free):
            if len(free) < rows_most:
                free.append(end)
            else:
                row = min(range(rows_most), key=lambda index: free[index])
        free[row] = max(free[row], end)
        rows.append(row)
    return rows
