"""The report's page: HTML, tables and pictures of the figures that `synthesis.report` derived.

One file that needs no other: pictures are drawn here as SVG, each with its text alternative, and no
script is used. Widths are those of a phone; wide tables scroll in boxes of their own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

__all__ = ["CATEGORIES", "DELAYS", "SUPPLIES_V", "render"]

#: Delays of the gate-level simulation, and what they mean.
DELAYS = {"liberty": "with glitches (Liberty delays)", "zero": "no glitches (no delays)"}

#: Supplies of the efficiencies, V; published ones are at the last.
SUPPLIES_V = (1.8, 1.2, 0.7)

#: What a picture of the energy is divided in, in this order.
CATEGORIES = ("control", "clock", "neuron registers", "popcount", "macro read")


# Words and tables ---------------------------------------------------------------------------------


#: Keeps a number and its unit in one line.
_SPACE = "\N{NO-BREAK SPACE}"


def _number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, thousands in groups, without an exponent."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "-"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    return f"{rounded:,.{max(0, digits - 1 - math.floor(math.log10(abs(rounded))))}f}"


def _in(factor: float, digits: int = 3) -> Callable[[float | None], str]:
    return lambda value: "-" if value is None else _number(value * factor, digits)


_fj, _pj, _nj, _ns, _mhz, _mm2 = _in(1e15), _in(1e12), _in(1e9), _in(1e9), _in(1e-6), _in(1e-6)


def _percent(part: float | None) -> str:
    if part is None:
        return "-"
    if 0 < part < 0.0005:
        return f"< 0.1{_SPACE}%"
    return f"{100 * part:.1f}".removesuffix(".0" if part >= 1 else "") + f"{_SPACE}%"


class _Html(str):
    """Text that is HTML already."""


def _text(value: object) -> str:
    if isinstance(value, _Html):
        return value
    return escape("-" if value is None else str(value))


def _verdict(reached: bool) -> _Html:
    return _Html(
        '<span class="yes">\u2713 reached</span>'
        if reached
        else '<span class="no">\u2717 not reached</span>'
    )


def _table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    words: Sequence[int] = (),
    marked: Sequence[int] = (),
    stacked: bool = False,
) -> str:
    """A table in a box of its own that scrolls.

    Parameters
    ----------
    columns : sequence of str
        The first is the rows' headings.
    words : sequence of int
        Columns of text, which are aligned left.
    marked : sequence of int
        Rows that stand out.
    stacked : bool
        On a phone, cells stand below each other instead.
    """
    head = "".join(
        f'<th scope="col"{" class=words" if number in (0, *words) else ""}>{_text(name)}</th>'
        for number, name in enumerate(columns)
    )
    body = []
    for place, row in enumerate(rows):
        heading = _text(row[0])
        kind = "short" if len(heading) <= 17 else "long" if len(heading) > 30 else ""
        cells = [f'<th scope="row"{f" class={kind}" if kind else ""}>{heading}</th>']
        for number, value in enumerate(row[1:], 1):
            text = _text(value)
            kind = " class=words" if number in words else ""
            if number in words and len(text) > 40:
                kind = ' class="words long"'
            cells.append(f'<td{kind} data-column="{escape(columns[number])}">{text}</td>')
        mark = " class=mark" if place in marked else ""
        body.append(f"<tr{mark}>{''.join(cells)}</tr>")
    name = "table-" + "-".join(re.findall(r"[a-z0-9]+", caption.lower()))
    return (
        f'<p class="caption" id="{name}">{_text(caption)}</p>\n'
        f'<div class="{"stack" if stacked else "scroll"}" role="region" tabindex="0" '
        f'aria-labelledby="{name}">\n<table aria-labelledby="{name}">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n"
        + "\n".join(body)
        + "\n</tbody></table></div>\n"
    )


def _paragraph(text: str, kind: str = "") -> str:
    return f"<p{f' class={kind}' if kind else ''}>{_text(text)}</p>\n"


def _list(items: Iterable[str]) -> str:
    return "<ul>\n" + "".join(f"<li>{_text(item)}</li>\n" for item in items) + "</ul>\n"


# Pictures -----------------------------------------------------------------------------------------

_COLOURS = {
    "control": "control",
    "the rest, mostly control": "control",
    "clock": "clock",
    "neuron registers": "registers",
    "popcount": "popcount",
    "read, XNOR, popcount": "popcount",
    "macro read": "popcount",
}

#: Half the side of each style's marker, and its shape.
_SHAPES = {"enabled": "square", "bank_gated": "triangle", "borrow_gated": "diamond",
           "deferred": "circle"}  # fmt: skip


def _draw(tag: str, content: str = "", **attributes: object) -> str:
    """An SVG element; numbers with a digit behind the point, `_` in names as `-`."""
    text = "".join(
        f' {name.strip("_").replace("_", "-")}="'
        f'{f"{value:.1f}" if isinstance(value, float) else escape(str(value))}"'
        for name, value in attributes.items()
    )
    return f"<{tag}{text}>{content}</{tag}>"


def _write(x: float, y: float, text: str, anchor: str = "start", **attributes: object) -> str:
    return _draw("text", escape(text), x=float(x), y=float(y), text_anchor=anchor, **attributes)


def _picture(name: str, width: int, height: int, title: str, about: str, parts: str) -> str:
    """An SVG with its text alternative."""
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-labelledby="{name}-title '
        f'{name}-desc" font-size="11">\n<title id="{name}-title">{escape(title)}</title>\n'
        f'<desc id="{name}-desc">{escape(about)}</desc>\n{parts}\n</svg>\n'
    )


def _hatching(name: str, colour: str) -> str:
    lines = _draw("rect", width=6, height=6, fill=f"var(--{colour})", fill_opacity="0.35")
    lines += _draw("path", d="M0,6 L6,0", stroke=f"var(--{colour})", stroke_width="1.6")
    return _draw("defs", _draw("pattern", lines, id=name, width=6, height=6,
                               patternUnits="userSpaceOnUse"))  # fmt: skip


def _spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places as near to the wanted ones as a gap between them allows, in the same order."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    places = [wanted[index] for index in order]
    for _ in range(50):
        for k in range(1, len(places)):
            short = gap - (places[k] - places[k - 1])
            if short > 0:
                places[k - 1] -= short / 2
                places[k] += short / 2
        places = [min(high - (len(places) - 1 - k) * gap, max(low + k * gap, place))
                  for k, place in enumerate(places)]  # fmt: skip
    result = [0.0] * len(wanted)
    for index, place in zip(order, places, strict=True):
        result[index] = place
    return result


#: Labels of more characters take two lines.
_LONG = 16


def _pie(name: str, pie: Mapping[str, Any]) -> str:
    """A ring with its parts written beside it."""
    width, height, centre_x, centre_y, outer, inner = 340, 190, 170.0, 95.0, 62.0, 38.0
    hatch = f"{name}-hatch"
    parts = [_hatching(hatch, "popcount")]
    angle = 0.0
    labels: dict[int, list[tuple[float, float, str, float]]] = {-1: [], 1: []}
    for part, share in pie["shares"].items():
        if share <= 0:
            continue
        end = angle + 2 * math.pi * min(share, 0.99999)

        def at(radius: float, turn: float) -> str:
            x, y = centre_x + radius * math.sin(turn), centre_y - radius * math.cos(turn)
            return f"{x:.2f},{y:.2f}"

        large = int(end - angle > math.pi)
        parts.append(_draw(
            "path",
            d=f"M{at(outer, angle)} A{outer:g},{outer:g} 0 {large} 1 {at(outer, end)} "
            f"L{at(inner, end)} A{inner:g},{inner:g} 0 {large} 0 {at(inner, angle)} Z",
            fill=f"url(#{hatch})" if part == "macro read" else f"var(--{_COLOURS[part]})",
            stroke="var(--paper)", stroke_width="1.5",
        ))  # fmt: skip
        middle = (angle + end) / 2
        side = 1 if math.sin(middle) >= 0 else -1
        edge = centre_x + outer * math.sin(middle), centre_y - outer * math.cos(middle)
        labels[side].append((*edge, part, share))
        angle = end
    for side, found in labels.items():
        gap = 40.0 if any(len(part) > _LONG for _, _, part, _ in found) else 28.0
        places = _spread([y for _, y, _, _ in found], gap, 18.0, height - 20.0)
        for (x, y, part, share), place in zip(found, places, strict=True):
            text_x = centre_x + side * (outer + 20)
            parts.append(_draw(
                "path", d=f"M{x:.1f},{y:.1f} L{centre_x + side * (outer + 9):.1f},{place:.1f} "
                f"L{text_x - side * 3:.1f},{place:.1f}",
                fill="none", stroke="currentColor", stroke_width="0.8",
            ))  # fmt: skip
            anchor = "start" if side > 0 else "end"
            lines = [part]
            if len(part) > _LONG:
                first, _, rest = part.partition(", ")
                lines = [f"{first},", rest]
            top = place - 1 if len(lines) == 1 else place - 7
            for line, words in enumerate(lines):
                parts.append(_write(text_x, top + 12 * line, words, anchor, font_size=10.5))
            parts.append(_write(text_x, top + 12 * len(lines), _percent(share), anchor,
                                font_weight=650))  # fmt: skip
    total = pie["all_per_mac_j"]
    parts.append(_write(centre_x, centre_y, _fj(total), "middle", font_size=15, font_weight=650))
    parts.append(_write(centre_x, centre_y + 13, "fJ/MAC", "middle", font_size=9.5))
    about = f"{pie['about']}; {_fj(total)} fJ per MAC at {pie['supply_v']:g} V: " + ", ".join(
        f"{part} {_percent(share)}" for part, share in pie["shares"].items()
    )
    title = f"Where the energy goes: {pie['name']}"
    return (
        f"<figure>{_picture(name, width, height, title, about, ''.join(parts))}<figcaption>"
        f"<strong>{escape(pie['name'])}</strong>, {pie['supply_v']:g} V: {escape(pie['about'])}"
        "</figcaption></figure>\n"
    )


def _ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers between two, so many or a few more."""
    step = 10 ** math.floor(math.log10((high - low) / about))
    step *= next(times for times in (1, 2, 5, 10) if (high - low) / (step * times) <= about)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _bars(rows: Sequence[Mapping[str, Any]]) -> str:
    """Energy per MAC of the core, stacked by category, a bar for each way of counting."""
    width, left, right = 360, 6, 52
    longest = max(sum(row["categories_j"].values()) for row in rows)
    scale = (width - left - right) / longest
    parts, about, y = [], [], 30.0
    x = float(left)
    for part in CATEGORIES[:-1]:
        parts.append(_draw("rect", x=x, y=3.0, width=10, height=10,
                           fill=f"var(--{_COLOURS[part]})"))  # fmt: skip
        parts.append(_write(x + 14, 12, part))
        x += 26 + 6.1 * len(part)
    group = None
    for row in rows:
        this = f"{row['workload']}, {DELAYS[row['delays']]}"
        if this != group:
            y += 8 if group else 0
            parts.append(_write(left, y + 10, this, font_weight=650))
            group, y = this, y + 16
        parts.append(_write(left, y + 9, row["wires"], font_size=10, class_="faint"))
        x, total = float(left), sum(row["categories_j"].values())
        for part, value in row["categories_j"].items():
            length = value * scale
            parts.append(_draw("rect", x=x, y=y + 13, width=max(0.0, length - 1), height=11,
                               fill=f"var(--{_COLOURS[part]})"))  # fmt: skip
            x += length
        parts.append(_write(x + 3, y + 22.5, f"{_fj(total)} fJ", font_weight=650))
        about.append(f"{this}, {row['wires']}: {_fj(total)} fJ")
        y += 28
    return _picture(
        "wires", width, int(y + 4), "Energy per MAC of the core by wires, glitches and data",
        "Stacked bars, from left control, clock, neuron registers, popcount. " + "; ".join(about),
        "".join(parts),
    )  # fmt: skip


def _marker(shape: str, x: float, y: float, size: float, filled: bool, colour: str) -> str:
    style: dict[str, Any] = {
        "fill": f"var(--{colour})" if filled else "var(--paper)",
        "stroke": f"var(--{colour})", "stroke_width": "1.8",
    }  # fmt: skip
    if shape == "circle":
        return _draw("circle", cx=x, cy=y, r=size, **style)
    corners = {
        "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        "triangle": ((0, -1.15), (1.1, 0.85), (-1.1, 0.85)),
        "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
    }[shape]
    points = " ".join(f"{x + dx * size:.1f},{y + dy * size:.1f}" for dx, dy in corners)
    return _draw("polygon", points=points, **style)


def _efficiency_picture(efficiency: Mapping[str, Any]) -> str:
    """Efficiencies at the low supply on a logarithmic axis: published hollow, ours filled."""
    supply = f"{SUPPLIES_V[-1]:g}"
    rows = [
        (f"published, {each['name']}{' [inferred]' if each['inferred'] else ''}",
         each["tops_per_watt"], False)
        for each in efficiency["published"]
    ] + [(f"ours, {each['name']}", each["by_supply"][supply]["tops_per_watt"], True)
         for each in efficiency["ours"]]  # fmt: skip
    low = 10 ** math.floor(math.log10(min(value for _, value, _ in rows)))
    high = 10 ** math.ceil(math.log10(max(value for _, value, _ in rows)))
    width, left, right, top = 360, 8.0, 40.0, 6.0
    bottom = top + 27 * len(rows) + 4

    def place(value: float) -> float:
        return left + (width - left - right) * math.log(value / low) / math.log(high / low)

    parts = []
    decade = low
    while decade <= high * 1.001:
        x = place(decade)
        parts.append(_draw("path", d=f"M{x:.1f},{top:.1f} V{bottom:.1f}", stroke="var(--line)"))
        parts.append(_write(x, bottom + 13, f"{decade:g}", "middle", class_="faint"))
        decade *= 10
    parts.append(_write((left + width - right) / 2, bottom + 28, "TOPS/W, logarithmic", "middle"))
    about = []
    for number, (label, value, mine) in enumerate(rows):
        y = top + 27 * number + 12
        x = place(value)
        parts.append(_write(left, y, label, class_="halo"))
        parts.append(_draw("path", d=f"M{left:.1f},{y + 8:.1f} H{x:.1f}", stroke="currentColor",
                           stroke_width="0.8", stroke_dasharray="2 2"))  # fmt: skip
        parts.append(_marker("circle" if mine else "square", x, y + 8, 4.0, mine,
                             "clock" if mine else "other"))  # fmt: skip
        parts.append(_write(x + 8, y + 12, _number(value), font_weight=650, class_="halo"))
        about.append(f"{label}: {_number(value)}")
    return _picture(
        "efficiency", width, int(bottom + 36), f"TOPS/W at {supply} V, ours and published",
        "Published as hollow squares (the last one a projection to 28 nm), ours as filled circles. "
        + "; ".join(about), "".join(parts),
    )  # fmt: skip


def _pareto_picture(rows: Sequence[Mapping[str, Any]]) -> str:
    """Core area against energy per MAC, numbered as in the table, the Pareto front drawn."""
    width, height, left, right, top, bottom = 360, 330, 44.0, 12.0, 38.0, 288.0
    points = [(row["core_area_um2"] * 1e-6, row["core_j"] * 1e15) for row in rows]
    xs, ys = zip(*points, strict=True)

    def scale(values: Sequence[float], begin: float, end: float) -> tuple[Any, list[float]]:
        low, high = min(values), max(values)
        room = 0.09 * (high - low) or 0.1 * high
        low, high = low - room, high + room
        return (
            lambda value: begin + (end - begin) * (value - low) / (high - low),
            _ticks(low, high),
        )

    at_x, x_ticks = scale(xs, left, width - right)
    at_y, y_ticks = scale(ys, bottom, top)
    parts = []
    for tick in x_ticks:
        parts.append(_draw("path", d=f"M{at_x(tick):.1f},{top:.1f} V{bottom:.1f}",
                           stroke="var(--line)"))  # fmt: skip
        parts.append(_write(at_x(tick), bottom + 14, f"{tick:.3g}", "middle", class_="faint"))
    for tick in y_ticks:
        parts.append(_draw("path", d=f"M{left:.1f},{at_y(tick):.1f} H{width - right:.1f}",
                           stroke="var(--line)"))  # fmt: skip
        parts.append(_write(left - 5, at_y(tick) + 4, f"{tick:.4g}", "end", class_="faint"))
    parts.append(_write((left + width - right) / 2, bottom + 30, "core area, mm\u00b2", "middle"))
    parts.append(_write(left, top - 8, "core energy, fJ per MAC at 1.8 V"))
    x = left
    for style in dict.fromkeys(row["parameters"]["style"] for row in rows):
        parts.append(_marker(_SHAPES[style], x + 5, 9.0, 4.0, False, _STYLE_COLOURS[style]))
        parts.append(_write(x + 13, 13, style))
        x += 24 + 6.0 * len(style)
    front = [point for point, row in zip(points, rows, strict=True) if row["on_front"]]
    steps = " ".join(f"L{at_x(x):.1f},{at_y(y):.1f}" for x, y in front)
    parts.append(_draw("path", d="M" + steps[1:], fill="none", stroke="currentColor",
                       stroke_width="1.2", stroke_dasharray="5 3"))  # fmt: skip
    taken: list[tuple[float, float, float, float]] = [
        (at_x(x) - 6, at_y(y) - 6, at_x(x) + 6, at_y(y) + 6) for x, y in points
    ]
    labels = []
    for (x, y), row in zip(points, rows, strict=True):
        style = row["parameters"]["style"]
        parts.append(_marker(_SHAPES[style], at_x(x), at_y(y), 5.0, row["on_front"],
                             _STYLE_COLOURS[style]))  # fmt: skip
        text = str(row["number"])
        box = _free(at_x(x), at_y(y), 6.5 * len(text), taken)
        taken.append(box)
        labels.append(_write((box[0] + box[2]) / 2, box[3] - 1, text, "middle", font_size=10.5,
                             class_="halo", **({"font_weight": 700} if row["on_front"] else {})
                             ))  # fmt: skip
    about = "; ".join(
        f"{row['number']}: {row['label']}, {_mm2(row['core_area_um2'])} mm2, {_fj(row['core_j'])} "
        f"fJ{', on the front' if row['on_front'] else ''}"
        for row in rows
    )
    return _picture(
        "pareto", width, height, "Core area against energy per MAC, and the Pareto front",
        f"Filled markers joined by a dashed line are on the Pareto front, hollow ones are not; the "
        f"shape is the style. {about}", "".join(parts + labels),
    )  # fmt: skip


_STYLE_COLOURS = {"enabled": "other", "bank_gated": "control", "borrow_gated": "registers",
                  "deferred": "clock"}  # fmt: skip


def _free(
    x: float, y: float, width: float, taken: Sequence[tuple[float, float, float, float]]
) -> tuple[float, float, float, float]:
    """A box for a label beside a point that covers as little as possible."""

    def covered(box: tuple[float, float, float, float]) -> float:
        return sum(
            max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
            * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
            for other in taken
        )

    boxes = []
    for distance in (9.0, 15.0, 21.0):
        for dx, dy in ((1, 0), (0, -1), (-1, 0), (0, 1), (1, -1), (-1, -1), (-1, 1), (1, 1)):
            middle_x, middle_y = x + dx * (distance + width / 2 - 2), y + dy * (distance + 2)
            boxes.append((middle_x - width / 2, middle_y - 5, middle_x + width / 2, middle_y + 5))
    return min(boxes, key=covered)


# The page -----------------------------------------------------------------------------------------


def _cards(headline: Mapping[str, Any]) -> str:
    low, high = f"{headline['low_v']:g} V", f"{headline['high_v']:g} V"
    clock = headline["maximum_clock_hz"]
    cards = [
        ("Energy per MAC", _fj(headline["per_mac_j"]), "fJ",
         f"boundary: registers, popcount and their clock ('headline'), {high}, random data, "
         f"{DELAYS[headline['delays']]}; {_fj(headline['per_mac_no_glitches_j'])} without "
         f"glitches, {_fj(headline['per_mac_ideal_j'])} with ideal wires"),
        *([] if headline["column_ratio"] is None else [
            ("The same by ngspice", _fj(headline["per_mac_by_column_j"]), "fJ",
             f"a neuron column's transistors take {_number(headline['column_ratio'])} times what "
             "the Liberty's tables say; nothing else here is corrected by it")
        ]),
        ("Core efficiency", _number(headline["core_tops_per_watt_low"]), "TOPS/W",
         f"boundary: digital core with control and clock, no macro, scaled to {low}; "
         f"{_number(headline['core_tops_per_watt'])} at {high}"),
        ("Core and macro reads", _number(headline["with_read_tops_per_watt_low"]), "TOPS/W",
         f"boundary: core and the macros' reads, {low}"),
        ("Maximum clock", _mhz(clock), "MHz",
         "not measured, see timing" if clock is None
         else f"corner {headline['corner']}, limited by {headline['limited_by']}; ideal clock"),
        ("Core area", _mm2(headline["core_area_um2"]), "mm\u00b2",
         "cells, without macros, host port and wiring"),
        ("Control", f"{100 * headline['control_share']:.1f}", "%",
         "of the core's energy, its own clock included"),
        ("Inference", _nj(headline["core_per_inference_j"]), "nJ",
         f"boundary: core, no macro, {high}, random data"),
    ]  # fmt: skip
    return '<dl class="cards">\n' + "".join(
        f'<div><dt>{_text(name)}</dt><dd class="value">{_text(value)} <span>{unit}</span></dd>'
        f'<dd class="about">{_text(about)}</dd></div>\n'
        for name, value, unit, about in cards
    ) + "</dl>\n"  # fmt: skip


def _amount(unit: str, value: float, exact: bool = False) -> str:
    factor, shown = {"J": (1e15, "fJ"), "Hz": (1e-6, "MHz"), "share": (100, "%")}.get(
        unit, (1, unit)
    )
    number = f"{value * factor:g}" if exact else _number(value * factor)
    return f"{number}{_SPACE}{shown}"


def _aims_table(aims: Sequence[Mapping[str, Any]]) -> str:
    ways = list(dict.fromkeys(way for aim in aims for way in aim["values"]))
    rows = []
    for aim in aims:
        row: list[object] = [
            f"{aim['what']} {_amount(aim['unit'], aim['aim'], True)}", aim["boundary"]
        ]  # fmt: skip
        for way in ways:
            if way in aim["values"]:
                value = escape(_amount(aim["unit"], aim["values"][way]))
                row.append(_Html(f"{value} {_verdict(aim['reached'][way])}"))
            else:
                row.append("not run")
        rows.append([*row, aim["chip"]])
    return _table(
        "Aims and what was reached: random data, energies without macro. The aims were set with a "
        "sketch of ideal wires and no glitches.",
        ["aim", "boundary", *ways, "chip"], rows, words=(1, len(ways) + 2), stacked=True,
    )  # fmt: skip


def _clock_aim(aim: Mapping[str, Any]) -> str:
    text = f"Aim of a {aim['what']} {_amount('Hz', aim['aim'], True)}: "
    if not aim["values"]:
        return _paragraph(text + "not measured. " + aim["missing"])
    way, value = next(iter(aim["values"].items()))
    return (
        f"<p>{escape(text)}{escape(_amount('Hz', value))} ({escape(way)}) "
        f"{_verdict(aim['reached'][way])}</p>\n"
    )


def _summary_section(document: Mapping[str, Any]) -> str:
    derived = document["derived"]
    aims = derived["aims"]
    return (
        "<h1>Heliobit: what the chip costs</h1>\n"
        + _paragraph(derived["summary"])
        + _cards(derived["headline"])
        + _aims_table([aim for aim in aims if aim["unit"] != "Hz"])
        + "".join(_clock_aim(aim) for aim in aims if aim["unit"] == "Hz")
    )


def _area_section(document: Mapping[str, Any]) -> str:
    derived = document["derived"]
    outside = ("host port", "chip")
    rows = [
        [block, f"{each['cells']:,}", f"{each['flip_flops']:,}", _number(each["area_um2"], 4),
         _percent(each["share_of_core"]) if block not in outside else "outside"]
        for block, each in derived["area"].items()
    ]  # fmt: skip
    core = derived["core_area"]
    rows.append(["core, all of it", f"{core['cells']:,}", f"{core['flip_flops']:,}",
                 _number(core["area_um2"], 4), _percent(1)])  # fmt: skip
    return _paragraph(
        "Areas of the library's cells; no macro, no wiring, no filler. 'core' is what the core "
        "holds beside its named blocks."
    ) + _table(
        "Area by block", ["block", "cells", "flip-flops and latches", "area, \u00b5m\u00b2",
        "of the core"], rows, marked=(len(rows) - 1,),
    )  # fmt: skip


def _timing_section(document: Mapping[str, Any]) -> str:
    timing = document["derived"]["timing"]
    if "missing" in timing:
        return _paragraph(f"Timing is missing: {timing['missing']}")
    parts = [_paragraph(f"{timing['tool']}, at a period of {_ns(timing['period_s'])} ns. "
                        + "; ".join(timing["conditions"]) + ".")]  # fmt: skip
    parts.append(_table(
        "Corners",
        ["corner", "setup slack, ns", "hold slack, ns", "shortest period, ns", "clock, MHz",
         "limited by", "endpoints", "of them unconstrained"],
        [
            [each["corner"], _ns(each["setup_slack_s"]), _ns(each["hold_slack_s"]),
             _ns(each["minimum_period_s"]), _in(1e-6, 4)(each["maximum_clock_hz"]),
             each["limited_by"], f"{each['endpoints']:,}", f"{each['unconstrained_endpoints']:,}"]
            for each in timing["corners"]
        ],
    ))  # fmt: skip
    for corner in timing["corners"]:
        path = corner["worst_path"]
        parts.append(_table(
            f"{corner['corner']}: the worst path, {path['startpoint']} to {path['endpoint']}, by "
            "the block it passes",
            ["block", "delay, ns"],
            [[block, _ns(delay)] for block, delay in path["delay_by_block_s"].items()],
        ))  # fmt: skip
        parts.append(_table(
            f"{corner['corner']}: the worst path to each block",
            ["block", "setup slack, ns", "arrival, ns", "hold slack, ns", "from", "to"],
            [
                [each["block"], _ns(each["setup_slack_s"]), _ns(each["arrival_s"]),
                 _ns(each["hold_slack_s"]), each["startpoint"], each["endpoint"]]
                for each in sorted(corner["blocks"], key=lambda each: each["setup_slack_s"])
            ],
            words=(4, 5),
        ))  # fmt: skip
    return "".join(parts)


def _breakdown_section(document: Mapping[str, Any]) -> str:
    derived = document["derived"]
    pies, macro = derived["breakdown"], derived["macro"]
    parts = [_paragraph(
        "The published pie holds the macros' reads, so ours are shown with them, and once more "
        "without (the core alone). Reads are the energy of one sense of all columns times the "
        f"senses ({_number(macro['senses_per_inference'])} an inference); the amplifier is ours, "
        "in SKY130, and not optimised, so its part says little about the published one. Control "
        "has no clock here: the core's clock is one part, as published."
    )]  # fmt: skip
    parts.append('<div class="pictures">\n')
    parts += [_pie(f"pie-{number}", pie) for number, pie in enumerate(pies)]
    parts.append("</div>\n")
    rows = []
    for pie in pies:
        values = dict(pie["per_mac_j"])
        shown = []
        for names in (("control", "the rest, mostly control"), ("clock",), ("neuron registers",),
                      ("popcount",), ("macro read",)):  # fmt: skip
            name = next((name for name in names if name in values), None)
            text = "-" if name is None else f"{_fj(values[name])} ({_percent(pie['shares'][name])})"
            shown.append(text)
        both = "read, XNOR, popcount"
        if both in values:
            shown[3] = shown[4] = f"{_fj(values[both])} ({_percent(pie['shares'][both])}) together"
        rows.append([f"{pie['name']}, {pie['supply_v']:g} V", *shown,
                     _fj(pie["all_per_mac_j"])])  # fmt: skip
    parts.append(_table("Energy by category, fJ per MAC and share; the published parts are shares "
                        "of the measured 45 nJ [inferred]",
                        ["chip", *CATEGORIES, "all"], rows))  # fmt: skip
    return "".join(parts)


def _short(row: Mapping[str, Any]) -> str:
    return f"{row['workload']}, {DELAYS[row['delays']].partition(' (')[0]}: {row['wires']}"


def _wires_section(document: Mapping[str, Any]) -> str:
    rows = document["derived"]["wires"]
    table = _table(
        "Energy per useful MAC at 1.8 V by data, glitches and wires, fJ",
        ["data, delays, wires", "headline", "core", "chip", "glitches add to core",
         "control of core", "core an inference, nJ"],
        [
            [_short(row), _fj(row["headline_j"]),
             _fj(row["core_j"]), _fj(row["chip_j"]), _percent(row["glitches"]),
             _percent(row["control_share"]), _nj(row["core_per_inference_j"])]
            for row in rows
        ],
    )  # fmt: skip
    categories = _table(
        "The bars' parts: the core's energy by category, fJ per MAC",
        ["data, delays, wires", *CATEGORIES[:-1]],
        [
            [_short(row), *map(_fj, row["categories_j"].values())] for row in rows
        ],
    )  # fmt: skip
    return (
        _paragraph("Glitches are the transitions beyond the last of a cycle, made by the gates' "
                   "delays. Only MACs that the network asked for count: digits use "
                   "part of the chip, and the rest of it is paid for.")
        + f'<div class="pair"><figure>{_bars(rows)}</figure><div>{table}{categories}</div></div>\n'
    )  # fmt: skip


def _efficiency_section(document: Mapping[str, Any]) -> str:
    efficiency = document["derived"]["efficiency"]
    ours = _table(
        "Ours, TOPS/W (fJ per MAC): random data, wire load and clock tree, "
        + DELAYS[document["derived"]["headline"]["delays"]],
        ["boundary", *(f"{v:g} V" for v in SUPPLIES_V), "holds"],
        [
            [each["name"], *(f"{_number(at['tops_per_watt'])} ({_fj(at['energy_per_mac_j'])})"
                             for at in each["by_supply"].values()), each["holds"]]
            for each in efficiency["ours"]
        ], words=(4,),
    )  # fmt: skip
    published = _table(
        "Published, TOPS/W",
        ["figure", "TOPS/W", "process, nm", "supply", "boundary", "nearest of ours"],
        [
            [each["name"] + (" [inferred]" if each["inferred"] else ""),
             _number(each["tops_per_watt"], 3 if each["tops_per_watt"] > 10 else 2),
             each["process_nm"],
             "not said" if each["supply_v"] is None else f"{each['supply_v']:g} V",
             each["boundary"], each["nearest"]]
            for each in efficiency["published"]
        ], words=(4, 5), stacked=True,
    )  # fmt: skip
    clocks = _table(
        "Supplies: how energy is scaled, what cells in ngspice say of it, and the clock there",
        ["supply", "energy factor (V\u00b2)", "cells' energy over it", "delay grows",
         "slowest cell", "clock, MHz", "GOPS", "leakage of core, at that clock"],
        [
            [f"{each['supply_v']:g} V", _number(each["factor"]),
             " to ".join(_number(end) for end in each["energy_against_square"]),
             f"{_number(each['delay_growth'])} times", each["slowest_cell"],
             _mhz(each["clock_hz"]), _in(1e-9)(each["operations_per_s"]),
             _percent(each["leakage_share_of_core"])]
            for each in efficiency["clocks"]
        ],
    )  # fmt: skip
    lowest = efficiency["clocks"][-1]
    lowest_mhz = lowest["clock_hz"] and f", {_mhz(lowest['clock_hz'])} MHz"
    slow = _paragraph(
        f"At {lowest['supply_v']:g} V the slowest of these cells is "
        f"{_number(lowest['delay_growth'])} times slower than at 1.8 V: the pMOS of SKY130's "
        "high-density cells has a high threshold and hardly conducts there. The efficiency holds "
        f"at the clock of the table{lowest_mhz or ''}; the published chip runs at 10 MHz there, in "
        "its own process. V\u00b2 is the cautious side: the cells spend less."
    )
    return (
        _paragraph("Two operations a MAC. A figure is worth its boundary only: compare rows with "
                   "the same one.")
        + f'<div class="pair"><figure>{_efficiency_picture(efficiency)}</figure>'
        + f"<div>{ours}{published}</div></div>\n{clocks}{slow}"
    )  # fmt: skip


def _projection_section(document: Mapping[str, Any]) -> str:
    projection = document["derived"]["projection"]
    gains = " to ".join(
        _number(each) for each in sorted(projection["gains_by_capacitance"].values())
    )
    return _list(projection["assumptions"]) + _table(
        f"Projection from {projection['from_nm']} nm at {projection['from_v']:g} V to "
        f"{projection['to_nm']} nm, TOPS/W: not measured, not simulated",
        ["boundary", f"{projection['from_nm']} nm, {projection['from_v']:g} V",
         f"by capacitance, {gains} times",
         f"by the published ratio, {_number(projection['gain_published'])} times"],
        [
            [each["name"], _number(each["from_tops_per_watt"]),
             " to ".join(_number(end) for end in each["by_capacitance_tops_per_watt"]),
             _number(each["by_published_ratio_tops_per_watt"])]
            for each in projection["rows"]
        ],
    ) + _paragraph("Published beside it: 397 TOPS/W for read and popcount.", "note")  # fmt: skip


_POINT_COLUMNS = ["core area, mm\u00b2", "core", "headline", "headline, ideal wires",
                  "instances, ideal wires", "control of core", "core, TOPS/W at 0.7 V",
                  "cycles an inference"]  # fmt: skip


def _point_cells(row: Mapping[str, Any]) -> list[object]:
    return [
        _mm2(row["core_area_um2"]), _fj(row["core_j"]), _fj(row["headline_j"]),
        _fj(row["headline_ideal_j"]), _fj(row["instances_ideal_j"]),
        _percent(row["control_share"]), _number(row["core_tops_per_watt_low"]),
        _number(row["cycles_per_inference"]),
    ]  # fmt: skip


def _styles_section(document: Mapping[str, Any]) -> str:
    rows = document["derived"]["styles"]
    best = min(range(len(rows)), key=lambda number: rows[number]["core_j"])
    return _paragraph(
        "The same chip with every style and read timing; energies in fJ per MAC at 1.8 V, random "
        "data, no glitches, with wire load and clock tree unless ideal wires are said. 'Sketch' is "
        "the first estimate that the aims were set by (ideal wires). The best is marked."
    ) + _table(
        "Styles and read timings",
        ["style", "read timing", *_POINT_COLUMNS, "sketch"],
        [[row["parameters"]["style"], row["parameters"]["read_timing"], *_point_cells(row),
          _fj(row["sketch_j"])] for row in rows],
        marked=(best,),
    )  # fmt: skip


def _sweep_section(document: Mapping[str, Any]) -> str:
    rows = document["derived"]["sweep"]
    table = _table(
        "The sweep; energies in fJ per MAC at 1.8 V; the front is marked",
        ["number, style", "macros a bank", "rows at once", "split", *_POINT_COLUMNS, "banks",
         "rows x columns", "on the front"],
        [
            [f"{row['number']}{_SPACE}{row['parameters']['style']}",
             row["parameters"]["macros_per_bank"], row["parameters"]["rows_per_update"],
             row["parameters"]["borrow_split"], *_point_cells(row), row["parameters"]["banks"],
             f"{row['parameters']['rows']} x {row['parameters']['columns']}",
             "yes" if row["on_front"] else "no"]
            for row in rows
        ],
        marked=[number for number, row in enumerate(rows) if row["on_front"]],
    )  # fmt: skip
    return (
        _paragraph("The same number of memristors with more macros a bank, and the options of the "
                   "styles; read timing 1, random data, no glitches. Numbers in the picture are "
                   "the table's. On the front: no other chip is smaller and spends less.")
        + f'<div class="pair"><figure>{_pareto_picture(rows)}</figure><div>{table}</div></div>\n'
    )  # fmt: skip


def _checks_section(document: Mapping[str, Any]) -> str:
    checks = document["derived"]["checks"]
    words = {True: '<span class="yes">\u2713 passed</span>',
             False: '<span class="no">\u2717 failed</span>', None: "see text"}  # fmt: skip
    parts = [_table("Checks", ["check", "result", "what"],
                    [[each["what"], _Html(words[each["passed"]]), each["words"]]
                     for each in checks], words=(1, 2), stacked=True)]  # fmt: skip
    for each in checks:
        if each.get("blocks"):
            parts.append(_table(
                "The neuron column: ngspice against the Liberty's tables, pJ over the cycles "
                "counted",
                ["block", "ngspice", "Liberty, its own glitches", "ratio",
                 "Liberty, toggles of ngspice"],
                [[block["block"], _pj(block["spice_j"]), _pj(block["liberty_j"]),
                  "-" if block["ratio"] is None else _number(block["ratio"]),
                  _pj(block["same_activity_j"])] for block in each["blocks"]],
            ))  # fmt: skip
            parts.append(_paragraph(
                "Were all of the headline off as this column is, it would be "
                f"{_fj(document['derived']['headline']['per_mac_by_column_j'])} fJ per MAC."
            ))  # fmt: skip
    return "".join(parts)


def _limits_section(document: Mapping[str, Any]) -> str:
    return _list(document["derived"]["limits"])


def _made_section(document: Mapping[str, Any]) -> str:
    derived = document["derived"]
    return _table(
        "How the figures were made", ["what", "how"], derived["made"], words=(1,), stacked=True
    ) + (
        _table(
            "Boundaries", ["name", "holds"], derived["boundaries"].items(), words=(1,), stacked=True
        )
        + _paragraph("All figures, unrounded and in SI units, are in report.json beside this page.")
    )


_SECTIONS: tuple[tuple[str, str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("area", "Area", _area_section),
    ("timing", "Timing", _timing_section),
    ("breakdown", "Where the energy goes", _breakdown_section),
    ("glitches", "Glitches, wires and clock tree", _wires_section),
    ("tops", "Efficiency, ours and published", _efficiency_section),
    ("projection", "Projection to 28 nm", _projection_section),
    ("styles", "Styles and read timings", _styles_section),
    ("sweep", "Macros per bank and options", _sweep_section),
    ("checks", "Checks", _checks_section),
    ("limits", "What a proxy cannot know", _limits_section),
    ("made", "How this was made", _made_section),
)


def render(document: Mapping[str, Any]) -> str:
    """The page of a report's JSON: a study and its `derived` figures."""
    parts = [_summary_section(document), '<nav aria-label="Sections"><ul>\n']
    parts += [f'<li><a href="#{name}">{_text(title)}</a></li>\n' for name, title, _ in _SECTIONS]
    parts.append("</ul></nav>\n")
    for name, title, section in _SECTIONS:
        parts.append(f'<section aria-labelledby="{name}">\n<h2 id="{name}">{_text(title)}</h2>\n')
        parts.append(section(document))
        parts.append("</section>\n")
    template = Template((Path(__file__).parent / "report_template.html").read_text("utf-8"))
    return template.substitute(title="Heliobit: what the chip costs", body="".join(parts))
