"""The sections below the verdict, down to testers' comments."""

from collections.abc import Iterable
from datetime import tzinfo

import streamlit as st

from lib.chat.markdown import blocks
from lib.domain.clock import DAY_MS
from lib.readout.results import Details, History, Results, Window
from lib.readout.verdicts import Metric, Readout
from lib.readout.words import WORDS
from lib.statistics.figures import significant
from lib.statistics.sums import Remark
from lib.web import running
from pages import readouts, session
from pages.results import charts, histogram, words
from pages.results.verdict import comparable, decisive
from pages.tables import draw_table

NOTHING = "not enough data"
SHOWN = 10
"""Remarks on the page at first, and per further click."""


def draw_rest(results: Results, window: Window, connected: bool, zone: tzinfo) -> None:
    """Draw the sections, those with known data first. `connected`: there is a Statsig. Raises Unready."""
    readout = results.readout
    over_time = st.container()
    _draw_users(results)
    times = st.container()
    if comparable(readout) and readout.verdict != "not_enough_data":
        _draw_price(readout)
    remarks = st.container()
    every = st.container()
    _draw_delivery(results, connected, zone)
    with times.skeleton(height=400):  # nothing is drawn in it: computing takes the time
        details = readouts.details(window)
    with times:
        _draw_response_times(readout, details)
    with remarks:
        _draw_remarks(readout, details, zone)
    with every:
        _draw_every_metric(readout, details)
    if comparable(readout):
        with over_time.skeleton(height=300):
            history = readouts.history(window, results)
        with over_time:
            _draw_over_time(readout, history, zone)


def draw_groups(readout: Readout) -> None:
    """Draw every group by itself."""
    order = charts.groups_of(readout)
    st.markdown("### Groups side by side")
    st.caption("Each group by itself with a 95 % interval for one look. To compare groups, use the differences above.")
    with st.grid(2, gap="medium"):
        for metric in [*decisive(readout), readout.metrics["rating_rate"]]:
            with st.container():
                st.markdown(words.name(metric.name))
                if (chart := charts.values(metric, order)) is None:
                    st.caption("Nothing yet")
                else:
                    st.altair_chart(chart, key=f"value_{metric.name}", alt=f"{words.name(metric.name)} of each group")
    rated = [
        f"{words.plain(group)} {words.plain(words.level('rating_rate', one))}"
        for group, one in readout.metrics["rating_rate"].groups.items()
    ]
    st.caption(f"Answers that were rated: {'; '.join(rated)}.")


def _draw_every_metric(readout: Readout, details: Details) -> None:
    """Draw all computed numbers, intervals first."""
    with st.expander("All metrics", icon=":material/table:", key="every_metric"):
        rows = [_row(metric, readout) for metric in (*readout.metrics.values(), *details.signals)]
        for name, reading in readout.quantiles.items():
            row = {"Metric": f"Response time {name}"}
            row |= {group: words.level("response_time", one) for group, one in reading.groups.items()}
            if comparable(readout):
                row |= {
                    _versus(group, readout): words.difference("response_time", one) or NOTHING
                    for group, one in reading.versus.items()
                }
            rows.append(row)
        draw_table(rows, "Every metric of every group, with intervals", cards="metrics")
        st.caption(
            f"Differences hold at every look ({significant(100 * (1 - readout.alpha))} %); a group's own interval is "
            "for one look (95 %). p is the chance of so large a difference, or a larger one at any look, where there "
            "is none."
        )


def _versus(group: str, readout: Readout) -> str:
    return f"{group} − {readout.control}"


def _row(metric: Metric, readout: Readout) -> dict[str, str]:
    row = {"Metric": words.name(metric.name)}
    row |= {group: words.level(metric.name, one) for group, one in metric.groups.items()}
    if comparable(readout):
        for group, one in metric.versus.items():
            row[_versus(group, readout)] = words.difference(metric.name, one) or NOTHING
            row["p" if len(metric.versus) == 1 else f"p {group}"] = words.probability(one.numbers.p_seq)
    return row


def _draw_over_time(readout: Readout, history: History, zone: tzinfo) -> None:
    """Draw the difference and its interval over time."""
    st.markdown("### The difference over time")
    st.caption(f"{words.name(readout.primary)} as this page showed it at the end of each day, inside its interval.")
    order = charts.groups_of(readout)
    for group in readout.treatments:
        if len(readout.treatments) > 1:
            st.markdown(words.plain(f"{group} − {readout.control}"))
        chart = charts.history(history, group, order, zone)
        if chart is None:
            st.markdown(":gray[It begins on the second day that has enough data.]")
        else:
            alt = f"{words.name(readout.primary)}: difference of {group} to {readout.control}, day by day"
            st.altair_chart(chart, key=f"history_{group}", alt=alt)


def _draw_users(results: Results) -> None:
    """Draw the exposed users, and the check of the split."""
    readout = results.readout
    st.markdown("### Users per group")
    if not any(readout.counts.values()):
        st.caption("None yet")
        return
    total = sum(readout.counts.values())
    rows = [
        {
            "Group": group,
            "Users": f"{n:,}",
            "Share": f"{100 * n / total:.1f} %",
            "Configured": f"{100 * readout.shares[group]:.1f} %",
        }
        for group, n in readout.counts.items()
    ]
    draw_table(rows, "Users of each group, and the configured share")
    st.markdown(_split(readout))
    chart = charts.arrivals(results.exposed, charts.groups_of(readout), results.as_of_ms)
    st.caption(f"New users a day (UTC). {_so_far(results)}")
    if chart is not None:
        st.altair_chart(chart, key="arrivals", alt="Users who met the experiment, by day and group")


def _so_far(results: Results) -> str:
    """Return the new users of the day that is not over, which the chart leaves out."""
    if results.as_of_ms % DAY_MS == 0:
        return ""
    today = results.as_of_ms - results.as_of_ms % DAY_MS
    met = {group: n for day, group, n in results.exposed if day == today}
    text = ", ".join(f"{words.plain(group)} {met.get(group, 0):,}" for group in charts.groups_of(results.readout))
    return f"{words.day(today)} is not over: {text} so far."


def _split(readout: Readout) -> str:
    log_e, left = readout.split.log_e, []
    if readout.weights_changed:
        checked = "Split check: not possible, the weights changed."
    elif log_e is None:
        checked = "Split check: not possible yet."
    else:
        state = "broken" if readout.split.broken else "as configured"
        checked = f"Split check: **{state}**, however often it is looked at."
    if readout.crossover:
        left.append(f"{readout.crossover:,} who met two groups")
    if readout.unknown:
        left.append(f"{sum(readout.unknown.values()):,} in groups that the definition does not know")
    if readout.forced:
        left.append(f"{readout.forced:,} with a forced group")
    return checked + (f" Left out: {' and '.join(left)}." if left else " No user was left out.")


def _draw_response_times(readout: Readout, details: Details) -> None:
    """Draw the distribution of response times."""
    st.markdown("### Response time")
    if not details.times:
        st.caption("No answer has a response time yet")
        return
    order = charts.groups_of(readout)
    for group in (group for group in order if group in details.times):
        quantiles = {
            name: value
            for name, reading in readout.quantiles.items()
            if (value := reading.groups[group].value) is not None
        }
        text = ", ".join(
            f"{name} {words.level('response_time', reading.groups[group])}"
            for name, reading in readout.quantiles.items()
        )
        st.markdown(f"{words.plain(group)} :gray[{words.plain(text)}]")
        alt = f"Response times of {group}, on a logarithmic axis: {text}"
        st.altair_chart(histogram.response_times(details.times, group, order, quantiles), key=f"times_{group}", alt=alt)
    if comparable(readout):
        text = [
            f"{name} of {group} {difference}"
            for name, reading in readout.quantiles.items()
            for group, one in reading.versus.items()
            if (difference := words.difference("response_time", one))
        ] or ["not enough data yet"]
        st.caption(words.plain(f"Differences to {readout.control}: {'; '.join(text)}."))


def _draw_price(readout: Readout) -> None:
    """Draw the cost of a better answer."""
    main, order = readout.main, charts.groups_of(readout)
    st.markdown("### Cost of a better answer")
    left, right = st.columns(2, gap="medium")
    sides = (left, "cost_per_answer", "US dollars per answer"), (right, "response_time", "Seconds per answer")
    for place, name, title in sides:
        with place:
            if (chart := charts.price(main, readout.metrics[name], order, title)) is None:
                st.caption(f"No {WORDS[name].name} is known" + (": the model has no price." if "cost" in name else "."))
            else:
                alt = f"{words.name(main.name)} and {WORDS[name].name} of each group"
                st.altair_chart(chart, key=f"price_{name}", alt=alt)
    if main.name == "satisfaction":
        rows = [_rate(group, readout) for group in order]
        draw_table(rows, "Satisfied answers per dollar and per second")


def _rate(group: str, readout: Readout) -> dict[str, str]:
    liked = readout.main.groups[group].value
    cost, seconds = (readout.metrics[name].groups[group].value for name in ("cost_per_answer", "response_time"))
    return {
        "Group": group,
        "Satisfied answers per dollar": f"{liked / cost:,.0f}" if liked is not None and cost else "–",
        "Satisfied answers per minute of waiting": f"{60 * liked / seconds:,.1f}"
        if liked is not None and seconds
        else "–",
    }


def texts_of(remarks: Iterable[Remark], own: str) -> list[str]:
    """Return the conversations whose texts these remarks contain, without those of the visitor `own`."""
    written = [one for one in remarks if one.visitor_id != own and (one.comment or one.question or one.answer)]
    return list(dict.fromkeys(one.conversation_id for one in written))


def _draw_remarks(readout: Readout, details: Details, zone: tzinfo) -> None:
    """Draw the reasons and comments of dissatisfied testers."""
    st.markdown("### Reasons and comments")
    if not details.remarks:
        st.caption("No reasons yet")
        return
    if details.reasons:
        st.caption("Answers with a thumb down, by the reason that the tester chose.")
        order = charts.groups_of(readout)
        st.altair_chart(
            charts.reasons(details.reasons, order), key="reasons", alt="Reasons of dissatisfied testers by group"
        )
    shown = st.session_state.setdefault("remarks_shown", SHOWN)
    texts = texts_of(details.remarks[:shown], session.visitor().visitor_id)
    running.app().acts.log_texts_read(session.operator_name(), "Results", texts)
    for remark in details.remarks[:shown]:
        _draw_remark(remark, zone)
    if len(details.remarks) > shown:
        st.button("Show more", type="tertiary", icon=":material/expand_more:", on_click=_show_more)


def _show_more() -> None:
    st.session_state.remarks_shown += SHOWN


def _draw_remark(remark: Remark, zone: tzinfo) -> None:
    reason = words.REASON_WORDS.get(remark.reason or "", "No reason")
    text = f"{reason}: {remark.comment}" if remark.comment else reason
    head = f"{words.plain(text)} · {words.plain(remark.group)}, {words.moment(remark.time_ms, zone)}"
    if remark.question is None and remark.answer is None:
        st.markdown(head)
        return
    with st.expander(head, key=f"remark_{remark.answer_id}", type="compact"):
        if remark.question:
            st.caption("Asked")
            st.text(remark.question)
        st.caption("Answered")
        for block in blocks(remark.answer or ""):
            st.markdown(block.markdown)
        if remark.visitor_id == session.visitor().visitor_id:
            st.page_link(
                "chat/page.py",
                label="Open the conversation",
                icon=":material/forum:",
                query_params={"c": remark.conversation_id},
            )


def _draw_delivery(results: Results, connected: bool, zone: tzinfo) -> None:
    """Draw the age of the readout, and the state of the delivery to Statsig."""
    readout, sent = results.readout, results.readout.delivery
    if readout.simulated:
        text = f"{sent.events:,} simulated events are in the record; Statsig never gets them."
    elif not connected:
        text = f"{sent.events:,} events are in the record. Without a Statsig key they stay there."
    else:
        text = f"{sent.events:,} events are in the record: Statsig has acknowledged {sent.acknowledged or 0:,}, "
        text += f"{sent.pending or 0:,} wait for it."
    st.caption(f"As of {words.moment(results.as_of_ms, zone)}, updated every minute. {text}")
