"""Owns pictures that are drawn on the server: plain SVG, coloured by the style sheet, told in words beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup, escape

from gatepost_config.words import Direction

_WIDTH, _HEIGHT = 720, 200
_LEFT, _BOTTOM, _TOP = 36, 24, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One day: its messages by direction."""

    day: date
    counts: Mapping[Direction, int]

    @property
    def total(self) -> int:
        """All messages of the day."""
        return sum(self.counts.values())


def days(bars: Sequence[Bar], *, title: str) -> Markup:
    """Stacked bars, one a day, one colour for each direction. A table beside it tells the same."""
    top = _round_up(max((each.total for each in bars), default=0))
    step = (_WIDTH - _LEFT) / max(1, len(bars))
    pieces = [
        Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(_WIDTH, _HEIGHT, title)
    ]
    for share in (0, 0.5, 1):
        y = _y(top * share, top)
        pieces.append(Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(_LEFT, _WIDTH, y, y))
        pieces.append(
            Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(_LEFT - 6, y + 4, _label(top * share))
        )
    for place, bar in enumerate(bars):
        x, below = _LEFT + place * step + step * 0.15, 0
        for direction in Direction:
            count = bar.counts.get(direction, 0)
            if not count:
                continue
            y = _y(below + count, top)
            height = _y(below, top) - y
            pieces.append(
                Markup(
                    '<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="1.5"><title>{}</title></rect>'
                ).format(
                    direction.value,
                    f"{x:.1f}",
                    f"{y:.1f}",
                    f"{step * 0.7:.1f}",
                    f"{height:.1f}",
                    f"{bar.day:%-d %b}: {count} {direction.value}",
                )
            )
            below += count
        if place % max(1, len(bars) // 7) == 0:
            middle = _LEFT + (place + 0.5) * step
            pieces.append(
                Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
                    f"{middle:.1f}", _HEIGHT - 6, f"{bar.day:%-d %b}"
                )
            )
    pieces.append(Markup("</svg>"))
    return Markup("").join(pieces)


def share(part: int, whole: int, *, label: str) -> Markup:
    """A thin bar that shows a share."""
    width = 100 * part / whole if whole else 0
    return Markup(
        '<svg class="share" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<title>{}</title><rect class="track" width="100" height="6" rx="3"/>'
        '<rect class="part" width="{}" height="6" rx="3"/></svg>'
    ).format(escape(label), f"{width:.1f}")


def _y(value: float, top: int) -> float:
    return _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _BOTTOM - _TOP)


def _round_up(value: int) -> int:
    """The next number that reads well on an axis."""
    size = 1
    while True:
        for factor in (2, 4, 10):
            if value <= factor * size:
                return factor * size
        size *= 10


def _label(value: float) -> str:
    return f"{value:,.0f}"
