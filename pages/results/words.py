"""The words of the Results page: states, values with their intervals, moments. Pure."""

import re
from datetime import UTC, datetime, tzinfo

from lib.readout.preferences import PreferenceReading
from lib.readout.side_by_side import written_preference
from lib.readout.verdicts import ONE_SIDED, Metric, Versus
from lib.readout.words import HEADINGS, WORDS, written_difference
from lib.statistics.figures import levels, significant
from lib.statistics.formulas import Estimate

STATES = {
    "broken": (HEADINGS["broken"], "error", "red"),
    "worse": (HEADINGS["worse"], "trending_down", "orange"),
    "better": (HEADINGS["better"], "trending_up", "blue"),
    "not_enough_data": (HEADINGS["not_enough_data"], "hourglass_empty", "gray"),
    "equivalent": (HEADINGS["equivalent"], "equal", "violet"),
    "no_difference_yet": (HEADINGS["no_difference_yet"], "balance", "gray"),
    "harmed": ("Harmed", "warning", "orange"),
    "safe": ("Safe", "shield", "gray"),
    "not_ruled_out": ("Harm not ruled out", "help", "gray"),
    "slight": ("Slightly better", "trending_up", "blue"),
    "changed": ("Changed over time", "timeline", "orange"),
    "cut_short": ("Cut short by stops", "content_cut", "orange"),
    "selection": ("Raters may differ", "group", "orange"),
    "more": ("More", "north", "gray"),
    "less": ("Less", "south", "gray"),
}
"""The word, the icon and the colour of every state."""
REASON_WORDS = {
    "wrong": "Wrong", "incomplete": "Incomplete", "too_long": "Too long", "too_slow": "Too slow",
    "off_tone": "Off tone", "unsafe": "Unsafe", "other": "Something else",
}  # fmt: skip
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+!|~$:-])")


def plain(text: str) -> str:
    r"""Return foreign text as Markdown that shows it unchanged.

    >>> plain("gpt_4 [x] $5 :red[y]")
    'gpt\\_4 \\[x\\] \\$5 \\:red\\[y\\]'
    """
    return _SPECIAL.sub(r"\\\1", text)


def badge(state: str, of: str = "") -> str:
    """Return a verdict or a guardrail (of a metric) as Markdown."""
    word, icon, color = STATES[state]
    return f":{color}-badge[:material/{icon}: {word}{f': {of}' if of else ''}]"


def state(metric: str, one: Versus) -> str:
    """Return the state of a difference; more or less for a metric that is neither better nor worse.

    >>> from lib.statistics.differences import Comparison
    >>> state("rating_rate", Versus(Comparison(diff=-0.1), "worse"))
    'less'
    """
    if metric in ONE_SIDED and one.state in ("better", "worse", "slight"):
        return "more" if (one.numbers.diff or 0) > 0 else "less"
    return one.state


def name(metric: str) -> str:
    """Return the name of a metric at the beginning of a line."""
    called = WORDS[metric].name
    return called[0].upper() + called[1:]


def unit(metric: str) -> str:
    """Return the unit of a group's own values: a difference of two shares is in points, a share in percent."""
    words = WORDS[metric]
    return "%" if words.unit == "points" else words.unit


def level(metric: str, one: Estimate) -> str:
    """Return a group's own value with its interval.

    >>> level("satisfaction", Estimate(0.669, 0.01, 0.01, 0.634, 0.702)), level("response_time", Estimate())
    ('66.9 % (63.4 to 70.2)', '–')
    """
    if one.value is None:
        return "–"
    if one.ci_low is None or one.ci_high is None:
        return f"{significant(one.value * WORDS[metric].scale)} {unit(metric)}"
    low, high, value = levels(WORDS[metric].scale, one.ci_low, one.ci_high, one.value)
    return f"{value} {unit(metric)} ({low} to {high})"


def difference(metric: str, one: Versus) -> str | None:
    """Return a difference with its interval; None where it is unknown.

    >>> from lib.statistics.differences import Comparison
    >>> difference("response_time", Versus(Comparison(diff=0.0664, cs_low=-0.2688, cs_high=0.4016), "better"))
    '+0.07 s (−0.27 to +0.40)'
    """
    if not one.informative or one.numbers.diff is None or one.low is None or one.high is None:
        return None
    low, high, diff = written_difference(metric, one.low, one.high, one.shown_diff, one.numbers.mde)
    return f"{diff} {WORDS[metric].unit} ({low} to {high})"


def net_preference(one: PreferenceReading) -> str | None:
    """Return a net preference with its interval; None where there is none.

    >>> from lib.statistics.preferences import Preference
    >>> votes = Preference(14, 71, 39, 9, 18, 5, 0.81, 0.44, 0.2, 0.4225, 0.0867, 10.2, 0.0742, 0.7709)
    >>> net_preference(PreferenceReading(votes, "better"))
    '+42 points (+7 to +77)'
    """
    if (ends := written_preference(one)) is None:
        return None
    low, high, net = ends
    return f"{net} points ({low} to {high})"


def compared(metric: Metric, group: str, control: str) -> str:
    """Return a treatment's difference to control; where there is too little data, the counts."""
    one = metric.versus[group]
    if text := difference(metric.name, one):
        return text
    have = " and ".join(f"{metric.sums[each].active:,} in {each}" for each in (control, group))
    return f"{have} with {WORDS[metric.name].data}"


def probability(p: float | None) -> str:
    """
    >>> probability(0.00001), probability(0.0421), probability(None)
    ('< 0.0001', '0.042', '–')
    """
    return "–" if p is None else "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def moment(time_ms: int, zone: tzinfo) -> str:
    """
    >>> from zoneinfo import ZoneInfo
    >>> moment(1_790_000_000_000, ZoneInfo("Europe/Berlin"))
    '21 September 2026, 16:13'
    """
    then = datetime.fromtimestamp(time_ms / 1_000, zone)
    return f"{then.day} {then:%B %Y, %H:%M}"


def short_moment(time_ms: int, zone: tzinfo) -> str:
    r"""Return a moment for a list. Its spaces do not break.

    >>> from zoneinfo import ZoneInfo
    >>> short_moment(1_790_000_000_000, ZoneInfo("Europe/Berlin")).replace("\N{NO-BREAK SPACE}", " ")
    '21 Sep 2026, 16:13'
    """
    then = datetime.fromtimestamp(time_ms / 1_000, zone)
    return f"{then.day} {then:%b %Y, %H:%M}".replace(" ", "\N{NO-BREAK SPACE}")


def day(time_ms: int) -> str:
    """Return a day (UTC).

    >>> day(1_790_000_000_000)
    '21 September'
    """
    then = datetime.fromtimestamp(time_ms / 1_000, UTC)
    return f"{then.day} {then:%B}"
