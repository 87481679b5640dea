"""The words of a readout: the verdict as a sentence, and the warnings beside it.

Owns wording alone. Never says "ship" and never gives a chance to beat: under watching, such numbers are wrong in a
third of all experiments. The next step is in `advice`, digits are in `figures`. Computes no statistic.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from lib.readout.judge import MIN_UNITS, ONE_SIDED, Metric, Verdict, Versus
from lib.readout.verdicts import MAX_CROSSOVER, Readout
from lib.statistics.differences import WATCHED
from lib.statistics.figures import differences, many, rounded_up, significant


@dataclass(frozen=True, slots=True)
class Words:
    """The words for one metric. A value times `scale` is written in `unit`; `worse` completes "Test …"."""

    name: str
    worse: str
    unit: str
    scale: float = 1.0
    data: str = "an answer"


WORDS = {
    "satisfaction": Words("satisfaction", "is less satisfying", "points", 100, "a rating"),
    "rating_rate": Words("answers rated", "has fewer answers rated", "points", 100),
    "up_per_answer": Words("thumbs up per answer", "gets fewer thumbs up", "points", 100),
    "down_per_answer": Words("thumbs down per answer", "gets more thumbs down", "points", 100),
    "error_rate": Words("errors", "is more often in error", "points", 100),
    "response_time": Words("response time", "is slower", "s"),
    "time_to_first_token": Words("time to first token", "is slower to begin", "s"),
    "completion_tokens": Words("answer length", "has longer answers", "tokens"),
    "cost_per_answer": Words("cost per answer", "is more expensive", "USD"),
    "answers_per_user": Words("answers per user", "is used less", "answers"),
    "copied": Words("answers copied", "has fewer answers copied", "points", 100),
    "regenerated": Words("answers asked for again", "has more answers asked for again", "points", 100),
    "abandoned": Words("answers left while they ran", "has more answers left", "points", 100),
}
HEADINGS: dict[Verdict, str] = {
    "broken": "Broken",
    "worse": "Worse",
    "better": "Better",
    "not_enough_data": "Not enough data",
    "equivalent": "Equivalent",
    "no_difference_yet": "Undecided",
}


def heading(readout: Readout) -> str:
    """Return the verdict in a word, or in one for each of several treatments."""
    versus = readout.main.versus
    if readout.verdict == "broken" or readout.weights_changed or len(versus) < 2:
        named = HEADINGS[readout.verdict]
    else:
        named = ", ".join(f"{group} {HEADINGS[versus[group].verdict].lower()}" for group in best_first(readout))
    doubt = readout.verdict in ("better", "worse") and readout.primary == "satisfaction" and readout.selection
    return f"{named} (raters may differ)" if doubt else named


def sentence(readout: Readout) -> str:
    """Return the whole verdict: the headline, then the details."""
    return " ".join([headline(readout), *details(readout)])


def headline(readout: Readout) -> str:
    """Return the verdict in one sentence: of one treatment with its numbers, of several by name."""
    refused = _refusal(readout)
    if refused is None:
        refused = _several(readout) if len(readout.treatments) > 1 else _one(readout)
    return f"In simulated data: {refused}" if readout.simulated else refused


def details(readout: Readout) -> list[str]:
    """Return the sentences beside the headline: each of several treatments, and warnings."""
    found = []
    if _refusal(readout) is None:
        if len(readout.treatments) > 1:
            found += [_about(readout, group) for group in best_first(readout)]
            found += _best_two(readout)
        found += [warning for group in readout.treatments for warning in warnings(readout, group)]
        found += _busy(readout)
    if readout.unknown:
        named = ", ".join(f"{many(n, 'user')} in {group}" for group, n in sorted(readout.unknown.items()))
        found.append(f"Not counted: {named}, which the definition does not know.")
    return found


def _one(readout: Readout) -> str:
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
    return readout.control if versus and all(one.verdict == "worse" for one in versus.values()) else None


def _several(readout: Readout) -> str:
    """Return the verdicts of several treatments by name: B is better than Control on satisfaction, C is worse."""
    by_state: dict[str, list[str]] = {}
    for group in best_first(readout):
        by_state.setdefault(_plain_state(readout.main.versus[group]), []).append(group)
    on = f" on {WORDS[readout.primary].name}"
    (first, groups), *others = by_state.items()
    parts = [_several_are(first, groups, readout) + on]
    parts += [_several_are(state, named) for state, named in others]
    said = ", ".join(parts)
    return f"{said[0].upper()}{said[1:]}."


_RANKING = ("better", "slight", "worse", "changed", "equivalent", "no_difference_yet", "not_enough_data", "broken")


def _plain_state(versus: Versus) -> str:
    if versus.changed or not versus.telling:
        return versus.state
    return "slight" if versus.slight and versus.verdict == "better" else versus.verdict


def _several_are(state: str, groups: list[str], than: Readout | None = None) -> str:
    """Return the verdict of these groups; compared with control by name where `than` has it."""
    names, are = _listed(groups), "is" if len(groups) == 1 else "are"
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


def _listed(names: list[str]) -> str:
    """
    >>> _listed(["B"]), _listed(["B", "C", "D"])
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


def _refusal(readout: Readout) -> str | None:
    """Return the reason why no group is judged."""
    if _crossed(readout):
        everybody = readout.crossover + sum(readout.counts.values()) + sum(readout.unknown.values())
        return (
            f"Broken: over {100 * MAX_CROSSOVER:.0f} % of the users met two groups ({readout.crossover:,} of "
            f"{everybody:,}). Winners are not shown."
        )
    if readout.split.broken:
        total = sum(readout.counts.values())
        parts = (
            f"{n:,} in {group} where {total * readout.shares[group]:,.0f} were meant"
            for group, n in readout.counts.items()
        )
        return f"The split is broken: {', '.join(parts)}. Chance does not do that. Winners are not shown."
    if readout.changed_ms is not None:
        changed = f"The weights changed while it ran ({written_day(readout.changed_ms)})"
        return f"{changed}: users from before and after cannot be compared. {set_since(readout)}"
    if readout.stretches:
        stretches = "; ".join(_stretch(readout, place) for place in range(len(readout.stretches)))
        return (
            f"The weights changed while it ran ({stretches}): users from before and after cannot be compared. "
            f"{set_since(readout)}"
        )
    if not any(readout.counts.values()):
        return "Not enough data yet: nobody has met this experiment."
    return None


def _stretch(readout: Readout, place: int) -> str:
    stretch = readout.stretches[place]
    total = sum(stretch.counts.values())
    shares = " : ".join(f"{100 * n / total:.0f}" for n in stretch.counts.values())
    last = place == len(readout.stretches) - 1
    when = f"since {written_day(stretch.from_ms)}" if last else f"until {written_day(stretch.until_ms - 1)}"
    return f"{shares} {when}"


def _crossed(readout: Readout) -> bool:
    return (readout.crossover_share or 0) > MAX_CROSSOVER


def set_since(readout: Readout) -> str:
    """Return the remedy for changed weights."""
    changed_ms = readout.stretches[-1].from_ms if readout.stretches else readout.changed_ms
    assert changed_ms is not None
    if readout.held is not None:
        return "End this run and start a new one on the Experiment page: users who come then are counted by themselves."
    after = datetime.fromtimestamp(changed_ms / 1_000, UTC).date() + timedelta(days=1)
    return f'Set since = "{after.isoformat()}" in its table, or give the experiment a new name.'


def _about(readout: Readout, group: str) -> str:
    """Return one treatment's verdict, with its harm."""
    said, harm = _verdict(readout, group), harm_of(readout, group)
    if not harm:
        return said
    verdict = readout.main.versus[group].verdict
    if verdict in ("better", "worse"):
        return f"{said.removesuffix('.')}, {'but' if verdict == 'better' else 'and'} {harm.removeprefix('is ')}."
    return f"{said} But {group} {harm}."


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
        whose = f" about {group}" if len(readout.treatments) > 1 else ""
        return f"Not enough data yet{whose}: the interval is too wide to say anything about {name}."
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
    who = f" for {group}" if len(readout.treatments) > 1 else ""
    return f"Undecided{who}: The true difference may be anywhere from {low} to {high} {unit}. {_more(readout, group)}"


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
    if not versus.telling or low is None or high is None or numbers.diff is None:
        return None
    diff = numbers.diff if versus.once else versus.shown_diff
    return written_difference(metric.name, low, high, diff, versus.numbers.mde)


def written_difference(metric: str, low: float, high: float, diff: float, mde: float | None) -> list[str]:
    """Return the ends of an interval and the difference inside, in the metric's unit."""
    return differences(WORDS[metric].scale, low, high, diff, apart=(mde, -mde) if mde else ())


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


def _more(readout: Readout, group: str) -> str:
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


def warnings(readout: Readout, group: str) -> list[str]:
    """Return the sentences that keep a treatment's numbers from misleading: selection of raters, censored times."""
    found = []
    sign, control = readout.selection.get(group), readout.control
    if sign in ("rated_more", "rated_less"):
        own, theirs = (readout.metrics["rating_rate"].groups[name].value or 0 for name in (group, control))
        word = "more" if sign == "rated_more" else "less"
        found.append(
            f"{group}'s answers are rated {word} often ({_percent(own)} against {_percent(theirs)}): its raters may "
            f"not be like {control}'s."
        )
    elif sign == "thumbs":
        better = readout.metrics["satisfaction"].versus[group].verdict == "better"
        first, second = ("more thumbs up", "fewer thumbs down") if better else ("fewer thumbs up", "more thumbs down")
        found.append(
            f"Per answer, {group} has neither clearly {first} nor clearly {second}: its raters may not be like "
            f"{control}'s."
        )
    judged = readout.metrics["response_time"].role != "secondary"
    if judged and group in readout.stopped:
        theirs, own = readout.stopped[group]
        more, shares = (group, (own, theirs)) if own > theirs else (control, (theirs, own))
        less = control if more == group else group
        found.append(
            f"The response time of {more} is understated: its testers stopped {_percent(shares[0])} of its answers "
            f"({less}'s {_percent(shares[1])}), and a stopped answer counts only as far as it came."
        )
    return found


def _busy(readout: Readout) -> Iterator[str]:
    for group, units in readout.busy.items():
        answers = readout.metrics["answers_per_user"].sums[group].sx
        for unit in units:
            yield (
                f"One user holds {_percent(unit.answers / answers)} of {group}'s answers ({unit.unit}): a monitor or a "
                f"test, perhaps."
            )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def written_day(time_ms: int) -> str:
    """Return a day (UTC) in words.

    >>> written_day(1_790_000_000_000)
    '21 September 2026'
    """
    day: date = datetime.fromtimestamp(time_ms / 1_000, UTC).date()
    return f"{day.day} {day:%B %Y}"
