"""The words of a plan: its table, the recommended way, and its assumptions. Computes nothing."""

from collections.abc import Mapping

from lib.planning.plans import Plan, Setting, Way
from lib.planning.power import MAX_TESTERS
from lib.statistics.figures import many, significant

NAMES: Mapping[Way, str] = {
    "ab": "A/B test",
    "planned": "A/B test, planned users",
    "compared": "Comparisons",
    "strong": "Comparisons, differing tastes",
}
QUICKER = 1.5
"""A comparison is recommended where the A/B test takes this many times as long."""


def rows(plan: Plan) -> list[tuple[str, str, str]]:
    """Return (way, testers, days) of every way as text."""
    return [(name, testers_of(plan, way), days_of(plan, way)) for way, name in NAMES.items()]


def testers_of(plan: Plan, way: Way) -> str:
    """Return the testers of a way as text."""
    testers = plan.testers[way]
    return f"over {MAX_TESTERS:,}" if testers is None else f"{testers:,}"


def days_of(plan: Plan, way: Way) -> str:
    """Return the days of a way as text."""
    days = plan.days(way)
    return "–" if days is None else f"{days:,}"


def recommended(plan: Plan) -> Way:
    """Return the recommended way."""
    compared, users = plan.testers["compared"], plan.testers["planned"]
    if compared is None:
        return "planned"
    return "compared" if users is None or users > QUICKER * compared else "planned"


def recommendation(plan: Plan) -> str:
    """Return the sentence that recommends one way, with the reason."""
    ab = f"{testers_of(plan, 'planned')} users and {_days(plan, 'planned')}"
    compared = f"{testers_of(plan, 'compared')} people and {_days(plan, 'compared')}"
    if recommended(plan) == "compared":
        return (
            f"Let testers compare: that takes {compared}, where the A/B test takes {ab} even with planned users. The "
            "A/B test is for what a comparison cannot see: speed, cost, and how much people use it."
        )
    return (
        f"Run the A/B test with planned users: it takes {ab}, comparisons {compared}, and it measures what "
        "would happen if the group were given to everybody, speed and cost included."
    )


def _days(plan: Plan, way: Way) -> str:
    days = plan.days(way)
    return "too many days to be practical" if days is None else many(days, "day")


def difference(setting: Setting) -> str:
    """Return the difference that the plan looks for, in the terms of both ways."""
    share = 100 * setting.win_share
    return (
        f"Looked for: satisfaction {significant(100 * setting.baseline)} % against "
        f"{significant(100 * (setting.baseline + setting.lift))} %, which is a win share of {share:.0f} % side by side."
    )


def assumptions(setting: Setting) -> list[str]:
    """Return the assumptions of the plan."""
    worth = significant(1 / setting.spread, 2)
    rating = (
        f"A user of the A/B test counts for {worth} ratings, as measured in this experiment so far."
        if setting.measured
        else "A user of the A/B test counts for one rating: many rate nothing, and those of one user are alike."
    )
    return [
        "80 % power: four of five such experiments find the difference, looked at all the time.",
        rating,
        f"A comparer gives {many(round(setting.votes_per_tester), 'vote')}, a fifth of them ties. Tastes differ "
        "moderately; where they differ strongly, only more people help, not more votes.",
    ]
