"""Charts in SVG, without a library: bars to compare, and lines on two logarithmic axes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH = 880
MARGIN = 24
COLOURS = ["#0f766e", "#94a3b8", "#cfd8e3", "#d97706"]
INK, QUIET, GRID = "#1f2933", "#616e7c", "#e4e7eb"

Bars = Mapping[str, Mapping[str, tuple[float, str]]]
"""By group and series: a value, and the label of its bar."""
Points = Sequence[tuple[float, float]]


def bars(panels: Mapping[str, Bars]) -> str:
    """Panels side by side, each with groups of bars, one below the other; all panels have the same groups."""
    groups = next(iter(panels.values()))
    series = list(next(iter(groups.values())))
    legend, legend_height = _legend(series)
    bar, group_gap, labels, top = 16, 18, 76, 74 + legend_height
    most = max(value for groups in panels.values() for found in groups.values() for value, _ in found.values())
    panel_width = (WIDTH - 2 * MARGIN - labels) / len(panels)
    length = panel_width - 110  # room for the labels
    group_height = len(series) * (bar + 3)
    drawn = [legend]
    for number, (title, of_groups) in enumerate(panels.items()):
        left = MARGIN + labels + number * panel_width
        drawn.append(_text(left, top - 14, title, font_weight=600))
        for at, (group, found) in enumerate(of_groups.items()):
            y = top + at * (group_height + group_gap)
            if number == 0:
                drawn.append(_text(MARGIN, y + group_height / 2 + 3, group, font_weight=600))
            for place, (value, label) in enumerate(found.values()):
                width = max(2, value / most * length)
                y_bar = y + place * (bar + 3)
                drawn.append(
                    f'<rect x="{left:.1f}" y="{y_bar}" width="{width:.1f}" height="{bar}" rx="3"'
                    f' fill="{COLOURS[place]}"/>'
                )
                drawn.append(
                    _text(left + width + 7, y_bar + bar - 4, label, fill=INK if place == 0 else QUIET, font_size=12)
                )
    return _svg(drawn, top + len(groups) * (group_height + group_gap) + MARGIN - group_gap)


def lines(series: Mapping[str, Points], x_title: str, y_title: str, others: Sequence[Points] = ()) -> str:
    """A line for each series, on logarithmic axes that begin and end at powers of ten; `others` are thin, unnamed."""
    legend, legend_height = _legend(list(series))
    left, right, top, bottom = MARGIN + 62, WIDTH - MARGIN - 16, 62 + legend_height, 330 + legend_height
    all_points = [*series.values(), *others]
    x_from, x_to = _decades(x for points in all_points for x, _ in points)
    y_from, y_to = _decades(y for points in all_points for _, y in points)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - x_from) / (x_to - x_from)
        up = (math.log10(y) - y_from) / (y_to - y_from)
        return left + across * (right - left), bottom - up * (bottom - top)

    drawn = [legend, _text(MARGIN, top - 12, y_title, fill=QUIET, font_size=12)]
    for power in range(y_from, y_to + 1):
        _, y = place(10**x_from, 10**power)
        drawn.append(f'<path d="M{left} {y:.1f}H{right}" stroke="{GRID}"/>')
        drawn.append(_text(left - 8, y + 4, f"{10.0**power:,.10g}", fill=QUIET, font_size=12, text_anchor="end"))
    for power in range(x_from, x_to + 1):
        x, _ = place(10**power, 10**y_from)
        drawn.append(_text(x, bottom + 20, f"{10**power:,}", fill=QUIET, font_size=12, text_anchor="middle"))
    drawn.append(_text((left + right) / 2, bottom + 42, x_title, fill=QUIET, font_size=12, text_anchor="middle"))
    for points in others:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{QUIET}" stroke-opacity="0.45"/>')
    for colour, points in zip(COLOURS, series.values(), strict=False):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in (place(*p) for p in points)]
    return _svg(drawn, bottom + 42 + MARGIN)


def _decades(values: Iterable[float]) -> tuple[int, int]:
    """The powers of ten between which the values are."""
    logs = [math.log10(value) for value in values]
    low = math.floor(min(logs))
    return low, max(low + 1, math.ceil(max(logs)))


def _legend(names: Sequence[str]) -> tuple[str, int]:
    """What each colour is, in as many rows as it takes; and the height of those after the first."""
    drawn: list[str] = []
    x, y = float(MARGIN), 20
    for colour, name in zip(COLOURS, names, strict=False):
        width = 18 + 8 * len(name) + 22
        if drawn and x + width > WIDTH:
            x, y = float(MARGIN), y + 20
        square = f'<rect x="{x:.1f}" y="{y}" width="12" height="12" rx="3" fill="{colour}"/>'
        drawn.append(square + _text(x + 18, y + 10, name))
        x += width
    return "\n".join(drawn), y - 20


def _text(x: float, y: float, text: str, **attributes: object) -> str:
    found = {"fill": INK, "font-size": 13, **{name.replace("_", "-"): value for name, value in attributes.items()}}
    shown = " ".join(f'{name}="{value}"' for name, value in found.items())
    return f'<text x="{x:.1f}" y="{y:.1f}" {shown}>{escape(text)}</text>'


def _svg(drawn: Sequence[str], height: float) -> str:
    """The drawing, with a background of its own, because the page may be dark."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}"'
        f' height="{height:.0f}" font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">\n'
        f'<rect width="{WIDTH}" height="{height:.0f}" rx="8" fill="#ffffff"/>\n' + "\n".join(drawn) + "\n</svg>\n"
    )
