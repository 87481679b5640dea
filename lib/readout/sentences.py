"""What a readout says, in words: the verdict as a sentence, what to do next, numbers with the digits they deserve.

Owns wording alone. Never says "ship" and never gives a chance to beat: watched live, such numbers are wrong in a third
of all experiments. Knows the readout's values; computes no statistic.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lib.readout.verdicts import MAX_CROSSOVER, MIN_UNITS, ORDER, Metric, Readout, Verdict, Versus


@dataclass(frozen=True, slots=True)
class Words:
    """How one metric is spoken of. A value times `scale` is told in `unit`."""

    name: str
    worse: str
    unit: str
    scale: float = 1.0
    data: str = "an answer"


WORDS = {
    "satisfaction": Words("satisfaction", "less satisfying", "points", 100, "a rating"),
    "rating_rate": Words("rating rate", "rated less often", "points", 100),
    "error_rate": Words("errors", "more often in error", "points", 100),
    "response_time": Words("response time", "slower", "s"),
    "time_to_first_token": Words("time to first token", "slower to begin", "s"),
    "completion_tokens": Words("length", "longer", "tokens"),
    "cost_per_answer": Words("cost per answer", "dearer", "USD"),
    "answers_per_user": Words("answers per user", "used less", "answers"),
}
HEADINGS: dict[Verdict, str] = {
    "broken": "Broken",
    "worse": "Worse",
    "better": "Better",
    "not_enough_data": "Not enough data",
    "equivalent": "Equivalent",
    "no_difference_yet": "No difference yet",
}


def sentence(readout: Readout) -> str:
    """The verdict, in a sentence for each treatment; the one that decides comes first."""
    refused = _refused(readout)
    said = [refused] if refused else _of_each(readout)
    if readout.unknown:
        named = ", ".join(f"{_many(n, 'user')} in {group}" for group, n in sorted(readout.unknown.items()))
        said.append(f"Not counted: {named}, which the definition does not know.")
    return " ".join(["In simulated data:", *said] if readout.simulated else said)


def _of_each(readout: Readout) -> list[str]:
    versus = readout.main.versus
    ordered = sorted(versus, key=lambda group: ORDER.index(versus[group].verdict))
    return [_about(readout, group) for group in ordered] or ["There is nothing to compare: it has one group."]


def next_step(readout: Readout, users_per_day: float | None = None) -> str | None:
    """What would bring an answer nearer, as far as it can be told; None where nothing would."""
    if readout.changed_ms is not None:
        return _set_since(readout.changed_ms)
    if readout.verdict == "broken":
        return "Find out why before reading on: no number below can be trusted to compare groups."
    more = users_needed(readout)
    if more is None:
        return None
    days = f"; at today's pace {_many(math.ceil(more / users_per_day), 'day')}" if users_per_day else ""
    return f"About {_many(more, 'more user')}{days}."


def users_needed(readout: Readout) -> int | None:
    """How many more users the undecided comparison needs until it would show its MDE; None where it needs none."""
    found = []
    for group, versus in readout.main.versus.items():
        growth = versus.numbers.growth_needed
        if versus.telling and versus.verdict == readout.verdict and growth is not None and growth > 1:
            users = readout.counts[readout.control] + readout.counts[group]
            found.append((growth - 1) * users)
    undecided = readout.verdict in ("no_difference_yet", "not_enough_data")
    return _rounded(max(found)) if found and undecided else None


def _refused(readout: Readout) -> str | None:
    """Why nothing is said of any group."""
    if readout.split.p is not None and readout.verdict == "broken" and not _crossed(readout):
        meant = sum(readout.counts.values())
        parts = (
            f"{n:,} in {group} where {meant * readout.shares[group]:,.0f} were meant"
            for group, n in readout.counts.items()
        )
        return f"The split is broken: {', '.join(parts)} (p {_p(readout.split.p)}). Winners are not shown."
    if readout.verdict == "broken":
        share = 100 * (readout.crossover_share or 0)
        limit = 100 * MAX_CROSSOVER
        return (
            f"Broken: {share:.0f} % of the users met two groups, and {limit:.0f} % is the limit. Winners are not shown."
        )
    if readout.changed_ms is not None:
        changed = f"The weights changed while it ran ({_day(readout.changed_ms)})"
        return f"{changed}: users from before and after cannot be compared. {_set_since(readout.changed_ms)}"
    if not any(readout.counts.values()):
        return "Not enough data yet: nobody has met this experiment."
    return None


def _crossed(readout: Readout) -> bool:
    return (readout.crossover_share or 0) > MAX_CROSSOVER


def _set_since(changed_ms: int) -> str:
    after = datetime.fromtimestamp(changed_ms / 1_000, UTC).date() + timedelta(days=1)
    return f'Set since = "{after.isoformat()}" in its table, or give the experiment a new name.'


def _about(readout: Readout, group: str) -> str:
    """One treatment's verdict."""
    metric, versus = readout.main, readout.main.versus[group]
    words, numbers = WORDS[metric.name], versus.numbers
    if versus.verdict == "not_enough_data":
        return _too_little(readout, group)
    if not versus.telling:
        return f"Not enough data yet: what {group} has on {words.name} fits any difference there could be."
    assert numbers.diff is not None and numbers.cs_low is not None and numbers.cs_high is not None
    low, high, diff = figures(metric.name, numbers.cs_low, numbers.cs_high, numbers.diff)
    harm = _harm(readout, group)
    if versus.verdict in ("better", "worse"):
        level = f"{100 * (1 - readout.alpha):.3g} %"
        held = f"{level} interval {low} to {high}, valid however often you look"
        but = f", {'but' if versus.verdict == 'better' else 'and'} {harm}" if harm else ""
        return f"{group} is {versus.verdict} on {words.name}: {diff} {words.unit} ({held}){but}."
    if versus.verdict == "equivalent":
        fit = f"the data fit only {low} to {high} {words.unit}, and less than {_mde(metric, versus)} does not matter"
        said = f"{group} and {readout.control} are equivalent on {words.name}: {fit}."
    else:
        who = f" for {group}" if len(readout.treatments) > 1 else ""
        fit = f"the data fit anything from {low} to {high} {words.unit}"
        said = f"No difference yet{who}: {fit}. {_more(readout, group)}"
    return f"{said} But {group} is {harm}." if harm else said


def _too_little(readout: Readout, group: str) -> str:
    metric = readout.main
    words, active = WORDS[metric.name], {name: metric.sums[name].active for name in (readout.control, group)}
    if min(active.values()) >= MIN_UNITS:
        return f"Not enough data yet: {words.name} does not vary enough to be compared."
    have = " and ".join(f"{name} has {_many(n, 'user')}" for name, n in active.items() if n < MIN_UNITS)
    return f"Not enough data yet: {have} with {words.data}, and each group needs {MIN_UNITS}."


def _more(readout: Readout, group: str) -> str:
    metric, versus = readout.main, readout.main.versus[group]
    growth = versus.numbers.growth_needed
    if growth is None or growth <= 1:
        return f"There are enough users to detect {_mde(metric, versus)}."
    users = readout.counts[readout.control] + readout.counts[group]
    return f"About {_many(_rounded((growth - 1) * users), 'more user')} to detect {_mde(metric, versus)}."


def _harm(readout: Readout, group: str) -> str:
    """What this treatment is worse at, among the guardrails."""
    harmed = []
    for metric in readout.metrics.values():
        versus = metric.versus[group]
        diff, low, high = versus.numbers.diff, versus.numbers.cs_low, versus.numbers.cs_high
        if versus.guardrail == "harmed" and diff is not None and low is not None and high is not None:
            told = figures(metric.name, low, high, diff)[-1]
            harmed.append(f"{WORDS[metric.name].worse}: {told} {WORDS[metric.name].unit}")
    return " and ".join(harmed)


def _mde(metric: Metric, versus: Versus) -> str:
    words = WORDS[metric.name]
    return f"{(versus.numbers.mde or 0) * words.scale:.2g} {words.unit}"


def figures(metric: str, low: float, high: float, *others: float) -> list[str]:
    """Differences in the metric's unit, signed, with the digits that the interval's width deserves.

    >>> figures("satisfaction", 0.0712, 0.2188, 0.1449)
    ['+7', '+22', '+14']
    >>> figures("response_time", -0.2688, 0.4016, 0.0664)
    ['−0.27', '+0.40', '+0.07']
    """
    return _told(metric, low, high, others, _signed)


def levels(metric: str, low: float, high: float, *others: float) -> list[str]:
    """The same of a group's own values, which have no sign.

    >>> levels("satisfaction", 0.634, 0.702, 0.669), levels("cost_per_answer", 0.000254, 0.000262, 0.000258)
    (['63.4', '70.2', '66.9'], ['0.0002540', '0.0002620', '0.0002580'])
    """
    return _told(metric, low, high, others, lambda value, digits: f"{value:,.{digits}f}")


def _told(
    metric: str, low: float, high: float, others: Iterable[float], tell: Callable[[float, int], str]
) -> list[str]:
    scale = WORDS[metric].scale
    width = abs(high - low) * scale
    digits = max(0, -math.floor(math.log10(width / 10))) if width > 0 else 2
    return [tell(value * scale, digits) for value in (low, high, *others)]


def _signed(value: float, digits: int) -> str:
    told = f"{abs(value):,.{digits}f}"
    if not told.strip("0.,"):
        return told
    return f"{'+' if value > 0 else '−'}{told}"


def _p(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"= {p:.4f}"


def _many(n: int, noun: str) -> str:
    """
    >>> _many(1, "user"), _many(1200, "more user")
    ('1 user', '1,200 more users')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _rounded(users: float) -> int:
    """Two digits, upwards: more would be pretence.

    >>> _rounded(128.4), _rounded(3.2), _rounded(27_655)
    (130, 4, 28000)
    """
    step = int(10 ** max(0, math.floor(math.log10(max(users, 1))) - 1))
    return math.ceil(users / step) * step


def _day(time_ms: int) -> str:
    moment = datetime.fromtimestamp(time_ms / 1_000, UTC)
    return f"{moment.day} {moment:%B %Y}"
