"""The verdict of a readout as sentences.

Owns wording alone. Never says "ship" and never gives a chance to beat: for an experiment that is watched, such numbers
are wrong in a third of all cases. Warnings are in `cautions`, the next step is in `advice`, the vocabulary in `words`.
Computes no statistic.
"""

from collections.abc import Iterator

from lib.readout.cautions import busy_units, warnings
from lib.readout.judge import MIN_UNITS
from lib.readout.judgements import ONE_SIDED, Metric, Versus
from lib.readout.no_verdict import reason_without_verdict
from lib.readout.verdicts import Readout
from lib.readout.words import HEADINGS, WORDS, written_day, written_difference
from lib.statistics.differences import WATCHED
from lib.statistics.figures import many, rounded_up, significant


def heading(readout: Readout) -> str:
    """Return the verdict in a word, or in one for each of several treatments."""
    versus = readout.main.versus
    if readout.verdict == "broken" or readout.weights_changed or len(versus) < 2:
        verdicts = HEADINGS[readout.verdict]
    else:
        verdicts = ", ".join(f"{group} {HEADINGS[versus[group].verdict].lower()}" for group in best_first(readout))
    doubt = readout.verdict in ("better", "worse") and readout.primary == "satisfaction" and readout.selection
    return f"{verdicts} (raters may differ)" if doubt else verdicts


def sentence(readout: Readout) -> str:
    """Return the whole verdict: the headline, then the details."""
    return " ".join([headline(readout), *details(readout)])


def headline(readout: Readout) -> str:
    """Return the verdict in one sentence: of one treatment with its numbers, of several by name."""
    text = reason_without_verdict(readout)
    if text is None:
        text = _several(readout) if len(readout.treatments) > 1 else _single(readout)
    return f"In simulated data: {text}" if readout.simulated else text


def details(readout: Readout) -> list[str]:
    """Return the sentences beside the headline: each of several treatments, and warnings."""
    sentences = []
    if reason_without_verdict(readout) is None:
        if len(readout.treatments) > 1:
            sentences += [_about(readout, group) for group in best_first(readout)]
            sentences += _best_two(readout)
        sentences += [warning for group in readout.treatments for warning in warnings(readout, group)]
        sentences += busy_units(readout)
    if readout.unknown:
        groups = ", ".join(f"{many(n, 'user')} in {group}" for group, n in sorted(readout.unknown.items()))
        sentences.append(f"Not counted: {groups}, which the definition does not know.")
    return sentences


def _single(readout: Readout) -> str:
    if not readout.treatments:
        return "There is nothing to compare: it has one group."
    return _about(readout, readout.treatments[0])


def best_first(readout: Readout) -> list[str]:
    """Return the treatments, the better ones first."""
    versus = readout.main.versus
    return sorted(readout.treatments, key=lambda group: _RANKING.index(_plain_state(versus[group])))


def winner(readout: Readout) -> str | None:
    """Return the group that the readout names: the best of those that are better than control, control where all are
    worse, else None."""
    versus = readout.main.versus
    if better := [group for group in readout.main.ranked if group in versus and versus[group].verdict == "better"]:
        return better[0]
    return readout.control if versus and all(pair.verdict == "worse" for pair in versus.values()) else None


def _several(readout: Readout) -> str:
    """Return the verdicts of several treatments by name: B is better than Control on satisfaction, C is worse."""
    by_state: dict[str, list[str]] = {}
    for group in best_first(readout):
        by_state.setdefault(_plain_state(readout.main.versus[group]), []).append(group)
    on = f" on {WORDS[readout.primary].name}"
    (first, groups), *rest = by_state.items()
    parts = [_groups_are(first, groups, readout) + on]
    parts += [_groups_are(state, more_groups) for state, more_groups in rest]
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


_RANKING = ("better", "slight", "worse", "changed", "equivalent", "no_difference_yet", "not_enough_data", "broken")


def _plain_state(versus: Versus) -> str:
    if versus.changed or not versus.informative:
        return versus.state
    return "slight" if versus.slight and versus.verdict == "better" else versus.verdict


def _groups_are(state: str, groups: list[str], than: Readout | None = None) -> str:
    """Return the verdict of these groups; compared with control by name where `than` has it."""
    names, are = _enumerated(groups), "is" if len(groups) == 1 else "are"
    control = f" than {than.control}" if than else ""
    return {
        "better": f"{names} {are} better{control}",
        "slight": f"{names} {are} slightly better{control}",
        "worse": f"{names} {are} worse{control}",
        "changed": f"the effect of {names} has changed over time",
        "equivalent": f"{names} {are} equivalent{control.replace('than', 'to')}",
        "no_difference_yet": f"{names} {are} undecided",
        "not_enough_data": f"{names} {'has' if are == 'is' else 'have'} not enough data",
    }[state]


def _enumerated(names: list[str]) -> str:
    """
    >>> _enumerated(["B"]), _enumerated(["B", "C", "D"])
    ('B', 'B, C and D')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _best_two(readout: Readout) -> Iterator[str]:
    """Yield the comparison of the best treatment with the second best, where one is better than control."""
    ranked = readout.main.ranked
    if len(ranked) < 2 or readout.main.versus[ranked[0]].verdict != "better":
        return
    best, second = ranked[:2]
    versus = readout.main.compared(best, second)
    if versus is None or readout.main.versus[second].verdict == "worse":
        return
    interval = _interval(readout.main, versus)
    if interval is None:
        yield f"Between {best} and {second} there is not enough data yet."
        return
    low, high, diff = interval
    level = _level(readout.between_alpha)
    if versus.verdict in ("better", "worse"):
        word = "better" if versus.verdict == "better" else "worse"
        yield f"{best} is {word} than {second}, too: {diff} {_unit(readout.main)} ({level} interval {low} to {high})."
    elif versus.verdict == "equivalent":
        yield f"{best} and {second} are equivalent: the true difference lies between {low} and {high}."
    else:
        yield (
            f"{best} is not shown to be better than {second}: the true difference may be anywhere from {low} to "
            f"{high} {_unit(readout.main)}."
        )


def _about(readout: Readout, group: str) -> str:
    """Return one treatment's verdict, with its harm."""
    text, harm = _verdict(readout, group), harm_of(readout, group)
    if not harm:
        return text
    verdict = readout.main.versus[group].verdict
    if verdict in ("better", "worse"):
        return f"{text.removesuffix('.')}, {'but' if verdict == 'better' else 'and'} {harm.removeprefix('is ')}."
    return f"{text} But {group} {harm}."


def _verdict(readout: Readout, group: str) -> str:
    metric, versus = readout.main, readout.main.versus[group]
    name = WORDS[metric.name].name
    if versus.changed:
        return (
            f"The effect of {group} on {name} has changed over time: what earlier readouts showed, later ones exclude. "
            f"No single difference describes the whole run."
        )
    if versus.verdict == "not_enough_data":
        return _too_little(readout, group)
    interval = _interval(metric, versus)
    if interval is None:
        about = f" about {group}" if len(readout.treatments) > 1 else ""
        return f"Not enough data yet{about}: the interval is too wide to say anything about {name}."
    low, high, diff = interval
    unit = _unit(metric)
    if versus.verdict in ("better", "worse"):
        but = f", but by less than the {_mde(metric, versus)} you said matter" if versus.slight else ""
        validity = _validity(readout, versus, low, high)
        return f"{group} is {_word(metric, versus)} on {name}{but}: {diff} {unit} ({validity})."
    if versus.verdict == "equivalent":
        return (
            f"{group} and {readout.control} are equivalent on {name}: the true difference lies between {low} and "
            f"{high} {unit}, and less than {_mde(metric, versus)} does not matter."
        )
    about = f" for {group}" if len(readout.treatments) > 1 else ""
    missing = _users_missing(readout, group)
    return f"Undecided{about}: The true difference may be anywhere from {low} to {high} {unit}. {missing}"


def _word(metric: Metric, versus: Versus) -> str:
    """Return better or worse; of a one-sided metric, higher or lower."""
    if metric.name not in ONE_SIDED:
        return versus.verdict
    return "higher" if (versus.verdict == "better") == (metric.direction == "up") else "lower"


def _validity(readout: Readout, versus: Versus, low: str, high: str) -> str:
    """Return the interval and the conditions under which it is valid."""
    if versus.once is not None and readout.planned is not None:
        return f"{_level(readout.alpha / 2)} interval {low} to {high} at the planned look"
    alpha = readout.alpha / 2 if readout.planned else readout.alpha
    if (since_ms := versus.held_since_ms) is not None:
        return f"{_level(alpha)} interval {low} to {high}, held since {written_day(since_ms)}"
    return f"{_level(alpha)} interval {low} to {high}, valid however often you look"


def _level(alpha: float) -> str:
    return f"{significant(100 * (1 - alpha))} %"


def _interval(metric: Metric, versus: Versus) -> list[str] | None:
    """Return the formatted ends and difference; None where the interval is not informative."""
    numbers = versus.once or versus.numbers
    low, high = (numbers.cs_low, numbers.cs_high) if versus.once else (versus.low, versus.high)
    if not versus.informative or low is None or high is None or numbers.diff is None:
        return None
    diff = numbers.diff if versus.once else versus.shown_diff
    return written_difference(metric.name, low, high, diff, versus.numbers.mde)


def _unit(metric: Metric) -> str:
    return WORDS[metric.name].unit


def _too_little(readout: Readout, group: str) -> str:
    metric = readout.main
    pair = (readout.control, group)
    active = {name: metric.sums[name].active for name in pair}
    about = f" for {group}" if len(readout.treatments) > 1 else ""
    if few := [name for name in pair if active[name] < MIN_UNITS]:
        have = " and ".join(f"{name} has {many(active[name], 'user')}" for name in few)
        return f"Not enough data yet{about}: {have} with {WORDS[metric.name].data}, and each group needs {MIN_UNITS}."
    if uneven := [name for name in pair if metric.sums[name].kish < MIN_UNITS]:
        count = " and ".join(
            f"{name}'s {many(active[name], 'user')} count as {significant(metric.sums[name].kish, 2)}"
            for name in uneven
        )
        return (
            f"Not enough data yet{about}: a few users give most of the data, so that {count}, and each group needs "
            f"{MIN_UNITS}."
        )
    return f"Not enough data yet{about}: {WORDS[metric.name].name} does not vary enough to be compared."


def _users_missing(readout: Readout, group: str) -> str:
    metric, versus = readout.main, readout.main.versus[group]
    users = users_needed(readout, group)
    if users is None:
        return f"With this many users a true {_mde(metric, versus)} would be found four times in five."
    return f"About {many(users, 'more user')} to find {_mde(metric, versus)} four times in five."


def users_needed(readout: Readout, group: str) -> int | None:
    """Return the number of further users of control and this group until its MDE is found with 80 % power, watched."""
    growth = readout.main.versus[group].numbers.growth_needed
    if growth is None or growth * WATCHED <= 1:
        return None
    return rounded_up((growth * WATCHED - 1) * (readout.counts[readout.control] + readout.counts[group]))


def harm_of(readout: Readout, group: str) -> str:
    """Return the guardrails that this treatment harms, as the end of "Test …"."""
    harmed = []
    for metric in readout.metrics.values():
        versus = metric.versus[group]
        if versus.guardrail == "harmed" and (interval := _interval(metric, versus)) is not None:
            harmed.append(f"{WORDS[metric.name].worse}: {interval[-1]} {_unit(metric)}")
    return " and ".join(harmed)


def _mde(metric: Metric, versus: Versus) -> str:
    words = WORDS[metric.name]
    return f"{significant((versus.numbers.mde or 0) * words.scale, 2)} {words.unit}"
