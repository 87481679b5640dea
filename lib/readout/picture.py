"""A kept readout as a picture: an SVG of the differences that decide, each with its interval.

Needs neither a browser nor a chart library: vl-convert, which draws Altair's charts as SVG, is a JavaScript engine of
33 MB. The file has a title, a description and colours for light and dark readers.
"""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from lib.readout.panels import Bar, Panel, panels

Look = Literal["auto", "light", "dark"]
"""The colours: `auto` asks the reader's system."""

ROW, HEAD, LINE = 26, 34, 20
"""Heights of one group, of a metric's heading and of a line of text."""
STACK = 74
"""Height of one group of a narrow picture."""
TITLE_COLUMNS = 32
"""Characters in a line of its title."""
LONGEST = 20
"""Characters of a group's name that fit beside the scale."""

_LIGHT = {
    "paper": "#ffffff", "ink": "#0f1729", "quiet": "#5a6376", "rule": "#8a93a5", "band": "#e6e9f0",
    "groups": ("#2563eb", "#b45309", "#0f766e", "#a21caf", "#7c3aed"),
}  # fmt: skip
_DARK = {
    "paper": "#14171f", "ink": "#e6e9f0", "quiet": "#a7b0c2", "rule": "#8a93a5", "band": "#2a3040",
    "groups": ("#6ea3ff", "#f0a43a", "#2cc7b5", "#e27bf0", "#a78bfa"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Form:
    """The measures of a picture, in pixels: `left` and `right` are the ends of the scale, `columns` the characters in a
    line of the sentence. `narrow`: numbers and words stand above and below a scale instead of beside it."""

    width: int
    margin: int
    left: int
    right: int
    columns: int
    narrow: bool = False


WIDE = Form(880, 24, 190, 480, 120)
NARROW = Form(320, 12, 12, 308, 42, narrow=True)
"""A picture that can be read on a phone."""


def draw(readout: Mapping[str, Any], look: Look = "auto", form: Form = WIDE) -> str:
    """Return the picture of a readout's JSON as SVG."""
    drawn = list(panels(readout))
    title = f"{readout.get('experiment', 'Experiment')}, run {readout.get('run', 1)}"
    body, y = _head(readout, title, form)
    for panel in drawn:
        body += _panel(panel, y, form)
        y += _height(panel, form) + 14
    height, width = round(y + form.margin / 2), form.width
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'role="img" aria-labelledby="title desc">',
            f'<title id="title">{escape(f"The readout of {title}")}</title>',
            f'<desc id="desc">{escape(described(readout, drawn))}</desc>',
            f"<style>{_style(look)}</style>",
            f'<rect class="paper" width="{width}" height="{height}" rx="8"/>',
            *body,
            "</svg>",
        ]
    )


def _head(readout: Mapping[str, Any], title: str, form: Form) -> tuple[list[str], float]:
    """Return the elements above the metrics, and where these begin."""
    y, as_of = form.margin + 18.0, f"as of {readout['as_of']}" if readout.get("as_of") else ""
    lines = textwrap.wrap(str(readout.get("sentence") or "No readout was kept."), form.columns)
    if form.narrow:
        name, run = title.rsplit(", ", 1)
        titles = [*textwrap.wrap(f"{name},", TITLE_COLUMNS), run]
        body = [_text(form.margin, y + LINE * place, line, "ink title") for place, line in enumerate(titles)]
        y += LINE * len(titles) - 1
        body.append(_text(form.margin, y, as_of, "quiet"))
    else:
        body = [_text(form.margin, y, title, "ink title")]
        body.append(_text(form.width - form.margin, y, as_of, "quiet", anchor="end"))
    y += 8
    body += [_text(form.margin, y + LINE * place, line, "ink") for place, line in enumerate(lines, start=1)]
    return body, y + LINE * len(lines) + 14


def described(readout: Mapping[str, Any], drawn: Iterable[Panel] | None = None) -> str:
    """Return the picture in words: the sentence, then every difference."""
    parts = [str(readout.get("sentence") or "No readout was kept.")]
    for panel in panels(readout) if drawn is None else drawn:
        rows = "; ".join(f"{bar.group} {bar.numbers}, {bar.word}".replace(" ,", ",") for bar in panel.bars)
        parts.append(f"{panel.name}: {rows}.")
    return " ".join(parts)


def _height(panel: Panel, form: Form) -> float:
    if form.narrow:
        return HEAD + LINE + STACK * len(panel.bars)
    return HEAD + ROW * len(panel.bars)


def _panel(panel: Panel, y: float, form: Form) -> Iterator[str]:
    """Yield the elements of a metric whose upper edge is at `y`."""
    at = _scale(panel, form)
    band = f"shaded: within ±{panel.mde:.2g} {panel.unit}" if panel.mde else ""
    yield _text(form.margin, y + 18, panel.name, "ink name")
    if form.narrow:
        yield _text(form.right, y + 18, band, "quiet", anchor="end")
        y += LINE
    else:
        yield _text(form.right + 22, y + 18, band, "quiet")
    yield _text(form.left, y + 18, f"← {panel.ends[0]}", "quiet")
    yield _text(form.right, y + 18, f"{panel.ends[1]} →", "quiet", anchor="end")
    if form.narrow:
        for place, bar in enumerate(panel.bars):
            yield from _stacked(panel, bar, place, y + HEAD + STACK * place, form)
        return
    yield from _ground(panel, y + HEAD - 8, y + HEAD + ROW * len(panel.bars), at)
    for place, bar in enumerate(panel.bars):
        middle = y + HEAD + ROW * place + ROW / 2
        yield _text(form.margin, middle + 4, _short(bar.group), "ink")
        yield from _mark(bar, place, middle, at)
        yield _text(form.right + 22, middle + 4, bar.numbers or "–", "ink")
        yield _text(form.width - form.margin, middle + 4, bar.word, "ink", anchor="end")


def _stacked(panel: Panel, bar: Bar, place: int, y: float, form: Form) -> Iterator[str]:
    """Yield a group of a narrow picture: its name and word, its interval, its numbers."""
    at = _scale(panel, form)
    yield _text(form.margin, y + 6, _short(bar.group), "ink")
    yield _text(form.right, y + 6, bar.word, "ink", anchor="end")
    yield from _ground(panel, y + 14, y + 14 + ROW, at)
    yield from _mark(bar, place, y + 14 + ROW / 2, at)
    yield _text(form.margin, y + 14 + ROW + LINE - 4, bar.numbers or "–", "ink")


def _scale(panel: Panel, form: Form) -> Callable[[float], float]:
    """Return the place of a difference, in pixels."""
    reach = 1.08 * max([1.5 * panel.mde, *(abs(end) for bar in panel.bars if bar.interval for end in bar.interval)])
    sign = -1.0 if panel.mirrored else 1.0

    def at(value: float) -> float:
        share = sign * value / reach if reach else 0.0
        return round((form.left + form.right) / 2 + share * (form.right - form.left) / 2, 1)

    return at


def _ground(panel: Panel, top: float, bottom: float, at: Callable[[float], float]) -> Iterator[str]:
    """Yield the band of what does not matter, and the line at zero."""
    if panel.mde:
        low, high = sorted((at(-panel.mde), at(panel.mde)))
        yield f'<rect class="band" x="{low}" y="{top}" width="{high - low:.1f}" height="{bottom - top:.1f}"/>'
    yield f'<line class="rule" x1="{at(0)}" x2="{at(0)}" y1="{top}" y2="{bottom}"/>'


def _mark(bar: Bar, place: int, y: float, at: Callable[[float], float]) -> Iterator[str]:
    if bar.interval is not None:
        low, high, diff = bar.interval
        colour = f"g{place % len(_LIGHT['groups'])}"
        yield f'<line class="{colour} span" x1="{at(low)}" x2="{at(high)}" y1="{y}" y2="{y}"/>'
        yield f'<circle class="{colour}" cx="{at(diff)}" cy="{y}" r="6"/>'


def _short(group: str) -> str:
    return group if len(group) <= LONGEST else f"{group[: LONGEST - 1]}…"


def _text(x: float, y: float, text: str, css_class: str, anchor: str = "start") -> str:
    return f'<text class="{css_class}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _style(look: Look) -> str:
    plain = (
        "text{font:13px system-ui,sans-serif}.title{font-size:17px;font-weight:600}.name{font-weight:600}"
        ".span{stroke-width:4;stroke-linecap:round}.rule{stroke-width:1}"
    )
    if look == "auto":
        return f"{plain}{_colours(_LIGHT)}@media (prefers-color-scheme: dark){{{_colours(_DARK)}}}"
    return plain + _colours(_DARK if look == "dark" else _LIGHT)


def _colours(palette: Mapping[str, Any]) -> str:
    kinds = "".join(f".{name}{{fill:{palette[name]}}}" for name in ("paper", "ink", "quiet", "band"))
    groups = "".join(f".g{place}{{fill:{colour};stroke:{colour}}}" for place, colour in enumerate(palette["groups"]))
    return f"{kinds}.rule{{stroke:{palette['rule']}}}{groups}"
