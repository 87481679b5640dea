"""The next step after a verdict, for every treatment by itself. Owns that wording alone; computes no statistic."""

import math
from collections.abc import Mapping

from lib.readout.judge import MIN_UNITS
from lib.readout.no_verdict import set_since
from lib.readout.sentences import best_first, harm_of, users_needed
from lib.readout.verdicts import Readout
from lib.readout.words import WORDS, written_difference
from lib.statistics.figures import many, significant

Pace = Mapping[str, float]
"""New users a day, by group."""


def advice(readout: Readout, pace: Pace | None = None) -> list[str]:
    """Return one step for each treatment (named where there are several), or one for all where none can be compared."""
    if readout.weights_changed:
        return [set_since(readout)]
    if readout.verdict == "broken":
        return ["Find out why before reading on: no number below can be trusted to compare groups."]
    steps = {group: step for group in best_first(readout) if (step := _step(readout, group, pace or {}))}
    if len(readout.treatments) > 1:
        return [f"{group}: {step}" for group, step in steps.items()]
    return list(steps.values())


def _step(readout: Readout, group: str, pace: Pace) -> str | None:
    versus = readout.main.versus[group]
    if versus.changed:
        return "Look at the difference over time below, find out what changed, and give what runs now a new name."
    if versus.verdict == "not_enough_data" or not versus.informative:
        return _missing(readout, group)
    if versus.verdict == "no_difference_yet":
        return _continue(readout, group, pace)
    if versus.verdict == "equivalent":
        return "More users will find no difference that matters. Choose by time and cost, below."
    if versus.cut_short:
        return "Before you act on it, compare how many answers were stopped: stopped answers understate response times."
    if group in readout.selection and readout.primary == "satisfaction":
        return "Before you act on it, compare thumbs up and thumbs down per answer, in the table of all metrics below."
    return _better(readout, group) if versus.verdict == "better" else _worse(readout, group)


def _better(readout: Readout, group: str) -> str:
    versus = readout.main.versus[group]
    if harm_of(readout, group):
        return "Weigh the gain against the harm: what a better answer costs is shown below."
    if versus.slight:
        return "The gain is smaller than what you said matters. Choose by time and cost, below."
    if versus.early:
        return _near_end(readout, group)
    return "Stopping now is sound. Going on makes the interval narrower."


def _worse(readout: Readout, group: str) -> str:
    control = readout.control
    if len(readout.treatments) > 1:
        return f"{control} serves testers better. To stop giving it to anybody, begin a new experiment without {group}."
    end = f"{control} serves testers better. To end it, decide on the Experiment page (or set allocation = 0)."
    return f"{end} {_near_end(readout, group)}" if readout.main.versus[group].early else end


def _near_end(readout: Readout, group: str) -> str:
    metric, versus = readout.main, readout.main.versus[group]
    numbers = versus.once or versus.numbers
    low, high = (numbers.cs_low, numbers.cs_high) if versus.once else (versus.low, versus.high)
    assert low is not None and high is not None
    ends = written_difference(metric.name, low, high, low, versus.numbers.mde)
    near = ends[0] if low > 0 else ends[1]
    return (
        f"A difference that is found early looks larger than it is: count on the near end of the interval, {near} "
        f"{WORDS[metric.name].unit}."
    )


def _continue(readout: Readout, group: str, pace: Pace) -> str:
    look = readout.planned
    if look is not None and not look.reached:
        missing = look.users - sum(readout.counts.values())
        if missing > 0:
            return f"{many(missing, 'more user')} until the planned look{_days(missing, sum(pace.values()))}."
        return "The planned look comes at the end of the day (UTC)."
    users = users_needed(readout, group)
    if users is None:
        words, mde = WORDS[readout.primary], readout.main.versus[group].numbers.mde or 0
        return (
            f"A difference of {significant(mde * words.scale, 2)} {words.unit} would probably have shown. Continue "
            "until the bar lies inside the band, or stop."
        )
    pair = pace.get(readout.control, 0.0) + pace.get(group, 0.0)
    return f"About {many(users, 'more user')}{_days(users, pair)}."


def _days(users: float, users_per_day: float) -> str:
    if not users_per_day:
        return ""
    return f"; at the last 7 days' pace {many(math.ceil(users / users_per_day), 'day')}"


def _missing(readout: Readout, group: str) -> str | None:
    """Return the number of users whose ratings (or answers) the primary metric still needs."""
    metric = readout.main
    lacks = {
        name: MIN_UNITS - metric.sums[name].active
        for name in (readout.control, group)
        if metric.sums[name].active < MIN_UNITS
    }
    if not lacks:
        return None
    needs = " and ".join(f"{n} in {name}" for name, n in lacks.items())
    return f"Still missing: users with {WORDS[metric.name].data}, {needs}."


def progress(readout: Readout) -> str:
    """Return how far the primary metric has come: the users with data, and about how many it takes."""
    words = WORDS[readout.primary]
    users = "rated users" if words.data == "a rating" else "users"
    have = sum(sums.active for sums in readout.main.sums.values())
    plan = readout.planned.users if readout.planned is not None else None
    more = [needed for group in readout.treatments if (needed := users_needed(readout, group))]
    about = plan or (have + max(more) if more and readout.verdict == "no_difference_yet" else None)
    return f"{have:,} of about {about:,} {users}" if about and about > have else many(have, users.removesuffix("s"))
