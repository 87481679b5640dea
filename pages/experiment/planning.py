"""The plan of an experiment: the number of testers and days for the A/B test and for comparisons. A form, a small
table, a curve, and one sentence that recommends a way."""

import streamlit as st

from lib.experiments.definitions import Definition
from lib.planning.plans import (
    TESTERS_PER_DAY,
    VOTES_PER_TESTER,
    Plan,
    PlanError,
    Setting,
    curve,
    plan,
    setting_of,
)
from lib.planning.recommendation import NAMES, assumptions, difference, recommendation, rows
from lib.readout.results import Window
from lib.readout.verdicts import Readout
from lib.web import running
from pages import readouts
from pages.experiment import planning_curve
from pages.results.words import plain
from pages.tables import draw_table


@st.fragment
def draw_planning(definition: Definition) -> None:
    """Draw the plan for the operator's assumptions about testers."""
    usual = setting_of(definition, _measured(definition))
    baseline, lift, per_day, votes = _draw_form(usual)
    try:
        planned = plan(setting_of(definition, _measured(definition), baseline, lift, per_day, votes))
    except PlanError as error:
        st.warning(plain(str(error)))
        return
    st.markdown(f":material/arrow_forward: {plain(recommendation(planned))}")
    st.caption(plain(difference(planned.setting)))
    _draw_table(planned)
    _draw_curve(planned)
    with st.expander("What this assumes", type="compact"):
        st.markdown("\n".join(f"- {plain(one)}" for one in assumptions(planned.setting)))


def _measured(definition: Definition) -> Readout | None:
    """Return the experiment's readout so far; None while that cannot be read."""
    try:
        results = readouts.results(Window(definition.name))
    except running.Unready:
        return None
    return results.readout if results and not results.readout.simulated else None


def _draw_form(usual: Setting) -> tuple[float, float, float, float]:
    """Draw the form and return the operator's assumptions about testers."""
    with st.grid(4, min_column_width=150, gap="small"):
        baseline = st.number_input(
            "Satisfied with control (%)",
            1.0,
            99.0,
            min(max(round(100 * usual.baseline, 1), 1.0), 99.0),
            1.0,
            format="%g",
            key="plan_from",
        )
        lift = st.number_input(
            "Difference (points)", -98.0, 98.0, round(100 * usual.lift, 1), 1.0, format="%g", key="plan_lift"
        )
        per_day = st.number_input("Testers a day", 1, 1_000_000, round(TESTERS_PER_DAY), key="plan_pace")
        votes = st.number_input("Votes of a tester", 1, 1_000, round(VOTES_PER_TESTER), key="plan_votes")
    return baseline / 100, lift / 100, per_day, votes


def _draw_table(planned: Plan) -> None:
    heads = ("Until found in four of five", "Testers", "Days")
    lines = [dict(zip(heads, (plain(name), *figures), strict=True)) for name, *figures in rows(planned)]
    draw_table(lines, "Testers and days that each way needs")


def _draw_curve(planned: Plan) -> None:
    reached = [testers for testers in planned.testers.values() if testers is not None]
    most = 2 * max(reached, default=10_000)
    points = {name: curve(planned.setting, way, most) for way, name in NAMES.items()}
    st.altair_chart(
        planning_curve.chart(points),
        key="plan_curve",
        alt="The chance that each way has found the difference, by the number of testers, in percent",
    )
