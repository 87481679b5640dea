"""How the Results page writes what a readout says: states, values with their intervals, moments, advice. Pure."""

import re
from datetime import datetime, tzinfo

from lib.readout.sentences import HEADINGS, WORDS, figures, levels
from lib.readout.verdicts import MIN_UNITS, Estimate, Metric, Readout, Versus

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
}
"""Of every verdict and guardrail its word, its icon and its colour."""
REASON_WORDS = {
    "wrong": "Wrong", "incomplete": "Incomplete", "too_long": "Too long", "too_slow": "Too slow",
    "off_tone": "Off tone", "unsafe": "Unsafe", "other": "Something else",
}  # fmt: skip
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+!|~$:-])")


def plain(text: str) -> str:
    r"""Text of somebody else's in Markdown, as it is.

    >>> plain("gpt_4 [x] $5 :red[y]")
    'gpt\\_4 \\[x\\] \\$5 \\:red\\[y\\]'
    """
    return _SPECIAL.sub(r"\\\1", text)


def badge(state: str, of: str = "") -> str:
    """A verdict or a guardrail (of a metric), as Markdown."""
    word, icon, color = STATES[state]
    return f":{color}-badge[:material/{icon}: {word}{f': {of}' if of else ''}]"


def name(metric: str) -> str:
    """What a metric is called at the beginning of a line."""
    called = WORDS[metric].name
    return called[0].upper() + called[1:]


def unit(metric: str) -> str:
    """What a group's own values are told in: a difference of two shares is points, a share is percent."""
    words = WORDS[metric]
    return "%" if words.unit == "points" else words.unit


def level(metric: str, one: Estimate) -> str:
    """A group's own value with its interval.

    >>> level("satisfaction", Estimate(0.669, 0.01, 0.01, 0.634, 0.702)), level("response_time", Estimate())
    ('66.9 % (63.4 to 70.2)', '–')
    """
    if one.value is None:
        return "–"
    if one.ci_low is None or one.ci_high is None:
        return f"{one.value * WORDS[metric].scale:.3g} {unit(metric)}"
    low, high, value = levels(metric, one.ci_low, one.ci_high, one.value)
    return f"{value} {unit(metric)} ({low} to {high})"


def difference(metric: str, one: Versus) -> str | None:
    """A difference with its interval; None where there is none to be told.

    >>> from lib.readout.verdicts import Comparison
    >>> difference("response_time", Versus(Comparison(diff=0.0664, cs_low=-0.2688, cs_high=0.4016), "better"))
    '+0.07 s (−0.27 to +0.40)'
    """
    numbers = one.numbers
    if not one.telling or numbers.diff is None or numbers.cs_low is None or numbers.cs_high is None:
        return None
    low, high, diff = figures(metric, numbers.cs_low, numbers.cs_high, numbers.diff)
    return f"{diff} {WORDS[metric].unit} ({low} to {high})"


def compared(metric: Metric, group: str, control: str) -> str:
    """A treatment's difference to control; where there is too little to be told, what there is."""
    one = metric.versus[group]
    if told := difference(metric.name, one):
        return told
    have = " and ".join(f"{metric.sums[each].active:,} in {each}" for each in (control, group))
    return f"{have} with {WORDS[metric.name].data}"


def advice(readout: Readout) -> str | None:
    """What is next where more users would not change the answer; None where the readout says it itself."""
    if readout.verdict == "better":
        harmed = any(one.guardrail == "harmed" for metric in readout.metrics.values() for one in metric.versus.values())
        if harmed:
            return "Weigh the gain against the harm: what a better answer costs is shown below."
        return "This is decided. Going on only narrows the interval, and stopping now is sound."
    if readout.verdict == "worse":
        return "This is decided: control serves testers better. To end it, set allocation = 0 in its table."
    if readout.verdict == "equivalent":
        return "More users will find no difference that matters. Choose by time and cost, below."
    if readout.verdict == "no_difference_yet":
        return "A difference that matters would most likely have shown by now. Go on until the interval fits the band."
    return None


def lacking(readout: Readout) -> str | None:
    """Whose ratings (or answers) the primary metric still waits for."""
    metric = readout.main
    lacks = {group: MIN_UNITS - sums.active for group, sums in metric.sums.items() if sums.active < MIN_UNITS}
    if readout.verdict != "not_enough_data" or readout.changed_ms is not None or not lacks:
        return None
    told = " and ".join(f"{n} in {group}" for group, n in lacks.items())
    return f"Still missing: users with {WORDS[metric.name].data}, {told}."


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
