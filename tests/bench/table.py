"""The benchmark's table in Markdown: figures, the limits that they must meet, and those that they aim at.

Apps are named by letters: V is Streamlit's tutorial chat, B a page without framework, R the OpenAI client alone, C
Chainlit, N NiceGUI.
"""

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Values = Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]
"""`values[section][app][measure]`."""
OURS = "Parley"


@dataclass(frozen=True)
class Figure:
    """A median with its quartiles, of `n` values."""

    median: float
    low: float
    high: float
    n: int


def figure(values: Sequence[float]) -> Figure | None:
    """Return the median and the quartiles of values; None where there are none.

    >>> figure([4, 1, 2, 3, 5])
    Figure(median=3, low=2, high=4, n=5)
    """
    if not values:
        return None
    ordered, last = sorted(values), len(values) - 1
    return Figure(statistics.median(ordered), ordered[round(last / 4)], ordered[round(last * 3 / 4)], len(ordered))


@dataclass(frozen=True)
class Place:
    """The section, the measure and the app of a figure."""

    section: str
    measure: str
    app: str = OURS

    def of(self, values: Values) -> Figure | None:
        """Return the figure; None where it was not measured."""
        return figure(values.get(self.section, {}).get(self.app, {}).get(self.measure, ()))


@dataclass(frozen=True)
class Limit:
    """At most `factor` times another figure: that of another app (`app`), or another one of Parley's (`own`), which
    `words` name. Without either, at most `factor` in the row's unit."""

    factor: float
    app: str = ""
    own: Place | None = None
    words: str = ""

    def cell(self, unit: str) -> str:
        """Return the beginning of the table's cell.

        >>> Limit(0.4, "V").cell("ms"), Limit(1, "C").cell("ms"), Limit(100).cell("ms")
        ('≤ 0.40 V', '≤ C', '≤ 100 ms')
        """
        what = self.words or self.app
        if not what:
            return f"≤ {self.factor:g} {unit}"
        return f"≤ {what}" if self.factor == 1 else f"≤ {self.factor:.2f} {what}"


@dataclass(frozen=True)
class Row:
    """One line: a figure of Parley's, and its limits. `beside` names the apps whose figures are shown with it."""

    what: str
    place: Place
    unit: str
    must: tuple[Limit, ...]
    aim: tuple[Limit, ...] = ()
    beside: str = ""


FRESH, FRESH_CPU = Place("first", "overhead"), Place("long", "browser_cpu")
ROWS = (
    Row("overhead to the first token, fresh conversation", FRESH, "ms",
        (Limit(0.4, "V"), Limit(1, "C")), (Limit(1.5, "B"), Limit(1, "N")), "VBRCN"),
    Row("the same after 200 turns", Place("history", "overhead", "after 200"), "ms",
        (Limit(1.5, own=FRESH, words="fresh"),), (Limit(1.2, own=FRESH, words="fresh"),)),
    Row("tail of 500 tokens at 100/s", Place("long", "tail"), "ms", (Limit(0.1, "V"),), (Limit(1.5, "B"),), "VBR"),
    Row("2,000 tokens at once, in all", Place("burst", "total"), "ms",
        (Limit(0.35, "V"),), (Limit(1.5, "R"),), "VBR"),
    Row("longest freeze while an answer with code, table and list streams", Place("long", "gap"), "ms",
        (Limit(100),), (Limit(60),), "VB"),
    Row("server CPU of a 500-token answer", Place("long", "cpu"), "s",
        (Limit(0.55, "V"),), (Limit(1.5, "R"),), "VBR"),
    Row("browser CPU of a 500-token answer, fresh conversation", FRESH_CPU, "s",
        (Limit(0.4, "V"),), (Limit(0.3, "V"),), "VB"),
    Row("the same after 50 turns", Place("history", "browser_cpu", "after 50"), "s",
        (Limit(1.5, own=FRESH_CPU, words="fresh"),)),
    Row("tail of one session while 49 others stream", Place("crowd", "tail"), "ms",
        (Limit(0.02, "V"),), (Limit(3, own=Place("alone", "tail"), words="alone"),), "VB"),
    Row("start of the process to a usable page, with the demo server", Place("cold", "seconds"), "s",
        (Limit(1, "V"),), (Limit(0.7, "V"),), "V"),
    Row("page load", Place("load", "seconds"), "s", (Limit(1, "V"),), (Limit(0.7, "V"),), "V"),
    Row("memory after the first session", Place("memory", "one"), "MB", (Limit(0.7, "V"),), (Limit(0.5, "V"),), "V"),
    Row("memory of each further session", Place("memory", "further"), "MB", (Limit(0.5),), (), "V"),
)  # fmt: skip


def format_value(value: float, unit: str) -> str:
    """Return a value with as many digits as a reader needs.

    >>> [format_value(ms, "ms") for ms in (41.26, 4.126, 2006.4)], format_value(0.3333, "s"), format_value(0.4, "MB")
    (['41 ms', '4.1 ms', '2,006 ms'], '0.33 s', '0.4 MB')
    """
    digits = {"s": 2, "MB": 0 if abs(value) >= 10 else 1}.get(unit, 0 if abs(value) >= 10 else 1)
    return f"{value:,.{digits}f} {unit}"


def verdict(row: Row, limit: Limit, values: Values) -> str:
    """Return the outcome of a limit: the ratio, if the limit is one, and "met" or "missed"."""
    told, own = limit.cell(row.unit), row.place.of(values)
    if not limit.app and not limit.own:
        return f"{told}: {_format_outcome(own.median <= limit.factor)}" if own else told
    place = limit.own or Place(row.place.section, row.place.measure, limit.app)
    other = place.of(values)
    if own is None or other is None:
        return f"{told}: not measured"
    if other.median <= 0:
        return f"{told}: no ratio, {_format_outcome(own.median <= limit.factor * other.median)}"
    ratio = own.median / other.median
    return f"{told}: {ratio:.2f}, {_format_outcome(ratio <= limit.factor)}"


def _format_outcome(kept: bool) -> str:
    return "met" if kept else "**missed**"


def line(row: Row, values: Values) -> list[str]:
    """Return the cells of a row: its name, Parley's figure, the other apps', the limits, the aims."""
    own = row.place.of(values)
    others = [(app, Place(row.place.section, row.place.measure, app).of(values)) for app in row.beside]
    return [
        row.what,
        _figure(own, row.unit) if own else "not measured",
        ", ".join(f"{app} {format_value(other.median, row.unit)}" for app, other in others if other),
        "; ".join(verdict(row, limit, values) for limit in row.must),
        "; ".join(verdict(row, limit, values) for limit in row.aim),
    ]


def _figure(own: Figure, unit: str) -> str:
    if own.n == 1:
        return f"{format_value(own.median, unit)} (n 1)"
    low, high = (format_value(value, unit).removesuffix(f" {unit}") for value in (own.low, own.high))
    return f"{format_value(own.median, unit)} ({low}–{high}, n {own.n})"


def imports_line(imported: Mapping[str, Sequence[str]], used: Sequence[str] = ("statsig",)) -> list[str]:
    """Return the row of the packages that the chat page imports. `used` are those that it needs: the Statsig SDK
    decides the group."""
    found = [f"{moment}: {', '.join(names) or 'none'}" for moment, names in imported.items()]
    idle = {name for names in imported.values() for name in names} - set(used)
    what = "of statsig, pandas, altair, scipy, numpy and pyarrow imported after the first"
    return [what, "; ".join(found), "", f"none that it does not use: {_format_outcome(not idle)}", ""]


def markdown(values: Values, imported: Mapping[str, Sequence[str]]) -> str:
    """Return the whole table, without rows that were not measured."""
    lines = [line(row, values) for row in ROWS if row.place.of(values)]
    if imported:
        lines.append(imports_line(imported))
    return table(("", "Parley: median (quartiles)", "beside it", "must", "aim"), lines)


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    rule = "|" + "---|" * len(head)
    return "\n".join([_cells(head), rule, *(_cells(cells) for cells in lines)]) + "\n"


def _cells(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def renewed(text: str, measured: str, new: str) -> str:
    """Return a document with its measured part replaced: the paragraph that begins with "Measured on" and the table
    below it. Raise ValueError where there is none.

    >>> print(renewed("Fast!\\n\\nMeasured on foot.\\n\\n| a |\\n|---|\\n", "Measured on ice.", "| b |\\n|---|\\n"))
    Fast!
    <BLANKLINE>
    Measured on ice.
    <BLANKLINE>
    | b |
    |---|
    <BLANKLINE>
    """
    part = re.compile(r"^Measured on .*\n(?:.+\n)*\n(?:\|.*\n)+", re.MULTILINE)
    if not part.search(text):
        raise ValueError("no paragraph that begins with 'Measured on', with a table below it")
    return part.sub(lambda _: f"{measured}\n\n{new}", text, count=1)
