"""Today's exposures, answers and costs, and the limits that are near."""

from datetime import datetime, tzinfo

import streamlit as st

from lib.domain.budget import EVERYBODY, Account, Spent, exhausted_ms, until_ms
from lib.domain.clock import DAY_MS, now_ms
from lib.domain.record import StoreError
from lib.statistics.sums import Today
from lib.web import running
from pages.results.words import plain

EVERY_S = 10.0
"""Seconds between two updates."""


@st.fragment(run_every=EVERY_S)
def draw_today(experiment: str, zone: tzinfo) -> None:
    """Draw the counts since midnight, UTC, when the limits restart."""
    app, now = running.app(), now_ms()
    try:
        today = app.store.today(experiment, now // DAY_MS * DAY_MS, app.experiments.run(experiment))
        spent = _spent(now)
        furthest = app.store.spending.furthest(now // DAY_MS, app.budgets.answers_per_visitor or 0)
    except StoreError as error:
        st.error(f"{plain(str(error))} It is tried again every {EVERY_S:.0f} seconds.", icon=":material/cloud_off:")
        return
    with st.grid(3, min_column_width=220):
        _metric("Exposed", f"{sum(today.units.values()):,}", _by_group(today))
        _metric("Answers", f"{_answers(today):,}", _ends(today))
        _metric("Spent", _usd(spent.usd), "of answers whose price is known")
    _draw_day(spent, now, zone)
    _draw_visitors(*furthest)
    _draw_unpriced()


def _metric(label: str, value: str, text: str) -> None:
    with st.container(border=True, gap=None):
        st.metric(label, value)
        st.caption(text)


def _spent(now: int) -> Spent:
    """Return the spending by the limit's counter; without a limit, by the answers."""
    app, day = running.app(), now // DAY_MS
    if app.budgets.usd_per_day is None:
        return app.store.spending.spent_since(day * DAY_MS)
    everybody = Account("day", EVERYBODY, day)
    return app.store.spending.spent([everybody])[everybody]


def _draw_day(spent: Spent, now: int, zone: tzinfo) -> None:
    limit = running.app().budgets.usd_per_day
    if limit is None:
        st.caption("There is no limit on a day's spend: `PARLEY_BUDGET_USD_PER_DAY` sets one.")
        return
    midnight = f"{_clock(until_ms(now), zone)}"
    if spent.usd >= limit:
        text = f"**The day's {_usd(limit)} are spent.** New answers are refused until {midnight}."
    elif (met := exhausted_ms(spent.usd, limit, now)) is not None:
        pace = f"**At this pace it is spent at {_clock(met, zone)}**; it restarts at {midnight}."
        text = f"{_usd(spent.usd)} of {_usd(limit)}. {pace}"
    else:
        text = f"{_usd(spent.usd)} of {_usd(limit)}. At this pace it lasts until {midnight}, when it restarts."
    st.progress(min(1.0, spent.usd / limit), text.replace("$", "\\$"))


def _draw_visitors(visitors: int, met: int, furthest: int) -> None:
    most = running.app().budgets.answers_per_visitor
    if most is None:
        st.caption("There is no limit on a visitor's answers: `PARLEY_BUDGET_ANSWERS_PER_VISITOR` sets one.")
        return
    if not visitors:
        text = f"{most} answers a visitor and day. No questions today."
    elif met:
        text = f"{most} answers a visitor and day. **{met:,} of {visitors:,} visitors have used all of theirs.**"
    else:
        text = f"{most} answers a visitor and day. Of {visitors:,} visitors, the busiest has used {furthest:,}."
    st.progress(min(1.0, furthest / most), text)


def _draw_unpriced() -> None:
    app = running.app()
    models = app.served_groups.unpriced()
    if models and app.budgets.usd_per_day is not None:
        st.warning(
            f"The day's limit cannot be kept: {plain(', '.join(models))} has no price. "
            "Add it to `.streamlit/prices.toml`.",
            icon=":material/money_off:",
        )


def _answers(today: Today) -> int:
    return sum(n for ends in today.answers.values() for reason, n in ends.items() if reason != "limited")


def _by_group(today: Today) -> str:
    text = [f"{plain(group or 'not taking part')} {n:,}" for group, n in sorted(today.units.items(), key=str)]
    return " · ".join(text) or "None yet"


def _ends(today: Today) -> str:
    """Return the number of failed and of limited answers."""
    ends: dict[str, int] = {}
    for one in today.answers.values():
        for reason, n in one.items():
            ends[reason] = ends.get(reason, 0) + n
    failed = ends.get("error", 0) + ends.get("interrupted", 0)
    text = [f"{failed:,} failed"] if failed else []
    text += [f"{ends['limited']:,} more met a limit"] if ends.get("limited") else []
    return " · ".join(text) or "None failed"


def _usd(usd: float) -> str:
    """
    >>> _usd(5), _usd(0.01234), _usd(1234.5), _usd(2.35e-05)
    ('$5.00', '$0.0123', '$1,234.50', 'under $0.0001')
    """
    if 0 < usd < 0.0001:
        return "under $0.0001"
    return f"${usd:,.2f}" if usd == 0 or usd >= 0.1 else f"${usd:.3g}"


def _clock(time_ms: int, zone: tzinfo) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1_000, zone):%H:%M}"
