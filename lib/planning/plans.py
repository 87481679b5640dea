"""Plans: how many testers, and how many days, until each way has found a difference with 80 % power.

Owns the values of a plan and the source of each: the operator, the experiment's measurements, or an assumption. The
chances are computed in `power`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from lib.experiments.definitions import Definition
from lib.planning.power import MODERATE, STRONG, ABTest, ab_power, comparison_power, fewest, planned_power, win_share
from lib.readout.preferences import preference_mde
from lib.readout.verdicts import EFFECT, EFFECTS, MIN_UNITS, Readout
from lib.statistics.differences import ALPHA
from lib.statistics.figures import rounded_up

Way = Literal["ab", "planned", "compared", "strong"]
"""The A/B test, the same with planned users, comparisons, and comparisons of testers whose tastes differ strongly."""
WAYS: tuple[Way, ...] = ("ab", "planned", "compared", "strong")
BASELINE = 0.65
"""Share of thumbs up where nothing has been measured."""
TESTERS_PER_DAY, VOTES_PER_TESTER = 20.0, 10.0
POINTS = 60
"""Points of a curve."""


class PlanError(Exception):
    """Figures that no experiment can have; the message names them."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The inputs of a plan.

    `spread` is the variance of a user's ratings relative to one rating by each (see `power.ABTest`), `shares`
    are those of control and the smallest treatment. `measured` is True where `spread` was measured.
    """

    baseline: float = BASELINE
    lift: float = 0.10
    testers_per_day: float = TESTERS_PER_DAY
    votes_per_tester: float = VOTES_PER_TESTER
    mde: float = 0.10
    preference_mde: float = 0.20
    alpha: float = ALPHA
    shares: tuple[float, float] = (0.5, 0.5)
    spread: float = 1.0
    measured: bool = False

    @property
    def win_share(self) -> float:
        """The win share that goes with the lift."""
        return win_share(self.baseline, self.lift)

    def chance(self, way: Way) -> Callable[[float], float]:
        """Return the chance that a way finds the difference, as a function of the number of its testers."""
        if way in ("ab", "planned"):
            power = ab_power if way == "ab" else planned_power
            test = ABTest(self.baseline, self.lift, self.mde, self.alpha, self.spread, self.shares)
            return lambda users: power(users, test)
        tastes = MODERATE if way == "compared" else STRONG
        return lambda people: comparison_power(
            people, self.votes_per_tester, self.win_share, self.preference_mde, self.alpha, tastes=tastes
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The testers and days of each way until 80 % power; None where it takes more than ten million testers."""

    setting: Setting
    testers: Mapping[Way, int | None]

    def days(self, way: Way) -> int | None:
        """Return the days of a way at the setting's pace."""
        testers = self.testers[way]
        return None if testers is None else max(math.ceil(testers / self.setting.testers_per_day), 1)


def setting_of(
    definition: Definition,
    readout: Readout | None = None,
    baseline: float | None = None,
    lift: float | None = None,
    testers_per_day: float | None = None,
    votes_per_tester: float | None = None,
) -> Setting:
    """Return the setting of an experiment: the given values, else what its readout measured, else assumptions.

    The default lift is the smallest that matters, or half of the distance from control to 1.

    Raises PlanError.
    """
    measured, spread = _measured(readout)
    baseline = _first_known(baseline, measured, BASELINE)
    effect = definition.mde.get("satisfaction") or EFFECTS.get("satisfaction", EFFECT)
    mde = effect.size * (baseline if effect.relative else 1)
    others = [share for name, share in definition.shares.items() if name != definition.control and share]
    pair = definition.shares.get(definition.control, 0), min(others, default=0.0)
    setting = Setting(
        baseline,
        _first_known(lift, min(mde, (1 - baseline) / 2)),
        _first_known(testers_per_day, TESTERS_PER_DAY),
        _first_known(votes_per_tester, VOTES_PER_TESTER),
        mde,
        preference_mde(definition),
        ALPHA / max(len(others), 1),
        pair if min(pair) else (0.5, 0.5),
        _first_known(spread, 1.0),
        spread is not None,
    )
    _check(setting)
    return setting


def plan(setting: Setting) -> Plan:
    """Return the plan for a setting."""
    return Plan(setting, {way: _rounded(fewest(setting.chance(way))) for way in WAYS})


def curve(setting: Setting, way: Way, largest: int) -> list[tuple[int, float]]:
    """Return points (testers, chance that a way has found the difference) up to `largest`, denser at the start."""
    smallest = min(5, largest)
    steps = (smallest * (largest / smallest) ** (step / (POINTS - 1)) for step in range(POINTS))
    chance = setting.chance(way)
    return [(people, chance(people)) for people in sorted({round(step) for step in steps})]


def _rounded(testers: int | None) -> int | None:
    """Round many testers up to two digits, because more would suggest a precision that the plan does not have."""
    return testers if testers is None or testers < 100 else rounded_up(testers)


def _first_known(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _measured(readout: Readout | None) -> tuple[float | None, float | None]:
    """Return control's satisfaction and the spread of its users' ratings; None where too few have rated."""
    if readout is None:
        return None, None
    metric = readout.metrics["satisfaction"]
    sums, estimate = metric.sums[readout.control], metric.groups[readout.control]
    if estimate.value is None or estimate.se is None or sums.kish < MIN_UNITS or not 0 < estimate.value < 1:
        return None, None
    return estimate.value, estimate.se**2 * sums.n / (estimate.value * (1 - estimate.value))


def _check(setting: Setting) -> None:
    if not 0 < setting.baseline < 1:
        raise PlanError(f"A baseline is a share between 0 and 1, such as 0.65, not {setting.baseline:g}.")
    if not setting.lift or not 0 < setting.baseline + setting.lift < 1:
        raise PlanError(
            f"With a baseline of {setting.baseline:g}, a lift is between {-setting.baseline:g} and "
            f"{1 - setting.baseline:g} and not 0; it is {setting.lift:g}."
        )
    if not 0 < setting.testers_per_day < math.inf or not 1 <= setting.votes_per_tester < math.inf:
        raise PlanError("Testers a day must be above 0, and votes of a tester at least 1.")
